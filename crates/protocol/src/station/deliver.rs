//! The delivery, what the device says about it, and what the station's own record says (D13).

use alloc::boxed::Box;

use zmon_crypto::jws::{Typ, Unverified};
use zmon_domain::error::{ErrorCode, ErrorReport, Side};
use zmon_domain::ids::Serial;
use zmon_domain::limits;
use zmon_wire::kind::TrustLevel;
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use super::context::SessionContext;
use super::io::{StationAction, StationEvent};
use super::state::{AwaitingCommit, Core, Delivering, Issued, State};
use super::step::{Outcome, Step, done};
use super::{carry, dial, end};

/// Sends the envelope: the same bytes at every attempt.
pub(super) fn send(core: &Core, step: &mut Step<'_>, delivering: &Delivering) {
    let Some(target) = core.target.clone().filter(|_| core.pushes) else { return };
    let Some(claim) = delivering.issued.device.claim.clone() else { return };
    step.act(StationAction::Deliver {
        attempt: delivering.attempt,
        target,
        claim,
        envelope: delivering.issued.envelope.to_vec(),
    });
}

/// The next attempt is due.
pub(super) fn again(core: &Core, step: &mut Step<'_>, mut delivering: Box<Delivering>) -> State {
    delivering.retry_at = None;
    send(core, step, &delivering);
    State::Delivering(delivering)
}

/// The device is asked with the same bytes until the session is over; that is no further attempt.
fn ask_again(step: &Step<'_>, mut delivering: Box<Delivering>) -> State {
    delivering.retry_at = Some(step.now.mono + dial::pause(delivering.attempt));
    State::Delivering(delivering)
}

/// The device's signed status.
pub(super) fn delivered(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    status: &[u8],
) -> Outcome {
    let delivering = match state {
        State::Delivering(delivering) => delivering,
        State::AwaitingCommit(awaiting) if !core.pushes && core.operator.is_some() => {
            return carried(core, step, *awaiting, status);
        }
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => return done(state),
    };
    match verify_status(step.ctx, core, &delivering.issued, status) {
        // The station's record outranks what the device says.
        Ok(_) | Err(_) if delivering.committed => {
            done(end::complete(core, step, delivering.issued))
        }
        Ok(status) if status.success => done(end::complete(core, step, delivering.issued)),
        Ok(status) => match status.code {
            // Whoever has to confirm this station has not yet. The record would tell of their yes only.
            None if delivering.issued.device.trust == TrustLevel::Proximity => {
                done(ask_again(step, delivering))
            }
            // Still at work: the record will tell.
            None => done(wait(delivering.issued)),
            Some(code) => {
                let report = code.of_peer(Side::Device).into();
                done(end::fail(core, step, State::Delivering(delivering), report))
            }
        },
        // Somebody who does not hold the identity key answered. The device itself may still commit.
        Err(_) => done(wait(delivering.issued)),
    }
}

/// The device's signed status, brought by the device itself or a courier.
fn carried(
    core: &mut Core,
    step: &mut Step<'_>,
    awaiting: AwaitingCommit,
    status: &[u8],
) -> Outcome {
    match verify_status(step.ctx, core, &awaiting.issued, status) {
        Ok(status) if status.success => done(end::complete(core, step, awaiting.issued)),
        Ok(StatusDocument { code: Some(code), .. }) => {
            let state = State::AwaitingCommit(Box::new(awaiting));
            done(end::fail(core, step, state, code.into()))
        }
        // Still at work: the record will tell.
        Ok(_) => done(State::AwaitingCommit(Box::new(awaiting))),
        Err(code) => carry::refused(core, step, State::AwaitingCommit(Box::new(awaiting)), code),
    }
}

/// No signed status came.
pub(super) fn failed(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    code: ErrorCode,
) -> Outcome {
    match state {
        State::Delivering(delivering) if delivering.committed => {
            done(end::complete(core, step, delivering.issued))
        }
        State::Delivering(mut delivering) if delivering.retry_at.is_none() => {
            if !dial::may_pass(code) {
                let report = ErrorReport::from(code);
                return done(end::fail(core, step, State::Delivering(delivering), report));
            }
            if delivering.attempt < limits::ATTEMPTS.default && !step.ctx.polls {
                delivering.retry_at = Some(step.now.mono + dial::pause(delivering.attempt));
                delivering.attempt += 1;
                return done(State::Delivering(delivering));
            }
            carry::offer(core, step, code);
            done(wait(delivering.issued))
        }
        // Brought back by somebody else: the device refused the configuration for good.
        State::AwaitingCommit(awaiting) if !core.pushes && core.operator.is_some() => {
            let state = State::AwaitingCommit(awaiting);
            done(end::fail(core, step, state, code.into()))
        }
        State::Delivering(_)
        | State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => done(state),
    }
}

/// The device tested its connection: news for whoever watches.
pub(super) fn tested(step: &mut Step<'_>, state: State, serial: &Serial) -> Outcome {
    let issued = match &state {
        State::Delivering(delivering) => Some(&delivering.issued),
        State::AwaitingCommit(awaiting) => Some(&awaiting.issued),
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => None,
    };
    if issued.is_some_and(|issued| issued.serial == *serial) {
        step.events.push(StationEvent::Tested);
    }
    done(state)
}

/// The store made this session's certificate current.
pub(super) fn committed(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    serial: &Serial,
) -> Outcome {
    match state {
        State::Delivering(mut delivering) if delivering.issued.serial == *serial => {
            // Nothing is on its way: the device has got the envelope, whatever became of its answer.
            if delivering.retry_at.is_some() {
                return done(end::complete(core, step, delivering.issued));
            }
            // The device installs it now and answers the delivery; that answer is worth waiting for.
            delivering.committed = true;
            done(State::Delivering(delivering))
        }
        State::AwaitingCommit(awaiting) if awaiting.issued.serial == *serial => {
            done(end::complete(core, step, awaiting.issued))
        }
        State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => done(state),
    }
}

/// The store aborted this session's certificate, because the device asked or its time was over.
pub(super) fn aborted(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    serial: &Serial,
) -> Outcome {
    let concerned = match &state {
        State::Delivering(delivering) => {
            !delivering.committed && delivering.issued.serial == *serial
        }
        State::AwaitingCommit(awaiting) => awaiting.issued.serial == *serial,
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => false,
    };
    if concerned {
        return done(end::fail(core, step, state, ErrorCode::CommitAborted.into()));
    }
    done(state)
}

/// What has left is decided by the record (D13).
pub(super) fn wait(issued: Issued) -> State {
    State::AwaitingCommit(Box::new(AwaitingCommit { issued }))
}

fn verify_status(
    ctx: &SessionContext<'_>,
    core: &Core,
    issued: &Issued,
    bytes: &[u8],
) -> Result<StatusDocument, ErrorCode> {
    let verified = Unverified::parse(bytes)
        .and_then(|jws| jws.verify_with(Typ::Status, &issued.device.public, ctx.algorithms))
        .map_err(|error| error.code())?;
    let status: StatusDocument = strict::parse(verified.payload(), limits::BODY_MAX.default)
        .map_err(|_| ErrorCode::JwsMalformed)?;
    let other = status.configuration_hash.is_some_and(|hash| hash != issued.configuration_hash);
    if status.session_id != core.session_id || other {
        return Err(ErrorCode::SessionMismatch);
    }
    Ok(status)
}
