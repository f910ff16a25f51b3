//! Commit and outcome: the station's record alone decides (D13). Pure functions over what the store
//! holds, because a commit or an ask may come long after its session is gone.

use alloc::string::String;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use zmon_crypto::IdentityPublic;
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_wire::outcome::{CommitRequest, OutcomeAsk};

use super::certificate::CertificateState;
use super::context::SessionContext;

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
/// # Errors
/// `SessionMismatch` or `DeviceMismatch` when the request speaks of another session or serial than
/// the certificate it came with; `KeyStoreUnavailable` when the answer cannot be signed.
pub fn commit(
    ctx: &SessionContext<'_>,
    rng: &mut dyn CryptoRng,
    request: &CommitRequest,
    view: &CertificateView,
    current: Option<&Serial>,
) -> Result<Verdict, ErrorReport> {
    todo!()
}

/// Reads an ask and checks it against the identity key the registry holds for its device.
///
/// # Errors
/// `JwsMalformed`, `SignatureInvalid`, or the field at fault.
pub fn verify_ask(
    ctx: &SessionContext<'_>,
    ask: &[u8],
    key: &IdentityPublic,
) -> Result<OutcomeAsk, ErrorReport> {
    todo!()
}

/// Decides an ask that [`verify_ask`] accepted. An ask about a certificate that is still pending
/// aborts it: a commit that arrives later is refused with the same answer.
///
/// # Errors
/// `SessionMismatch` or `DeviceMismatch` when the ask does not fit the certificate;
/// `KeyStoreUnavailable` when the answer cannot be signed.
pub fn answer(
    ctx: &SessionContext<'_>,
    rng: &mut dyn CryptoRng,
    ask: &OutcomeAsk,
    view: Option<&CertificateView>,
) -> Result<Verdict, ErrorReport> {
    todo!()
}
