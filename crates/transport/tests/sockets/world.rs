//! A station as it ships, over memory: real sockets, real certificates, real handlers.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use http::header::AUTHORIZATION;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zmon_crypto::x509::{Anchor, AnchorSet};
use zmon_domain::address::{Network, NetworkPolicy, ServerUrl};
use zmon_domain::ids::{InstanceName, OperatorId, SiteId, StationId, StationName};
use zmon_domain::role::Role;
use zmon_domain::time::UnixTime;
use zmon_station::ca::{CaMaterial, CaParams, CaParts, ServerName};
use zmon_station::ports::Clock;
use zmon_station::{
    EnrolmentPolicy, Password, ServerParameters, Station, StationParts, StationPolicy,
    StationProfile, bootstrap_administrator,
};
use zmon_transport::client::{Answer, Ask, ClientTimes, Connection, JSON};
use zmon_transport::dialer::TlsDeviceDialer;
use zmon_transport::provider::Provider;
use zmon_transport::station_api::{Binds, BoundListeners, Interposed, StationListeners};
use zmon_transport::tls::{ServerCredentials, TlsContext, trusting_client};
use zmon_wire::admin::LoginAnswer;
use zmon_wire::problem::Problem;
use zmon_wire::strict;

use crate::memory::{MemoryStore, SeededEntropy, StationClock};
use crate::pki::NOW;
use crate::support::{PATIENCE, endpoint, localhost, providers};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// One authority for every test of the process: making one costs five key pairs.
static CA: LazyLock<CaParts> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let params = CaParams::new(
        StationId::parse("CS-1").unwrap(),
        StationName::parse("Ward 3 Central").unwrap(),
        site(),
        vec![ServerName::parse("127.0.0.1").unwrap()],
    );
    let material = CaMaterial::generate(&params, &mut rng, UnixTime::from_unix(NOW).unwrap());
    material.unwrap().to_parts().unwrap()
});

fn site() -> SiteId {
    SiteId::parse("st-mary").unwrap()
}

pub(crate) struct World {
    pub(crate) station: Arc<Station>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) listeners: StationListeners,
    pub(crate) tls: TlsContext,
    pub(crate) ca: CaMaterial,
    pub(crate) url: ServerUrl,
}

impl World {
    pub(crate) async fn open() -> Self {
        Self::open_with(providers().swap_remove(0), ClientTimes::default()).await
    }

    pub(crate) async fn open_with(provider: Provider, times: ClientTimes) -> Self {
        Self::compose(provider, times, |bound| bound, |_| {}).await
    }

    /// A world whose devices may enrol by EST.
    pub(crate) async fn open_enrolling(policy: EnrolmentPolicy) -> Self {
        let (provider, times) = (providers().swap_remove(0), ClientTimes::default());
        Self::compose(provider, times, |bound| bound, |station| station.enrolment = policy).await
    }

    /// A world with somebody between the devices and the station.
    pub(crate) async fn open_behind(interposed: Arc<dyn Interposed>) -> Self {
        let provider = providers().swap_remove(0);
        let behind = |bound: BoundListeners| bound.interpose(interposed);
        Self::compose(provider, ClientTimes::default(), behind, |_| {}).await
    }

    /// A world with pages beside the operators' interface.
    pub(crate) async fn open_showing(pages: axum::Router) -> Self {
        let provider = providers().swap_remove(0);
        Self::compose(provider, ClientTimes::default(), |bound| bound.pages(pages), |_| {}).await
    }

    /// A world whose listeners are changed before they serve.
    pub(crate) async fn open_bound(change: impl FnOnce(BoundListeners) -> BoundListeners) -> Self {
        Self::compose(providers().swap_remove(0), ClientTimes::default(), change, |_| {}).await
    }

    async fn compose(
        provider: Provider,
        times: ClientTimes,
        change: impl FnOnce(BoundListeners) -> BoundListeners,
        allow: impl FnOnce(&mut StationPolicy),
    ) -> Self {
        let clock = StationClock::new();
        let tls =
            TlsContext::new(Arc::clone(&provider.tls), move || u64::try_from(clock.unix()).ok());
        let bound = BoundListeners::bind(Binds::new(localhost(), localhost(), Vec::new())).await;
        let bound = change(bound.unwrap());
        let ca = CaMaterial::from_parts(&CA).unwrap();
        let url = ServerUrl::parse(&format!("https://{}", bound.devices().unwrap())).unwrap();
        let store = Arc::new(MemoryStore::default());
        let mut rng = ChaCha20Rng::seed_from_u64(11);
        let password = Password::parse_new(PASSWORD).unwrap();
        let ada = OperatorId::parse("ada").unwrap();
        bootstrap_administrator(&*store, &clock.now(), &mut rng, ada, &password, false)
            .await
            .unwrap();
        let networks = NetworkPolicy {
            networks: vec![Network::parse("127.0.0.0/8").unwrap()],
            ports: 1024..=65535,
        };
        let mut policy = StationPolicy::new(networks);
        allow(&mut policy);
        let parts = StationParts {
            profile: StationProfile {
                station_id: StationId::parse("CS-1").unwrap(),
                station_name: StationName::parse("Ward 3 Central").unwrap(),
                site_id: site(),
                server: ServerParameters {
                    url: url.clone(),
                    ca_certificate: ca.anchor_pem().unwrap(),
                    server_certificate: Some(ca.server_certificate_pem().unwrap()),
                },
            },
            instance: InstanceName::default(),
            policy,
            store: store.clone(),
            dialer: Arc::new(TlsDeviceDialer::with_times(tls.clone(), times)),
            issuer: Arc::new(ca.issuer().unwrap()),
            signer: ca.signer().unwrap(),
            algorithms: provider.algorithms,
            clock: Arc::new(clock),
            entropy: Arc::new(SeededEntropy::new(3)),
        };
        let station = Station::new(parts).unwrap();
        station.start().await.unwrap();
        let credentials = ServerCredentials::new(&ca.server_chain(), ca.server_key()).unwrap();
        let client_ca = [ca.client_ca_der().to_vec()];
        let listeners = bound.serve(&station, &tls, &credentials, &client_ca).unwrap();
        Self { station, store, listeners, tls, ca, url }
    }

    pub(crate) fn anchors(&self) -> AnchorSet {
        AnchorSet::from_anchors([Anchor::parse(self.ca.anchor_der(), site()).unwrap()]).unwrap()
    }

    /// A tablet's connection.
    pub(crate) async fn tablet(&self) -> Tablet {
        Tablet::connect(self, self.listeners.operators()).await
    }

    /// A tablet on which the administrator has logged in.
    pub(crate) async fn administrator(&self) -> Tablet {
        let mut tablet = self.tablet().await;
        tablet.log_in("ada", PASSWORD).await;
        tablet
    }

    /// A tablet on which an operator of this role has logged in.
    pub(crate) async fn operator(&self, name: &str, role: Role) -> Tablet {
        let mut ada = self.administrator().await;
        let body = format!(
            r#"{{"operator":"{name}","role":"{}","password":"{PASSWORD}"}}"#,
            role.as_str()
        );
        assert_eq!(ada.post("/api/operators", &body).await.status, 200);
        let mut tablet = self.tablet().await;
        tablet.log_in(name, PASSWORD).await;
        tablet
    }
}

/// A client of the operators' interface.
pub(crate) struct Tablet {
    connection: Connection,
    token: Option<String>,
}

impl Tablet {
    pub(crate) async fn connect(world: &World, address: SocketAddr) -> Self {
        let ca = [world.ca.anchor_der().to_vec()];
        let tls = trusting_client(&world.tls, &ca).unwrap();
        let connection = Connection::open(&endpoint(address), tls, PATIENCE).await.unwrap();
        Self { connection, token: None }
    }

    pub(crate) async fn log_in(&mut self, operator: &str, password: &str) {
        let body = format!(r#"{{"operator":"{operator}","password":"{password}"}}"#);
        let answer = self.post("/api/auth/login", &body).await;
        assert_eq!(answer.status, 200);
        let login: LoginAnswer = strict::parse(&answer.body, 4096).unwrap();
        self.token = Some(login.token.expose().to_owned());
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Ask::get(path)).await
    }

    pub(crate) async fn post(&mut self, path: &str, json: &str) -> Answer {
        self.send(Ask::post(path, JSON, json.to_owned())).await
    }

    pub(crate) async fn send(&mut self, ask: Ask<'_>) -> Answer {
        let ask = self.as_who_it_is(ask);
        self.connection.send(ask, PATIENCE).await.unwrap()
    }

    /// An answer that may be longer than a message.
    pub(crate) async fn get_long(&mut self, path: &str) -> Answer {
        let ask = self.as_who_it_is(Ask::get(path));
        self.connection.send_bounded(ask, PATIENCE, 1 << 20).await.unwrap()
    }

    fn as_who_it_is<'a>(&self, ask: Ask<'a>) -> Ask<'a> {
        let Some(token) = &self.token else { return ask };
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        ask.header(AUTHORIZATION, value)
    }
}

/// The problem document of a refusal, whose status, type and members agree.
pub(crate) fn problem(answer: &Answer) -> Problem {
    let media_type = answer.headers.get(http::header::CONTENT_TYPE);
    assert_eq!(media_type.unwrap(), "application/problem+json");
    let problem: Problem = strict::parse(&answer.body, 65_536).unwrap();
    assert_eq!(problem.status, answer.status.as_u16());
    assert!(!problem.next.is_empty());
    problem
}
