//! Reading the station's signed outcome (D13).

use zmon_crypto::jws::{Typ, Unverified};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_wire::outcome::{Outcome, OutcomeResult};
use zmon_wire::strict;

use super::machine::Core;
use super::signer::Signer;
use super::state::Staged;
use super::step::Step;

/// What the station's record says about the staged certificate, if this is its signed word on it.
///
/// The signer is held to what held for the hello (D8, D14): station and site of the session, no
/// certificate older than the site's latest, valid now. An outcome is fresh because it carries our
/// nonce, and a device in doubt may hear it long after the station renewed its certificate. So
/// without a clock "now" is any time from the floor on.
pub(super) fn verify(
    core: &Core,
    step: &Step<'_>,
    staged: &Staged,
    nonce: &[u8; 32],
    bytes: &[u8],
) -> Result<OutcomeResult, ErrorCode> {
    let ctx = step.ctx;
    let jws = Unverified::parse(bytes).map_err(|error| error.code())?;
    let chain = jws.x5c().map_err(|error| error.code())?;
    let signer = Signer::verify(step, &chain).map_err(|error| error.code())?;
    if signer.station_id() != &staged.slot.station_id {
        return Err(ErrorCode::SigningProfileViolation);
    }
    check_site(core, staged, &signer)?;
    let now = step.now.synced().unwrap_or_else(|| signer.earliest(core));
    let _standing = signer.verified_at(now).map_err(|error| error.code())?;
    let verified = jws
        .verify_with(Typ::Outcome, signer.public_key(), ctx.algorithms)
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

/// The site of the session. After a restart it is no longer known which one that was, but it is one
/// that the device remembers: the claim that led to slot B saw to that. A station without an anchor is
/// known by the key of its server instead, which the slot pins and the link has checked (D8).
fn check_site(core: &Core, staged: &Staged, signer: &Signer) -> Result<(), ErrorCode> {
    let site = signer.site_id();
    if staged.site_id.as_ref().is_some_and(|ours| ours != site) {
        return Err(ErrorCode::SiteMismatch);
    }
    if !signer.is_anchored() {
        return Ok(());
    }
    let (_, latest) =
        core.sites.iter().find(|(known, _)| known == site).ok_or(ErrorCode::SiteMismatch)?;
    if signer.not_before() < *latest {
        return Err(ErrorCode::SigningCertificateRolledBack);
    }
    Ok(())
}
