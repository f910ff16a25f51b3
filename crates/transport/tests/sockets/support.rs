//! What several modules share: contexts of both providers, an echo service, short-hands.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tokio::sync::Notify;
use zmon_transport::client::{Answer, Ask, ClientError, Connection, Endpoint};
use zmon_transport::provider::{self, Provider};
use zmon_transport::server::{Fault, Hosted, Server, ServerLimits, Service};
use zmon_transport::tls::{
    ClientAuthority, ClientCredentials, ServerCredentials, TlsContext, device_client, mutual_server,
};

use crate::pki::{Ca, Leaf, NOW, Wish};

/// Bound of every wait: reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn localhost() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// The providers compiled in.
pub(crate) fn providers() -> Vec<Provider> {
    vec![
        #[cfg(feature = "ring")]
        provider::ring(),
        #[cfg(feature = "aws-lc")]
        provider::aws_lc(),
    ]
}

/// Any provider, the clock at [`NOW`].
pub(crate) fn context() -> TlsContext {
    context_of(&providers().swap_remove(0))
}

pub(crate) fn context_of(provider: &Provider) -> TlsContext {
    TlsContext::new(Arc::clone(&provider.tls), || u64::try_from(NOW).ok())
}

/// Where a request to `/wait` waits.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) arrived: Notify,
    pub(crate) let_go: Notify,
}

/// Answers, panics, waits or hangs, by path.
pub(crate) fn echo() -> Service {
    echo_behind(&Arc::default())
}

pub(crate) fn echo_behind(gate: &Arc<Gate>) -> Service {
    let gate = Arc::clone(gate);
    let wait = async move || {
        gate.arrived.notify_one();
        gate.let_go.notified().await;
        "ok"
    };
    let router = Router::new()
        .route("/wait", get(wait))
        .route("/ok", get(async || "ok"))
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
        .route("/hang", get(async || std::future::pending::<&'static str>().await));
    Service::new(router, fault)
}

pub(crate) fn fault(fault: Fault) -> axum::response::Response {
    let status = if fault == Fault::Timeout {
        StatusCode::REQUEST_TIMEOUT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    axum::response::IntoResponse::into_response(status)
}

/// A server CA, a client CA and a running mutual listener.
pub(crate) struct Ward {
    pub(crate) tls: TlsContext,
    pub(crate) server_ca: Ca,
    pub(crate) client_ca: Ca,
    pub(crate) leaf: Leaf,
    pub(crate) authority: Arc<ClientAuthority>,
    pub(crate) server: Server,
}

impl Ward {
    pub(crate) async fn open(tls: TlsContext, service: Service) -> Self {
        let (server_ca, client_ca) = (Ca::new("server CA"), Ca::new("client CA"));
        let leaf = server_ca.issue(&Wish::server(1));
        let list = client_ca.revoke(&[], NOW + 3600);
        let authority =
            ClientAuthority::new(&tls, std::slice::from_ref(&client_ca.der), &list).unwrap();
        let credentials = ServerCredentials::new(&leaf.chain, leaf.key.clone()).unwrap();
        let config = mutual_server(&tls, &credentials, &authority).unwrap();
        let hosted = Hosted::new(config, service);
        let server = Server::bind(localhost(), hosted, ServerLimits::devices()).await.unwrap();
        Self { tls, server_ca, client_ca, leaf, authority, server }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(self.server.address())
    }

    /// A handshake and one request with this client certificate.
    pub(crate) async fn visit(&self, client: &Leaf) -> Result<Answer, ClientError> {
        let mut connection = self.connect(client).await?;
        connection.send(Ask::get("/ok"), PATIENCE).await
    }

    pub(crate) async fn connect(&self, client: &Leaf) -> Result<Connection, ClientError> {
        let own = ClientCredentials { chain: &client.chain, key: &client.key };
        let ca = std::slice::from_ref(&self.server_ca.der);
        let config = device_client(&self.tls, ca, None, &own).unwrap();
        Connection::open(&self.endpoint(), config, PATIENCE).await
    }
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::address(address.ip(), address.port())
}
