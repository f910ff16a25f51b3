//! The station's side of one session (D9, D11, D13).

use zmon_crypto::IdentityKey;
use zmon_crypto::jws::{Typ, sign};
use zmon_crypto::x509::csr;
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceSerial, OperatorId, Serial, SessionId, Thumbprint};
use zmon_domain::role::{Actor, Role};
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{DeviceInput, LinkError, StateKind};
use zmon_protocol::station::{
    CertificateState, DeviceTrust, Reservation, SessionInput, SessionPhase, StationAction,
    StationEvent, StationWrite,
};
use zmon_wire::kind::V1;
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use crate::common::liar::{Liar, answer, dialling};
use crate::common::{Commit, Pair, address, details, operator, seconds};

fn window() -> Pair {
    let mut pair = Pair::new(101);
    pair.enter();
    pair
}

fn other_operator() -> OperatorId {
    OperatorId::parse("otto").unwrap()
}

#[test]
fn a_second_operator_is_told_who_works_on_the_device() {
    let mut pair = window();
    assert_eq!(pair.scan(), SessionPhase::Identified);
    let held = pair.station.reservation.clone().unwrap();
    let live = pair.station.machine.clone();
    // The window is claimed, so the other tablet still shows an older photo of it.
    let mut elsewhere = Pair::new(102);
    elsewhere.enter();
    let qr = elsewhere.qr();
    let mut request = pair.station.request(&qr, None);
    request.operator = other_operator();
    let now = pair.now();
    let refusal = pair.station.open(&now, request).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::SessionReserved);
    assert_eq!(refusal.holder, Some(operator()));
    assert_eq!(pair.phase(), SessionPhase::Failed);
    assert_eq!(pair.station.reservation.as_ref(), Some(&held), "the first one keeps it");
    let row = pair.station.audit.last().unwrap();
    assert_eq!((row.event, row.error), (E::PairingFailed, Some(ErrorCode::SessionReserved)));
    assert_eq!(row.actor, Actor::Operator { id: other_operator(), role: Role::Technician });
    // Neither may they finish it.
    pair.station.machine = live;
    let input = SessionInput::Pair { operator: other_operator(), details: details("ICU-3B") };
    let refusal = pair.station.input(&now, input).unwrap_err();
    assert_eq!(refusal.holder, Some(operator()));
    let input = SessionInput::Cancel { operator: Some(other_operator()) };
    assert_eq!(pair.station.input(&now, input).unwrap_err().holder, Some(operator()));
    assert_eq!(pair.phase(), SessionPhase::Identified);
}

#[test]
fn scan_then_pair_is_the_same_as_pair_alone() {
    let mut pair = window();
    assert_eq!(pair.scan(), SessionPhase::Identified);
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing, "the scan claims");
    pair.pass(seconds(119));
    let now = pair.now();
    let input = SessionInput::Pair { operator: operator(), details: details("ICU-3B") };
    pair.station.input(&now, input).unwrap();
    pair.settle();
    assert_eq!(pair.phase(), SessionPhase::Paired);
    let assigned = pair.station.writes.iter().any(|write| {
        matches!(write, StationWrite::Assign { settings, .. } if *settings == details("ICU-3B").settings)
    });
    assert!(assigned);
}

#[test]
fn a_repeated_pair_is_the_same_pair_and_never_mints_twice() {
    let mut pair = window();
    pair.pair();
    let now = pair.now();
    let same = SessionInput::Pair { operator: operator(), details: details("ICU-3B") };
    pair.station.input(&now, same).unwrap();
    assert!(pair.station.machine.as_ref().unwrap().answer().is_some());
    let other = SessionInput::Pair { operator: operator(), details: details("ICU-4A") };
    let refusal = pair.station.input(&now, other).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::IdempotencyConflict);
    pair.settle();
    assert_eq!(pair.station.certificates.len(), 1);
}

#[test]
fn the_registry_decides_who_is_dialled() {
    type Bend = fn(&mut Pair);
    let cases: [(Bend, ErrorCode); 5] = [
        (|pair| pair.station.registry = None, ErrorCode::DeviceUnknown),
        (
            |pair| pair.station.registry.as_mut().unwrap().decommissioned = true,
            ErrorCode::DeviceDecommissioned,
        ),
        (
            |pair| {
                pair.station.registry.as_mut().unwrap().identity_key =
                    Thumbprint::from_bytes([1; 32]);
            },
            ErrorCode::DeviceKeyConflict,
        ),
        (
            |pair| {
                pair.station.registry.as_mut().unwrap().serial =
                    DeviceSerial::parse("SN-OTHER").unwrap();
            },
            ErrorCode::DeviceMismatch,
        ),
        (|pair| pair.station.policy.networks.networks.clear(), ErrorCode::AddressNotPermitted),
    ];
    for (bend, code) in cases {
        let mut pair = window();
        bend(&mut pair);
        let qr = pair.qr();
        let request = pair.station.request(&qr, None);
        let now = pair.now();
        let refusal = pair.station.open(&now, request).unwrap_err();
        assert_eq!(refusal.report.code, code);
        assert!(pair.station.actions.is_empty(), "{code}: nobody is dialled");
        assert!(pair.station.reservation.is_none());
        assert_eq!(pair.station.audit.last().unwrap().error, Some(code));
        let alarm = pair.station.events.iter().any(|e| matches!(e, StationEvent::Alarm(_)));
        assert_eq!(alarm, code == ErrorCode::DeviceKeyConflict);
        assert_eq!(!pair.station.rows(E::DeviceKeyConflict).is_empty(), alarm);
    }
}

#[test]
fn the_port_of_the_token_must_be_permitted() {
    let mut pair = Pair::new(103);
    pair.port = 443;
    pair.enter();
    assert_eq!(pair.pair(), SessionPhase::Failed);
    let row = pair.station.audit.last().unwrap();
    assert_eq!(row.error, Some(ErrorCode::AddressNotPermitted));
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}

#[test]
fn a_scan_is_enough_where_policy_says_so() {
    let mut pair = window();
    pair.station.registry = None;
    pair.station.policy.device_trust = vec![DeviceTrust::Registry, DeviceTrust::Scanned];
    assert_eq!(pair.pair(), SessionPhase::Paired);
    let added = pair.station.writes.iter().find_map(|write| match write {
        StationWrite::AddDevice(entry) => Some(entry.clone()),
        _ => None,
    });
    let added = added.unwrap();
    assert_eq!(added.identity_key, pair.device.identity.public().thumbprint());
    assert_eq!(added.serial, pair.device.profile.serial);
}

#[test]
fn a_registry_conflict_is_alarmed() {
    let mut pair = window();
    pair.scan();
    let now = pair.now();
    pair.station.input(&now, SessionInput::RegistryConflict).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
    assert_eq!(pair.station.rows(E::DeviceKeyConflict).len(), 1);
    assert!(pair.station.reservation.is_none());
}

#[test]
fn a_refused_claim_is_not_tried_again() {
    let mut pair = window();
    let stale = pair.qr();
    pair.pass(seconds(61));
    assert_eq!(pair.pair_with(&stale), SessionPhase::Failed);
    let row = pair.station.rows(E::PairingFailed)[0];
    assert_eq!(row.error, Some(ErrorCode::ClaimRefused), "the station learns no more");
    let last = pair.device.last();
    assert_eq!(last.error, Some(ErrorCode::PairingTokenStale), "the device's log knows");
}

#[test]
fn a_ca_that_does_not_sign_fails_the_session() {
    let (mut pair, liar) = dialling();
    answer(&mut pair, &liar, Typ::Identity);
    let now = pair.now();
    pair.station.input(&now, SessionInput::IssueFailed(ErrorCode::KeyStoreUnavailable)).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
    // A certificate that comes too late is not recorded.
    let serial = Serial::from_bytes(&[5]).unwrap();
    pair.station.input(&now, SessionInput::Issued { chain: vec![vec![0]], serial }).unwrap();
    assert!(pair.station.certificates.is_empty());
}

#[test]
fn a_simulated_certificate_of_the_issuer_is_not_handed_out() {
    let (mut pair, liar) = dialling();
    answer(&mut pair, &liar, Typ::Identity);
    let request = liar.document.csr.as_ref().unwrap();
    let spki = csr::verify(request, &zmon_crypto::Algorithms::rustcrypto()).unwrap();
    let id = pair.device.profile.device_id.clone();
    let now = pair.now();
    pair.station.ca.trust = zmon_wire::kind::TrustLevel::Simulated;
    let (chain, serial) = pair.station.ca.issue(spki.spki_der(), &id, now.wall.unwrap());
    pair.station.input(&now, SessionInput::Issued { chain, serial }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
    let row = pair.station.rows(E::PairingFailed)[0];
    assert_eq!(row.error, Some(ErrorCode::SimulatedCertificate));
    assert!(pair.station.certificates.is_empty(), "it was never recorded");
    assert!(pair.station.rows(E::CertificateIssued).is_empty());
}

/// A session in `Delivering`, its envelope on the way, and the device that may answer.
fn delivering() -> (Pair, Liar, Serial) {
    let (mut pair, liar) = dialling();
    answer(&mut pair, &liar, Typ::Identity);
    pair.station.actions.clear();
    let request = liar.document.csr.as_ref().unwrap();
    let spki = csr::verify(request, &zmon_crypto::Algorithms::rustcrypto()).unwrap();
    let id = pair.device.profile.device_id.clone();
    let now = pair.now();
    let (chain, serial) = pair.station.ca.issue(spki.spki_der(), &id, now.wall.unwrap());
    pair.station.input(&now, SessionInput::Issued { chain, serial }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Delivering);
    (pair, liar, serial)
}

#[test]
fn the_certificate_is_durable_before_the_envelope_leaves() {
    let (pair, _, serial) = delivering();
    assert_eq!(pair.station.certificates[&serial].state, CertificateState::Pending);
    assert_eq!(pair.station.rows(E::CertificateIssued).len(), 1);
    let first = pair.station.actions.front();
    assert!(matches!(first, Some(StationAction::Deliver { attempt: 1, .. })));
}

#[test]
fn the_delivery_is_repeated_with_the_same_bytes() {
    let (mut pair, _, serial) = delivering();
    let mut now = pair.now();
    let mut sent = Vec::new();
    for _ in 0..3 {
        let Some(StationAction::Deliver { envelope, .. }) = pair.station.actions.pop_front() else {
            panic!("the envelope is sent")
        };
        sent.push(envelope);
        let lost = SessionInput::DeliveryFailed(ErrorCode::DeviceUnreachable);
        pair.station.input(&now, lost).unwrap();
        if pair.phase() == SessionPhase::Delivering {
            let at = pair.station.machine.as_ref().unwrap().poll_timeout().unwrap();
            pair.clock.jump(at);
            now = pair.now();
            pair.station.input(&now, SessionInput::Timeout).unwrap();
        }
    }
    assert!(sent.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(pair.phase(), SessionPhase::AwaitingCommit, "three in all, then the record tells");
    assert_eq!(pair.station.certificates.len(), 1);
    // Nothing comes: after 30 minutes the certificate is aborted.
    let at = pair.station.machine.as_ref().unwrap().poll_timeout().unwrap();
    pair.clock.jump(at);
    assert_eq!(at.elapsed(), seconds(1800));
    let now = pair.now();
    pair.station.input(&now, SessionInput::Timeout).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
    assert_eq!(pair.station.certificates[&serial].state, CertificateState::Revoked);
    assert_eq!(pair.station.rows(E::CertificateAborted).len(), 1);
}

/// The device signs this status.
fn status(pair: &mut Pair, liar: &Liar, bend: impl FnOnce(&mut StatusDocument)) {
    let mut status = StatusDocument {
        v: V1::default(),
        session_id: liar.document.session_id,
        state: ProvisioningState::Error,
        success: false,
        code: None,
        configuration_hash: None,
    };
    bend(&mut status);
    let payload = strict::to_vec(&status).unwrap();
    let signed = sign(Typ::Status, None, &payload, &liar.key, &mut pair.device.rng).unwrap();
    let now = pair.now();
    pair.station.input(&now, SessionInput::Delivered(signed.into_bytes())).unwrap();
}

#[test]
fn a_status_counts_for_its_own_session_and_configuration_only() {
    type Bend = fn(&mut StatusDocument);
    let cases: [(Bend, SessionPhase); 6] = [
        (|status| status.success = true, SessionPhase::Paired),
        (|status| status.code = Some(ErrorCode::ServerPinMismatch), SessionPhase::Failed),
        (|_| {}, SessionPhase::AwaitingCommit),
        (
            |status| {
                status.success = true;
                status.session_id = SessionId::from_bytes([1; 16]);
            },
            SessionPhase::AwaitingCommit,
        ),
        (
            |status| {
                status.success = true;
                status.configuration_hash = Some([1; 32]);
            },
            SessionPhase::AwaitingCommit,
        ),
        (
            |status| {
                status.code = Some(ErrorCode::Internal);
                status.session_id = SessionId::from_bytes([1; 16]);
            },
            SessionPhase::AwaitingCommit,
        ),
    ];
    for (bend, phase) in cases {
        let (mut pair, liar, _) = delivering();
        status(&mut pair, &liar, bend);
        assert_eq!(pair.phase(), phase);
    }
}

#[test]
fn a_committed_session_whose_answer_never_comes_is_paired_in_the_end() {
    let (mut pair, _, serial) = delivering();
    let now = pair.now();
    pair.station.input(&now, SessionInput::Committed { serial }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Delivering, "the device's own word is waited for");
    pair.clock.pass(seconds(900));
    let now = pair.now();
    pair.station.input(&now, SessionInput::Timeout).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
    assert!(pair.station.rows(E::CertificateAborted).is_empty());
}

#[test]
fn a_commit_between_two_deliveries_completes_the_session() {
    let (mut pair, _, serial) = delivering();
    let now = pair.now();
    // The device was killed while its commit was written: the connection broke first.
    let broken = SessionInput::DeliveryFailed(ErrorCode::DeviceUnreachable);
    pair.station.input(&now, broken).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Delivering, "the next attempt is due later");
    pair.station.input(&now, SessionInput::Committed { serial }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired, "nobody is left whose answer could come");
    assert!(pair.station.reservation.is_none());
    assert_eq!(pair.station.machine.as_ref().unwrap().poll_timeout(), None);
}

#[test]
fn another_window_ends_a_committed_session_whoever_scans_it() {
    let (mut pair, _, serial) = delivering();
    let now = pair.now();
    let scan = |operator| SessionInput::Rescanned { operator };
    let refusal = pair.station.input(&now, scan(other_operator())).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::SessionReserved, "nothing is decided yet");
    assert_eq!(refusal.holder, Some(operator()));
    pair.station.input(&now, SessionInput::Committed { serial }).unwrap();
    pair.station.input(&now, scan(other_operator())).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
    assert!(pair.station.reservation.is_none());
    assert!(pair.station.rows(E::CertificateAborted).is_empty());
    // A session that has ended is in nobody's way.
    pair.station.input(&now, scan(other_operator())).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
}

#[test]
fn another_window_ends_the_operator_s_own_session() {
    let (mut pair, _, serial) = delivering();
    let now = pair.now();
    pair.station.input(&now, SessionInput::Rescanned { operator: operator() }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Released);
    assert_eq!(pair.station.certificates[&serial].state, CertificateState::Revoked);
    assert_eq!(pair.station.rows(E::SessionReleased)[0].error, Some(ErrorCode::Cancelled));
}

#[test]
fn a_committed_session_is_paired_whatever_the_device_says_then() {
    let (mut pair, liar, serial) = delivering();
    let now = pair.now();
    pair.station.input(&now, SessionInput::Committed { serial }).unwrap();
    let cancel = SessionInput::Cancel { operator: Some(operator()) };
    assert_eq!(pair.station.input(&now, cancel).unwrap_err().report.code, ErrorCode::StateConflict);
    pair.station.input(&now, SessionInput::Aborted { serial }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Delivering, "what was committed is not aborted");
    status(&mut pair, &liar, |status| status.code = Some(ErrorCode::Internal));
    assert_eq!(pair.phase(), SessionPhase::Paired);
}

#[test]
fn the_record_outranks_a_lost_status() {
    let mut pair = window();
    pair.lose_status = true;
    assert_eq!(pair.pair(), SessionPhase::Paired);
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
}

#[test]
fn a_signed_failure_aborts_the_certificate() {
    let mut pair = window();
    pair.tests.push_back(Err(LinkError::Certificate(ErrorCode::ServerPinMismatch)));
    assert_eq!(pair.pair(), SessionPhase::Failed);
    let failed = pair.station.rows(E::PairingFailed)[0];
    assert_eq!(failed.error, Some(ErrorCode::ServerPinMismatch), "the device's own cause");
    let view = pair.station.certificates.values().next().unwrap();
    assert_eq!((view.state, view.committed), (CertificateState::Revoked, false));
    assert!(
        pair.station.events.contains(&StationEvent::Failed(ErrorCode::ServerPinMismatch.into()))
    );
}

#[test]
fn a_tampered_envelope_is_told_by_its_own_code_on_both_sides() {
    let mut pair = window();
    pair.tamper = Some(|envelope| {
        let middle = envelope.len() / 2;
        envelope[middle] ^= 1;
    });
    assert_eq!(pair.pair(), SessionPhase::Failed);
    assert_eq!(pair.device.last().error, Some(ErrorCode::EnvelopeMacInvalid));
    let failed = pair.station.rows(E::PairingFailed)[0];
    assert_eq!(failed.error, Some(ErrorCode::EnvelopeMacInvalid));
    assert!(pair.device.stored.slot_b.is_none());
}

#[test]
fn a_status_that_the_device_did_not_sign_proves_nothing() {
    let mut pair = window();
    pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
    assert_eq!(pair.pair(), SessionPhase::Delivering);
    let now = pair.now();
    pair.delivered = false;
    pair.station.input(&now, SessionInput::Delivered(b"junk".to_vec())).unwrap();
    assert_eq!(pair.phase(), SessionPhase::AwaitingCommit);
    pair.pass(seconds(5));
    assert_eq!(pair.phase(), SessionPhase::Paired, "the device committed all the same");
}

#[test]
fn a_device_in_doubt_ends_the_session_by_its_ask() {
    let mut pair = window();
    pair.commits.extend([Commit::RequestLost; 3]);
    pair.pair();
    pair.pass(seconds(20));
    let serial = *pair.station.certificates.keys().next().unwrap();
    assert_eq!(pair.station.certificates[&serial].state, CertificateState::Revoked);
    let now = pair.now();
    // The device told its failure by the waiting delivery; else the driver tells the abort.
    pair.station.input(&now, SessionInput::Aborted { serial }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
}

#[test]
fn an_aborted_certificate_fails_a_session_that_waits() {
    let mut pair = window();
    pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
    pair.pair();
    let serial = *pair.station.certificates.keys().next().unwrap();
    let now = pair.now();
    let other = Serial::from_bytes(&[1]).unwrap();
    pair.station.input(&now, SessionInput::Aborted { serial: other }).unwrap();
    pair.station.input(&now, SessionInput::Committed { serial: other }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Delivering, "another session's news");
    pair.station.input(&now, SessionInput::Aborted { serial }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
    assert_eq!(pair.station.rows(E::PairingFailed)[0].error, Some(ErrorCode::CommitAborted));
}

#[test]
fn cancel_releases_and_aborts_but_not_after_the_commit() {
    let mut pair = window();
    pair.scan();
    let now = pair.now();
    pair.station.input(&now, SessionInput::Cancel { operator: Some(operator()) }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Released);
    assert_eq!(pair.station.rows(E::SessionReleased)[0].error, Some(ErrorCode::Cancelled));
    assert!(pair.station.reservation.is_none());
    let again = SessionInput::Cancel { operator: Some(operator()) };
    assert_eq!(pair.station.input(&now, again).unwrap_err().report.code, ErrorCode::StateConflict);
    let late = SessionInput::Pair { operator: operator(), details: details("ICU-3B") };
    assert_eq!(pair.station.input(&now, late).unwrap_err().report.code, ErrorCode::SessionExpired);

    let mut pair = window();
    pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
    pair.pair();
    pair.delivered = false;
    pair.station.input(&now, SessionInput::Cancel { operator: Some(operator()) }).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Released);
    let view = pair.station.certificates.values().next().unwrap();
    assert_eq!(view.state, CertificateState::Revoked);
    // The device's commit is told so, and slot B goes.
    let request_serial = view.serial;
    pair.station.certificates.get_mut(&request_serial).unwrap().state = CertificateState::Revoked;

    let mut pair = window();
    pair.pair();
    let late = SessionInput::Cancel { operator: Some(operator()) };
    assert_eq!(pair.station.input(&now, late).unwrap_err().report.code, ErrorCode::StateConflict);
}

#[test]
fn a_session_ends_after_fifteen_minutes() {
    let (mut pair, _) = dialling();
    pair.clock.pass(seconds(899));
    let now = pair.now();
    pair.station.input(&now, SessionInput::Timeout).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Dialling);
    pair.clock.pass(seconds(1));
    let now = pair.now();
    pair.station.input(&now, SessionInput::Timeout).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
    assert_eq!(pair.station.audit.last().unwrap().error, Some(ErrorCode::SessionExpired));
}

#[test]
fn a_station_without_a_clock_signs_nothing() {
    let mut pair = window();
    let qr = pair.qr();
    let request = pair.station.request(&qr, None);
    let mut now = pair.now();
    now.wall = None;
    let refusal = pair.station.open(&now, request).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::Internal);
    assert!(pair.station.actions.is_empty());
}

#[test]
fn a_reservation_is_kept_by_its_session_only() {
    let mut pair = window();
    pair.station.reservation =
        Some(Reservation { session_id: SessionId::from_bytes([9; 16]), operator: operator() });
    let qr = pair.qr();
    let request = pair.station.request(&qr, None);
    let now = pair.now();
    let refusal = pair.station.open(&now, request).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::SessionReserved);
    assert!(pair.station.reservation.is_some());
}

/// Every input in every phase: no panic, and a final phase is final.
#[test]
fn every_input_in_every_phase_is_defined() {
    type Reach = fn() -> Pair;
    let phases: [(Reach, SessionPhase); 8] = [
        (|| dialling().0, SessionPhase::Dialling),
        (
            || {
                let mut pair = window();
                pair.scan();
                pair
            },
            SessionPhase::Identified,
        ),
        (
            || {
                let (mut pair, liar) = dialling();
                answer(&mut pair, &liar, Typ::Identity);
                pair
            },
            SessionPhase::Issuing,
        ),
        (
            || {
                let mut pair = window();
                pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
                pair.pair();
                pair
            },
            SessionPhase::Delivering,
        ),
        (
            || {
                let mut pair = window();
                pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
                pair.pair();
                let now = pair.now();
                pair.station.input(&now, SessionInput::Delivered(Vec::new())).unwrap();
                pair
            },
            SessionPhase::AwaitingCommit,
        ),
        (
            || {
                let mut pair = window();
                pair.pair();
                pair
            },
            SessionPhase::Paired,
        ),
        (
            || {
                let mut pair = window();
                pair.dials_to_fail = 3;
                pair.pair();
                pair.pass(seconds(905));
                pair
            },
            SessionPhase::Failed,
        ),
        (
            || {
                let mut pair = window();
                pair.scan();
                pair.pass(seconds(121));
                pair
            },
            SessionPhase::Released,
        ),
    ];
    assert_eq!(phases.len(), SessionPhase::ALL.len());
    // The same two phases when somebody else carries the messages (D7).
    let carried: [(fn() -> Pair, SessionPhase); 2] = [
        (
            || {
                let mut pair = window();
                pair.station.delivery = Route::Courier;
                pair.pair();
                pair
            },
            SessionPhase::Dialling,
        ),
        (
            || {
                let mut pair = window();
                pair.station.delivery = Route::Courier;
                pair.pair();
                pair.carry(Route::Courier);
                pair
            },
            SessionPhase::AwaitingCommit,
        ),
    ];
    for (reach, phase) in phases.into_iter().chain(carried) {
        let pair = reach();
        assert_eq!(pair.phase(), phase);
        for hours in [0, 2] {
            let mut clock = pair.clock;
            clock.pass(seconds(hours * 3600));
            for input in session_inputs(&pair) {
                let machine = pair.station.machine.clone().unwrap();
                let mut rng = pair.station.rng.clone();
                let text = format!("{input:?}");
                let ctx = pair.station.context();
                let transition = machine.handle(&ctx, &clock.now(), &mut rng, input);
                let record = &transition.record;
                if phase.is_final() {
                    assert_eq!(transition.next.phase(), phase, "{text}");
                    assert!(record.is_empty() && transition.actions.is_empty(), "{text}");
                }
                if transition.next.phase() != phase {
                    let row = StationWrite::Session {
                        session_id: transition.next.session_id(),
                        phase: transition.next.phase(),
                        error: record.writes.iter().find_map(|write| match write {
                            StationWrite::Session { error, .. } => *error,
                            _ => None,
                        }),
                    };
                    assert!(record.writes.contains(&row), "{text}");
                }
                let ended = transition.next.phase().is_final() && !phase.is_final();
                let released =
                    record.writes.iter().any(|w| matches!(w, StationWrite::Release { .. }));
                assert_eq!(ended, released, "{phase:?} {text}");
                assert!(!ended || !record.audit.is_empty(), "{phase:?} {text}");
            }
        }
    }
}

fn session_inputs(pair: &Pair) -> Vec<SessionInput> {
    let known = pair.station.machine.as_ref().and_then(|machine| machine.serial().cloned());
    let serial = known.unwrap_or(Serial::from_bytes(&[3]).unwrap());
    vec![
        SessionInput::Identity(Vec::new()),
        SessionInput::DialFailed(ErrorCode::DeviceUnreachable),
        SessionInput::DialFailed(ErrorCode::ClaimRefused),
        SessionInput::Again(address()),
        SessionInput::Fetched(Route::Pull),
        SessionInput::Fetched(Route::Courier),
        SessionInput::RegistryConflict,
        SessionInput::Pair { operator: operator(), details: details("ICU-3B") },
        SessionInput::Pair { operator: operator(), details: details("ICU-9Z") },
        SessionInput::Pair { operator: other_operator(), details: details("ICU-3B") },
        SessionInput::Issued { chain: Vec::new(), serial },
        SessionInput::Issued { chain: vec![vec![0x30, 0]], serial },
        SessionInput::IssueFailed(ErrorCode::KeyStoreUnavailable),
        SessionInput::Delivered(Vec::new()),
        SessionInput::DeliveryFailed(ErrorCode::Timeout),
        SessionInput::DeliveryFailed(ErrorCode::EnvelopeMacInvalid),
        SessionInput::Tested { serial },
        SessionInput::Committed { serial },
        SessionInput::Aborted { serial },
        SessionInput::Cancel { operator: Some(operator()) },
        SessionInput::Cancel { operator: Some(other_operator()) },
        SessionInput::Timeout,
    ]
}

#[test]
fn a_device_that_closed_is_reported_as_unreachable() {
    let mut pair = window();
    let qr = pair.qr();
    pair.tell(DeviceInput::Exit { actor: Actor::System }).unwrap();
    pair.pair_with(&qr);
    pair.pass(seconds(5));
    assert_eq!(pair.phase(), SessionPhase::Dialling, "the message waits for a courier");
    let row = pair.station.audit.last().unwrap();
    assert_eq!((row.event, row.error), (E::RouteOffered, Some(ErrorCode::DeviceUnreachable)));
    assert!(row.detail.contains(&("route", "courier".to_owned())));
}
