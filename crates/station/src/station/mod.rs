//! The Central Station as one object: composed once, used by every listener.

mod accounts;
mod audit;
mod batch;
mod blink;
mod certificates;
mod courier;
mod decide;
mod devices;
mod elsewhere;
mod enrol;
mod fleet;
mod follow;
mod housekeeping;
mod login;
mod measure;
mod opening;
mod pairing;
mod password;
mod peer;
mod place;
mod polls;
mod progress;
mod rekey;
mod renew;
mod resume;
mod retire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, broadcast, watch};
use zmon_crypto::{Algorithms, IdentityKey, x509};
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::ids::{DeviceId, InstanceName, Serial};
use zmon_domain::limits;
use zmon_domain::time::{Now, Tick, UnixTime};
use zmon_protocol::station::{SessionContext, SessionTransition, StationAction};
use zmon_wire::kind::TrustLevel;

use crate::error::StationError;
use crate::events::StationEvent;
use crate::junk::Junk;
use crate::links::Links;
use crate::lockout::{Lockout, Turns};
use crate::metrics::Metrics;
use crate::policy::{StationPolicy, StationProfile};
use crate::ports::{
    CertificateIssuer, Clock, CrlRow, DeviceDialer, Entropy, Refusal, StationRecord, StationStore,
    StationWrite, StoreError,
};
use crate::session::Sessions;

pub use accounts::{NewOperator, OperatorSummary, bootstrap_administrator};
pub use devices::{ImportFault, ImportRefusal};
pub use enrol::EnrolmentRight;
pub use fleet::{CertificatesOf, FilterText, FleetFilter, FleetOrder, FleetState};
pub use pairing::{PairOutcome, ScanOutcome};
pub use peer::Peer;
pub use progress::{SessionFeed, SessionProgress};

/// Password hashes computed at a time: each takes 19 MiB and a core.
const HASHES_AT_A_TIME: usize = 2;
/// Events a slow reader may be behind before it has to read the store again.
const EVENT_BACKLOG: usize = 256;

/// The key that signs configurations, and its certificate (D8).
#[derive(Clone)]
pub struct ConfigurationSigner {
    /// The key; never the anchor's.
    pub key: Arc<dyn IdentityKey>,
    /// Its certificate first, DER; goes into `x5c`.
    pub chain: Vec<Vec<u8>>,
}

/// What a station is composed of.
pub struct StationParts {
    /// Who it is.
    pub profile: StationProfile,
    /// Which of the processes that share the store this is. No other may have the name at the same time.
    pub instance: InstanceName,
    /// What it allows.
    pub policy: StationPolicy,
    /// What it remembers.
    pub store: Arc<dyn StationStore>,
    /// How it reaches devices.
    pub dialer: Arc<dyn DeviceDialer>,
    /// Who issues device certificates.
    pub issuer: Arc<dyn CertificateIssuer>,
    /// Who signs configurations.
    pub signer: ConfigurationSigner,
    /// How signatures are verified.
    pub algorithms: Algorithms,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// The Central Station. Share it as `Arc<Station>`; every method takes `&self` or `&Arc<Self>`.
///
/// Nothing it does depends on the caller staying: a request that is dropped half way has either
/// committed a step or not.
pub struct Station {
    pub(crate) parts: StationParts,
    pub(crate) sessions: Sessions,
    events: broadcast::Sender<StationEvent>,
    crl: watch::Sender<Option<Arc<CrlRow>>>,
    lockout: Mutex<Lockout>,
    turns: Turns,
    junk: Mutex<Junk>,
    hashes: Semaphore,
    /// Held from the look at a device's reservation until the session that took it is known.
    opening: tokio::sync::Mutex<()>,
    settled: Mutex<BTreeSet<Serial>>,
    tested: Mutex<BTreeSet<Serial>>,
    alarmed: Mutex<BTreeMap<DeviceId, Tick>>,
    links: Mutex<Links>,
    enrolments: Mutex<enrol::Enrolments>,
    /// When it was composed.
    since: Option<UnixTime>,
    polls: Mutex<polls::Polls>,
    metrics: Metrics,
    batches: batch::Batches,
    crl_due: AtomicBool,
    /// When it last read what other stations have done to the record.
    seen: Mutex<Option<Tick>>,
    simulated: bool,
}

impl Station {
    /// Composes a station. Call [`Station::start`] before serving.
    ///
    /// # Errors
    /// `settings_invalid`, naming the setting: a certificate's lifetime has its limits;
    /// `simulated_certificate` for keys of a simulated station, unless all of them are and the build
    /// simulates (D20).
    pub fn new(parts: StationParts) -> Result<Arc<Self>, StationError> {
        let invalid = |field| StationError::field(ErrorCode::SettingsInvalid, field);
        let lifetime = parts.policy.certificate_lifetime;
        let _checked = limits::CERT_LIFETIME.check(lifetime).map_err(invalid)?;
        let concurrency =
            limits::BATCH_CONCURRENCY.check(parts.policy.batch_concurrency).map_err(invalid)?;
        let simulated = simulated(&parts)?;
        let since = parts.clock.now().wall;
        Ok(Arc::new(Self {
            parts,
            sessions: Sessions::default(),
            events: broadcast::channel(EVENT_BACKLOG).0,
            crl: watch::channel(None).0,
            lockout: Mutex::default(),
            turns: Turns::default(),
            junk: Mutex::default(),
            hashes: Semaphore::new(HASHES_AT_A_TIME),
            opening: tokio::sync::Mutex::default(),
            settled: Mutex::default(),
            tested: Mutex::default(),
            alarmed: Mutex::default(),
            links: Mutex::default(),
            enrolments: Mutex::default(),
            since,
            polls: Mutex::default(),
            metrics: Metrics::default(),
            batches: batch::Batches::new(concurrency),
            crl_due: AtomicBool::new(false),
            seen: Mutex::default(),
            simulated,
        }))
    }

    /// Who this station is.
    #[must_use]
    pub fn profile(&self) -> &StationProfile {
        &self.parts.profile
    }

    /// Whether this station is a simulated one (D20): then its devices' certificates say so, and
    /// others are refused.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// What this station allows.
    #[must_use]
    pub fn policy(&self) -> &StationPolicy {
        &self.parts.policy
    }

    /// Changes as they happen. A reader that falls behind reads the store again.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<StationEvent> {
        self.events.subscribe()
    }

    /// The latest revocation list, and every later one.
    #[must_use]
    pub fn revocation_list(&self) -> watch::Receiver<Option<Arc<CrlRow>>> {
        self.crl.subscribe()
    }

    /// This station's time.
    #[must_use]
    pub fn now(&self) -> Now {
        self.parts.clock.now()
    }

    /// The wall clock; a station without one issues and admits nothing.
    pub(crate) fn wall(now: &Now) -> Result<UnixTime, StationError> {
        now.wall.ok_or_else(|| {
            tracing::error!("the station has no wall clock");
            ErrorCode::Internal.into()
        })
    }

    pub(crate) fn emit(&self, event: StationEvent) {
        // Nobody listening is no failure.
        let _receivers = self.events.send(event).unwrap_or(0);
    }

    pub(crate) fn context<'a>(&'a self, checkpoints: Checkpoints<'a>) -> SessionContext<'a> {
        let parts = &self.parts;
        SessionContext {
            station_id: &parts.profile.station_id,
            name: &parts.profile.station_name,
            site_id: &parts.profile.site_id,
            signer: parts.signer.key.as_ref(),
            signing_chain: &parts.signer.chain,
            algorithms: &parts.algorithms,
            server: &parts.profile.server,
            policy: &parts.policy.session,
            checkpoint: checkpoints.own,
            peer_checkpoint: checkpoints.peer,
            polls: false,
        }
    }

    /// Commits one record; a conditional write that cannot be done comes back as it is.
    pub(crate) async fn try_commit(
        &self,
        now: &Now,
        audit: Vec<AuditEvent>,
        writes: Vec<StationWrite>,
    ) -> Result<Result<(), Refusal>, StationError> {
        Ok(self.commit_record(now, &StationRecord { audit, writes }).await?)
    }

    /// Commits one record, and counts it.
    ///
    /// # Errors
    /// As [`StationStore::commit`].
    pub(crate) async fn commit_record(
        &self,
        now: &Now,
        record: &StationRecord,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let begun = self.now().mono;
        let committed = self.parts.store.commit(now, record).await?;
        if committed.is_ok() {
            self.metrics.committed(record, self.now().mono.since(begun));
        }
        Ok(committed)
    }

    /// Commits one record whose writes are all unconditional.
    pub(crate) async fn commit_all(
        &self,
        now: &Now,
        audit: Vec<AuditEvent>,
        writes: Vec<StationWrite>,
    ) -> Result<(), StationError> {
        self.try_commit(now, audit, writes).await?.map_err(|refusal| Self::unexpected(&refusal))
    }

    /// Raises the alarms of a session that was refused at once and never runs.
    pub(crate) fn alarm(&self, opened: &SessionTransition) {
        for action in &opened.actions {
            if let StationAction::Emit(zmon_protocol::station::StationEvent::Alarm(report)) = action
            {
                self.emit(StationEvent::Alarm {
                    device_id: Some(opened.next.device_id().clone()),
                    code: report.code,
                });
            }
        }
    }

    /// Writes down a refusal, and gives it back: no refusal without its row.
    pub(crate) async fn refuse<T>(
        &self,
        now: &Now,
        row: AuditEvent,
        error: StationError,
    ) -> Result<T, StationError> {
        self.commit_all(now, vec![row], Vec::new()).await?;
        Err(error)
    }
}

/// Whether the station's own certificates are those of a simulation: all of them, or none.
fn simulated(parts: &StationParts) -> Result<bool, StationError> {
    let (mut real, mut simulated) = (false, false);
    for certificate in parts.signer.chain.iter().chain(&parts.issuer.authorities()) {
        let is_simulated = x509::is_simulated(certificate).map_err(|_| {
            let rule = "must be certificates of X.509 v3";
            let field = FieldError::new("certificates", rule);
            StationError::field(ErrorCode::SettingsInvalid, field)
        })?;
        simulated |= is_simulated;
        real |= !is_simulated;
    }
    // Nor may a real station be told to take devices that simulate.
    let permitted = parts.policy.session.station_trust.contains(&TrustLevel::Simulated);
    if permitted != simulated || simulated && (real || !cfg!(feature = "simulate")) {
        return Err(ErrorCode::SimulatedCertificate.into());
    }
    Ok(simulated)
}

/// The audit checkpoints that a step may need (D16).
#[derive(Clone, Copy, Default)]
pub(crate) struct Checkpoints<'a> {
    /// The station's latest.
    pub(crate) own: Option<&'a str>,
    /// The one that is kept of the device.
    pub(crate) peer: Option<&'a str>,
}

/// Runs `work` to its end even when the caller goes away: between a committed record and what
/// follows from it nothing may be cut off.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, StationError>> + Send + 'static,
) -> Result<T, StationError> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a use-case was lost");
        Err(ErrorCode::Internal.into())
    })
}
