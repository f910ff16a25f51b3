//! The device's provisioning listener and what it calls.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::route::Route;
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::carry::{Message, Reply};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

/// The TLS 1.3 listener, self-signed by the identity key, open only while a window or a session is
/// (D17).
///
/// **A listener that stays open** after [`close`](Self::close) is a port on a ward network that
/// nobody asked for; a port scan after pairing must find nothing. **A port that is not the one
/// bound** makes every token point elsewhere, and every scan fails.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Binds, starts serving `endpoint` and returns the port. Closes an earlier one first.
    async fn open(&self, endpoint: Arc<dyn DeviceEndpoint>) -> Result<u16, ListenError>;

    /// Stops accepting and frees the port before it returns. An answer that is being written may
    /// still be finished; a closed listener is no error.
    async fn close(&self);
}

/// What the listener hands requests to; implemented by the driver.
///
/// The listener answers **every** `Err` before a valid claim with one uniform body, one status and
/// one timing (D24); the precise cause is for the device's log only. An adapter that forwards it is
/// an oracle for whoever has not seen the screen.
#[async_trait]
pub trait DeviceEndpoint: Send + Sync {
    /// `POST /api/provisioning/session`: hello and claim in, identity document out.
    async fn session(&self, open: SessionOpen) -> Result<SessionAnswer, ErrorReport>;

    /// `GET /api/provisioning/window`: which window is open, for a typed code.
    async fn window(&self) -> Result<WindowAnswer, ErrorReport>;

    /// `POST /api/provisioning/pake/start`: a run of the typed code; the try is spent with the answer.
    async fn pake_start(&self, start: PakeStart) -> Result<PakeStarted, ErrorReport>;

    /// `POST /api/provisioning/pake/confirm`: the claim at the end of a run, identity document out.
    async fn pake_confirm(&self, confirm: PakeConfirm) -> Result<SessionAnswer, ErrorReport>;

    /// `POST /api/provisioning/blink`: the station of a claimed session has the screen blink.
    async fn blink(&self, blink: BlinkRequest) -> Result<BlinkAnswer, ErrorReport>;

    /// `POST /api/provisioning/configuration`: the sealed envelope in, the device's signed status
    /// out. Resolves when the session ended (applied or refused), at most 30 s later.
    async fn configuration(&self, envelope: Vec<u8>) -> Result<DeliveryAnswer, ErrorReport>;

    /// One of these six messages that did not come to the listener: the device has fetched it, or
    /// somebody has brought it (D7). What is refused is refused as it would be there, except that a
    /// courier, who stands at the device, learns why.
    /// By default it is as if it had come to the listener.
    async fn carried(&self, _route: Route, message: Message) -> Result<Reply, ErrorReport> {
        dispatch(self, message).await
    }

    /// Something that is none of them: an unknown path, a body that does not parse. Counted in
    /// the audit log, one row per reason and minute (D16).
    async fn junk(&self, _code: ErrorCode) {}
}

/// The device's answer to a message, whichever of the six it is.
pub(crate) async fn dispatch<D: DeviceEndpoint + ?Sized>(
    device: &D,
    message: Message,
) -> Result<Reply, ErrorReport> {
    Ok(match message {
        Message::Session(open) => Reply::Identity(device.session(open).await?),
        Message::Window {} => Reply::Window(device.window().await?),
        Message::PakeStart(start) => Reply::Share(device.pake_start(start).await?),
        Message::PakeConfirm(confirm) => Reply::Identity(device.pake_confirm(confirm).await?),
        Message::Blink(blink) => Reply::Blinking(device.blink(blink).await?),
        Message::Configuration { envelope } => Reply::Status(device.configuration(envelope).await?),
    })
}

/// Why the listener could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address or every permitted port is taken, or not ours.
    #[error("cannot bind: {0}")]
    Bind(String),
    /// The TLS configuration could not be made from the identity key.
    #[error("cannot start TLS: {0}")]
    Tls(String),
}
