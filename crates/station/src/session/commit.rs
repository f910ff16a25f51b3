//! One step of a session: proposed, committed, installed, in this order and no other.

use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::time::Now;
use zmon_protocol::station::{
    SessionContext, SessionMachine, SessionPhase, SessionTransition, StationAction,
    StationEvent as MachineEvent, StationRecord as Proposed, TypedTries,
};
use zmon_wire::strict;

use super::driver::SessionDriver;
use super::kept::{self, Order};
use super::step::{Halt, Known, Step};
use super::{OpenFacts, translate};
use crate::ca::random_serial;
use crate::error::StationError;
use crate::ports::{ImportConflict, ImportConflictKind, Refusal, StationRecord, StationWrite};
use crate::station::{Checkpoints, Station};

impl SessionDriver {
    /// Proposes the step, commits it, installs it, and starts its actions.
    pub(super) async fn take(&mut self, step: &Step) -> Result<Result<(), StationError>, Halt> {
        let (own, peer) = self.checkpoints(step).await.map_err(Halt::Store)?;
        let now = self.station.now();
        let known = Known {
            issued: self.certificate.as_ref().map(|row| row.serial),
            tries: self.tries(step, &now).await?,
        };
        let transition = {
            let checkpoints = Checkpoints { own: own.as_deref(), peer: peer.as_deref() };
            let polls = self.station.polls_lately(self.machine.device_id(), &now);
            let ctx = SessionContext { polls, ..self.station.context(checkpoints) };
            let mut rng = self.station.parts.entropy.generator();
            self.machine.clone().handle(&ctx, &now, rng.as_mut(), step.input(&known))
        };
        let SessionTransition { next, record, actions, reply } = transition;
        self.check_registry(&actions).await?;
        if next.phase() == SessionPhase::Paired && !self.is_committed(&next).await? {
            return Err(Halt::NotCommitted);
        }
        let order = self.ordered(&actions, &now).map_err(Halt::Store)?;
        let record = self.complete(step, &next, record, order, &now).map_err(Halt::Store)?;
        if !record.is_empty() {
            let committed = self.station.commit_record(&now, &record).await;
            committed.map_err(|error| Halt::Store(error.into()))?.map_err(Halt::Refused)?;
        }
        self.order = order;
        self.install(next, &record);
        let cause = step.why(&actions);
        self.start(actions);
        self.publish(cause);
        Ok(reply.map_err(StationError::from))
    }

    /// The station's latest checkpoint, for the configuration that is about to be sealed, and the
    /// device's that is kept, for the identity document that is about to be checked (D16).
    async fn checkpoints(
        &self,
        step: &Step,
    ) -> Result<(Option<String>, Option<String>), StationError> {
        let store = &self.station.parts.store;
        Ok(if matches!(step, Step::Issued(_)) {
            (store.checkpoint().await?, None)
        } else if matches!(step, Step::Identity(_)) {
            (None, store.peer_checkpoint(self.machine.device_id()).await?)
        } else {
            (None, None)
        })
    }

    /// How often the operator of a typed code has tried before (D2).
    async fn tries(&self, step: &Step, now: &Now) -> Result<TypedTries, Halt> {
        let (Step::Window(window), Some(operator)) = (step, self.machine.operator()) else {
            return Ok(TypedTries::default());
        };
        let at = Station::wall(now).map_err(Halt::Store)?;
        let store = &self.station.parts.store;
        let tries = store.typed_tries(operator, window, at).await;
        tries.map_err(|error| Halt::Store(error.into()))
    }

    /// The station's record alone decides whether a device is paired (D13), not what it says.
    async fn is_committed(&self, next: &SessionMachine) -> Result<bool, Halt> {
        let Some(serial) = next.serial() else { return Ok(false) };
        let row = self.station.parts.store.certificate(serial).await;
        let row = row.map_err(|error| Halt::Store(error.into()))?;
        Ok(row.is_some_and(|row| row.committed_at.is_some()))
    }

    /// A newcomer is registered with its certificate; that its serial number or key is another
    /// device's is told, and alarmed, as soon as it has shown them (D9).
    async fn check_registry(&self, actions: &[StationAction]) -> Result<(), Halt> {
        let shown = actions.iter().find_map(|action| {
            let StationAction::Emit(MachineEvent::Identified {
                identity_key, device_serial, ..
            }) = action
            else {
                return None;
            };
            Some((identity_key, device_serial))
        });
        let Some((key, serial)) = shown.filter(|_| self.machine.is_about_a_newcomer()) else {
            return Ok(());
        };
        let store = &self.station.parts.store;
        for (kind, row) in [
            (ImportConflictKind::SerialUnderOtherKey, store.device_by_serial(serial).await),
            (ImportConflictKind::KeyOfOtherDevice, store.device_by_identity(key).await),
        ] {
            let row = row.map_err(|error| Halt::Store(error.into()))?;
            if let Some(other) = row.filter(|row| row.id != *self.machine.device_id()) {
                let conflict = ImportConflict { index: 0, kind, existing: other.id };
                return Err(Halt::Refused(Refusal::DeviceConflicts(vec![conflict])));
            }
        }
        Ok(())
    }

    /// The order of the certificate that this step asks for: the first one, if it was ordered before.
    fn ordered(&self, actions: &[StationAction], now: &Now) -> Result<Option<Order>, StationError> {
        let asks = |action: &StationAction| matches!(action, StationAction::Issue { .. });
        if self.order.is_some() || !actions.iter().any(asks) {
            return Ok(self.order);
        }
        let serial = random_serial(self.station.parts.entropy.generator().as_mut());
        Ok(Some(Order { serial, at: Station::wall(now)? }))
    }

    /// Adds to the machine's record what only the driver knows: above all what a restart needs to go on
    /// from here, and that nobody has gone on meanwhile.
    fn complete(
        &self,
        step: &Step,
        next: &SessionMachine,
        proposed: Proposed,
        order: Option<Order>,
        now: &Now,
    ) -> Result<StationRecord, StationError> {
        if proposed.is_empty() {
            return Ok(StationRecord::default());
        }
        let at = Station::wall(now)?;
        let parts = &self.station.parts;
        let facts = OpenFacts::at(at, &parts.policy.session, &parts.instance);
        let mut record = translate(proposed, &facts, self.certificate.as_deref())?;
        let session_id = next.session_id();
        record.writes.insert(0, StationWrite::Hold { session_id, epoch: self.epoch });
        if let Some(state) = kept::keep(next, order.as_ref(), now)? {
            record.writes.push(StationWrite::SessionState { session_id, state });
        }
        if let Some(cause) = step.cause() {
            record.audit.iter_mut().for_each(|row| explain(row, cause));
        }
        if let Some(answer) = next.answer().filter(|_| !self.answer_kept) {
            let answer = strict::to_vec(&answer).map_err(|_| ErrorCode::Internal)?;
            record.writes.push(StationWrite::SessionAnswer { session_id, answer });
        }
        Ok(record)
    }

    fn install(&mut self, next: SessionMachine, record: &StationRecord) {
        self.answer_kept |=
            record.writes.iter().any(|w| matches!(w, StationWrite::SessionAnswer { .. }));
        if record.writes.iter().any(|w| matches!(w, StationWrite::AbortPending { .. })) {
            self.station.revocations_due();
        }
        self.machine = next;
    }
}

fn explain(row: &mut AuditEvent, cause: &str) {
    if !row.success {
        row.detail.push(("cause", cause.to_owned()));
    }
}
