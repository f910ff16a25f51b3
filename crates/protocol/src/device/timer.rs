//! Time: rotation, window, session, retries, renewal (D10, D11, D13, D23).

use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::Tick;

use super::machine::Core;
use super::output::DeviceEvent;
use super::state::{Begun, Pairing, Progress, Ready, State, Tokens, Validating};
use super::step::{Outcome, Step, done};
use super::{confirm, doubt, end, pake, renew, testing, window};

/// When this state wants its `Timeout`.
pub(super) fn next(core: &Core, state: &State) -> Option<Tick> {
    match state {
        State::NotProvisioned | State::Deprovisioned | State::Error(_) => None,
        State::Provisioned(provisioned) => Some(renew::next(core, provisioned)),
        State::Ready(ready) => {
            let rotation = ready.tokens.as_ref().map(|tokens| tokens.rotate_at);
            let rotation = rotation.filter(|at| *at < ready.window.deadline);
            let run = ready.typed.run.as_ref().map(|run| run.deadline);
            rotation.into_iter().chain(run).chain([ready.window.deadline.after()]).min()
        }
        State::Pairing(pairing) => {
            let confirmed = pairing.offer.as_ref().map(|offer| offer.until);
            let others = pairing.release_at.into_iter().chain(confirmed);
            others.chain(pairing.blinks.due()).chain([pairing.claim.deadline]).min()
        }
        // The test begins at once.
        State::Configuring(_) => Some(Tick::ZERO),
        State::Validating(validating) => match &validating.progress {
            Progress::Testing { .. } => validating.staged.deadline,
            Progress::TestPause { at, .. } => {
                validating.staged.deadline.into_iter().chain([*at]).min()
            }
            Progress::Committing { guard: at, .. }
            | Progress::CommitPause { at, .. }
            | Progress::Asking { guard: at, .. }
            | Progress::AskPause { at, .. } => Some(*at),
        },
    }
}

/// Does what is due. An early or superfluous `Timeout` changes nothing.
pub(super) fn fire(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    let now = step.now.mono;
    match state {
        State::NotProvisioned | State::Deprovisioned | State::Error(_) => done(state),
        State::Provisioned(provisioned) => done(renew::due(core, step, provisioned)),
        State::Ready(ready) => done(ready_due(core, step, *ready)),
        State::Pairing(pairing) => done(pairing_due(core, step, *pairing)),
        State::Configuring(configuring) => done(testing::begin(step, configuring.staged)),
        State::Validating(validating) => {
            let late = validating.staged.deadline.is_some_and(|deadline| now >= deadline);
            if late && !validating.progress.in_doubt() {
                let state = State::Validating(validating);
                return done(end::fail(core, step, state, ErrorCode::SessionExpired.into()));
            }
            let Validating { staged, progress } = *validating;
            done(match progress {
                Progress::TestPause { next, at } if now >= at => testing::test(step, staged, next),
                Progress::CommitPause { next, nonce, at } if now >= at => {
                    doubt::send_commit(step, staged, next, nonce)
                }
                // The driver owes an answer; without one the attempt counts as a time-out.
                Progress::Committing { attempt, nonce, guard } if now >= guard => {
                    doubt::commit_failed(step, staged, attempt, nonce)
                }
                Progress::Asking { asked, guard, .. } if now >= guard => {
                    doubt::pause(step, staged, asked)
                }
                Progress::AskPause { asked, at } if now >= at => doubt::ask(step, staged, asked),
                progress @ (Progress::Testing { .. }
                | Progress::TestPause { .. }
                | Progress::Committing { .. }
                | Progress::CommitPause { .. }
                | Progress::Asking { .. }
                | Progress::AskPause { .. }) => testing::keep(staged, progress),
            })
        }
    }
}

fn ready_due(core: &mut Core, step: &mut Step<'_>, mut ready: Ready) -> State {
    let now = step.now.mono;
    if window::expired(now, &ready.window) {
        let code = ErrorCode::PairingCodeExpired;
        let row = step
            .failure(EventType::PairingCodeExpired, Actor::System, code)
            .with("enteredBy", &ready.mode.actor);
        step.out.row(row);
        step.out.signal(DeviceEvent::QrCodeExpired);
        return end::fail(core, step, State::Ready(alloc::boxed::Box::new(ready)), code.into());
    }
    pake::expire(step, &mut ready);
    // In its last instant a code is not drawn anew.
    let last = ready.window.deadline;
    let rotates = |tokens: &Tokens| now >= tokens.rotate_at && now < last;
    if let Some(port) =
        ready.tokens.as_ref().filter(|tokens| rotates(tokens)).map(|tokens| tokens.port)
    {
        window::show(step, &mut ready, port);
    }
    State::Ready(alloc::boxed::Box::new(ready))
}

fn pairing_due(core: &mut Core, step: &mut Step<'_>, mut pairing: Pairing) -> State {
    let now = step.now.mono;
    pairing.blinks.expire(step.now);
    let over = |at: Option<Tick>| at.is_some_and(|at| now >= at);
    if over(pairing.offer.as_ref().map(|offer| offer.until)) {
        return confirm::expire(core, step, alloc::boxed::Box::new(pairing));
    }
    if over(Some(pairing.claim.deadline)) {
        let state = State::Pairing(alloc::boxed::Box::new(pairing));
        return end::fail(core, step, state, ErrorCode::SessionExpired.into());
    }
    let Begun::Window(claimed) = &pairing.claim.begun else {
        return State::Pairing(alloc::boxed::Box::new(pairing));
    };
    if !over(pairing.release_at) {
        return State::Pairing(alloc::boxed::Box::new(pairing));
    }
    let (mut mode, port) = (claimed.mode.clone(), claimed.port);
    // Nothing followed the claim: the device shows a new code (D11), but not for ever.
    let window = match window::generate(core, step) {
        Ok(window) if mode.releases < limits::ATTEMPTS.default => window,
        Ok(_) | Err(_) => {
            let state = State::Pairing(alloc::boxed::Box::new(pairing));
            return end::fail(core, step, state, ErrorCode::SessionExpired.into());
        }
    };
    let row = step
        .failure(EventType::SessionReleased, Actor::System, ErrorCode::SessionExpired)
        .session(pairing.claim.session_id);
    step.out.row(row);
    mode.releases += 1;
    window::replace(step, mode, window, Some(port), Actor::System)
}
