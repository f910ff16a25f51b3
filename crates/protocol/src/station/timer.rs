//! Time: attempts, the claim without `pair`, the session, the pending certificate (D11, D13).

use zmon_domain::error::ErrorCode;
use zmon_domain::role::Actor;
use zmon_domain::time::Tick;

use super::state::{Core, State};
use super::step::{Outcome, Step, done};
use super::{deliver, dial, end};

/// When this state wants its `Timeout`.
pub(super) fn next(core: &Core, state: &State) -> Option<Tick> {
    let pair_by = core.details.is_none().then_some(core.pair_by);
    match state {
        State::Dialling(dialling) => {
            dialling.retry_at.into_iter().chain(pair_by).chain([core.deadline]).min()
        }
        State::Identified(_) => pair_by.into_iter().chain([core.deadline]).min(),
        State::Issuing(_) => Some(core.deadline),
        State::Delivering(delivering) => {
            delivering.retry_at.into_iter().chain([core.deadline]).min()
        }
        State::AwaitingCommit(awaiting) => Some(awaiting.issued.pending_until),
        State::Paired(_) | State::Failed(_) | State::Released => None,
    }
}

/// Does what is due. An early or superfluous `Timeout` changes nothing.
pub(super) fn fire(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    let now = step.now.mono;
    let late = now >= core.deadline;
    let unpaired = core.details.is_none() && now >= core.pair_by;
    done(match state {
        State::Dialling(_) | State::Identified(_) if unpaired => {
            end::give_up(core, step, &state, Actor::System, ErrorCode::SessionExpired)
        }
        State::Dialling(_) | State::Identified(_) | State::Issuing(_) if late => {
            end::fail(core, step, state, ErrorCode::SessionExpired.into())
        }
        State::Dialling(dialling) if dialling.retry_at.is_some_and(|at| now >= at) => {
            dial::again(core, step, dialling)
        }
        State::Delivering(delivering) if late && delivering.committed => {
            end::complete(core, step, delivering.issued)
        }
        State::Delivering(_) if late => {
            end::fail(core, step, state, ErrorCode::SessionExpired.into())
        }
        State::Delivering(delivering) if delivering.retry_at.is_some_and(|at| now >= at) => {
            deliver::again(core, step, delivering)
        }
        State::AwaitingCommit(awaiting) if now >= awaiting.issued.pending_until => {
            let state = State::AwaitingCommit(awaiting);
            end::fail(core, step, state, ErrorCode::DeviceUnreachable.into())
        }
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => state,
    })
}
