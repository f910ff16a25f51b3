//! Attempts: three in all at what may pass, one at what will not ([W §7.2]).

use core::time::Duration;

use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_protocol::device::{DeviceInput, LinkError, StateKind};
use zmon_protocol::station::{SessionInput, SessionPhase};

use crate::common::{Pair, operator, seconds};

const LOST: Result<(), LinkError> = Err(LinkError::Network(ErrorCode::StationUnreachable));

fn pairing(tests: &[Result<(), LinkError>]) -> Pair {
    let mut pair = Pair::new(41);
    pair.enter();
    pair.tests.extend(tests);
    pair.pair();
    pair
}

#[test]
fn the_network_is_tried_three_times_in_all() {
    let mut pair = pairing(&[LOST, LOST, LOST]);
    let begun = pair.clock.elapsed;
    assert_eq!((pair.tested, pair.device.machine.kind()), (1, StateKind::Validating));
    assert_eq!(pair.snapshot().attempt, Some(2));
    assert!(pair.step());
    assert_eq!((pair.tested, pair.device.machine.kind()), (2, StateKind::Validating));
    assert_eq!(pair.clock.elapsed - begun, Duration::from_millis(500));
    assert!(pair.step());
    assert_eq!((pair.tested, pair.device.machine.kind()), (3, StateKind::Error));
    assert_eq!(pair.clock.elapsed - begun, Duration::from_millis(1500), "the pause doubles");
    let failed = pair.snapshot().last_error.unwrap();
    assert_eq!(failed.code, ErrorCode::ConnectionTestFailed);
    let last = failed.detail.unwrap();
    assert_eq!(last.to_string(), "connection failed 3 times, at last with station_unreachable");
    assert_eq!(pair.device.last().error, Some(ErrorCode::ConnectionTestFailed));
    let tests = pair.device.rows(E::ConnectionTested);
    assert_eq!(tests.len(), 3);
    for (index, row) in tests.iter().enumerate() {
        assert_eq!(row.error, Some(ErrorCode::StationUnreachable));
        assert!(row.detail.contains(&("attempt", (index + 1).to_string())));
    }
    assert_eq!(pair.device.rows(E::ProvisioningFailed).len(), 1);
    assert!(pair.device.stored.slot_b.is_none());
    assert_eq!(pair.phase(), SessionPhase::Failed, "the device told the station");
    pair.pass(seconds(3600));
    assert_eq!(pair.tested, 3, "never a fourth");
}

#[test]
fn the_third_attempt_may_succeed() {
    let mut pair = pairing(&[LOST, LOST]);
    pair.pass(seconds(5));
    assert_eq!((pair.tested, pair.phase()), (3, SessionPhase::Paired));
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    let codes: Vec<_> = pair.device.rows(E::ConnectionTested).iter().map(|row| row.error).collect();
    let lost = Some(ErrorCode::StationUnreachable);
    assert_eq!(codes, [lost, lost, None]);
}

#[test]
fn a_refusal_and_a_bad_certificate_are_tried_once() {
    for error in [
        LinkError::Refused(ErrorCode::ConnectionRefusedByStation),
        LinkError::Certificate(ErrorCode::ServerPinMismatch),
    ] {
        let mut pair = pairing(&[Err(error)]);
        assert_eq!((pair.tested, pair.device.machine.kind()), (1, StateKind::Error));
        assert_eq!(pair.device.last().error, Some(error.code()));
        assert_eq!(pair.phase(), SessionPhase::Failed);
        pair.pass(seconds(3600));
        assert_eq!(pair.tested, 1);
    }
}

#[test]
fn a_refusal_after_a_network_failure_is_final() {
    let mut pair = pairing(&[LOST, Err(LinkError::Certificate(ErrorCode::CertificateExpired))]);
    pair.pass(seconds(5));
    assert_eq!((pair.tested, pair.device.machine.kind()), (2, StateKind::Error));
}

#[test]
fn results_nobody_waits_for_change_nothing() {
    let mut pair = pairing(&[LOST]);
    let rows = pair.device.audit.len();
    // The pause runs: a second result of the same attempt is late.
    pair.tell(DeviceInput::Tested(Ok(()))).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Validating);
    assert_eq!(pair.device.audit.len(), rows);
    for input in [
        DeviceInput::CommitAnswered(Ok(b"junk".to_vec())),
        DeviceInput::OutcomeAnswered(Ok(b"junk".to_vec())),
        DeviceInput::Timeout,
    ] {
        pair.tell(input).unwrap();
        assert_eq!(pair.device.audit.len(), rows);
    }
}

#[test]
fn a_test_that_never_ends_is_ended_by_the_session() {
    let mut pair = Pair::new(42);
    pair.enter();
    let forge = crate::common::Forge::claim(&mut pair);
    let document = forge.document(&mut pair);
    let envelope = forge.envelope(&mut pair, &document);
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Configuration { envelope }).unwrap();
    pair.device.input(&now, DeviceInput::Timeout).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Validating);
    pair.device.actions.clear();
    pair.pass(seconds(899));
    assert_eq!(pair.device.machine.kind(), StateKind::Validating);
    pair.pass(seconds(1));
    assert_eq!(pair.device.machine.kind(), StateKind::Error);
    assert_eq!(pair.device.last().error, Some(ErrorCode::SessionExpired));
    assert!(pair.device.stored.slot_b.is_none());
}

#[test]
fn the_station_dials_three_times_in_all() {
    let mut pair = Pair::new(43);
    pair.enter();
    pair.dials_to_fail = 3;
    assert_eq!(pair.pair(), SessionPhase::Dialling);
    pair.pass(Duration::from_millis(499));
    assert_eq!(pair.dials_to_fail, 2);
    pair.pass(seconds(2));
    assert_eq!((pair.dials_to_fail, pair.phase()), (0, SessionPhase::Dialling));
    let machine = pair.station.machine.as_ref().unwrap();
    assert!(machine.message().is_some(), "from here on a courier may carry it");
    pair.pass(seconds(60));
    assert_eq!(pair.dials_to_fail, 0, "nobody is dialled any more");
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair, "the code is not consumed");
    let now = pair.now();
    let cancel = SessionInput::Cancel { operator: Some(operator()) };
    pair.station.input(&now, cancel).unwrap();

    pair.dials_to_fail = 2;
    pair.pair();
    pair.pass(seconds(2));
    assert_eq!(pair.phase(), SessionPhase::Paired);
}
