//! Commit, and the question that follows when its answer does not come (D13).
//!
//! From the first line here to the last, nothing drops a slot but a signed answer of the station.

use core::time::Duration;

use zmon_crypto::jws::{self, Typ};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_wire::kind::V1;
use zmon_wire::outcome::{CommitRequest, OutcomeAsk, OutcomeResult};
use zmon_wire::strict;

use super::input::LinkError;
use super::machine::Core;
use super::output::DeviceAction;
use super::state::{Progress, Staged, State};
use super::step::{Outcome, Step, done};
use super::{end, outcome, testing};

/// Sends the commit. Every attempt carries the same nonce, so that the station sees one request.
pub(super) fn send_commit(
    step: &mut Step<'_>,
    staged: Staged,
    attempt: u8,
    nonce: [u8; 32],
) -> State {
    let request = CommitRequest {
        v: V1::default(),
        session_id: staged.slot.slot.session_id,
        serial: staged.slot.slot.serial,
        nonce,
    };
    let credentials = staged.slot.credentials.clone();
    step.out.act(DeviceAction::SendCommit { credentials, request });
    let guard = step.now.mono + limits::DELIVERY_TIMEOUT.default;
    testing::keep(staged, Progress::Committing { attempt, nonce, guard })
}

/// No usable answer: once more, or over to asking.
pub(super) fn commit_failed(
    step: &mut Step<'_>,
    staged: Staged,
    attempt: u8,
    nonce: [u8; 32],
) -> State {
    if attempt < limits::ATTEMPTS.default {
        let at = step.now.mono + testing::pause(attempt);
        return testing::keep(staged, Progress::CommitPause { next: attempt + 1, nonce, at });
    }
    pause(step, staged, 0)
}

/// Waits before the next ask: doubling, with jitter, for ever.
pub(super) fn pause(step: &mut Step<'_>, staged: Staged, asked: u32) -> State {
    let at = step.now.mono + backoff(step, asked);
    testing::keep(staged, Progress::AskPause { asked, at })
}

/// The pause after `tried` attempts at what is tried for ever: doubling, with jitter.
pub(super) fn backoff(step: &mut Step<'_>, tried: u32) -> Duration {
    let first = limits::OUTCOME_PAUSE.default;
    let longest = limits::LINK_BACKOFF_MAX.default;
    let pause = first.saturating_mul(2_u32.saturating_pow(tried.min(16))).min(longest);
    // Up to a quarter more, so that a ward does not ask in step.
    let [byte] = step.random::<1>();
    pause + pause / 4 * u32::from(byte) / 255
}

/// Asks, over a nonce of its own.
pub(super) fn ask(step: &mut Step<'_>, staged: Staged, asked: u32) -> State {
    let asked = asked.saturating_add(1);
    let nonce = step.random();
    let document = OutcomeAsk {
        v: V1::default(),
        session_id: staged.slot.slot.session_id,
        device_id: step.ctx.profile.device_id.clone(),
        nonce,
        serial: staged.slot.slot.serial,
    };
    let signed = strict::to_vec(&document)
        .ok()
        .and_then(|payload| jws::sign(Typ::Ask, None, &payload, step.ctx.identity, step.rng).ok());
    let Some(ask) = signed else { return pause(step, staged, asked) };
    if asked == 1 {
        let row = step
            .row(EventType::OutcomeAsked, Actor::System)
            .session(staged.slot.slot.session_id)
            .with("serial", staged.slot.slot.serial);
        step.out.row(row);
    }
    let credentials = staged.slot.credentials.clone();
    step.out.act(DeviceAction::AskOutcome { credentials, ask });
    let guard = step.now.mono + limits::DELIVERY_TIMEOUT.default;
    testing::keep(staged, Progress::Asking { asked, nonce, guard })
}

/// The answer to a commit. Only a signed one over its nonce decides.
pub(super) fn commit_answered(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    result: Result<alloc::vec::Vec<u8>, LinkError>,
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
    let (attempt, nonce) = match validating.progress {
        Progress::Committing { attempt, nonce, .. }
        | Progress::CommitPause { next: attempt, nonce, .. } => (attempt, nonce),
        Progress::Testing { .. }
        | Progress::TestPause { .. }
        | Progress::Asking { .. }
        | Progress::AskPause { .. } => return done(State::Validating(validating)),
    };
    let staged = validating.staged;
    match verdict(core, step, &staged, &nonce, result) {
        Some(result) => done(decide(core, step, staged, result)),
        None => done(commit_failed(step, staged, attempt, nonce)),
    }
}

/// The answer to an ask.
pub(super) fn outcome_answered(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    result: Result<alloc::vec::Vec<u8>, LinkError>,
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
    let (asked, nonce) = match validating.progress {
        Progress::Asking { asked, nonce, .. } => (asked, nonce),
        Progress::Testing { .. }
        | Progress::TestPause { .. }
        | Progress::Committing { .. }
        | Progress::CommitPause { .. }
        | Progress::AskPause { .. } => return done(State::Validating(validating)),
    };
    let staged = validating.staged;
    match verdict(core, step, &staged, &nonce, result) {
        Some(result) => done(decide(core, step, staged, result)),
        None => done(pause(step, staged, asked)),
    }
}

/// What the station's record says, if this answer proves it. A row for an answer that does not.
fn verdict(
    core: &Core,
    step: &mut Step<'_>,
    staged: &Staged,
    nonce: &[u8; 32],
    result: Result<alloc::vec::Vec<u8>, LinkError>,
) -> Option<OutcomeResult> {
    let answer = result.ok()?;
    match outcome::verify(core, step, staged, nonce, &answer) {
        Ok(result) => Some(result),
        Err(code) => {
            let row = step
                .failure(EventType::OutcomeAsked, Actor::Peer, code)
                .session(staged.slot.slot.session_id);
            step.out.row(row);
            None
        }
    }
}

fn decide(core: &mut Core, step: &mut Step<'_>, staged: Staged, result: OutcomeResult) -> State {
    let session = staged.slot.slot.session_id;
    match result {
        OutcomeResult::Committed => {
            let row = step.row(EventType::CommitConfirmed, Actor::Peer).session(session);
            step.out.row(row);
            end::complete(core, step, staged)
        }
        OutcomeResult::Aborted => {
            let code = ErrorCode::CommitAborted;
            let row = step.failure(EventType::CommitAborted, Actor::Peer, code).session(session);
            step.out.row(row);
            let progress = Progress::AskPause { asked: 0, at: step.now.mono };
            end::fail(core, step, testing::keep(staged, progress), code.into())
        }
    }
}
