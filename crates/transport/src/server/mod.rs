//! One small accept loop for every listener: tokio, rustls, HTTP/1.1 only.
//!
//! Plain HTTP is served on loopback addresses and nowhere else (D17). A connection passes a bounded handshake, then each request a bounded head, body and answer;
//! a panic becomes an answer, a stopped server finishes what it has begun. See [`ServerLimits`].

#[cfg_attr(not(feature = "device"), expect(dead_code, reason = "a device's answers are held"))]
mod held;
#[cfg(any(feature = "device", feature = "station"))]
mod hosts;
mod http;
mod limits;
#[cfg(any(feature = "device", feature = "station"))]
mod request;
mod sources;
mod timed;

use core::fmt;
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::http::Extensions;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

#[cfg(feature = "device")]
pub(crate) use held::{Arrival, Held};
#[cfg(any(feature = "device", feature = "station"))]
pub use hosts::Hosts;
#[cfg(any(feature = "device", feature = "station"))]
pub(crate) use hosts::{Scheme, misdirected};
#[cfg(all(test, feature = "device"))]
pub(crate) use http::serve as serve_stream;
pub use http::{Fault, Service};
pub use limits::ServerLimits;
#[cfg(any(feature = "device", feature = "station"))]
pub(crate) use request::{BodyError, media_type_is, read_body};

use crate::tls::PeerCertificate;
use http::serve;
use sources::{Place, Sources};

/// Pause after a failed accept (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a refused peer's bytes are read and dropped, so that it gets the TLS alert.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// The address of the other side, as a request extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// What a listener serves: a TLS configuration with a service, and further ones by ALPN name.
#[derive(Clone)]
pub struct Hosted {
    /// `None` in the clear, which only a loopback address is served in.
    tls: Option<Arc<ServerConfig>>,
    service: Service,
    named: Vec<(&'static [u8], Arc<ServerConfig>, Service)>,
    refused: Option<OnRefused>,
}

/// Told about each peer whose handshake this side refused, and why.
type OnRefused = Arc<dyn Fn(IpAddr, &rustls::Error) + Send + Sync>;

impl Hosted {
    /// Served to every peer that does not ask for a name given to [`Self::with_protocol`].
    pub fn new(tls: Arc<ServerConfig>, service: Service) -> Self {
        Self { tls: Some(tls), service, named: Vec::new(), refused: None }
    }

    /// Served in the clear; starts on loopback addresses only.
    #[cfg(feature = "device")]
    pub(crate) fn plain(service: Service) -> Self {
        Self { tls: None, service, named: Vec::new(), refused: None }
    }

    /// A second service behind the same port, chosen by its ALPN name (RFC 7301).
    #[must_use]
    pub fn with_protocol(
        mut self,
        name: &'static [u8],
        tls: &Arc<ServerConfig>,
        service: Service,
    ) -> Self {
        let mut config = ServerConfig::clone(tls);
        config.alpn_protocols = vec![name.to_vec()];
        self.named.push((name, Arc::new(config), service));
        self
    }

    /// Tells who was refused in the handshake, which no service hears of.
    #[cfg(feature = "station")]
    #[must_use]
    pub(crate) fn on_refused(
        mut self,
        refused: impl Fn(IpAddr, &rustls::Error) + Send + Sync + 'static,
    ) -> Self {
        self.refused = Some(Arc::new(refused));
        self
    }

    fn choose(
        &self,
        tls: &Arc<ServerConfig>,
        hello: &rustls::server::ClientHello<'_>,
    ) -> (Arc<ServerConfig>, Service) {
        let asked = |name: &[u8]| {
            hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == name))
        };
        match self.named.iter().find(|(name, _, _)| asked(name)) {
            Some((_, tls, service)) => (Arc::clone(tls), service.clone()),
            None => (Arc::clone(tls), self.service.clone()),
        }
    }
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hosted")
    }
}

/// A running listener. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    released: CancellationToken,
    connections: TaskTracker,
    drain: Duration,
    _stop_on_drop: DropGuard,
}

impl Server {
    /// Starts serving on a bound listener.
    ///
    /// # Errors
    /// When the listener's address cannot be read, or is no loopback address and `hosted` is plain.
    pub fn start(listener: TcpListener, hosted: Hosted, limits: ServerLimits) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if hosted.tls.is_none() && !address.ip().is_loopback() {
            let refused = "plain HTTP is served on loopback addresses only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, refused));
        }
        let stop = CancellationToken::new();
        let released = CancellationToken::new();
        let connections = TaskTracker::new();
        let shared = Shared {
            hosted,
            limits,
            places: Arc::new(Semaphore::new(limits.connections)),
            sources: Sources::new(limits.per_source),
            stop: stop.clone(),
            connections: connections.clone(),
        };
        tokio::spawn(accept(listener, shared, released.clone().drop_guard()));
        Ok(Self {
            address,
            released,
            connections,
            drain: limits.drain,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Binds and starts.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        hosted: Hosted,
        limits: ServerLimits,
    ) -> io::Result<Self> {
        Self::start(TcpListener::bind(address).await?, hosted, limits)
    }

    /// The bound address; the port is the real one when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections being served now, handshakes included.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Stops accepting and frees the port before it returns; answers under way are finished in the
    /// background.
    pub async fn close(&self) {
        self.stop.cancel();
        self.released.cancelled().await;
    }

    /// [`Self::close`], then waits until every connection has ended, at most
    /// [`ServerLimits::drain`].
    pub async fn shutdown(&self) {
        self.close().await;
        self.connections.close();
        if timeout(self.drain, self.connections.wait()).await.is_err() {
            tracing::warn!(left = self.connections.len(), "connections outlived the server");
        }
    }
}

struct Shared {
    hosted: Hosted,
    limits: ServerLimits,
    places: Arc<Semaphore>,
    sources: Arc<Sources>,
    stop: CancellationToken,
    connections: TaskTracker,
}

/// Accepts until told to stop. `_released` outlives `listener`: it fires when the port is free.
async fn accept(listener: TcpListener, shared: Shared, released: DropGuard) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            accepted = next(&listener, &shared) => accepted,
        };
        let Some((stream, peer, place, permit)) = accepted else { continue };
        let hosted = shared.hosted.clone();
        let (limits, stop) = (shared.limits, shared.stop.clone());
        shared.connections.spawn(async move {
            connection(stream, peer, hosted, limits, stop).await;
            drop((place, permit));
        });
    }
    drop(listener);
    drop(released);
}

async fn next(
    listener: &TcpListener,
    shared: &Shared,
) -> Option<(TcpStream, IpAddr, Place, OwnedSemaphorePermit)> {
    let permit = Arc::clone(&shared.places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let peer = peer.ip();
            let place = shared.sources.enter(peer)?;
            Some((stream, peer, place, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    hosted: Hosted,
    limits: ServerLimits,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY refused");
    }
    let mut extensions = Extensions::new();
    extensions.insert(PeerAddress(peer));
    let Some(tls) = &hosted.tls else {
        hosted.service.prepare(&mut extensions);
        return serve(stream, hosted.service, extensions, limits, stop).await;
    };
    let accepted = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        accepted = timeout(limits.handshake, handshake(stream, tls, &hosted)) => accepted,
    };
    let (stream, service) = match accepted {
        Ok(Ok(accepted)) => accepted,
        Ok(Err((error, stream))) => {
            tracing::debug!(%peer, %error, "handshake refused");
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            if let (Some(refused), Some(cause)) = (&hosted.refused, cause) {
                refused(peer, cause);
            }
            return linger(stream).await;
        }
        Err(_elapsed) => return tracing::debug!(%peer, "handshake timed out"),
    };
    service.prepare(&mut extensions);
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if let Some(certificate) = certificate.and_then(PeerCertificate::from_verified) {
        extensions.insert(certificate);
    }
    serve(stream, service, extensions, limits, stop).await;
}

type Refused = (io::Error, Option<TcpStream>);

async fn handshake(
    stream: TcpStream,
    tls: &Arc<ServerConfig>,
    hosted: &Hosted,
) -> Result<(TlsStream<TcpStream>, Service), Refused> {
    let lazy = LazyConfigAcceptor::new(Acceptor::default(), stream);
    tokio::pin!(lazy);
    let start = match lazy.as_mut().await {
        Ok(start) => start,
        Err(error) => return Err((error, lazy.take_io())),
    };
    let (tls, service) = hosted.choose(tls, &start.client_hello());
    match start.into_stream(tls).into_fallible().await {
        Ok(stream) => Ok((stream, service)),
        Err((error, stream)) => Err((error, Some(stream))),
    }
}

/// Lets a refused peer read the alert: closing with unread bytes would reset the connection, and
/// the peer would take a certificate problem for a network problem.
async fn linger(stream: Option<TcpStream>) {
    let Some(mut stream) = stream else { return };
    let drained = timeout(REFUSAL_LINGER, async {
        stream.shutdown().await?;
        let mut scratch = [0_u8; 1024];
        for _ in 0..64 {
            if stream.read(&mut scratch).await? == 0 {
                break;
            }
        }
        Ok::<(), io::Error>(())
    });
    match drained.await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::trace!(%error, "refused peer left"),
    }
}
