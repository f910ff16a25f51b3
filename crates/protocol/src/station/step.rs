//! One step of a session in the making.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::OperatorId;
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, UnixTime};

use super::context::SessionContext;
use super::io::{
    Refusal, SessionPhase, SessionTransition, StationAction, StationEvent, StationRecord,
    StationWrite,
};
use super::machine::SessionMachine;
use super::state::{Core, State};

/// The next state and the answer.
pub(super) type Outcome = (State, Result<(), Refusal>);

/// A step in the making.
pub(super) struct Step<'a> {
    pub(super) ctx: &'a SessionContext<'a>,
    pub(super) now: &'a Now,
    pub(super) rng: &'a mut dyn CryptoRng,
    pub(super) record: StationRecord,
    pub(super) actions: Vec<StationAction>,
    pub(super) events: Vec<StationEvent>,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        ctx: &'a SessionContext<'a>,
        now: &'a Now,
        rng: &'a mut dyn CryptoRng,
    ) -> Self {
        Self {
            ctx,
            now,
            rng,
            record: StationRecord::default(),
            actions: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Writes a row about this session: it failed.
    pub(super) fn failure(&mut self, core: &Core, event: EventType, actor: Actor, code: ErrorCode) {
        self.row(core, AuditEvent::failed(event, actor, code));
    }

    /// Writes a row, completed with device and session.
    pub(super) fn row(&mut self, core: &Core, row: AuditEvent) {
        let row = row.device(&core.device_id).session(core.session_id);
        // A session that a device began by itself has one way only, and its rows name the method.
        self.record.audit.push(match core.operator {
            Some(_) => row.with("route", core.route),
            None => row,
        });
    }

    pub(super) fn write(&mut self, write: StationWrite) {
        self.record.writes.push(write);
    }

    pub(super) fn act(&mut self, action: StationAction) {
        self.actions.push(action);
    }

    /// The station's clock. A station without one issues nothing.
    pub(super) fn wall(&self) -> Result<UnixTime, ErrorCode> {
        self.now.wall.ok_or(ErrorCode::Internal)
    }

    /// Puts the transition together: phase change as row of state and as event, events last.
    pub(super) fn finish(
        mut self,
        before: Option<SessionPhase>,
        core: Core,
        state: State,
        reply: Result<(), Refusal>,
    ) -> SessionTransition {
        let phase = state.phase();
        if before != Some(phase) {
            let error = match &state {
                State::Failed(failed) => Some(failed.report.code),
                State::Dialling(_)
                | State::Identified(_)
                | State::Issuing(_)
                | State::Delivering(_)
                | State::AwaitingCommit(_)
                | State::Paired(_)
                | State::Released => None,
            };
            self.write(StationWrite::Session { session_id: core.session_id, phase, error });
            self.events.insert(0, StationEvent::Phase(phase));
        }
        self.actions.extend(self.events.into_iter().map(StationAction::Emit));
        let next = SessionMachine { core, state };
        SessionTransition { next, record: self.record, actions: self.actions, reply }
    }
}

impl Core {
    /// Who opened this session, for rows: an operator, or the device itself.
    pub(super) fn actor(&self) -> Actor {
        match &self.operator {
            Some((id, role)) => Actor::Operator { id: id.clone(), role: *role },
            None => Actor::Peer,
        }
    }

    /// Why this session is not for `operator`; nothing if it is theirs.
    pub(super) fn refuses(&self, operator: Option<&OperatorId>) -> Option<Refusal> {
        let own = self.operator.as_ref().map(|(id, _)| id);
        if own == operator {
            return None;
        }
        let report = ErrorReport::from(ErrorCode::SessionReserved);
        Some(Refusal { report, holder: own.cloned() })
    }
}

/// Done.
pub(super) const fn done(state: State) -> Outcome {
    (state, Ok(()))
}
