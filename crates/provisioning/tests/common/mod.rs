//! A device with every port in memory, and a station to pair it with.

pub(crate) mod adapters;
pub(crate) mod local;
pub(crate) mod pki;
pub(crate) mod station;
pub(crate) mod store;

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zmon_crypto::Algorithms;
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, OperatorId};
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::time::UnixTime;
use zmon_protocol::device::DeviceProfile;
use zmon_provisioning::clock::VirtualClock;
use zmon_provisioning::ports::{Clock, DeviceEndpoint, KeyStore, SharedRng};
use zmon_provisioning::{
    CentralStationProvisioningService, DeviceParts, IProvisioningService, ProvisioningEvent,
};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::kind::TrustLevel;
use zmon_wire::session::DeliveryAnswer;

use adapters::{MemoryKeys, MemoryLink, MemoryListener, Switch};
use local::MemoryLocal;
use station::{FakeStation, Identified};
use store::MemoryStore;

/// Lets virtual time pass. Whoever calls it runs on tokio's paused time (`start_paused`), which jumps to
/// the next timer as soon as nobody has anything to do: nothing waits.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// 2024-11-25T14:20:00Z, as in the documents' examples.
pub(crate) const START: i64 = 1_732_544_400;

/// The device of every test.
pub(crate) fn device_id() -> DeviceId {
    DeviceId::parse("ZM-001").unwrap()
}

/// Everything around one device.
pub(crate) struct Bench {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) rng: SharedRng,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) keys: Arc<MemoryKeys>,
    pub(crate) listener: Arc<MemoryListener>,
    pub(crate) link: Arc<MemoryLink>,
    pub(crate) interlock: Arc<Switch>,
    pub(crate) local: Arc<MemoryLocal>,
    pub(crate) station: Arc<FakeStation>,
}

impl Bench {
    /// A fresh device; its clock starts at [`START`].
    pub(crate) fn new() -> Self {
        Self::at_level(None)
    }

    /// The same, whose station's certificates say this level (D20).
    pub(crate) fn at_level(level: Option<TrustLevel>) -> Self {
        let clock = Arc::new(VirtualClock::starting_at(START));
        let rng = SharedRng::new(ChaCha20Rng::from_seed([1; 32]));
        let start = UnixTime::from_unix(START).unwrap();
        let station = FakeStation::new(level, start, rng.clone());
        let keys = {
            let mut rng = rng.lock();
            MemoryKeys::new(pki::soft(&mut *rng), &mut *rng)
        };
        let identity = keys.identity().public().clone();
        let link = Arc::new(MemoryLink::new(clock.clone(), identity));
        link.connect(station.clone());
        Self {
            clock,
            rng,
            store: Arc::default(),
            keys: Arc::new(keys),
            listener: Arc::default(),
            link,
            interlock: Arc::default(),
            local: Arc::default(),
            station,
        }
    }

    /// What a binary would fill in.
    pub(crate) fn parts(&self) -> DeviceParts {
        DeviceParts {
            profile: DeviceProfile::new(
                device_id(),
                DeviceSerial::parse("SN-2024-001234").unwrap(),
                FirmwareVersion::parse("1.2.3").unwrap(),
            ),
            address: DeviceAddress::parse("192.168.1.100").unwrap(),
            anchors: self.station.anchors(),
            algorithms: Algorithms::rustcrypto(),
            store: self.store.clone(),
            keys: self.keys.clone(),
            listener: self.listener.clone(),
            station: self.link.clone(),
            interlock: self.interlock.clone(),
            local: self.local.parts(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
        }
    }

    /// Starts (or restarts) the device.
    pub(crate) async fn start(&self) -> CentralStationProvisioningService {
        CentralStationProvisioningService::start(self.parts()).await.unwrap()
    }

    /// A proof that is good for a minute.
    pub(crate) fn proof(&self, role: Role) -> OperatorProof {
        proof(role, &*self.clock)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now().wall.unwrap()
    }

    /// The open listener.
    pub(crate) fn endpoint(&self) -> Arc<dyn DeviceEndpoint> {
        self.listener.endpoint().expect("the listener is open")
    }

    /// Scans the code on the screen and claims the window.
    pub(crate) async fn claim(
        &self,
        service: &dyn IProvisioningService,
    ) -> Result<Identified, ErrorReport> {
        let qr = service.generate_qr_code().await?;
        let (session, open) = self.station.scan(qr.qr_code_content(), self.now());
        let answer = self.endpoint().session(open).await?;
        Ok(self.station.identify(session, &answer.identity))
    }

    /// Scans, claims and delivers; the device's signed answer.
    pub(crate) async fn pair_with(
        &self,
        service: &dyn IProvisioningService,
        spoil: impl FnOnce(&mut ConfigurationDocument),
    ) -> Result<DeliveryAnswer, ErrorReport> {
        let identified = self.claim(service).await?;
        let envelope = self.station.envelope(&identified, spoil);
        self.endpoint().configuration(envelope).await
    }

    /// As [`pair_with`](Self::pair_with), with a good configuration.
    pub(crate) async fn pair(
        &self,
        service: &dyn IProvisioningService,
    ) -> Result<DeliveryAnswer, ErrorReport> {
        self.pair_with(service, |_| ()).await
    }

    /// Heartbeats so far.
    pub(crate) fn beats(&self) -> Vec<Duration> {
        self.link.beats.lock().unwrap().iter().map(|(at, _)| at.elapsed()).collect()
    }

    /// Whether the station answers heartbeats.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.link.deaf.store(deaf, Ordering::SeqCst);
    }
}

/// A proof that is good for a minute from now.
#[expect(clippy::disallowed_methods, reason = "these tests stand in for an authenticator")]
pub(crate) fn proof(role: Role, clock: &dyn Clock) -> OperatorProof {
    let expires = clock.now().mono + Duration::from_secs(60);
    danger::authenticated(OperatorId::parse("tess").unwrap(), role, expires)
}

/// Lets every task run until all of them wait, without moving the clock.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// The signals that are waiting, without the first one that only says the status.
pub(crate) fn drain(events: &mut zmon_provisioning::EventStream) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(event) = events.try_next() {
        names.push(match event {
            ProvisioningEvent::QrCodeGenerated { .. } => "qrCodeGenerated".into(),
            ProvisioningEvent::QrCodeExpired => "qrCodeExpired".into(),
            ProvisioningEvent::ConfigurationReceived { .. } => "configurationReceived".into(),
            ProvisioningEvent::ProvisioningCompleted(_) => "provisioningCompleted".into(),
            ProvisioningEvent::ProvisioningFailed(_) => "provisioningFailed".into(),
            ProvisioningEvent::StatusChanged(status) => format!("statusChanged({status})"),
            other => format!("{other:?}"),
        });
    }
    names
}
