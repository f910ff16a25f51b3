//! Label, bed, unit and language follow the active slot.

use zmon_domain::ids::BedId;
use zmon_domain::role::Role;
use zmon_domain::settings::{Language, MeasurementUnit};
use zmon_domain::time::UnixTime;
use zmon_provisioning::IProvisioningService;

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
