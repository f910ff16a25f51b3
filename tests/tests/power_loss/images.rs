//! A flow of the shipped device, recorded, and the power going at any of its calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rand_core::Rng;
use tempfile::TempDir;
use zmon_domain::ids::Serial;
use zmon_station::ports::{CertificateState, StationStore};
use zmon_testkit::{DeviceProgram, Seed, StationOptions, Stored, TestStation, binary, disk, wait};

use crate::flow::{Flow, current, device_id, go, pause};
use crate::medium::Medium;
use crate::record::{Event, Op, Recorder};

/// A recorded flow: what was on the disk before it, and everything that was done to it.
pub(crate) struct Recording {
    flow: Flow,
    seed: Seed,
    folder: PathBuf,
    before: BTreeMap<PathBuf, Vec<u8>>,
    events: Vec<Event>,
    /// After so many events the log has so many rows that nothing may lose, and this is in force.
    acknowledged: BTreeMap<usize, (u64, Option<Serial>)>,
}

/// Records a flow of a device that is at rest before and after it.
pub(crate) async fn record(flow: Flow, seed: Seed) -> Recording {
    let options = StationOptions { seed: seed.clone(), ..StationOptions::beside_programs() };
    let station = TestStation::start_with(options).await;
    let _time = station.clock().run();
    let mut device = DeviceProgram::init(&station, binary("zmon-device", "device"));
    station.import(device.manifest()).await;
    device.start();
    if flow != Flow::Pairing {
        go(Flow::Pairing, &station, &mut device).await;
        settled(&device, true).await;
    }
    let folder = device.directory().canonicalize().expect("a folder");
    let old = current(&station).await;
    let recorder = Recorder::attach(device.pid(), &folder);
    let before = files(&folder);
    go(flow, &station, &mut device).await;
    settled(&device, flow != Flow::Deprovisioning).await;
    // The first ordinary request over the new certificate revokes the old one; then it is wiped.
    let store: &dyn StationStore = &**station.store();
    let only = async || {
        let (device, state) = (device_id(), CertificateState::Superseded);
        let replaced = store.certificates_of_device(&device, state);
        let replaced = replaced.await.expect("certificates are read");
        (replaced.is_empty() && current(&station).await != old).then_some(())
    };
    wait::eventually("the flow's end", only).await;
    device.kill();
    let events = recorder.end();
    let mut medium = Medium::new(before.clone(), false);
    events.iter().for_each(|event| medium.apply(event));
    let (made, found) = (medium.whole(), files(&folder));
    let names = made.keys().chain(found.keys());
    let differ: Vec<_> = names.filter(|name| made.get(*name) != found.get(*name)).collect();
    assert!(differ.is_empty(), "{flow}: not everything was recorded: {differ:?}");
    Recording { flow, seed, folder, before, events, acknowledged: BTreeMap::new() }
}

impl Recording {
    /// How much was recorded.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Finds out what may be in force and which rows may never be lost: those of the log when a sync of
    /// the database has ended.
    ///
    /// # Errors
    /// When the disk was not whole though the power stayed.
    pub(crate) async fn look(&mut self) -> Result<(), String> {
        let mut medium = Medium::new(self.before.clone(), false);
        self.acknowledge(0, &medium).await?;
        for number in 0..self.events.len() {
            let event = &self.events[number];
            medium.apply(event);
            if let Op::Sync { path } = &event.op
                && path.extension().is_some_and(|name| name != "json")
            {
                self.acknowledge(number + 1, &medium).await?;
            }
        }
        let slots: BTreeSet<_> = self.acknowledged.values().map(|(_, slot)| *slot).collect();
        if slots.len() == 2 { Ok(()) } else { Err(format!("{} went through {slots:?}", self.flow)) }
    }

    async fn acknowledge(&mut self, events: usize, medium: &Medium) -> Result<(), String> {
        let known = self.read(medium.whole()).await?;
        self.acknowledged.insert(events, (known.rows, in_force(&known)));
        Ok(())
    }

    /// The power goes after any event; the disk must be one that a device goes on with.
    ///
    /// # Errors
    /// What is not whole, or lost.
    pub(crate) async fn image(&self, dice: &mut impl Rng, lies: bool) -> Result<(), String> {
        let events = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        let cut = usize::try_from(dice.next_u64() % (events + 1)).unwrap_or(0);
        let mut medium = Medium::new(self.before.clone(), lies);
        for event in &self.events[..cut] {
            medium.apply(event);
        }
        let story = |what: String| format!("{}, after {cut} of {events} calls: {what}", self.flow);
        let found = self.read(medium.after_power_loss(dice)).await.map_err(story)?;
        let (before, after) = (
            self.acknowledged.range(..=cut).next_back(),
            self.acknowledged.range(cut + 1..).next(),
        );
        let rows = before.map_or(0, |(_, (rows, _))| *rows);
        if found.rows < rows {
            return Err(story(format!("{} rows of {rows} that were written", found.rows)));
        }
        // What was in force at the last sync, or what the next one makes it.
        let mut slots = before.into_iter().chain(after).map(|(_, (_, slot))| *slot);
        let slot = in_force(&found);
        let known = slots.any(|known| known == slot);
        if known { Ok(()) } else { Err(story(format!("{slot:?} in force"))) }
    }

    async fn read(&self, files: BTreeMap<PathBuf, Vec<u8>>) -> Result<Stored, String> {
        let home = scratch();
        for (path, content) in files {
            let path = home.path().join(path.strip_prefix(&self.folder).expect("below it"));
            let folder = path.parent().expect("a folder");
            if !folder.exists() {
                fs::create_dir_all(folder).expect("a folder");
                private(folder, 0o700);
            }
            fs::write(&path, content).expect("a file");
            private(&path, 0o600);
        }
        Stored::read(home.path().to_owned(), device_id(), self.seed.clone()).await
    }
}

/// The certificate that is in force.
fn in_force(stored: &Stored) -> Option<Serial> {
    stored.boot.slot_a.as_ref().map(|slot| slot.serial)
}

/// Until the device is where the flow ends, and its link is up.
async fn settled(device: &DeviceProgram, provisioned: bool) {
    let rest = async {
        loop {
            let status = device.status().await;
            if status.is_provisioned == provisioned && status.link.connected == provisioned {
                return;
            }
            pause().await;
        }
    };
    wait::within("the flow's end", rest).await;
}

/// Every file but SQLite's shared memory, which no power loss leaves, and sockets.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let lasting = |path: &PathBuf| {
        let shared = path.to_string_lossy().ends_with("-shm");
        !shared && fs::metadata(path).is_ok_and(|meta| meta.is_file())
    };
    let found = disk::files(folder).into_iter().filter(lasting);
    found.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

/// A folder in memory where the system has one: nothing of an image is to last.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let home = tempfile::Builder::new().prefix("zmon-image-").tempdir_in(folder);
    let home = home.expect("a folder");
    private(home.path(), 0o700);
    home
}

fn private(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}
