//! What the listener's endpoint answers, and when.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use core::time::Duration;
use std::sync::atomic::Ordering;

use crate::common::pass;
use zmon_crypto::jws::Unverified;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::UnixTime;
use zmon_protocol::device::LinkError;
use zmon_provisioning::IProvisioningService;
use zmon_wire::session::{DeliveryAnswer, StatusDocument};
use zmon_wire::strict;

use crate::common::{Bench, drain, settle};

fn read(answer: &DeliveryAnswer) -> StatusDocument {
    let status = Unverified::parse(answer.status.as_bytes()).unwrap();
    strict::parse(status.payload_unverified(), 65_536).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pairing_leaves_its_rows_in_order_and_closes_the_listener() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let answer = bench.pair(&service).await.unwrap();
    let status = read(&answer);
    assert!(status.success && status.configuration_hash.is_some());
    assert_eq!(status.state, ProvisioningState::Provisioned);
    assert!(bench.listener.endpoint().is_none());
    let expected = [
        EventType::ProvisioningModeEntered,
        EventType::PairingCodeGenerated,
        EventType::PairingCodeValidated,
        EventType::ConfigurationReceived,
        EventType::ConfigurationApplied,
        EventType::ConnectionTested,
        EventType::CommitSent,
        EventType::CommitConfirmed,
        EventType::CertificateInstalled,
        EventType::ProvisioningCompleted,
    ];
    assert_eq!(bench.store.event_types(), expected);
    assert_eq!(bench.store.commits(), 5);
    let boot = bench.store.boot();
    assert!(boot.slot_a.is_some() && boot.slot_b.is_none() && !boot.window_open);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_delivery_gets_the_same_answer() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.envelope(&identified, |_| ());
    let endpoint = bench.endpoint();
    let (first, second) = tokio::join!(
        endpoint.configuration(envelope.clone()),
        endpoint.configuration(envelope.clone())
    );
    let third = endpoint.configuration(envelope.clone()).await.unwrap();
    assert_eq!(first.unwrap().status, third.status);
    assert_eq!(second.unwrap().status, third.status);
    let replayed = service.receive_configuration(&envelope).await.unwrap_err();
    assert_eq!(replayed.code(), ErrorCode::ConfigurationReplayed);
    assert_eq!(bench.link.tested.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_refused_for_good_ends_the_session_with_a_signed_answer() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let mut events = service.events();
    let answer = bench.pair_with(&service, |document| {
        document.timestamp = UnixTime::EPOCH;
        document.expires_at = UnixTime::EPOCH;
    });
    let status = read(&answer.await.unwrap());
    assert_eq!(status.code, Some(ErrorCode::ConfigurationExpired));
    assert!(!status.success);
    let expected = [
        "statusChanged(READY_TO_PAIR)",
        "provisioningFailed",
        "statusChanged(PROVISIONING_FAILED)",
    ];
    assert_eq!(drain(&mut events), expected);

    // The same through the service: the specific cause, with the field where there is one.
    service.retry(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.seal(&identified, b"not a signed configuration");
    let refused = service.receive_configuration(&envelope).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::JwsMalformed);
    assert_eq!(service.view().borrow().last_error, Some(refused));
}

#[tokio::test(start_paused = true)]
async fn a_tampered_envelope_is_refused_and_the_session_survives() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.envelope(&identified, |_| ());
    let mut tampered = envelope.clone();
    let last = tampered.len() - 1;
    tampered[last] ^= 1;
    let refused = bench.endpoint().configuration(tampered).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::EnvelopeMacInvalid);
    assert_eq!(service.state(), ProvisioningState::Pairing);
    bench.endpoint().configuration(envelope).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
}

#[tokio::test(start_paused = true)]
async fn a_slow_delivery_is_answered_pending_after_thirty_seconds() {
    let bench = Bench::new();
    bench.link.stalled.store(true, Ordering::SeqCst);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let begun = tokio::time::Instant::now();
    let status = read(&bench.pair(&service).await.unwrap());
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    assert!(status.is_pending() && status.configuration_hash.is_none());
    assert_eq!(service.state(), ProvisioningState::Validating);
}

#[tokio::test(start_paused = true)]
async fn the_network_is_tried_three_times_in_all() {
    let bench = Bench::new();
    let network = LinkError::Network(ErrorCode::StationUnreachable);
    bench.link.tests.lock().unwrap().extend([network; 9]);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let status = read(&bench.pair(&service).await.unwrap());
    assert_eq!(status.code, Some(ErrorCode::ConnectionTestFailed));
    let tested = bench.link.tested.lock().unwrap().clone();
    let millis: Vec<_> = tested.iter().map(|at| at.elapsed().as_millis()).collect();
    assert_eq!(millis, [0, 500, 1500]);
    assert_eq!(service.state(), ProvisioningState::Error);
    pass(Duration::from_secs(60)).await;
    assert_eq!(bench.link.tested.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_network_failures_and_a_success_provision() {
    let bench = Bench::new();
    let network = LinkError::Network(ErrorCode::StationUnreachable);
    bench.link.tests.lock().unwrap().extend([network; 2]);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    assert!(read(&bench.pair(&service).await.unwrap()).success);
    assert_eq!(bench.link.tested.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_station_is_tried_once() {
    for fault in [
        LinkError::Refused(ErrorCode::ConnectionRefusedByStation),
        LinkError::Certificate(ErrorCode::ServerPinMismatch),
    ] {
        let bench = Bench::new();
        bench.link.tests.lock().unwrap().push(fault);
        let service = bench.start().await;
        service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
        let status = read(&bench.pair(&service).await.unwrap());
        assert_eq!(status.code, Some(fault.code()));
        assert_eq!(bench.link.tested.lock().unwrap().len(), 1);
        assert!(bench.store.boot().slot_b.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_commit_answer_is_asked_for_until_it_comes() {
    let bench = Bench::new();
    let network = LinkError::Network(ErrorCode::StationUnreachable);
    bench.link.commits.lock().unwrap().extend([network; 2]);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    assert!(read(&bench.pair(&service).await.unwrap()).success);
    assert_eq!(service.state(), ProvisioningState::Provisioned);

    // All three commits lost, and the station never saw one: its record says aborted.
    let bench = Bench::new();
    bench.link.commits.lock().unwrap().extend([network; 3]);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let status = read(&bench.pair(&service).await.unwrap());
    assert_eq!(status.code, Some(ErrorCode::CommitAborted));
    assert_eq!(bench.link.asks.load(Ordering::SeqCst), 1);
    assert!(bench.store.boot().slot_b.is_none());
}

#[tokio::test(start_paused = true)]
async fn cancelling_answers_the_delivery_and_drops_the_late_result() {
    let bench = Bench::new();
    bench.link.stalled.store(true, Ordering::SeqCst);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.envelope(&identified, |_| ());
    let verified = service.receive_configuration(&envelope).await.unwrap();
    settle().await;
    let technician = bench.proof(Role::Technician);
    service.exit_provisioning_mode(Some(&technician)).await.unwrap();
    assert_eq!(bench.store.rows_of(EventType::PairingCancelled)[0].actor, technician.actor());
    let result = service.apply_provisioning_config(verified).await;
    assert_eq!(result.error.unwrap().code(), ErrorCode::Cancelled);
    assert_eq!(service.state(), ProvisioningState::NotProvisioned);
    assert!(bench.store.boot().slot_b.is_none());
}

#[tokio::test(start_paused = true)]
async fn strangers_get_one_answer() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let endpoint = bench.endpoint();
    let qr = service.generate_qr_code().await.unwrap();
    let (_, good) = bench.station.scan(qr.qr_code_content(), bench.now());
    let mut wrong_mac = good.clone();
    wrong_mac.claim_mac = [7; 32];
    let mut no_hello = good.clone();
    no_hello.hello = "not a hello".into();
    for open in [wrong_mac, no_hello] {
        let refused = endpoint.session(open).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    }
    let refused = endpoint.configuration(b"junk".to_vec()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    endpoint.junk(ErrorCode::RequestMalformed).await;
    assert_eq!(service.state(), ProvisioningState::ReadyToPair);
    endpoint.session(good).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Pairing);
    // The code is consumed: no second session, no new code, no image.
    assert!(bench.claim(&service).await.is_err());
    let busy = service.generate_pairing_code().await.unwrap_err();
    assert_eq!(busy.code(), ErrorCode::StateConflict);
    service.shutdown().await;
    let gone = endpoint.configuration(Vec::new()).await.unwrap_err();
    assert_eq!(gone.code(), ErrorCode::Cancelled);
}
