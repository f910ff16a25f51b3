//! The end of a configuration and of everything (D21, [W §7.2], [W §8] "Preserve Data").

use std::fs;
use std::path::PathBuf;

use zmon_crypto::sha256;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_provisioning::ports::StationLink;
use zmon_station::ports::CertificateState;
use zmon_testkit::{DOUBT, Kind, SimulatedDevice, Step, TestStation, disk, paired, wait};
use zmon_transport::station_link::TlsStationLink;

/// Puts patients' data on a device: paths and hashes.
fn sentinels(device: &SimulatedDevice) -> Vec<(PathBuf, [u8; 32])> {
    let folder = device.clinical_folder();
    fs::create_dir(folder.join("trends")).unwrap();
    fs::write(folder.join("alarms"), "PATIENT 1: asystole at 03:12").unwrap();
    fs::write(folder.join("trends/ecg"), [0x5e; 4096]).unwrap();
    clinical(device)
}

fn clinical(device: &SimulatedDevice) -> Vec<(PathBuf, [u8; 32])> {
    let files = disk::files(&device.clinical_folder());
    files.into_iter().map(|file| (file.clone(), sha256(&fs::read(file).unwrap()))).collect()
}

async fn revoked(station: &TestStation, device: &SimulatedDevice, count: usize) {
    let known = || async {
        let revoked = station.certificates(device, CertificateState::Revoked).await;
        (revoked.len() == count).then_some(())
    };
    wait::eventually("the certificate's end", known).await;
}

async fn reset(device: &SimulatedDevice) -> Result<(), ErrorCode> {
    let (proof, id) = (device.administrator().await, device.id().as_str());
    device.service().factory_reset(proof, id).await.map_err(|error| error.code)
}

#[tokio::test]
async fn a_deprovisioned_devices_certificate_dies_at_its_station_however_late_it_hears() {
    let (station, mut device) = paired().await;
    let stolen = device.credentials().await;
    device.faults().order(Step::Retire, Kind::Fail);
    device.service().deprovision_device(device.administrator().await).await.unwrap();
    assert_eq!(device.view().retirements, 1);
    station.clock().hurry(DOUBT, device.faults().reached(Step::Retire, 3)).await;
    // Offline the certificate lives: nobody has told the station.
    let thief = TlsStationLink::new(device.tls());
    thief.test(&stolen).await.unwrap();

    device.restart().await;
    assert_eq!(device.view().retirements, 1, "the queue survives");
    device.faults().clear();
    // Another server does not get the statement; a lost answer is asked for again.
    device.faults().once(Step::Retire, Kind::Tamper);
    device.faults().once(Step::Retire, Kind::Drop);
    let delivered = device.until("an empty queue", |view| view.retirements == 0);
    station.clock().hurry(DOUBT, delivered).await;
    revoked(&station, &device, 1).await;
    assert!(station.certificates(&device, CertificateState::Current).await.is_empty());
    assert!(thief.test(&stolen).await.is_err(), "what a thief kept opens nothing");
    let received = station.events().await;
    let received = received.iter().filter(|(event, _)| *event == EventType::RetireReceived);
    assert_eq!(received.count(), 1, "a statement that comes again changes nothing");
    let events: Vec<_> = device.events().await.into_iter().map(|(event, _)| event).collect();
    for event in
        [EventType::RetireQueued, EventType::DeviceDeprovisioned, EventType::RetireDelivered]
    {
        assert!(events.contains(&event), "{event}");
    }
    device.audit_verified().await;
    station.audit_verified().await;

    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn patients_data_outlive_everything_but_a_factory_reset_and_the_log_outlives_that() {
    let (station, device) = paired().await;
    let before = sentinels(&device);
    assert_eq!(before.len(), 2);

    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_state(ProvisioningState::Provisioned).await;
    assert_eq!(clinical(&device), before, "after a re-provisioning");

    let qr = device.open_window().await;
    device.faults().order(Step::Test, Kind::Tamper);
    station.pair(&qr).await.unwrap_err();
    device.faults().clear();
    device.until_state(ProvisioningState::Provisioned).await;
    assert_eq!(clinical(&device), before, "after a failed one");

    let proof = device.administrator().await;
    device.service().deprovision_device(proof).await.unwrap();
    assert_eq!(clinical(&device), before, "after deprovisioning");

    let rows = device.audit_verified().await;
    reset(&device).await.unwrap();
    assert_eq!(clinical(&device), []);
    assert_eq!(disk::files_with(device.directory(), b"asystole"), Vec::<PathBuf>::new());
    assert!(device.audit_verified().await > rows, "the log goes on");
    assert_eq!(device.state(), ProvisioningState::NotProvisioned);
}

#[tokio::test]
async fn a_factory_reset_leaves_no_secret_no_operator_and_no_certificate_in_force() {
    let (station, mut device) = paired().await;
    let boot = device.store().load().await.unwrap();
    let key = boot.slot_a.unwrap().client_key;
    let at = key.expose().windows(2).rposition(|window| window == [0x04, 0x20]).unwrap() + 2;
    let scalar = key.expose()[at..at + 32].to_vec();
    for (typed, code) in
        [("", ErrorCode::ConfirmationMismatch), ("ZM-1", ErrorCode::ConfirmationMismatch)]
    {
        let proof = device.administrator().await;
        let refused = device.service().factory_reset(proof, typed).await.unwrap_err();
        assert_eq!(refused.code, code);
        assert!(device.view().is_provisioned);
    }
    reset(&device).await.unwrap();
    wait::until("the link to end", device.link(), |link| !link.connected).await;
    revoked(&station, &device, 1).await;
    let delivered = device.until("an empty queue", |view| view.retirements == 0);
    station.clock().hurry(DOUBT, delivered).await;
    assert_eq!(disk::files(&device.directory().join("slots")), Vec::<PathBuf>::new());
    for needle in [scalar.as_slice(), b"operators"] {
        assert_eq!(disk::files_with(device.directory(), needle), Vec::<PathBuf>::new());
    }
    assert!(!device.directory().join("operators.json").exists());
    let identity = device.manifest();
    device.restart().await;
    assert_eq!(device.manifest(), identity, "the identity stays");
    let boot = device.store().load().await.unwrap();
    assert!(boot.slot_a.is_none() && boot.retirements.is_empty() && !boot.erasing);
    device.audit_verified().await;
}

#[tokio::test]
async fn a_factory_reset_survives_a_power_cut_at_every_transaction() {
    // 0: the intent, 1: the outcome; before it and after it.
    for (skip, kind) in [(0, Kind::Crash), (0, Kind::Drop), (1, Kind::Crash), (1, Kind::Drop)] {
        let (station, mut device) = paired().await;
        let before = sentinels(&device);
        let (proof, id) = (device.administrator().await, device.id().as_str().to_owned());
        device.faults().after(skip, Step::Store, kind);
        let service = std::sync::Arc::clone(device.service());
        let resetting = tokio::spawn(async move { service.factory_reset(proof, &id).await });
        device.until_crashed().await;
        resetting.abort();
        device.faults().clear();
        device.start().await.unwrap();
        if (skip, kind) == (0, Kind::Crash) {
            assert_eq!(clinical(&device), before, "no row, no erasure");
            device.until_connected().await;
            continue;
        }
        device.until("the end of the erasure", |view| !view.erasing).await;
        assert_eq!(clinical(&device), []);
        assert!(!device.directory().join("operators.json").exists());
        assert_eq!(device.state(), ProvisioningState::NotProvisioned);
        let events = device.events().await;
        let done = events.iter().filter(|(event, _)| *event == EventType::FactoryReset);
        assert_eq!(done.count(), 1, "{skip} {kind:?}");
        let delivered = device.until("an empty queue", |view| view.retirements == 0);
        station.clock().hurry(DOUBT, delivered).await;
        revoked(&station, &device, 1).await;
        device.audit_verified().await;
    }
}
