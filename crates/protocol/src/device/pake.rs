//! The typed code (D2): a try is a run *started*, durable before the device's share leaves it.
//!
//! Whoever reads `confirmV` and hangs up has tested a code. So the try is spent with the answer, nothing
//! refunds it, and five without a valid confirmation void the window. A try costs a hello that holds:
//! strangers spend none. One run stands at a time; a new one takes the place of the one before.

use alloc::boxed::Box;
use alloc::sync::Arc;

use zmon_crypto::pake::{Confirmation, PakeInputs, SHARE_LEN, Share, Verifier};
use zmon_crypto::sha256;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_wire::hello::Hello;
use zmon_wire::kind::Method;

use super::claim::{self, busy, consume, refused, repeated, uniform};
use super::hello::{self, Checked, Refused, Verified};
use super::machine::Core;
use super::output::{DeviceEvent, DeviceReply, DeviceWrite};
use super::profile::StationTrust;
use super::state::{Ready, Run, State};
use super::step::{Outcome, Step};
use super::window;

/// Which window is open: what a hello must name, and no secret.
pub(super) fn window(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    match state {
        State::Ready(ready) => match open(step, &ready) {
            Ok(()) => {
                let reply =
                    DeviceReply::Window(step.ctx.profile.device_id.clone(), ready.window.id);
                (State::Ready(ready), Ok(reply))
            }
            Err(code) => closed(core, step, State::Ready(ready), code),
        },
        State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Pairing(_)
        | State::Configuring(_)
        | State::Validating(_) => closed(core, step, state, ErrorCode::NotInProvisioningMode),
    }
}

/// A station begins a run. Nothing is spent before its hello and its share hold.
pub(super) fn start(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    hello: &[u8],
    share_p: &[u8; SHARE_LEN],
) -> Outcome {
    match state {
        State::Ready(ready) => begin(core, step, ready, hello, share_p),
        State::Pairing(_) | State::Configuring(_) | State::Validating(_) => busy(core, step, state),
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            closed(core, step, state, ErrorCode::NotInProvisioningMode)
        }
    }
}

/// The station ends its run: with the right confirmation it has claimed the window.
pub(super) fn confirm(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    session: SessionId,
    confirm_p: &Confirmation,
) -> Outcome {
    match state {
        State::Ready(ready) => finish(core, step, ready, session, confirm_p),
        State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            repeated(core, step, state, request_hash(session, confirm_p))
        }
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            closed(core, step, state, ErrorCode::NotInProvisioningMode)
        }
    }
}

/// A run whose confirmation did not come in time is over; its try stays spent.
pub(super) fn expire(step: &mut Step<'_>, ready: &mut Ready) {
    let now = step.now.mono;
    if ready.typed.run.as_ref().is_some_and(|run| now >= run.deadline) {
        end_run(step, ready);
    }
}

fn begin(
    core: &mut Core,
    step: &mut Step<'_>,
    mut ready: Box<Ready>,
    bytes: &[u8],
    share_p: &[u8; SHARE_LEN],
) -> Outcome {
    expire(step, &mut ready);
    if let Err(code) = open(step, &ready) {
        return closed(core, step, State::Ready(ready), code);
    }
    // The answer was lost, or somebody else carries the question now: no new run, no new try.
    if let Some(run) = ready.typed.run.as_ref().filter(|run| run.is_begun_by(bytes, share_p)) {
        let reply =
            DeviceReply::Share { share_v: *run.share_v.as_bytes(), confirm_v: run.confirm_v };
        return (State::Ready(ready), Ok(reply));
    }
    let refuse = |core: &mut Core, step: &mut Step<'_>, ready, reason| {
        refused(core, step, reason);
        (State::Ready(ready), uniform())
    };
    let window = |hello: &Hello| {
        let named = hello.window_ref == *ready.window.id.as_bytes();
        if named { Ok(()) } else { Err(ErrorCode::PairingTokenStale) }
    };
    let checked = match hello::check(core, step, Method::Typed, bytes, window) {
        Ok((checked, ())) => checked,
        Err(reason) => return refuse(core, step, ready, reason),
    };
    let session = Some(checked.hello.session_id);
    let refusal = |code| Refused { code, session, junk: false };
    if ready.typed.tries >= limits::TYPED_TRIES.default {
        return refuse(core, step, ready, refusal(ErrorCode::TypedTriesExhausted));
    }
    // No curve arithmetic before this line: every refusal above is as cheap as a claim's.
    let share_p = match Share::parse(share_p) {
        Ok(share) => share,
        Err(error) => return refuse(core, step, ready, refusal(error.code())),
    };
    spend(step, ready, checked, bytes, share_p)
}

/// Counts the try and answers. A share that cancels the code's mask is a guess like any other: the try
/// is spent, the answer says nothing.
fn spend(
    step: &mut Step<'_>,
    mut ready: Box<Ready>,
    checked: Checked,
    bytes: &[u8],
    share_p: Share,
) -> Outcome {
    ready.typed.tries += 1;
    let row = step
        .row(EventType::TypedTryStarted, Actor::Peer)
        .session(checked.hello.session_id)
        .with("station", &checked.hello.station_id)
        .with("try", ready.typed.tries)
        .with("route", step.route);
    step.out.row(row);
    step.out.write(DeviceWrite::SpendTry(ready.window.id));
    let inputs = PakeInputs {
        code: &ready.window.code,
        window_id: &ready.window.id,
        hello: bytes,
        station_id: &checked.hello.station_id,
        device_id: &step.ctx.profile.device_id,
    };
    match Verifier::start(&inputs, share_p, step.rng) {
        Ok((verifier, share_v, confirm_v)) => {
            let deadline = step.now.mono + limits::TYPED_RUN.default;
            let reply = DeviceReply::Share { share_v: *share_v.as_bytes(), confirm_v };
            let hello = bytes.into();
            let run = Run { checked, hello, verifier, share_p, share_v, confirm_v, deadline };
            ready.typed.run = Some(Arc::new(run));
            (State::Ready(ready), Ok(reply))
        }
        Err(error) => {
            let mut row = step.failure(EventType::ClaimRefused, Actor::Peer, error.code());
            row.session = Some(checked.hello.session_id);
            step.out.row(row);
            end_run(step, &mut ready);
            (State::Ready(ready), uniform())
        }
    }
}

fn finish(
    core: &mut Core,
    step: &mut Step<'_>,
    mut ready: Box<Ready>,
    session: SessionId,
    confirm_p: &Confirmation,
) -> Outcome {
    if window::expired(step.now.mono, &ready.window) {
        return closed(core, step, State::Ready(ready), ErrorCode::PairingCodeExpired);
    }
    expire(step, &mut ready);
    let run = ready.typed.run.clone().filter(|run| run.checked.hello.session_id == session);
    let Some(run) = run else {
        return closed(core, step, State::Ready(ready), ErrorCode::SessionUnknown);
    };
    match run.verifier.finish(&run.hello, confirm_p) {
        Ok((prk, claimed)) => {
            let verified = Verified { checked: run.checked.clone(), prk, claimed };
            let request = request_hash(session, confirm_p);
            consume(core, step, ready, verified, &run.hello, request)
        }
        Err(error) => {
            let row = step
                .failure(EventType::ClaimRefused, Actor::Peer, error.code())
                .session(session)
                .with("try", ready.typed.tries);
            step.out.row(row);
            end_run(step, &mut ready);
            (State::Ready(ready), uniform())
        }
    }
}

/// Whether a hello by code is taken at all.
fn open(step: &Step<'_>, ready: &Ready) -> Result<(), ErrorCode> {
    if window::expired(step.now.mono, &ready.window) {
        Err(ErrorCode::PairingCodeExpired)
    } else if ready.is_void() {
        Err(ErrorCode::TypedTriesExhausted)
    } else if ready.port.is_none() {
        Err(ErrorCode::NotInProvisioningMode)
    } else if step.ctx.profile.trust == StationTrust::Proximity {
        // A try costs a hello that holds (D2), and without an anchor anybody's holds.
        Err(ErrorCode::ProximityNeedsScan)
    } else {
        Ok(())
    }
}

/// A peer that has shown nothing gets the uniform answer and is only counted.
fn closed(core: &mut Core, step: &mut Step<'_>, state: State, code: ErrorCode) -> Outcome {
    (state, claim::closed(core, step, code))
}

/// The run is over without a claim. After the last one the code is void: nothing is shown or accepted
/// any more, and an operator has to regenerate.
fn end_run(step: &mut Step<'_>, ready: &mut Ready) {
    ready.typed.run = None;
    if !ready.is_void() {
        return;
    }
    ready.tokens = None;
    let code = ErrorCode::TypedTriesExhausted;
    let row = step
        .failure(EventType::PairingCodeExpired, Actor::System, code)
        .with("window", ready.window.id);
    step.out.row(row);
    step.out.write(DeviceWrite::CloseWindow);
    step.out.signal(DeviceEvent::QrCodeExpired);
}

/// SHA-256 over session and confirmation. A claim by token is hashed over a JWS, which begins with
/// other bytes than this label.
fn request_hash(session: SessionId, confirm_p: &Confirmation) -> [u8; 32] {
    sha256(&[b"confirmP".as_slice(), session.as_bytes(), confirm_p].concat())
}
