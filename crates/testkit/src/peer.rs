//! Whoever else connects: a client without manners.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use zmon_transport::client::{Answer, Ask, ClientError, ClientTimes, Connection, Endpoint};

use crate::wait::{self, PATIENCE};

/// One TLS connection to any listener, for arbitrary requests.
pub struct Peer(Connection);

impl Peer {
    pub(crate) async fn open(
        endpoint: &Endpoint,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, ClientError> {
        Connection::open(endpoint, tls, ClientTimes::default().connect).await.map(Self)
    }

    /// Sends a request over this connection.
    ///
    /// # Errors
    /// When there is no answer, e.g. because the client certificate is refused.
    pub async fn send(&mut self, ask: Ask<'_>) -> Result<Answer, ClientError> {
        self.0.send(ask, PATIENCE).await
    }

    /// Whether a port of this machine accepts connections.
    pub async fn is_open(address: SocketAddr) -> bool {
        TcpStream::connect(address).await.is_ok()
    }

    /// Waits until a port of this machine accepts no connection any longer.
    ///
    /// # Panics
    /// As [`wait::within`].
    pub async fn until_closed(address: SocketAddr) {
        let closed = || async { (!Self::is_open(address).await).then_some(()) };
        wait::eventually(&format!("{address} to close"), closed).await;
    }

    /// Every TCP port of `ip` that accepts connections and is not in `known`: a port scan.
    pub async fn open_ports(ip: std::net::IpAddr, ports: impl Iterator<Item = u16>) -> Vec<u16> {
        let mut open = Vec::new();
        for port in ports {
            if Self::is_open(SocketAddr::new(ip, port)).await {
                open.push(port);
            }
        }
        open
    }
}
