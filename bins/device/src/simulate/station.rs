//! The simulated station, composed.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::task::AbortHandle;
use zmon_cli::Failure;
use zmon_crypto::{Anchor, AnchorSet, RootSecret};
use zmon_domain::{
    address::{DeviceAddress, Network, NetworkPolicy, ServerUrl},
    error::{ErrorCode, ErrorReport},
    ids::{InstanceName, OperatorId, SiteId, StationId, StationName, Thumbprint},
    time::UnixTime,
};
use zmon_persistence::{PrivateDir, SqlStationStore};
use zmon_protocol::device::StationTrust;
use zmon_provisioning::{
    ProvisioningPayload, SimulatedStation, ports::DeviceEndpoint, qr::QrCodeData,
};
use zmon_station::{
    PairOutcome, Password, ServerParameters, Station, StationError, StationParts, StationPolicy,
    StationProfile, bootstrap_administrator,
    ca::{CaError, CaMaterial, CaParams, ServerName},
    ports::{Clock, Entropy},
};
use zmon_transport::{
    provider::Provider,
    station_api::{Binds, BoundListeners, StationListeners},
    tls::{ServerCredentials, TlsContext},
};
use zmon_wire::{kind::TrustLevel, strict};

use super::{
    dialer::InProcessDialer,
    order::Order,
    runtime::{DeviceClock, SystemEntropy},
};
use crate::{
    compose::{Disk, World},
    settings::Settings,
    stored,
};

/// Shown wherever a station's name is. `.ci/run` looks for it in a release device: it must be absent.
const NAME: &str = "SIMULATED Central Station";
/// The site of every simulation.
const SITE: &str = "simulated";
/// Who works on the station.
const OPERATOR: &str = "simulation";
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A station in this process, and whom it makes the device believe.
pub(crate) struct Simulation {
    anchor: Anchor,
    station: Arc<InProcess>,
    listeners: StationListeners,
    housekeeping: AbortHandle,
    /// Removed when dropped.
    _home: TempDir,
}

struct InProcess {
    station: Arc<Station>,
    dialer: Arc<InProcessDialer>,
    password: Password,
    identity: Thumbprint,
    address: DeviceAddress,
}

impl Simulation {
    /// Makes a station with a new authority and serves its devices on a loopback port.
    ///
    /// # Errors
    /// What the disk, the sockets or the certificates say.
    pub(crate) async fn start(
        settings: &Settings,
        disk: &Disk,
        provider: Provider,
    ) -> Result<Self, Failure> {
        let built_at = settings.profile.built_at;
        let clock = Arc::new(DeviceClock { clock: Arc::clone(&disk.clock), built_at });
        let now = clock.now();
        let wall = now.wall.unwrap_or(built_at);
        let site = SiteId::parse(SITE)?;
        let number = zmon_domain::ids::SessionId::generate(&mut *disk.rng.lock()).to_string();
        let id = StationId::parse(&format!("simulated-{}", number.get(..8).unwrap_or_default()))?;
        let material = material(&id, &site, disk, wall)?;
        let anchor = Anchor::parse_simulated(material.anchor_der(), site.clone())
            .map_err(|error| internal(error.to_string()))?;

        let home = tempfile::Builder::new().prefix("zmon-simulated-").tempdir();
        let home = home.map_err(|error| {
            Failure::new(ErrorCode::StorageUnavailable).context(error.to_string())
        })?;
        let private = Arc::new(PrivateDir::create(&home.path().join("station")).map_err(stored)?);
        let store = SqlStationStore::open(private, &id).await.map_err(stored)?;
        let audit_key = material.audit_signer().map_err(unusable)?;
        let store = store.with_checkpoints(audit_key, Arc::new(SystemEntropy));
        // It ends with this process, and so do its sessions.
        let root = RootSecret::generate(&mut *SystemEntropy.generator());
        let store = Arc::new(store.with_sessions(root, Arc::new(SystemEntropy)));
        let password = Password::generate(&mut *disk.rng.lock());
        let mut rng = SystemEntropy.generator();
        bootstrap_administrator(&*store, &now, &mut *rng, operator()?, &password, false)
            .await
            .map_err(refused)?;

        let identity = disk.keys.identity().public().thumbprint();
        let dialer = Arc::new(InProcessDialer::new(identity));
        let bound = BoundListeners::bind(Binds::new(LOOPBACK, LOOPBACK, Vec::new())).await;
        let bound = bound.map_err(|error| not_served(error.to_string()))?;
        let devices = bound.devices().map_err(|error| not_served(error.to_string()))?;
        let station = Station::new(StationParts {
            profile: StationProfile {
                station_id: id,
                station_name: StationName::parse(NAME)?,
                site_id: site,
                server: ServerParameters {
                    url: ServerUrl::parse(&format!("https://{devices}"))?,
                    ca_certificate: material.anchor_pem().map_err(unusable)?,
                    server_certificate: Some(material.server_certificate_pem().map_err(unusable)?),
                },
            },
            instance: InstanceName::default(),
            policy: policy(settings.address)?,
            store,
            dialer: Arc::clone(&dialer) as _,
            issuer: Arc::new(material.issuer().map_err(unusable)?),
            signer: material.signer().map_err(unusable)?,
            algorithms: provider.algorithms,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SystemEntropy),
        })
        .map_err(refused)?;
        station.start().await.map_err(refused)?;

        let tls = TlsContext::new(provider.tls, move || {
            clock.now().wall.and_then(|time| u64::try_from(time.unix()).ok())
        });
        let credentials = ServerCredentials::new(&material.server_chain(), material.server_key())
            .map_err(|error| not_served(error.to_string()))?;
        let listeners = bound
            .serve(&station, &tls, &credentials, &[material.client_ca_der().to_vec()])
            .map_err(|error| not_served(error.to_string()))?;
        let housekeeping = tokio::spawn(Arc::clone(&station).run()).abort_handle();
        let address = settings.address;
        let station = InProcess { station, dialer, password, identity, address };
        Ok(Self { anchor, station: Arc::new(station), listeners, housekeeping, _home: home })
    }

    /// What a device that simulates believes: this station, and no other.
    ///
    /// # Errors
    /// Never in practice: the set was empty.
    pub(crate) fn world(&self) -> Result<World, Failure> {
        let anchors = AnchorSet::from_anchors([self.anchor.clone()]);
        let anchors = anchors.map_err(|error| internal(error.to_string()))?;
        Ok(World { trust: StationTrust::Simulated, anchors })
    }

    /// The station as the service calls it.
    pub(crate) fn station(&self) -> Arc<dyn SimulatedStation> {
        Arc::clone(&self.station) as _
    }

    /// Stops serving; the station's directory goes with it.
    pub(crate) async fn stop(self) {
        self.listeners.shutdown().await;
        self.housekeeping.abort();
        if let Err(error) = self.station.station.stop().await {
            tracing::warn!(%error, "the simulated station did not stop in order");
        }
    }
}

#[async_trait]
impl SimulatedStation for InProcess {
    async fn provision(
        &self,
        qr: &QrCodeData,
        device: Arc<dyn DeviceEndpoint>,
        payload: &ProvisioningPayload,
    ) -> Result<(), ErrorReport> {
        let order = Order::new(qr, payload, self.identity, self.address)?;
        self.dialer.reach(device);
        self.carry_out(order).await.map_err(|error| error.report)
    }
}

impl InProcess {
    async fn carry_out(&self, order: Order) -> Result<(), StationError> {
        let login = self.station.login(LOOPBACK.ip(), OPERATOR, self.password.expose()).await?;
        let proof = self.station.authenticate(login.token.expose()).await?;
        let rows = strict::to_vec(&[order.row]).map_err(|_| ErrorCode::Internal)?;
        self.station.import(&proof, &rows).await.map_err(|refusal| refusal.error)?;
        match self.station.pair(&proof, order.pair).await? {
            // What became of it the device's own signals say.
            PairOutcome::Paired(_) | PairOutcome::Pending(_) => Ok(()),
        }
    }
}

fn material(
    id: &StationId,
    site: &SiteId,
    disk: &Disk,
    wall: UnixTime,
) -> Result<CaMaterial, Failure> {
    let names = vec![ServerName::Ip(LOOPBACK.ip())];
    let params = CaParams::new(id.clone(), StationName::parse(NAME)?, site.clone(), names);
    CaMaterial::generate(&params.simulated(), &mut *disk.rng.lock(), wall).map_err(unusable)
}

/// Only devices that simulate, at exactly the device's own address.
fn policy(device: DeviceAddress) -> Result<StationPolicy, Failure> {
    let mut policy = StationPolicy::new(networks(device)?);
    policy.session.station_trust = vec![TrustLevel::Simulated];
    Ok(policy)
}

/// Nothing is dialled, but the address is checked all the same.
fn networks(device: DeviceAddress) -> Result<NetworkPolicy, Failure> {
    let prefix = if device.ip().is_ipv4() { 32 } else { 128 };
    let network = Network::parse(&format!("{}/{prefix}", device.ip()))?;
    Ok(NetworkPolicy { networks: vec![network], ports: 1..=u16::MAX })
}

fn operator() -> Result<OperatorId, Failure> {
    Ok(OperatorId::parse(OPERATOR)?)
}

#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(unusable)`")]
fn unusable(error: CaError) -> Failure {
    internal(error.to_string())
}

fn refused(error: StationError) -> Failure {
    Failure::from(error.report).context("the simulated station")
}

fn not_served(cause: String) -> Failure {
    Failure::new(ErrorCode::ListenerFailed).context(format!("the simulated station: {cause}"))
}

fn internal(cause: String) -> Failure {
    Failure::new(ErrorCode::Internal).context(format!("the simulated station: {cause}"))
}
