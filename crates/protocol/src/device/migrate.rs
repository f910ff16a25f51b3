//! From a manual configuration to provisioning ([W §14]).
//!
//! The machine never touches the manual configuration before it holds a slot A whose connection has
//! carried a heartbeat; from the command on it only remembers, durably, that an operator wants it gone.

use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::{Action, Actor, OperatorProof};

use super::command;
use super::machine::Core;
use super::output::{DeviceAction, DeviceWrite};
use super::state::State;
use super::step::{Outcome, Step, done};

/// How far a migration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Migration {
    /// Nobody has asked for one.
    #[default]
    None,
    /// An operator has; the manual configuration is whole.
    Begun,
    /// `RemoveManual` runs.
    Removing,
    /// Removing failed; the next start or command tries again.
    Stuck,
}

impl Migration {
    /// Whether an operator has begun one that has not ended.
    pub(super) const fn is_begun(self) -> bool {
        match self {
            Self::None => false,
            Self::Begun | Self::Removing | Self::Stuck => true,
        }
    }
}

/// Steps 2 and 4: opens a window with that in mind; a provisioned device has only step 5 left.
pub(super) fn begin(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
    address: DeviceAddress,
) -> Outcome {
    let actor = match proof.authorise(Action::Migrate, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse(state, proof.actor(), Action::Migrate, code),
    };
    match state {
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            let code = ErrorCode::AlreadyInProvisioningMode;
            return step.refuse(state, actor, Action::Migrate, code);
        }
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {}
    }
    let state = match state {
        State::Provisioned(_) => {
            step.note(EventType::MigrationStarted, actor);
            state
        }
        State::NotProvisioned
        | State::Deprovisioned
        | State::Error(_)
        | State::Ready(_)
        | State::Pairing(_)
        | State::Configuring(_)
        | State::Validating(_) => {
            let first = Some(EventType::MigrationStarted);
            match command::start(core, step, state, actor, address, first) {
                (state, Ok(_)) => state,
                // Without its window nothing has begun.
                refused => return refused,
            }
        }
    };
    if core.migration != Migration::Removing {
        core.migration = Migration::Begun;
    }
    step.out.write(DeviceWrite::Migrating(true));
    done(state)
}

/// "Not now" is an answer: the manual configuration stays, whatever is provisioned meanwhile.
pub(super) fn postpone(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
) -> Outcome {
    let actor = match proof.authorise(Action::Migrate, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse(state, proof.actor(), Action::Migrate, code),
    };
    if core.migration == Migration::Removing {
        return step.refuse(state, actor, Action::Migrate, ErrorCode::StateConflict);
    }
    step.note(EventType::MigrationPostponed, actor);
    if core.migration.is_begun() {
        core.migration = Migration::None;
        step.out.write(DeviceWrite::Migrating(false));
    }
    done(state)
}

/// The manual configuration cannot be used; only a row.
pub(super) fn refused(step: &mut Step<'_>, state: State, actor: Actor, code: ErrorCode) -> Outcome {
    let row = step.failure(EventType::ManualConfigurationRefused, actor, code);
    step.out.row(row);
    (state, Err(code.into()))
}

/// Step 5: a heartbeat over slot A was answered, so the manual configuration is needed no more.
pub(super) fn proven(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    if core.migration == Migration::Begun && matches!(state, State::Provisioned(_)) {
        core.migration = Migration::Removing;
        step.note(EventType::ManualRemovalStarted, Actor::System);
        step.out.act(DeviceAction::RemoveManual);
    }
    done(state)
}

/// The manual configuration is gone, or not yet.
pub(super) fn removed(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    result: Result<(), ErrorCode>,
) -> Outcome {
    if core.migration != Migration::Removing {
        return done(state);
    }
    match result {
        Ok(()) => {
            core.migration = Migration::None;
            step.note(EventType::ManualConfigurationRemoved, Actor::System);
            step.out.write(DeviceWrite::Migrating(false));
        }
        Err(code) => {
            core.migration = Migration::Stuck;
            let event = EventType::ManualConfigurationRemoved;
            let row = step.failure(event, Actor::System, code);
            step.out.row(row);
        }
    }
    done(state)
}
