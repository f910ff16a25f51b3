//! What must hold in every run, checked as it happens, and the trace of what happened.
//!
//! The watch sees each record at the instant it becomes durable, on either side, and holds it against
//! what it knows of both: it is the only one that does.

mod device;
mod rows;
mod station;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use zmon_crypto::sha256;
use zmon_domain::ids::{DeviceId, Serial, SessionId, TokenId, WindowId};
use zmon_station::ports::CertificateState;

use crate::disk::Disk;
use crate::lock;
use crate::store::Tables;

/// Lines of the trace that are kept to be shown.
const SHOWN: usize = 4_000;

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// When, in milliseconds of the run.
    pub at: u128,
    /// Which rule, and by what.
    pub what: String,
}

/// Watches one run. Clones share it.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Inner>>);

struct Inner {
    origin: Instant,
    trace: [u8; 32],
    lines: Vec<String>,
    breaks: Vec<Break>,
    station: Arc<Disk<Tables>>,
    devices: Vec<Known>,
    /// Tokens by whose claim the station has a row.
    claimed: BTreeMap<TokenId, SessionId>,
    /// Serial numbers of the certificates that were ever signed, by key.
    issued: BTreeMap<Vec<u8>, Serial>,
    /// Whose revocation an operator was told of.
    revoked: BTreeSet<Serial>,
    counts: Counts,
}

/// How often what happened: a run in which nothing happens proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Durable records of the station.
    pub station_records: u64,
    /// Durable records of devices.
    pub device_records: u64,
    /// Certificates that became current.
    pub commits: u64,
    /// Slots that were flipped.
    pub flips: u64,
    /// Certificates that were revoked.
    pub revocations: u64,
    /// Answers to requests over a certificate.
    pub answers: u64,
    /// Requests over a revoked certificate that were refused.
    pub refused_revoked: u64,
    /// Messages that an attacker has sent again or bent.
    pub attacks: u64,
    /// Power cuts.
    pub crashes: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.station_records += other.station_records;
        self.device_records += other.device_records;
        self.commits += other.commits;
        self.flips += other.flips;
        self.revocations += other.revocations;
        self.answers += other.answers;
        self.refused_revoked += other.refused_revoked;
        self.attacks += other.attacks;
        self.crashes += other.crashes;
    }
}

/// What is known of one device over all its lives.
struct Known {
    id: DeviceId,
    provisioned: bool,
    generation: u64,
    retire_counter: u64,
    recovery_counter: u64,
    windows: BTreeMap<WindowId, SessionId>,
    /// Windows that were ever open.
    opened: BTreeSet<WindowId>,
}

impl Watch {
    /// A watch over a station's disk and the devices with these names.
    #[must_use]
    pub(crate) fn new(origin: Instant, station: Arc<Disk<Tables>>, devices: &[DeviceId]) -> Self {
        let known = |id: &DeviceId| Known {
            id: id.clone(),
            provisioned: false,
            generation: 0,
            retire_counter: 0,
            recovery_counter: 0,
            windows: BTreeMap::new(),
            opened: BTreeSet::new(),
        };
        Self(Arc::new(Mutex::new(Inner {
            origin,
            trace: [0; 32],
            lines: Vec::new(),
            breaks: Vec::new(),
            station,
            devices: devices.iter().map(known).collect(),
            claimed: BTreeMap::new(),
            issued: BTreeMap::new(),
            revoked: BTreeSet::new(),
            counts: Counts::default(),
        })))
    }

    /// Adds a line to the trace. Nothing that certificates' random signatures change may be in it.
    pub(crate) fn note(&self, line: &str) {
        lock(&self.0).note(line);
    }

    /// A rule was broken.
    pub(crate) fn broke(&self, what: String) {
        lock(&self.0).broke(what);
    }

    /// The rules that were broken, in order.
    #[must_use]
    pub(crate) fn breaks(&self) -> Vec<Break> {
        lock(&self.0).breaks.clone()
    }

    /// Whether none was.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        lock(&self.0).breaks.is_empty()
    }

    /// Hash over every line of the trace.
    #[must_use]
    pub(crate) fn trace(&self) -> [u8; 32] {
        lock(&self.0).trace
    }

    /// The lines themselves, as many as are kept.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.0).lines.clone()
    }

    /// How often what happened.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        lock(&self.0).counts
    }

    /// Counts something.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut lock(&self.0).counts);
    }

    /// Every certificate is for a key of its own: a second one for the same key is one too many. The same
    /// one may be signed again, by a station that was switched off before it could write it down.
    pub(crate) fn issued(&self, spki: &[u8], serial: Serial) {
        let mut inner = lock(&self.0);
        let first = inner.issued.insert(spki.to_vec(), serial);
        if first.is_some_and(|first| first != serial) {
            inner.broke("double issue: two certificates for one key".to_owned());
        }
    }

    /// An operator was told that this certificate is revoked.
    pub(crate) fn told_revoked(&self, serial: Serial) {
        let mut inner = lock(&self.0);
        inner.revoked.insert(serial);
        if inner.state_of(&serial) != Some(CertificateState::Revoked) {
            inner.broke(format!("forgotten revocation: {serial} was said to be revoked"));
        }
    }

    /// Whether a certificate is refused for ever by now.
    #[must_use]
    pub(crate) fn is_revoked(&self, serial: &Serial) -> bool {
        let inner = lock(&self.0);
        inner.revoked.contains(serial) || inner.state_of(serial) == Some(CertificateState::Revoked)
    }

    /// The station has answered a request over this certificate; `revoked`: it had been before.
    pub(crate) fn answered(&self, serial: &Serial, revoked: bool, accepted: bool) {
        let mut inner = lock(&self.0);
        match (revoked, accepted) {
            (true, true) => {
                inner.broke(format!("revoked certificate {serial} was accepted"));
            }
            (true, false) => inner.counts.refused_revoked += 1,
            (false, _) => inner.counts.answers += 1,
        }
    }
}

impl Inner {
    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    fn note(&mut self, line: &str) {
        let line = format!("{:>9} {line}", self.elapsed().as_millis());
        let mut bytes = self.trace.to_vec();
        bytes.extend_from_slice(line.as_bytes());
        self.trace = sha256(&bytes);
        if self.lines.len() < SHOWN {
            self.lines.push(line);
        }
    }

    fn broke(&mut self, what: String) {
        self.note(&format!("BROKEN {what}"));
        let at = self.elapsed().as_millis();
        self.breaks.push(Break { at, what });
    }

    fn state_of(&self, serial: &Serial) -> Option<CertificateState> {
        self.station.stable().certificates.get(serial).map(|row| row.state)
    }
}
