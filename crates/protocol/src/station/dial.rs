//! Reaching the device: 3 attempts in all at what may pass; the same request every time (D11, D18).

use alloc::boxed::Box;
use alloc::string::String;

use zmon_domain::error::{ErrorCode, ErrorName};
use zmon_domain::limits;

use super::io::StationAction;
use super::state::{Call, Core, Dialling, State};
use super::step::{Outcome, Step, done};
use super::{carry, end};

/// Sends what is on its way.
pub(super) fn send(core: &Core, step: &mut Step<'_>, dialling: &Dialling) {
    // Otherwise the message waits for whoever carries it.
    let Some(target) = core.target.clone().filter(|_| core.pushes) else { return };
    let attempt = dialling.attempt;
    step.act(match &dialling.call {
        Call::Claim { hello, claim_mac, .. } => StationAction::SendSession {
            attempt,
            target,
            hello: String::from(&**hello),
            claim_mac: *claim_mac,
        },
        // The device has it already, and comes for the rest by itself.
        Call::Offered { .. } => return,
        Call::Window => StationAction::AskWindow { attempt, target },
        Call::Start { hello, share_p, .. } => {
            StationAction::StartPake { hello: String::from(&**hello), share_p: *share_p.as_bytes() }
        }
        Call::Confirm { confirm_p, .. } => {
            StationAction::ConfirmPake { session_id: core.session_id, confirm_p: *confirm_p }
        }
    });
}

/// Whether trying again may help: the network, and nothing the device or the policy decided.
pub(super) fn may_pass(code: ErrorCode) -> bool {
    code.name() == Some(ErrorName::NetworkError) && code != ErrorCode::AddressNotPermitted
}

/// The pause after attempt `attempt`; it doubles.
pub(super) fn pause(attempt: u8) -> core::time::Duration {
    limits::ATTEMPT_PAUSE.default * 2_u32.saturating_pow(u32::from(attempt.saturating_sub(1)))
}

/// The device was not reached, or refused the claim.
pub(super) fn failed(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    code: ErrorCode,
) -> Outcome {
    match state {
        State::Dialling(mut dialling) if dialling.retry_at.is_none() => {
            if core.pushes && core.operator.is_some() && may_pass(code) {
                // A device that comes by itself is not waited for.
                let again = dialling.call.may_repeat() && !step.ctx.polls;
                if again && dialling.attempt < limits::ATTEMPTS.default {
                    dialling.retry_at = Some(step.now.mono + pause(dialling.attempt));
                    dialling.attempt += 1;
                } else {
                    carry::offer(core, step, code);
                }
                return done(State::Dialling(dialling));
            }
            done(end::fail(core, step, State::Dialling(dialling), code.into()))
        }
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => done(state),
    }
}

/// The next attempt is due.
pub(super) fn again(core: &Core, step: &mut Step<'_>, mut dialling: Box<Dialling>) -> State {
    dialling.retry_at = None;
    send(core, step, &dialling);
    State::Dialling(dialling)
}
