//! The station's store: verdicts inside one transaction, and a schema that holds even without them.

use std::sync::Arc;
use std::task::Poll;

use crate::common::{Home, at, device_id, now, run, seeded, session};
use rand_core::CryptoRng;
use zmon_crypto::IdentityKey;
use zmon_crypto::jws::{self, Typ};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, OperatorId, Serial, SessionId,
    StationId, Thumbprint, TokenId, WindowId,
};
use zmon_domain::role::{Actor, Role};
use zmon_domain::settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval};
use zmon_persistence::{AuditLog, STATION_DATABASE, SqlStationStore};
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_station::ports::{
    AuditPage, CertificateRow, CrlRow, DeviceRow, DeviceStatus, Entropy, ImportConflictKind, Page,
    Refusal, RevocationReason, SessionRow, StationRecord, StationStore, StationWrite, StoreError,
};

use CertificateState::{Current, Pending, Revoked, Superseded};

struct Seeded;

impl Entropy for Seeded {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(seeded(60))
    }
}

/// The store of a home, made if need be.
pub(crate) async fn open(home: &Home) -> SqlStationStore {
    let station = StationId::parse("cs-1").unwrap();
    SqlStationStore::open(home.dir(), &station).await.unwrap()
}

fn device(n: u8) -> DeviceRow {
    DeviceRow {
        id: DeviceId::parse(&format!("ZM-{n:03}")).unwrap(),
        serial: DeviceSerial::parse(&format!("SN-{n:03}")).unwrap(),
        identity: Thumbprint::from_bytes([n; 32]),
        status: DeviceStatus::Active,
        model: None,
        address: None,
        port: None,
        bed: None,
        label: None,
        unit: None,
        language: None,
        sync_interval: None,
        registered_at: at(1000),
    }
}

fn reservation(n: u8, opened_at: i64) -> SessionRow {
    SessionRow {
        id: session(n),
        device_id: device_id(),
        operator: Some(OperatorId::parse(&format!("op-{n}")).unwrap()),
        phase: SessionPhase::Dialling,
        reserved: true,
        token_id: TokenId::from_bytes([n; 16]),
        opened_at: at(opened_at),
        expires_at: at(opened_at + 900),
        error: None,
        answer: None,
    }
}

fn serial(n: u8) -> Serial {
    Serial::from_bytes(&[n, 7, 7, 7]).unwrap()
}

fn certificate(n: u8) -> CertificateRow {
    CertificateRow {
        serial: serial(n),
        session: session(n),
        device_id: device_id(),
        identity_key: vec![n; 91],
        config_version: u64::from(n),
        state: Pending,
        der: vec![n; 500],
        not_before: at(1000),
        not_after: at(9000),
        issued_at: at(1000 + i64::from(n)),
        committed_at: None,
        revoked: None,
    }
}

fn moved(n: u8, from: CertificateState, to: CertificateState, when: i64) -> StationWrite {
    let reason = (to == Revoked).then_some(RevocationReason::Superseded);
    StationWrite::Certificate { serial: serial(n), from, to, at: at(when), reason }
}

fn event(name: EventType) -> AuditEvent {
    AuditEvent::new(name, Actor::System).device(&device_id())
}

fn record(writes: Vec<StationWrite>) -> StationRecord {
    StationRecord { audit: vec![event(EventType::SessionOpened)], writes }
}

/// Commits writes with a row of their own; the store's verdict.
pub(crate) async fn answer(
    store: &SqlStationStore,
    writes: Vec<StationWrite>,
) -> Result<(), Refusal> {
    store.commit(&now(), &record(writes)).await.unwrap()
}

async fn rows(store: &SqlStationStore) -> usize {
    store.audit(AuditPage { after: 0, limit: 1000 }).await.unwrap().len()
}

async fn state(store: &SqlStationStore, n: u8) -> CertificateState {
    store.certificate(&serial(n)).await.unwrap().unwrap().state
}

#[tokio::test]
async fn devices_are_imported_whole_or_not_at_all() {
    let home = Home::new();
    let store = open(&home).await;
    answer(&store, vec![StationWrite::ImportDevices(vec![device(1), device(2)])]).await.unwrap();
    let clash = |id: u8, serial: u8, identity: u8| DeviceRow {
        id: device(id).id,
        serial: device(serial).serial,
        identity: device(identity).identity,
        ..device(id)
    };
    let import = vec![
        device(3),
        clash(1, 9, 9),
        clash(9, 2, 9),
        clash(8, 8, 1),
        clash(1, 8, 1),
        clash(8, 1, 1),
        device(1),
    ];
    let before = rows(&store).await;
    let refused = answer(&store, vec![StationWrite::ImportDevices(import)]).await;
    let Err(Refusal::DeviceConflicts(conflicts)) = refused else { panic!("{refused:?}") };
    let found: Vec<_> = conflicts.iter().map(|c| (c.index, c.kind, c.existing.as_str())).collect();
    assert_eq!(
        found,
        [
            (1, ImportConflictKind::IdUnderOtherKey, "ZM-001"),
            (2, ImportConflictKind::SerialUnderOtherKey, "ZM-002"),
            (3, ImportConflictKind::KeyOfOtherDevice, "ZM-001"),
            (4, ImportConflictKind::IdSerialMismatch, "ZM-001"),
            (5, ImportConflictKind::IdSerialMismatch, "ZM-001"),
        ]
    );
    assert_eq!(store.device(&device(3).id).await.unwrap(), None);
    assert_eq!(rows(&store).await, before, "no row without its operation");
    // Two rows of one import can clash with each other.
    let twins = vec![device(5), clash(5, 6, 6)];
    assert!(answer(&store, vec![StationWrite::ImportDevices(twins)]).await.is_err());
}

#[tokio::test]
async fn a_device_is_found_by_each_of_its_names_and_keeps_what_is_known() {
    let home = Home::new();
    let store = open(&home).await;
    let mut known = device(1);
    known.bed = Some(BedId::parse("ICU-3B").unwrap());
    known.unit = Some(MeasurementUnit::Imperial);
    answer(&store, vec![StationWrite::ImportDevices(vec![known.clone(), device(2)])])
        .await
        .unwrap();
    assert_eq!(store.device(&known.id).await.unwrap().as_ref(), Some(&known));
    assert_eq!(store.device_by_serial(&known.serial).await.unwrap().as_ref(), Some(&known));
    assert_eq!(store.device_by_identity(&known.identity).await.unwrap().as_ref(), Some(&known));

    // Importing again takes over what is new and forgets nothing.
    let mut again = device(1);
    again.label = Some(DeviceLabel::parse("Monitor 1").unwrap());
    again.model = Some(DeviceModel::parse("Z Monitor 12").unwrap());
    answer(&store, vec![StationWrite::ImportDevices(vec![again.clone()])]).await.unwrap();
    (known.label, known.model) = (again.label, again.model);
    assert_eq!(store.device(&known.id).await.unwrap().as_ref(), Some(&known));

    let settings = DeviceSettings {
        label: None,
        bed: Some(BedId::parse("ICU-4").unwrap()),
        unit: MeasurementUnit::Metric,
        language: Language::DE,
        sync_interval: SyncInterval::from_secs(20).unwrap(),
    };
    let id = known.id.clone();
    let assign = StationWrite::Assign { device_id: id.clone(), settings };
    let status = DeviceStatus::Decommissioned;
    let retire = StationWrite::DeviceStatus { device_id: id.clone(), status };
    answer(&store, vec![assign, retire]).await.unwrap();
    let row = store.device(&id).await.unwrap().unwrap();
    assert_eq!((row.label, row.status), (None, DeviceStatus::Decommissioned));
    assert_eq!(row.bed.unwrap().as_str(), "ICU-4");
    assert_eq!(row.language, Some(Language::DE));
    assert_eq!(row.sync_interval.map(SyncInterval::as_secs), Some(20));

    let at = async |bed| store.devices_at_bed(&BedId::parse(bed).unwrap()).await.unwrap();
    assert_eq!(at("ICU-4").await.iter().map(|row| &row.id).collect::<Vec<_>>(), [&id]);
    assert!(at("ICU-5").await.is_empty());
    let page = |offset, limit| store.devices(Page { offset, limit });
    assert_eq!(page(0, 10).await.unwrap().len(), 2);
    assert_eq!(page(1, 1).await.unwrap()[0].id, device(2).id);
    assert!(page(2, 10).await.unwrap().is_empty());

    let checkpoint = |text: &str| StationWrite::PeerCheckpoint {
        device_id: id.clone(),
        checkpoint: text.to_owned(),
    };
    // Out of service is decided in the transaction that would issue.
    let writes = vec![StationWrite::InsertCertificate(CertificateRow {
        device_id: id.clone(),
        ..certificate(1)
    })];
    assert_eq!(answer(&store, writes).await, Err(Refusal::DeviceDecommissioned));
    assert_eq!(store.certificate(&serial(1)).await.unwrap(), None);

    assert_eq!(store.peer_checkpoint(&id).await.unwrap(), None);
    // Two requests of a device were answered at a time: what is kept never moves back.
    let [one, two, other] = [(1, 1), (2, 2), (2, 3)].map(|(seq, hash)| signed_heads(seq, hash));
    answer(&store, vec![checkpoint(&two), checkpoint(&one), checkpoint(&other)]).await.unwrap();
    assert_eq!(store.peer_checkpoint(&id).await.unwrap(), Some(two));
    let three = signed_heads(3, 4);
    answer(&store, vec![checkpoint(&three)]).await.unwrap();
    assert_eq!(store.peer_checkpoint(&id).await.unwrap(), Some(three));
    let forget = StationWrite::ForgetPeerCheckpoint { device_id: id.clone() };
    answer(&store, vec![forget]).await.unwrap();
    assert_eq!(store.peer_checkpoint(&id).await.unwrap(), None);
    answer(&store, vec![checkpoint(&one)]).await.unwrap();
    assert_eq!(store.peer_checkpoint(&id).await.unwrap(), Some(one), "a new log begins");
}

/// A device's checkpoint over one lane.
fn signed_heads(seq: u64, hash: u8) -> String {
    let lane = "device:ZM-001".to_owned();
    let statement = zmon_wire::checkpoint::Checkpoint {
        rows: seq,
        heads: vec![zmon_wire::checkpoint::LaneHead { hash: [hash; 32], lane, seq }],
        previous: None,
        timestamp: None,
        v: zmon_wire::kind::V1::default(),
    };
    let payload = zmon_wire::strict::to_vec(&statement).unwrap();
    let key = crate::common::identity(72);
    jws::sign(Typ::Checkpoint, None, &payload, &key, &mut seeded(73)).unwrap()
}

#[tokio::test]
async fn a_devices_counter_only_rises_and_each_value_counts_once() {
    let home = Home::new();
    let store = open(&home).await;
    let raise = |n: u8, counter| StationWrite::RecoveryCounter { device_id: device(n).id, counter };
    assert_eq!(store.recovery_counter(&device(1).id).await.unwrap(), 0);
    answer(&store, vec![raise(1, 3), raise(2, 1)]).await.unwrap();
    for counter in [3, 2] {
        let refused = answer(&store, vec![raise(1, counter)]).await.unwrap_err();
        assert_eq!(refused, Refusal::CounterBehind { latest: 3 });
    }
    // It goes with the rest of its record, or not at all.
    let refused = answer(&store, vec![raise(1, 4), raise(2, 1)]).await.unwrap_err();
    assert_eq!(refused, Refusal::CounterBehind { latest: 1 });
    answer(&store, vec![raise(1, 4)]).await.unwrap();
    drop(store);
    let store = open(&home).await;
    let refused = answer(&store, vec![raise(1, 4)]).await.unwrap_err();
    assert_eq!(refused, Refusal::CounterBehind { latest: 4 });
    // Not by SQL either.
    let mut sql = home.sql(zmon_persistence::STATION_DATABASE).await;
    for statement in ["UPDATE recovery_counters SET counter = 1", "DELETE FROM recovery_counters"] {
        assert!(sqlx::query(statement).execute(&mut sql).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn a_session_of_the_device_itself_has_no_operator() {
    let home = Home::new();
    let store = open(&home).await;
    let own = SessionRow { operator: None, ..reservation(1, 1000) };
    answer(&store, vec![StationWrite::Reserve(own.clone())]).await.unwrap();
    assert_eq!(store.session(&own.id).await.unwrap(), Some(own.clone()));
    let refused = answer(&store, vec![StationWrite::Reserve(reservation(2, 1000))]).await;
    assert_eq!(refused, Err(Refusal::DeviceReserved(Box::new(own))), "it keeps the device");
}

#[tokio::test]
async fn the_first_reservation_wins_and_the_second_learns_whose_it_is() {
    let home = Home::new();
    let store = open(&home).await;
    let first = reservation(1, 1000);
    answer(&store, vec![StationWrite::Reserve(first.clone())]).await.unwrap();
    let second = reservation(2, 1900);
    let refused = answer(&store, vec![StationWrite::Reserve(second.clone())]).await;
    assert_eq!(refused, Err(Refusal::DeviceReserved(Box::new(first.clone()))));
    assert_eq!(store.reservation(&device_id()).await.unwrap(), Some(first.clone()));
    assert_eq!(store.session(&second.id).await.unwrap(), None);

    // After its last second it no longer holds the device.
    let late = reservation(3, 1901);
    answer(&store, vec![StationWrite::Reserve(late.clone())]).await.unwrap();
    let lost = store.session(&first.id).await.unwrap().unwrap();
    assert_eq!((lost.phase, lost.reserved), (SessionPhase::Released, false));
    assert_eq!(store.reservation(&device_id()).await.unwrap(), Some(late.clone()));
    assert_eq!(store.open_sessions().await.unwrap(), std::slice::from_ref(&late));

    // Given back, it is free at once; giving it back twice is the same.
    let release = || StationWrite::Release { session_id: late.id };
    answer(&store, vec![release()]).await.unwrap();
    answer(&store, vec![release()]).await.unwrap();
    assert_eq!(store.reservation(&device_id()).await.unwrap(), None);
    answer(&store, vec![StationWrite::Reserve(second)]).await.unwrap();
    assert_eq!(store.open_sessions().await.unwrap().len(), 2, "the other one has not ended");
}

#[tokio::test]
async fn a_finished_session_keeps_its_phase_when_its_reservation_runs_out() {
    let home = Home::new();
    let store = open(&home).await;
    let paired =
        StationWrite::Session { session_id: session(1), phase: SessionPhase::Paired, error: None };
    answer(&store, vec![StationWrite::Reserve(reservation(1, 1000)), paired]).await.unwrap();
    answer(&store, vec![StationWrite::Reserve(reservation(2, 2000))]).await.unwrap();
    let first = store.session(&session(1)).await.unwrap().unwrap();
    assert_eq!((first.phase, first.reserved), (SessionPhase::Paired, false));
}

#[tokio::test]
async fn a_token_is_claimed_once_and_for_ever() {
    let home = Home::new();
    let store = open(&home).await;
    let claim = |by: u8| StationWrite::ClaimToken {
        session_id: session(by),
        token_id: TokenId::from_bytes([9; 16]),
    };
    answer(&store, vec![claim(1)]).await.unwrap();
    answer(&store, vec![claim(1)]).await.unwrap();
    assert_eq!(answer(&store, vec![claim(2)]).await, Err(Refusal::TokenUsed(session(1))));
    let claimed = async |n: u8| store.claimed_by(&TokenId::from_bytes([n; 16])).await.unwrap();
    assert_eq!((claimed(9).await, claimed(8).await), (Some(session(1)), None));
    drop(store);
    let store = open(&home).await;
    let mut row = reservation(3, 5000);
    row.token_id = TokenId::from_bytes([9; 16]);
    let refused = answer(&store, vec![StationWrite::Reserve(row)]).await;
    assert_eq!(refused, Err(Refusal::TokenUsed(session(1))));
    let mut sql = home.sql(STATION_DATABASE).await;
    for statement in
        ["DELETE FROM claimed_tokens", "UPDATE claimed_tokens SET session_id = zeroblob(16)"]
    {
        assert!(sqlx::query(statement).execute(&mut sql).await.is_err());
    }
}

#[tokio::test]
async fn typed_tries_are_held_to_a_window_and_an_hour() {
    let home = Home::new();
    let store = open(&home).await;
    let tess = OperatorId::parse("tess").unwrap();
    let window = |n: u8| WindowId::from_bytes([n; 16]);
    let spend = |n: u8, w: u8, seconds| StationWrite::SpendTry {
        session_id: session(n),
        operator: tess.clone(),
        window_id: window(w),
        at: at(seconds),
    };
    for n in 0..5 {
        answer(&store, vec![spend(n, 1, 1000)]).await.unwrap();
    }
    assert_eq!(answer(&store, vec![spend(5, 1, 1000)]).await, Err(Refusal::TriesSpent));
    drop(store);
    let store = open(&home).await;
    let tries = async |w: u8, seconds| {
        store.typed_tries(&tess, &WindowId::from_bytes([w; 16]), at(seconds)).await.unwrap()
    };
    let first = tries(1, 1001).await;
    assert_eq!((first.window, first.hour), (5, 5));
    // Fifteen more in other windows; one that claimed its window is no guess.
    for n in 10..25 {
        answer(&store, vec![spend(n, n / 5, 2000)]).await.unwrap();
    }
    assert_eq!(answer(&store, vec![spend(30, 9, 2000)]).await, Err(Refusal::TriesSpent));
    let token_id = TokenId::from_bytes([3; 16]);
    let claim = StationWrite::ClaimToken { session_id: session(15), token_id };
    answer(&store, vec![claim]).await.unwrap();
    assert_eq!(tries(3, 2000).await.hour, 19);
    answer(&store, vec![spend(31, 9, 2000)]).await.unwrap();
    assert_eq!(answer(&store, vec![spend(32, 9, 2000)]).await, Err(Refusal::TriesSpent));
    // Another operator starts afresh, and so does everybody an hour later.
    let tom = StationWrite::SpendTry {
        session_id: session(40),
        operator: OperatorId::parse("tom").unwrap(),
        window_id: window(9),
        at: at(2000),
    };
    answer(&store, vec![tom]).await.unwrap();
    assert_eq!(tries(9, 5600).await.hour, 0);
    answer(&store, vec![spend(41, 9, 5600)]).await.unwrap();
}

#[tokio::test]
async fn a_session_moves_until_it_has_ended_and_keeps_its_answer() {
    let home = Home::new();
    let store = open(&home).await;
    let to = |phase, error| StationWrite::Session { session_id: session(1), phase, error };
    let unknown = answer(&store, vec![to(SessionPhase::Issuing, None)]).await;
    assert_eq!(unknown, Err(Refusal::SessionEnded(None)));
    answer(&store, vec![StationWrite::Reserve(reservation(1, 1000))]).await.unwrap();
    let code = ErrorCode::DeviceUnreachable;
    answer(&store, vec![to(SessionPhase::Issuing, Some(code))]).await.unwrap();
    answer(&store, vec![to(SessionPhase::Failed, None)]).await.unwrap();
    let late = answer(&store, vec![to(SessionPhase::Paired, None)]).await;
    assert_eq!(late, Err(Refusal::SessionEnded(Some(SessionPhase::Failed))));
    let session_id = session(1);
    let kept = StationWrite::SessionAnswer { session_id, answer: b"{}".to_vec() };
    let deadline = StationWrite::SessionDeadline { session_id, expires_at: at(7777) };
    answer(&store, vec![kept, deadline]).await.unwrap();
    drop(store);
    let row = open(&home).await.session(&session_id).await.unwrap().unwrap();
    assert_eq!((row.error, row.answer.as_deref()), (Some(code), Some(b"{}".as_slice())));
    assert_eq!(row.expires_at, at(7777));
}

/// D13 from issue to revocation.
#[tokio::test]
async fn a_certificate_lives_as_the_design_says() {
    let home = Home::new();
    let store = open(&home).await;
    assert_eq!(store.config_version(&device_id()).await.unwrap(), 0);
    for n in [1, 2] {
        answer(&store, vec![StationWrite::InsertCertificate(certificate(n))]).await.unwrap();
    }
    assert_eq!(store.config_version(&device_id()).await.unwrap(), 2);
    assert_eq!(store.certificate(&serial(1)).await.unwrap(), Some(certificate(1)));
    assert_eq!(store.certificate_of_session(&session(2)).await.unwrap(), Some(certificate(2)));
    assert_eq!(store.pending_since(at(1001)).await.unwrap(), [certificate(1)]);

    let mut twin = certificate(3);
    twin.session = session(1);
    let refused = answer(&store, vec![StationWrite::InsertCertificate(twin)]).await;
    assert_eq!(refused, Err(Refusal::CertificateExists(Box::new(certificate(1)))));

    answer(&store, vec![moved(1, Pending, Current, 1100)]).await.unwrap();
    let again = answer(&store, vec![moved(1, Pending, Current, 1200)]).await;
    let standing = Refusal::CertificateState { serial: serial(1), state: Some(Current) };
    assert_eq!(again, Err(standing));
    let second = answer(&store, vec![moved(2, Pending, Current, 1200)]).await;
    assert_eq!(second, Err(Refusal::OtherCurrent(serial(1))));
    let unknown = answer(&store, vec![moved(9, Pending, Current, 1200)]).await;
    assert_eq!(unknown, Err(Refusal::CertificateState { serial: serial(9), state: None }));

    // The commit of the second one: both moves in one record.
    let swap = vec![moved(1, Current, Superseded, 1300), moved(2, Pending, Current, 1300)];
    answer(&store, swap).await.unwrap();
    assert_eq!((state(&store, 1).await, state(&store, 2).await), (Superseded, Current));
    answer(&store, vec![moved(1, Superseded, Revoked, 1400)]).await.unwrap();
    let row = store.certificate(&serial(1)).await.unwrap().unwrap();
    assert_eq!(row.committed_at, Some(at(1100)), "kept for ever");
    assert_eq!(row.revoked, Some((at(1400), RevocationReason::Superseded)));
    let of = |state| store.certificates_of_device(device_id_ref(), state);
    assert_eq!(of(Current).await.unwrap().len(), 1);
    assert!(of(Pending).await.unwrap().is_empty());

    let mut sql = home.sql(STATION_DATABASE).await;
    for statement in [
        "UPDATE certificates SET state = 'current' WHERE state = 'revoked'",
        "UPDATE certificates SET state = 'revoked' WHERE state = 'current'",
        "DELETE FROM certificates",
        "INSERT INTO certificates SELECT x'05', x'05050505050505050505050505050505', device_id, \
         identity_key, 5, 'current', der, 1, 2, 3, 4, NULL, NULL FROM certificates LIMIT 1",
    ] {
        assert!(sqlx::query(statement).execute(&mut sql).await.is_err(), "{statement}");
    }
}

fn device_id_ref() -> &'static DeviceId {
    static ID: std::sync::LazyLock<DeviceId> = std::sync::LazyLock::new(device_id);
    &ID
}

#[tokio::test]
async fn an_abort_is_too_late_after_the_commit() {
    let home = Home::new();
    let store = open(&home).await;
    for n in [1, 2] {
        answer(&store, vec![StationWrite::InsertCertificate(certificate(n))]).await.unwrap();
    }
    let abort = |n| StationWrite::AbortPending { serial: serial(n), at: at(1500) };
    answer(&store, vec![abort(1)]).await.unwrap();
    answer(&store, vec![abort(1)]).await.unwrap();
    let row = store.certificate(&serial(1)).await.unwrap().unwrap();
    assert_eq!(row.revoked, Some((at(1500), RevocationReason::Aborted)));
    answer(&store, vec![moved(2, Pending, Current, 1100)]).await.unwrap();
    let late = answer(&store, vec![abort(2)]).await;
    let standing = Refusal::CertificateState { serial: serial(2), state: Some(Current) };
    assert_eq!(late, Err(standing));
    let unknown = answer(&store, vec![abort(9)]).await;
    assert_eq!(unknown, Err(Refusal::CertificateState { serial: serial(9), state: None }));
}

#[tokio::test]
async fn revocation_lists_count_up_without_gaps() {
    let home = Home::new();
    let store = open(&home).await;
    let list = |number| CrlRow {
        number,
        this_update: at(10),
        next_update: at(20),
        der: vec![u8::try_from(number).unwrap(); 30],
    };
    assert_eq!(store.latest_crl().await.unwrap(), None);
    for (number, latest) in [(2, 0), (0, 0)] {
        let refused = answer(&store, vec![StationWrite::PublishCrl(list(number))]).await;
        assert_eq!(refused, Err(Refusal::CrlBehind { latest }));
    }
    answer(&store, vec![StationWrite::PublishCrl(list(1))]).await.unwrap();
    answer(&store, vec![StationWrite::PublishCrl(list(2))]).await.unwrap();
    let refused = answer(&store, vec![StationWrite::PublishCrl(list(2))]).await;
    assert_eq!(refused, Err(Refusal::CrlBehind { latest: 2 }));
    assert_eq!(store.latest_crl().await.unwrap(), Some(list(2)));

    for n in [1, 2] {
        answer(&store, vec![StationWrite::InsertCertificate(certificate(n))]).await.unwrap();
        let abort = StationWrite::AbortPending { serial: serial(n), at: at(1500) };
        answer(&store, vec![abort]).await.unwrap();
    }
    let revoked = store.revocations(at(9000)).await.unwrap();
    assert_eq!(revoked.iter().map(|row| row.serial).collect::<Vec<_>>(), [serial(1), serial(2)]);
    assert!(store.revocations(at(9001)).await.unwrap().is_empty(), "expired ones need no list");
}

#[tokio::test]
async fn a_refused_record_leaves_no_trace() {
    let home = Home::new();
    let store = open(&home).await;
    answer(&store, vec![StationWrite::InsertCertificate(certificate(1))]).await.unwrap();
    let before = rows(&store).await;
    let writes = vec![
        StationWrite::ImportDevices(vec![device(1)]),
        StationWrite::Reserve(reservation(1, 1000)),
        moved(1, Current, Superseded, 1100),
    ];
    assert!(answer(&store, writes).await.is_err());
    assert_eq!(store.device(&device(1).id).await.unwrap(), None);
    assert_eq!(store.session(&session(1)).await.unwrap(), None);
    assert_eq!(rows(&store).await, before);
}

#[tokio::test]
async fn without_an_audit_row_there_is_no_operation() {
    for kind in ["ABORT", "ROLLBACK"] {
        let home = Home::new();
        let store = open(&home).await;
        let mut sql = home.sql(STATION_DATABASE).await;
        run(
            &mut sql,
            &format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON security_audit_log \
                 BEGIN SELECT RAISE({kind}, 'the log is full'); END"
            ),
        )
        .await;
        let write = record(vec![StationWrite::ImportDevices(vec![device(1)])]);
        for _ in 0..2 {
            let answer = store.commit(&now(), &write).await;
            assert!(matches!(answer, Err(StoreError::AuditUnavailable(_))), "{kind}: {answer:?}");
            assert_eq!(store.device(&device(1).id).await.unwrap(), None);
        }
        run(&mut sql, "DROP TRIGGER refuse").await;
        store.commit(&now(), &write).await.unwrap().unwrap();
        assert!(store.device(&device(1).id).await.unwrap().is_some(), "{kind}: resumes");
    }
}

/// T5: the race is decided by the database, whoever asks and however many.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_at_once_exactly_one_wins() {
    let home = Home::new();
    let store = Arc::new(open(&home).await);
    for round in 0..4_u8 {
        let token_id = TokenId::from_bytes([200 + round; 16]);
        let winners = race(&store, move |n| {
            let session_id = SessionId::from_bytes([n; 16]);
            vec![StationWrite::ClaimToken { session_id, token_id }]
        })
        .await;
        assert_eq!(winners, 1, "claims of one token");
    }
    let winners = race(&store, |n| vec![StationWrite::Reserve(reservation(n, 1000))]).await;
    assert_eq!(winners, 1, "reservations of one device");
    let winners = race(&store, |n| {
        let mut row = certificate(n + 1);
        row.session = session(255);
        vec![StationWrite::InsertCertificate(row)]
    })
    .await;
    assert_eq!(winners, 1, "certificates of one session");
    let issued = store.certificate_of_session(&session(255)).await.unwrap().unwrap().serial;
    let commit = move |_| {
        let (from, to) = (Pending, Current);
        vec![StationWrite::Certificate { serial: issued, from, to, at: at(1100), reason: None }]
    };
    assert_eq!(race(&store, commit).await, 1, "commits of one certificate");
    // 4 + 3 winners wrote a row each, the losers none.
    assert_eq!(rows(&store).await, 7);
    assert!(store.verify_audit().await.unwrap().damage.is_none());
}

async fn race(store: &Arc<SqlStationStore>, writes: impl Fn(u8) -> Vec<StationWrite>) -> usize {
    let start = Arc::new(tokio::sync::Barrier::new(64));
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let (store, start, writes) = (Arc::clone(store), Arc::clone(&start), writes(n));
            tokio::spawn(async move {
                start.wait().await;
                store.commit(&now(), &record(writes)).await.unwrap().is_ok()
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    winners
}

/// A request that goes away takes its record with it, or leaves it whole.
#[tokio::test]
async fn a_commit_that_is_dropped_half_way_is_whole_or_not_there() {
    let home = Home::new();
    let store = open(&home).await;
    for polls in 0..60_u8 {
        let write = record(vec![StationWrite::ImportDevices(vec![device(polls)])]);
        let moment = now();
        let mut commit = store.commit(&moment, &write);
        for _ in 0..polls {
            let done = std::future::poll_fn(|cx| Poll::Ready(commit.as_mut().poll(cx).is_ready()));
            if done.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let last = record(vec![StationWrite::ImportDevices(vec![device(100)])]);
    store.commit(&now(), &last).await.unwrap().unwrap();
    let devices = store.devices(Page { offset: 0, limit: 1000 }).await.unwrap();
    assert!(!devices.is_empty());
    assert_eq!(rows(&store).await, devices.len(), "a row for each device and no other");
    assert!(store.verify_audit().await.unwrap().damage.is_none());
}

#[tokio::test]
async fn the_log_is_paged_verified_and_signed() {
    let home = Home::new();
    let key = Arc::new(crate::common::identity(70));
    let store = open(&home).await.with_checkpoints(key.clone(), Arc::new(Seeded));
    let tess = Actor::Operator { id: OperatorId::parse("tess").unwrap(), role: Role::Technician };
    let refused =
        AuditEvent::failed(EventType::LoginRefused, tess.clone(), ErrorCode::AuthenticationFailed)
            .with("source", "10.0.0.9");
    let audit = vec![refused, AuditEvent::new(EventType::ProvisioningFailed, Actor::Peer)];
    store.commit(&now(), &StationRecord { audit, writes: vec![] }).await.unwrap().unwrap();
    let page = store.audit(AuditPage { after: 0, limit: 10 }).await.unwrap();
    assert_eq!(page[0].lane, "station:cs-1");
    assert_eq!((page[0].sequence, Some(page[0].timestamp_ms)), (1, now().millis));
    assert_eq!((page[0].actor.clone(), page[0].device_id.clone()), (tess, None));
    assert_eq!(page[0].detail, [("source".to_owned(), "10.0.0.9".to_owned())]);
    assert_eq!(
        (page[1].actor.clone(), page[1].event),
        (Actor::Peer, EventType::ProvisioningFailed)
    );
    assert_eq!(store.audit(AuditPage { after: 1, limit: 10 }).await.unwrap().len(), 1);
    // Nobody knew the device; the view's column is NOT NULL all the same.
    let shown: String = sqlx::query_scalar("SELECT device_id FROM provisioning_events")
        .fetch_one(&mut home.sql(STATION_DATABASE).await)
        .await
        .unwrap();
    assert_eq!(shown, "unknown");

    assert_eq!(store.checkpoint().await.unwrap(), None);
    answer(&store, vec![StationWrite::InsertCertificate(certificate(1))]).await.unwrap();
    answer(&store, vec![moved(1, Pending, Current, 1100)]).await.unwrap();
    let checkpoint = store.checkpoint().await.unwrap().expect("one at each pairing");
    assert!(store.write_checkpoint(&now()).await.unwrap().is_some());
    let report = store.verify_audit().await.unwrap();
    assert_eq!((report.rows, report.damage), (4, None));
    assert_eq!(report.heads[0].1, 4);

    // Offline, with the public key only.
    let log = AuditLog::open_station(&home.path()).await.unwrap().signed_by(key.public().clone());
    assert_eq!(log.verify_against(&[checkpoint]).await.unwrap().damage(), None);
    let stranger = log.signed_by(crate::common::identity(71).public().clone());
    assert!(stranger.verify().await.unwrap().damage().is_some());
    let copy = home.copy();
    let unsigned = open(&copy).await;
    assert_eq!(unsigned.write_checkpoint(&now()).await.unwrap(), None);
}

#[tokio::test]
async fn damaged_rows_are_errors_and_not_values() {
    let home = Home::new();
    let store = open(&home).await;
    answer(&store, vec![StationWrite::ImportDevices(vec![device(1)])]).await.unwrap();
    answer(&store, vec![StationWrite::Reserve(reservation(1, 1000))]).await.unwrap();
    answer(&store, vec![StationWrite::InsertCertificate(certificate(1))]).await.unwrap();
    let mut sql = home.sql(STATION_DATABASE).await;
    run(&mut sql, "PRAGMA ignore_check_constraints = ON").await;
    for edit in ["bed = 'not a bed'", "status = 'gone'", "sync_interval = 0", "registered_at = -1"]
    {
        run(&mut sql, &format!("UPDATE devices SET {edit}")).await;
        let found = store.device(&device(1).id).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{edit}: {found:?}");
        run(
            &mut sql,
            "UPDATE devices SET bed = NULL, status = 'active', sync_interval = NULL, \
             registered_at = 1",
        )
        .await;
    }
    run(&mut sql, "UPDATE sessions SET phase = 'x', error = 'y'").await;
    assert!(matches!(store.session(&session(1)).await, Err(StoreError::Corrupt(_))));
    run(&mut sql, "UPDATE certificates SET state = 'x'").await;
    assert!(matches!(store.certificate(&serial(1)).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let home = Home::new();
    let store = open(&home).await;
    let writes = vec![
        StationWrite::ImportDevices(vec![device(1)]),
        StationWrite::Reserve(reservation(1, 1000)),
        StationWrite::InsertCertificate(certificate(1)),
    ];
    answer(&store, writes).await.unwrap();
    drop(store);
    let store = open(&home).await;
    assert_eq!(store.device(&device(1).id).await.unwrap(), Some(device(1)));
    assert_eq!(store.session(&session(1)).await.unwrap(), Some(reservation(1, 1000)));
    assert_eq!(store.certificate(&serial(1)).await.unwrap(), Some(certificate(1)));
    store.commit(&now(), &StationRecord::default()).await.unwrap().unwrap();
    assert_eq!(rows(&store).await, 1);
}
