//! What operators ask for (D22). Every refusal has a row with its actor.

use alloc::vec::Vec;

use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OverrideReason;
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_wire::retire::RetireReason;

use super::machine::Core;
use super::output::{DeviceAction, DeviceWrite};
use super::profile::StationTrust;
use super::state::{Base, Mode, Origin, State};
use super::step::{Outcome, Step, done};
use super::window;
use super::{end, renew, retire};

/// [W §2.1] step 1, on a device without slot A.
pub(super) fn enter(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
    address: DeviceAddress,
) -> Outcome {
    let actor = match proof.authorise(Action::EnterProvisioning, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse_mode(state, proof.actor(), code),
    };
    match state {
        State::NotProvisioned | State::Deprovisioned | State::Error(_) => {
            start(core, step, state, actor, address, None)
        }
        State::Provisioned(_) => step.refuse_mode(state, actor, ErrorCode::StateConflict),
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            step.refuse_mode(state, actor, ErrorCode::AlreadyInProvisioningMode)
        }
    }
}

/// [W §8], on a device with slot A.
pub(super) fn reprovision(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
    address: DeviceAddress,
) -> Outcome {
    let actor = match proof.authorise(Action::Reprovision, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse_mode(state, proof.actor(), code),
    };
    match state {
        State::Provisioned(_) => {
            start(core, step, state, actor, address, Some(EventType::ReprovisioningStarted))
        }
        State::NotProvisioned | State::Deprovisioned | State::Error(_) => {
            step.refuse_mode(state, actor, ErrorCode::StateConflict)
        }
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            step.refuse_mode(state, actor, ErrorCode::AlreadyInProvisioningMode)
        }
    }
}

/// [W §7.2] manual retry: a new window at the address of the last one (D12).
pub(super) fn retry(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
) -> Outcome {
    let actor = match proof.authorise(Action::Retry, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse_mode(state, proof.actor(), code),
    };
    let failed = match &state {
        State::Error(_) => true,
        State::Provisioned(provisioned) => provisioned.last_error.is_some(),
        State::NotProvisioned | State::Deprovisioned => false,
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            return step.refuse_mode(state, actor, ErrorCode::AlreadyInProvisioningMode);
        }
    };
    match core.address {
        Some(address) if failed => {
            let first = match &state {
                State::Provisioned(_) => EventType::ReprovisioningStarted,
                State::NotProvisioned
                | State::Deprovisioned
                | State::Error(_)
                | State::Ready(_)
                | State::Pairing(_)
                | State::Configuring(_)
                | State::Validating(_) => EventType::ProvisioningRetried,
            };
            start(core, step, state, actor, address, Some(first))
        }
        Some(_) | None => step.refuse_mode(state, actor, ErrorCode::StateConflict),
    }
}

/// D22: the row that must be durable before the interlock is not asked any more.
pub(super) fn override_interlock(
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
    reason: &OverrideReason,
) -> Outcome {
    match proof.authorise(Action::OverrideInterlock, step.now.mono) {
        Ok(actor) => {
            let row = step.row(EventType::InterlockOverridden, actor).with("reason", reason);
            step.out.row(row);
            done(state)
        }
        Err(code) => step.refuse(state, proof.actor(), Action::OverrideInterlock, code),
    }
}

/// A new code, token, window id and kemKey, on somebody's wish (D10).
pub(super) fn regenerate(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    actor: Actor,
) -> Outcome {
    let code = match &state {
        State::Ready(_) => None,
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            Some(ErrorCode::NotInProvisioningMode)
        }
        State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            Some(ErrorCode::StateConflict)
        }
    };
    if let Some(code) = code {
        return step.refuse(state, actor, Action::Regenerate, code);
    }
    let window = match window::generate(core, step) {
        Ok(window) => window,
        Err(report) => return step.refuse(state, actor, Action::Regenerate, report.code),
    };
    let State::Ready(ready) = state else { return done(state) };
    step.note(EventType::PairingCodeRegenerated, actor.clone());
    done(window::replace(step, ready.mode, window, ready.port, actor))
}

/// Leaves provisioning mode, or dismisses an error.
pub(super) fn exit(core: &mut Core, step: &mut Step<'_>, state: State, actor: Actor) -> Outcome {
    match state {
        State::NotProvisioned | State::Deprovisioned => {
            step.refuse(state, actor, Action::Cancel, ErrorCode::NotInProvisioningMode)
        }
        State::Provisioned(mut provisioned) => {
            if provisioned.last_error.take().is_none() {
                let state = State::Provisioned(provisioned);
                return step.refuse(state, actor, Action::Cancel, ErrorCode::NotInProvisioningMode);
            }
            step.note(EventType::ProvisioningModeExited, actor);
            done(State::Provisioned(provisioned))
        }
        State::Error(failed) => {
            step.note(EventType::ProvisioningModeExited, actor);
            done(failed.base.state())
        }
        State::Validating(validating) if validating.progress.in_doubt() => {
            let state = State::Validating(validating);
            step.refuse(state, actor, Action::Cancel, ErrorCode::StateConflict)
        }
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            let event = EventType::PairingCancelled;
            let state = end::cancel(core, step, state, actor.clone(), event);
            step.note(EventType::ProvisioningModeExited, actor);
            done(state)
        }
    }
}

/// [W §7.2]: clears the provisioning state; slot A stays.
pub(super) fn reset(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
) -> Outcome {
    let actor = match proof.authorise(Action::Reset, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse(state, proof.actor(), Action::Reset, code),
    };
    let event = EventType::ProvisioningReset;
    match state {
        State::NotProvisioned | State::Deprovisioned => {
            step.note(event, actor);
            done(state)
        }
        State::Provisioned(mut provisioned) => {
            provisioned.last_error = None;
            step.note(event, actor);
            done(State::Provisioned(provisioned))
        }
        State::Error(failed) => {
            step.note(event, actor);
            done(failed.base.state())
        }
        State::Validating(validating) if validating.progress.in_doubt() => {
            let state = State::Validating(validating);
            step.refuse(state, actor, Action::Reset, ErrorCode::StateConflict)
        }
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            done(end::cancel(core, step, state, actor, event))
        }
    }
}

/// [I §2.1] `deprovisionDevice`: wipes the slots; the certificate's end is queued with it (D21). There
/// must be one, and no commit in doubt.
pub(super) fn deprovision(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
) -> Outcome {
    let actor = match proof.authorise(Action::Deprovision, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse(state, proof.actor(), Action::Deprovision, code),
    };
    let allowed = match &state {
        State::NotProvisioned | State::Deprovisioned | State::Error(_) => false,
        State::Validating(validating) if validating.progress.in_doubt() => false,
        State::Provisioned(_)
        | State::Ready(_)
        | State::Pairing(_)
        | State::Configuring(_)
        | State::Validating(_) => state.active().is_some(),
    };
    if !allowed {
        return step.refuse(state, actor, Action::Deprovision, ErrorCode::StateConflict);
    }
    let slots: Vec<_> = state.active().cloned().into_iter().collect();
    if let Err(code) = retire::queue(core, step, &actor, RetireReason::Deprovisioned, &slots) {
        return step.refuse(state, actor, Action::Deprovision, code);
    }
    let state = match state {
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            end::cancel(core, step, state, actor.clone(), EventType::PairingCancelled)
        }
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            state
        }
    };
    drop(state);
    let mut row = step.row(EventType::DeviceDeprovisioned, actor);
    for active in &slots {
        row = row.with("serial", active.slot.serial);
    }
    step.out.row(row);
    step.out.write(DeviceWrite::Deprovision);
    step.out.act(DeviceAction::StopLink);
    done(State::Deprovisioned)
}

/// Opens a window from a state without a session.
pub(super) fn start(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    actor: Actor,
    address: DeviceAddress,
    first: Option<EventType>,
) -> Outcome {
    if step.ctx.profile.trust == StationTrust::Proximity && !step.ctx.anchors.is_empty() {
        return step.refuse_mode(state, actor, ErrorCode::ProximityWithAnchor);
    }
    let window = match window::generate(core, step) {
        Ok(window) => window,
        Err(report) => return step.refuse_mode(state, actor, report.code),
    };
    let origin = match state {
        State::NotProvisioned => Origin::Unprovisioned(Base::Fresh),
        State::Deprovisioned => Origin::Unprovisioned(Base::Deprovisioned),
        State::Error(failed) => Origin::Unprovisioned(failed.base),
        State::Provisioned(provisioned) => {
            renew::give_way(core);
            Origin::Active(provisioned.active)
        }
        State::Ready(_) | State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            return step.refuse_mode(state, actor, ErrorCode::AlreadyInProvisioningMode);
        }
    };
    if let Some(event) = first {
        step.note(event, actor.clone());
    }
    let mode = Mode { origin, address, actor, releases: 0 };
    done(window::open(core, step, mode, window))
}
