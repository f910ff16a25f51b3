//! A station with its store, a network of devices and a few operators.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zmon_crypto::x509::{Anchor, AnchorSet};
use zmon_crypto::{Algorithms, IdentityKey};
use zmon_domain::address::{Network as Cidr, NetworkPolicy, ServerUrl};
use zmon_domain::ids::{InstanceName, OperatorId, SiteId, StationId, StationName};
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::time::Tick;
use zmon_station::ca::{CaMaterial, CaParams, CaParts, ServerName};
use zmon_station::ports::*;
use zmon_station::{ServerParameters, Station, StationParts, StationPolicy, StationProfile};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::manifest;
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use super::device::FakeDevice;
use super::runtime::{SeededEntropy, TestClock};
use super::store::MemoryStore;

/// One authority for all tests of a process: making one costs five key pairs.
static CA: LazyLock<CaParts> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let material = CaMaterial::generate(&ca_params(), &mut rng, TestClock::first()).unwrap();
    material.to_parts().unwrap()
});

/// What the tests' authority is made for.
pub(crate) fn ca_params() -> CaParams {
    CaParams::new(
        StationId::parse("CS-1").unwrap(),
        StationName::parse("Ward 3 Central").unwrap(),
        site(),
        vec![
            ServerName::parse("monitoring.hospital.com").unwrap(),
            ServerName::parse("127.0.0.1").unwrap(),
        ],
    )
}

/// The tests' site.
pub(crate) fn site() -> SiteId {
    SiteId::parse("st-mary").unwrap()
}

/// The tests' authority.
pub(crate) fn ca() -> CaMaterial {
    CaMaterial::from_parts(&CA).unwrap()
}

/// What the devices trust.
pub(crate) fn anchors() -> AnchorSet {
    let anchor = Anchor::parse(ca().anchor_der(), site()).unwrap();
    AnchorSet::from_anchors([anchor]).unwrap()
}

/// The devices a station can dial.
#[derive(Default)]
pub(crate) struct Lan {
    devices: Mutex<BTreeMap<(IpAddr, u16), Arc<FakeDevice>>>,
    dialled: Mutex<Vec<Target>>,
}

impl Lan {
    /// Plugs a device in.
    pub(crate) fn plug(&self, device: &Arc<FakeDevice>) {
        let place = (device.address.ip(), device.port());
        self.devices.lock().unwrap().insert(place, Arc::clone(device));
    }

    /// One more connection.
    fn reach(&self, target: &Target) -> Result<Arc<FakeDevice>, DialError> {
        self.dialled.lock().unwrap().push(target.clone());
        let unreachable = |cause: &str| DialError::Unreachable { cause: cause.to_owned() };
        let place = (target.address.ip(), target.port);
        let device = self.devices.lock().unwrap().get(&place).cloned();
        let device = device.ok_or_else(|| unreachable("nobody there"))?;
        if device.identity.public().thumbprint().short() != target.thumbprint16 {
            return Err(unreachable("wrong pin"));
        }
        Ok(device)
    }

    /// Every connection so far.
    pub(crate) fn dialled(&self) -> Vec<Target> {
        self.dialled.lock().unwrap().clone()
    }
}

#[async_trait]
impl DeviceDialer for Lan {
    async fn open(
        &self,
        target: &Target,
        open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        let device = self.reach(target)?;
        let identity = device.answer_hello(&open)?;
        Ok((SessionAnswer { identity }, Box::new(Connection(device))))
    }

    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
        let device = self.reach(target)?;
        let answer = device.answer_window()?;
        Ok((answer, Box::new(Connection(device))))
    }

    fn again(&self, target: &Target, claim: Option<Claim>) -> Box<dyn DeviceConnection> {
        Box::new(Again { device: self.reach(target), claim })
    }
}

/// A connection that is opened when it is needed, by the claim of before.
struct Again {
    device: Result<Arc<FakeDevice>, DialError>,
    claim: Option<Claim>,
}

impl Again {
    fn open(&self) -> Result<Connection, DialError> {
        let device = self.device.clone()?;
        match &self.claim {
            Some(Claim::Token(open)) => drop(device.answer_hello(open)?),
            Some(Claim::Code(confirm)) => drop(device.answer_confirm(confirm)?),
            None => {}
        }
        Ok(Connection(device))
    }
}

#[async_trait]
impl DeviceConnection for Again {
    async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError> {
        self.open()?.pake_start(start).await
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        self.open()?.pake_confirm(confirm).await
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        self.open()?.blink(request).await
    }

    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        self.open()?.deliver(envelope).await
    }
}

struct Connection(Arc<FakeDevice>);

#[async_trait]
impl DeviceConnection for Connection {
    async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError> {
        self.0.answer_start(&start)
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        let identity = self.0.answer_confirm(&confirm)?;
        Ok(SessionAnswer { identity })
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        self.0.answer_blink(&request).await
    }

    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        let status = self.0.answer_configuration(envelope).await?;
        Ok(DeliveryAnswer { status })
    }
}

/// The parts of a station with the default policy for 10.1.50.0/24.
pub(crate) fn parts(
    store: &Arc<MemoryStore>,
    dialer: Arc<dyn DeviceDialer>,
    clock: &Arc<TestClock>,
    seed: u64,
) -> StationParts {
    let networks = NetworkPolicy {
        networks: vec![Cidr::parse("10.1.50.0/24").unwrap()],
        ports: 40_000..=50_000,
    };
    let ca = ca();
    let params = ca_params();
    StationParts {
        profile: StationProfile {
            station_id: params.station_id,
            station_name: params.station_name,
            site_id: params.site_id,
            server: ServerParameters {
                url: ServerUrl::parse("https://monitoring.hospital.com:8443").unwrap(),
                ca_certificate: ca.anchor_pem().unwrap(),
                server_certificate: Some(ca.server_certificate_pem().unwrap()),
            },
        },
        instance: InstanceName::default(),
        policy: StationPolicy::new(networks),
        store: store.port(),
        dialer,
        issuer: Arc::new(ca.issuer().unwrap()),
        signer: ca.signer().unwrap(),
        algorithms: Algorithms::rustcrypto(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SeededEntropy::new(seed)),
    }
}

/// A station with an empty store behind another dialer.
pub(crate) fn compose_with(
    clock: &Arc<TestClock>,
    dialer: Arc<dyn DeviceDialer>,
) -> (Arc<Station>, Arc<MemoryStore>) {
    let store = Arc::default();
    let station = Station::new(parts(&store, dialer, clock, 9)).unwrap();
    (station, store)
}

/// Everything a test needs.
pub(crate) struct World {
    pub(crate) station: Arc<Station>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) lan: Arc<Lan>,
    pub(crate) clock: Arc<TestClock>,
}

impl World {
    /// A started station with the default policy for 10.1.50.0/24.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A started station with another policy.
    pub(crate) async fn with(change: impl FnOnce(&mut StationPolicy)) -> Self {
        let world = Self::compose(Arc::default(), Arc::default(), 1, change);
        world.station.start().await.unwrap();
        world
    }

    /// The same store and network under a new process.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same with another policy than the default one.
    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut StationPolicy)) -> Self {
        let Self { store, lan, clock, station } = self;
        station.stop().await.unwrap();
        // Wall clocks do not start again with the process.
        let station = Self::station(&store, &lan, &clock, 3, change);
        let world = Self { station, store, lan, clock };
        world.station.start().await.unwrap();
        world.reconnect();
        world
    }

    /// Another process on the same store and network; the one before is not stopped, and may be only slow.
    /// Devices talk to the new one from now on.
    pub(crate) async fn beside(&self, instance: &str) -> Self {
        self.beside_with(instance, |_| {}).await
    }

    /// The same, composed otherwise.
    pub(crate) async fn beside_with(
        &self,
        instance: &str,
        change: impl FnOnce(&mut StationParts),
    ) -> Self {
        let (store, lan, clock) = (&self.store, &self.lan, &self.clock);
        let dialer = Arc::clone(lan) as Arc<dyn DeviceDialer>;
        let mut parts = parts(store, dialer, clock, 50);
        parts.instance = InstanceName::parse(instance).unwrap();
        change(&mut parts);
        let world = Self {
            station: Station::new(parts).unwrap(),
            store: Arc::clone(store),
            lan: Arc::clone(lan),
            clock: Arc::clone(clock),
        };
        world.station.start().await.unwrap();
        world.reconnect();
        world
    }

    fn compose(
        store: Arc<MemoryStore>,
        lan: Arc<Lan>,
        seed: u64,
        change: impl FnOnce(&mut StationPolicy),
    ) -> Self {
        let clock = Arc::new(TestClock::new());
        let station = Self::station(&store, &lan, &clock, seed, change);
        Self { station, store, lan, clock }
    }

    fn station(
        store: &Arc<MemoryStore>,
        lan: &Arc<Lan>,
        clock: &Arc<TestClock>,
        seed: u64,
        change: impl FnOnce(&mut StationPolicy),
    ) -> Arc<Station> {
        let dialer = Arc::clone(lan) as Arc<dyn DeviceDialer>;
        let mut parts = parts(store, dialer, clock, seed);
        change(&mut parts.policy);
        Station::new(parts).unwrap()
    }

    /// Registers devices and plugs them in.
    pub(crate) async fn know(&self, devices: &[&Arc<FakeDevice>]) {
        let rows: Vec<_> = devices.iter().map(|device| device.manifest_row()).collect();
        let manifest = manifest::to_lines(&rows).unwrap();
        self.station.import(&administrator(), &manifest).await.unwrap();
        for device in devices {
            self.plug(device);
        }
    }

    /// Plugs a device in without registering it.
    pub(crate) fn plug(&self, device: &Arc<FakeDevice>) {
        device.connect(&self.station);
        self.lan.plug(device);
    }

    fn reconnect(&self) {
        for device in self.lan.devices.lock().unwrap().values() {
            device.connect(&self.station);
        }
    }
}

/// An operator who has logged in.
pub(crate) fn operator(id: &str, role: Role) -> OperatorProof {
    let expires = Tick::new(std::time::Duration::from_secs(100_000_000));
    #[expect(clippy::disallowed_methods, reason = "tests have operators of their own")]
    danger::authenticated(OperatorId::parse(id).unwrap(), role, expires)
}

pub(crate) fn technician() -> OperatorProof {
    operator("tess", Role::Technician)
}

pub(crate) fn administrator() -> OperatorProof {
    operator("ada", Role::Administrator)
}
