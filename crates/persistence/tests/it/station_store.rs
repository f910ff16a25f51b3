//! The station's store: verdicts inside one transaction, and a schema that holds even without them.

use std::sync::Arc;
use std::task::Poll;

use crate::common::{at, device_id, now, seeded, session};
use crate::memory::{Memory, on_both_databases, rows};
use rand_core::CryptoRng;
use zmon_crypto::IdentityKey;
use zmon_crypto::jws::{self, Typ};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, InstanceName, OperatorId, Serial,
    SessionId, Thumbprint, TokenId, WindowId,
};
use zmon_domain::role::{Actor, Role};
use zmon_domain::settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval};
use zmon_persistence::SqlStationStore;
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_station::ports::{
    AuditPage, CertificateRow, CrlRow, DeviceRow, DeviceStatus, Entropy, ImportConflictKind, Page,
    Refusal, RevocationReason, SessionRow, StationRecord, StationStore, StationWrite, StoreError,
};

use CertificateState::{Current, Pending, Revoked, Superseded};

pub(crate) struct Seeded;

impl Entropy for Seeded {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(seeded(60))
    }
}

on_both_databases! {
    devices_are_imported_whole_or_not_at_all,
    a_device_is_found_by_each_of_its_names_and_keeps_what_is_known,
    a_devices_counter_only_rises_and_each_value_counts_once,
    a_session_of_the_device_itself_has_no_operator,
    the_first_reservation_wins_and_the_second_learns_whose_it_is,
    a_finished_session_keeps_its_phase_when_its_reservation_runs_out,
    a_token_is_claimed_once_and_for_ever,
    typed_tries_are_held_to_a_window_and_an_hour,
    a_session_moves_until_it_has_ended_and_keeps_its_answer,
    a_certificate_lives_as_the_design_says,
    an_abort_is_too_late_after_the_commit,
    revocation_lists_count_up_without_gaps,
    a_refused_record_leaves_no_trace,
    without_an_audit_row_there_is_no_operation,
    of_64_at_once_exactly_one_wins,
    a_commit_that_is_dropped_half_way_is_whole_or_not_there,
    the_log_is_paged_verified_and_signed,
    damaged_rows_are_errors_and_not_values,
    everything_is_there_after_a_restart,
}

pub(crate) fn device(n: u8) -> DeviceRow {
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

pub(crate) fn reservation(n: u8, opened_at: i64) -> SessionRow {
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
        owner: Some(InstanceName::default()),
        epoch: 1,
        lease_until: at(opened_at + 15),
        enrolment: None,
    }
}

fn serial(n: u8) -> Serial {
    Serial::from_bytes(&[n, 7, 7, 7]).unwrap()
}

pub(crate) fn certificate(n: u8) -> CertificateRow {
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

async fn state(store: &SqlStationStore, n: u8) -> CertificateState {
    store.certificate(&serial(n)).await.unwrap().unwrap().state
}

async fn devices_are_imported_whole_or_not_at_all(memory: &Memory) {
    let store = memory.open().await;
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

async fn a_device_is_found_by_each_of_its_names_and_keeps_what_is_known(memory: &Memory) {
    let store = memory.open().await;
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

async fn a_devices_counter_only_rises_and_each_value_counts_once(memory: &Memory) {
    let store = memory.open().await;
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
    let store = memory.open().await;
    let refused = answer(&store, vec![raise(1, 4)]).await.unwrap_err();
    assert_eq!(refused, Refusal::CounterBehind { latest: 4 });
    // Not by SQL either.
    let mut sql = memory.sql().await;
    for statement in ["UPDATE recovery_counters SET counter = 1", "DELETE FROM recovery_counters"] {
        assert!(sql.attempt(statement).await.is_err(), "{statement}");
    }
}

async fn a_session_of_the_device_itself_has_no_operator(memory: &Memory) {
    let store = memory.open().await;
    let own = SessionRow { operator: None, ..reservation(1, 1000) };
    answer(&store, vec![StationWrite::Reserve(own.clone())]).await.unwrap();
    assert_eq!(store.session(&own.id).await.unwrap(), Some(own.clone()));
    let refused = answer(&store, vec![StationWrite::Reserve(reservation(2, 1000))]).await;
    assert_eq!(refused, Err(Refusal::DeviceReserved(Box::new(own))), "it keeps the device");
}

async fn the_first_reservation_wins_and_the_second_learns_whose_it_is(memory: &Memory) {
    let store = memory.open().await;
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

async fn a_finished_session_keeps_its_phase_when_its_reservation_runs_out(memory: &Memory) {
    let store = memory.open().await;
    let paired =
        StationWrite::Session { session_id: session(1), phase: SessionPhase::Paired, error: None };
    answer(&store, vec![StationWrite::Reserve(reservation(1, 1000)), paired]).await.unwrap();
    answer(&store, vec![StationWrite::Reserve(reservation(2, 2000))]).await.unwrap();
    let first = store.session(&session(1)).await.unwrap().unwrap();
    assert_eq!((first.phase, first.reserved), (SessionPhase::Paired, false));
}

async fn a_token_is_claimed_once_and_for_ever(memory: &Memory) {
    let store = memory.open().await;
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
    let store = memory.open().await;
    let mut row = reservation(3, 5000);
    row.token_id = TokenId::from_bytes([9; 16]);
    let refused = answer(&store, vec![StationWrite::Reserve(row)]).await;
    assert_eq!(refused, Err(Refusal::TokenUsed(session(1))));
    let mut sql = memory.sql().await;
    for statement in
        ["DELETE FROM claimed_tokens", "UPDATE claimed_tokens SET session_id = token_id"]
    {
        assert!(sql.attempt(statement).await.is_err());
    }
}

async fn typed_tries_are_held_to_a_window_and_an_hour(memory: &Memory) {
    let store = memory.open().await;
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
    let store = memory.open().await;
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

async fn a_session_moves_until_it_has_ended_and_keeps_its_answer(memory: &Memory) {
    let store = memory.open().await;
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
    let row = memory.open().await.session(&session_id).await.unwrap().unwrap();
    assert_eq!((row.error, row.answer.as_deref()), (Some(code), Some(b"{}".as_slice())));
    assert_eq!(row.expires_at, at(7777));
}

/// D13 from issue to revocation.
async fn a_certificate_lives_as_the_design_says(memory: &Memory) {
    let store = memory.open().await;
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

    let mut sql = memory.sql().await;
    let [serial, session] = ["05".to_owned(), "05".repeat(16)].map(|hex| sql.bytes(&hex));
    let second_current = format!(
        "INSERT INTO certificates SELECT {serial}, {session}, device_id, identity_key, 5, 'current', \
         der, 1, 2, 3, 4, NULL, NULL FROM certificates LIMIT 1"
    );
    for statement in [
        "UPDATE certificates SET state = 'current' WHERE state = 'revoked'",
        "UPDATE certificates SET state = 'revoked' WHERE state = 'current'",
        "DELETE FROM certificates",
        &second_current,
    ] {
        assert!(sql.attempt(statement).await.is_err(), "{statement}");
    }
}

fn device_id_ref() -> &'static DeviceId {
    static ID: std::sync::LazyLock<DeviceId> = std::sync::LazyLock::new(device_id);
    &ID
}

async fn an_abort_is_too_late_after_the_commit(memory: &Memory) {
    let store = memory.open().await;
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

async fn revocation_lists_count_up_without_gaps(memory: &Memory) {
    let store = memory.open().await;
    let list = |number| CrlRow {
        number,
        this_update: at(10),
        next_update: at(20),
        der: vec![u8::try_from(number).unwrap(); 30],
    };
    assert_eq!(store.latest_crl().await.unwrap(), None);
    assert_eq!(store.crl_number().await.unwrap(), 0);
    for (number, latest) in [(2, 0), (0, 0)] {
        let refused = answer(&store, vec![StationWrite::PublishCrl(list(number))]).await;
        assert_eq!(refused, Err(Refusal::CrlBehind { latest }));
    }
    answer(&store, vec![StationWrite::PublishCrl(list(1))]).await.unwrap();
    answer(&store, vec![StationWrite::PublishCrl(list(2))]).await.unwrap();
    let refused = answer(&store, vec![StationWrite::PublishCrl(list(2))]).await;
    assert_eq!(refused, Err(Refusal::CrlBehind { latest: 2 }));
    assert_eq!(store.latest_crl().await.unwrap(), Some(list(2)));
    assert_eq!(store.crl_number().await.unwrap(), 2);

    for n in [1, 2] {
        answer(&store, vec![StationWrite::InsertCertificate(certificate(n))]).await.unwrap();
        let abort = StationWrite::AbortPending { serial: serial(n), at: at(1500) };
        answer(&store, vec![abort]).await.unwrap();
    }
    let revoked = store.revocations(at(9000)).await.unwrap();
    assert_eq!(revoked.iter().map(|row| row.serial).collect::<Vec<_>>(), [serial(1), serial(2)]);
    assert!(store.revocations(at(9001)).await.unwrap().is_empty(), "expired ones need no list");
}

async fn a_refused_record_leaves_no_trace(memory: &Memory) {
    let store = memory.open().await;
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

async fn without_an_audit_row_there_is_no_operation(memory: &Memory) {
    let store = memory.open().await;
    let mut sql = memory.sql().await;
    for ((refuse, allow), n) in sql.refusals().iter().zip(1..) {
        sql.run(refuse).await;
        let write = record(vec![StationWrite::ImportDevices(vec![device(n)])]);
        for _ in 0..2 {
            let answer = store.commit(&now(), &write).await;
            assert!(matches!(answer, Err(StoreError::AuditUnavailable(_))), "{refuse}: {answer:?}");
            assert_eq!(store.device(&device(n).id).await.unwrap(), None);
        }
        sql.run(allow).await;
        store.commit(&now(), &write).await.unwrap().unwrap();
        assert!(store.device(&device(n).id).await.unwrap().is_some(), "{refuse}: resumes");
    }
}

/// T5: the race is decided by the database, whoever asks and however many.
async fn of_64_at_once_exactly_one_wins(memory: &Memory) {
    let store = [Arc::new(memory.open().await)];
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
    let [store] = store;
    let issued = store.certificate_of_session(&session(255)).await.unwrap().unwrap().serial;
    let commit = move |_| {
        let (from, to) = (Pending, Current);
        vec![StationWrite::Certificate { serial: issued, from, to, at: at(1100), reason: None }]
    };
    assert_eq!(race(&[Arc::clone(&store)], commit).await, 1, "commits of one certificate");
    // 4 + 3 winners wrote a row each, the losers none.
    assert_eq!(rows(&store).await, 7);
    assert!(store.verify_audit().await.unwrap().damage.is_none());
}

/// How many of 64 records that are committed at once, each to the next of the stores, are taken.
pub(crate) async fn race(
    stores: &[Arc<SqlStationStore>],
    writes: impl Fn(u8) -> Vec<StationWrite>,
) -> usize {
    let start = Arc::new(tokio::sync::Barrier::new(64));
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = Arc::clone(&stores[usize::from(n) % stores.len()]);
            let (start, writes) = (Arc::clone(&start), writes(n));
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
async fn a_commit_that_is_dropped_half_way_is_whole_or_not_there(memory: &Memory) {
    let store = memory.open().await;
    for polls in 0..60_u8 {
        let write = record(vec![StationWrite::ImportDevices(vec![device(polls)])]);
        let moment = now();
        let mut commit = store.commit(&moment, &write);
        let mut left = polls;
        std::future::poll_fn(|cx| {
            if left == 0 || commit.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            left -= 1;
            Poll::Pending
        })
        .await;
    }
    let last = record(vec![StationWrite::ImportDevices(vec![device(100)])]);
    store.commit(&now(), &last).await.unwrap().unwrap();
    let devices = store.devices(Page { offset: 0, limit: 1000 }).await.unwrap();
    assert!(!devices.is_empty());
    assert_eq!(rows(&store).await, devices.len(), "a row for each device and no other");
    assert!(store.verify_audit().await.unwrap().damage.is_none());
}

async fn the_log_is_paged_verified_and_signed(memory: &Memory) {
    let key = Arc::new(crate::common::identity(70));
    let store = memory.open().await.with_checkpoints(key.clone(), Arc::new(Seeded));
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
    let shown = memory.sql().await.text("SELECT device_id FROM provisioning_events").await;
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
    let log = memory.log().await.signed_by(key.public().clone());
    assert_eq!(log.verify_against(&[checkpoint]).await.unwrap().damage(), None);
    let stranger = log.signed_by(crate::common::identity(71).public().clone());
    assert!(stranger.verify().await.unwrap().damage().is_some());
    drop(store);
    let unsigned = memory.open().await;
    assert_eq!(unsigned.write_checkpoint(&now()).await.unwrap(), None);
}

async fn damaged_rows_are_errors_and_not_values(memory: &Memory) {
    let store = memory.open().await;
    answer(&store, vec![StationWrite::ImportDevices(vec![device(1)])]).await.unwrap();
    answer(&store, vec![StationWrite::Reserve(reservation(1, 1000))]).await.unwrap();
    answer(&store, vec![StationWrite::InsertCertificate(certificate(1))]).await.unwrap();
    let mut sql = memory.sql().await;
    sql.drop_checks().await;
    for edit in ["bed = 'not a bed'", "status = 'gone'", "sync_interval = 0", "registered_at = -1"]
    {
        sql.run(&format!("UPDATE devices SET {edit}")).await;
        let found = store.device(&device(1).id).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{edit}: {found:?}");
        sql.run(
            "UPDATE devices SET bed = NULL, status = 'active', sync_interval = NULL, \
             registered_at = 1",
        )
        .await;
    }
    sql.run("UPDATE sessions SET phase = 'x', error = 'y'").await;
    assert!(matches!(store.session(&session(1)).await, Err(StoreError::Corrupt(_))));
    sql.run("UPDATE certificates SET state = 'x'").await;
    assert!(matches!(store.certificate(&serial(1)).await, Err(StoreError::Corrupt(_))));
}

async fn everything_is_there_after_a_restart(memory: &Memory) {
    let store = memory.open().await;
    let writes = vec![
        StationWrite::ImportDevices(vec![device(1)]),
        StationWrite::Reserve(reservation(1, 1000)),
        StationWrite::InsertCertificate(certificate(1)),
    ];
    answer(&store, writes).await.unwrap();
    drop(store);
    let store = memory.open().await;
    assert_eq!(store.device(&device(1).id).await.unwrap(), Some(device(1)));
    assert_eq!(store.session(&session(1)).await.unwrap(), Some(reservation(1, 1000)));
    assert_eq!(store.certificate(&serial(1)).await.unwrap(), Some(certificate(1)));
    store.commit(&now(), &StationRecord::default()).await.unwrap().unwrap();
    assert_eq!(rows(&store).await, 1);
}
