//! Listener, link, keys and interlock in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rand_core::CryptoRng;
use zmon_crypto::{IdentityKey, IdentityPublic, RootSecret, Secret32, SoftIdentity};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::time::{Tick, UnixTime};
use zmon_protocol::PullMethod;
use zmon_protocol::device::{LinkCredentials, LinkError, Pulled, Retirement};
use zmon_provisioning::ports::{
    ClinicalInterlock, Clock, DeviceEndpoint, KeyStore, KeyStoreError, ListenError, Listener,
    Moment, StationLink,
};
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::kind::KeyProtection;
use zmon_wire::outcome::CommitRequest;
use zmon_wire::pull::FetchRequest;

/// The port every test listener gets.
pub(crate) const PORT: u16 = 40_001;

/// A listener that opens nothing and remembers its endpoint.
#[derive(Default)]
pub(crate) struct MemoryListener {
    endpoint: Mutex<Option<Arc<dyn DeviceEndpoint>>>,
    broken: AtomicBool,
}

impl MemoryListener {
    /// The endpoint, while open.
    pub(crate) fn endpoint(&self) -> Option<Arc<dyn DeviceEndpoint>> {
        self.endpoint.lock().unwrap().clone()
    }

    /// From now on it cannot be opened.
    pub(crate) fn break_it(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Listener for MemoryListener {
    async fn open(&self, endpoint: Arc<dyn DeviceEndpoint>) -> Result<u16, ListenError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(ListenError::Bind("told to fail".into()));
        }
        *self.endpoint.lock().unwrap() = Some(endpoint);
        Ok(PORT)
    }

    async fn close(&self) {
        *self.endpoint.lock().unwrap() = None;
    }
}

/// Keys in memory.
pub(crate) struct MemoryKeys {
    root: RootSecret,
    identity: SoftIdentity,
    slots: Mutex<HashMap<u64, Secret32>>,
}

impl MemoryKeys {
    /// Fresh keys.
    pub(crate) fn new(identity: SoftIdentity, rng: &mut dyn CryptoRng) -> Self {
        Self { root: RootSecret::generate(rng), identity, slots: Mutex::default() }
    }
}

impl KeyStore for MemoryKeys {
    fn identity(&self) -> &dyn IdentityKey {
        &self.identity
    }

    fn derive(&self, label: &[u8]) -> Result<Secret32, KeyStoreError> {
        Ok(self.root.derive(label))
    }

    fn protection(&self) -> KeyProtection {
        KeyProtection::File
    }

    fn create_slot_secret(
        &self,
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret32, KeyStoreError> {
        let secret = Secret32::generate(rng);
        self.slots.lock().unwrap().insert(generation, secret.clone());
        Ok(secret)
    }

    fn slot_secret(&self, generation: u64) -> Result<Option<Secret32>, KeyStoreError> {
        Ok(self.slots.lock().unwrap().get(&generation).cloned())
    }

    fn destroy_slot_secret(&self, generation: u64) -> Result<(), KeyStoreError> {
        self.slots.lock().unwrap().remove(&generation);
        Ok(())
    }
}

/// An interlock with a switch.
#[derive(Default)]
pub(crate) struct Switch(pub(crate) Mutex<Vec<Moment>>);

#[async_trait]
impl ClinicalInterlock for Switch {
    async fn check(&self, moment: Moment) -> Result<(), ErrorReport> {
        let active = self.0.lock().unwrap().contains(&moment);
        if active { Err(ErrorCode::InterlockActive.into()) } else { Ok(()) }
    }
}

/// Answers `commit` and `outcome` as a station would.
pub(crate) trait Commits: Send + Sync {
    /// The signed outcome of a commit.
    fn commit(&self, request: &CommitRequest) -> Vec<u8>;
    /// The signed outcome of a question.
    fn outcome(&self, ask: &str) -> Vec<u8>;
    /// The answer to a pull of the device with this key.
    fn pull(&self, method: PullMethod, pull: &str, key: &IdentityPublic, now: UnixTime) -> Pulled;
    /// The envelope for the identity document that answers it.
    fn fetch(&self, request: &FetchRequest) -> Vec<u8>;
}

/// A link to a station in memory, with faults.
pub(crate) struct MemoryLink {
    clock: Arc<dyn Clock>,
    station: Mutex<Option<Arc<dyn Commits>>>,
    /// What tests answer, in order; then success.
    pub(crate) tests: Mutex<Vec<LinkError>>,
    /// What commits answer, in order; then the station's outcome.
    pub(crate) commits: Mutex<Vec<LinkError>>,
    /// When each test began.
    pub(crate) tested: Mutex<Vec<Tick>>,
    /// When each heartbeat came, with its sequence number.
    pub(crate) beats: Mutex<Vec<(Tick, u64)>>,
    /// The checkpoint each heartbeat carried.
    pub(crate) checkpoints: Mutex<Vec<Option<String>>>,
    /// Heartbeats fail while this is set.
    pub(crate) deaf: AtomicBool,
    /// Tests never answer while this is set.
    pub(crate) stalled: AtomicBool,
    /// Questions for the outcome.
    pub(crate) asks: AtomicUsize,
    /// Requests for a new certificate.
    pub(crate) pulls: AtomicUsize,
    identity: IdentityPublic,
    /// Statements about dead certificates, each time they are sent.
    pub(crate) retired: Mutex<Vec<Retirement>>,
    /// Whether statements arrive.
    pub(crate) hears_retirements: AtomicBool,
}

impl MemoryLink {
    /// A link on which everything succeeds.
    pub(crate) fn new(clock: Arc<dyn Clock>, identity: IdentityPublic) -> Self {
        Self {
            identity,
            pulls: AtomicUsize::new(0),
            clock,
            station: Mutex::default(),
            tests: Mutex::default(),
            commits: Mutex::default(),
            tested: Mutex::default(),
            checkpoints: Mutex::default(),
            beats: Mutex::default(),
            deaf: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            asks: AtomicUsize::new(0),
            retired: Mutex::default(),
            hears_retirements: AtomicBool::new(false),
        }
    }

    /// Who answers commits.
    pub(crate) fn connect(&self, station: Arc<dyn Commits>) {
        *self.station.lock().unwrap() = Some(station);
    }

    fn station(&self) -> Result<Arc<dyn Commits>, LinkError> {
        self.station
            .lock()
            .unwrap()
            .clone()
            .ok_or(LinkError::Network(ErrorCode::StationUnreachable))
    }
}

#[async_trait]
impl StationLink for MemoryLink {
    async fn test(&self, _: &LinkCredentials) -> Result<(), LinkError> {
        self.tested.lock().unwrap().push(self.clock.now().mono);
        if self.stalled.load(Ordering::SeqCst) {
            core::future::pending::<()>().await;
        }
        let mut faults = self.tests.lock().unwrap();
        if faults.is_empty() { Ok(()) } else { Err(faults.remove(0)) }
    }

    async fn commit(
        &self,
        _: &LinkCredentials,
        request: &CommitRequest,
    ) -> Result<Vec<u8>, LinkError> {
        let mut faults = self.commits.lock().unwrap();
        if !faults.is_empty() {
            return Err(faults.remove(0));
        }
        drop(faults);
        Ok(self.station()?.commit(request))
    }

    async fn ask_outcome(&self, _: &LinkCredentials, ask: &str) -> Result<Vec<u8>, LinkError> {
        self.asks.fetch_add(1, Ordering::SeqCst);
        Ok(self.station()?.outcome(ask))
    }

    async fn pull(
        &self,
        _: &LinkCredentials,
        method: PullMethod,
        pull: &str,
    ) -> Result<Pulled, LinkError> {
        self.pulls.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now().wall.unwrap();
        Ok(self.station()?.pull(method, pull, &self.identity, now))
    }

    async fn fetch(
        &self,
        _: &LinkCredentials,
        _: PullMethod,
        request: &FetchRequest,
    ) -> Result<Vec<u8>, LinkError> {
        Ok(self.station()?.fetch(request))
    }

    async fn retire(&self, retirement: &Retirement) -> Result<(), LinkError> {
        self.retired.lock().unwrap().push(retirement.clone());
        let heard = self.hears_retirements.load(Ordering::SeqCst);
        if heard { Ok(()) } else { Err(LinkError::Network(ErrorCode::StationUnreachable)) }
    }

    async fn heartbeat(
        &self,
        _: &LinkCredentials,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatAnswer, LinkError> {
        if self.deaf.load(Ordering::SeqCst) {
            return Err(LinkError::Network(ErrorCode::StationUnreachable));
        }
        let now = self.clock.now();
        self.beats.lock().unwrap().push((now.mono, heartbeat.sequence));
        self.checkpoints.lock().unwrap().push(heartbeat.audit_checkpoint.clone());
        Ok(HeartbeatAnswer { time: now.wall.unwrap(), config_version: 1 })
    }
}
