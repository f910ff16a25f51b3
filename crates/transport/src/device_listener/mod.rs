//! The device's provisioning listener: TLS by the identity key, open only with a window (D17).

#[cfg(feature = "mdns")]
mod announcer;
mod claimed;
mod operations;
mod puller;
mod routes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use rand_core::CryptoRng;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use zmon_crypto::{IdentityKey, IdentityPublic, KeyError};
use zmon_provisioning::ports::{DeviceEndpoint, KeyStore, ListenError, Listener, SharedRng};

#[cfg(feature = "mdns")]
pub use announcer::AnnouncingListener;
pub use operations::operations;
pub use puller::{LiveAnchors, PullParts, PullingListener};

use crate::server::{Hosted, Server, ServerLimits};
use crate::tls::{TlsContext, identity_server};

/// Where the listener binds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bind {
    /// The local address; a device of several networks binds the one of the ward.
    pub address: IpAddr,
    /// Ports tried in order, the first free one is taken; `0..=0` asks the operating system.
    pub ports: RangeInclusive<u16>,
}

impl Bind {
    /// The first free port of `ports` on `address`.
    pub fn new(address: IpAddr, ports: RangeInclusive<u16>) -> Self {
        Self { address, ports }
    }

    /// Any free port on `address`.
    pub fn any_port(address: IpAddr) -> Self {
        Self::new(address, 0..=0)
    }
}

/// [`Listener`] over TCP and TLS 1.3.
pub struct TlsListener {
    bind: Bind,
    tls: Arc<ServerConfig>,
    limits: ServerLimits,
    open: Mutex<Option<Server>>,
}

impl TlsListener {
    /// A listener that proves the identity key of `keys`; its certificate is made here, once.
    ///
    /// # Errors
    /// [`ListenError::Tls`] when the key does not sign.
    pub fn new(
        tls: &TlsContext,
        keys: Arc<dyn KeyStore>,
        rng: &SharedRng,
        bind: Bind,
    ) -> Result<Self, ListenError> {
        Self::with_limits(tls, keys, rng, bind, ServerLimits::device())
    }

    /// As [`Self::new`], with bounds of its own.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_limits(
        tls: &TlsContext,
        keys: Arc<dyn KeyStore>,
        rng: &SharedRng,
        bind: Bind,
        limits: ServerLimits,
    ) -> Result<Self, ListenError> {
        let certificate = zmon_crypto::x509::self_signed(keys.identity(), &mut *rng.lock())
            .map_err(|error| ListenError::Tls(error.to_string()))?;
        let tls = identity_server(tls, certificate, Arc::new(Held(keys)))
            .map_err(|error| ListenError::Tls(error.to_string()))?;
        Ok(Self { bind, tls, limits, open: Mutex::new(None) })
    }

    async fn bind(&self) -> Result<TcpListener, ListenError> {
        let mut last = String::from("no port configured");
        for port in self.bind.ports.clone() {
            match TcpListener::bind(SocketAddr::new(self.bind.address, port)).await {
                Ok(listener) => return Ok(listener),
                Err(error) => last = format!("port {port}: {error}"),
            }
        }
        Err(ListenError::Bind(last))
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener").field("bind", &self.bind).finish_non_exhaustive()
    }
}

#[async_trait]
impl Listener for TlsListener {
    async fn open(&self, endpoint: Arc<dyn DeviceEndpoint>) -> Result<u16, ListenError> {
        let mut open = self.open.lock().await;
        if let Some(earlier) = open.take() {
            earlier.close().await;
        }
        let listener = self.bind().await?;
        let hosted = Hosted::new(Arc::clone(&self.tls), routes::service(endpoint));
        let server = Server::start(listener, hosted, self.limits)
            .map_err(|error| ListenError::Bind(error.to_string()))?;
        let port = server.address().port();
        *open = Some(server);
        Ok(port)
    }

    async fn close(&self) {
        if let Some(server) = self.open.lock().await.take() {
            server.close().await;
        }
    }
}

/// The identity key inside a key store.
struct Held(Arc<dyn KeyStore>);

impl IdentityKey for Held {
    fn public(&self) -> &IdentityPublic {
        self.0.identity().public()
    }

    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
        self.0.identity().sign(message, rng)
    }
}
