//! Start, restart and stop.

use core::time::Duration;

use crate::common::pass;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_protocol::device::LinkError;
use zmon_provisioning::ports::{AuditPage, Moment, StoreError};
use zmon_provisioning::{CentralStationProvisioningService, IProvisioningService};

use crate::common::{Bench, settle};

#[tokio::test(start_paused = true)]
async fn a_restart_resumes_the_link_without_pairing() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    service.shutdown().await;
    drop(service);
    let before = bench.beats().len();
    pass(Duration::from_secs(60)).await;
    assert_eq!(bench.beats().len(), before, "a stopped device is silent");

    let service = bench.start().await;
    assert_eq!(service.get_status(), ProvisioningStatus::Provisioned);
    let view = service.view().borrow().clone();
    assert!(view.is_provisioned && view.certificate.is_some());
    assert!(service.settings().current().is_some());
    settle().await;
    assert_eq!(bench.beats().len(), before + 1);
    assert!(service.link().borrow().connected);
    assert!(bench.listener.endpoint().is_none());
}

#[tokio::test(start_paused = true)]
async fn shutdown_voids_the_window_with_a_row_and_closes_the_listener() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    service.shutdown().await;
    assert!(bench.listener.endpoint().is_none());
    assert!(!bench.store.boot().window_open);
    assert!(bench.store.event_types().contains(&EventType::ProvisioningModeExited));
    service.shutdown().await;
    let late = service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap_err();
    assert_eq!(late.code(), ErrorCode::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_device_in_doubt_stops_without_an_exit_and_asks_again_after_the_restart() {
    let bench = Bench::new();
    bench.interlock.0.lock().unwrap().push(Moment::Flip);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.envelope(&identified, |_| ());
    service.receive_configuration(&envelope).await.unwrap();
    pass(Duration::from_secs(60)).await;
    let rows = bench.store.event_types();
    service.shutdown().await;
    assert_eq!(bench.store.event_types(), rows);
    drop(service);
    bench.interlock.0.lock().unwrap().clear();
    let service = bench.start().await;
    pass(Duration::from_secs(120)).await;
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    assert!(bench.store.boot().slot_a.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_failed_over_a_restart_can_be_tried_again() {
    let bench = Bench::new();
    // The commit never arrives, and no answer about it counts before the restart.
    *bench.link.commits.lock().unwrap() = vec![LinkError::Network(ErrorCode::Timeout); 64];
    bench.interlock.0.lock().unwrap().push(Moment::Flip);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.envelope(&identified, |_| ());
    service.receive_configuration(&envelope).await.unwrap();
    pass(Duration::from_secs(60)).await;
    service.shutdown().await;
    drop(service);
    bench.interlock.0.lock().unwrap().clear();
    let service = bench.start().await;
    pass(Duration::from_secs(120)).await;
    assert_eq!(service.state(), ProvisioningState::Error);
    service.retry(bench.proof(Role::Technician)).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::ReadyToPair);
    bench.pair(&service).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_service_stops_it_too() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let endpoint = bench.endpoint();
    drop(service);
    settle().await;
    assert!(bench.listener.endpoint().is_none());
    assert!(!bench.store.boot().window_open);
    assert!(endpoint.configuration(Vec::new()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_crash_with_an_open_window_voids_it_at_the_next_start() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    // Power lost: nothing more reaches the store.
    bench.store.fail_next(usize::MAX);
    drop(service);
    settle().await;
    assert!(bench.store.boot().window_open);
    bench.store.fail_next(0);
    let service = bench.start().await;
    assert_eq!(service.state(), ProvisioningState::NotProvisioned);
    assert!(bench.store.event_types().contains(&EventType::WindowVoidedByRestart));
    assert!(!bench.store.boot().window_open);
}

#[tokio::test(start_paused = true)]
async fn a_device_whose_store_fails_does_not_start() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.store.fail_next(usize::MAX);
    drop(service);
    settle().await;
    // The void window cannot be written down: no operation without its row.
    let refused = CentralStationProvisioningService::start(bench.parts()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    for (error, code) in [
        (StoreError::Unavailable(String::new()), ErrorCode::StorageUnavailable),
        (StoreError::Corrupt(String::new()), ErrorCode::StorageCorrupt),
        (StoreError::SchemaNewer { found: 9, supported: 1 }, ErrorCode::SchemaNewer),
        (StoreError::KeyStore(String::new()), ErrorCode::KeyStoreUnavailable),
    ] {
        assert_eq!(error.code(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_cannot_open_ends_the_window() {
    let bench = Bench::new();
    bench.listener.break_it();
    let service = bench.start().await;
    let refused = service.enter_provisioning_mode(bench.proof(Role::Technician)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::ListenerFailed);
    assert_eq!(service.state(), ProvisioningState::Error);
    assert!(!bench.store.boot().window_open);
}

#[tokio::test(start_paused = true)]
async fn the_audit_log_is_read_through_the_service() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let page = AuditPage { after: 1, limit: 5 };
    let rows = service.audit_events(page).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].event, EventType::PairingCodeGenerated);
    assert!(service.verify_audit().await.unwrap().is_intact());
}
