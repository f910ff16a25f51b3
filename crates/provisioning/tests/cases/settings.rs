//! Label, bed, unit and language follow the active slot.

use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::BedId;
use zmon_domain::role::Role;
use zmon_domain::settings::{Language, MeasurementUnit};
use zmon_domain::time::UnixTime;
use zmon_protocol::device::LinkError;
use zmon_provisioning::{IProvisioningService, ProvisioningEvent};

use crate::common::{Bench, settle};

#[tokio::test(start_paused = true)]
async fn settings_follow_the_slot_and_roll_back_with_it() {
    let bench = Bench::new();
    let service = bench.start().await;
    let settings = service.settings();
    let mut changes = settings.subscribe();
    assert_eq!(*changes.borrow_and_update(), None);
    assert_eq!(settings.current(), None);

    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    assert!(changes.has_changed().unwrap());
    let first = changes.borrow_and_update().clone().unwrap();
    assert_eq!(first.label.as_ref().unwrap().as_str(), "ICU-MON-04");
    assert_eq!(first.bed.as_ref().unwrap().as_str(), "ICU-3B");
    assert_eq!((first.unit, first.language), (MeasurementUnit::Metric, Language::ES));

    // A configuration that is refused changes nothing.
    service.reprovision_device(bench.proof(Role::Technician)).await.unwrap();
    bench
        .pair_with(&service, |document| {
            document.bed_id = Some(BedId::parse("ICU-4A").unwrap());
            document.timestamp = UnixTime::EPOCH;
            document.expires_at = UnixTime::EPOCH;
        })
        .await
        .unwrap();
    assert!(!changes.has_changed().unwrap());
    assert_eq!(settings.current(), Some(first.clone()));

    // One that is staged and fails its test is rolled back: the old bed, the old unit.
    let refused = LinkError::Refused(ErrorCode::ConnectionRefusedByStation);
    bench.link.tests.lock().unwrap().push(refused);
    service.reprovision_device(bench.proof(Role::Technician)).await.unwrap();
    bench
        .pair_with(&service, |document| {
            document.bed_id = Some(BedId::parse("ICU-4A").unwrap());
            document.measurement_unit = MeasurementUnit::Imperial;
        })
        .await
        .unwrap();
    let staged = bench.store.rows_of(EventType::ConfigurationApplied);
    assert_eq!((staged.len(), bench.link.tested.lock().unwrap().len()), (2, 2), "it was staged");
    assert!(bench.store.boot().slot_b.is_none());
    assert!(!changes.has_changed().unwrap());
    assert_eq!(settings.current(), Some(first.clone()));
    assert_eq!(service.view().borrow().settings, Some(first.clone()));
    let service = {
        service.shutdown().await;
        bench.start().await
    };
    let settings = service.settings();
    let mut changes = settings.subscribe();
    assert_eq!(*changes.borrow_and_update(), Some(first.clone()), "after a restart too");

    service.reprovision_device(bench.proof(Role::Technician)).await.unwrap();
    bench
        .pair_with(&service, |document| {
            document.bed_id = Some(BedId::parse("ICU-4A").unwrap());
            document.measurement_unit = MeasurementUnit::Imperial;
        })
        .await
        .unwrap();
    let second = changes.borrow_and_update().clone().unwrap();
    assert_eq!(second.bed.unwrap().as_str(), "ICU-4A");
    assert_eq!(second.unit, MeasurementUnit::Imperial);

    service.deprovision_device(bench.proof(Role::Administrator)).await.unwrap();
    settle().await;
    assert_eq!(settings.current(), None);
}

#[tokio::test(start_paused = true)]
async fn the_configuration_hash_is_that_of_the_exact_signed_bytes() {
    let bench = Bench::new();
    let service = bench.start().await;
    let mut events = service.events();
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let document = bench.station.document(&identified);
    let envelope = bench.station.seal(&identified, bench.station.signed(&document).as_bytes());
    let verified = service.receive_configuration(&envelope).await.unwrap();
    let hash = zmon_crypto::sha256(&document.to_json().unwrap());
    assert_eq!(*verified.configuration_hash(), hash);
    assert!(service.apply_provisioning_config(verified).await.is_success());
    for event in [
        EventType::ConfigurationReceived,
        EventType::ConfigurationApplied,
        EventType::ConnectionTested,
        EventType::CertificateInstalled,
        EventType::ProvisioningCompleted,
    ] {
        assert_eq!(bench.store.rows_of(event)[0].configuration_hash, Some(hash), "{event}");
    }
    let mut told = None;
    while let Some(event) = events.try_next() {
        if let ProvisioningEvent::ConfigurationReceived { configuration_hash } = event {
            told = Some(configuration_hash);
        }
    }
    assert_eq!(told, Some(hash));
}
