//! Commit and outcome: the station's record alone decides (D13). Pure functions over what the store
//! holds, because a commit or an ask may come long after its session is gone.

use alloc::string::String;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use zmon_crypto::IdentityPublic;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_wire::kind::V1;
use zmon_wire::outcome::{CommitRequest, Outcome, OutcomeAsk, OutcomeResult};
use zmon_wire::strict;

use super::certificate::CertificateState;
use super::context::SessionContext;
use super::open;

/// One certificate as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateView {
    /// Serial number.
    pub serial: Serial,
    /// Whose it is.
    pub device_id: DeviceId,
    /// The session it was issued in.
    pub session_id: SessionId,
    /// What it may do.
    pub state: CertificateState,
    /// It has been current at some time, whatever has become of it since.
    pub committed: bool,
}

/// What the store must do, in the same transaction as the audit rows, before `answer` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do with the certificate.
    pub change: Change,
    /// Rows for `security_audit_log`; empty when nothing changes.
    pub audit: Vec<AuditEvent>,
    /// The `zp-outcome` JWS.
    pub answer: String,
}

/// What happens to a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Nothing: it was decided before, and the answer says how.
    None,
    /// `pending → current`, and the device's current one, if any, `→ superseded`.
    Commit {
        /// The device's current certificate; the commit is conditional on it.
        supersedes: Option<Serial>,
    },
    /// `pending → revoked`, never committed.
    Abort,
}

/// Decides a commit that came over mTLS with the certificate `view`.
///
/// A commit of a certificate that is current, or was, gets its answer again; one of a certificate
/// that was aborted is told so.
///
/// # Errors
/// `SessionMismatch` when the request speaks of another session or serial than the certificate it came
/// with; `KeyStoreUnavailable` when the answer cannot be signed.
pub fn commit(
    ctx: &SessionContext<'_>,
    rng: &mut dyn CryptoRng,
    request: &CommitRequest,
    view: &CertificateView,
    current: Option<&Serial>,
) -> Result<Verdict, ErrorReport> {
    if request.session_id != view.session_id || request.serial != view.serial {
        return Err(ErrorCode::SessionMismatch.into());
    }
    let mut audit = Vec::new();
    let (change, result) = match decided(view) {
        Some(result) => (Change::None, result),
        None => {
            audit.push(row(view, AuditEvent::new(EventType::CommitConfirmed, Actor::Peer)));
            if let Some(current) = current {
                let event = AuditEvent::new(EventType::CertificateSuperseded, Actor::Peer)
                    .device(&view.device_id)
                    .session(view.session_id)
                    .with("serial", current);
                audit.push(event);
            }
            (Change::Commit { supersedes: current.cloned() }, OutcomeResult::Committed)
        }
    };
    let answer = sign(ctx, rng, view, request.nonce, result)?;
    Ok(Verdict { change, audit, answer })
}

/// Reads an ask and checks it against the identity key on record for its certificate.
///
/// # Errors
/// `JwsMalformed`, or `SignatureInvalid`.
pub fn verify_ask(
    ctx: &SessionContext<'_>,
    ask: &[u8],
    key: &IdentityPublic,
) -> Result<OutcomeAsk, ErrorReport> {
    let verified = Unverified::parse(ask)
        .and_then(|jws| jws.verify_with(Typ::Ask, key, ctx.algorithms))
        .map_err(|error| error.code())?;
    strict::parse(verified.payload(), limits::BODY_MAX.default)
        .map_err(|error| error.report(ErrorCode::JwsMalformed))
}

/// Decides an ask that [`verify_ask`] accepted. An ask about a certificate that is still pending
/// aborts it: a commit that arrives later is refused with the same answer. An ask about a certificate
/// this station never issued is no question of its record.
///
/// # Errors
/// `SessionUnknown` without a certificate; `SessionMismatch` or `DeviceMismatch` when the ask does not
/// fit it; `KeyStoreUnavailable` when the answer cannot be signed.
pub fn answer(
    ctx: &SessionContext<'_>,
    rng: &mut dyn CryptoRng,
    ask: &OutcomeAsk,
    view: Option<&CertificateView>,
) -> Result<Verdict, ErrorReport> {
    let view = view.ok_or(ErrorCode::SessionUnknown)?;
    if ask.device_id != view.device_id {
        return Err(ErrorCode::DeviceMismatch.into());
    }
    if ask.session_id != view.session_id || ask.serial != view.serial {
        return Err(ErrorCode::SessionMismatch.into());
    }
    let mut audit = Vec::new();
    let (change, result) = match decided(view) {
        Some(result) => (Change::None, result),
        None => {
            let code = ErrorCode::CommitAborted;
            let event = AuditEvent::failed(EventType::CertificateAborted, Actor::Peer, code);
            audit.push(row(view, event));
            (Change::Abort, OutcomeResult::Aborted)
        }
    };
    let answer = sign(ctx, rng, view, ask.nonce, result)?;
    Ok(Verdict { change, audit, answer })
}

/// What the record says; nothing while the certificate is pending.
const fn decided(view: &CertificateView) -> Option<OutcomeResult> {
    match (view.state, view.committed) {
        // Whatever has become of it since: the device did switch to it, or was told to.
        (_, true) | (CertificateState::Current | CertificateState::Superseded, false) => {
            Some(OutcomeResult::Committed)
        }
        (CertificateState::Revoked, false) => Some(OutcomeResult::Aborted),
        (CertificateState::Pending, false) => None,
    }
}

fn row(view: &CertificateView, event: AuditEvent) -> AuditEvent {
    event.device(&view.device_id).session(view.session_id).with("serial", view.serial)
}

fn sign(
    ctx: &SessionContext<'_>,
    rng: &mut dyn CryptoRng,
    view: &CertificateView,
    nonce: [u8; 32],
    result: OutcomeResult,
) -> Result<String, ErrorReport> {
    let outcome = Outcome {
        v: V1::default(),
        session_id: view.session_id,
        device_id: view.device_id.clone(),
        serial: view.serial,
        nonce,
        result,
    };
    let payload = strict::to_vec(&outcome).map_err(|_| ErrorCode::Internal)?;
    open::sign_with(ctx, rng, Typ::Outcome, &payload).map_err(ErrorReport::from)
}
