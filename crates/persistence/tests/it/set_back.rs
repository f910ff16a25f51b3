//! A station's database that was set back is noticed, and goes on so that nothing of the lost time counts.

use std::sync::Arc;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{InstanceName, OperatorId, StationId, TokenId};
use zmon_domain::role::{Actor, Role};
use zmon_domain::time::{Now, UnixTime};
use zmon_persistence::{
    AuditSigner, LaneEnd, OldRecord, PersistenceError, PrivateDir, STATION_DATABASE, SetBack,
    SqlStationStore, StationUpkeep,
};
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_station::ports::{
    CertificateRow, CrlRow, DeviceStatus, EnrolmentCredentialRow, LoginRow, OperatorRow,
    RevocationReason, StationStore, StationWrite,
};
use zmon_testkit::TestDatabase;

use crate::common::{Home, WALL, at, device_id, identity, now, number, run, seeded, session};
use crate::memory::root;
use crate::station_store::{Seeded, answer, certificate, device, reservation};

const LANE: &str = "station:cs-1";
const HIGH_WATER: &str = "station.high-water";

fn station() -> StationId {
    StationId::parse("cs-1").unwrap()
}

fn later(seconds: i64) -> Now {
    Now { wall: Some(at(WALL + seconds)), millis: Some((WALL + seconds) * 1000), ..now() }
}

fn signer() -> AuditSigner {
    AuditSigner::new(Arc::new(identity(70)), Box::new(seeded(71)))
}

/// The store as a station opens it.
async fn serve(home: &Home) -> Result<SqlStationStore, PersistenceError> {
    let dir = home.dir();
    let store = SqlStationStore::open(Arc::clone(&dir), &station()).await?;
    let store = store.with_checkpoints(Arc::new(identity(70)), Arc::new(Seeded));
    store.with_sessions(root(7), Arc::new(Seeded)).with_high_water(dir, &station()).await
}

async fn alone(home: &Home) -> StationUpkeep {
    StationUpkeep::alone(&home.path(), &root(7), signer()).await.unwrap()
}

fn event() -> AuditEvent {
    AuditEvent::new(EventType::StationRestored, Actor::Local)
}

fn account(name: &str, role: Role) -> OperatorRow {
    OperatorRow {
        id: OperatorId::parse(name).unwrap(),
        role,
        password_hash: "$argon2id$x".to_owned(),
        disabled: false,
        one_time: false,
        created_at: at(5),
    }
}

fn login(n: u8) -> StationWrite {
    StationWrite::AddLogin(LoginRow {
        token_hash: [n; 32],
        operator: OperatorId::parse("tess").unwrap(),
        role: Role::Technician,
        expires_at: at(WALL + 9000),
    })
}

fn permit(n: u8) -> StationWrite {
    StationWrite::PermitEnrolment(EnrolmentCredentialRow {
        device_id: device(n).id,
        hash: [n; 32],
        expires_at: at(WALL + 9000),
        spent_by: None,
    })
}

fn crl(number: u64) -> StationWrite {
    let (this_update, next_update) = (at(1000), at(2000));
    StationWrite::PublishCrl(CrlRow { number, this_update, next_update, der: vec![1] })
}

fn of_device(n: u8) -> CertificateRow {
    CertificateRow { device_id: device(n).id, not_after: at(WALL + 9000), ..certificate(n) }
}

fn shift(n: u8, from: CertificateState, to: CertificateState) -> StationWrite {
    let reason = (to == CertificateState::Revoked).then_some(RevocationReason::KeyCompromise);
    StationWrite::Certificate { serial: certificate(n).serial, from, to, at: at(2000), reason }
}

/// A station with two paired devices, one that is being paired, a login, and a list.
async fn busy() -> Home {
    use CertificateState::{Current, Pending};
    let home = Home::new();
    let store = serve(&home).await.unwrap();
    let mut pairing = reservation(3, WALL);
    pairing.device_id = device(3).id;
    let writes = vec![
        StationWrite::ImportDevices((1..=4).map(device).collect()),
        StationWrite::AddOperator(account("ada", Role::Administrator)),
        StationWrite::AddOperator(account("tess", Role::Technician)),
        login(1),
        permit(1),
        permit(2),
        StationWrite::SpendCredential {
            device_id: device(2).id,
            hash: [2; 32],
            session_id: session(2),
            at: at(WALL),
        },
        StationWrite::InsertCertificate(of_device(1)),
        StationWrite::InsertCertificate(of_device(2)),
        shift(1, Pending, Current),
        shift(2, Pending, Current),
        StationWrite::Reserve(pairing),
        StationWrite::InsertCertificate(of_device(3)),
        crl(1),
    ];
    answer(&store, writes).await.unwrap();
    store.write_checkpoint(&now()).await.unwrap();
    drop(store);
    home
}

/// What happens after the backup: a fourth device is paired, the second revoked, somebody logs in.
async fn go_on(home: &Home) {
    use CertificateState::{Current, Pending, Revoked};
    let store = serve(home).await.unwrap();
    let writes = vec![
        login(2),
        StationWrite::InsertCertificate(of_device(4)),
        shift(4, Pending, Current),
        StationWrite::ClaimToken { session_id: session(4), token_id: TokenId::from_bytes([4; 16]) },
        shift(2, Current, Revoked),
        StationWrite::DeviceStatus {
            device_id: device(1).id,
            status: DeviceStatus::Decommissioned,
        },
        StationWrite::OperatorAccess {
            operator: account("tess", Role::Technician).id,
            disabled: true,
        },
        StationWrite::RecoveryCounter { device_id: device(1).id, counter: 9 },
        crl(2),
        crl(3),
    ];
    answer(&store, writes).await.unwrap();
    store.write_checkpoint(&now()).await.unwrap();
}

async fn state(store: &SqlStationStore, n: u8) -> Option<CertificateState> {
    store.certificate(&certificate(n).serial).await.unwrap().map(|row| row.state)
}

#[tokio::test]
async fn a_database_that_was_set_back_is_not_served_from() {
    let home = busy().await;
    let mut sql = home.sql(STATION_DATABASE).await;
    number(&mut sql, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    sqlx::Connection::close(sql).await.unwrap();
    let old = std::fs::read(home.file(STATION_DATABASE)).unwrap();
    go_on(&home).await;
    drop(serve(&home).await.expect("positive control: it goes on"));

    // Somebody copies yesterday's file into its place.
    for companion in ["station.db-wal", "station.db-shm"] {
        let _absent = std::fs::remove_file(home.file(companion));
    }
    std::fs::write(home.file(STATION_DATABASE), old).unwrap();
    let refused = serve(&home).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::StationSetBack);
    assert!(refused.context().contains(LANE), "{}", refused.context());
    let rows = |home: &Home| {
        let home = home.path();
        async move {
            let log = zmon_persistence::AuditLog::open_station(&home).await.unwrap();
            log.verify().await.unwrap()
        }
    };
    let before = rows(&home).await;

    let upkeep = alone(&home).await;
    assert!(upkeep.behind().await.unwrap().unwrap().contains("once had"));
    let (upkeep, done) = upkeep.set_back(&later(60), event(), None).await.unwrap();
    upkeep.close().await.unwrap();
    assert!(done.lost_rows > 0 && !done.is_complete, "{done:?}");

    let store = serve(&home).await.expect("what was accepted is served from");
    let after = rows(&home).await;
    assert_eq!(after.damage(), None);
    let (first, second) = (&after.lanes[0], &after.lanes[1]);
    assert_eq!((&first.lane, first.rows), (&LANE.to_owned(), before.lanes[0].rows));
    assert_eq!(second.lane, done.lane, "the log goes on in a lane of its own");
    let row = &store.newest_audit(0, 100).await.unwrap().pop().unwrap();
    assert_eq!((row.event, row.success), (EventType::StationRestored, true));
    assert_eq!(store.owner().await.unwrap(), Some(station()));
}

#[tokio::test]
async fn a_mark_of_another_station_or_key_or_one_that_was_edited_is_damage() {
    let home = busy().await;
    let open = async |root_of: u8, name: &str| {
        let (dir, id) = (home.dir(), StationId::parse(name).unwrap());
        let store = SqlStationStore::open(Arc::clone(&dir), &station()).await.unwrap();
        let store = store.with_sessions(root(root_of), Arc::new(Seeded));
        store.with_high_water(dir, &id).await.map(drop).map_err(|error| error.code())
    };
    assert_eq!(open(7, "cs-1").await, Ok(()), "positive control");
    assert_eq!(open(8, "cs-1").await, Err(ErrorCode::StorageCorrupt));
    assert_eq!(open(7, "cs-2").await, Err(ErrorCode::StorageCorrupt));
    let path = home.file("station.high-water");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(open(7, "cs-1").await, Err(ErrorCode::StorageCorrupt));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(open(7, "cs-1").await, Ok(()), "a station from before there was one");
}

/// The backup, as `zmon station restore` finds it, and the old directory.
async fn restored(with_old: bool) -> (Home, SetBack, Vec<LaneEnd>) {
    let old = busy().await;
    let home = Home::new();
    let upkeep = StationUpkeep::beside(&old.path(), &root(7), signer()).await.unwrap();
    upkeep.append(&now(), event()).await.unwrap();
    let into = PrivateDir::open(&home.path()).unwrap();
    upkeep.copy(&into, STATION_DATABASE).await.unwrap();
    upkeep.close().await.unwrap();
    drop(into);
    go_on(&old).await;

    let upkeep = alone(&home).await;
    let ends = upkeep.ends().await.unwrap();
    let record = if with_old {
        let into = PrivateDir::open_shared(&home.path()).unwrap();
        let read = OldRecord::open(&old.path(), &into, &station(), &ends, &root(7), signer()).await;
        Some(read.unwrap())
    } else {
        None
    };
    let (upkeep, done) = upkeep.set_back(&later(60), event(), record.as_ref()).await.unwrap();
    upkeep.close().await.unwrap();
    (home, done, ends)
}

#[tokio::test]
async fn a_restored_station_ends_what_ran_and_gives_no_number_out_again() {
    let (home, done, ends) = restored(false).await;
    assert_eq!((done.sessions, done.logins, done.aborted), (1, 1, 1));
    assert_eq!(done.credentials, 1, "the other one is spent");
    assert_eq!((done.revoked, done.accepted, done.lost_rows), (0, 2, 0));
    let store = serve(&home).await.unwrap();
    assert_eq!(store.login(&[1; 32]).await.unwrap(), None);
    for n in [1, 2] {
        assert_eq!(store.enrolment_credential(&device(n).id).await.unwrap(), None);
    }
    let session = store.session(&session(3)).await.unwrap().unwrap();
    assert_eq!((session.phase, session.reserved), (SessionPhase::Released, false));
    assert_eq!((session.error, session.epoch), (Some(ErrorCode::StationSetBack), 2));
    assert_eq!(state(&store, 3).await, Some(CertificateState::Revoked));
    assert_eq!(state(&store, 4).await, None, "nobody accepts what nobody knows");

    let time = u64::try_from(WALL + 60).unwrap();
    assert_eq!(store.crl_number().await.unwrap(), time, "above every number of the lost time");
    assert_eq!(store.config_version(&device(4).id).await.unwrap(), time);
    assert!(answer(&store, vec![crl(2)]).await.is_err());
    answer(&store, vec![crl(time + 1)]).await.unwrap();
    assert_eq!(store.config_version(&device_id()).await.unwrap(), time);
    assert!(ends.iter().all(|end| end.lane == LANE && done.lane != LANE));
}

#[tokio::test]
async fn what_the_old_record_says_against_anybody_is_taken_over() {
    let (home, done, _) = restored(true).await;
    assert!(done.is_complete && done.lost_rows > 0, "{done:?}");
    assert_eq!((done.revoked, done.accepted), (2, 1));
    let store = serve(&home).await.unwrap();
    let states = [state(&store, 1).await, state(&store, 2).await, state(&store, 4).await];
    let (current, revoked) = (Some(CertificateState::Current), Some(CertificateState::Revoked));
    assert_eq!(states, [current, revoked, revoked]);
    let row = store.certificate(&certificate(2).serial).await.unwrap().unwrap();
    assert_eq!(row.revoked, Some((at(2000), RevocationReason::KeyCompromise)));
    assert_eq!(store.claimed_by(&TokenId::from_bytes([4; 16])).await.unwrap(), Some(session(4)));
    assert_eq!(store.recovery_counter(&device(1).id).await.unwrap(), 9);
    let decommissioned = store.device(&device(1).id).await.unwrap().unwrap().status;
    assert_eq!(decommissioned, DeviceStatus::Decommissioned);
    let tess = store.operator(&account("tess", Role::Technician).id).await.unwrap().unwrap();
    assert!(tess.disabled);
    assert_eq!(store.login(&[2; 32]).await.unwrap(), None, "and nothing for anybody");
    let names = std::fs::read_dir(home.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name == ".old.db"), "{names:?}");
}

#[tokio::test]
async fn an_old_directory_that_does_not_go_on_from_the_backup_is_not_read() {
    let (backup, other) = (busy().await, busy().await);
    // The same station, another history.
    go_on(&backup).await;
    let upkeep = alone(&backup).await;
    let ends = upkeep.ends().await.unwrap();
    let into = PrivateDir::open_shared(&backup.path()).unwrap();
    let read = async |home: &Home, name: &str| {
        let id = StationId::parse(name).unwrap();
        OldRecord::open(&home.path(), &into, &id, &ends, &root(7), signer()).await
    };
    assert_eq!(read(&other, "cs-1").await.err().unwrap().code(), ErrorCode::StateConflict);
    std::fs::remove_file(other.file("station.high-water")).unwrap();
    assert_eq!(read(&other, "cs-9").await.err().unwrap().code(), ErrorCode::StateConflict);
    let empty = Home::new();
    assert_eq!(read(&empty, "cs-1").await.err().unwrap().code(), ErrorCode::NotInitialised);

    // Of a database that is lost the mark still tells how far it had come.
    let lost = busy().await;
    go_on(&lost).await;
    std::fs::write(lost.file(STATION_DATABASE), b"no database").unwrap();
    for companion in ["station.db-wal", "station.db-shm"] {
        let _absent = std::fs::remove_file(lost.file(companion));
    }
    let record = read(&lost, "cs-1").await.unwrap();
    assert!(!record.has_database());
    let earlier: Vec<_> =
        ends.iter().map(|end| LaneEnd { rows: end.rows - 1, ..end.clone() }).collect();
    assert_eq!(record.rows_after(&earlier).unwrap(), 1);
}

#[tokio::test]
async fn a_clock_that_is_behind_the_log_sets_nothing_back() {
    let home = busy().await;
    let upkeep = alone(&home).await;
    let early = Now { wall: UnixTime::from_unix(1_000_000), ..now() };
    let refused = upkeep.set_back(&early, event(), None).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::StateConflict);
    let mut sql = home.sql(STATION_DATABASE).await;
    assert_eq!(number(&mut sql, "SELECT count(*) FROM set_backs").await, 0);
    assert_eq!(number(&mut sql, "SELECT count(*) FROM logins").await, 1);
}

#[tokio::test]
async fn without_its_audit_row_nothing_is_set_back() {
    let home = busy().await;
    let upkeep = alone(&home).await;
    let mut sql = home.sql(STATION_DATABASE).await;
    run(
        &mut sql,
        "CREATE TRIGGER full BEFORE INSERT ON security_audit_log \
         BEGIN SELECT RAISE(ABORT, 'no room'); END",
    )
    .await;
    let refused = upkeep.set_back(&later(60), event(), None).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    assert_eq!(number(&mut sql, "SELECT count(*) FROM set_backs").await, 0);
    assert_eq!(number(&mut sql, "SELECT count(*) FROM logins").await, 1);
}

#[tokio::test]
async fn a_tool_adds_its_row_while_the_station_serves() {
    let home = busy().await;
    let store = serve(&home).await.unwrap();
    let upkeep = StationUpkeep::beside(&home.path(), &root(7), signer()).await.unwrap();
    for n in 5..15 {
        upkeep.append(&now(), event()).await.unwrap();
        answer(&store, vec![StationWrite::ImportDevices(vec![device(n)])]).await.unwrap();
        upkeep.checkpoint(&now()).await.unwrap();
        store.write_checkpoint(&now()).await.unwrap();
    }
    let found = upkeep.audit_log().verify().await.unwrap();
    assert_eq!((found.damage(), found.lanes.len()), (None, 1));
    let alone = StationUpkeep::alone(&home.path(), &root(7), signer()).await;
    assert_eq!(alone.err().unwrap().code(), ErrorCode::StateConflict);
}

#[tokio::test]
async fn a_tool_leaves_the_tables_of_an_older_program_alone() {
    let home = busy().await;
    let mut sql = home.sql(STATION_DATABASE).await;
    let older = "DROP TABLE set_backs; DELETE FROM _sqlx_migrations WHERE version = 17; \
         PRAGMA user_version = 16";
    run(&mut sql, older).await;
    let state = zmon_persistence::tables_state(&home.path(), STATION_DATABASE).await.unwrap();
    assert_eq!((state.found, state.known), (16, 17));
    let refused = StationUpkeep::beside(&home.path(), &root(7), signer()).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::StateConflict, "{}", refused.context());
    assert_eq!(number(&mut sql, "PRAGMA user_version").await, 16);
    drop(serve(&home).await.expect("the new program brings them up to date"));
    drop(StationUpkeep::beside(&home.path(), &root(7), signer()).await.unwrap());
}

#[tokio::test]
async fn a_database_of_postgresql_that_was_set_back_goes_on_once_it_was_accepted() {
    let (database, home) = (TestDatabase::create().await, Home::new());
    let main = InstanceName::default();
    let serve = async || {
        let store = SqlStationStore::connect(&database.parsed(), &station(), &main).await?;
        let store = store.with_checkpoints(Arc::new(identity(70)), Arc::new(Seeded));
        let store = store.with_sessions(root(7), Arc::new(Seeded));
        store.with_high_water(home.dir(), &station()).await
    };
    let store = serve().await.unwrap();
    let writes = vec![
        StationWrite::AddOperator(account("tess", Role::Technician)),
        login(1),
        StationWrite::InsertCertificate(of_device(3)),
    ];
    answer(&store, writes).await.unwrap();
    answer(&store, vec![crl(1)]).await.unwrap();
    let checkpoint = store.write_checkpoint(&now()).await.unwrap().unwrap();
    drop(store);
    let beside = Home::new();
    drop(beside.dir());
    std::fs::copy(home.file(HIGH_WATER), beside.file(HIGH_WATER)).unwrap();
    // A fresh database in place of the one that the mark knows is the oldest there is.
    let fresh = TestDatabase::create().await;
    let other = SqlStationStore::connect(&fresh.parsed(), &station(), &main).await.unwrap();
    answer(&other, vec![StationWrite::AddOperator(account("tess", Role::Technician)), login(1)])
        .await
        .unwrap();
    drop(other);
    let refused = SqlStationStore::connect(&fresh.parsed(), &station(), &main).await.unwrap();
    let refused = refused.with_sessions(root(7), Arc::new(Seeded));
    let refused = refused.with_high_water(home.dir(), &station()).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::StationSetBack, "{checkpoint}");

    let upkeep =
        StationUpkeep::connect(&home.path(), &fresh.parsed(), &root(7), signer()).await.unwrap();
    assert!(upkeep.behind().await.unwrap().is_some());
    let copied = upkeep.copy(&PrivateDir::open_shared(&home.path()).unwrap(), "copy.db").await;
    assert_eq!(copied.unwrap_err().code(), ErrorCode::StateConflict);
    let (upkeep, done) = upkeep.set_back(&later(60), event(), None).await.unwrap();
    upkeep.close().await.unwrap();
    assert_eq!((done.logins, done.aborted), (1, 0));
    let store = SqlStationStore::connect(&fresh.parsed(), &station(), &main).await.unwrap();
    let store = store.with_checkpoints(Arc::new(identity(70)), Arc::new(Seeded));
    let store = store.with_sessions(root(7), Arc::new(Seeded));
    let store = store.with_high_water(home.dir(), &station()).await.unwrap();
    // Another process's directory still tells of the lost time, until it has a copy of the new mark.
    let second = async || {
        let south = InstanceName::parse("south").unwrap();
        let store = SqlStationStore::connect(&fresh.parsed(), &station(), &south).await?;
        let store = store.with_sessions(root(7), Arc::new(Seeded));
        store.with_high_water(beside.dir(), &station()).await.map(drop)
    };
    assert_eq!(second().await.unwrap_err().code(), ErrorCode::StationSetBack);
    std::fs::copy(home.file(HIGH_WATER), beside.file(HIGH_WATER)).unwrap();
    second().await.unwrap();
    answer(&store, vec![crl(store.crl_number().await.unwrap() + 1)]).await.unwrap();
    let found = store.audit_log().verify().await.unwrap();
    assert_eq!((found.damage(), found.lanes.len()), (None, 2));
}
