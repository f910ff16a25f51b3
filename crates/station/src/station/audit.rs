//! Permissions, and reading the audit log.

use std::net::IpAddr;
use std::sync::{MutexGuard, PoisonError};

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::time::Now;

use super::Station;
use crate::error::StationError;
use crate::junk::Junk;
use crate::ports::{AuditPage, AuditReport, AuditRow, Refusal};

impl Station {
    /// A part of the audit log, oldest first; at most [`limits::PAGE_ROWS`] rows.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn audit(
        &self,
        proof: &OperatorProof,
        page: AuditPage,
    ) -> Result<Vec<AuditRow>, StationError> {
        self.authorise(proof, Action::ReadAudit, &self.now()).await?;
        let most = u32::try_from(limits::PAGE_ROWS.max).unwrap_or(u32::MAX);
        let page = AuditPage { limit: page.limit.min(most), ..page };
        Ok(self.parts.store.audit(page).await?)
    }

    /// A part of the audit log, newest first: rows before the number `before`, 0 = from the newest; at
    /// most [`limits::PAGE_ROWS`] rows.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn newest_audit(
        &self,
        proof: &OperatorProof,
        before: u64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StationError> {
        self.authorise(proof, Action::ReadAudit, &self.now()).await?;
        let most = u32::try_from(limits::PAGE_ROWS.max).unwrap_or(u32::MAX);
        Ok(self.parts.store.newest_audit(before, limit.min(most)).await?)
    }

    /// Recomputes the whole audit chain.
    ///
    /// # Errors
    /// `not_permitted`, storage errors. A damaged chain is no error but a finding.
    pub async fn verify_audit(&self, proof: &OperatorProof) -> Result<AuditReport, StationError> {
        self.authorise(proof, Action::ReadAudit, &self.now()).await?;
        Ok(self.parts.store.verify_audit().await?)
    }

    /// Counts a refusal of an unauthenticated caller; it becomes one audit row per source, reason
    /// and minute (D16).
    pub fn note_junk(&self, source: IpAddr, reason: ErrorCode) {
        let mono = self.now().mono;
        self.junk().count(source, reason, mono);
    }

    pub(super) fn junk(&self) -> MutexGuard<'_, Junk> {
        self.junk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the operator may do this; a refusal is written down.
    pub(crate) async fn authorise(
        &self,
        proof: &OperatorProof,
        action: Action,
        now: &Now,
    ) -> Result<Actor, StationError> {
        match proof.authorise(action, now.mono) {
            Ok(actor) => Ok(actor),
            Err(code) => {
                let row = AuditEvent::failed(EventType::OperationRefused, proof.actor(), code)
                    .with("action", action);
                self.refuse(now, row, code.into()).await
            }
        }
    }

    pub(crate) fn unexpected(refusal: &Refusal) -> StationError {
        tracing::error!(?refusal, "the store refused a write for a reason nobody expects");
        ErrorCode::Internal.into()
    }
}
