//! [W §1] "Supports batch provisioning of multiple devices": a station, a ward of real monitors, one manifest.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BatchId, DeviceId};
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_station::ports::CertificateState;
use zmon_testkit::{
    DeviceOptions, Kind, SimulatedDevice, StationOptions, Step, TestDatabase, TestStation, binary,
    wait,
};
use zmon_wire::batch::BatchView;
use zmon_wire::manifest::ManifestRow;
use zmon_wire::qr::QrContent;
use zmon_wire::strict;

/// So many monitors of a ward, registered.
async fn ward(station: &TestStation, count: usize) -> Vec<SimulatedDevice> {
    let mut devices = Vec::new();
    for number in 1..=count {
        let options = DeviceOptions::new(station).named(&format!("ZM-{number:03}"));
        let device = SimulatedDevice::with(options).await;
        station.register(&device).await;
        devices.push(device);
    }
    devices
}

/// A row of its own for each: bed, label and interval follow from its name.
fn manifest<'d>(devices: impl IntoIterator<Item = &'d SimulatedDevice>) -> String {
    let row = |device: &SimulatedDevice| {
        let id = device.id();
        let interval = interval(id);
        format!(
            r#"{{"deviceId":"{id}","bedId":"BED-{id}","deviceLabel":"Monitor {id}","syncInterval":{interval}}}"#
        ) + "\n"
    };
    devices.into_iter().map(row).collect()
}

fn interval(id: &DeviceId) -> u64 {
    20 + id.as_str().bytes().map(|byte| u64::from(byte & 0xf)).sum::<u64>()
}

async fn until(
    station: &TestStation,
    id: BatchId,
    wanted: impl Fn(&BatchView) -> bool,
) -> BatchView {
    let technician = station.technician();
    let look = || async {
        let view = technician.batch(id).await.unwrap();
        wanted(&view).then_some(view)
    };
    wait::eventually("the batch to stand as wanted", look).await
}

fn state(view: &BatchView, device: &SimulatedDevice) -> ItemState {
    let mut items = view.items.iter();
    items.find(|item| item.device_id.as_ref() == Some(device.id())).unwrap().state
}

/// The device has its own row's bed, label and interval, a certificate of its own key, and the station
/// knows it the same way.
async fn has_its_own(station: &TestStation, device: &SimulatedDevice) {
    device.until_state(ProvisioningState::Provisioned).await;
    let id = device.id();
    let settings = device.service().settings().current().unwrap();
    assert_eq!(settings.bed.unwrap().as_str(), format!("BED-{id}"));
    assert_eq!(settings.label.unwrap().as_str(), format!("Monitor {id}"));
    assert_eq!(settings.sync_interval.as_secs(), interval(id));
    let certificates = station.certificates(device, CertificateState::Current).await;
    let [certificate] = certificates.as_slice() else { panic!("{id}: {certificates:?}") };
    let identity = zmon_crypto::IdentityPublic::parse(&certificate.identity_key).unwrap();
    assert_eq!(identity.thumbprint(), device.manifest().identity_key, "{id}");
    let listed = station.technician().devices().await.unwrap().devices;
    let listed = listed.iter().find(|row| row.device_id == *id).unwrap();
    assert_eq!(listed.bed_id.as_ref().unwrap().as_str(), format!("BED-{id}"));
    assert_eq!(listed.certificate, Some(certificate.serial));
}

#[tokio::test]
async fn eight_devices_are_paired_with_their_own_beds_and_keys_past_a_poisoned_and_a_hanging_one() {
    let options = StationOptions {
        policy: |policy| policy.batch_concurrency = 3,
        ..StationOptions::default()
    };
    let station = TestStation::start_with(options).await;
    let mut devices = ward(&station, 7).await;
    // The eighth is registered under another key than it has.
    let options = DeviceOptions::new(&station).named("ZM-008");
    let poisoned = SimulatedDevice::with(options).await;
    let another = devices[0].manifest().identity_key;
    let mut key = *another.as_bytes();
    key[0] ^= 1;
    let identity_key = zmon_domain::ids::Thumbprint::from_bytes(key);
    station.import(ManifestRow { identity_key, ..poisoned.manifest() }).await;
    devices.push(poisoned);
    let (hanging, poisoned) = (&devices[2], &devices[7]);
    hanging.faults().order(Step::Test, Kind::Delay);

    let text =
        format!("{}{{\"deviceId\":\"ZM-009\",\"bedId\":\"a bad row\"}}\n", manifest(&devices));
    let tablet = station.technician();
    let opened = tablet.open_batch("Ward 3", text).await.unwrap();
    assert_eq!((opened.counts.waiting, opened.counts.failed, opened.concurrency), (8, 1, 3));
    let id = opened.batch_id;
    // The one that hangs and the poisoned one come first.
    let order = [2, 7, 0, 1, 3, 4, 5, 6].map(|index| &devices[index]);
    for device in order {
        let qr = device.open_window().await;
        let taken = tablet.batch_scan(id, &qr).await.unwrap();
        assert_eq!(taken.bed_id.unwrap().as_str(), format!("BED-{}", device.id()));
        let again = tablet.batch_scan(id, &qr).await.unwrap_err();
        assert_eq!(again.code(), ErrorCode::BatchItemTaken);
    }
    let view = until(&station, id, |view| view.counts.paired == 6 && view.counts.failed == 2).await;
    assert_eq!(state(&view, hanging), ItemState::Pairing);
    let conflict = view.items.iter().find(|item| item.device_id.as_ref() == Some(poisoned.id()));
    let problem = conflict.unwrap().problem.as_ref().unwrap();
    assert_eq!((problem.code, conflict.unwrap().attempts), (ErrorCode::DeviceKeyConflict, 1));
    for device in
        devices.iter().filter(|device| ![hanging.id(), poisoned.id()].contains(&device.id()))
    {
        has_its_own(&station, device).await;
    }
    assert!(station.certificates(poisoned, CertificateState::Pending).await.is_empty());

    // Nothing is lost of the one that hung.
    hanging.faults().clear();
    hanging.faults().release();
    until(&station, id, |view| view.counts.paired == 7).await;
    has_its_own(&station, hanging).await;
    let path = format!("/api/batches/{id}/report");
    let table = tablet.get_text(&path).await.unwrap();
    assert_eq!(table.lines().count(), 10, "{table}");
    assert!(
        table.contains("8,ZM-008,SN-ZM-008,BED-ZM-008,Monitor ZM-008,failed,device_key_conflict")
    );
    for device in &devices {
        device.audit_verified().await;
    }
    station.audit_verified().await;
}

async fn goes_on_after_a_crash(options: StationOptions) {
    let mut station = TestStation::start_with(options).await;
    let devices = ward(&station, 3).await;
    let [done, between, waiting] = &devices[..] else { panic!("three devices") };
    let opened = station.technician().open_batch("Ward 3", manifest(&devices)).await.unwrap();
    let id = opened.batch_id;
    let qr = done.open_window().await;
    station.technician().batch_scan(id, &qr).await.unwrap();
    until(&station, id, |view| view.counts.paired == 1).await;
    // This one has its configuration and has not tested it when the station dies.
    between.faults().once(Step::Test, Kind::Delay);
    let qr = between.open_window().await;
    station.technician().batch_scan(id, &qr).await.unwrap();
    between.faults().reached(Step::Test, 1).await;

    let clock = station.clock().clone();
    station.crash();
    station.restart().await;
    let view = station.technician().batch(id).await.unwrap();
    assert_eq!((view.state, view.counts.paired, view.counts.waiting), (BatchState::Open, 1, 1));
    let qr = waiting.open_window().await;
    station.technician().batch_scan(id, &qr).await.unwrap();
    until(&station, id, |view| state(view, waiting) == ItemState::Paired).await;
    // The commit of this one decides (D13); the batch is told by the housekeeping.
    between.faults().release();
    let all = until(&station, id, |view| view.counts.paired == 3);
    clock.hurry(limits::LINK_BACKOFF_MAX.default, all).await;
    for device in &devices {
        has_its_own(&station, device).await;
    }
    station.audit_verified().await;
}

#[tokio::test]
async fn a_batch_goes_on_after_its_station_was_killed_in_the_middle() {
    goes_on_after_a_crash(StationOptions::default()).await;
}

#[tokio::test]
async fn a_batch_in_postgresql_goes_on_after_its_station_was_killed_in_the_middle() {
    let database = Some(Arc::new(TestDatabase::create().await));
    goes_on_after_a_crash(StationOptions { database, ..StationOptions::default() }).await;
}

/// `zmon batch scan`, with a scanner that types a line a device.
struct Scanner(Child);

impl Scanner {
    fn start(station: &TestStation, folder: &std::path::Path, batch: BatchId) -> Self {
        let (ca, token) = (folder.join("ca.pem"), folder.join("token"));
        let url = format!("https://{}", station.operators());
        let mut command = Command::new(binary("zmon", "zmon"));
        command.env_clear().args(["batch", "scan", &batch.to_string(), "--qr-text", "-"]);
        command.args(["--station", &url, "--ca"]).arg(ca).arg("--token-file").arg(token);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn scan(&mut self, qr: &QrContent) {
        let line = [&strict::to_vec(qr).unwrap()[..], b"\n"].concat();
        self.0.stdin.as_mut().unwrap().write_all(&line).unwrap();
    }

    fn interrupt(&self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// Exit code, output, notes.
    async fn end(mut self) -> (Option<i32>, String, String) {
        drop(self.0.stdin.take());
        let ended = tokio::task::spawn_blocking(|| self.0.wait_with_output().unwrap());
        let output = wait::within("zmon to end", ended).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

#[tokio::test]
async fn the_command_line_is_interrupted_and_the_same_command_goes_on() {
    let station = TestStation::start_with(StationOptions::beside_programs()).await;
    let devices = ward(&station, 3).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), station.anchor_pem()).unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, station.technician().token()).unwrap();
    let only_me = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, only_me).unwrap();
    let id = station.technician().open_batch("Ward 3", manifest(&devices)).await.unwrap().batch_id;

    let first = devices[0].open_window().await;
    let mut scanner = Scanner::start(&station, folder.path(), id);
    scanner.scan(&first);
    until(&station, id, |view| view.counts.paired == 1).await;
    scanner.interrupt();
    let (code, out, notes) = scanner.end().await;
    assert_eq!(code, Some(0), "{out}{notes}");
    assert!(notes.contains("row 1   ZM-001 -> BED-ZM-001"), "{notes}");
    assert!(notes.contains("the same command goes on here"), "{notes}");
    assert!(out.contains("Ward 3 is open: 1 paired, 2 waiting"), "{out}");

    // The same again: what was scanned is told, and the rest is paired.
    let mut scanner = Scanner::start(&station, folder.path(), id);
    scanner.scan(&first);
    for device in &devices[1..] {
        scanner.scan(&device.open_window().await);
    }
    let (code, out, notes) = scanner.end().await;
    assert_eq!(code, Some(0), "{out}{notes}");
    assert!(notes.contains("line 1: This device was scanned for this batch before."), "{notes}");
    assert!(out.contains("Ward 3 is open: 3 paired"), "{out}");
    assert!(out.lines().all(|line| line.len() <= 80), "{out}");
    for device in &devices {
        has_its_own(&station, device).await;
    }

    // Who is in no batch fails the command, by its code.
    let options = DeviceOptions::new(&station).named("ZM-900");
    let stranger = SimulatedDevice::with(options).await;
    let mut scanner = Scanner::start(&station, folder.path(), id);
    scanner.scan(&stranger.open_window().await);
    let (code, _, notes) = scanner.end().await;
    assert_eq!(code, Some(3), "{notes}");
    assert!(notes.contains("line 1: The device is not in this batch."), "{notes}");
}
