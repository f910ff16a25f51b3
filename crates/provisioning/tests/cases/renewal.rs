//! Renewal as the driver carries it out (D23): the old link works until the new one is proven.

use core::time::Duration;
use std::sync::atomic::Ordering;

use crate::common::pass;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::ports::Moment;
use zmon_provisioning::{CentralStationProvisioningService, IProvisioningService};

use crate::common::{Bench, settle};

const DAY: Duration = Duration::from_secs(86_400);

async fn provisioned(bench: &Bench, sync_interval: u64) -> CentralStationProvisioningService {
    *bench.station.sync_interval.lock().unwrap() = sync_interval;
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    settle().await;
    service
}

fn installed(bench: &Bench) -> usize {
    let events = bench.store.event_types();
    events.iter().filter(|event| **event == EventType::CertificateInstalled).count()
}

#[tokio::test(start_paused = true)]
async fn a_technician_renews_and_no_heartbeat_is_missed() {
    let bench = Bench::new();
    let service = provisioned(&bench, 10).await;
    let old = bench.store.boot().slot_a.unwrap().serial;
    let expires = service.view().borrow().certificate.unwrap().not_after.unwrap();
    pass(Duration::from_secs(25)).await;
    let refused = service.renew_certificate(bench.proof(Role::Auditor)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    service.renew_certificate(bench.proof(Role::Technician)).await.unwrap();
    assert!(service.view().borrow().is_provisioned);
    settle().await;
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    let boot = bench.store.boot();
    assert_ne!(boot.slot_a.unwrap().serial, old);
    assert!(boot.slot_b.is_none());
    pass(Duration::from_secs(25)).await;
    let beats = bench.beats();
    let gaps: Vec<_> = beats.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(10)), "{gaps:?}");
    assert!(service.link().borrow().connected);
    assert!(service.view().borrow().certificate.unwrap().not_after.unwrap() > expires);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_falls_due_by_itself() {
    let bench = Bench::new();
    let _service = provisioned(&bench, 3600).await;
    pass(DAY * 55).await;
    assert_eq!(installed(&bench), 1);
    pass(DAY * 10).await;
    assert_eq!(installed(&bench), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_interlock_objects_no_certificate_is_made() {
    let bench = Bench::new();
    let service = provisioned(&bench, 60).await;
    bench.interlock.0.lock().unwrap().push(Moment::Commit);
    service.renew_certificate(bench.proof(Role::Technician)).await.unwrap();
    settle().await;
    let error = service.view().borrow().last_error.clone().unwrap();
    assert_eq!(error.code(), ErrorCode::InterlockActive);
    assert_eq!(bench.link.pulls.load(Ordering::SeqCst), 0);
    bench.interlock.0.lock().unwrap().clear();
    pass(Duration::from_secs(61)).await;
    assert_eq!(installed(&bench), 2);
    assert!(service.view().borrow().last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_an_audit_row_nothing_is_sent() {
    let bench = Bench::new();
    let service = provisioned(&bench, 60).await;
    bench.store.fail_next(1);
    let refused = service.renew_certificate(bench.proof(Role::Technician)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    assert_eq!(bench.link.pulls.load(Ordering::SeqCst), 0);
    // Later steps are tried again until they are written.
    for passes in 1..5 {
        bench.store.fail_after(passes);
        service.renew_certificate(bench.proof(Role::Technician)).await.unwrap();
        pass(Duration::from_secs(5)).await;
        assert_eq!(installed(&bench), 1 + passes);
    }
}
