//! What a session does in the world, as tasks whose results come back as inputs.

use std::sync::Arc;

use zmon_domain::error::{ErrorCode, Side};
use zmon_domain::ids::{DeviceId, SessionId, WindowId};
use zmon_protocol::station::Target as ProposedTarget;
use zmon_wire::blink::BlinkRequest;
use zmon_wire::kind::TrustLevel;
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted};
use zmon_wire::session::SessionOpen;

use super::kept::Order;
use crate::ports::{
    CertificateRow, CertificateState, ClientCertificateOrder, DeviceConnection, DialError, Target,
};
use crate::station::Station;

/// The result of one effect.
pub(crate) enum Effect {
    /// The device answered the hello; the connection stays open.
    Dialled(Vec<u8>, Box<dyn DeviceConnection>),
    /// The device named its window; the connection stays open.
    Window(WindowId, Box<dyn DeviceConnection>),
    /// The device answered a run of the typed code.
    Share(Box<PakeStarted>, Box<dyn DeviceConnection>),
    /// It did not; the connection may still serve another attempt.
    DialFailed(Failure, Option<Box<dyn DeviceConnection>>),
    /// The device was asked to blink; the connection may still serve the delivery.
    Blinked(Result<u32, Failure>, Option<Box<dyn DeviceConnection>>),
    /// A certificate was signed; the row is complete but for nothing.
    Issued(Box<CertificateRow>, Vec<Vec<u8>>),
    /// It was not.
    IssueFailed(ErrorCode),
    /// The device answered the delivery.
    Delivered(Vec<u8>, Box<dyn DeviceConnection>),
    /// It did not; the connection may still serve another attempt.
    DeliveryFailed(Failure, Option<Box<dyn DeviceConnection>>),
}

/// Why a device gave no answer: the code everybody sees, and the cause for log and audit.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) cause: Option<String>,
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Unreachable { cause } => {
                Self { code: ErrorCode::DeviceUnreachable, cause: Some(cause) }
            }
            DialError::Refused { report } => {
                let code = report.code.of_peer(Side::Device);
                // The tablet hears that the device failed, the log what it said.
                let cause = (code != report.code).then(|| report.code.to_string());
                Self { code, cause }
            }
        }
    }
}

/// What a certificate says besides session, device and key.
#[derive(Debug, Clone)]
pub(crate) struct IssueFacts {
    /// Its serial number and time.
    pub(crate) order: Order,
    /// The device's identity key, `SubjectPublicKeyInfo` DER.
    pub(crate) identity_key: Vec<u8>,
    /// Number of the configuration it goes into.
    pub(crate) config_version: u64,
    /// On what ground the device believes the station.
    pub(crate) trust: TrustLevel,
}

/// Sends the hello.
pub(crate) async fn dial(
    station: Arc<Station>,
    target: ProposedTarget,
    open: SessionOpen,
) -> Effect {
    match station.parts.dialer.open(&dialled(target), open).await {
        Ok((answer, connection)) => Effect::Dialled(answer.identity.into_bytes(), connection),
        Err(error) => Effect::DialFailed(error.into(), None),
    }
}

/// Asks which window is open.
pub(crate) async fn ask_window(station: Arc<Station>, target: ProposedTarget) -> Effect {
    match station.parts.dialer.window(&dialled(target)).await {
        Ok((answer, connection)) => {
            Effect::Window(WindowId::from_bytes(answer.window_id), connection)
        }
        Err(error) => Effect::DialFailed(error.into(), None),
    }
}

/// Begins a run of the typed code over the session's one connection.
pub(crate) async fn start_pake(
    connection: Option<Box<dyn DeviceConnection>>,
    start: PakeStart,
) -> Effect {
    let Some(mut connection) = connection else { return Effect::DialFailed(gone(), None) };
    match connection.pake_start(start).await {
        Ok(started) => Effect::Share(Box::new(started), connection),
        Err(error) => Effect::DialFailed(error.into(), None),
    }
}

/// Ends the run: the device answers with its identity document.
pub(crate) async fn confirm_pake(
    connection: Option<Box<dyn DeviceConnection>>,
    confirm: PakeConfirm,
) -> Effect {
    let Some(mut connection) = connection else { return Effect::DialFailed(gone(), None) };
    match connection.pake_confirm(confirm).await {
        Ok(answer) => Effect::Dialled(answer.identity.into_bytes(), connection),
        Err(error) => Effect::DialFailed(error.into(), Some(connection)),
    }
}

pub(super) fn dialled(target: ProposedTarget) -> Target {
    Target { address: target.address, port: target.port, thumbprint16: target.thumbprint16 }
}

fn gone() -> Failure {
    let cause = Some("the connection is gone".to_owned());
    Failure { code: ErrorCode::DeviceUnreachable, cause }
}

/// Has a certificate signed.
pub(crate) async fn issue(
    station: Arc<Station>,
    session: SessionId,
    device_id: DeviceId,
    spki: Vec<u8>,
    facts: IssueFacts,
) -> Effect {
    // A process that is behind issues nothing.
    if let Err(error) = station.keep_up(&station.now()).await {
        return Effect::IssueFailed(error.code());
    }
    match sign(&station, session, device_id, spki, facts).await {
        Ok((row, chain)) => Effect::Issued(Box::new(row), chain),
        Err(code) => Effect::IssueFailed(code),
    }
}

async fn sign(
    station: &Station,
    session: SessionId,
    device_id: DeviceId,
    spki: Vec<u8>,
    facts: IssueFacts,
) -> Result<(CertificateRow, Vec<Vec<u8>>), ErrorCode> {
    let Order { serial, at } = facts.order;
    // A device whose clock is a little slow must accept it at once.
    let not_before = at - zmon_domain::limits::CLOCK_SKEW.default;
    let order = ClientCertificateOrder {
        spki,
        device_id,
        serial,
        not_before,
        not_after: not_before + station.parts.policy.certificate_lifetime,
        trust: facts.trust,
    };
    let issued = station.parts.issuer.issue(&order).await.map_err(|error| {
        tracing::error!(%error, "certificate");
        ErrorCode::KeyStoreUnavailable
    })?;
    let row = CertificateRow {
        serial,
        session,
        device_id: order.device_id,
        identity_key: facts.identity_key,
        config_version: facts.config_version,
        state: CertificateState::Pending,
        der: issued.der,
        not_before: order.not_before,
        not_after: order.not_after,
        issued_at: at,
        committed_at: None,
        revoked: None,
    };
    Ok((row, issued.chain))
}

/// Has the screen of the device blink, over the session's one connection.
pub(crate) async fn blink(
    connection: Option<Box<dyn DeviceConnection>>,
    request: BlinkRequest,
) -> Effect {
    let Some(mut connection) = connection else { return Effect::Blinked(Err(gone()), None) };
    let answer = connection.blink(request).await;
    let answer = answer.map(|answer| answer.seconds).map_err(Failure::from);
    Effect::Blinked(answer, Some(connection))
}

/// Sends the envelope over the session's one connection.
pub(crate) async fn deliver(
    connection: Option<Box<dyn DeviceConnection>>,
    envelope: Vec<u8>,
) -> Effect {
    let Some(mut connection) = connection else { return Effect::DeliveryFailed(gone(), None) };
    match connection.deliver(envelope).await {
        Ok(answer) => Effect::Delivered(answer.status.into_bytes(), connection),
        Err(error) => Effect::DeliveryFailed(error.into(), Some(connection)),
    }
}
