//! A device's processes: composed as the shipped program composes them.

use core::future::ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zmon_crypto::AnchorSet;
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::Role;
use zmon_persistence::{
    ClinicalFolder, FileAuthenticator, FileKeyStore, HashCost, ManualFolder, PersistenceError,
    PrivateDir, SqliteDeviceStore,
};
use zmon_protocol::device::DeviceProfile;
use zmon_provisioning::ports::{
    Authenticator, ClinicalData, DeviceStore, KeyStore, Listener, LocalData, LocalOperators, Pin,
    SharedRng,
};
use zmon_provisioning::{CentralStationProvisioningService, DeviceParts, ProvisioningError};
use zmon_transport::device_listener::{
    AnnouncingListener, Bind, LiveAnchors, PullParts, PullingListener, TlsListener,
};
use zmon_transport::provider;
use zmon_transport::station_link::TlsStationLink;
use zmon_transport::tls::TlsContext;

use super::{ADMINISTRATOR, DeviceOptions, MANUAL_FOLDER, PIN, TECHNICIAN};
use crate::clock::TestClock;
use crate::fault::Faults;
use crate::faulty::{FaultyLink, FaultyStore, Luck};
use crate::power::{Power, aside};
use crate::wait;

/// What a start needs.
pub(super) struct Parts {
    pub(super) dir: PathBuf,
    pub(super) options: DeviceOptions,
    pub(super) profile: DeviceProfile,
    pub(super) anchors: AnchorSet,
    pub(super) faults: Faults,
    pub(super) first_start: bool,
}

/// A device that is on.
pub(super) struct Running {
    pub(super) power: Power,
    pub(super) service: Arc<CentralStationProvisioningService>,
    pub(super) store: Arc<dyn DeviceStore>,
    pub(super) keys: Arc<dyn KeyStore>,
    pub(super) operators: Arc<FileAuthenticator>,
}

impl Running {
    pub(super) async fn start(parts: Parts) -> Result<Self, ProvisioningError> {
        let power = Power::on();
        let luck = Luck { faults: parts.faults.clone(), power: power.clone() };
        let started = power.run(compose(parts, luck)).await;
        let cancelled = Err(ErrorReport::from(ErrorCode::Cancelled));
        match started.unwrap_or(cancelled) {
            Ok((service, disk)) => {
                let Disk { store, keys, operators, .. } = disk;
                Ok(Self { power, service, store, keys, operators })
            }
            Err(error) => {
                power.cut();
                Err(error)
            }
        }
    }

    pub(super) async fn stop(self) {
        let service = Arc::clone(&self.service);
        let stopped = self.power.run(async move { service.shutdown().await });
        wait::within("the device to stop", stopped).await;
        self.power.cut();
    }
}

/// What is kept of a device on disk.
struct Disk {
    store: Arc<dyn DeviceStore>,
    keys: Arc<dyn KeyStore>,
    operators: Arc<FileAuthenticator>,
    clinical: Arc<ClinicalFolder>,
    rng: SharedRng,
}

async fn compose(
    parts: Parts,
    luck: Luck,
) -> Result<(Arc<CentralStationProvisioningService>, Disk), ProvisioningError> {
    let (opened, parts) = aside(async move || (disk(&parts).await, parts)).await;
    let disk = opened.map_err(|error| {
        tracing::warn!(error = %error.describe(), "the device does not start");
        ErrorReport::from(error.code())
    })?;
    let Parts { dir: parts_dir, options, profile, anchors, first_start, .. } = parts;
    if first_start {
        let (operators, clock) = (Arc::clone(&disk.operators), options.clock.clone());
        aside(async move || add_operators(&operators, &clock).await).await;
    }
    let provider = provider::ring();
    let tls = tls(&options.clock);
    let bind = Bind::any_port(options.address);
    let listener = TlsListener::new(&tls, Arc::clone(&disk.keys), &disk.rng, bind);
    let mut listener: Arc<dyn Listener> = Arc::new(listener.expect("a listener"));
    if let Some((station, pause)) = options.pull.clone() {
        let parts = PullParts {
            tls: tls.clone(),
            station,
            anchors: LiveAnchors::new(anchors.iter().map(|anchor| anchor.ca_der().to_vec())),
            store: Arc::clone(&disk.store),
            device_id: profile.device_id.clone(),
            keys: Arc::clone(&disk.keys),
            rng: disk.rng.clone(),
            pause,
        };
        listener = Arc::new(PullingListener::new(listener, parts));
    }
    if options.mdns {
        let device = profile.device_id.clone();
        let announcing = AnnouncingListener::new(listener, device, options.address);
        listener = Arc::new(announcing.expect("multicast DNS"));
    }
    let address = DeviceAddress::from_ip(options.address).expect("the address of one host");
    let store = FaultyStore { inner: Arc::clone(&disk.store), luck: luck.clone() };
    let service = CentralStationProvisioningService::start(DeviceParts {
        profile,
        address,
        anchors,
        algorithms: provider.algorithms,
        store: Arc::new(store),
        keys: Arc::clone(&disk.keys),
        listener,
        station: Arc::new(FaultyLink { inner: TlsStationLink::new(tls), luck }),
        interlock: options.interlock,
        local: LocalData {
            clinical: Arc::clone(&disk.clinical) as Arc<dyn ClinicalData>,
            operators: Arc::clone(&disk.operators) as Arc<dyn LocalOperators>,
            manual: Arc::new(ManualFolder::new(parts_dir.join(MANUAL_FOLDER))),
        },
        clock: Arc::new(options.clock),
        rng: disk.rng.clone(),
    });
    Ok((Arc::new(service.await?), disk))
}

async fn disk(parts: &Parts) -> Result<Disk, PersistenceError> {
    let dir = Arc::new(free(&parts.dir).await?);
    let rng = parts.options.seed.shared_rng();
    let keys = if parts.first_start {
        FileKeyStore::create(Arc::clone(&dir), parts.options.suite, &mut *rng.lock())?
    } else {
        FileKeyStore::open(Arc::clone(&dir))?
    };
    let keys: Arc<dyn KeyStore> = Arc::new(keys);
    let cost = HashCost::LEAST;
    let operators = FileAuthenticator::open_with(Arc::clone(&dir), &*keys, rng.clone(), cost)?;
    let clinical = Arc::new(ClinicalFolder::open(Arc::clone(&dir))?);
    let id = parts.profile.device_id.clone();
    let store = SqliteDeviceStore::open(dir, id, Arc::clone(&keys), rng.clone()).await?;
    Ok(Disk { store: Arc::new(store), keys, operators: Arc::new(operators), clinical, rng })
}

/// After a crash the directory is free as soon as the last task of the old run is gone.
async fn free(dir: &Path) -> Result<PrivateDir, PersistenceError> {
    let open = || match PrivateDir::open(dir) {
        Err(error) if error.code() == ErrorCode::StateConflict => ready(None),
        opened => ready(Some(opened)),
    };
    wait::eventually("the device's directory", open).await
}

/// The TLS set-up of a device.
pub(super) fn tls(clock: &TestClock) -> TlsContext {
    let clock = clock.clone();
    TlsContext::new(provider::ring().tls, move || {
        clock.tls_time().and_then(|time| u64::try_from(time.unix()).ok())
    })
}

async fn add_operators(operators: &FileAuthenticator, clock: &TestClock) {
    let pin = || Pin::parse(PIN).expect("a PIN");
    let admin = || ADMINISTRATOR.parse().expect("an operator's name");
    operators.create_administrator(admin(), pin()).await.expect("a first administrator");
    let now = clock.now();
    let proof = operators.authenticate(&admin(), pin(), &now).await.expect("the PIN is right");
    let technician = TECHNICIAN.parse().expect("an operator's name");
    let added = operators.add_operator(&proof, &now, technician, Role::Technician, pin());
    added.await.expect("a technician");
}
