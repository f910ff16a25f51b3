//! The typed code (D2): the station proves that its operator knows it, and the device that it shows it.
//!
//! The order is window → `shareP` → `shareV, confirmV` → `confirmP`. After a wrong `confirmV` nothing more
//! is said: the operator typed another code, or somebody else answers.

use alloc::boxed::Box;
use alloc::sync::Arc;

use zmon_crypto::pake::{Confirmation, PakeInputs, Prover, SHARE_LEN, Share};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{TokenId, WindowId};
use zmon_domain::limits;

use super::context::TypedTries;
use super::io::StationWrite;
use super::open;
use super::state::{Call, Core, Dialling, State};
use super::step::{Outcome, Step, done};
use super::{dial, end};

/// The device named its window: a run begins, if the operator has tries left.
pub(super) fn window(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    window_id: WindowId,
    tries: TypedTries,
) -> Outcome {
    let dialling = match state {
        State::Dialling(dialling) if matches!(dialling.call, Call::Window) => dialling,
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => return done(state),
    };
    let Some((operator, _)) = core.operator.clone() else {
        return done(State::Dialling(dialling));
    };
    core.token_id = TokenId::from_bytes(*window_id.as_bytes());
    let call = remaining(tries).and_then(|left| begin(core, step, &window_id, left));
    let call = match call {
        Ok(call) => call,
        Err(code) => return done(end::fail(core, step, State::Dialling(dialling), code.into())),
    };
    step.write(StationWrite::SpendTry { session_id: core.session_id, operator, window_id });
    let row = AuditEvent::new(EventType::TypedTryStarted, core.actor()).with("window", window_id);
    step.row(core, row);
    proceed(core, step, call)
}

/// The device's share and confirmation: only the right code goes on.
pub(super) fn share(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    share_v: &[u8; SHARE_LEN],
    confirm_v: &Confirmation,
) -> Outcome {
    let dialling = match state {
        State::Dialling(dialling) => dialling,
        State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => return done(state),
    };
    let Call::Start { hello, prover, left, .. } = &dialling.call else {
        return done(State::Dialling(dialling));
    };
    let confirmed = Share::parse(share_v)
        .and_then(|share_v| prover.finish(hello.as_bytes(), &share_v, confirm_v));
    match confirmed {
        Ok((confirm_p, prk)) => {
            let call = Call::Confirm { hello: Arc::clone(hello), confirm_p, prk };
            // The device may count this run as its session from now on.
            step.write(StationWrite::Progress { session_id: core.session_id });
            proceed(core, step, call)
        }
        Err(_) => {
            let detail = FieldError::new("pairingCode", rule(*left));
            let report = ErrorReport::field(ErrorCode::InvalidPairingCode, detail);
            done(end::fail(core, step, State::Dialling(dialling), report))
        }
    }
}

/// How many tries remain after the next one.
fn remaining(tries: TypedTries) -> Result<u32, ErrorCode> {
    let window = u32::from(limits::TYPED_TRIES.default).checked_sub(tries.window + 1);
    let hour = u32::from(limits::TYPED_TRIES_HOURLY.default).checked_sub(tries.hour + 1);
    match (window, hour) {
        (None, _) => Err(ErrorCode::TypedTriesExhausted),
        (_, None) => Err(ErrorCode::TooManyRequests),
        (Some(window), Some(hour)) => Ok(window.min(hour)),
    }
}

fn begin(
    core: &Core,
    step: &mut Step<'_>,
    window_id: &WindowId,
    left: u32,
) -> Result<Call, ErrorCode> {
    let hello = open::sign_hello(step, core)?;
    let inputs = PakeInputs {
        code: core.code.as_deref().ok_or(ErrorCode::Internal)?,
        window_id,
        hello: hello.as_bytes(),
        station_id: step.ctx.station_id,
        device_id: &core.device_id,
    };
    let (prover, share_p) = Prover::start(&inputs, step.rng).map_err(|error| error.code())?;
    Ok(Call::Start { hello: Arc::from(hello), share_p, prover: Box::new(prover), left })
}

fn proceed(core: &Core, step: &mut Step<'_>, call: Call) -> Outcome {
    let dialling = Dialling { call, attempt: 1, retry_at: None };
    dial::send(core, step, &dialling);
    done(State::Dialling(Box::new(dialling)))
}

/// What the operator reads after a wrong code.
const fn rule(left: u32) -> &'static str {
    match left {
        0 => "must be the one on the screen; no try is left",
        1 => "must be the one on the screen; 1 try is left",
        2 => "must be the one on the screen; 2 tries are left",
        3 => "must be the one on the screen; 3 tries are left",
        _ => "must be the one on the screen; 4 tries are left",
    }
}
