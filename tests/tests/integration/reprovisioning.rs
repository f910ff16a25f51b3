//! [W §13.2] "Re-provisioning process", [W §8]: the old certificate works until the new one does.

use std::time::Duration;

use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_provisioning::IProvisioningService;
use zmon_station::ports::CertificateState;
use zmon_testkit::{DOUBT, Kind, Step, paired, wait};

#[tokio::test]
async fn a_new_certificate_replaces_the_old_one_which_is_revoked() {
    let (station, device) = paired().await;
    let old = device.credentials().await;
    let qr = device.open_window().await;
    let phase = ProvisioningState::Reprovisioning(ReprovisioningPhase::ReadyToPair);
    assert_eq!(device.state(), phase);
    assert!(device.view().is_provisioned && device.link().borrow().connected);

    station.pair(&qr).await.unwrap();
    device.until_state(ProvisioningState::Provisioned).await;
    let revoked = || async {
        let revoked = station.certificates(&device, CertificateState::Revoked).await;
        (revoked.len() == 1).then_some(())
    };
    // The first heartbeat over the new certificate retires the old one.
    wait::eventually("the old certificate's end", revoked).await;
    device.until_connected().await;
    let new = device.credentials().await;
    assert_ne!(new.client_chain, old.client_chain);
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
    let events: Vec<_> = device.events().await.into_iter().map(|(event, _)| event).collect();
    for event in [EventType::ReprovisioningStarted, EventType::CertificateSuperseded] {
        assert!(events.contains(&event), "{event}");
    }
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn a_failed_reprovisioning_leaves_the_old_configuration_at_work() {
    let (station, device) = paired().await;
    let old = device.credentials().await;
    for (step, kind) in [(Step::Test, Kind::Fail), (Step::Test, Kind::Tamper)] {
        let qr = device.open_window().await;
        device.faults().order(step, kind);
        station.pair(&qr).await.unwrap_err();
        device.faults().clear();
        let view = device.until_state(ProvisioningState::Provisioned).await;
        assert!(view.last_error.is_some());
        assert_eq!(device.credentials().await.client_chain, old.client_chain);
        device.service().exit_provisioning_mode(None).await.unwrap();
    }
    let beats = device.faults().count(Step::Heartbeat);
    let beat = device.faults().reached(Step::Heartbeat, beats + 1);
    station.clock().hurry(limits::SYNC_INTERVAL.default, beat).await;
    device.until_connected().await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
}

#[tokio::test]
async fn an_expired_window_leaves_the_old_configuration_at_work() {
    let (station, device) = paired().await;
    device.enter().await;
    station.clock().advance(limits::WINDOW.default + Duration::from_millis(1));
    let view = device.until_state(ProvisioningState::Provisioned).await;
    assert_eq!(view.last_error.unwrap().code, ErrorCode::PairingCodeExpired);
    device.until_connected().await;
}

#[tokio::test]
async fn both_certificates_work_until_the_new_one_is_used() {
    let (station, device) = paired().await;
    let qr = device.open_window().await;
    // In doubt: the station has committed, the device does not know it yet.
    device.faults().order(Step::Commit, Kind::Drop);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.try_pair(&qr).await });
    device.faults().reached(Step::Commit, 1).await;
    let committed = || async {
        let superseded = station.certificates(&device, CertificateState::Superseded).await;
        (superseded.len() == 1).then_some(())
    };
    wait::eventually("the station's commit", committed).await;
    // The link still works on slot A, whose certificate is superseded and not revoked.
    device.service().test_connection().await.unwrap();
    assert!(device.view().is_provisioned);

    let provisioned = device.until_state(ProvisioningState::Provisioned);
    station.clock().hurry(DOUBT, provisioned).await;
    let revoked = || async {
        let revoked = station.certificates(&device, CertificateState::Revoked).await;
        (revoked.len() == 1).then_some(())
    };
    wait::eventually("the old certificate's end", revoked).await;
    drop(pairing.await.unwrap());
}
