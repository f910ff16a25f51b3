//! The adapters of one station, opened and put together.

use std::{net::SocketAddr, path::Path, sync::Arc};

use tokio::task::AbortHandle;
use zmon_cli::Failure;
use zmon_domain::{address::ServerUrl, error::ErrorCode};
use zmon_persistence::{PersistenceError, PrivateDir, SqlStationStore};
use zmon_protocol::station::ServerParameters;
use zmon_station::{
    OwnAddress, Station, StationParts, StationPolicy, StationProfile,
    ca::CaMaterial,
    ports::{Clock, Entropy, StationStore},
};
use zmon_transport::{
    dialer::TlsDeviceDialer,
    provider,
    station_api::{Binds, BoundListeners, Interposed, StationListeners},
    tls::{ServerCredentials, TlsContext},
};
use zmon_ui::{
    console,
    tablet::{self, TrustedCa},
};
use zmon_wire::kind::TrustLevel;

use crate::{
    database, factory,
    faulty::{Disturbance, FaultyDialer, FaultyIssuer},
    keys, refused, scraper,
    settings::Settings,
    stored,
    system::{SystemClock, SystemEntropy},
};

/// A station that serves.
pub(crate) struct Running {
    pub(crate) station: Arc<Station>,
    pub(crate) store: Arc<SqlStationStore>,
    listeners: StationListeners,
    housekeeping: AbortHandle,
    /// Keeps the directory with the keys locked, wherever the database is.
    _dir: Arc<PrivateDir>,
}

impl Running {
    /// Where operators connect.
    pub(crate) fn operators(&self) -> SocketAddr {
        self.listeners.operators()
    }

    /// Where devices connect.
    pub(crate) fn devices(&self) -> SocketAddr {
        self.listeners.devices()
    }

    /// Stops serving in order: answers under way are finished, the end has its audit row.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.listeners.shutdown().await;
        self.housekeeping.abort();
        self.station.stop().await.map_err(refused)
    }
}

/// Opens a station's directory and serves it.
///
/// # Errors
/// What the key files, the database, the sockets or the certificates say.
pub(crate) async fn start(
    dir: &Path,
    settings: &Settings,
    disturbance: Disturbance,
) -> Result<Running, Failure> {
    let private = Arc::new(PrivateDir::open(dir).map_err(stored)?);
    let material = keys::load(dir)?;
    let audit_key = material.audit_signer().map_err(|error| keys::unusable(&error))?;
    let root = keys::root(dir, &mut *SystemEntropy.generator())?;
    let store = database::open(Arc::clone(&private), settings).await?;
    let store = store.with_checkpoints(audit_key, Arc::new(SystemEntropy));
    let store = store.with_sessions(root, Arc::new(SystemEntropy));
    let store = store
        .with_high_water(Arc::clone(&private), &settings.station_id)
        .await
        .map_err(|error| set_back(dir, error))?;
    let store = Arc::new(store);

    let provider = provider::aws_lc();
    let tls = TlsContext::new(provider.tls, || {
        SystemClock.now().wall.and_then(|time| u64::try_from(time.unix()).ok())
    });
    let binds = Binds::new(settings.listen, settings.device_listen, settings.server_names.clone());
    let disturbance = Arc::new(disturbance);
    let bound = BoundListeners::bind(binds).await.map_err(|error| not_bound(settings, &error))?;
    let bound = bound.interpose(Arc::clone(&disturbance) as Arc<dyn Interposed>);
    let pages = tablet::pages(trusted_ca(settings, &material)?)
        .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))?;
    let bound = bound.pages(pages.merge(console::pages()));
    let bound = match &settings.metrics_token_file {
        Some(file) => bound.scraped_with(scraper::load(dir, file)?),
        None => bound,
    };
    let (operators, devices) = addresses(&bound)?;

    let dialer = FaultyDialer {
        inner: TlsDeviceDialer::new(tls.clone()),
        disturbance: Arc::clone(&disturbance),
    };
    let issuer = FaultyIssuer {
        inner: material.issuer().map_err(|error| keys::unusable(&error))?,
        disturbance,
    };
    let station = Station::new(StationParts {
        profile: profile(settings, &material, devices)?,
        instance: settings.instance.clone(),
        policy: policy(dir, settings, &material, operators, devices)?,
        store: Arc::clone(&store) as Arc<dyn StationStore>,
        dialer: Arc::new(dialer),
        issuer: Arc::new(issuer),
        signer: material.signer().map_err(|error| keys::unusable(&error))?,
        algorithms: provider.algorithms,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    })
    .map_err(refused)?;
    station.start().await.map_err(refused)?;

    let unusable = |error: String| Failure::new(ErrorCode::ListenerFailed).context(error);
    let credentials = ServerCredentials::new(&material.server_chain(), material.server_key())
        .map_err(|error| unusable(error.to_string()))?;
    let client_ca = [material.client_ca_der().to_vec()];
    let listeners = bound
        .serve(&station, &tls, &credentials, &client_ca)
        .map_err(|error| unusable(error.to_string()))?;
    let housekeeping = tokio::spawn(Arc::clone(&station).run()).abort_handle();
    Ok(Running { station, store, listeners, housekeeping, _dir: private })
}

/// A database that was set back is not served from: what it has forgotten would count again.
fn set_back(dir: &Path, error: PersistenceError) -> Failure {
    let failure = stored(error);
    if failure.code() != ErrorCode::StationSetBack {
        return failure;
    }
    let dir = dir.display();
    failure.next(format!(
        "Put the newer database back, or restore a backup: zmon station restore FILE NEW_DIR. If what came \
         after it is lost: zmon station accept {dir}"
    ))
}

fn profile(
    settings: &Settings,
    material: &CaMaterial,
    devices: SocketAddr,
) -> Result<StationProfile, Failure> {
    let url = format!("https://{}:{}", settings.device_host(), devices.port());
    let pem = |pem: Result<String, _>| pem.map_err(|error| keys::unusable(&error));
    Ok(StationProfile {
        station_id: settings.station_id.clone(),
        station_name: settings.station_name.clone(),
        site_id: settings.site.clone(),
        server: ServerParameters {
            url: ServerUrl::parse(&url)?,
            ca_certificate: pem(material.anchor_pem())?,
            server_certificate: Some(pem(material.server_certificate_pem())?),
        },
    })
}

/// Whom tablets are to trust: the root that the operators' listener's certificate leads to.
fn trusted_ca(settings: &Settings, material: &CaMaterial) -> Result<TrustedCa, Failure> {
    Ok(TrustedCa {
        station: settings.station_name.clone(),
        der: material.anchor_der().to_vec(),
        pem: material.anchor_pem().map_err(|error| keys::unusable(&error))?,
    })
}

fn policy(
    dir: &Path,
    settings: &Settings,
    material: &CaMaterial,
    operators: SocketAddr,
    devices: SocketAddr,
) -> Result<StationPolicy, Failure> {
    let mut policy = StationPolicy::new(settings.networks.clone());
    policy.session.device_trust.clone_from(&settings.device_trust);
    policy.session.factory_anchors = factory::load(dir, &settings.factory_anchors, material)?;
    policy.session.station_made_keys = settings.station_made_keys;
    policy.session.suites.clone_from(&settings.suites);
    if settings.proximity {
        policy.session.station_trust.push(TrustLevel::Proximity);
    }
    policy.recovery = settings.recovery;
    policy.batch_concurrency = settings.batch_concurrency;
    policy.own_addresses = [operators, devices]
        .map(|own| OwnAddress { ip: own.ip(), port: Some(own.port()) })
        .to_vec();
    Ok(policy)
}

fn addresses(bound: &BoundListeners) -> Result<(SocketAddr, SocketAddr), Failure> {
    let unknown =
        |error: std::io::Error| Failure::new(ErrorCode::ListenerFailed).context(error.to_string());
    Ok((bound.operators().map_err(unknown)?, bound.devices().map_err(unknown)?))
}

fn not_bound(settings: &Settings, error: &std::io::Error) -> Failure {
    Failure::new(ErrorCode::ListenerFailed)
        .context(format!("{} or {}: {error}", settings.listen, settings.device_listen))
        .next("Name free addresses of this machine with --listen and --device-listen.")
}
