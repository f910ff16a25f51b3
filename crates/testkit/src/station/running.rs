//! A station's processes: composed as the shipped program composes them.

use core::future::ready;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use zmon_crypto::RootSecret;
use zmon_domain::address::{Network, NetworkPolicy, ServerUrl};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{InstanceName, OperatorId, SiteId, StationId, StationName};
use zmon_domain::role::{Actor, Role};
use zmon_persistence::{PrivateDir, SqlStationStore};
use zmon_station::ca::CaMaterial;
use zmon_station::ports::{Clock, Entropy, OperatorRow, StationRecord, StationStore, StationWrite};
use zmon_station::{
    OwnAddress, ServerParameters, Station, StationParts, StationPolicy, StationProfile,
};
use zmon_transport::dialer::TlsDeviceDialer;
use zmon_transport::provider;
use zmon_transport::station_api::{Binds, BoundListeners, StationListeners};
use zmon_transport::tls::{ServerCredentials, TlsContext};

use super::{ADMINISTRATOR, PASSWORD, StationOptions, TECHNICIAN};
use crate::clock::TestClock;
use crate::fault::Faults;
use crate::faulty::{FaultyDialer, FaultyIssuer, Luck};
use crate::postgres::TestDatabase;
use crate::power::{Power, aside};
use crate::wait;

/// What a start needs.
pub(super) struct Parts {
    pub(super) dir: PathBuf,
    pub(super) options: StationOptions,
    pub(super) material: Arc<CaMaterial>,
    /// Under which running sessions are sealed.
    pub(super) root: RootSecret,
    pub(super) faults: Faults,
    pub(super) operators: SocketAddr,
    pub(super) devices: SocketAddr,
    pub(super) first_start: bool,
}

/// A station that serves.
pub(super) struct Running {
    pub(super) power: Power,
    pub(super) station: Arc<Station>,
    pub(super) store: Arc<dyn StationStore>,
    listeners: Arc<StationListeners>,
}

impl Running {
    pub(super) async fn start(parts: Parts) -> Self {
        let power = Power::on();
        let luck = Luck { faults: parts.faults.clone(), power: power.clone() };
        let started = power.run(compose(parts, luck)).await;
        let (station, store, listeners) = started.expect("the station starts");
        Self { power, station, store, listeners: Arc::new(listeners) }
    }

    pub(super) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.listeners.operators(), self.listeners.devices())
    }

    pub(super) async fn stop(self) {
        let (station, listeners) = (self.station, self.listeners);
        let stopped = self.power.run(async move {
            listeners.shutdown().await;
            station.stop().await
        });
        wait::within("the station to stop", stopped).await.expect("powered").expect("stopped");
        self.power.cut();
    }
}

async fn compose(
    parts: Parts,
    luck: Luck,
) -> (Arc<Station>, Arc<dyn StationStore>, StationListeners) {
    let Parts { dir, options, material, root, operators, devices, first_start, .. } = parts;
    let StationOptions { id, site, clock, seed, dial, policy, database } = options;
    let id = StationId::parse(&id).expect("a station id");
    let key = material.audit_signer().expect("an audit key");
    let entropy = Arc::new(seed.clone());
    let (store, id) = aside(async move || {
        let store = open_store(&dir, &id, database.as_deref()).await;
        let store = store.with_checkpoints(key, Arc::clone(&entropy) as Arc<dyn Entropy>);
        let store = store.with_sessions(root, entropy);
        let dir = PrivateDir::open_shared(&dir).expect("a private directory");
        let store = store.with_high_water(Arc::new(dir), &id).await;
        (store.expect("a database that was not set back"), id)
    })
    .await;
    let store: Arc<dyn StationStore> = Arc::new(store);
    if first_start {
        let (store, clock) = (Arc::clone(&store), clock.clone());
        aside(async move || add_operators(&*store, &clock).await).await;
    }

    let bound = BoundListeners::bind(Binds::new(operators, devices, Vec::new())).await;
    let bound = bound.expect("the ports are free");
    let own = [bound.operators(), bound.devices()].map(|own| own.expect("a bound address"));
    let [_, at] = own;

    let loopback = Network::parse("127.0.0.0/8").expect("a network");
    let mut allowed =
        StationPolicy::new(NetworkPolicy { networks: vec![loopback], ..NetworkPolicy::default() });
    allowed.own_addresses =
        own.map(|own| OwnAddress { ip: own.ip(), port: Some(own.port()) }).to_vec();
    policy(&mut allowed);

    let tls = tls(&clock);
    let dialer = TlsDeviceDialer::with_times(tls.clone(), dial);
    let dialer = FaultyDialer { inner: dialer, luck: luck.clone() };
    let issuer = FaultyIssuer { inner: material.issuer().expect("a client CA"), luck };
    let url = format!("https://{}:{}", at.ip(), at.port());
    let station = Station::new(StationParts {
        profile: StationProfile {
            station_id: id,
            station_name: StationName::parse("Ward 3").expect("a station name"),
            site_id: SiteId::parse(&site).expect("a site id"),
            server: ServerParameters {
                url: ServerUrl::parse(&url).expect("an address is a URL"),
                ca_certificate: material.anchor_pem().expect("PEM"),
                server_certificate: Some(material.server_certificate_pem().expect("PEM")),
            },
        },
        instance: InstanceName::default(),
        policy: allowed,
        store: Arc::clone(&store),
        dialer: Arc::new(dialer),
        issuer: Arc::new(issuer),
        signer: material.signer().expect("a signing key"),
        algorithms: provider::aws_lc().algorithms,
        clock: Arc::new(clock),
        entropy: Arc::new(seed),
    })
    .expect("a station");
    station.start().await.expect("the station starts");

    let credentials = ServerCredentials::new(&material.server_chain(), material.server_key());
    let credentials = credentials.expect("a server certificate");
    let client_ca = [material.client_ca_der().to_vec()];
    let listeners = bound.serve(&station, &tls, &credentials, &client_ca).expect("serving");
    drop(tokio::spawn(Arc::clone(&station).run()));
    (station, store, listeners)
}

/// The TLS set-up of a station and of its operators' tablets.
pub(crate) fn tls(clock: &TestClock) -> TlsContext {
    let clock = clock.clone();
    TlsContext::new(provider::aws_lc().tls, move || {
        clock.now().wall.and_then(|time| u64::try_from(time.unix()).ok())
    })
}

/// After a crash the directory is free as soon as the last task of the old run is gone.
async fn open_store(
    dir: &std::path::Path,
    id: &StationId,
    database: Option<&TestDatabase>,
) -> SqlStationStore {
    if let Some(database) = database {
        return SqlStationStore::connect(&database.parsed(), id, &InstanceName::default())
            .await
            .expect("a database");
    }
    let open = || match PrivateDir::open(dir) {
        Err(error) if error.code() == ErrorCode::StateConflict => ready(None),
        opened => ready(Some(opened.expect("a private directory"))),
    };
    let opened = wait::eventually("the station's directory", open).await;
    SqlStationStore::open(Arc::new(opened), id).await.expect("a database")
}

async fn add_operators(store: &dyn StationStore, clock: &TestClock) {
    let now = Clock::now(clock);
    let hash = cheap_hash();
    let account = |name, role| OperatorRow {
        id: OperatorId::parse(name).expect("an operator's name"),
        role,
        password_hash: hash.clone(),
        disabled: false,
        one_time: false,
        created_at: now.wall.expect("a station has a date"),
    };
    let accounts =
        [account(ADMINISTRATOR, Role::Administrator), account(TECHNICIAN, Role::Technician)];
    let audit = accounts.iter().map(|account| {
        AuditEvent::new(EventType::OperatorAdded, Actor::System).with("operator", &account.id)
    });
    let record = StationRecord {
        audit: audit.collect(),
        writes: accounts.iter().cloned().map(StationWrite::AddOperator).collect(),
    };
    store.commit(&now, &record).await.expect("a database").expect("new accounts");
}

/// The hash of [`PASSWORD`] at the least cost argon2 knows: tests prove the logic, not the delay.
fn cheap_hash() -> String {
    let params = Params::new(8, 1, 1, None).expect("argon2's least cost");
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = b"salt of the test";
    let hash: PasswordHash =
        argon.hash_password_with_salt(PASSWORD.as_bytes(), salt).expect("a hash");
    hash.to_string()
}
