//! Sessions with an owner: one at a time, by the epoch, and what is kept of them sealed.

use std::sync::Arc;

use zmon_crypto::SecretBytes;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::InstanceName;
use zmon_domain::role::Actor;
use zmon_protocol::station::SessionPhase;
use zmon_station::ports::{
    CertificateRow, CertificateState, Refusal, SessionStanding, SessionState, StationRecord,
    StationStore, StationWrite, StoreError,
};

use crate::common::{Home, at, now, session};
use crate::memory::{Memory, on_both_databases, on_every_store, root};
use crate::station_store::{Seeded, answer, certificate, race, reservation};

on_every_store! {
    each_owner_has_an_epoch_and_only_the_last_one_writes,
    of_64_takers_exactly_one_becomes_the_owner,
    a_lease_is_renewed_by_its_owner_only,
    an_owner_is_told_where_its_running_sessions_stand,
    what_is_kept_comes_back_and_is_erased_with_the_session,
}

mod by_sql {
    use super::*;

    on_both_databases! {
        what_is_kept_opens_in_its_own_row_under_its_own_key_only,
        the_schema_itself_keeps_the_epochs_and_erases_what_was_kept,
    }
}

fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hold(n: u8, epoch: u64) -> StationWrite {
    StationWrite::Hold { session_id: session(n), epoch }
}

fn take(n: u8, from: u64, owner: Option<&str>) -> StationWrite {
    let (session_id, owner) = (session(n), owner.map(name));
    StationWrite::TakeSession { session_id, from, owner, lease_until: at(2000) }
}

fn phase(n: u8, phase: SessionPhase) -> StationWrite {
    StationWrite::Session { session_id: session(n), phase, error: None }
}

fn state(n: u8, bytes: &[u8]) -> StationWrite {
    let state = SessionState::new(SecretBytes::copy_from(bytes));
    StationWrite::SessionState { session_id: session(n), state }
}

async fn each_owner_has_an_epoch_and_only_the_last_one_writes(memory: &Memory) {
    let store = memory.open().await;
    answer(&*store, vec![StationWrite::Reserve(reservation(1, 1000))]).await.unwrap();
    answer(&*store, vec![hold(1, 1), phase(1, SessionPhase::Identified)]).await.unwrap();

    answer(&*store, vec![take(1, 1, Some("north"))]).await.unwrap();
    let row = store.session(&session(1)).await.unwrap().unwrap();
    assert_eq!((row.owner, row.epoch, row.lease_until), (Some(name("north")), 2, at(2000)));

    // The old owner was only slow: nothing of what it writes is there, its audit row neither.
    let before = store.newest_audit(0, 100).await.unwrap().len();
    let late = answer(&*store, vec![hold(1, 1), phase(1, SessionPhase::Issuing)]).await;
    assert_eq!(late, Err(Refusal::SessionTaken { epoch: 2 }));
    assert_eq!(store.newest_audit(0, 100).await.unwrap().len(), before);
    let late = answer(&*store, vec![take(1, 1, Some("main"))]).await;
    assert_eq!(late, Err(Refusal::SessionTaken { epoch: 2 }));
    answer(&*store, vec![hold(1, 2), phase(1, SessionPhase::Paired)]).await.unwrap();

    let over = answer(&*store, vec![take(1, 2, Some("main"))]).await;
    assert_eq!(over, Err(Refusal::SessionEnded(Some(SessionPhase::Paired))));
    assert_eq!(answer(&*store, vec![take(9, 1, None)]).await, Err(Refusal::SessionEnded(None)));
    assert_eq!(answer(&*store, vec![hold(9, 1)]).await, Err(Refusal::SessionEnded(None)));
}

async fn of_64_takers_exactly_one_becomes_the_owner(memory: &Memory) {
    let store = memory.open().await;
    answer(&*store, vec![StationWrite::Reserve(reservation(1, 1000))]).await.unwrap();
    let stores = [Arc::clone(&store)];
    let winners = race(&stores, |n| vec![take(1, 1, Some(&format!("n{n}")))]).await;
    assert_eq!(winners, 1);
    let row = store.session(&session(1)).await.unwrap().unwrap();
    assert!(row.owner.is_some_and(|owner| owner.as_str().starts_with('n')));
    assert_eq!(row.epoch, 2);
}

async fn a_lease_is_renewed_by_its_owner_only(memory: &Memory) {
    let store = memory.open().await;
    answer(&*store, vec![StationWrite::Reserve(reservation(1, 1000))]).await.unwrap();
    let renew = |owner, until| {
        let sessions = vec![session(1), session(9)];
        StationWrite::RenewLeases { owner: name(owner), sessions, until: at(until) }
    };
    // No row: it changes nothing that anybody is told of.
    let record = |write| StationRecord { audit: Vec::new(), writes: vec![write] };
    store.commit(&now(), &record(renew("main", 1030))).await.unwrap().unwrap();
    store.commit(&now(), &record(renew("north", 9999))).await.unwrap().unwrap();
    let row = store.session(&session(1)).await.unwrap().unwrap();
    assert_eq!((row.lease_until, row.epoch), (at(1030), 1));
    let (main, north) = (name("main"), name("north"));
    assert!(row.is_up_for(&main, at(1000)), "its own");
    assert!(!row.is_up_for(&north, at(1029)) && row.is_up_for(&north, at(1030)));
}

async fn an_owner_is_told_where_its_running_sessions_stand(memory: &Memory) {
    let store = memory.open().await;
    for n in 1..=6 {
        let mut row = reservation(n, 1000);
        row.device_id = format!("ZM-{n}").parse().unwrap();
        answer(&*store, vec![StationWrite::Reserve(row.clone())]).await.unwrap();
        if n <= 3 {
            let certificate = CertificateRow { device_id: row.device_id, ..certificate(n) };
            answer(&*store, vec![StationWrite::InsertCertificate(certificate)]).await.unwrap();
        }
    }
    let serial = |n| certificate(n).serial;
    let (from, to) = (CertificateState::Pending, CertificateState::Current);
    let commit =
        StationWrite::Certificate { serial: serial(2), from, to, at: at(1100), reason: None };
    let abort = StationWrite::AbortPending { serial: serial(3), at: at(1100) };
    let other = take(5, 1, Some("north"));
    answer(&*store, vec![commit, abort, other, phase(6, SessionPhase::Released)]).await.unwrap();

    let standing = async |owner| {
        let mut found = store.sessions_of(&name(owner)).await.unwrap();
        found.sort_by_key(|standing| standing.id);
        found
    };
    let stands = |n, epoch, certificate| SessionStanding { id: session(n), epoch, certificate };
    let main = [
        stands(1, 1, Some((serial(1), CertificateState::Pending, false))),
        stands(2, 1, Some((serial(2), CertificateState::Current, true))),
        stands(3, 1, Some((serial(3), CertificateState::Revoked, false))),
        stands(4, 1, None),
    ];
    assert_eq!(standing("main").await, main);
    assert_eq!(standing("north").await, [stands(5, 2, None)]);
    assert_eq!(standing("south").await, []);
}

async fn what_is_kept_comes_back_and_is_erased_with_the_session(memory: &Memory) {
    let store = memory.open().await;
    for (n, end) in
        [SessionPhase::Paired, SessionPhase::Failed, SessionPhase::Released].into_iter().enumerate()
    {
        let n = u8::try_from(n).unwrap() + 1;
        let row = reservation(n, 1000 + i64::from(n) * 2000);
        let id = row.id;
        assert_eq!(store.session_state(&id).await.unwrap(), None);
        answer(&*store, vec![StationWrite::Reserve(row), state(n, b"first")]).await.unwrap();
        answer(&*store, vec![hold(n, 1), state(n, b"second")]).await.unwrap();
        let kept = store.session_state(&id).await.unwrap().unwrap();
        assert_eq!(kept.expose(), b"second");
        answer(&*store, vec![hold(n, 1), phase(n, end)]).await.unwrap();
        assert_eq!(store.session_state(&id).await.unwrap(), None);
        let late = answer(&*store, vec![state(n, b"third")]).await;
        assert_eq!(late, Err(Refusal::SessionEnded(Some(end))));
    }
    // A reservation that ran out, and a session that nobody can go on with.
    let row = reservation(4, 10_000);
    answer(&*store, vec![StationWrite::Reserve(row), state(4, b"x")]).await.unwrap();
    let row = reservation(5, 20_000);
    answer(&*store, vec![StationWrite::Reserve(row), state(5, b"x")]).await.unwrap();
    assert_eq!(store.session_state(&session(4)).await.unwrap(), None);
    answer(&*store, vec![take(5, 1, None)]).await.unwrap();
    assert_eq!(store.session_state(&session(5)).await.unwrap(), None);
    let row = store.session(&session(5)).await.unwrap().unwrap();
    assert_eq!((row.owner, row.epoch), (None, 2));
}

async fn what_is_kept_opens_in_its_own_row_under_its_own_key_only(memory: &Memory) {
    const SECRET: &[u8] = b"the key of this session";
    let store = memory.open_sql().await;
    for n in [1, 2] {
        let mut row = reservation(n, 1000);
        row.device_id = format!("ZM-{n}").parse().unwrap();
        answer(&store, vec![StationWrite::Reserve(row), state(n, SECRET)]).await.unwrap();
    }
    let mut sql = memory.sql().await;
    let id = |n| sql.bytes(&hex(session(n).as_bytes()));
    let (one, two) = (id(1), id(2));
    let sealed = format!("(SELECT sealed FROM session_states WHERE session_id = {two})");
    sql.run(&format!("UPDATE session_states SET sealed = {sealed} WHERE session_id = {one}")).await;
    let damaged = store.session_state(&session(1)).await.unwrap_err();
    assert!(matches!(damaged, StoreError::Corrupt(_)), "{damaged:?}");
    assert_eq!(store.session_state(&session(2)).await.unwrap().unwrap().expose(), SECRET);

    let store = store.with_sessions(root(8), Arc::new(Seeded));
    let damaged = store.session_state(&session(2)).await.unwrap_err();
    assert!(matches!(damaged, StoreError::Corrupt(_)), "{damaged:?}");
}

async fn the_schema_itself_keeps_the_epochs_and_erases_what_was_kept(memory: &Memory) {
    let store = memory.open().await;
    let row = reservation(1, 1000);
    answer(&*store, vec![StationWrite::Reserve(row), state(1, b"x")]).await.unwrap();
    answer(&*store, vec![take(1, 1, Some("north"))]).await.unwrap();
    let mut sql = memory.sql().await;
    for wrong in [
        "UPDATE sessions SET epoch = 1",
        "UPDATE sessions SET owner = 'main'",
        "UPDATE sessions SET epoch = -1",
    ] {
        assert!(sql.attempt(wrong).await.is_err(), "{wrong}");
    }
    sql.run("UPDATE sessions SET phase = 'released'").await;
    assert_eq!(store.session_state(&session(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_without_the_root_secret_opens_no_session() {
    let home = Home::new();
    let station = "cs-1".parse().unwrap();
    let store = zmon_persistence::SqlStationStore::open(home.dir(), &station).await.unwrap();
    let record = StationRecord {
        audit: vec![AuditEvent::new(EventType::SessionOpened, Actor::System)],
        writes: vec![StationWrite::Reserve(reservation(1, 1000)), state(1, b"x")],
    };
    let refused = store.commit(&now(), &record).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert_eq!(store.session(&session(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_of_the_schema_before_has_no_owner_and_the_header_names_the_newest() {
    let memory = Memory::sqlite();
    let store = memory.open().await;
    answer(&*store, vec![StationWrite::Reserve(reservation(1, 1000))]).await.unwrap();
    drop(store);
    let mut sql = memory.sql().await;
    sql.run(
        "DROP TRIGGER sessions_change_owner_by_epoch; DROP TRIGGER sessions_forget_at_their_end; \
         DROP TABLE session_states; DROP TABLE enrolment_credentials; DROP TABLE set_backs; \
         ALTER TABLE sessions DROP COLUMN enrolment; \
         ALTER TABLE sessions DROP COLUMN lease_until; \
         ALTER TABLE sessions DROP COLUMN epoch; \
         ALTER TABLE sessions DROP COLUMN owner; \
         DELETE FROM _sqlx_migrations WHERE version >= 15; \
         PRAGMA user_version = 13",
    )
    .await;
    let row = memory.open().await.session(&session(1)).await.unwrap().unwrap();
    assert_eq!((row.owner, row.epoch, row.reserved), (None, 0, true));

    // As after a migration with a lower number that came later.
    let version = "SELECT CAST(user_version AS text) FROM pragma_user_version";
    assert_eq!(sql.text(version).await, "17");
    sql.run("PRAGMA user_version = 14").await;
    drop(memory.open().await);
    assert_eq!(sql.text(version).await, "17");
}
