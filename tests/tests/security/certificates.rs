//! [W §13.3] "Certificate validation after provisioning".

use core::time::Duration;

use zmon_crypto::{SecretBytes, TlsKey};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{LinkCredentials, LinkError};
use zmon_provisioning::ports::StationLink;
use zmon_testkit::{
    DeviceOptions, Kind, SimulatedDevice, StationOptions, Step, TestStation, paired, registered,
    wait,
};
use zmon_transport::station_link::TlsStationLink;
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::kind::V1;
use zmon_wire::outcome::CommitRequest;

fn heartbeat() -> Heartbeat {
    Heartbeat {
        sequence: 1,
        uptime_seconds: 0,
        bytes_sent: 0,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    }
}

#[tokio::test]
async fn a_pending_certificate_opens_the_test_and_the_commit_only() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Commit, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.pair(&qr).await });
    device.faults().reached(Step::Commit, 1).await;
    let (slot, sent) = device.store().load().await.unwrap().slot_b.unwrap();
    assert!(sent);
    let pending = slot.credentials().unwrap();
    let link = TlsStationLink::new(device.tls());
    link.test(&pending).await.expect("the test is open");
    let refused = link.heartbeat(&pending, &heartbeat()).await.unwrap_err();
    assert_eq!(refused, LinkError::Refused(ErrorCode::StateConflict));
    device.faults().clear();
    pairing.await.unwrap().unwrap();
    link.heartbeat(&pending, &heartbeat()).await.expect("current now");
}

#[tokio::test]
async fn a_certificate_nobody_committed_to_is_aborted_and_refused() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Test, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.try_pair(&qr).await });
    device.faults().reached(Step::Test, 1).await;
    let (slot, _) = device.store().load().await.unwrap().slot_b.unwrap();
    let pending = slot.credentials().unwrap();
    let late = limits::PENDING_CERTIFICATE.default + Duration::from_secs(1);
    station.clock().advance(late);
    let link = TlsStationLink::new(device.tls());
    let revoked = LinkError::Certificate(ErrorCode::CertificateRevoked);
    let refused = || async { (link.test(&pending).await == Err(revoked)).then_some(()) };
    wait::eventually("the pending certificate's end", refused).await;
    let view = device.until_state(ProvisioningState::Error).await;
    assert_eq!(view.last_error.unwrap().code, ErrorCode::SessionExpired);
    device.faults().clear();
    drop(pairing.await);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let (station, device) = paired().await;
    let expired = device.credentials().await;
    station.clock().advance(limits::CERT_LIFETIME.default + Duration::from_secs(1));
    let link = TlsStationLink::new(device.tls());
    let wanted = LinkError::Certificate(ErrorCode::CertificateExpired);
    let refused = || async { (link.test(&expired).await == Err(wanted)).then_some(()) };
    // Once the station has published a revocation list of today.
    wait::eventually("a refusal by date", refused).await;
}

#[tokio::test]
async fn a_certificate_speaks_for_its_own_device_and_session_only() {
    let (station, device) = paired().await;
    let other = SimulatedDevice::with(DeviceOptions::new(&station).named("ZM-002")).await;
    station.register(&other).await;
    station.pair(&other.open_window().await).await.unwrap();
    other.until_connected().await;
    let own = device.store().load().await.unwrap().slot_a.unwrap();
    let foreign = other.store().load().await.unwrap().slot_a.unwrap();
    let link = TlsStationLink::new(device.tls());
    let request = |slot: &zmon_protocol::device::Slot| CommitRequest {
        v: V1::default(),
        session_id: slot.session_id,
        serial: slot.serial,
        nonce: [7; 32],
    };
    let credentials = own.credentials().unwrap();
    let refused = link.commit(&credentials, &request(&foreign)).await.unwrap_err();
    assert_eq!(refused, LinkError::Refused(ErrorCode::SessionMismatch));
    link.commit(&credentials, &request(&own)).await.expect("a repeated commit is answered again");

    let swapped = LinkCredentials { device_id: other.id().clone(), ..credentials };
    let refused = link.test(&swapped).await.unwrap_err();
    assert_eq!(refused, LinkError::Refused(ErrorCode::ConnectionRefusedByStation));
}

#[tokio::test]
async fn certificates_of_another_authority_and_other_keys_open_nothing() {
    let (station, device) = paired().await;
    let other_station = TestStation::start_with(StationOptions {
        clock: station.clock().clone(),
        ..StationOptions::default()
    })
    .await;
    let foreigner = SimulatedDevice::new(&other_station).await;
    other_station.register(&foreigner).await;
    other_station.pair(&foreigner.open_window().await).await.unwrap();
    let good = device.credentials().await;
    let foreign = foreigner.credentials().await;

    let link = TlsStationLink::new(device.tls());
    let forged = LinkCredentials {
        client_chain: foreign.client_chain.clone(),
        client_key: foreign.client_key.clone(),
        ..good.clone()
    };
    assert!(matches!(link.test(&forged).await, Err(LinkError::Certificate(_))));

    let mut rng = station.seed().rng();
    let key: SecretBytes = TlsKey::generate(&mut rng).unwrap().pkcs8().unwrap();
    let forged = LinkCredentials { client_key: key, ..good.clone() };
    assert!(matches!(link.test(&forged).await, Err(LinkError::Certificate(_))));
    link.test(&good).await.expect("the good ones are still good");
}

#[tokio::test]
async fn a_device_does_not_talk_to_another_server_of_the_same_name() {
    let (station, device) = paired().await;
    let good = device.credentials().await;
    let link = TlsStationLink::new(device.tls());
    let rogue = TestStation::start().await;
    let led_astray = LinkCredentials {
        server_url: format!("https://{}", rogue.devices()).parse().unwrap(),
        ..good.clone()
    };
    let refused = link.test(&led_astray).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::ServerUntrusted));
    let mut pinned = good;
    pinned.server_pin = Some(zmon_domain::ids::Thumbprint::from_bytes([1; 32]));
    let refused = link.test(&pinned).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::ServerPinMismatch));
    drop(station);
}
