//! Factory reset ([W §7.2], D21): everything of the device but its audit log, its identity and what
//! it remembers against roll-back.
//!
//! What lies in the database goes with the command's own record; what lies outside (clinical data,
//! operators, a manual configuration) is erased by `Erase` afterwards, as often as it takes, and
//! until that is done nothing else is begun. A restart takes it up again.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::time::Tick;
use zmon_wire::retire::RetireReason;

use super::input::DeviceInput;
use super::machine::Core;
use super::output::{DeviceAction, DeviceWrite};
use super::slot::Loaded;
use super::state::State;
use super::step::{Outcome, Step, done};
use super::{doubt, end, retire};

/// How far an erasure is.
#[derive(Clone, Copy)]
pub(super) enum Erasing {
    /// `Erase` runs.
    Running { tried: u32 },
    /// It failed and runs again at `at`.
    Pause { tried: u32, at: Tick },
    /// It is done, and nothing begins before the start that makes a new identity.
    Restart,
}

impl Erasing {
    /// When the erasure wants the machine's `Timeout`.
    pub(super) const fn due(self) -> Option<Tick> {
        match self {
            Self::Running { .. } | Self::Restart => None,
            Self::Pause { at, .. } => Some(at),
        }
    }
}

/// Erases the device, whatever it does. In doubt both slots go, each with its statement.
pub(super) fn factory_reset(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
    confirmation: &str,
    new_identity: bool,
) -> Outcome {
    let actor = match proof.authorise(Action::FactoryReset, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse(state, proof.actor(), Action::FactoryReset, code),
    };
    if confirmation != step.ctx.profile.device_id.as_str() {
        let code = ErrorCode::ConfirmationMismatch;
        return step.refuse(state, actor, Action::FactoryReset, code);
    }
    let slots = accepted(&state);
    if let Err(code) = retire::queue(core, step, &actor, RetireReason::FactoryReset, &slots) {
        return step.refuse(state, actor, Action::FactoryReset, code);
    }
    if state.active().is_some() {
        step.out.act(DeviceAction::StopLink);
    }
    drop(end::cancel(core, step, state, actor.clone(), EventType::PairingCancelled));
    step.note(EventType::FactoryResetStarted, actor);
    step.out.write(DeviceWrite::FactoryReset);
    if new_identity {
        step.out.write(DeviceWrite::NewIdentity);
    }
    core.new_identity = new_identity;
    core.finished = None;
    core.address = None;
    core.migration = super::migrate::Migration::None;
    run(core, step, 0);
    done(State::NotProvisioned)
}

/// The slots whose certificates a station may accept now or later.
fn accepted(state: &State) -> Vec<Arc<Loaded>> {
    let doubtful = match state {
        State::Validating(validating) if validating.progress.in_doubt() => {
            Some(Arc::clone(&validating.staged.slot))
        }
        State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Ready(_)
        | State::Pairing(_)
        | State::Configuring(_)
        | State::Validating(_) => None,
    };
    state.active().cloned().into_iter().chain(doubtful).collect()
}

/// The world outside the database is erased, or not yet.
pub(super) fn erased(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    result: Result<(), ErrorCode>,
) -> Outcome {
    let Some(Erasing::Running { tried }) = core.erasing else { return done(state) };
    match result {
        Ok(()) => {
            step.note(EventType::FactoryReset, Actor::System);
            step.out.write(DeviceWrite::EraseDone);
            core.erasing = core.new_identity.then_some(Erasing::Restart);
        }
        Err(code) => {
            if tried == 0 {
                let row = step.failure(EventType::FactoryReset, Actor::System, code);
                step.out.row(row);
            }
            let at = step.now.mono + doubt::backoff(step, tried);
            core.erasing = Some(Erasing::Pause { tried: tried.saturating_add(1), at });
        }
    }
    done(state)
}

/// Time: tries again.
pub(super) fn fire(core: &mut Core, step: &mut Step<'_>) {
    if let Some(Erasing::Pause { tried, at }) = core.erasing
        && step.now.mono >= at
    {
        run(core, step, tried);
    }
}

fn run(core: &mut Core, step: &mut Step<'_>, tried: u32) {
    core.erasing = Some(Erasing::Running { tried });
    step.out.act(DeviceAction::Erase);
}

/// While the device is erased nobody begins anything: the refusal of a command, with its row. Other
/// inputs pass; without a session they find nothing to change.
pub(super) fn refuse(step: &mut Step<'_>, input: &DeviceInput) -> Option<ErrorReport> {
    let (proof, action) = match input {
        DeviceInput::Enter { proof, .. } => (proof, Action::EnterProvisioning),
        DeviceInput::Reprovision { proof, .. } => (proof, Action::Reprovision),
        DeviceInput::Renew { proof } => (proof, Action::Renew),
        DeviceInput::Retry { proof } => (proof, Action::Retry),
        DeviceInput::Reset { proof } => (proof, Action::Reset),
        DeviceInput::Deprovision { proof } => (proof, Action::Deprovision),
        DeviceInput::FactoryReset { proof, .. } => (proof, Action::FactoryReset),
        DeviceInput::OverrideInterlock { proof, .. } => (proof, Action::OverrideInterlock),
        DeviceInput::Migrate { proof, .. } | DeviceInput::PostponeMigration { proof } => {
            (proof, Action::Migrate)
        }
        DeviceInput::ConfirmStation { proof, .. } => (proof, Action::ConfirmStation),
        DeviceInput::EnterRefused { .. }
        | DeviceInput::RefuseStation { .. }
        | DeviceInput::MigrationRefused { .. }
        | DeviceInput::ListenerOpened { .. }
        | DeviceInput::ListenerFailed
        | DeviceInput::Announce { .. }
        | DeviceInput::Regenerate { .. }
        | DeviceInput::Exit { .. }
        | DeviceInput::Pulled(_)
        | DeviceInput::Fetched(_)
        | DeviceInput::SessionOpen { .. }
        | DeviceInput::AskWindow
        | DeviceInput::PakeStart { .. }
        | DeviceInput::PakeConfirm { .. }
        | DeviceInput::Blink { .. }
        | DeviceInput::Configuration { .. }
        | DeviceInput::ConfigurationRefused { .. }
        | DeviceInput::By(..)
        | DeviceInput::Junk { .. }
        | DeviceInput::Tested(_)
        | DeviceInput::CommitAnswered(_)
        | DeviceInput::OutcomeAnswered(_)
        | DeviceInput::RetireAnswered { .. }
        | DeviceInput::Erased(_)
        | DeviceInput::LinkProven
        | DeviceInput::LinkExpired { .. }
        | DeviceInput::ManualRemoved(_)
        | DeviceInput::Timeout => return None,
    };
    let code = ErrorCode::ErasePending;
    let row = step.failure(EventType::OperationRefused, proof.actor(), code).with("action", action);
    step.out.row(row);
    Some(code.into())
}
