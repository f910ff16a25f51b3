//! What the station does on its own: at the start, and every few seconds.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, Tick, is_expired};
use zmon_protocol::station::SessionPhase;

use super::Station;
use super::follow::LOOK;
use crate::error::StationError;
use crate::ports::{CertificateRow, CertificateState, RevocationReason, SessionRow, StationWrite};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(5);

impl Station {
    /// Puts the memory of an earlier run in order, and publishes a revocation list. Call it once,
    /// before serving.
    ///
    /// Pairings go on where they were: in the same session, with the same certificate. Only one that cannot
    /// be gone on with, because nothing of it is kept that this program can read, is released; where its
    /// configuration had been delivered it stays open, because the device may still commit to it (D13).
    ///
    /// # Errors
    /// Storage errors, and `internal` without a wall clock.
    pub async fn start(self: &Arc<Self>) -> Result<(), StationError> {
        let _opening = self.opening.lock().await;
        let now = self.now();
        let wall = Self::wall(&now)?;
        let mut audit = vec![AuditEvent::new(EventType::Started, Actor::System)];
        let mut writes = vec![StationWrite::DropLoginsBefore(wall)];
        let mut running = Vec::new();
        for row in self.parts.store.open_sessions().await? {
            if row.owner.is_some() && !row.phase.is_final() {
                running.push(row);
            } else {
                self.end_of_orphan(&row, &mut audit, &mut writes).await?;
            }
        }
        self.commit_all(&now, audit, writes).await?;
        for row in running {
            if self.is_to_be_adopted(&row, &now)? {
                self.adopt(&row, &now).await?;
            }
        }
        self.settle_batches(&now).await?;
        self.publish_crl().await?;
        self.has_read(now.mono);
        Ok(())
    }

    /// Works until it is dropped: aborts certificates nobody committed to, keeps the revocation list
    /// fresh, writes down counted refusals.
    pub async fn run(self: Arc<Self>) {
        loop {
            if let Err(error) = self.round().await {
                tracing::error!(%error, "housekeeping");
            }
            let next = self.now().mono + ROUND;
            self.follow_until(next).await;
            self.parts.clock.sleep_until(next).await;
        }
    }

    /// Reads each second what others do to a record that is not this process's alone.
    async fn follow_until(&self, end: Tick) {
        while self.parts.store.is_shared() && self.now().mono + LOOK < end {
            if let Err(error) = self.follow_record().await {
                tracing::warn!(%error, "the record of all stations");
            }
            self.parts.clock.sleep_until(self.now().mono + LOOK).await;
        }
    }

    /// One round of [`Station::run`].
    ///
    /// # Errors
    /// The first failure; the rest waits for the next round.
    pub async fn round(self: &Arc<Self>) -> Result<(), StationError> {
        self.follow_record().await?;
        let now = self.now();
        self.renew_leases(&now).await?;
        self.abort_overdue(&now).await?;
        self.look_after_sessions(&now).await?;
        self.settle_batches(&now).await?;
        self.refresh_crl().await?;
        let junk = self.junk().due(now.mono);
        if !junk.is_empty() {
            self.commit_all(&now, junk, Vec::new()).await?;
        }
        Ok(())
    }

    /// Writes down that the station stops, and lets go what runs: the next start, or another station, goes
    /// on with it.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn stop(&self) -> Result<(), StationError> {
        let now = self.now();
        self.batches.abort_all();
        let leases = self.leases(Self::wall(&now)?);
        self.sessions.abort_all();
        let row = AuditEvent::new(EventType::Stopped, Actor::System);
        self.commit_all(&now, vec![row], leases.into_iter().collect()).await
    }

    /// Aborts every certificate that has been pending for too long (D13).
    async fn abort_overdue(&self, now: &Now) -> Result<(), StationError> {
        let overdue = Self::wall(now)? - self.parts.policy.session.pending_lifetime;
        let mut aborted = false;
        for row in self.parts.store.pending_since(overdue).await? {
            if self.move_to_revoked(now, &row, Actor::System, RevocationReason::Aborted).await? {
                aborted = true;
                self.session_aborted(now, &row).await?;
            }
        }
        if aborted {
            self.publish_revocations().await;
        }
        Ok(())
    }

    /// Tells the session of an aborted certificate, or ends it in the store when nobody can go on with it.
    pub(super) async fn session_aborted(
        &self,
        now: &Now,
        row: &CertificateRow,
    ) -> Result<(), StationError> {
        if self.sessions.aborted(&row.session, row.serial).await {
            return Ok(());
        }
        let Some(session) = self.parts.store.session(&row.session).await? else {
            return Ok(());
        };
        if session.phase.is_final() || session.owner.is_some() {
            return Ok(());
        }
        let code = ErrorCode::CommitAborted;
        let audit = AuditEvent::failed(EventType::PairingFailed, Actor::System, code)
            .device(&row.device_id)
            .session(row.session);
        let writes = ended(&session, SessionPhase::Failed, Some(code));
        self.commit_all(now, vec![audit], writes).await
    }

    /// Goes on with sessions that nobody runs any more, and ends those that nobody can go on with once their
    /// time is over; those with a certificate end with it.
    async fn look_after_sessions(self: &Arc<Self>, now: &Now) -> Result<(), StationError> {
        let mut running = self.sessions.epochs();
        for row in self.parts.store.open_sessions().await? {
            match running.remove(&row.id) {
                Some(epoch) if row.epoch > epoch => self.sessions.give_way(&row.id, epoch),
                Some(_) => {}
                None if self.is_run_elsewhere(&row, now)? => {}
                None => self.look_after(&row, now).await?,
            }
        }
        // They have ended: here, a moment ago, or under another owner.
        for (id, epoch) in running {
            let row = self.parts.store.session(&id).await?;
            if row.is_some_and(|row| row.epoch > epoch) {
                self.sessions.give_way(&id, epoch);
            }
        }
        Ok(())
    }

    /// The same for one that nobody runs.
    async fn look_after(self: &Arc<Self>, row: &SessionRow, now: &Now) -> Result<(), StationError> {
        let certificate = self.parts.store.certificate_of_session(&row.id).await?;
        if certificate.is_none() && is_expired(Self::wall(now)?, row.expires_at) {
            return self.release_expired(now, row).await;
        }
        let revoked = certificate.is_some_and(|made| made.state == CertificateState::Revoked);
        if revoked && row.owner.is_none() && !row.phase.is_final() {
            let audit = AuditEvent::new(EventType::SessionReleased, Actor::System)
                .device(&row.device_id)
                .session(row.id)
                .with("reason", "revoked");
            let writes = ended(row, SessionPhase::Released, None);
            // Somebody else may have ended it meanwhile.
            let _refused = self.try_commit(now, vec![audit], writes).await?;
            return Ok(());
        }
        let _opening = self.opening.lock().await;
        if self.is_to_be_adopted(row, now)? {
            self.adopt(row, now).await?;
        }
        Ok(())
    }

    /// Ends a session whose time is over, with its row.
    pub(super) async fn release_expired(
        &self,
        now: &Now,
        row: &SessionRow,
    ) -> Result<(), StationError> {
        let code = ErrorCode::SessionExpired;
        let audit = AuditEvent::failed(EventType::SessionReleased, Actor::System, code)
            .device(&row.device_id)
            .session(row.id);
        let writes = ended(row, SessionPhase::Released, Some(code));
        // Somebody else may have ended it meanwhile.
        let _refused = self.try_commit(now, vec![audit], writes).await?;
        Ok(())
    }

    async fn refresh_crl(&self) -> Result<(), StationError> {
        let now = Self::wall(&self.now())?;
        let latest = self.crl.borrow().clone();
        let stale = latest.is_none_or(|crl| {
            now.since(crl.this_update) >= crl.next_update.since(crl.this_update) / 2
        });
        if stale || self.crl_due.load(Ordering::SeqCst) {
            self.publish_crl().await?;
        }
        Ok(())
    }
}

/// The writes that end a session.
pub(super) fn ended(
    row: &SessionRow,
    phase: SessionPhase,
    error: Option<ErrorCode>,
) -> Vec<StationWrite> {
    vec![
        StationWrite::Session { session_id: row.id, phase, error },
        StationWrite::Release { session_id: row.id },
    ]
}
