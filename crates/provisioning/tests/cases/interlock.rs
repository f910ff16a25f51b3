//! Patient safety first (D22): entering, commit and flip wait for the interlock.

use core::time::Duration;
use std::sync::atomic::Ordering;

use crate::common::pass;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OverrideReason;
use zmon_domain::role::{Actor, Role};
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::ports::{AlwaysClear, ClinicalInterlock, Moment};
use zmon_provisioning::{IProvisioningService, Opening};

use crate::common::Bench;

#[tokio::test(start_paused = true)]
async fn entering_is_refused_and_audited() {
    let bench = Bench::new();
    let service = bench.start().await;
    bench.interlock.0.lock().unwrap().push(Moment::Enter);
    let refused = service.enter_provisioning_mode(bench.proof(Role::Technician)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::InterlockActive);
    assert_eq!(service.state(), ProvisioningState::NotProvisioned);
    assert_eq!(bench.store.event_types(), [EventType::ProvisioningModeRefused]);
    bench.interlock.0.lock().unwrap().clear();
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_enter_learns_nothing_of_the_patient() {
    let bench = Bench::new();
    let service = bench.start().await;
    bench.interlock.0.lock().unwrap().push(Moment::Enter);
    let auditor = || bench.proof(Role::Auditor);
    let asked = [
        service.enter_provisioning_mode(auditor()).await,
        service.reprovision_device(auditor()).await,
        service.retry(auditor()).await,
    ];
    for refused in asked {
        assert_eq!(refused.unwrap_err().code(), ErrorCode::NotPermitted);
    }
    assert_eq!(bench.store.event_types(), [EventType::ProvisioningModeRefused; 3]);
    let late = bench.proof(Role::Technician);
    pass(Duration::from_secs(61)).await;
    let refused = service.enter_provisioning_mode(late).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::ProofExpired);
}

#[tokio::test(start_paused = true)]
async fn a_row_names_an_operator_only_while_their_proof_counts() {
    let bench = Bench::new();
    let service = bench.start().await;
    let technician = bench.proof(Role::Technician);
    service.enter_provisioning_mode(technician.clone()).await.unwrap();
    service.regenerate(Some(&technician)).await.unwrap();
    service.regenerate(None).await.unwrap();
    pass(Duration::from_secs(61)).await;
    service.regenerate(Some(&technician)).await.unwrap();
    let rows = bench.store.rows_of(EventType::PairingCodeRegenerated);
    let actors: Vec<_> = rows.into_iter().map(|row| row.actor).collect();
    assert_eq!(actors, [technician.actor(), Actor::Local, Actor::Local]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_pin_is_audited_without_a_proof() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.audit_refusal(None, ErrorCode::AuthenticationFailed).await.unwrap();
    bench.store.fail_next(1);
    let code = ErrorCode::AuthenticationFailed;
    let unwritten = service.audit_refusal(None, code).await.unwrap_err();
    assert_eq!(unwritten.code(), ErrorCode::AuditUnavailable);
    assert_eq!(bench.store.event_types(), [EventType::ProvisioningModeRefused]);
}

#[tokio::test(start_paused = true)]
async fn a_tested_configuration_is_not_committed() {
    let bench = Bench::new();
    bench.interlock.0.lock().unwrap().push(Moment::Commit);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    let error = service.view().borrow().last_error.clone().unwrap();
    assert_eq!(error.code(), ErrorCode::InterlockActive);
    assert!(!bench.store.event_types().contains(&EventType::CommitSent));
    assert!(bench.store.boot().slot_b.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_flip_waits_until_the_patient_may_do_without_the_link() {
    let bench = Bench::new();
    bench.interlock.0.lock().unwrap().push(Moment::Flip);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let envelope = bench.station.envelope(&identified, |_| ());
    let verified = service.receive_configuration(&envelope).await.unwrap();
    pass(Duration::from_secs(300)).await;
    // In doubt, both slots kept: silence never drops one (D13).
    assert_eq!(service.state(), ProvisioningState::Validating);
    assert!(bench.store.boot().slot_b.is_some_and(|(_, sent)| sent));
    bench.interlock.0.lock().unwrap().clear();
    assert!(service.apply_provisioning_config(verified).await.is_success());
    assert!(bench.link.asks.load(Ordering::SeqCst) > 1);
}

#[tokio::test(start_paused = true)]
async fn an_administrators_override_holds_for_one_session() {
    let bench = Bench::new();
    *bench.interlock.0.lock().unwrap() = vec![Moment::Enter, Moment::Commit, Moment::Flip];
    let service = bench.start().await;
    let (administrator, reason) = (bench.proof(Role::Administrator), why());
    service.open_despite_interlock(administrator, reason, Opening::Enter).await.unwrap();
    bench.pair(&service).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    let rows = bench.store.rows_of(EventType::InterlockOverridden);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].actor, bench.proof(Role::Administrator).actor());
    assert_eq!(rows[0].detail, [("reason", "the monitor is on a trolley".to_owned())]);
    assert_eq!(bench.store.event_types()[0], EventType::InterlockOverridden, "before the window");

    let again = service.reprovision_device(bench.proof(Role::Administrator)).await;
    assert_eq!(again.unwrap_err().code(), ErrorCode::InterlockActive, "the session is over");
    let administrator = bench.proof(Role::Administrator);
    service.open_despite_interlock(administrator, why(), Opening::Reprovision).await.unwrap();
    service.exit_provisioning_mode(None).await.unwrap();
    let again = service.reprovision_device(bench.proof(Role::Administrator)).await;
    assert_eq!(again.unwrap_err().code(), ErrorCode::InterlockActive, "the window is over");
}

#[tokio::test(start_paused = true)]
async fn an_override_needs_an_administrator_and_its_row() {
    let bench = Bench::new();
    bench.interlock.0.lock().unwrap().push(Moment::Enter);
    let service = bench.start().await;
    let technician = bench.proof(Role::Technician);
    let refused = service.open_despite_interlock(technician, why(), Opening::Enter).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotPermitted);
    assert_eq!(bench.store.event_types(), [EventType::OperationRefused]);

    bench.store.fail_next(1);
    let administrator = bench.proof(Role::Administrator);
    let unwritten = service.open_despite_interlock(administrator, why(), Opening::Enter).await;
    assert_eq!(unwritten.unwrap_err().code(), ErrorCode::AuditUnavailable);
    assert_eq!(service.state(), ProvisioningState::NotProvisioned);
}

#[tokio::test(start_paused = true)]
async fn an_override_that_opens_nothing_changes_nothing() {
    let bench = Bench::new();
    bench.interlock.0.lock().unwrap().push(Moment::Commit);
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let administrator = bench.proof(Role::Administrator);
    let refused = service.open_despite_interlock(administrator, why(), Opening::Enter).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::AlreadyInProvisioningMode);
    bench.pair(&service).await.unwrap();
    let error = service.view().borrow().last_error.clone().unwrap();
    assert_eq!(error.code(), ErrorCode::InterlockActive, "the window was opened without one");

    let administrator = bench.proof(Role::Administrator);
    service.open_despite_interlock(administrator, why(), Opening::Enter).await.unwrap();
    bench.pair(&service).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
}

fn why() -> OverrideReason {
    OverrideReason::parse("the monitor is on a trolley").unwrap()
}

#[tokio::test]
async fn always_clear_never_objects() {
    for moment in [Moment::Enter, Moment::Commit, Moment::Flip] {
        AlwaysClear.check(moment).await.unwrap();
    }
}
