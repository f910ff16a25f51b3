//! The machine of a Central Station.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use rand_core::CryptoRng;
use tokio::time::Instant;
use zmon_crypto::Algorithms;
use zmon_domain::address::{Network, NetworkPolicy};
use zmon_domain::ids::InstanceName;
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::settings::SyncInterval;
use zmon_domain::time::Tick;
use zmon_station::ports::Entropy;
use zmon_station::{Station, StationParts, StationPolicy};
use zmon_wire::manifest::{self, ManifestRow};

use super::dialer::Dialer;
use super::issuer::Issuer;
use super::lan::{Lan, Running};
use super::{Pki, proof};
use crate::bug::Bug;
use crate::chance::Chance;
use crate::clock::{Dial, NodeClock};
use crate::disk::{Disk, Mounted};
use crate::life::Life;
use crate::lock;
use crate::store::{MemoryStationStore, Tables};
use crate::watch::Watch;

/// Certificates live for a day: renewals come in the middle of a run.
const LIFETIME: Duration = limits::CERT_LIFETIME.min;
/// Seconds between two heartbeats.
const BEAT: u64 = 60;

/// A station with its disk and clock; its process comes and goes.
pub(crate) struct StationNode {
    /// Its disk.
    pub(crate) disk: Arc<Disk<Tables>>,
    /// Its clock.
    pub(crate) dial: Arc<Mutex<Dial>>,
    origin: Instant,
    chance: Chance,
    bug: Option<Bug>,
    running: Option<Running>,
    lives: u64,
    /// Somebody else's keys, for a rogue station: nobody watches it.
    rogue: Option<Pki>,
}

impl StationNode {
    /// A station that is switched off. With `rogue` it is not the hospital's.
    #[must_use]
    pub(crate) fn new(
        origin: Instant,
        disk: Arc<Disk<Tables>>,
        chance: Chance,
        bug: Option<Bug>,
        rogue: Option<Pki>,
    ) -> Self {
        let dial = Arc::default();
        Self { disk, dial, origin, chance, bug, running: None, lives: 0, rogue }
    }

    /// The process, while it runs.
    #[must_use]
    pub(crate) fn running(&self) -> Option<Running> {
        self.running.clone().filter(|running| !running.life.is_over())
    }

    /// Switches on, if it is off. A start that fails leaves it off.
    pub(crate) async fn start(&mut self, lan: &Arc<Lan>) {
        if self.running().is_some() {
            return;
        }
        self.disk.recover();
        let life = Life::default();
        let clock = NodeClock::boot(self.origin, Arc::clone(&self.dial), life.clone());
        let Some(parts) = self.parts(lan, &life, &clock) else {
            return lan.watch.broke("the station cannot be composed".to_owned());
        };
        let Ok(station) = Station::new(parts) else {
            return lan.watch.broke("the station is refused".to_owned());
        };
        self.lives += 1;
        let running = Running { station, clock, life, number: self.lives };
        // The power may go while it starts.
        let started = tokio::spawn({
            let station = Arc::clone(&running.station);
            async move { station.start().await.is_ok() }
        });
        let started = tokio::time::timeout(Duration::from_secs(5), started).await;
        if !matches!(started, Ok(Ok(true))) {
            running.life.end();
            return;
        }
        drop(tokio::spawn(Arc::clone(&running.station).run()));
        if self.rogue.is_none() {
            lan.set_station(Some(running.clone()));
        }
        self.running = Some(running);
    }

    /// The power goes.
    pub(crate) fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            running.life.end();
        }
    }

    /// Stops in order.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running() {
            let station = Arc::clone(&running.station);
            let stopped = tokio::spawn(async move { station.stop().await.is_ok() });
            drop(tokio::time::timeout(Duration::from_secs(5), stopped).await);
            running.life.end();
        }
        self.running = None;
    }

    /// Takes these devices into the registry.
    pub(crate) async fn register(&self, rows: &[ManifestRow]) -> bool {
        let Some(running) = self.running() else { return false };
        let until = Tick::new(Duration::from_secs(1_000_000_000));
        let (Some(administrator), Ok(manifest)) =
            (proof("ada", Role::Administrator, until), manifest::to_lines(rows))
        else {
            return false;
        };
        running.station.import(&administrator, &manifest).await.is_ok()
    }

    fn parts(&self, lan: &Arc<Lan>, life: &Life, clock: &NodeClock) -> Option<StationParts> {
        let watch: Option<Watch> = self.rogue.is_none().then(|| lan.watch.clone());
        let pki = self.rogue.as_ref().unwrap_or(&lan.pki);
        let entropy: Arc<dyn Entropy> = Arc::new(Seeds(self.chance.clone()));
        let medium = Arc::new(Mounted::new(&self.disk, life));
        let mut store = MemoryStationStore::new(medium)
            .with_checkpoints(pki.ca.audit_signer().ok()?, Arc::clone(&entropy));
        if let Some(watch) = watch.clone() {
            store = store.with_witness(Arc::new(move |before, after, record| {
                watch.station(before, after, record);
            }));
        }
        store.before(self.bug.and_then(Bug::in_station_store));
        let twice = self.bug.is_some_and(Bug::issues_twice);
        let issuer = Issuer { ca: pki.ca.issuer().ok()?, life: life.clone(), watch, twice };
        Some(StationParts {
            profile: pki.profile()?,
            instance: InstanceName::default(),
            policy: policy()?,
            store: Arc::new(store),
            dialer: Arc::new(Dialer { lan: Arc::clone(lan), life: life.clone() }),
            issuer: Arc::new(issuer),
            signer: pki.ca.signer().ok()?,
            algorithms: Algorithms::rustcrypto(),
            clock: Arc::new(clock.clone()),
            entropy,
        })
    }
}

/// Generators, one after the other.
struct Seeds(Chance);

impl Entropy for Seeds {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(self.0.generator())
    }
}

fn policy() -> Option<StationPolicy> {
    let networks = NetworkPolicy {
        networks: vec![Network::parse("10.1.50.0/24").ok()?],
        ports: 1_024..=65_535,
    };
    let mut policy = StationPolicy::new(networks);
    policy.certificate_lifetime = LIFETIME;
    policy.recovery = true;
    policy.defaults.sync_interval = SyncInterval::from_secs(BEAT).ok()?;
    Some(policy)
}

impl core::fmt::Debug for StationNode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let dial = *lock(&self.dial);
        f.debug_struct("StationNode").field("lives", &self.lives).field("dial", &dial).finish()
    }
}
