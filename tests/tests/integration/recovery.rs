//! [W §13.2] "Error handling and recovery": every step fails once, and every state is left.

use zmon_crypto::token::PairingToken;
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_station::ports::CertificateState;
use zmon_testkit::{
    DOUBT, Fault, Kind, RETRIES, Relay, SimulatedDevice, Step, TestStation, paired, registered,
    wait,
};

/// Pairs under `faults` and expects the refusal; both audit trails hold afterwards.
async fn refused(station: &TestStation, device: &SimulatedDevice, fault: Fault) -> ErrorCode {
    let side = match fault.step {
        Step::Dial | Step::Session | Step::Identity | Step::Issue | Step::Deliver => {
            station.faults()
        }
        Step::Test
        | Step::Commit
        | Step::Outcome
        | Step::Pull
        | Step::Fetch
        | Step::Retire
        | Step::Heartbeat
        | Step::Store => device.faults(),
    };
    let qr = device.open_window().await;
    side.order(fault.step, fault.kind);
    let refused = station.pair(&qr).await.expect_err("a fault was ordered");
    side.clear();
    device.audit_verified().await;
    station.audit_verified().await;
    refused.code()
}

/// After a failed pairing nothing is installed, and the next pairing is as good as the first.
async fn recovers(station: &TestStation, device: &SimulatedDevice) {
    assert!(!device.view().is_provisioned, "nothing was installed");
    assert!(station.certificates(device, CertificateState::Current).await.is_empty());
    match device.state() {
        ProvisioningState::Error => {}
        ProvisioningState::ReadyToPair | ProvisioningState::Pairing => {
            device.service().exit_provisioning_mode(None).await.unwrap();
        }
        other => panic!("{other:?}"),
    }
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    device.audit_verified().await;
    station.audit_verified().await;
}

macro_rules! faults {
    ($($name:ident: $fault:literal => $code:ident, $state:ident;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (station, device) = registered().await;
                let code = refused(&station, &device, $fault.parse().unwrap()).await;
                assert_eq!(code, ErrorCode::$code);
                device.until_state(ProvisioningState::$state).await;
                recovers(&station, &device).await;
            }
        )+
    };
}

faults! {
    an_unreachable_device_loses_nothing: "dial=fail" => DeviceUnreachable, ReadyToPair;
    a_hello_that_is_not_sent_loses_nothing: "session=fail" => DeviceUnreachable, ReadyToPair;
    a_spoilt_hello_is_refused: "session=tamper" => ClaimRefused, ReadyToPair;
    half_a_hello_is_refused: "session=truncate" => ClaimRefused, ReadyToPair;
    a_lost_identity_consumes_the_code: "session=drop" => DeviceUnreachable, Pairing;
    a_spoilt_identity_is_refused: "identity=tamper" => IdentityInvalid, Pairing;
    half_an_identity_is_refused: "identity=truncate" => IdentityInvalid, Pairing;
    an_authority_that_fails_is_named: "issue=fail" => KeyStoreUnavailable, Pairing;
    a_spoilt_certificate_is_not_installed: "issue=tamper" => ClientCertificateInvalid, Error;
    a_spoilt_envelope_is_not_opened: "deliver=tamper" => EnvelopeMacInvalid, Pairing;
    half_an_envelope_is_not_opened: "deliver=truncate" => EnvelopeMalformed, Pairing;
    a_station_that_cannot_be_reached_for_the_test_is_not_installed: "test=fail" => ConnectionTestFailed, Error;
    another_server_at_the_test_is_not_installed: "test=tamper" => ServerPinMismatch, Error;
}

#[tokio::test]
async fn the_network_is_tried_three_times_in_all_and_a_certificate_once() {
    let (station, device) = registered().await;
    refused(&station, &device, Fault::new(Step::Dial, Kind::Fail)).await;
    assert_eq!(station.faults().count(Step::Dial), 3);
    device.service().exit_provisioning_mode(None).await.unwrap();

    refused(&station, &device, Fault::new(Step::Test, Kind::Fail)).await;
    assert_eq!(device.faults().count(Step::Test), 3);

    refused(&station, &device, Fault::new(Step::Test, Kind::Tamper)).await;
    assert_eq!(device.faults().count(Step::Test), 4);
    recovers(&station, &device).await;
}

#[tokio::test]
async fn what_fails_twice_and_works_the_third_time_is_a_success() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    for _ in 0..2 {
        station.faults().once(Step::Dial, Kind::Fail);
        station.faults().once(Step::Deliver, Kind::Fail);
        device.faults().once(Step::Test, Kind::Drop);
        device.faults().once(Step::Commit, Kind::Fail);
    }
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    assert_eq!(station.faults().count(Step::Issue), 1);
    assert_eq!(device.faults().count(Step::Test), 3);
    assert_eq!(device.faults().count(Step::Commit), 3);
}

#[tokio::test]
async fn a_delivery_whose_connection_breaks_goes_on_over_another() {
    let (station, device) = registered().await;
    let mut qr = device.open_window().await;
    let port = PairingToken::parse_base64url(qr.pairing_token.expose()).unwrap().port();
    let (wire, there) = ([127, 0, 0, 2], [127, 0, 0, 1]);
    let relay = Relay::between((wire, port).into(), (there, port).into()).await;
    qr.ip_address = DeviceAddress::from_ip(wire.into()).unwrap();
    // The envelope has come and the device is at work on it.
    device.faults().once(Step::Test, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.pair(&qr).await });
    device.faults().reached(Step::Test, 1).await;
    assert_eq!(relay.count(), 1);
    relay.cut();
    station.clock().hurry(RETRIES, relay.connected(2)).await;
    device.faults().release();
    wait::within("the pairing", pairing).await.unwrap().unwrap();
    device.until_connected().await;
    assert_eq!(relay.count(), 2);
    assert_eq!(station.faults().count(Step::Issue), 1);
    assert!(!device.has_refused(ErrorCode::SessionBusy).await, "the same hello is no other one");
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_delivery_changes_nothing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.faults().order(Step::Deliver, Kind::Drop);
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_asked_again_and_mints_nothing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().once(Step::Commit, Kind::Drop);
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    assert_eq!(device.faults().count(Step::Commit), 2);
    assert_eq!(station.faults().count(Step::Issue), 1);
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn a_commit_that_arrived_and_was_never_answered_is_found_out_by_asking() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Commit, Kind::Drop);
    device.faults().once(Step::Outcome, Kind::Fail);
    device.faults().once(Step::Outcome, Kind::Tamper);
    let tablet = station.technician().clone();
    // The tablet may be told "pending" or the success; both sides end up with one certificate.
    let pairing = tokio::spawn(async move { tablet.try_pair(&qr).await });
    device.faults().reached(Step::Commit, 1).await;
    station.clock().hurry(DOUBT, device.until_state(ProvisioningState::Provisioned)).await;
    device.until_connected().await;
    assert!(device.faults().count(Step::Outcome) >= 3);
    assert!(pairing.await.unwrap().unwrap().status.is_success());
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_aborted_by_asking() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Commit, Kind::Fail);
    let scanned = station.technician().scan(&qr).await.unwrap();
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.try_pair(&qr).await });
    device.faults().reached(Step::Commit, 1).await;
    let failed = device.until_state(ProvisioningState::Error);
    let view = station.clock().hurry(DOUBT, failed).await;
    drop(pairing.await.unwrap());
    let told = station.technician().result(scanned.session_id).await.unwrap_err();
    assert_eq!(told.code(), ErrorCode::CommitAborted);
    assert_eq!(view.last_error.unwrap().code, ErrorCode::CommitAborted);
    device.faults().clear();
    recovers(&station, &device).await;
}

#[tokio::test]
async fn a_station_that_goes_down_before_the_test_can_be_paired_with_afterwards() {
    let (mut station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Test, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.try_pair(&qr).await });
    device.faults().reached(Step::Test, 1).await;
    station.crash();
    device.faults().clear();
    let clock = station.clock().clone();
    let failed = device.until_state(ProvisioningState::Error);
    let view = clock.hurry(DOUBT, failed).await;
    assert_eq!(view.last_error.unwrap().code, ErrorCode::ConnectionTestFailed);
    assert!(pairing.await.unwrap().is_err(), "the tablet's connection broke");

    station.restart().await;
    recovers(&station, &device).await;
}

#[tokio::test]
async fn a_station_that_goes_down_in_doubt_decides_when_it_is_back() {
    let (mut station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Commit, Kind::Drop);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.try_pair(&qr).await });
    device.faults().reached(Step::Commit, 1).await;
    let clock = station.clock().clone();
    clock.hurry(DOUBT, device.faults().reached(Step::Commit, 3)).await;
    station.crash();
    drop(pairing.await.unwrap());
    let asked = device.faults().count(Step::Outcome);
    clock.hurry(DOUBT, device.faults().reached(Step::Outcome, asked + 2)).await;
    assert_eq!(device.state(), ProvisioningState::Validating, "silence drops no slot");

    station.restart().await;
    clock.hurry(DOUBT, device.until_state(ProvisioningState::Provisioned)).await;
    clock.hurry(DOUBT, device.until_connected()).await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
    station.audit_verified().await;
    device.audit_verified().await;
}

/// Leaves a device in each state of a pairing.
async fn in_state(station: &TestStation, device: &SimulatedDevice, state: ProvisioningState) {
    let qr = device.open_window().await;
    let tablet = station.technician().clone();
    match state {
        ProvisioningState::ReadyToPair => {}
        ProvisioningState::Pairing => drop(tablet.scan(&qr).await.unwrap()),
        ProvisioningState::Validating => {
            device.faults().order(Step::Test, Kind::Delay);
            drop(tokio::spawn(async move { tablet.try_pair(&qr).await }));
            device.faults().reached(Step::Test, 1).await;
        }
        other => panic!("{other:?}"),
    }
    device.until_state(state).await;
}

const LEAVABLE: [ProvisioningState; 3] =
    [ProvisioningState::ReadyToPair, ProvisioningState::Pairing, ProvisioningState::Validating];

#[tokio::test]
async fn every_state_can_be_cancelled() {
    for state in LEAVABLE {
        let (station, device) = registered().await;
        in_state(&station, &device, state).await;
        device.service().exit_provisioning_mode(None).await.unwrap();
        assert_eq!(device.state(), ProvisioningState::NotProvisioned, "{state:?}");
        device.faults().clear();
        let qr = device.open_window().await;
        free(&station, &device).await;
        station.pair(&qr).await.unwrap();
        device.until_connected().await;
        assert!(has(&device, EventType::PairingCancelled).await);
        device.audit_verified().await;
    }
}

#[tokio::test]
async fn every_state_can_be_reset() {
    for state in LEAVABLE {
        let (station, device) = registered().await;
        in_state(&station, &device, state).await;
        let proof = device.technician().await;
        device.service().reset(proof).await.unwrap();
        assert_eq!(device.state(), ProvisioningState::NotProvisioned, "{state:?}");
        device.faults().clear();
        let qr = device.open_window().await;
        free(&station, &device).await;
        station.pair(&qr).await.unwrap();
        device.until_connected().await;
        assert!(has(&device, EventType::ProvisioningReset).await);
        device.audit_verified().await;
    }
}

#[tokio::test]
async fn a_commit_in_doubt_cannot_be_cancelled_or_reset() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Commit, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.pair(&qr).await });
    device.faults().reached(Step::Commit, 1).await;
    let service = device.service();
    let cancelled = service.exit_provisioning_mode(None).await.unwrap_err();
    assert_eq!(cancelled.code, ErrorCode::StateConflict);
    let reset = service.reset(device.technician().await).await.unwrap_err();
    assert_eq!(reset.code, ErrorCode::StateConflict);
    device.faults().clear();
    pairing.await.unwrap().unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn the_operator_of_the_station_can_give_a_session_up() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let scanned = station.technician().scan(&qr).await.unwrap();
    station.technician().cancel(scanned.session_id).await.unwrap();
    assert!(station.technician().result(scanned.session_id).await.is_err());
    device.service().exit_provisioning_mode(None).await.unwrap();
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn a_scan_without_a_pair_is_released_and_the_device_shows_a_new_code() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let scanned = station.technician().scan(&qr).await.unwrap();
    device.until_state(ProvisioningState::Pairing).await;
    let margin = limits::DELIVERY_TIMEOUT.default;
    station.clock().advance(limits::CLAIM_WITHOUT_PAIR.default + margin);
    device.until_state(ProvisioningState::ReadyToPair).await;
    let fresh = device.qr().await;
    assert_ne!(fresh.pairing_code.expose(), qr.pairing_code.expose());
    assert!(station.technician().pair_scanned(&qr, scanned.session_id).await.is_err());
    station.pair(&fresh).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn the_database_of_the_device_fails_once_and_the_pairing_goes_on() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    // The transaction after the connection test: an internal step is tried again.
    device.faults().after(2, Step::Store, Kind::Fail);
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    device.audit_verified().await;
}

#[tokio::test]
async fn deprovisioning_ends_the_link_and_a_new_pairing_begins_it() {
    let (station, device) = paired().await;
    let refused = device.service().deprovision_device(device.technician().await).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::NotPermitted);
    device.service().deprovision_device(device.administrator().await).await.unwrap();
    assert_eq!(device.state(), ProvisioningState::Deprovisioned);
    wait::until("the link to end", device.link(), |link| !link.connected).await;
    let boot = device.store().load().await.unwrap();
    assert!(boot.slot_a.is_none() && boot.slot_b.is_none());

    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
}

async fn has(device: &SimulatedDevice, event: EventType) -> bool {
    device.events().await.iter().any(|(known, _)| *known == event)
}

/// Waits until the station's session of a pairing that was cancelled at the device is over.
async fn free(station: &TestStation, device: &SimulatedDevice) {
    let reserved = || async {
        let row = station.store().reservation(device.id()).await.unwrap();
        let live = row.is_some_and(|row| {
            !row.phase.is_final() && row.phase != zmon_station::ports::SessionPhase::Identified
        });
        (!live).then_some(())
    };
    station.clock().hurry(RETRIES, wait::eventually("the session's end", reserved)).await;
}
