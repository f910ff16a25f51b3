//! After the storm: everybody reaches a definite state, both sides agree, and a pairing works again.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::{sleep, timeout};
use zmon_domain::ids::Serial;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::Tick;
use zmon_provisioning::IProvisioningService;
use zmon_station::ports::CertificateState;

use crate::act::{open, pairing, request};
use crate::node::{Device, DeviceNode, proof};
use crate::step::Way;
use crate::world::World;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// Looks until everybody must be settled: three hours, longer than any deadline of a session.
const LOOKS: u32 = 180;
/// How far a clock that was called right may have been wrong: until that is over a device may hold the
/// true time for an old one (D14).
const SKEW: Duration = Duration::from_secs(300);
/// Looks until a pairing in good weather must be done.
const PAIRING: u32 = 5;

impl World {
    /// Heals the ward and checks where it comes to.
    pub(crate) async fn recover(&mut self) {
        self.heal().await;
        self.watch().note("healed");
        let mut left = self.unsettled();
        for _ in 0..LOOKS {
            if left.is_none() || !self.watch().is_whole() {
                break;
            }
            sleep(LOOK).await;
            self.start().await;
            left = self.unsettled();
        }
        match left {
            Some(what) => self.watch().broke(format!("never settled: {what}")),
            None => self.agree(),
        }
        if self.watch().is_whole() {
            let index = self.chance.index(self.devices.len());
            if let Err(what) = self.pairs_again(index).await {
                self.watch().broke(format!("device {index} cannot be paired: {what}"));
            }
        }
        self.logs_are_whole();
    }

    /// The first thing that is not in a definite state.
    fn unsettled(&self) -> Option<String> {
        if self.station.running().is_none() {
            return Some("the station is off".to_owned());
        }
        let tables = self.station.disk.stable();
        let pending = |state| state == CertificateState::Pending;
        if let Some(row) = tables.certificates.values().find(|row| pending(row.state)) {
            return Some(format!("certificate {} is pending", row.serial));
        }
        if let Some(row) =
            tables.sessions.values().find(|row| row.reserved || !row.phase.is_final())
        {
            return Some(format!("session {} is {:?}", row.id, row.phase));
        }
        self.devices.iter().find_map(|node| {
            let what = unsettled(node)?;
            Some(format!("device {} {what}", node.index))
        })
    }

    /// The station's record and the devices' slots say the same.
    fn agree(&self) {
        let tables = self.station.disk.stable();
        for device in &self.devices {
            let own = device.disk.stable().boot.slot_a.as_ref().map(|slot| slot.serial);
            let current = |state| state == CertificateState::Current;
            let current = tables.of_device(&device.id).find(|row| current(row.state));
            let current: Option<Serial> = current.map(|row| row.serial);
            if current.is_some() && current != own {
                let index = device.index;
                self.watch().broke(format!("device {index} has {own:?}, its station {current:?}"));
            }
        }
    }

    /// One more pairing, in good weather, must succeed.
    async fn pairs_again(&mut self, index: usize) -> Result<(), String> {
        let Some(id) = self.device(index).map(|device| device.id.clone()) else { return Ok(()) };
        sleep(SKEW).await;
        if self.is_decommissioned(&id) {
            return Ok(());
        }
        let device = self.device(index).and_then(DeviceNode::running).ok_or("it is off")?;
        let running = self.station.running().ok_or("the station is off")?;
        let tess = device.proof(Role::Technician).ok_or("nobody is there")?;
        let opened = timeout(LOOK, open(Arc::clone(&device.service), tess)).await;
        let opened = opened.map_err(|_| "its window hangs")?;
        opened.map_err(|report| format!("no window: {}", report.code))?;
        sleep(Duration::from_secs(1)).await;
        let screen = self.screen(index).ok_or("its screen is empty")?;
        let asked = request(&screen, Way::Scanned).ok_or("its screen cannot be read")?;
        let until = Tick::new(Duration::from_secs(1_000_000_000));
        let ada = proof("ada", Role::Administrator, until).ok_or("nobody is there")?;
        let paired = pairing(Arc::clone(&running.station), ada, asked);
        let paired = timeout(LOOK, paired).await.map_err(|_| "the pairing hangs")?;
        paired.map_err(|error| error.code().as_str())?;
        for _ in 0..PAIRING {
            sleep(LOOK).await;
            if self.is_connected(index, &device) {
                return Ok(());
            }
        }
        Err(format!("it is {:?}", device.service.state()))
    }

    fn is_connected(&self, index: usize, device: &Device) -> bool {
        let Some(node) = self.device(index) else { return false };
        let tables = self.station.disk.stable();
        let memory = node.disk.stable();
        let own =
            memory.boot.slot_a.as_ref().and_then(|slot| tables.certificates.get(&slot.serial));
        own.is_some_and(|row| row.state == CertificateState::Current)
            && device.service.state() == ProvisioningState::Provisioned
            && device.service.link().borrow().connected
    }

    fn logs_are_whole(&self) {
        let devices = self.devices.iter().map(|device| device.disk.stable().log.damage());
        let station = self.station.disk.stable().log.damage();
        for (sequence, rule) in devices.chain([station]).flatten() {
            self.watch().broke(format!("audit row {sequence}: {rule}"));
        }
    }
}

fn unsettled(node: &DeviceNode) -> Option<String> {
    let Some(device) = node.running() else { return Some("is off".to_owned()) };
    let view = device.service.view().borrow().clone();
    match view.state {
        ProvisioningState::NotProvisioned
        | ProvisioningState::Provisioned
        | ProvisioningState::Error
        | ProvisioningState::Deprovisioned => {}
        busy => return Some(format!("is {busy:?}")),
    }
    let memory = node.disk.stable();
    if memory.boot.slot_b.is_some() {
        return Some("still has slot B".to_owned());
    }
    if view.erasing {
        return Some("still erases".to_owned());
    }
    (view.retirements > 0).then(|| "has statements left".to_owned())
}
