//! Going on with sessions that an earlier run of this station, or another process of it, had.
//!
//! A session's row says who runs it (owner), as which of its owners (epoch) and until when others leave it
//! alone (lease). Whoever takes it over raises the epoch by one conditional write; every write of an owner
//! is conditional on its epoch, so that one that was only slow changes nothing any more. Leases are compared
//! by the stations' wall clocks: a clock that is wrong costs a needless takeover, never a session.

use std::sync::Arc;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{InstanceName, SessionId};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, UnixTime, is_expired};
use zmon_protocol::station::{SessionMachine, SessionPhase};

use super::housekeeping::ended;
use super::{Checkpoints, Station};
use crate::error::StationError;
use crate::ports::{CertificateState, Refusal, SessionRow, SessionState, StationWrite, StoreError};
use crate::session::{Order, Resumed, SessionDriver, SessionHandle, read};

impl Station {
    /// Whether another process runs a session of the store.
    pub(super) fn is_run_elsewhere(
        &self,
        row: &SessionRow,
        now: &Now,
    ) -> Result<bool, StationError> {
        let up = row.is_up_for(&self.parts.instance, Self::wall(now)?);
        Ok(row.owner.is_some() && !row.phase.is_final() && !up)
    }

    /// Whether this process has to go on with a session of the store.
    pub(super) fn is_to_be_adopted(
        &self,
        row: &SessionRow,
        now: &Now,
    ) -> Result<bool, StationError> {
        let running = row.owner.is_some() && !row.phase.is_final();
        let here = self.sessions.of_epoch(&row.id, row.epoch).is_some();
        Ok(running && !here && !self.is_run_elsewhere(row, now)?)
    }

    /// Takes a session over and goes on with it; `None` when somebody was faster, or nobody can. The caller
    /// holds `opening`, so that nobody else does so here.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        row: &SessionRow,
        now: &Now,
    ) -> Result<Option<SessionHandle>, StationError> {
        if let Some(live) = self.sessions.of_epoch(&row.id, row.epoch) {
            return Ok(Some(live));
        }
        let Some((machine, order)) = self.kept(&row.id, now).await? else {
            return self.disown(row, now).await.map(|()| None);
        };
        let audit = self.taken_over(row).with("phase", machine.phase().as_str());
        let owner = Some(self.parts.instance.clone());
        if !self.take_session(row, owner, vec![audit], Vec::new(), now).await? {
            return Ok(None);
        }
        let epoch = row.epoch.saturating_add(1);
        Ok(Some(SessionDriver::resume(self, Resumed { machine, order, epoch })))
    }

    /// Moves the ends of the leases of what runs here.
    pub(super) async fn renew_leases(&self, now: &Now) -> Result<(), StationError> {
        match self.leases(Self::wall(now)? + limits::SESSION_LEASE.default) {
            Some(renewal) => self.commit_all(now, Vec::new(), vec![renewal]).await,
            None => Ok(()),
        }
    }

    /// The write that ends the leases of what runs here at `until`, if anything does.
    pub(super) fn leases(&self, until: UnixTime) -> Option<StationWrite> {
        let sessions: Vec<_> = self.sessions.epochs().into_keys().collect();
        let owner = self.parts.instance.clone();
        (!sessions.is_empty()).then_some(StationWrite::RenewLeases { owner, sessions, until })
    }

    /// How a session that nobody can go on with ends, or stays open for its certificate.
    pub(super) async fn end_of_orphan(
        &self,
        row: &SessionRow,
        audit: &mut Vec<AuditEvent>,
        writes: &mut Vec<StationWrite>,
    ) -> Result<(), StationError> {
        if row.phase.is_final() {
            writes.push(StationWrite::Release { session_id: row.id });
            return Ok(());
        }
        let certificate = self.parts.store.certificate_of_session(&row.id).await?;
        match certificate.map(|certificate| certificate.state) {
            Some(CertificateState::Pending) => writes.push(StationWrite::Session {
                session_id: row.id,
                phase: SessionPhase::AwaitingCommit,
                error: None,
            }),
            Some(CertificateState::Current | CertificateState::Superseded) => {
                writes.extend(ended(row, SessionPhase::Paired, None));
            }
            _ => {
                audit.push(
                    AuditEvent::new(EventType::SessionReleased, Actor::System)
                        .device(&row.device_id)
                        .session(row.id)
                        .with("reason", "restart"),
                );
                writes.extend(ended(row, SessionPhase::Released, None));
            }
        }
        Ok(())
    }

    /// Machine and order of a session, if something is kept of it that this program can read.
    pub(super) async fn kept(
        &self,
        id: &SessionId,
        now: &Now,
    ) -> Result<Option<(SessionMachine, Option<Order>)>, StationError> {
        let state: SessionState = match self.parts.store.session_state(id).await {
            Ok(Some(state)) => state,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, session = %id, "the session cannot be gone on with");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        match read(&self.context(Checkpoints::default()), now, &state) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) => {
                tracing::error!(%error, session = %id, "the session cannot be gone on with");
                Ok(None)
            }
        }
    }

    /// This process cannot go on with a session. Its owner may, or a process of another version or with
    /// the right key: one that is not this process's own has until its time is over.
    async fn disown(&self, row: &SessionRow, now: &Now) -> Result<(), StationError> {
        let is_own = row.owner.as_ref() == Some(&self.parts.instance);
        if !is_own && !is_expired(Self::wall(now)?, row.expires_at) {
            return Ok(());
        }
        let mut audit = vec![self.taken_over(row).with("phase", "lost")];
        let mut writes = Vec::new();
        self.end_of_orphan(row, &mut audit, &mut writes).await?;
        self.take_session(row, None, audit, writes, now).await.map(drop)
    }

    /// The conditional write; `false` when somebody was faster.
    async fn take_session(
        &self,
        row: &SessionRow,
        owner: Option<InstanceName>,
        audit: Vec<AuditEvent>,
        more: Vec<StationWrite>,
        now: &Now,
    ) -> Result<bool, StationError> {
        let take = StationWrite::TakeSession {
            session_id: row.id,
            from: row.epoch,
            owner,
            lease_until: Self::wall(now)? + limits::SESSION_LEASE.default,
        };
        let writes = core::iter::once(take).chain(more).collect();
        match self.try_commit(now, audit, writes).await? {
            Ok(()) => Ok(true),
            Err(Refusal::SessionTaken { .. } | Refusal::SessionEnded(_)) => Ok(false),
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }

    fn taken_over(&self, row: &SessionRow) -> AuditEvent {
        let event = AuditEvent::new(EventType::SessionTakenOver, Actor::System)
            .device(&row.device_id)
            .session(row.id)
            .with("epoch", row.epoch.saturating_add(1))
            .with("instance", &self.parts.instance);
        match &row.owner {
            Some(owner) => event.with("from", owner),
            None => event,
        }
    }
}
