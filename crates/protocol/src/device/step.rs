//! One step in the making: what it may read, and what it will propose.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::{Action, Actor};
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningStatus;
use zmon_domain::time::Now;

use super::machine::{Core, DeviceMachine};
use super::output::{
    DeviceAction, DeviceEvent, DeviceRecord, DeviceReply, DeviceTransition, DeviceWrite,
};
use super::profile::DeviceContext;
use super::state::State;

/// The next state and the answer.
pub(super) type Outcome = (State, Result<DeviceReply, ErrorReport>);

/// Record, actions and signals of a step. Signals leave after the actions, the status last.
#[derive(Default)]
pub(super) struct Outbox {
    record: DeviceRecord,
    actions: Vec<DeviceAction>,
    signals: Vec<DeviceEvent>,
}

/// A step in the making.
pub(super) struct Step<'a> {
    pub(super) ctx: &'a DeviceContext<'a>,
    pub(super) now: &'a Now,
    pub(super) rng: &'a mut dyn CryptoRng,
    /// How the input came, if it is a station's message (D7).
    pub(super) route: Route,
    pub(super) out: Outbox,
}

impl Outbox {
    pub(super) fn row(&mut self, row: AuditEvent) {
        self.record.audit.push(row);
    }

    pub(super) fn write(&mut self, write: DeviceWrite) {
        self.record.writes.push(write);
    }

    pub(super) fn act(&mut self, action: DeviceAction) {
        self.actions.push(action);
    }

    pub(super) fn signal(&mut self, event: DeviceEvent) {
        self.signals.push(event);
    }

    /// Puts the transition together.
    pub(super) fn finish(
        mut self,
        before: ProvisioningStatus,
        core: Core,
        state: State,
        reply: Result<DeviceReply, ErrorReport>,
    ) -> DeviceTransition {
        let next = DeviceMachine { core, state };
        let after = next.status();
        self.actions.extend(self.signals.into_iter().map(DeviceAction::Emit));
        if after != before {
            self.actions.push(DeviceAction::Emit(DeviceEvent::StatusChanged(after)));
        }
        DeviceTransition { next, record: self.record, actions: self.actions, reply }
    }
}

impl Step<'_> {
    /// A row about this device: it succeeded.
    pub(super) fn row(&self, event: EventType, actor: Actor) -> AuditEvent {
        AuditEvent::new(event, actor).device(&self.ctx.profile.device_id)
    }

    /// A row about this device: it failed.
    pub(super) fn failure(&self, event: EventType, actor: Actor, code: ErrorCode) -> AuditEvent {
        AuditEvent::failed(event, actor, code).device(&self.ctx.profile.device_id)
    }

    /// Writes a row that it succeeded.
    pub(super) fn note(&mut self, event: EventType, actor: Actor) {
        let row = self.row(event, actor);
        self.out.row(row);
    }

    /// Refuses to open a window: a row, nothing else.
    pub(super) fn refuse_mode(&mut self, state: State, actor: Actor, code: ErrorCode) -> Outcome {
        let row = self.failure(EventType::ProvisioningModeRefused, actor, code);
        self.out.row(row);
        (state, Err(code.into()))
    }

    /// Refuses any other command: a row, nothing else.
    pub(super) fn refuse(
        &mut self,
        state: State,
        actor: Actor,
        action: Action,
        code: ErrorCode,
    ) -> Outcome {
        let row = self.failure(EventType::OperationRefused, actor, code).with("action", action);
        self.out.row(row);
        (state, Err(code.into()))
    }

    /// 16 or 32 random bytes.
    pub(super) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

/// Done, nothing to say.
pub(super) const fn done(state: State) -> Outcome {
    (state, Ok(DeviceReply::None))
}
