//! A station's listeners, started and stopped together.

use core::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use zmon_station::Station;
use zmon_station::ports::CrlRow;

use super::{Hosts, Interfaces, Interposed, ScrapeToken};
use crate::paths::{OUTCOME_ALPN, PULL_ALPN, RECOVERY_ALPN};
use crate::server::{Hosted, Server, ServerLimits};
use crate::tls::{
    ClientAuthority, ServerCredentials, TlsContext, TlsSetupError, mutual_server, operator_server,
    refused_peer,
};

/// Where a station listens. Port 0 asks the operating system.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Binds {
    /// For operators and their tablets.
    pub operators: SocketAddr,
    /// For provisioned devices: where `serverUrl` points.
    pub devices: SocketAddr,
    /// Names and addresses both listeners answer to, besides the bound addresses and the host of
    /// `serverUrl`.
    pub hosts: Vec<String>,
    /// Bounds of the operators' listener.
    pub operator_limits: ServerLimits,
    /// Bounds of the devices' listener.
    pub device_limits: ServerLimits,
}

impl Binds {
    /// Listeners on two addresses, answering to `hosts` besides.
    pub fn new(operators: SocketAddr, devices: SocketAddr, hosts: Vec<String>) -> Self {
        Self {
            operators,
            devices,
            hosts,
            operator_limits: ServerLimits::operators(),
            device_limits: ServerLimits::devices(),
        }
    }

    /// The configured names, the bound address and the host of `serverUrl`.
    fn hosts(&self, bound: SocketAddr, station: &Station) -> Hosts {
        let url = station.profile().server.url.host().to_owned();
        Hosts::new(self.hosts.iter().cloned().chain([bound.ip().to_string(), url]))
    }
}

/// Sockets that are bound and not served yet: their ports are known before the station, whose
/// `serverUrl` names one of them, is composed.
pub struct BoundListeners {
    operators: TcpListener,
    devices: TcpListener,
    binds: Binds,
    interposed: Option<Arc<dyn Interposed>>,
    scraper: Option<ScrapeToken>,
    pages: Option<Router>,
}

impl BoundListeners {
    /// Binds both sockets.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn bind(binds: Binds) -> io::Result<Self> {
        Ok(Self {
            operators: TcpListener::bind(binds.operators).await?,
            devices: TcpListener::bind(binds.devices).await?,
            binds,
            interposed: None,
            scraper: None,
            pages: None,
        })
    }

    /// Puts somebody between the devices and the station.
    #[must_use]
    pub fn interpose(mut self, interposed: Arc<dyn Interposed>) -> Self {
        self.interposed = Some(interposed);
        self
    }

    /// Gives figures to a monitoring system that shows this token.
    #[must_use]
    pub fn scraped_with(mut self, token: ScrapeToken) -> Self {
        self.scraper = Some(token);
        self
    }

    /// Puts pages beside the operators' interface: routes of files, without a fallback.
    #[must_use]
    pub fn pages(mut self, pages: Router) -> Self {
        self.pages = Some(pages);
        self
    }

    /// Where operators connect.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn operators(&self) -> io::Result<SocketAddr> {
        self.operators.local_addr()
    }

    /// Where devices connect.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn devices(&self) -> io::Result<SocketAddr> {
        self.devices.local_addr()
    }

    /// Serves `station`. Call it after [`Station::start`]: without a revocation list nobody could be
    /// let in. `client_ca` is DER.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn serve(
        self,
        station: &Arc<Station>,
        tls: &TlsContext,
        credentials: &ServerCredentials,
        client_ca: &[Vec<u8>],
    ) -> Result<StationListeners, StartError> {
        let list = station.revocation_list();
        let first = list.borrow().clone().ok_or(StartError::NoRevocationList)?;
        let authority = ClientAuthority::new(tls, client_ca, &first.der)?;
        let server_auth: Arc<ServerConfig> = operator_server(tls, credentials)?;
        let mutual = mutual_server(tls, credentials, &authority)?;
        let (for_operators, for_devices) = (self.operators()?, self.devices()?);
        let closing = CancellationToken::new();
        let hosts = self.binds.hosts(for_operators, station);
        let interfaces =
            Interfaces { between: self.interposed, scraper: self.scraper, ..Interfaces::default() };
        let service = interfaces.operators(station, hosts, self.pages, closing.clone());
        let hosted = Hosted::new(Arc::clone(&server_auth), service).on_refused(counted(station));
        let operators = Server::start(self.operators, hosted, self.binds.operator_limits)?;
        let hosts = self.binds.hosts(for_devices, station);
        let hosted = Hosted::new(mutual, interfaces.devices(station, hosts.clone()))
            .with_protocol(OUTCOME_ALPN, &server_auth, interfaces.outcome(station, hosts.clone()))
            .with_protocol(RECOVERY_ALPN, &server_auth, interfaces.recovery(station, hosts.clone()))
            .with_protocol(PULL_ALPN, &server_auth, interfaces.pull(station, hosts))
            .on_refused(counted(station));
        let devices = Server::start(self.devices, hosted, self.binds.device_limits)?;
        let follower = tokio::spawn(follow_revocations(authority, list));
        let follower = AbortOnDropHandle::new(follower);
        let on_drop = closing.clone().drop_guard();
        Ok(StationListeners {
            operators,
            devices,
            closing,
            _closing_on_drop: on_drop,
            _follower: follower,
        })
    }
}

/// Counts who is refused before there is a request: no use-case hears of them (D16, D17).
fn counted(station: &Arc<Station>) -> impl Fn(IpAddr, &rustls::Error) + Send + Sync + 'static {
    let station = Arc::clone(station);
    move |peer, error| {
        if let Some(code) = refused_peer(error) {
            station.note_junk(peer, code);
        }
    }
}

impl fmt::Debug for BoundListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundListeners").field("binds", &self.binds).finish_non_exhaustive()
    }
}

/// A station's running listeners. Dropping them stops them without waiting.
#[derive(Debug)]
pub struct StationListeners {
    operators: Server,
    devices: Server,
    /// Ends the pages' streams.
    closing: CancellationToken,
    _closing_on_drop: DropGuard,
    _follower: AbortOnDropHandle<()>,
}

impl StationListeners {
    /// Where operators connect.
    pub fn operators(&self) -> SocketAddr {
        self.operators.address()
    }

    /// Where devices connect.
    pub fn devices(&self) -> SocketAddr {
        self.devices.address()
    }

    /// Device connections being served now.
    pub fn device_connections(&self) -> usize {
        self.devices.connections()
    }

    /// Stops accepting, ends the pages' streams, lets answers under way finish, closes the rest.
    pub async fn shutdown(&self) {
        self.closing.cancel();
        tokio::join!(self.operators.shutdown(), self.devices.shutdown());
    }
}

/// Puts every new revocation list in force until the station is gone.
pub async fn follow_revocations(
    authority: Arc<ClientAuthority>,
    mut list: watch::Receiver<Option<Arc<CrlRow>>>,
) {
    while list.changed().await.is_ok() {
        let latest = list.borrow_and_update().clone();
        let Some(latest) = latest else { continue };
        match authority.reload(&latest.der) {
            Ok(()) => tracing::info!(number = latest.number, "revocation list in force"),
            Err(error) => tracing::error!(%error, number = latest.number, "revocation list"),
        }
    }
}

/// Why a station could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The station has published no revocation list yet.
    #[error("the station has no revocation list: start it first")]
    NoRevocationList,
    /// Keys or certificates do not make a TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// A socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
