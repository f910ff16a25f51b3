//! No audit row, no operation (D16): a commit that fails leaves the old machine in charge.

use core::time::Duration;

use crate::common::pass;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_provisioning::{CodeVerdict, IProvisioningService};

use crate::common::{Bench, drain, settle};

#[tokio::test(start_paused = true)]
async fn entering_without_a_row_opens_nothing() {
    let bench = Bench::new();
    let service = bench.start().await;
    let mut events = service.events();
    bench.store.fail_next(1);
    let refused = service.enter_provisioning_mode(bench.proof(Role::Technician)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::AuditUnavailable);
    assert_eq!(service.state(), ProvisioningState::NotProvisioned);
    assert!(bench.listener.endpoint().is_none());
    assert_eq!(drain(&mut events), ["statusChanged(UNPROVISIONED)"]);
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    assert!(bench.listener.endpoint().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_claim_without_a_row_leaves_the_window_open() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.store.fail_next(1);
    let refused = bench.claim(&service).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    assert_eq!(service.state(), ProvisioningState::ReadyToPair);
    let qr = service.generate_qr_code().await.unwrap();
    let code = qr.pairing_code().display();
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Ok);
    bench.pair(&service).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_without_a_row_is_not_staged() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.envelope(&identified, |_| ());
    let endpoint = bench.endpoint();
    bench.store.fail_next(1);
    let refused = endpoint.configuration(envelope.clone()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    assert_eq!(service.state(), ProvisioningState::Pairing);
    assert!(bench.store.boot().slot_b.is_none());
    assert!(bench.link.tested.lock().unwrap().is_empty());
    endpoint.configuration(envelope).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
}

#[tokio::test(start_paused = true)]
async fn results_that_cannot_be_committed_are_tried_again() {
    // The third commit of a pairing stages slot B; fail each later one in turn.
    for failing in 3..5 {
        let bench = Bench::new();
        let service = bench.start().await;
        service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
        let identified = bench.claim(&service).await.unwrap();
        let envelope = bench.station.envelope(&identified, |_| ());
        bench.store.fail_after(failing - bench.store.commits());
        let endpoint = bench.endpoint();
        let delivery = tokio::spawn(async move { endpoint.configuration(envelope).await });
        pass(Duration::from_millis(900)).await;
        assert_ne!(service.state(), ProvisioningState::Provisioned, "commit {failing} failed");
        assert!(bench.store.boot().slot_a.is_none());
        pass(Duration::from_secs(5)).await;
        assert_eq!(service.state(), ProvisioningState::Provisioned);
        assert!(bench.store.boot().slot_a.is_some());
        delivery.await.unwrap().unwrap();
        // The result was kept, not asked for again.
        assert_eq!(bench.link.tested.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exit_without_a_row_leaves_the_window_open() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.store.fail_next(1);
    let refused = service.exit_provisioning_mode(None).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    assert_eq!(service.get_status(), ProvisioningStatus::ReadyToPair);
    assert!(bench.listener.endpoint().is_some());
    service.exit_provisioning_mode(None).await.unwrap();
    assert!(bench.listener.endpoint().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_without_a_row_is_met_once_the_row_can_be_written() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let code = service.generate_qr_code().await.unwrap().pairing_code().display();
    pass(Duration::from_secs(599)).await;
    bench.store.fail_next(3);
    pass(Duration::from_millis(1_500)).await;
    assert_eq!(service.state(), ProvisioningState::ReadyToPair);
    // The screen may lag; the code does not live on.
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Expired);
    assert_eq!(bench.claim(&service).await.err().unwrap().code(), ErrorCode::AuditUnavailable);
    pass(Duration::from_secs(4)).await;
    assert_eq!(service.state(), ProvisioningState::Error);
    assert!(bench.store.event_types().contains(&EventType::PairingCodeExpired));
}

#[tokio::test(start_paused = true)]
async fn a_deprovisioning_without_a_row_wipes_nothing() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    bench.store.fail_next(1);
    let refused = service.deprovision_device(bench.proof(Role::Administrator)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    settle().await;
    assert!(service.view().borrow().is_provisioned);
    assert!(bench.store.boot().slot_a.is_some());
    assert!(service.link().borrow().connected);
}
