//! How a session ends.

use alloc::boxed::Box;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::OperatorId;
use zmon_domain::role::Actor;

use super::io::{StationAction, StationEvent, StationWrite};
use super::state::{Core, Failed, Issued, State};
use super::step::{Outcome, Step, done};

/// Ends the session with a failure; a certificate that is pending is aborted in the same transaction.
pub(super) fn fail(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    report: ErrorReport,
) -> State {
    // Who reports an aborted commit has it from the record: the certificate is revoked already.
    if report.code != ErrorCode::CommitAborted {
        drop_pending(core, step, &state, report.code);
    }
    let row = AuditEvent::failed(EventType::PairingFailed, core.actor(), report.code);
    step.row(core, row);
    release(core, step);
    step.events.push(StationEvent::Failed(report.clone()));
    State::Failed(Box::new(Failed { report }))
}

/// Ends the session without a failure: nobody paired.
pub(super) fn give_up(
    core: &mut Core,
    step: &mut Step<'_>,
    state: &State,
    actor: Actor,
    code: ErrorCode,
) -> State {
    drop_pending(core, step, state, code);
    step.failure(core, EventType::SessionReleased, actor, code);
    release(core, step);
    State::Released
}

/// The certificate is current, or the device says so: paired.
pub(super) fn complete(core: &mut Core, step: &mut Step<'_>, issued: Issued) -> State {
    // A device that renews by itself is assigned nothing: somebody may have moved it meanwhile.
    if let (Some(details), Some(_)) = (&core.details, &core.operator) {
        step.write(StationWrite::Assign {
            device_id: core.device_id.clone(),
            settings: details.settings.clone(),
        });
    }
    let row = AuditEvent::new(EventType::PairingSucceeded, core.actor())
        .configuration_hash(issued.configuration_hash)
        .with("serial", issued.serial);
    step.row(core, row);
    release(core, step);
    step.events.push(StationEvent::Paired);
    State::Paired(Box::new(issued))
}

/// Whoever opened the session gives it up.
pub(super) fn cancel(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    operator: Option<&OperatorId>,
) -> Outcome {
    if let Some(refusal) = core.refuses(operator) {
        return (state, Err(refusal));
    }
    match state {
        State::Paired(_) | State::Failed(_) | State::Released => {
            (state, Err(ErrorCode::StateConflict.into()))
        }
        State::Delivering(delivering) if delivering.committed => {
            (State::Delivering(delivering), Err(ErrorCode::StateConflict.into()))
        }
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_) => {
            let actor = core.actor();
            done(give_up(core, step, &state, actor, ErrorCode::Cancelled))
        }
    }
}

/// Somebody scanned another window of the device (D11): it waits for nothing of this session any more.
/// What was committed is complete, whoever scanned; anything else ends for its own operator only.
pub(super) fn rescanned(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    operator: &OperatorId,
) -> Outcome {
    match state {
        State::Delivering(delivering) if delivering.committed => {
            done(complete(core, step, delivering.issued))
        }
        State::Paired(_) | State::Failed(_) | State::Released => done(state),
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_) => cancel(core, step, state, Some(operator)),
    }
}

/// A device id came with a key that is not its own (D9).
pub(super) fn alarm(core: &Core, step: &mut Step<'_>) {
    let code = ErrorCode::DeviceKeyConflict;
    step.failure(core, EventType::DeviceKeyConflict, Actor::Peer, code);
    step.events.push(StationEvent::Alarm(code.into()));
}

fn release(core: &Core, step: &mut Step<'_>) {
    step.write(StationWrite::Release {
        session_id: core.session_id,
        device_id: core.device_id.clone(),
    });
    step.act(StationAction::Hangup);
}

/// Aborts the certificate of this session, unless the store has it as current.
fn drop_pending(core: &Core, step: &mut Step<'_>, state: &State, code: ErrorCode) {
    let Some(issued) = state.issued() else { return };
    let serial = issued.serial;
    let row = AuditEvent::failed(EventType::CertificateAborted, Actor::System, code)
        .with("serial", serial);
    step.row(core, row);
    step.write(StationWrite::AbortPending { serial });
}
