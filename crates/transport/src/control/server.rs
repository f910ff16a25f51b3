//! Serving the socket.

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_wire::control::{ControlAnswer, ControlRequest, to_line};
use zmon_wire::strict;

use super::handler::{ControlHandler, ControlParts, refusal};
use super::line;
use super::socket::{SocketError, SocketFile, create};
use crate::problem;
use crate::server::ServerLimits;

/// A running control socket. Dropping it stops it and removes the file.
pub struct ControlServer {
    stop: CancellationToken,
    connections: TaskTracker,
    _stop_on_drop: DropGuard,
}

impl ControlServer {
    /// Creates the socket at `path` with mode 0600 and serves `parts`.
    ///
    /// # Errors
    /// [`SocketError`]: a live socket and anything that is no socket are left alone.
    pub fn start(path: &Path, parts: ControlParts) -> Result<Self, SocketError> {
        let (listener, file) = create(path)?;
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let accepting =
            accept(listener, file, ControlHandler::new(parts), connections.clone(), stop.clone());
        // Tracked like a connection, so that a shutdown waits until the file is gone.
        connections.spawn(accepting);
        Ok(Self { connections, _stop_on_drop: stop.clone().drop_guard(), stop })
    }

    /// Stops accepting and hangs up; an answer under way is finished.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.connections.close();
        let drain = ServerLimits::control().drain;
        if timeout(drain, self.connections.wait()).await.is_err() {
            tracing::warn!(
                left = self.connections.len(),
                "control connections outlived the socket"
            );
        }
    }
}

impl fmt::Debug for ControlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlServer")
    }
}

async fn accept(
    listener: UnixListener,
    file: SocketFile,
    handler: Arc<ControlHandler>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(ServerLimits::control().connections));
    let next = async || {
        let permit = Arc::clone(&places).acquire_owned().await.ok()?;
        let (stream, _address) = listener.accept().await.ok()?;
        Some((stream, permit))
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = next() => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        // The file's mode keeps others out; this is for a mode that somebody widened.
        if !stream.peer_cred().is_ok_and(|peer| file.admits(peer.uid())) {
            tracing::warn!("control connection of another user closed");
            continue;
        }
        let (handler, stop) = (Arc::clone(&handler), stop.clone());
        connections.spawn(async move {
            if let Err(error) = connection(stream, &handler, &stop).await {
                tracing::debug!(%error, "control connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    drop(file);
}

async fn connection(
    stream: UnixStream,
    handler: &ControlHandler,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let request = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            request = next_request(&mut reader) => request,
        };
        let request = match request {
            Some(Ok(request)) => request,
            Some(Err(answer)) => return send(&mut writer, &answer).await,
            None => return Ok(()),
        };
        if matches!(request, ControlRequest::Events {}) {
            return follow(reader, writer, handler, stop).await;
        }
        send(&mut writer, &handler.answer(request).await).await?;
    }
}

/// The next request; an answer instead when it does not parse, `None` at the end or after a rest.
async fn next_request(
    reader: &mut BufReader<OwnedReadHalf>,
) -> Option<Result<ControlRequest, ControlAnswer>> {
    let max = limits::BODY_MAX.default;
    let line = match timeout(ServerLimits::control().idle, line::read(reader, max)).await {
        Ok(Ok(line)) => line?,
        Ok(Err(_too_long)) => return Some(Err(refusal(&ErrorCode::RequestTooLarge.into()))),
        Err(_rested) => return None,
    };
    let request = strict::parse::<ControlRequest>(&line, max);
    Some(request.map_err(|error| refusal(&problem::malformed(&error))))
}

/// The status, then every event until the client hangs up or the device stops.
async fn follow(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    handler: &ControlHandler,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let mut events = handler.events();
    send(&mut writer, &handler.status()).await?;
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            // Whatever a follower says, it has nothing more to say.
            _ = line::read(&mut reader, 0) => return Ok(()),
            event = events.next() => event,
        };
        let Some(event) = event else { return Ok(()) };
        if let Some(answer) = handler.event(&event) {
            send(&mut writer, &answer).await?;
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, answer: &ControlAnswer) -> std::io::Result<()> {
    let line = to_line(answer).map_err(std::io::Error::other)?;
    let sent = timeout(ServerLimits::control().write_stall, writer.write_all(&line)).await;
    sent.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()))
}
