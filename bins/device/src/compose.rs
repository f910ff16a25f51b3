//! The adapters of one device, opened and put together.

#![expect(
    clippy::disallowed_types,
    reason = "a program passes the operating system's generator in"
)]

use std::{path::Path, sync::Arc};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use zmon_cli::Failure;
use zmon_crypto::AnchorSet;
use zmon_domain::{
    error::ErrorCode,
    limits,
    time::{ClockQuality, Now},
};
use zmon_persistence::{
    ClinicalFolder, FileAuthenticator, FileKeyStore, ManualFolder, PrivateDir, SqliteDeviceStore,
    make_new_identity,
};
use zmon_protocol::device::{DeviceProfile, DeviceRecord, StationTrust};
use zmon_provisioning::{
    CentralStationProvisioningService, DeviceParts,
    clock::SystemClock,
    ports::{
        ClinicalData, Clock, DeviceStore, KeyStore, Listener, LocalData, LocalOperators, SharedRng,
    },
};
use zmon_transport::{
    device_listener::{LiveAnchors, PullParts, PullingListener, TlsListener},
    provider::Provider,
    station_link::TlsStationLink,
    tls::TlsContext,
};

use crate::{
    anchors::{self, Anchors},
    factory,
    settings::{FILE, Settings},
    stored,
};

/// The operating system's generator. If it fails there is no safe way on: the process ends.
pub(crate) fn system_rng() -> SharedRng {
    SharedRng::new(UnwrapErr(SysRng))
}

/// What is kept of a device on disk, open and locked for this process.
pub(crate) struct Disk {
    pub(crate) dir: Arc<PrivateDir>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) operators: Arc<FileAuthenticator>,
    pub(crate) store: Arc<SqliteDeviceStore>,
    pub(crate) clinical: Arc<ClinicalFolder>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: SharedRng,
}

impl Disk {
    /// Opens the directory of an initialised device.
    ///
    /// # Errors
    /// `not_initialised`, `key_file_mode_too_wide`, `storage_corrupt` and their like, with the path.
    pub(crate) async fn open(
        dir: &Path,
        profile: &DeviceProfile,
        clock: ClockQuality,
    ) -> Result<Self, Failure> {
        let dir = Arc::new(PrivateDir::open(dir).map_err(stored)?);
        if FileKeyStore::has_staged(&dir).map_err(stored)? {
            renew(&dir, profile, clock).await?;
        }
        let keys = FileKeyStore::open(Arc::clone(&dir)).map_err(stored)?;
        let disk = Self::with_keys(Arc::clone(&dir), Arc::new(keys), profile, clock).await?;
        if !disk.store.wants_new_identity() {
            return Ok(disk);
        }
        drop(disk);
        renew(&dir, profile, clock).await?;
        let keys = FileKeyStore::open(Arc::clone(&dir)).map_err(stored)?;
        Self::with_keys(dir, Arc::new(keys), profile, clock).await
    }

    /// The same with keys that were just made.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub(crate) async fn with_keys(
        dir: Arc<PrivateDir>,
        keys: Arc<dyn KeyStore>,
        profile: &DeviceProfile,
        clock: ClockQuality,
    ) -> Result<Self, Failure> {
        let rng = system_rng();
        let operators = FileAuthenticator::open(Arc::clone(&dir), keys.as_ref(), rng.clone())
            .map_err(stored)?;
        let clinical = ClinicalFolder::open(Arc::clone(&dir)).map_err(stored)?;
        let device = profile.device_id.clone();
        let store =
            SqliteDeviceStore::open(Arc::clone(&dir), device, Arc::clone(&keys), rng.clone());
        let store = store.await.map_err(stored)?;
        Ok(Self {
            dir,
            keys,
            operators: Arc::new(operators),
            store: Arc::new(store),
            clinical: Arc::new(clinical),
            clock: Arc::new(SystemClock::new(clock)),
            rng,
        })
    }

    /// Commits rows of the audit log that belong to no transition.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn record(&self, now: &Now, record: &DeviceRecord) -> Result<(), Failure> {
        self.store
            .commit(now, record)
            .await
            .map_err(|error| Failure::new(error.code()).context(error.to_string()))
    }
}

/// Makes the identity that a factory reset has asked for (D21).
async fn renew(
    dir: &Arc<PrivateDir>,
    profile: &DeviceProfile,
    clock: ClockQuality,
) -> Result<(), Failure> {
    let (now, device) = (SystemClock::new(clock).now(), &profile.device_id);
    if make_new_identity(dir, device, &system_rng(), &now).await.map_err(stored)? {
        tracing::warn!(%device, "a new identity was made; its station has to be told");
    }
    Ok(())
}

/// Whose stations a device believes, and from where they come.
pub(crate) struct World {
    pub(crate) trust: StationTrust,
    pub(crate) anchors: AnchorSet,
}

impl World {
    /// The anchors as polls take them.
    pub(crate) fn live_anchors(&self) -> LiveAnchors {
        LiveAnchors::new(self.anchors.iter().map(|anchor| anchor.ca_der().to_vec()))
    }

    /// The hospital's anchors as they were laid down, or none where people confirm stations (D8).
    ///
    /// # Errors
    /// As [`anchors::load`]; `proximity_with_anchor` where both were laid down at imaging. What an
    /// administrator imports later ends proximity, and a start does not bring it back.
    pub(crate) fn real(dir: &Path, settings: &Settings) -> Result<Self, Failure> {
        let Anchors { set: anchors, imported } = anchors::load(dir)?;
        let mut trust = settings.profile.trust;
        if trust == StationTrust::Proximity && !anchors.is_empty() {
            if !imported {
                return Err(Failure::new(ErrorCode::ProximityWithAnchor)
                    .context(format!("proximity = true in {}", dir.join(FILE).display())));
            }
            tracing::warn!("an anchor was imported: proximity = true has no effect any more");
            trust = StationTrust::Anchored;
        }
        Ok(Self { trust, anchors })
    }
}

/// Starts the service of a device over its disk and its sockets; `anchors` are those of the world, for
/// polls.
///
/// # Errors
/// What the store, the keys or the TLS set-up say.
pub(crate) async fn start(
    settings: &Settings,
    disk: &Disk,
    world: World,
    anchors: LiveAnchors,
) -> Result<CentralStationProvisioningService, Failure> {
    let provider = provider();
    let wall = Arc::clone(&disk.clock);
    let tls = TlsContext::new(provider.tls, move || {
        wall.tls_time().and_then(|time| u64::try_from(time.unix()).ok())
    });
    let keys = Arc::clone(&disk.keys);
    let listener = TlsListener::new(&tls, keys, &disk.rng, settings.bind.clone())
        .map_err(|error| Failure::new(ErrorCode::ListenerFailed).context(error.to_string()))?;
    let pull = PullParts {
        tls: tls.clone(),
        station: settings.pull_url.clone(),
        anchors,
        store: Arc::clone(&disk.store) as Arc<dyn DeviceStore>,
        device_id: settings.profile.device_id.clone(),
        keys: Arc::clone(&disk.keys),
        rng: disk.rng.clone(),
        pause: limits::POLL_PAUSE.default,
    };
    let listener: Arc<dyn Listener> = Arc::new(PullingListener::new(Arc::new(listener), pull));
    #[cfg(feature = "mdns")]
    let listener = announced(settings, listener)?;
    let mut profile = settings.profile.clone();
    profile.key_protection = disk.keys.protection();
    profile.trust = world.trust;
    profile.factory_chain = factory::load(&disk.dir, disk.keys.identity().public())?;
    let service = CentralStationProvisioningService::start(DeviceParts {
        profile,
        address: settings.address,
        anchors: world.anchors,
        algorithms: provider.algorithms,
        store: Arc::clone(&disk.store) as Arc<dyn DeviceStore>,
        keys: Arc::clone(&disk.keys),
        listener,
        station: Arc::new(TlsStationLink::new(tls)),
        interlock: settings.interlock.adapter(),
        local: LocalData {
            clinical: Arc::clone(&disk.clinical) as Arc<dyn ClinicalData>,
            operators: Arc::clone(&disk.operators) as Arc<dyn LocalOperators>,
            manual: Arc::new(ManualFolder::new(settings.manual_configuration.clone())),
        },
        clock: Arc::clone(&disk.clock),
        rng: disk.rng.clone(),
    });
    Ok(service.await?)
}

/// The listener with its announcement, if that is wanted.
#[cfg(feature = "mdns")]
fn announced(
    settings: &Settings,
    listener: Arc<dyn Listener>,
) -> Result<Arc<dyn Listener>, Failure> {
    use zmon_transport::device_listener::AnnouncingListener;
    if !settings.mdns {
        return Ok(listener);
    }
    let (device, address) = (settings.profile.device_id.clone(), settings.address.ip());
    let announcing = AnnouncingListener::new(listener, device, address)
        .map_err(|error| Failure::new(ErrorCode::ListenerFailed).context(error.to_string()))?;
    Ok(Arc::new(announcing))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc")))]
fn provider() -> Provider {
    compile_error!("zmon-device needs a TLS provider: switch on its feature `ring` or `aws-lc`")
}

#[cfg(feature = "ring")]
pub(crate) fn provider() -> Provider {
    zmon_transport::provider::ring()
}

#[cfg(all(feature = "aws-lc", not(feature = "ring")))]
pub(crate) fn provider() -> Provider {
    zmon_transport::provider::aws_lc()
}
