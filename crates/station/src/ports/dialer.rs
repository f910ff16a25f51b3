//! Reaching a device's provisioning listener (D17, D18).

use async_trait::async_trait;
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::ErrorReport;
use zmon_protocol::station::Claim;
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

/// Where a device listens and which key it must prove there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The device's address; already checked against the policy (D18).
    pub address: DeviceAddress,
    /// The port in the pairing token, or of a typed code's device; already checked against the policy (D18).
    pub port: u16,
    /// Left half of SHA-256 of the identity key's `SubjectPublicKeyInfo`, from the token (D3) or the
    /// registry. The TLS peer must hold exactly this key.
    pub thumbprint16: [u8; 16],
}

/// Opens the connection of a pairing.
#[async_trait]
pub trait DeviceDialer: Send + Sync {
    /// Connects over TLS 1.3, checks the pin *and* the handshake signature, sends
    /// `POST /api/provisioning/session` and returns the answer with the connection kept open.
    ///
    /// No redirects, one connection at a time, bounded time and bytes.
    ///
    /// # Errors
    /// [`DialError::Unreachable`] for closed, filtered and wrong-pin alike, [`DialError::Refused`]
    /// when the device answered with a problem document.
    async fn open(
        &self,
        target: &Target,
        open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError>;

    /// Connects as [`DeviceDialer::open`] does, sends `GET /api/provisioning/window` and returns the
    /// answer with the connection kept open.
    ///
    /// # Errors
    /// As [`DeviceDialer::open`].
    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError>;

    /// A connection for a session that was taken up again: it is opened when it is first needed, as
    /// [`DeviceDialer::open`] does, and by the same claim; without one, by no request at all.
    fn again(&self, target: &Target, claim: Option<Claim>) -> Box<dyn DeviceConnection>;
}

/// The connection of one pairing after the device's first answer. Dropping it closes it.
#[async_trait]
pub trait DeviceConnection: Send + Sync {
    /// Begins a run of the typed code: `POST /api/provisioning/pake/start`. Never sent twice by an
    /// implementation: it costs a try.
    ///
    /// # Errors
    /// As [`DeviceDialer::open`].
    async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError>;

    /// Ends the run: `POST /api/provisioning/pake/confirm`. Called again, with the same message, after
    /// [`DialError::Unreachable`]; where the connection is gone a new one carries it.
    ///
    /// # Errors
    /// As [`DeviceDialer::open`].
    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError>;

    /// Has the device's screen blink: `POST /api/provisioning/blink`. A device that is asked again for the
    /// same blink answers again.
    ///
    /// # Errors
    /// As [`DeviceDialer::open`].
    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError>;

    /// Sends the sealed configuration and waits for the device's status
    /// statement, which comes when the device has applied or refused it.
    ///
    /// Called again, with the same bytes, after [`DialError::Unreachable`]. Where the connection is
    /// gone it is opened again, to the same target under the same pin and by the same hello, which a
    /// device whose session stands answers as before.
    ///
    /// # Errors
    /// As [`DeviceDialer::open`].
    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError>;
}

/// Why a device gave no answer. Operators see one text for every cause (D18); `cause` goes to the
/// log and the audit detail only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No connection, a wrong key, a broken or late answer.
    #[error("the device could not be reached: {cause}")]
    Unreachable {
        /// What happened, for the log.
        cause: String,
    },
    /// The device answered with a refusal.
    #[error("the device refused: {}", report.code.as_str())]
    Refused {
        /// The device's report.
        report: ErrorReport,
    },
}
