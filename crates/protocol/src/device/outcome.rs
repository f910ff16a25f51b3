//! Reading the station's signed outcome (D13).

use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::x509;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_wire::outcome::{Outcome, OutcomeResult};
use zmon_wire::strict;

use super::state::Staged;
use super::step::Step;

/// What the station's record says about the staged certificate, if this is its signed word on it.
///
/// The path to the anchor is checked; its dates only against a synchronised clock: an outcome is
/// fresh because it carries our nonce, and a device in doubt may hear it long after.
pub(super) fn verify(
    step: &Step<'_>,
    staged: &Staged,
    nonce: &[u8; 32],
    bytes: &[u8],
) -> Result<OutcomeResult, ErrorCode> {
    let ctx = step.ctx;
    let jws = Unverified::parse(bytes).map_err(|error| error.code())?;
    let chain = jws.x5c().map_err(|error| error.code())?;
    let clock = step.now.synced();
    let certificate = x509::verify_signing_chain(&chain, ctx.anchors, clock, ctx.algorithms)
        .map_err(|error| error.code())?;
    if certificate.station_id() != &staged.slot.station_id {
        return Err(ErrorCode::SigningProfileViolation);
    }
    let verified = jws
        .verify_with(Typ::Outcome, certificate.public_key(), ctx.algorithms)
        .map_err(|error| error.code())?;
    let outcome: Outcome = strict::parse(verified.payload(), limits::BODY_MAX.default)
        .map_err(|_| ErrorCode::JwsMalformed)?;
    let slot = &staged.slot.slot;
    if outcome.device_id != ctx.profile.device_id {
        return Err(ErrorCode::DeviceMismatch);
    }
    let same = outcome.session_id == slot.session_id
        && outcome.serial == slot.serial
        && outcome.nonce == *nonce;
    if same { Ok(outcome.result) } else { Err(ErrorCode::SessionMismatch) }
}
