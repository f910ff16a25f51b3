//! A device composed as the shipped program composes it, with a note of when each port was called.

#![expect(clippy::disallowed_types, reason = "a benchmark is a program")]

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tempfile::TempDir;
use zmon_bench::sample::{Cost, Stopwatch, now};
use zmon_crypto::{Anchor, AnchorSet, Suite};
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, OperatorId};
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::time::Now;
use zmon_persistence::{FileKeyStore, PrivateDir, SqliteDeviceStore};
use zmon_protocol::PullMethod;
use zmon_protocol::device::{
    BootState, DeviceProfile, DeviceRecord, DeviceWrite, LinkCredentials, LinkError, Pulled,
    Retirement,
};
use zmon_provisioning::ports::{
    AuditPage, AuditReport, AuditRow, Clock, DeviceEndpoint, DeviceStore, KeyStore, ListenError,
    Listener, LocalData, SharedRng, StationLink, StoreError,
};
use zmon_provisioning::{CentralStationProvisioningService, DeviceParts};
use zmon_transport::device_listener::{Bind, TlsListener};
use zmon_transport::provider;
use zmon_transport::station_link::TlsStationLink;
use zmon_transport::tls::TlsContext;
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::manifest::ManifestRow;
use zmon_wire::outcome::CommitRequest;
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::pull::FetchRequest;
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// What a port did, when it was called, and what it took.
pub(crate) type Step = (&'static str, Instant, Cost);

/// The calls of one device, in the order they ended.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<Step>>>);

impl Trace {
    /// Every call so far.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.lock().clone()
    }

    async fn note<T>(&self, what: &'static str, call: impl Future<Output = T>) -> T {
        let (from, watch) = (now(), Stopwatch::start());
        let done = call.await;
        self.lock().push((what, from, watch.cost()));
        done
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Step>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a device is made to believe.
pub(crate) struct Trust {
    pub(crate) anchor: Anchor,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A device that was never paired.
pub(crate) struct Device {
    pub(crate) service: Arc<CentralStationProvisioningService>,
    pub(crate) manifest: ManifestRow,
    pub(crate) trace: Trace,
    clock: Arc<dyn Clock>,
    _dir: TempDir,
}

impl Device {
    /// Makes and starts one.
    pub(crate) async fn new(trust: &Trust, number: usize) -> Self {
        let mode = std::fs::Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().permissions(mode).tempdir().expect("a directory");
        let private = Arc::new(PrivateDir::open(dir.path()).expect("a private directory"));
        let rng = SharedRng::new(UnwrapErr(SysRng));
        let keys = FileKeyStore::create(Arc::clone(&private), Suite::P256, &mut *rng.lock());
        let keys: Arc<dyn KeyStore> = Arc::new(keys.expect("keys"));
        let id = DeviceId::parse(&format!("ZM-{number}")).expect("an id");
        let serial = DeviceSerial::parse(&format!("SN-{number}")).expect("a serial number");
        let store = SqliteDeviceStore::open(private, id.clone(), Arc::clone(&keys), rng.clone());
        let store = store.await.expect("a database");
        let manifest =
            ManifestRow::new(id.clone(), serial.clone(), keys.identity().public().thumbprint());

        let (provider, clock, trace) =
            (provider::ring(), Arc::clone(&trust.clock), Trace::default());
        let time = Arc::clone(&clock);
        let tls = TlsContext::new(provider.tls, move || {
            time.now().wall.and_then(|time| u64::try_from(time.unix()).ok())
        });
        let listener = TlsListener::new(&tls, Arc::clone(&keys), &rng, Bind::any_port(LOOPBACK));
        let (inner, notes) = (listener.expect("a listener"), trace.clone());
        let service = CentralStationProvisioningService::start(DeviceParts {
            profile: DeviceProfile::new(
                id,
                serial,
                FirmwareVersion::parse("1.2.3").expect("1.2.3"),
            ),
            address: DeviceAddress::from_ip(LOOPBACK).expect("an address"),
            anchors: AnchorSet::from_anchors([trust.anchor.clone()]).expect("an anchor"),
            algorithms: provider.algorithms,
            store: Arc::new(Noted { inner: store, trace: notes.clone() }),
            keys,
            listener: Arc::new(Noted { inner, trace: notes.clone() }),
            station: Arc::new(Noted { inner: TlsStationLink::new(tls), trace: notes }),
            interlock: DeviceParts::no_patient(),
            local: LocalData::none(),
            clock: Arc::clone(&clock),
            rng,
        });
        let service = Arc::new(service.await.expect("the device starts"));
        Self { service, manifest, trace, clock, _dir: dir }
    }

    /// A technician, as if the PIN had just been checked.
    #[expect(clippy::disallowed_methods, reason = "the PIN's argon2id is measured by itself")]
    pub(crate) fn technician(&self) -> OperatorProof {
        let expires = self.clock.now().mono + Duration::from_secs(60);
        let id = OperatorId::parse("tina").expect("an operator");
        danger::authenticated(id, Role::Technician, expires)
    }
}

/// A port whose calls are noted.
struct Noted<T> {
    inner: T,
    trace: Trace,
}

#[async_trait]
impl DeviceStore for Noted<SqliteDeviceStore> {
    async fn load(&self) -> Result<BootState, StoreError> {
        self.inner.load().await
    }

    async fn commit(&self, now: &Now, record: &DeviceRecord) -> Result<(), StoreError> {
        self.trace.note(name(record), self.inner.commit(now, record)).await
    }

    async fn events(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        self.inner.events(page).await
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        self.inner.verify_audit().await
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.inner.checkpoint().await
    }
}

/// What a record makes durable.
fn name(record: &DeviceRecord) -> &'static str {
    let has = |wanted: fn(&DeviceWrite) -> bool| record.writes.iter().any(wanted);
    if has(|write| matches!(write, DeviceWrite::OpenWindow(_))) {
        "commit: window"
    } else if has(|write| matches!(write, DeviceWrite::ClaimWindow(..))) {
        "commit: claim"
    } else if has(|write| matches!(write, DeviceWrite::StageB(_))) {
        "commit: slot B"
    } else if has(|write| matches!(write, DeviceWrite::MarkCommitSent(_))) {
        "commit: commit sent"
    } else if has(|write| matches!(write, DeviceWrite::Flip)) {
        "commit: flip"
    } else {
        "commit: rows"
    }
}

#[async_trait]
impl StationLink for Noted<TlsStationLink> {
    async fn test(&self, credentials: &LinkCredentials) -> Result<(), LinkError> {
        self.trace.note("test over mTLS", self.inner.test(credentials)).await
    }

    async fn commit(
        &self,
        credentials: &LinkCredentials,
        request: &CommitRequest,
    ) -> Result<Vec<u8>, LinkError> {
        self.trace.note("commit at the station", self.inner.commit(credentials, request)).await
    }

    async fn ask_outcome(
        &self,
        credentials: &LinkCredentials,
        ask: &str,
    ) -> Result<Vec<u8>, LinkError> {
        self.inner.ask_outcome(credentials, ask).await
    }

    async fn pull(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        pull: &str,
    ) -> Result<Pulled, LinkError> {
        self.inner.pull(credentials, method, pull).await
    }

    async fn fetch(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        request: &FetchRequest,
    ) -> Result<Vec<u8>, LinkError> {
        self.inner.fetch(credentials, method, request).await
    }

    async fn retire(&self, retirement: &Retirement) -> Result<(), LinkError> {
        self.inner.retire(retirement).await
    }

    async fn heartbeat(
        &self,
        credentials: &LinkCredentials,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatAnswer, LinkError> {
        self.inner.heartbeat(credentials, heartbeat).await
    }
}

#[async_trait]
impl Listener for Noted<TlsListener> {
    async fn open(&self, endpoint: Arc<dyn DeviceEndpoint>) -> Result<u16, ListenError> {
        let noted = Noted { inner: endpoint, trace: self.trace.clone() };
        self.trace.note("listener opened", self.inner.open(Arc::new(noted))).await
    }

    async fn close(&self) {
        self.trace.note("listener closed", self.inner.close()).await;
    }
}

#[async_trait]
impl DeviceEndpoint for Noted<Arc<dyn DeviceEndpoint>> {
    async fn session(&self, open: SessionOpen) -> Result<SessionAnswer, ErrorReport> {
        self.trace.note("session", self.inner.session(open)).await
    }

    async fn window(&self) -> Result<WindowAnswer, ErrorReport> {
        self.inner.window().await
    }

    async fn pake_start(&self, start: PakeStart) -> Result<PakeStarted, ErrorReport> {
        self.inner.pake_start(start).await
    }

    async fn pake_confirm(&self, confirm: PakeConfirm) -> Result<SessionAnswer, ErrorReport> {
        self.trace.note("session", self.inner.pake_confirm(confirm)).await
    }

    async fn blink(&self, blink: BlinkRequest) -> Result<BlinkAnswer, ErrorReport> {
        self.inner.blink(blink).await
    }

    async fn configuration(&self, envelope: Vec<u8>) -> Result<DeliveryAnswer, ErrorReport> {
        self.trace.note("apply", self.inner.configuration(envelope)).await
    }

    async fn junk(&self, code: zmon_domain::error::ErrorCode) {
        self.inner.junk(code).await;
    }
}
