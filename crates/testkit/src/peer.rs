//! Whoever else connects: a client without manners.

use std::net::{IpAddr, SocketAddr};
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

    /// Every TCP port on which `ip` accepts connections, but for those of programs that listen on
    /// every address of this machine: they answer on `control` as well.
    ///
    /// # Panics
    /// Never.
    pub async fn scan(ip: IpAddr, control: IpAddr) -> Vec<u16> {
        let accepts = |ip, port| std::net::TcpStream::connect((ip, port)).is_ok();
        let scan = move || {
            (1..=u16::MAX).filter(|port| accepts(ip, *port) && !accepts(control, *port)).collect()
        };
        tokio::task::spawn_blocking(scan).await.expect("a scan ends")
    }
}
