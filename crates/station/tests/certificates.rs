//! The life of a device certificate: commit, outcome, supersession, revocation (D13, D17).

#[cfg(test)]
mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use common::{FakeDevice, Fault, World, administrator, pass, technician};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::CrlNumber;
use zmon_crypto::Suite;
use zmon_crypto::jws::Typ;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{Serial, SessionId};
use zmon_domain::role::Actor;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::station::CertificateUse;
use zmon_station::ports::{CertificateRow, CertificateState, RevocationReason, SessionPhase};
use zmon_station::{PairOutcome, StationEvent};
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::kind::V1;
use zmon_wire::outcome::{CommitRequest, OutcomeResult};
use zmon_wire::retire::{RetireReason, RetireStatement};
use zmon_wire::strict;

/// Where statements come from.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
fn heartbeat() -> Heartbeat {
    Heartbeat {
        sequence: 1,
        uptime_seconds: 1,
        bytes_sent: 1,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    }
}

/// A paired device and the row of its certificate.
#[cfg(test)]
async fn paired(world: &World) -> (Arc<FakeDevice>, CertificateRow) {
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    (device, world.store.certificates().pop().unwrap())
}

/// A device that has tested its new certificate and not committed to it.
#[cfg(test)]
async fn undecided(world: &World) -> (Arc<FakeDevice>, CertificateRow) {
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::DiesBeforeCommit);
    world.know(&[&device]).await;
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Pending(_)));
    assert_eq!(world.store.sessions()[0].phase, SessionPhase::AwaitingCommit);
    (device, world.store.certificates().pop().unwrap())
}

#[cfg(test)]
fn state(world: &World, serial: &Serial) -> CertificateState {
    world.store.certificates().iter().find(|row| row.serial == *serial).unwrap().state
}

/// Number and revoked serial numbers of the latest list.
#[cfg(test)]
fn revoked(world: &World) -> (u64, Vec<Serial>) {
    let crl = world.station.revocation_list().borrow().clone().unwrap();
    let parsed: CertificateList = CertificateList::from_der(&crl.der).unwrap();
    let body = &parsed.tbs_cert_list;
    let number: CrlNumber = body
        .crl_extensions
        .iter()
        .flatten()
        .find(|extension| extension.extn_id.to_string() == "2.5.29.20")
        .map(|extension| CrlNumber::from_der(extension.extn_value.as_bytes()).unwrap())
        .unwrap();
    let bytes = number.0.as_bytes().iter();
    let number = bytes.fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
    assert_eq!(number, crl.number);
    assert_eq!(body.this_update.to_unix_duration().as_secs(), crl.this_update.unix() as u64);
    let next = body.next_update.unwrap().to_unix_duration().as_secs();
    assert_eq!(next, crl.next_update.unix() as u64);
    let listed = body.revoked_certificates.iter().flatten();
    let serials =
        listed.map(|entry| Serial::from_bytes(entry.serial_number.as_bytes()).unwrap()).collect();
    (number, serials)
}

#[tokio::test(start_paused = true)]
async fn a_pending_certificate_opens_test_and_commit_only() {
    let world = World::new().await;
    let (device, row) = undecided(&world).await;
    assert_eq!(row.state, CertificateState::Pending);
    let station = &world.station;
    assert_eq!(station.test(&row.serial).await.unwrap().device_id, device.id);
    let error = station.heartbeat(&row.serial, &heartbeat()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StateConflict);
    assert!(station.admit_peer(&row.serial, CertificateUse::Commit).await.is_ok());
    let peer = station.peer_status(&row.serial).await.unwrap().unwrap();
    assert_eq!((peer.device_id, peer.state), (device.id.clone(), CertificateState::Pending));
    assert!(!world.store.sessions()[0].phase.is_final());
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_pairs_and_a_repeated_one_changes_nothing() {
    let world = World::new().await;
    let (device, row) = undecided(&world).await;
    pass(Duration::from_secs(600)).await;
    for _ in 0..3 {
        let result = device.commit(&row.session, &row.serial).await.unwrap();
        assert_eq!(result, OutcomeResult::Committed);
    }
    pass(Duration::from_millis(1)).await;
    assert_eq!(state(&world, &row.serial), CertificateState::Current);
    assert_eq!(world.store.count(EventType::CommitConfirmed), 1);
    assert_eq!(world.store.sessions()[0].phase, SessionPhase::Paired);
    let result = world.station.pair_result(&technician(), &row.session).await.unwrap();
    assert!(matches!(result, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_commit_for_another_session_or_serial_is_refused() {
    let world = World::new().await;
    let (_device, row) = undecided(&world).await;
    let request =
        |session_id, serial| CommitRequest { v: V1::default(), session_id, serial, nonce: [0; 32] };
    let other = Serial::from_bytes(&[0x41; 16]).unwrap();
    for request in
        [request(SessionId::from_bytes([1; 16]), row.serial), request(row.session, other)]
    {
        let error = world.station.commit(&row.serial, &request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SessionMismatch);
    }
    let error = world.station.commit(&other, &request(row.session, other)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CertificateRevoked, "a serial nobody issued");
    assert_eq!(state(&world, &row.serial), CertificateState::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_question_about_a_pending_certificate_aborts_it_for_good() {
    let world = World::new().await;
    let (device, row) = undecided(&world).await;
    for _ in 0..2 {
        let result = device.ask(&row.session, &row.serial).await.unwrap();
        assert_eq!(result, OutcomeResult::Aborted);
    }
    let error = device.commit(&row.session, &row.serial).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CertificateRevoked);
    pass(Duration::from_millis(1)).await;
    let session = &world.store.sessions()[0];
    assert_eq!(
        (session.phase, session.error),
        (SessionPhase::Failed, Some(ErrorCode::CommitAborted))
    );
    assert_eq!(revoked(&world).1, [row.serial]);
}

#[tokio::test(start_paused = true)]
async fn a_question_about_a_committed_certificate_says_so_whatever_came_later() {
    let world = World::new().await;
    let (device, row) = paired(&world).await;
    assert_eq!(device.ask(&row.session, &row.serial).await.unwrap(), OutcomeResult::Committed);
    let reason = RevocationReason::KeyCompromise;
    let _revoked = world.station.revoke(&administrator(), &row.serial, reason).await.unwrap();
    assert_eq!(device.ask(&row.session, &row.serial).await.unwrap(), OutcomeResult::Committed);
}

#[tokio::test(start_paused = true)]
async fn a_question_under_another_key_or_about_nothing_is_refused() {
    let world = World::new().await;
    let (device, row) = undecided(&world).await;
    let stranger = FakeDevice::new(5, Suite::P256);
    let forged = device.signed_ask(&row.session, &row.serial, &stranger.identity);
    let unknown = Serial::from_bytes(&[0x42; 16]).unwrap();
    let about_nothing = device.signed_ask(&row.session, &unknown, &device.identity);
    let foreign = stranger.signed_ask(&row.session, &row.serial, &device.identity);
    for (ask, code) in [
        (forged.as_str(), ErrorCode::SignatureInvalid),
        (about_nothing.as_str(), ErrorCode::SessionUnknown),
        (foreign.as_str(), ErrorCode::DeviceMismatch),
        ("no.such.thing", ErrorCode::JwsMalformed),
        ("", ErrorCode::JwsMalformed),
    ] {
        let error = world.station.outcome(ask.as_bytes()).await.unwrap_err();
        assert_eq!(error.code(), code, "{ask}");
    }
    assert_eq!(state(&world, &row.serial), CertificateState::Pending);
}

#[tokio::test(start_paused = true)]
async fn nobody_s_certificate_is_aborted_thirty_minutes_after_its_issue() {
    let world = World::new().await;
    let (device, row) = undecided(&world).await;
    let housekeeping = tokio::spawn(world.station.clone().run());
    pass(Duration::from_secs(1700)).await;
    assert_eq!(state(&world, &row.serial), CertificateState::Pending);
    pass(Duration::from_secs(130)).await;
    assert_eq!(state(&world, &row.serial), CertificateState::Revoked);
    assert_eq!(world.store.sessions()[0].phase, SessionPhase::Failed);
    assert_eq!(device.ask(&row.session, &row.serial).await.unwrap(), OutcomeResult::Aborted);
    assert_eq!(revoked(&world).1, [row.serial]);
    housekeeping.abort();
}

#[tokio::test(start_paused = true)]
async fn pairing_again_supersedes_and_the_first_heartbeat_revokes() {
    let world = World::new().await;
    let (device, first) = paired(&world).await;
    let _beat = world.station.heartbeat(&first.serial, &heartbeat()).await.unwrap();
    device.open_window();
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let second = world
        .store
        .certificates()
        .into_iter()
        .find(|row| row.state == CertificateState::Current)
        .unwrap();
    assert_ne!(first.serial, second.serial);
    assert_eq!(second.config_version, 2);
    assert_eq!(state(&world, &first.serial), CertificateState::Superseded);

    // Until the new one is used the old one still monitors.
    let beat = world.station.heartbeat(&first.serial, &heartbeat()).await.unwrap();
    assert_eq!(beat.config_version, 1);
    let error = world.station.test(&first.serial).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StateConflict);
    let beat = world.station.heartbeat(&second.serial, &heartbeat()).await.unwrap();
    assert_eq!((beat.config_version, beat.time), (2, world.clock.wall()));
    assert_eq!(state(&world, &first.serial), CertificateState::Revoked);
    let error = world.station.heartbeat(&first.serial, &heartbeat()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CertificateRevoked);
    assert_eq!(revoked(&world).1, [first.serial]);
    assert_eq!(world.store.count(EventType::CertificateSuperseded), 1);
    assert_eq!(world.store.count(EventType::CertificateRevoked), 1);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_never_waits_for_the_audit_log() {
    let world = World::new().await;
    let (device, first) = paired(&world).await;
    device.open_window();
    let _again = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let second =
        world.store.certificates().into_iter().find(|row| row.serial != first.serial).unwrap();
    world.store.fail_commits(true);
    assert!(world.station.heartbeat(&second.serial, &heartbeat()).await.is_ok());
    assert_eq!(state(&world, &first.serial), CertificateState::Superseded);
    world.store.fail_commits(false);
    assert!(world.station.heartbeat(&second.serial, &heartbeat()).await.is_ok());
    assert_eq!(state(&world, &first.serial), CertificateState::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_s_checkpoint_is_verified_and_a_bad_one_alarms() {
    use zmon_station::ports::StationStore;
    let world = World::new().await;
    let (device, row) = paired(&world).await;
    let stranger = FakeDevice::new(2, Suite::P256);
    let beat = async |checkpoint: &str| {
        let audit_checkpoint = Some(checkpoint.to_owned());
        let heartbeat = Heartbeat { audit_checkpoint, ..heartbeat() };
        // Monitoring goes on whatever the log is worth.
        world.station.heartbeat(&row.serial, &heartbeat).await.unwrap();
        world.store.peer_checkpoint(&device.id).await.unwrap()
    };
    let first = device.checkpoint(7, 1);
    assert_eq!(beat(&first).await.as_ref(), Some(&first));
    assert_eq!(beat(&first).await.as_ref(), Some(&first));
    assert_eq!(world.store.count(EventType::CheckpointReceived), 0);

    let mut events = world.station.events();
    let rolled_back = device.checkpoint(6, 1);
    for bad in [rolled_back.as_str(), &device.checkpoint(7, 2), &stranger.checkpoint(9, 1), "junk"]
    {
        assert_eq!(beat(bad).await.as_ref(), Some(&first));
    }
    assert_eq!(world.store.count(EventType::CheckpointReceived), 1, "one row a minute");
    pass(Duration::from_secs(61)).await;
    assert_eq!(beat("junk").await.as_ref(), Some(&first));
    let codes: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
        .filter_map(|event| {
            let StationEvent::Alarm { code, .. } = event else { return None };
            Some(code)
        })
        .collect();
    assert_eq!(codes, [ErrorCode::AuditRolledBack, ErrorCode::AuditCheckpointInvalid]);
    let rows = world.store.audit_events();
    let rows = rows.iter().filter(|row| row.event == EventType::CheckpointReceived);
    assert_eq!(rows.map(|row| row.error.unwrap()).collect::<Vec<_>>(), codes);

    let next = device.checkpoint(8, 5);
    assert_eq!(beat(&next).await.as_ref(), Some(&next));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_tested_as_often_as_wanted_and_written_down_once() {
    let world = World::new().await;
    let (_device, row) = undecided(&world).await;
    let before = world.store.count(EventType::ConnectionTested);
    for _ in 0..5 {
        world.station.test(&row.serial).await.unwrap();
    }
    assert_eq!((before, world.store.count(EventType::ConnectionTested)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_is_refused_at_the_next_request_and_listed() {
    let world = World::new().await;
    let (device, row) = paired(&world).await;
    let (before, none) = revoked(&world);
    assert_eq!(none, []);
    let error = world
        .station
        .revoke(&technician(), &row.serial, RevocationReason::Administrator)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotPermitted);

    let reason = RevocationReason::KeyCompromise;
    let answer = world.station.revoke(&administrator(), &row.serial, reason).await.unwrap();
    assert_eq!((answer.device_id, answer.already_revoked), (device.id.clone(), false));
    for purpose in [CertificateUse::Test, CertificateUse::Commit, CertificateUse::Ordinary] {
        let error = world.station.admit_peer(&row.serial, purpose).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CertificateRevoked);
    }
    let (after, listed) = revoked(&world);
    assert_eq!((after, listed), (before + 1, vec![row.serial]));
    let again = world.station.revoke(&administrator(), &row.serial, reason).await.unwrap();
    assert!(again.already_revoked);
    assert_eq!(revoked(&world).0, after, "nothing new, no new list");
    let unknown = Serial::from_bytes(&[0x43; 16]).unwrap();
    let error = world.station.revoke(&administrator(), &unknown, reason).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CertificateUnknown);
}

#[tokio::test(start_paused = true)]
async fn revoking_the_current_certificate_takes_the_superseded_one_with_it() {
    let world = World::new().await;
    let (device, first) = paired(&world).await;
    device.open_window();
    let _again = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let second =
        world.store.certificates().into_iter().find(|row| row.serial != first.serial).unwrap();
    assert_eq!(state(&world, &first.serial), CertificateState::Superseded);

    let reason = RevocationReason::KeyCompromise;
    let _answer = world.station.revoke(&administrator(), &second.serial, reason).await.unwrap();
    for serial in [&first.serial, &second.serial] {
        assert_eq!(state(&world, serial), CertificateState::Revoked);
        let error = world.station.heartbeat(serial, &heartbeat()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CertificateRevoked);
        assert!(revoked(&world).1.contains(serial));
    }
    assert_eq!(world.store.count(EventType::CertificateRevoked), 2);
}

#[tokio::test(start_paused = true)]
async fn decommissioning_revokes_everything_of_the_device() {
    let world = World::new().await;
    let (device, row) = paired(&world).await;
    world.station.decommission(&administrator(), &device.id).await.unwrap();
    assert_eq!(state(&world, &row.serial), CertificateState::Revoked);
    assert_eq!(world.store.count(EventType::DeviceDeprovisioned), 1);
    let ghost = zmon_domain::ids::DeviceId::parse("ZM-404").unwrap();
    let error = world.station.decommission(&administrator(), &ghost).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeviceUnknown);
}

#[tokio::test(start_paused = true)]
async fn the_list_is_made_anew_in_time_and_after_a_failure() {
    let world = World::new().await;
    let (_device, row) = paired(&world).await;
    let first = revoked(&world).0;
    world.station.round().await.unwrap();
    assert_eq!(revoked(&world).0, first, "still fresh");
    pass(Duration::from_secs(12 * 3600)).await;
    world.station.round().await.unwrap();
    assert_eq!(revoked(&world).0, first + 1);

    world.store.fail_on(Some(EventType::CrlPublished));
    let reason = RevocationReason::Administrator;
    let _revoked = world.station.revoke(&administrator(), &row.serial, reason).await.unwrap();
    assert_eq!(revoked(&world).1, []);
    let error = world.station.admit_peer(&row.serial, CertificateUse::Ordinary).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CertificateRevoked);
    world.store.fail_on(None);
    world.station.round().await.unwrap();
    assert_eq!(revoked(&world).1, [row.serial]);
}

#[tokio::test(start_paused = true)]
async fn expired_certificates_leave_the_list() {
    let world = World::new().await;
    let (_device, row) = paired(&world).await;
    let reason = RevocationReason::Administrator;
    let _revoked = world.station.revoke(&administrator(), &row.serial, reason).await.unwrap();
    pass(Duration::from_secs(91 * 86_400)).await;
    world.station.round().await.unwrap();
    assert_eq!(revoked(&world).1, []);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_device_may_still_commit() {
    let world = World::new().await;
    let (device, row) = undecided(&world).await;
    let world = world.restart().await;
    assert_eq!(world.store.sessions()[0].phase, SessionPhase::AwaitingCommit);
    let result = device.commit(&row.session, &row.serial).await.unwrap();
    assert_eq!(result, OutcomeResult::Committed);
    assert_eq!(state(&world, &row.serial), CertificateState::Current);
    let session = &world.store.sessions()[0];
    assert_eq!((session.phase, session.reserved), (SessionPhase::Paired, false));
    assert_eq!(world.store.count(EventType::PairingSucceeded), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_certificate_nobody_wants_is_still_aborted() {
    let world = World::new().await;
    let (_device, row) = undecided(&world).await;
    let world = world.restart().await;
    pass(Duration::from_secs(1801)).await;
    world.station.round().await.unwrap();
    assert_eq!(state(&world, &row.serial), CertificateState::Revoked);
    let session = &world.store.sessions()[0];
    assert_eq!(
        (session.phase, session.error),
        (SessionPhase::Failed, Some(ErrorCode::DeviceUnreachable))
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_releases_what_an_earlier_program_had_not_kept() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let scan =
        world.station.scan(&technician(), device.scan_request()).await.unwrap().scanned().unwrap();
    world
        .store
        .put(|tables| {
            tables.states.clear();
            tables.sessions.values_mut().for_each(|row| row.owner = None);
        })
        .await;
    let world = world.restart().await;
    let session = &world.store.sessions()[0];
    assert_eq!((session.phase, session.reserved), (SessionPhase::Released, false));
    let error = world.station.pair_result(&technician(), &scan.session_id).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionExpired);
    device.open_window();
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_session_still_has_its_answer() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let first = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let world = world.restart().await;
    let session = world.store.sessions()[0].id;
    let second = world.station.pair_result(&technician(), &session).await.unwrap();
    let (PairOutcome::Paired(first), PairOutcome::Paired(second)) = (first, second) else {
        panic!("both are paired");
    };
    assert_eq!(first.configuration.signature, second.configuration.signature);
    assert_eq!(world.store.certificates().len(), 1);
}

/// A statement of `device` about `serials`.
#[cfg(test)]
fn retires(device: &FakeDevice, serials: &[Serial], counter: u64) -> String {
    let statement = RetireStatement {
        v: V1::default(),
        device_id: device.id.clone(),
        serials: serials.to_vec(),
        reason: RetireReason::Deprovisioned,
        counter,
    };
    device.sign(Typ::Retire, &strict::to_vec(&statement).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_retire_statement_revokes_exactly_its_certificates_and_comes_again_without_effect() {
    let world = World::new().await;
    let (device, row) = paired(&world).await;
    let other = FakeDevice::new(2, Suite::P256);
    world.know(&[&other]).await;
    world.station.pair(&technician(), other.pair_request()).await.unwrap();
    let (before, _) = revoked(&world);
    let statement = retires(&device, &[row.serial], 7);
    let answer = world.station.retire(HERE, statement.as_bytes()).await.unwrap();
    assert_eq!((&answer.device_id, answer.counter), (&device.id, 7));
    assert_eq!(state(&world, &row.serial), CertificateState::Revoked);
    let (number, serials) = revoked(&world);
    assert_eq!((number, serials), (before + 1, vec![row.serial]), "published at once");
    let rows = world.store.audit_events();
    let received = rows.iter().find(|row| row.event == EventType::RetireReceived).unwrap();
    assert_eq!((received.device_id.as_ref(), &received.actor), (Some(&device.id), &Actor::Peer));
    assert!(received.detail.contains(&("counter", "7".to_owned())));
    let refused = world.station.heartbeat(&row.serial, &heartbeat()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateRevoked);
    // The other device goes on.
    let live = world.store.certificates();
    let live = live.iter().find(|row| row.device_id == other.id).unwrap();
    assert!(world.station.heartbeat(&live.serial, &heartbeat()).await.is_ok());

    for _ in 0..2 {
        assert_eq!(world.station.retire(HERE, statement.as_bytes()).await.unwrap(), answer);
    }
    assert_eq!(world.store.count(EventType::RetireReceived), 1);
    assert_eq!(world.store.count(EventType::CertificateRevoked), 1);
    assert_eq!(revoked(&world).0, before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_statement_spares_the_certificate_of_a_newer_pairing() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    device.open_window();
    world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let new = world.store.certificates();
    let new = new.iter().find(|row| row.serial != old.serial).unwrap().serial;
    assert_eq!(state(&world, &old.serial), CertificateState::Superseded);
    world.station.retire(HERE, retires(&device, &[old.serial], 1).as_bytes()).await.unwrap();
    assert_eq!(state(&world, &old.serial), CertificateState::Revoked);
    assert_eq!(state(&world, &new), CertificateState::Current);
}

#[tokio::test(start_paused = true)]
async fn with_the_current_certificate_goes_what_only_its_use_would_have_retired() {
    let world = World::new().await;
    let (device, old) = paired(&world).await;
    device.open_window();
    world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let new = world.store.certificates();
    let new = new.iter().find(|row| row.serial != old.serial).unwrap().serial;
    world.station.retire(HERE, retires(&device, &[new], 1).as_bytes()).await.unwrap();
    for serial in [old.serial, new] {
        assert_eq!(state(&world, &serial), CertificateState::Revoked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_proves_nothing_or_names_others_revokes_nothing() {
    let world = World::new().await;
    let (device, row) = paired(&world).await;
    let other = FakeDevice::new(2, Suite::P256);
    world.know(&[&other]).await;
    world.station.pair(&technician(), other.pair_request()).await.unwrap();
    let foreign = world.store.certificates();
    let foreign = foreign.iter().find(|row| row.device_id == other.id).unwrap().serial;
    let unknown = Serial::from_bytes(&[0x41; 16]).unwrap();
    let ask = device.sign(Typ::Ask, b"{}");
    let cases = [
        ("no JWS".to_owned(), ErrorCode::JwsMalformed),
        (ask, ErrorCode::JwsMalformed),
        (retires(&device, &[], 1), ErrorCode::JwsMalformed),
        (retires(&device, &[unknown], 1), ErrorCode::SessionUnknown),
        (retires(&other, &[row.serial], 1), ErrorCode::SignatureInvalid),
        (retires(&device, &[row.serial, unknown], 1), ErrorCode::CertificateUnknown),
        (retires(&device, &[row.serial, foreign], 1), ErrorCode::DeviceMismatch),
    ];
    for (statement, code) in cases {
        let refused = world.station.retire(HERE, statement.as_bytes()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{statement}");
    }
    assert_eq!(state(&world, &row.serial), CertificateState::Current);
    assert_eq!(state(&world, &foreign), CertificateState::Current);
    // Who proved who they are and named what is not theirs has a row.
    assert_eq!(world.store.count(EventType::RetireReceived), 2);

    // Repeated all day it costs a row per reason and minute, besides the budget of its source.
    let repeated = retires(&device, &[row.serial, unknown], 1);
    for _ in 0..100 {
        let refused = world.station.retire(HERE, repeated.as_bytes()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::CertificateUnknown);
    }
    assert_eq!(world.store.count(EventType::RetireReceived), 10);
    pass(Duration::from_secs(60)).await;
    world.station.round().await.unwrap();
    assert_eq!(world.store.count(EventType::JunkRefused), 1, "the rest share one row");
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_cannot_be_written_down_is_not_answered() {
    let world = World::new().await;
    let (device, row) = paired(&world).await;
    world.store.fail_commits(true);
    let statement = retires(&device, &[row.serial], 1);
    assert!(world.station.retire(HERE, statement.as_bytes()).await.is_err());
    world.store.fail_commits(false);
    assert_eq!(state(&world, &row.serial), CertificateState::Current);
    assert!(world.station.retire(HERE, statement.as_bytes()).await.is_ok());
}
