//! A device's own request for a new certificate (D23). Pure functions over what the store holds.

use zmon_crypto::IdentityPublic;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::limits;
use zmon_domain::time::{UnixTime, is_expired};
use zmon_wire::pull::Pull;
use zmon_wire::strict;

use super::certificate::{CertificateState, CertificateUse};
use super::context::SessionContext;
use crate::PullMethod;

/// The certificate that is to be replaced, as the store holds it.
#[derive(Clone, Debug)]
pub struct Replaced<'a> {
    /// Serial number.
    pub serial: &'a Serial,
    /// Whose it is.
    pub device_id: &'a DeviceId,
    /// What it may do.
    pub state: CertificateState,
    /// Its last second of validity.
    pub not_after: UnixTime,
}

/// The certificate a pull is about, before anything of it is believed: only to find its row.
///
/// # Errors
/// `JwsMalformed`.
pub fn asked_about(pull: &[u8]) -> Result<Serial, ErrorCode> {
    let jws = Unverified::parse(pull).map_err(|error| error.code())?;
    strict::parse::<Pull>(jws.payload_unverified(), limits::BODY_MAX.default)
        .map(|pull| pull.serial)
        .map_err(|_| ErrorCode::JwsMalformed)
}

/// Reads a pull and checks it against the identity key on record for its certificate.
///
/// # Errors
/// `JwsMalformed`, or `SignatureInvalid`.
pub fn verify(
    ctx: &SessionContext<'_>,
    pull: &[u8],
    key: &IdentityPublic,
) -> Result<Pull, ErrorReport> {
    let verified = Unverified::parse(pull)
        .and_then(|jws| jws.verify_with(Typ::Pull, key, ctx.algorithms))
        .map_err(|error| error.code())?;
    strict::parse(verified.payload(), limits::BODY_MAX.default)
        .map_err(|error| error.report(ErrorCode::JwsMalformed))
}

/// Whether a verified pull may replace this certificate by this method at `now`; its counter.
///
/// # Errors
/// `SessionMismatch` or `DeviceMismatch` when the pull speaks of something else, `CertificateRevoked`,
/// `StateConflict` for a certificate that is not the device's current one, `CertificateExpired` and
/// `CertificateNotExpired` where the other method is the right one.
pub fn permit(
    pull: &Pull,
    method: PullMethod,
    replaced: &Replaced<'_>,
    now: UnixTime,
) -> Result<Option<u64>, ErrorCode> {
    if pull.method != method.method() || pull.serial != *replaced.serial {
        return Err(ErrorCode::SessionMismatch);
    }
    if pull.device_id != *replaced.device_id {
        return Err(ErrorCode::DeviceMismatch);
    }
    if replaced.state == CertificateState::Revoked {
        return Err(ErrorCode::CertificateRevoked);
    }
    if !replaced.state.permits(CertificateUse::Renew) {
        return Err(ErrorCode::StateConflict);
    }
    match (method, is_expired(now, replaced.not_after), pull.counter) {
        (PullMethod::Renewal, false, None) => Ok(None),
        (PullMethod::Recovery, true, Some(counter @ 1..)) => Ok(Some(counter)),
        (PullMethod::Renewal, true, _) => Err(ErrorCode::CertificateExpired),
        (PullMethod::Recovery, false, _) => Err(ErrorCode::CertificateNotExpired),
        (PullMethod::Renewal, false, Some(_)) | (PullMethod::Recovery, true, None | Some(0)) => {
            Err(ErrorCode::JwsMalformed)
        }
    }
}
