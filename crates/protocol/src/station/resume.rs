//! Going on after a restart, or at another station, from a snapshot (D11).
//!
//! What was under way when the snapshot was made may have happened or not. Every request to a device is
//! idempotent inside its session, and so is the order of a certificate; only a run of a typed code is not.

use zmon_domain::error::ErrorCode;

use super::state::{Call, Core, State};
use super::step::{Outcome, Step, done};
use super::{blink, deliver, dial, issue, timer};

/// Begins anew what was under way, unless its time is over.
pub(super) fn resumed(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    if timer::next(core, &state).is_some_and(|at| at <= step.now.mono) {
        return timer::fire(core, step, state);
    }
    match state {
        State::Dialling(dialling) if dialling.retry_at.is_none() => {
            if core.pushes && matches!(dialling.call, Call::Start { .. }) {
                // Its connection is gone, and another run is another session.
                let state = State::Dialling(dialling);
                return dial::failed(core, step, state, ErrorCode::DeviceUnreachable);
            }
            dial::send(core, step, &dialling);
            done(State::Dialling(dialling))
        }
        State::Issuing(device) => done(issue::ask(core, step, device)),
        State::Delivering(delivering) if delivering.retry_at.is_none() => {
            deliver::send(core, step, &delivering);
            done(State::Delivering(delivering))
        }
        State::Identified(device) => {
            blink::lost(core);
            done(State::Identified(device))
        }
        State::Dialling(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => done(state),
    }
}
