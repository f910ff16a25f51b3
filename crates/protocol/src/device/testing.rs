//! The connection test over slot B: 3 attempts in all at what may pass, 1 at what will not ([W §7.2]).

use alloc::boxed::Box;
use alloc::format;

use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::limits;
use zmon_domain::role::Actor;

use super::input::LinkError;
use super::machine::Core;
use super::output::{DeviceAction, DeviceWrite};
use super::state::{Progress, Staged, State, Validating};
use super::step::{Outcome, Step, done};
use super::{doubt, end};

/// First attempt.
pub(super) fn begin(step: &mut Step<'_>, staged: Staged) -> State {
    test(step, staged, 1)
}

/// Attempt number `attempt`.
pub(super) fn test(step: &mut Step<'_>, staged: Staged, attempt: u8) -> State {
    let credentials = staged.slot.credentials.clone();
    step.out.act(DeviceAction::TestConnection { attempt, credentials });
    keep(staged, Progress::Testing { attempt })
}

/// A validating state.
pub(super) fn keep(staged: Staged, progress: Progress) -> State {
    State::Validating(Box::new(Validating { staged, progress }))
}

/// The result of a test. One that nobody waits for changes nothing.
pub(super) fn tested(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    result: Result<(), LinkError>,
) -> Outcome {
    let validating = match state {
        State::Validating(validating) => validating,
        State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Ready(_)
        | State::Pairing(_)
        | State::Configuring(_) => return done(state),
    };
    let attempt = match validating.progress {
        Progress::Testing { attempt } => attempt,
        Progress::TestPause { .. }
        | Progress::Committing { .. }
        | Progress::CommitPause { .. }
        | Progress::Asking { .. }
        | Progress::AskPause { .. } => return done(State::Validating(validating)),
    };
    row(step, &validating.staged, attempt, result.err().map(LinkError::code));
    match result {
        Ok(()) => {
            let session = validating.staged.slot.slot.session_id;
            step.out.write(DeviceWrite::MarkCommitSent(session));
            let row = step
                .row(EventType::CommitSent, Actor::System)
                .session(session)
                .with("serial", validating.staged.slot.slot.serial);
            step.out.row(row);
            let nonce = step.random();
            done(doubt::send_commit(step, validating.staged, 1, nonce))
        }
        Err(LinkError::Network(_)) if attempt < limits::ATTEMPTS.default => {
            let at = step.now.mono + pause(attempt);
            done(keep(validating.staged, Progress::TestPause { next: attempt + 1, at }))
        }
        Err(error) => {
            let report = match error {
                LinkError::Network(last) => untestable(attempt, last),
                LinkError::Refused(code) | LinkError::Certificate(code) => code.into(),
            };
            done(end::fail(core, step, State::Validating(validating), report))
        }
    }
}

/// Every attempt was spent on the network ([W §7.1]); what the last one met is the detail.
fn untestable(attempts: u8, last: ErrorCode) -> ErrorReport {
    let rule = format!("failed {attempts} times, at last with {last}");
    ErrorReport::field(ErrorCode::ConnectionTestFailed, FieldError::owned("connection", rule))
}

/// The pause after attempt `attempt`; it doubles.
pub(super) fn pause(attempt: u8) -> core::time::Duration {
    limits::ATTEMPT_PAUSE.default * 2_u32.saturating_pow(u32::from(attempt.saturating_sub(1)))
}

fn row(step: &mut Step<'_>, staged: &Staged, attempt: u8, code: Option<ErrorCode>) {
    let event = EventType::ConnectionTested;
    let row = match code {
        None => step.row(event, Actor::System),
        Some(code) => step.failure(event, Actor::System, code),
    };
    let row = row
        .session(staged.slot.slot.session_id)
        .configuration_hash(staged.slot.slot.configuration_hash)
        .with("attempt", attempt);
    step.out.row(row);
}
