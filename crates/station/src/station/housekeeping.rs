//! What the station does on its own: at the start, and every few seconds.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, is_expired};
use zmon_protocol::station::SessionPhase;

use super::Station;
use crate::error::StationError;
use crate::ports::{CertificateRow, CertificateState, RevocationReason, SessionRow, StationWrite};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(5);

impl Station {
    /// Puts the memory of an earlier run in order, and publishes a revocation list. Call it once,
    /// before serving.
    ///
    /// A pairing does not survive a restart: what had not been delivered is released. What had been
    /// delivered stays open, because the device may still commit to it (D13).
    ///
    /// # Errors
    /// Storage errors, and `internal` without a wall clock.
    pub async fn start(&self) -> Result<(), StationError> {
        let now = self.now();
        let wall = Self::wall(&now)?;
        let mut audit = vec![AuditEvent::new(EventType::Started, Actor::System)];
        let mut writes = vec![StationWrite::DropLoginsBefore(wall)];
        for row in self.parts.store.open_sessions().await? {
            self.after_restart(row, &mut audit, &mut writes).await?;
        }
        self.commit_all(&now, audit, writes).await?;
        self.settle_batches(&now).await?;
        self.publish_crl().await
    }

    /// Works until it is dropped: aborts certificates nobody committed to, keeps the revocation list
    /// fresh, writes down counted refusals.
    pub async fn run(self: Arc<Self>) {
        loop {
            if let Err(error) = self.round().await {
                tracing::error!(%error, "housekeeping");
            }
            self.parts.clock.sleep_until(self.now().mono + ROUND).await;
        }
    }

    /// One round of [`Station::run`].
    ///
    /// # Errors
    /// The first failure; the rest waits for the next round.
    pub async fn round(&self) -> Result<(), StationError> {
        let now = self.now();
        self.abort_overdue(&now).await?;
        self.release_orphans(&now).await?;
        self.settle_batches(&now).await?;
        self.refresh_crl().await?;
        let junk = self.junk().due(now.mono);
        if !junk.is_empty() {
            self.commit_all(&now, junk, Vec::new()).await?;
        }
        Ok(())
    }

    /// Writes down that the station stops, and ends what runs. Devices that have been given a
    /// configuration may still commit to it after the next start.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn stop(&self) -> Result<(), StationError> {
        let now = self.now();
        self.batches.abort_all();
        self.sessions.abort_all();
        self.commit_all(&now, vec![AuditEvent::new(EventType::Stopped, Actor::System)], Vec::new())
            .await
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

    /// Tells the session of an aborted certificate, or ends it in the store when its machine is gone.
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
        if session.phase.is_final() {
            return Ok(());
        }
        let code = ErrorCode::CommitAborted;
        let audit = AuditEvent::failed(EventType::PairingFailed, Actor::System, code)
            .device(&row.device_id)
            .session(row.session);
        let writes = ended(&session, SessionPhase::Failed, Some(code));
        self.commit_all(now, vec![audit], writes).await
    }

    /// Ends sessions whose task was lost and whose time is over; those with a certificate end with it.
    async fn release_orphans(&self, now: &Now) -> Result<(), StationError> {
        let at = Self::wall(now)?;
        for row in self.parts.store.open_sessions().await? {
            let orphan = self.sessions.get(&row.id).is_none() && is_expired(at, row.expires_at);
            let certificate = self.parts.store.certificate_of_session(&row.id).await?;
            if !orphan || certificate.is_some() {
                continue;
            }
            self.release_expired(now, &row).await?;
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

    async fn after_restart(
        &self,
        row: SessionRow,
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
                writes.extend(ended(&row, SessionPhase::Paired, None));
            }
            _ => {
                audit.push(
                    AuditEvent::new(EventType::SessionReleased, Actor::System)
                        .device(&row.device_id)
                        .session(row.id)
                        .with("reason", "restart"),
                );
                writes.extend(ended(&row, SessionPhase::Released, None));
            }
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
