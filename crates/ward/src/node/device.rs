//! The machine of a bedside monitor.

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::time::Instant;
use zmon_crypto::{Algorithms, SoftIdentity, Suite};
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion};
use zmon_domain::role::{OperatorProof, Role};
use zmon_protocol::device::DeviceProfile;
use zmon_provisioning::ports::{ClinicalInterlock, KeyStore, LocalData, Moment, SharedRng};
use zmon_provisioning::{CentralStationProvisioningService, DeviceParts};
use zmon_wire::manifest::ManifestRow;

use super::keys::Keys;
use super::lan::Lan;
use super::link::Link;
use super::listener::Ear;
use super::proof;
use crate::bug::Bug;
use crate::chance::Chance;
use crate::clock::{Dial, NodeClock};
use crate::disk::{Disk, Mounted};
use crate::life::Life;
use crate::store::{DeviceMemory, MemoryDeviceStore};

/// A running device.
#[derive(Clone)]
pub(crate) struct Device {
    /// The service.
    pub(crate) service: Arc<CentralStationProvisioningService>,
    /// Its clock.
    pub(crate) clock: NodeClock,
    /// Its life.
    pub(crate) life: Life,
}

impl Device {
    /// Somebody with this role who has just given a PIN.
    #[must_use]
    pub(crate) fn proof(&self, role: Role) -> Option<OperatorProof> {
        proof("tess", role, self.clock.now().mono + Duration::from_secs(300))
    }
}

/// A device with its disk, keys and clock; its process comes and goes.
pub(crate) struct DeviceNode {
    /// Which of the ward's.
    pub(crate) index: usize,
    /// Its name.
    pub(crate) id: DeviceId,
    /// Its disk.
    pub(crate) disk: Arc<Disk<DeviceMemory>>,
    /// Its clock.
    pub(crate) dial: Arc<Mutex<Dial>>,
    /// Whether a patient objects.
    pub(crate) patient: Arc<AtomicBool>,
    serial: DeviceSerial,
    address: DeviceAddress,
    keys: Arc<Keys>,
    port: Arc<AtomicU16>,
    origin: Instant,
    chance: Chance,
    bug: Option<Bug>,
    running: Option<Device>,
}

impl DeviceNode {
    /// The `index`th device, switched off.
    #[must_use]
    pub(crate) fn new(
        index: usize,
        origin: Instant,
        chance: Chance,
        bug: Option<Bug>,
    ) -> Option<Self> {
        let number = u16::try_from(index).ok()?.checked_add(1)?;
        let id = DeviceId::parse(&format!("ZM-{number:03}")).ok()?;
        let mut rng = chance.generator();
        let identity = SoftIdentity::generate(Suite::P256, &mut rng).ok()?;
        Some(Self {
            index,
            disk: Disk::new(DeviceMemory::empty(&id), chance.clone()),
            dial: Arc::default(),
            patient: Arc::default(),
            serial: DeviceSerial::parse(&format!("SN-2026-{number:06}")).ok()?,
            address: DeviceAddress::parse(&format!("10.1.50.{number}")).ok()?,
            keys: Arc::new(Keys::new(identity, &mut rng)),
            port: Arc::new(AtomicU16::new(number.checked_mul(4_000)?.checked_add(30_000)?)),
            id,
            origin,
            chance,
            bug,
            running: None,
        })
    }

    /// Its line of a manifest.
    #[must_use]
    pub(crate) fn manifest_row(&self) -> ManifestRow {
        let identity = self.keys.identity().public().thumbprint();
        ManifestRow::new(self.id.clone(), self.serial.clone(), identity)
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn address(&self) -> DeviceAddress {
        self.address
    }

    /// The process, while it runs.
    #[must_use]
    pub(crate) fn running(&self) -> Option<Device> {
        self.running.clone().filter(|device| !device.life.is_over())
    }

    /// Switches on, if it is off. A start that fails leaves it off.
    pub(crate) async fn start(&mut self, lan: &Arc<Lan>, recovery: bool) {
        if self.running().is_some() {
            return;
        }
        self.running = None;
        lan.hang_up(self.index);
        self.disk.recover();
        if let Some(bug) = self.bug {
            self.disk.tamper(|memory| bug.at_start(&mut memory.boot));
        }
        lan.watch.loaded(self.index, &self.disk.stable().boot);
        let life = Life::default();
        let clock = NodeClock::boot(self.origin, Arc::clone(&self.dial), life.clone());
        let Some(parts) = self.parts(lan, &life, &clock, recovery) else {
            return lan.watch.broke("a device cannot be composed".to_owned());
        };
        // The power may go while it starts.
        let starting = tokio::spawn(CentralStationProvisioningService::start(parts));
        match tokio::time::timeout(Duration::from_secs(5), starting).await {
            Ok(Ok(Ok(service))) => {
                self.running = Some(Device { service: Arc::new(service), clock, life });
            }
            Ok(Ok(Err(report))) => {
                life.end();
                lan.watch.note(&format!("device {} does not start: {}", self.index, report.code));
            }
            Ok(Err(_)) | Err(_) => life.end(),
        }
    }

    /// The power goes.
    pub(crate) fn crash(&mut self, lan: &Lan) {
        if let Some(device) = self.running.take() {
            device.life.end();
        }
        lan.hang_up(self.index);
    }

    /// Stops in order.
    pub(crate) async fn stop(&mut self, lan: &Lan) {
        if let Some(device) = self.running() {
            let service = Arc::clone(&device.service);
            let stopped = tokio::spawn(async move { service.shutdown().await });
            drop(tokio::time::timeout(Duration::from_secs(10), stopped).await);
        }
        self.crash(lan);
    }

    /// A link with the device's network place: its own, or a thief's.
    pub(crate) fn link(&self, lan: &Arc<Lan>, life: &Life, clock: &NodeClock) -> Link {
        Link {
            lan: Arc::clone(lan),
            index: self.index,
            address: self.address.ip(),
            life: life.clone(),
            clock: clock.clone(),
            kept: Mutex::default(),
        }
    }

    fn parts(
        &self,
        lan: &Arc<Lan>,
        life: &Life,
        clock: &NodeClock,
        recovery: bool,
    ) -> Option<DeviceParts> {
        let firmware = FirmwareVersion::parse("1.2.3").ok()?;
        let mut profile = DeviceProfile::new(self.id.clone(), self.serial.clone(), firmware);
        profile.recovery = recovery;
        let rng = SharedRng::new(self.chance.generator());
        let (watch, index) = (lan.watch.clone(), self.index);
        let store = MemoryDeviceStore::new(Arc::new(Mounted::new(&self.disk, life)))
            .with_checkpoints(self.keys.signer(), rng.clone())
            .with_witness(Arc::new(move |before, after, record| {
                watch.device(index, before, after, record);
            }))
            .with_hook(self.bug.and_then(Bug::in_device_store));
        let ear = Ear {
            lan: Arc::clone(lan),
            index,
            address: self.address.ip(),
            thumbprint16: self.keys.identity().public().thumbprint().short(),
            life: life.clone(),
            port: Arc::clone(&self.port),
        };
        Some(DeviceParts {
            profile,
            address: self.address,
            anchors: lan.pki.anchors(),
            algorithms: Algorithms::rustcrypto(),
            store: Arc::new(store),
            keys: Arc::clone(&self.keys) as Arc<dyn KeyStore>,
            listener: Arc::new(ear),
            station: Arc::new(self.link(lan, life, clock)),
            interlock: Arc::new(Patient(Arc::clone(&self.patient))),
            local: LocalData::none(),
            clock: Arc::new(clock.clone()),
            rng,
        })
    }
}

/// A patient who may object.
struct Patient(Arc<AtomicBool>);

#[async_trait]
impl ClinicalInterlock for Patient {
    async fn check(&self, _: Moment) -> Result<(), ErrorReport> {
        if self.0.load(Ordering::Relaxed) {
            return Err(ErrorCode::InterlockActive.into());
        }
        Ok(())
    }
}
