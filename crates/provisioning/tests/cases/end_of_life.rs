//! Retire statements, factory reset and migration through the driver (D21, [W §7.2], [W §14]).

use core::time::Duration;
use std::sync::atomic::Ordering;

use crate::common::pass;
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::role::Role;
use zmon_domain::settings::DeviceSettings;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::ports::{ManualSettings, Moment};
use zmon_provisioning::{CentralStationProvisioningService, IProvisioningService};

use crate::common::{Bench, settle};

async fn paired(bench: &Bench) -> CentralStationProvisioningService {
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    service
}

/// A configuration laid down by hand.
fn by_hand(bench: &Bench) {
    let settings =
        DeviceSettings { label: Some("ICU-OLD".parse().unwrap()), ..DeviceSettings::default() };
    let url = "https://old.hospital.example:8443".parse().unwrap();
    *bench.local.manual.lock().unwrap() = Ok(Some(ManualSettings::new(url, settings)));
}

fn count(bench: &Bench, event: EventType) -> usize {
    bench.store.event_types().iter().filter(|known| **known == event).count()
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_sent_until_it_arrives_also_after_a_restart() {
    let bench = Bench::new();
    let service = paired(&bench).await;
    service.deprovision_device(bench.proof(Role::Administrator)).await.unwrap();
    assert_eq!(service.view().borrow().retirements, 1);
    pass(Duration::from_secs(300)).await;
    let tried = bench.link.retired.lock().unwrap().len();
    assert!(tried > 3, "{tried}");
    service.shutdown().await;
    drop(service);

    bench.link.hears_retirements.store(true, Ordering::SeqCst);
    let service = bench.start().await;
    settle().await;
    assert_eq!(bench.link.retired.lock().unwrap().len(), tried + 1);
    assert_eq!(service.view().borrow().retirements, 0);
    assert!(bench.store.boot().retirements.is_empty());
    assert_eq!(count(&bench, EventType::RetireDelivered), 1);
    pass(Duration::from_secs(3600)).await;
    assert_eq!(bench.link.retired.lock().unwrap().len(), tried + 1);
}

#[tokio::test(start_paused = true)]
async fn a_statement_on_its_way_does_not_disturb_a_pairing() {
    let bench = Bench::new();
    let service = paired(&bench).await;
    service.deprovision_device(bench.proof(Role::Administrator)).await.unwrap();
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    assert_eq!(service.view().borrow().retirements, 1);
}

#[tokio::test(start_paused = true)]
async fn a_factory_reset_erases_everything_beside_the_database_once_the_intent_is_durable() {
    let bench = Bench::new();
    by_hand(&bench);
    let service = paired(&bench).await;
    let administrator = || bench.proof(Role::Administrator);
    let refused = service.factory_reset(bench.proof(Role::Technician), "ZM-001").await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::NotPermitted);
    let refused = service.factory_reset(administrator(), "ZM-002").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ConfirmationMismatch);
    bench.store.fail_next(1);
    let refused = service.factory_reset(administrator(), "ZM-001").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AuditUnavailable);
    assert_eq!(bench.local.there(), (true, true, true), "no row, no erasure");
    assert_eq!(service.state(), ProvisioningState::Provisioned);

    service.factory_reset(administrator(), "ZM-001").await.unwrap();
    assert_eq!(bench.local.there(), (false, false, false));
    let view = service.view().borrow().clone();
    assert_eq!(view.state, ProvisioningState::NotProvisioned);
    assert!(
        !view.is_provisioned && !view.erasing && view.settings.is_none() && view.manual.is_none()
    );
    assert!(!service.link().borrow().connected);
    let rows = bench.store.event_types();
    let at = |event| rows.iter().rposition(|known| *known == event).unwrap();
    assert!(at(EventType::FactoryResetStarted) < at(EventType::FactoryReset));
}

#[tokio::test(start_paused = true)]
async fn an_erasure_that_fails_or_loses_its_power_is_finished_later() {
    // Some failures in a row, and the power goes in between.
    for failures in 1..=3 {
        let bench = Bench::new();
        by_hand(&bench);
        let service = paired(&bench).await;
        *bench.local.failures.lock().unwrap() = failures;
        let refused = service.factory_reset(bench.proof(Role::Administrator), "ZM-001").await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::ErasePending);
        assert!(service.view().borrow().erasing && bench.store.boot().erasing);
        let refused = service.enter_provisioning_mode(bench.proof(Role::Technician)).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::ErasePending);
        drop(service);
        settle().await;

        *bench.local.failures.lock().unwrap() = failures - 1;
        let service = bench.start().await;
        pass(Duration::from_secs(120)).await;
        assert_eq!(bench.local.there(), (false, false, false), "{failures}");
        assert!(!service.view().borrow().erasing && !bench.store.boot().erasing);
        service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_erasure_whose_outcome_cannot_be_written_is_repeated() {
    let bench = Bench::new();
    let service = paired(&bench).await;
    bench.store.fail_after(1);
    let refused = service.factory_reset(bench.proof(Role::Administrator), "ZM-001").await;
    assert!(refused.is_err());
    assert!(bench.store.boot().erasing);
    assert_eq!(count(&bench, EventType::FactoryReset), 0);
    pass(Duration::from_secs(10)).await;
    assert!(!bench.store.boot().erasing, "the outcome is written as soon as it can be");
    assert_eq!(count(&bench, EventType::FactoryReset), 1);
}

#[tokio::test(start_paused = true)]
async fn a_manual_configuration_is_told_kept_and_removed_after_the_first_heartbeat() {
    let bench = Bench::new();
    by_hand(&bench);
    let service = bench.start().await;
    let view = service.view().borrow().clone();
    let manual = view.manual.unwrap();
    assert!(!manual.migrating && manual.message().contains("configured by hand"));
    let label = |service: &CentralStationProvisioningService| {
        service.settings().current().and_then(|settings| settings.label).map(|l| l.to_string())
    };
    assert_eq!(label(&service).as_deref(), Some("ICU-OLD"), "its settings stay in force");
    service.postpone_migration(bench.proof(Role::Technician)).await.unwrap();
    assert_eq!(count(&bench, EventType::MigrationPostponed), 1);
    assert!(service.view().borrow().manual.is_some());

    bench.link.deaf.store(true, Ordering::SeqCst);
    service.migrate(bench.proof(Role::Technician)).await.unwrap();
    assert!(service.view().borrow().manual.as_ref().unwrap().migrating);
    bench.pair(&service).await.unwrap();
    assert_ne!(label(&service).as_deref(), Some("ICU-OLD"), "replaced by the signed ones");
    pass(Duration::from_secs(600)).await;
    assert_eq!(bench.local.there(), (true, true, true), "no heartbeat was answered yet");
    // The power goes here, and nothing is lost.
    drop(service);
    settle().await;
    let service = bench.start().await;
    bench.link.deaf.store(false, Ordering::SeqCst);
    pass(Duration::from_secs(120)).await;
    assert_eq!(bench.local.there(), (true, true, false), "patients' data and operators stay");
    assert!(service.view().borrow().manual.is_none());
    let rows = bench.store.event_types();
    let at = |event| rows.iter().rposition(|known| *known == event).unwrap();
    assert!(at(EventType::ManualRemovalStarted) < at(EventType::ManualConfigurationRemoved));
    let again = service.migrate(bench.proof(Role::Technician)).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::ManualConfigurationMissing);
    pass(Duration::from_secs(120)).await;
    assert_eq!(count(&bench, EventType::ManualConfigurationRemoved), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_manual_configuration_is_named_audited_and_left_alone() {
    let bench = Bench::new();
    let field = FieldError::new("client.key", "must be one PKCS#8 private key in PEM form");
    let broken = ErrorReport::field(ErrorCode::ManualConfigurationInvalid, field);
    *bench.local.manual.lock().unwrap() = Err(broken.clone());
    let service = bench.start().await;
    assert_eq!(count(&bench, EventType::ManualConfigurationRefused), 1, "at the start");
    let manual = service.view().borrow().manual.clone().unwrap();
    assert_eq!(manual.found.unwrap_err(), broken);
    let refused = service.migrate(bench.proof(Role::Technician)).await.unwrap_err();
    assert_eq!(refused, broken);
    assert_eq!(count(&bench, EventType::ManualConfigurationRefused), 2);
    assert_eq!(bench.local.there(), (true, true, true));
    // The device is still usable.
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    pass(Duration::from_secs(60)).await;
    assert_eq!(bench.local.there(), (true, true, true), "nobody asked to migrate");
}

#[tokio::test(start_paused = true)]
async fn a_migration_asks_the_interlock() {
    let bench = Bench::new();
    by_hand(&bench);
    bench.interlock.0.lock().unwrap().push(Moment::Enter);
    let service = bench.start().await;
    let refused = service.migrate(bench.proof(Role::Technician)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InterlockActive);
    assert!(!bench.store.boot().migrating);
}
