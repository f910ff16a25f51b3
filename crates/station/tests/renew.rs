//! Renewal and recovery at the station (D23): who gets a new certificate without an operator.

#[cfg(test)]
mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{FakeDevice, World, administrator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::Serial;
use zmon_domain::role::Actor;
use zmon_domain::state::ProvisioningState;
use zmon_station::ports::{CertificateState, RevocationReason, SessionPhase, StationStore};
use zmon_station::{PairOutcome, StationError};
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::kind::Method;
use zmon_wire::outcome::OutcomeResult;
use zmon_wire::pull::PullAnswer;

#[cfg(test)]
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 50, 1));
#[cfg(test)]
const DAY: Duration = Duration::from_secs(86_400);

/// A paired device and the serial number of its certificate.
#[cfg(test)]
async fn paired(world: &World) -> (Arc<FakeDevice>, Serial) {
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    (device, world.store.certificates().pop().unwrap().serial)
}

#[cfg(test)]
fn state(world: &World, serial: &Serial) -> CertificateState {
    world.store.certificates().iter().find(|row| row.serial == *serial).unwrap().state
}

#[cfg(test)]
async fn renew(
    world: &World,
    device: &FakeDevice,
    serial: &Serial,
) -> Result<PullAnswer, StationError> {
    let pull = device.signed_pull(Method::Renewal, serial, None, &device.identity);
    world.station.renew(HERE, serial, pull.as_bytes()).await
}

#[cfg(test)]
async fn recover(
    world: &World,
    device: &FakeDevice,
    serial: &Serial,
    counter: u64,
) -> Result<PullAnswer, ErrorCode> {
    let pull = device.signed_pull(Method::Recovery, serial, Some(counter), &device.identity);
    world.station.recover(HERE, pull.as_bytes()).await.map_err(|error| error.code())
}

#[cfg(test)]
async fn beat(world: &World, serial: &Serial) -> Result<(), ErrorCode> {
    let heartbeat = Heartbeat {
        sequence: 1,
        uptime_seconds: 1,
        bytes_sent: 1,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    };
    world.station.heartbeat(serial, &heartbeat).await.map(drop).map_err(|error| error.code())
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_a_session_of_the_device_itself() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    let answer = renew(&world, &device, &old).await.unwrap();
    let session = world.store.sessions().into_iter().find(|row| row.operator.is_none()).unwrap();
    assert!(session.reserved && session.phase == SessionPhase::Dialling);
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.renew_identity(&old, fetch.clone()).await.unwrap();
    // The same document again is the same envelope, and no second certificate.
    assert_eq!(world.station.renew_identity(&old, fetch).await.unwrap(), envelope);
    assert_eq!(world.store.certificates().len(), 2);
    let (id, new, document) = device.take(&envelope);
    assert_eq!((document.method, document.config_version), (Method::Renewal, 2));
    assert_eq!(state(&world, &new), CertificateState::Pending);
    world.station.test(&new).await.unwrap();
    assert_eq!(beat(&world, &new).await, Err(ErrorCode::StateConflict), "not yet");
    assert_eq!(device.commit(&id, &new).await.unwrap(), OutcomeResult::Committed);
    assert_eq!(state(&world, &old), CertificateState::Superseded);
    beat(&world, &old).await.unwrap();
    beat(&world, &new).await.unwrap();
    assert_eq!(state(&world, &old), CertificateState::Revoked);
    pass(Duration::from_millis(1)).await;
    let session = world.store.sessions().into_iter().find(|row| row.id == session.id).unwrap();
    assert!(!session.reserved && session.phase == SessionPhase::Paired);
    let opened = world.store.audit_events();
    let opened = opened.iter().rev().find(|row| row.event == EventType::SessionOpened).unwrap();
    assert_eq!(opened.actor, Actor::Peer);
    assert!(opened.detail.contains(&("method", "renewal".into())), "{opened:?}");
}

#[tokio::test(start_paused = true)]
async fn another_identity_document_is_refused_and_a_wrong_one_ends_the_session() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    let answer = renew(&world, &device, &old).await.unwrap();
    let first = device.answer_pull(&answer);
    world.station.renew_identity(&old, first).await.unwrap();
    let second = device.answer_pull(&answer);
    let refused = world.station.renew_identity(&old, second).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StateConflict);

    for (fault, code) in [
        (common::Fault::WrongNonce, ErrorCode::SessionMismatch),
        (common::Fault::WrongSignature, ErrorCode::IdentityInvalid),
        (common::Fault::WrongId, ErrorCode::DeviceMismatch),
        (common::Fault::WrongCsr, ErrorCode::CsrInvalid),
    ] {
        device.misbehave(fault);
        let answer = renew(&world, &device, &old).await.unwrap();
        let fetch = device.answer_pull(&answer);
        let refused = world.station.renew_identity(&old, fetch).await.unwrap_err();
        assert_eq!(refused.code(), code, "{fault:?}");
    }
    assert_eq!(world.store.certificates().len(), 2, "one was issued before");
    assert_eq!(state(&world, &old), CertificateState::Current);
}

#[tokio::test(start_paused = true)]
async fn only_the_current_certificate_of_this_device_is_renewed() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    let other = FakeDevice::new(2, Suite::P256);
    world.know(&[&other]).await;
    // The request must be about the certificate it comes with, by the device's own key.
    let unknown = Serial::from_bytes(&[0x33; 9]).unwrap();
    let foreign = device.signed_pull(Method::Renewal, &unknown, None, &device.identity);
    let stolen = device.signed_pull(Method::Renewal, &old, None, &other.identity);
    let renamed = other.signed_pull(Method::Renewal, &old, None, &device.identity);
    let recovery = device.signed_pull(Method::Recovery, &old, Some(1), &device.identity);
    let counted = device.signed_pull(Method::Renewal, &old, Some(1), &device.identity);
    for (pull, code) in [
        (foreign, ErrorCode::SessionMismatch),
        (stolen, ErrorCode::SignatureInvalid),
        (renamed, ErrorCode::DeviceMismatch),
        (recovery, ErrorCode::SessionMismatch),
        (counted, ErrorCode::JwsMalformed),
        ("junk".to_owned(), ErrorCode::JwsMalformed),
    ] {
        let refused = world.station.renew(HERE, &old, pull.as_bytes()).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
    // A pending one opens test and commit only; a superseded one only monitoring.
    let answer = renew(&world, &device, &old).await.unwrap();
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.renew_identity(&old, fetch).await.unwrap();
    let (id, new, _) = device.take(&envelope);
    let refused = renew(&world, &device, &new).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StateConflict);
    device.commit(&id, &new).await.unwrap();
    let refused = renew(&world, &device, &old).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StateConflict);
    beat(&world, &new).await.unwrap();
    let refused = renew(&world, &device, &old).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateRevoked);
    // A session is fetched by its own device and over its own route.
    let answer = renew(&world, &device, &new).await.unwrap();
    let fetch = device.answer_pull(&answer);
    let refused = world.station.recover_identity(fetch).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionUnknown);
    // Its time is over at last: the other method is the right one.
    pass(DAY * 91).await;
    let refused = renew(&world, &device, &new).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateExpired);
}

#[tokio::test(start_paused = true)]
async fn a_device_out_of_service_gets_nothing() {
    let world = World::with(|policy| policy.recovery = true).await;
    let (device, old) = paired(&world).await;
    world.station.decommission(&administrator(), &device.id).await.unwrap();
    let refused = renew(&world, &device, &old).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateRevoked);
    pass(DAY * 91).await;
    let refused = recover(&world, &device, &old, 1).await.unwrap_err();
    assert_eq!(refused, ErrorCode::CertificateRevoked);
    // Taken out of service while its certificate was not yet revoked.
    let world = World::with(|policy| policy.recovery = true).await;
    let (device, old) = paired(&world).await;
    let mut row = world.store.device(&device.id).await.unwrap().unwrap();
    row.status = zmon_station::ports::DeviceStatus::Decommissioned;
    world.store.put_device(row).await;
    let refused = renew(&world, &device, &old).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceDecommissioned);
    pass(DAY * 91).await;
    let refused = recover(&world, &device, &old, 1).await.unwrap_err();
    assert_eq!(refused, ErrorCode::DeviceDecommissioned);
}

#[tokio::test(start_paused = true)]
async fn asking_anew_ends_what_was_begun_and_an_operator_comes_first() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    let answer = renew(&world, &device, &old).await.unwrap();
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.renew_identity(&old, fetch).await.unwrap();
    let (_, first, _) = device.take(&envelope);
    // The device lost it and asks again: the pending certificate is aborted with its session.
    let answer = renew(&world, &device, &old).await.unwrap();
    assert_eq!(state(&world, &first), CertificateState::Revoked);
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.renew_identity(&old, fetch).await.unwrap();
    let (id, second, _) = device.take(&envelope);
    // An operator at the device takes over; what the device then commits to is refused.
    device.open_window();
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    assert_eq!(state(&world, &second), CertificateState::Revoked);
    let rows = world.store.audit_events();
    let ended = rows.iter().find(|row| row.event == EventType::PairingCancelled).unwrap();
    assert_eq!((ended.session, &ended.actor), (Some(id), &technician().actor()));
    let refused = device.commit(&id, &second).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateRevoked);
    assert_eq!(device.ask(&id, &second).await.unwrap(), OutcomeResult::Aborted);
    // While an operator has the device, it asks in vain.
    let third = device.installed.lock().unwrap().last().unwrap().0;
    device.open_window();
    world.station.scan(&technician(), device.scan_request()).await.unwrap().scanned().unwrap();
    let refused = renew(&world, &device, &third).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionReserved);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_ends_no_session_of_the_device() {
    let world = World::with(|policy| policy.recovery = true).await;
    let (device, old) = paired(&world).await;
    let live = |world: &World| {
        world.store.sessions().into_iter().find(|row| row.reserved).map(|row| row.id)
    };
    // A scan that the registry does not bear out.
    renew(&world, &device, &old).await.unwrap();
    let begun = live(&world);
    device.open_window();
    let scan = zmon_wire::pair::ScanRequest {
        device_serial: Some(zmon_domain::ids::DeviceSerial::parse("SN-OTHER").unwrap()),
        ..device.scan_request()
    };
    let refused = world.station.scan(&technician(), scan).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceMismatch);
    assert!(begun.is_some() && live(&world) == begun);
    // A recorded request for recovery.
    pass(DAY * 91).await;
    recover(&world, &device, &old, 5).await.unwrap();
    let begun = live(&world);
    for replayed in [5, 4] {
        let refused = recover(&world, &device, &old, replayed).await.unwrap_err();
        assert_eq!(refused, ErrorCode::RecoveryReplayed);
    }
    assert!(begun.is_some() && live(&world) == begun);
    recover(&world, &device, &old, 6).await.unwrap();
    assert_ne!(live(&world), begun);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_finished_ends_by_time() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    // No identity document follows the hello.
    let answer = renew(&world, &device, &old).await.unwrap();
    pass(Duration::from_secs(121)).await;
    let session = world.store.sessions().into_iter().find(|row| row.operator.is_none()).unwrap();
    assert!(!session.reserved && session.phase == SessionPhase::Failed);
    let fetch = device.answer_pull(&answer);
    let refused = world.station.renew_identity(&old, fetch).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionUnknown);
    // No commit follows the envelope.
    let answer = renew(&world, &device, &old).await.unwrap();
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.renew_identity(&old, fetch).await.unwrap();
    let (_, new, _) = device.take(&envelope);
    pass(Duration::from_secs(1801)).await;
    assert_eq!(state(&world, &new), CertificateState::Revoked);
    assert_eq!(state(&world, &old), CertificateState::Current);
    assert!(world.store.sessions().iter().all(|row| !row.reserved));
}

#[tokio::test(start_paused = true)]
async fn an_envelope_outlives_a_restart_of_the_station() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    let answer = renew(&world, &device, &old).await.unwrap();
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.renew_identity(&old, fetch).await.unwrap();
    let (id, new, _) = device.take(&envelope);
    let world = world.restart().await;
    assert_eq!(device.commit(&id, &new).await.unwrap(), OutcomeResult::Committed);
    assert_eq!(state(&world, &new), CertificateState::Current);
    // An offer outlives one too.
    let answer = renew(&world, &device, &new).await.unwrap();
    let world = world.restart().await;
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.renew_identity(&new, fetch).await.unwrap();
    let (id, newest, _) = device.take(&envelope);
    assert_eq!(device.commit(&id, &newest).await.unwrap(), OutcomeResult::Committed);
}

#[tokio::test(start_paused = true)]
async fn recovery_needs_policy_expiry_and_a_rising_counter() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    pass(DAY * 91).await;
    let refused = recover(&world, &device, &old, 1).await.unwrap_err();
    assert_eq!(refused, ErrorCode::RecoveryUnavailable, "off by default");

    let world = World::with(|policy| policy.recovery = true).await;
    let (device, old) = paired(&world).await;
    let refused = recover(&world, &device, &old, 1).await.unwrap_err();
    assert_eq!(refused, ErrorCode::CertificateNotExpired);
    pass(DAY * 90).await;
    recover(&world, &device, &old, 3).await.unwrap();
    assert_eq!(recover(&world, &device, &old, 0).await.unwrap_err(), ErrorCode::JwsMalformed);
    for counter in [3, 2] {
        let refused = recover(&world, &device, &old, counter).await.unwrap_err();
        assert_eq!(refused, ErrorCode::RecoveryReplayed, "{counter}");
    }
    // It counts across a restart, and no row, no operation.
    let world = world.restart_with(|policy| policy.recovery = true).await;
    let refused = recover(&world, &device, &old, 3).await.unwrap_err();
    assert_eq!(refused, ErrorCode::RecoveryReplayed);
    world.store.fail_on(Some(EventType::SessionOpened));
    let refused = recover(&world, &device, &old, 4).await.unwrap_err();
    assert_eq!(refused, ErrorCode::AuditUnavailable);
    world.store.fail_on(None);
    let answer = recover(&world, &device, &old, 4).await.unwrap();
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.recover_identity(fetch).await.unwrap();
    let (id, new, document) = device.take(&envelope);
    assert_eq!(document.method, Method::Recovery);
    assert_eq!(device.commit(&id, &new).await.unwrap(), OutcomeResult::Committed);
    assert_eq!(state(&world, &old), CertificateState::Superseded);
    let refusals = world.store.audit_events();
    let replayed = refusals.iter().filter(|row| row.error == Some(ErrorCode::RecoveryReplayed));
    assert_eq!(replayed.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_is_never_recovered() {
    let world = World::with(|policy| policy.recovery = true).await;
    let (device, old) = paired(&world).await;
    let reason = RevocationReason::KeyCompromise;
    world.station.revoke(&administrator(), &old, reason).await.unwrap();
    pass(DAY * 91).await;
    let refused = recover(&world, &device, &old, 1).await.unwrap_err();
    assert_eq!(refused, ErrorCode::CertificateRevoked);
    let unknown = Serial::from_bytes(&[0x33; 9]).unwrap();
    let refused = recover(&world, &device, &unknown, 1).await.unwrap_err();
    assert_eq!(refused, ErrorCode::SessionUnknown);
    // Refusals of one source have a budget of rows; the rest is counted.
    let before = world.store.audit_events().len();
    for counter in 2..60 {
        drop(recover(&world, &device, &old, counter).await);
    }
    assert!(world.store.audit_events().len() - before <= 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_during_a_renewal_gets_no_successor() {
    let world = World::with(|policy| policy.recovery = true).await;
    let (device, old) = paired(&world).await;
    pass(DAY * 91).await;
    let answer = recover(&world, &device, &old, 1).await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    world.station.revoke(&administrator(), &old, reason).await.unwrap();
    let fetch = device.answer_pull(&answer);
    let envelope = world.station.recover_identity(fetch).await.unwrap();
    let (id, new, _) = device.take(&envelope);
    let refused = device.commit(&id, &new).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateRevoked);
    assert_eq!(state(&world, &new), CertificateState::Revoked);
}
