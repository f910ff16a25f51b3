//! The device's store: what is committed comes back after a restart, and nothing else does.

use crate::common::{Device, Home, at, now, record, session, slot};
use zmon_domain::audit::EventType;
use zmon_domain::ids::{SiteId, WindowId};
use zmon_domain::settings::MeasurementUnit;
use zmon_protocol::device::{DeviceRecord, DeviceWrite};
use zmon_provisioning::ports::{AuditPage, DeviceStore, SettingsManager, StoreError};

const WINDOW: WindowId = WindowId::from_bytes([7; 16]);

async fn commit(device: &Device, events: &[EventType], writes: Vec<DeviceWrite>) {
    device.store.commit(&now(), &record(events, writes)).await.unwrap();
}

#[tokio::test]
async fn a_new_database_holds_nothing() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let boot = device.store.load().await.unwrap();
    assert!(boot.slot_a.is_none() && boot.slot_b.is_none());
    assert!(!boot.window_open && !boot.deprovisioned);
    assert_eq!((boot.floor, boot.generation, boot.recovery_counter), (None, 0, 0));
    assert_eq!(device.store.current(), None);
    assert_eq!(device.store.checkpoint().await.unwrap(), None);
    assert!(device.store.verify_audit().await.unwrap().is_intact());
}

#[tokio::test]
async fn one_pairing_survives_a_restart_at_every_step() {
    let home = Home::new();
    let mut device = Device::create(&home).await;
    let entered = EventType::ProvisioningModeEntered;

    commit(&device, &[entered], vec![DeviceWrite::OpenWindow(WINDOW)]).await;
    drop(device);
    device = Device::open(&home).await;
    assert!(device.store.load().await.unwrap().window_open);

    commit(
        &device,
        &[EventType::PairingCodeValidated],
        vec![DeviceWrite::ClaimWindow(WINDOW, session(1))],
    )
    .await;
    commit(&device, &[EventType::ConfigurationApplied], vec![DeviceWrite::StageB(slot(1))]).await;
    drop(device);
    device = Device::open(&home).await;
    let (b, sent) = device.store.load().await.unwrap().slot_b.unwrap();
    assert!(!sent);
    assert_eq!(b.configuration.expose(), slot(1).configuration.expose());
    assert_eq!(b.client_key.expose(), slot(1).client_key.expose());
    assert_eq!((b.serial, b.session_id), (slot(1).serial, session(1)));
    assert_eq!(device.store.current(), None, "settings wait for the flip");

    commit(&device, &[EventType::CommitSent], vec![DeviceWrite::MarkCommitSent(session(1))]).await;
    drop(device);
    device = Device::open(&home).await;
    assert!(device.store.load().await.unwrap().slot_b.unwrap().1);

    let mut seen = device.store.subscribe();
    let writes = vec![DeviceWrite::Flip, DeviceWrite::CloseWindow];
    commit(&device, &[EventType::ProvisioningCompleted], writes).await;
    assert!(seen.has_changed().unwrap());
    let settings = seen.borrow_and_update().clone().unwrap();
    assert_eq!(settings.bed.as_ref().map(|bed| bed.as_str()), Some("ICU-1"));
    assert_eq!(settings.unit, MeasurementUnit::Metric);
    assert_eq!(settings.sync_interval.as_secs(), 7);

    drop(device);
    device = Device::open(&home).await;
    let boot = device.store.load().await.unwrap();
    assert_eq!(boot.slot_a.unwrap().configuration.expose(), slot(1).configuration.expose());
    assert!(boot.slot_b.is_none() && !boot.window_open);
    assert_eq!(boot.generation, 1);
    assert_eq!(device.store.current(), Some(settings));
    assert_eq!(device.keys.slot_generations().unwrap(), [1]);
}

#[tokio::test]
async fn tries_are_counted_for_the_open_window_and_survive_a_restart() {
    let home = Home::new();
    let mut device = Device::create(&home).await;
    let spend = |id| {
        let events = [EventType::TypedTryStarted];
        record(&events, vec![DeviceWrite::SpendTry(id)])
    };
    let other = WindowId::from_bytes([8; 16]);
    assert!(device.store.commit(&now(), &spend(WINDOW)).await.is_err(), "no window, no try");
    commit(&device, &[], vec![DeviceWrite::OpenWindow(WINDOW)]).await;
    assert!(device.store.commit(&now(), &spend(other)).await.is_err());
    for _ in 0..5 {
        device.store.commit(&now(), &spend(WINDOW)).await.unwrap();
        drop(device);
        device = Device::open(&home).await;
    }
    let rows = device.store.verify_audit().await.unwrap().rows();
    assert!(device.store.commit(&now(), &spend(WINDOW)).await.is_err(), "the sixth");
    assert_eq!(device.store.verify_audit().await.unwrap().rows(), rows, "and it left no row");
    commit(&device, &[], vec![DeviceWrite::OpenWindow(other)]).await;
    device.store.commit(&now(), &spend(other)).await.unwrap();
    commit(&device, &[], vec![DeviceWrite::ClaimWindow(other, session(1))]).await;
    assert!(device.store.commit(&now(), &spend(other)).await.is_err(), "it is claimed");
}

#[tokio::test]
async fn a_second_pairing_destroys_the_first_one() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(1))]).await;
    commit(&device, &[], vec![DeviceWrite::Flip]).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(2))]).await;
    assert_eq!(device.keys.slot_generations().unwrap(), [1, 2]);
    commit(&device, &[], vec![DeviceWrite::Flip]).await;
    assert_eq!(device.keys.slot_generations().unwrap(), [2]);
    let rows = device.store.events(AuditPage::default()).await.unwrap();
    let last = rows.last().unwrap();
    assert_eq!(last.event, EventType::KeyDestroyed);
    assert_eq!(last.detail, [("slotGeneration".to_owned(), "1".to_owned())]);
    let boot = device.store.load().await.unwrap();
    assert_eq!(boot.slot_a.unwrap().generation, 2);
    assert_eq!(device.store.current().unwrap().bed.unwrap().as_str(), "ICU-2");
}

#[tokio::test]
async fn a_dropped_slot_is_gone_and_the_active_one_stays() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip]).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(2))]).await;
    commit(&device, &[], vec![DeviceWrite::DropB]).await;
    commit(&device, &[], vec![DeviceWrite::DropB]).await;
    let boot = device.store.load().await.unwrap();
    assert_eq!(boot.slot_a.unwrap().generation, 1);
    assert!(boot.slot_b.is_none());
    assert_eq!(boot.generation, 2, "a generation is never used twice");
    assert_eq!(device.keys.slot_generations().unwrap(), [1]);
}

#[tokio::test]
async fn staging_again_replaces_what_was_staged() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(1))]).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(3))]).await;
    let boot = device.store.load().await.unwrap();
    assert_eq!(boot.slot_b.unwrap().0.generation, 3);
    assert_eq!(device.keys.slot_generations().unwrap(), [3]);
}

#[tokio::test]
async fn deprovisioning_wipes_both_slots_and_a_flip_ends_it() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip]).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(2))]).await;
    commit(&device, &[EventType::DeviceDeprovisioned], vec![DeviceWrite::Deprovision]).await;
    commit(&device, &[], vec![DeviceWrite::Deprovision]).await;
    let boot = device.store.load().await.unwrap();
    assert!(boot.deprovisioned && boot.slot_a.is_none() && boot.slot_b.is_none());
    assert_eq!(device.store.current(), None);
    assert!(device.keys.slot_generations().unwrap().is_empty());

    commit(&device, &[], vec![DeviceWrite::StageB(slot(3)), DeviceWrite::Flip]).await;
    assert!(!device.store.load().await.unwrap().deprovisioned);
}

#[tokio::test]
async fn only_the_open_window_can_be_claimed_and_by_one_session() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let claim = |window, by| record(&[], vec![DeviceWrite::ClaimWindow(window, session(by))]);
    assert!(device.store.commit(&now(), &claim(WINDOW, 1)).await.is_err());
    commit(&device, &[], vec![DeviceWrite::OpenWindow(WINDOW)]).await;
    let other = WindowId::from_bytes([8; 16]);
    assert!(device.store.commit(&now(), &claim(other, 1)).await.is_err());
    device.store.commit(&now(), &claim(WINDOW, 1)).await.unwrap();
    device.store.commit(&now(), &claim(WINDOW, 1)).await.unwrap();
    assert!(device.store.commit(&now(), &claim(WINDOW, 2)).await.is_err());
}

#[tokio::test]
async fn time_never_falls() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let site = SiteId::parse("site-1").unwrap();
    for seconds in [500, 900, 100] {
        let writes = vec![
            DeviceWrite::RaiseFloor(at(seconds)),
            DeviceWrite::RememberSite(site.clone(), at(seconds + 1)),
        ];
        commit(&device, &[], writes).await;
    }
    drop(device);
    let boot = Device::open(&home).await.store.load().await.unwrap();
    assert_eq!(boot.floor, Some(at(900)));
    assert_eq!(boot.site_not_before, [(site, at(901))]);
}

#[tokio::test]
async fn the_counter_of_recoveries_never_falls() {
    let home = Home::new();
    let device = Device::create(&home).await;
    for counter in [1, 5, 3] {
        let started = [EventType::RenewalStarted];
        commit(&device, &started, vec![DeviceWrite::RaiseCounter(counter)]).await;
    }
    drop(device);
    let boot = Device::open(&home).await.store.load().await.unwrap();
    assert_eq!(boot.recovery_counter, 5);
}

#[tokio::test]
async fn what_contradicts_the_state_changes_nothing() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, &[], vec![DeviceWrite::StageB(slot(5))]).await;
    let refused = [
        vec![DeviceWrite::MarkCommitSent(session(9))],
        vec![DeviceWrite::StageB(slot(5))],
        vec![DeviceWrite::StageB(slot(4))],
        vec![DeviceWrite::StageB(slot(6)), DeviceWrite::StageB(slot(7))],
        vec![DeviceWrite::DropB, DeviceWrite::Flip],
    ];
    for writes in refused {
        let record = record(&[EventType::ConfigurationApplied], writes);
        assert!(matches!(
            device.store.commit(&now(), &record).await,
            Err(StoreError::Unavailable(_))
        ));
        let boot = device.store.load().await.unwrap();
        let (b, sent) = boot.slot_b.unwrap();
        assert_eq!((b.generation, sent, boot.generation), (5, false, 5));
        assert_eq!(device.keys.slot_generations().unwrap(), [5]);
        assert!(device.store.events(AuditPage::default()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_slot_whose_configuration_cannot_be_read_is_not_flipped_to() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let mut slot = slot(1);
    slot.configuration = zmon_crypto::SecretBytes::copy_from(b"{}");
    commit(&device, &[], vec![DeviceWrite::StageB(slot)]).await;
    let flip = record(&[], vec![DeviceWrite::Flip]);
    assert!(matches!(device.store.commit(&now(), &flip).await, Err(StoreError::Corrupt(_))));
    let boot = device.store.load().await.unwrap();
    assert!(boot.slot_a.is_none() && boot.slot_b.is_some());
}

#[tokio::test]
async fn an_empty_record_writes_nothing() {
    let home = Home::new();
    let device = Device::create(&home).await;
    device.store.commit(&now(), &DeviceRecord::default()).await.unwrap();
    assert!(device.store.events(AuditPage::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_store_makes_checkpoints_at_windows_and_flips() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let entered = [EventType::ProvisioningModeEntered];
    commit(&device, &entered, vec![DeviceWrite::OpenWindow(WINDOW)]).await;
    let first = device.store.checkpoint().await.unwrap().unwrap();
    commit(&device, &entered, vec![]).await;
    assert_eq!(device.store.checkpoint().await.unwrap().as_ref(), Some(&first));
    assert_eq!(device.store.audit_log().rows_since_checkpoint().await.unwrap(), 1);
    commit(&device, &entered, vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip]).await;
    assert_ne!(device.store.checkpoint().await.unwrap().as_ref(), Some(&first));
    assert_eq!(device.store.audit_log().rows_since_checkpoint().await.unwrap(), 0);
    assert!(device.store.verify_audit().await.unwrap().is_intact());
}
