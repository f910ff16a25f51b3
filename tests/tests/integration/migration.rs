//! [W §14]: from a configuration laid down by hand to provisioning, interrupted at every step.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zmon_crypto::{CertificateChain, sha256};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::LinkCredentials;
use zmon_provisioning::IProvisioningService;
use zmon_provisioning::ports::StationLink;
use zmon_testkit::{DOUBT, DeviceOptions, Kind, SimulatedDevice, Step, TestStation, disk, paired};
use zmon_transport::station_link::TlsStationLink;
use zmon_wire::b64;

/// Writes credentials as a technician would lay them down.
fn lay_down(folder: &Path, credentials: &LinkCredentials) {
    let pem = |der: &[Vec<u8>]| CertificateChain::from_der(der.to_vec()).unwrap().to_pem();
    let key = b64::encode_standard(credentials.client_key.expose());
    let key = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    fs::create_dir(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, text) in [
        ("server.url", credentials.server_url.as_str().to_owned()),
        ("ca.pem", pem(&credentials.ca)),
        ("client.pem", pem(&credentials.client_chain)),
        ("client.key", key),
        ("settings.json", r#"{"deviceLabel":"ICU-OLD"}"#.to_owned()),
    ] {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A monitor configured by hand, which works, and what lies in its folder.
struct Manual {
    station: TestStation,
    device: SimulatedDevice,
    by_hand: LinkCredentials,
    files: Vec<(PathBuf, [u8; 32])>,
}

impl Manual {
    async fn new() -> Self {
        // The certificate of another pairing plays the one that was made by hand.
        let (station, first) = paired().await;
        let by_hand = first.credentials().await;
        let options = DeviceOptions::new(&station).named("ZM-002");
        let mut device = SimulatedDevice::with(options).await;
        station.register(&device).await;
        lay_down(&device.manual_folder(), &by_hand);
        fs::write(device.clinical_folder().join("trend"), "of a patient").unwrap();
        device.restart().await;
        let files = hashes(&device.manual_folder());
        Self { station, device, by_hand, files }
    }

    /// It is there, complete, and it works.
    async fn is_whole(&self, step: &str) {
        assert_eq!(hashes(&self.device.manual_folder()), self.files, "{step}");
        let link = TlsStationLink::new(self.device.tls());
        link.test(&self.by_hand).await.unwrap_or_else(|error| panic!("{step}: {error:?}"));
        assert!(self.device.view().manual.is_some(), "{step}: the screen says so");
    }
}

fn hashes(folder: &Path) -> Vec<(PathBuf, [u8; 32])> {
    let read = |file: PathBuf| (file.clone(), sha256(&fs::read(file).unwrap()));
    disk::files(folder).into_iter().map(read).collect()
}

#[tokio::test]
async fn a_manually_configured_monitor_is_migrated_and_loses_nothing_on_the_way() {
    let mut manual = Manual::new().await;
    // 1, 2: detected, and asked. "Not now" is an answer.
    let found = manual.device.view().manual.unwrap();
    assert!(!found.migrating);
    assert_eq!(found.found.unwrap().server_url, manual.by_hand.server_url);
    let settings = manual.device.service().settings();
    let label = || settings.current().and_then(|settings| settings.label);
    assert_eq!(label().unwrap().as_str(), "ICU-OLD", "3: its settings are in force");
    let proof = manual.device.technician().await;
    manual.device.service().postpone_migration(proof).await.unwrap();
    manual.is_whole("not now").await;

    // 4: the standard workflow, with the power cut in it.
    let proof = manual.device.technician().await;
    manual.device.service().migrate(proof).await.unwrap();
    assert!(manual.device.view().manual.unwrap().migrating);
    manual.is_whole("with a window open").await;
    manual.device.crash();
    manual.device.start().await.unwrap();
    manual.is_whole("after a power cut in the window").await;
    assert!(manual.device.view().manual.unwrap().migrating, "remembered");

    manual.device.faults().order(Step::Test, Kind::Tamper);
    let qr = manual.device.open_window().await;
    manual.station.pair(&qr).await.unwrap_err();
    manual.device.faults().clear();
    manual.device.until_state(ProvisioningState::Error).await;
    manual.is_whole("after a failed pairing").await;

    manual.device.faults().order(Step::Heartbeat, Kind::Fail);
    let qr = manual.device.open_window().await;
    manual.station.pair(&qr).await.unwrap();
    manual.device.until_state(ProvisioningState::Provisioned).await;
    let beats = manual.device.faults().count(Step::Heartbeat);
    let beat = manual.device.faults().reached(Step::Heartbeat, beats + 2);
    manual.station.clock().hurry(limits::LINK_BACKOFF_MAX.default, beat).await;
    manual.is_whole("provisioned, and not proven").await;
    manual.device.crash();
    manual.device.start().await.unwrap();
    manual.is_whole("after a power cut before the first heartbeat").await;

    // 5: the first good heartbeat.
    manual.device.faults().clear();
    let gone = manual.device.until("its end", |view| view.manual.is_none());
    manual.station.clock().hurry(DOUBT, gone).await;
    assert!(!manual.device.manual_folder().exists());
    let key = b64::encode_standard(manual.by_hand.client_key.expose());
    let left = disk::files_with(manual.device.directory(), &key.as_bytes()[..40]);
    assert_eq!(left, Vec::<PathBuf>::new());
    manual.device.until_connected().await;
    let events: Vec<_> = manual.device.events().await.into_iter().map(|(event, _)| event).collect();
    let at = |event| events.iter().position(|known| *known == event).unwrap();
    for pair in [
        EventType::MigrationPostponed,
        EventType::MigrationStarted,
        EventType::ProvisioningCompleted,
        EventType::ManualRemovalStarted,
        EventType::ManualConfigurationRemoved,
    ]
    .windows(2)
    {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?}");
    }
    let trend = fs::read_to_string(manual.device.clinical_folder().join("trend")).unwrap();
    assert_eq!(trend, "of a patient");
    manual.device.audit_verified().await;

    // Run again: nothing left of it.
    let proof = manual.device.technician().await;
    let again = manual.device.service().migrate(proof).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::ManualConfigurationMissing);
    manual.device.restart().await;
    assert!(manual.device.view().manual.is_none());
}

#[tokio::test]
async fn a_power_cut_around_the_removal_ends_with_it() {
    // 0: before the intent is durable, 1: after it and before the outcome.
    for skip in [0, 1] {
        let mut manual = Manual::new().await;
        let proof = manual.device.technician().await;
        manual.device.service().migrate(proof).await.unwrap();
        manual.device.faults().order(Step::Heartbeat, Kind::Fail);
        let qr = manual.device.qr().await;
        manual.station.pair(&qr).await.unwrap();
        manual.device.until_state(ProvisioningState::Provisioned).await;
        manual.device.faults().clear();
        manual.device.faults().after(skip, Step::Store, Kind::Crash);
        let clock = manual.station.clock().clone();
        clock.hurry(limits::LINK_BACKOFF_MAX.default, manual.device.until_crashed()).await;
        manual.device.faults().clear();
        if skip == 0 {
            assert_eq!(hashes(&manual.device.manual_folder()), manual.files, "no row, no removal");
        }
        manual.device.start().await.unwrap();
        let gone = manual
            .device
            .until("its end", |view| view.manual.as_ref().is_none_or(|manual| !manual.migrating));
        clock.hurry(DOUBT, gone).await;
        assert!(!manual.device.manual_folder().exists());
        manual.device.until_connected().await;
        manual.device.audit_verified().await;
    }
}

#[tokio::test]
async fn a_broken_key_is_named_and_the_monitor_stays_usable() {
    let mut manual = Manual::new().await;
    let key = manual.device.manual_folder().join("client.key");
    fs::write(&key, "no key").unwrap();
    manual.files = hashes(&manual.device.manual_folder());
    manual.device.restart().await;
    let problem = manual.device.view().manual.unwrap().found.unwrap_err();
    assert_eq!(problem.code, ErrorCode::ManualConfigurationInvalid);
    assert!(problem.message().contains("client.key"), "{problem}");
    let proof = manual.device.technician().await;
    let refused = manual.device.service().migrate(proof).await.unwrap_err();
    assert_eq!(refused, problem);
    assert!(manual.device.has_refused(ErrorCode::ManualConfigurationInvalid).await);
    let qr = manual.device.open_window().await;
    manual.station.pair(&qr).await.unwrap();
    manual.device.until_connected().await;
    assert_eq!(hashes(&manual.device.manual_folder()), manual.files, "nothing is lost");
}
