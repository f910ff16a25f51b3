//! Who claims the window: every check of a hello, in the order of the protocol (D8, D14).

use alloc::sync::Arc;

use zmon_crypto::evidence::{CodeClaimed, SignatureVerified};
use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::schedule::{Prk, refuse_claim};
use zmon_crypto::token::PairingToken;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{SessionId, TokenId};
use zmon_domain::limits;
use zmon_domain::time::{ClockQuality, Now, UnixTime};
use zmon_wire::hello::Hello;
use zmon_wire::kind::Method;
use zmon_wire::strict;

use super::machine::Core;
use super::signer::{Signer, Standing};
use super::state::{Asking, Tokens};
use super::step::Step;
use super::window;

/// A hello that holds in every respect, with the evidence; nothing is claimed yet.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) hello: Hello,
    pub(super) signer: Signer,
    pub(super) _signature: SignatureVerified,
    pub(super) _standing: Standing,
}

/// A claim: its hello, the secret both sides share, and the evidence.
pub(super) struct Verified {
    pub(super) checked: Checked,
    pub(super) prk: Prk,
    pub(super) claimed: CodeClaimed,
}

/// Why a hello was refused. The peer learns none of it.
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    /// The session it names, once that could be read.
    pub(super) session: Option<SessionId>,
    /// It was no hello at all: counted, not written one by one.
    pub(super) junk: bool,
}

/// Runs every check of a claim by token.
pub(super) fn verify(
    core: &Core,
    step: &Step<'_>,
    tokens: &Tokens,
    bytes: &[u8],
    mac: &[u8; 32],
) -> Result<Verified, Refused> {
    let token = |hello: &Hello| {
        let token = window::accepted(step, tokens, &TokenId::from_bytes(hello.window_ref));
        token.cloned().ok_or(ErrorCode::PairingTokenStale)
    };
    let (checked, token) = check(core, step, Method::Qr, bytes, token)?;
    let session = Some(checked.hello.session_id);
    let (prk, claimed) =
        check_claim(bytes, mac, &token).map_err(|code| Refused { code, session, junk: false })?;
    Ok(Verified { checked, prk, claimed })
}

/// Runs every check of a hello that can be made without token or code; `window` finds what its
/// `windowRef` names. Each refusal spends the work of a claim MAC, so that none is told from another
/// by its time (D24).
pub(super) fn check<T>(
    core: &Core,
    step: &Step<'_>,
    method: Method,
    bytes: &[u8],
    window: impl FnOnce(&Hello) -> Result<T, ErrorCode>,
) -> Result<(Checked, T), Refused> {
    let refused = |code, session, junk| {
        // The verdict is known; only the time it takes matters.
        let _ = refuse_claim(bytes, &[0; 32]);
        Refused { code, session, junk }
    };
    let jws =
        Unverified::parse(bytes).map_err(|_| refused(ErrorCode::HelloMalformed, None, true))?;
    let chain = jws.x5c().map_err(|_| refused(ErrorCode::HelloMalformed, None, true))?;
    // Only to name the session in the audit row of a refusal.
    let session = strict::parse::<Hello>(jws.payload_unverified(), limits::BODY_MAX.default)
        .ok()
        .map(|hello| hello.session_id);
    let refuse = |code| refused(code, session, false);

    let ctx = step.ctx;
    let signer = Signer::verify(step, &chain).map_err(|error| refuse(error.code()))?;
    let verified = jws
        .verify_with(Typ::Hello, signer.public_key(), ctx.algorithms)
        .map_err(|error| refuse(error.code()))?;
    let hello: Hello = strict::parse(verified.payload(), limits::BODY_MAX.default)
        .map_err(|_| refuse(ErrorCode::HelloMalformed))?;
    check_names(core, step, method, &hello, &signer).map_err(refuse)?;
    let window = window(&hello).map_err(refuse)?;
    if hello.device_key16 != ctx.identity.public().thumbprint().short() {
        return Err(refuse(ErrorCode::DeviceKeyMismatch));
    }
    let standing = check_time(core, step.now, &hello, &signer).map_err(refuse)?;
    let checked = Checked { hello, signer, _signature: verified.proof(), _standing: standing };
    Ok((checked, window))
}

/// Runs every check of the answer to a pull (D23).
pub(super) fn answer(
    core: &Core,
    step: &Step<'_>,
    asking: &Asking,
    bytes: &[u8],
) -> Result<Checked, ErrorCode> {
    let named = |hello: &Hello| {
        let named = hello.window_ref == *asking.pull_id.as_bytes();
        if named { Ok(()) } else { Err(ErrorCode::SessionMismatch) }
    };
    let checked = check(core, step, asking.method.method(), bytes, named);
    checked.map(|(checked, ())| checked).map_err(|refused| refused.code)
}

/// Latest instant the device may take as trusted from this hello (D14); none of its own where no anchor
/// vouches for it.
pub(super) fn trusted_time(now: &Now, signer: &Signer, iat: UnixTime) -> Option<UnixTime> {
    now.synced().or_else(|| signer.is_anchored().then_some(iat))
}

fn check_names(
    core: &Core,
    step: &Step<'_>,
    method: Method,
    hello: &Hello,
    signer: &Signer,
) -> Result<(), ErrorCode> {
    if hello.method != method {
        return Err(ErrorCode::HelloMalformed);
    }
    if &hello.site_id != signer.site_id() {
        return Err(ErrorCode::SiteMismatch);
    }
    if &hello.station_id != signer.station_id() {
        return Err(ErrorCode::SigningProfileViolation);
    }
    let seen = core.sites.iter().find(|(site, _)| site == signer.site_id());
    if seen.is_some_and(|(_, latest)| signer.not_before() < *latest) {
        return Err(ErrorCode::SigningCertificateRolledBack);
    }
    if hello.device_id != step.ctx.profile.device_id {
        return Err(ErrorCode::DeviceMismatch);
    }
    Ok(())
}

/// Freshness by what the clock is worth. Without a synchronised one the hello's own time counts, if
/// it is not below the floor and every certificate of the path is valid then; a station that no anchor
/// vouches for tells no time.
fn check_time(
    core: &Core,
    now: &Now,
    hello: &Hello,
    signer: &Signer,
) -> Result<Standing, ErrorCode> {
    let at = match now.quality {
        ClockQuality::Synced => {
            let clock = now.synced().ok_or(ErrorCode::HelloStale)?;
            let skew = limits::CLOCK_SKEW.default;
            if hello.iat > clock + skew || clock > hello.iat + skew {
                return Err(ErrorCode::HelloStale);
            }
            clock
        }
        ClockQuality::None | ClockQuality::Signed if signer.is_anchored() => hello.iat,
        ClockQuality::None | ClockQuality::Signed => signer.earliest(core),
    };
    if at < core.floor {
        return Err(ErrorCode::HelloStale);
    }
    signer.verified_at(at).map_err(|error| error.code())
}

fn check_claim(
    bytes: &[u8],
    mac: &[u8; 32],
    token: &Arc<PairingToken>,
) -> Result<(Prk, CodeClaimed), ErrorCode> {
    let prk = Prk::from_token(bytes, token);
    let claimed = prk.verify_claim(bytes, mac).map_err(|error| error.code())?;
    Ok((prk, claimed))
}
