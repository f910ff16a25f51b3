//! The ward of one run.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use std::sync::Arc;

use tokio::time::Instant;
use zmon_domain::ids::DeviceId;
use zmon_domain::time::ClockQuality;
use zmon_station::ports::DeviceStatus;
use zmon_wire::qr::QrContent;

use crate::bug::Bug;
use crate::chance::Chance;
use crate::disk::{Disk, Wear};
use crate::lock;
use crate::net::{Line, Net, Tape};
use crate::node::{DeviceNode, Lan, Pki, StationNode};
use crate::step::{DEVICES, Node, Plan};
use crate::store::MemoryStationStore;
use crate::watch::Watch;

/// Everybody in it.
pub(crate) struct World {
    pub(crate) lan: Arc<Lan>,
    pub(crate) station: StationNode,
    pub(crate) rogue: StationNode,
    pub(crate) devices: Vec<DeviceNode>,
    pub(crate) chance: Chance,
    /// Screens that somebody has photographed.
    pub(crate) album: Vec<QrContent>,
    pub(crate) recovery: bool,
}

impl World {
    /// A ward with everything on and every device in the registry.
    pub(crate) async fn new(plan: &Plan, bug: Option<Bug>) -> Option<Self> {
        let origin = Instant::now();
        let chance = |name: &str| Chance::new(plan.seed, name);
        let node = |index| DeviceNode::new(index, origin, chance(&format!("device {index}")), bug);
        let devices: Vec<_> = (0..DEVICES).map(node).collect::<Option<_>>()?;
        for device in &devices {
            // Up to 200 ppm: 17 seconds a day.
            let rate = i32::try_from(device.index).ok()? * 200 - 200;
            lock(&device.dial).rate = rate;
        }
        let pki = Pki::honest()?;
        let id = pki.profile()?.station_id;
        let disk = |name| Disk::new(MemoryStationStore::empty(&id), chance(name));
        let (disk, rogue_disk) = (disk("station disk"), disk("rogue disk"));
        let names: Vec<DeviceId> = devices.iter().map(|device| device.id.clone()).collect();
        let watch = Watch::new(origin, Arc::clone(&disk), &names);
        let net = Net::new(DEVICES, chance("net"));
        let lan = Arc::new(Lan::new(net, Tape::new(chance("tape")), watch, pki));
        let station = StationNode::new(origin, disk, chance("station"), bug, None);
        let keys = Some(Pki::rogue()?);
        let rogue = StationNode::new(origin, rogue_disk, chance("rogue"), None, keys);
        let (recovery, chance) = (plan.recovery, chance("steps"));
        let album = Vec::new();
        let mut world = Self { lan, station, rogue, devices, chance, album, recovery };
        world.start().await;
        world.rogue.start(&world.lan).await;
        let rows: Vec<_> = world.devices.iter().map(DeviceNode::manifest_row).collect();
        let known = world.station.register(&rows).await && world.rogue.register(&rows).await;
        known.then_some(world)
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.lan.watch
    }

    pub(crate) fn device(&self, index: usize) -> Option<&DeviceNode> {
        self.devices.get(index)
    }

    /// Switches on what is off.
    pub(crate) async fn start(&mut self) {
        self.station.start(&self.lan).await;
        for device in &mut self.devices {
            device.start(&self.lan, self.recovery).await;
        }
    }

    pub(crate) fn crash(&mut self, node: Node) {
        self.watch().count(|counts| counts.crashes += 1);
        match node {
            Node::Station => self.station.crash(),
            Node::Device(index) => {
                if let Some(device) = self.devices.get_mut(index) {
                    device.crash(&self.lan);
                }
            }
        }
    }

    pub(crate) async fn stop(&mut self, node: Node) {
        match node {
            Node::Station => self.station.stop().await,
            Node::Device(index) => {
                if let Some(device) = self.devices.get_mut(index) {
                    device.stop(&self.lan).await;
                }
            }
        }
    }

    pub(crate) fn wear(&self, node: Node, wear: Wear) {
        match node {
            Node::Station => self.station.disk.wear(wear),
            Node::Device(index) => {
                if let Some(device) = self.device(index) {
                    device.disk.wear(wear);
                }
            }
        }
    }

    pub(crate) fn set_clock(&self, node: Node, offset: i64, quality: ClockQuality) {
        let dial = match node {
            Node::Station => Some(&self.station.dial),
            Node::Device(index) => self.device(index).map(|device| &device.dial),
        };
        if let Some(dial) = dial {
            let mut dial = lock(dial);
            (dial.offset, dial.quality) = (offset, quality);
        }
    }

    /// Everything in order again: network whole, disks fine, clocks right, nobody objects.
    pub(crate) async fn heal(&mut self) {
        self.lan.tape.swap_next(0);
        self.station.disk.disarm();
        for node in [Node::Station].into_iter().chain((0..DEVICES).map(Node::Device)) {
            self.wear(node, Wear::default());
            self.set_clock(node, 0, ClockQuality::Synced);
        }
        for device in &self.devices {
            device.disk.disarm();
            device.patient.store(false, core::sync::atomic::Ordering::Relaxed);
            self.lan.net.set(device.index, |line| *line = Line::default());
        }
        self.start().await;
    }

    /// Whether the station has taken a device out of service.
    pub(crate) fn is_decommissioned(&self, device: &DeviceId) -> bool {
        let tables = self.station.disk.stable();
        let row = tables.devices.get(device);
        row.is_none_or(|row| row.status == DeviceStatus::Decommissioned)
    }
}
