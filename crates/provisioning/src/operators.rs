//! Local operators with an audit row for each refusal and each change (D16, D22).

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, OperatorId};
use zmon_domain::role::{Action, Actor, OperatorProof, Role};
use zmon_domain::time::Now;
use zmon_protocol::device::DeviceRecord;

use crate::ports::{Authenticator, Clock, DeviceStore, OperatorAccounts, Pin};

/// An account as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOperator {
    /// The account.
    pub id: OperatorId,
    /// What it may do.
    pub role: Role,
    /// Whether it has to wait because of wrong PINs.
    pub is_locked: bool,
}

/// [`OperatorAccounts`], audited: what a device hands to its control socket and its screen.
///
/// The accounts and the log are two media, so that no transaction spans a change and its row: an intent
/// comes before it, the outcome after, and without the intent nothing is changed.
pub struct AuditedOperators {
    accounts: Arc<dyn OperatorAccounts>,
    store: Arc<dyn DeviceStore>,
    clock: Arc<dyn Clock>,
    device: DeviceId,
}

impl AuditedOperators {
    /// The accounts of `device`, audited in `store`.
    #[must_use]
    pub fn new(
        accounts: Arc<dyn OperatorAccounts>,
        store: Arc<dyn DeviceStore>,
        clock: Arc<dyn Clock>,
        device: DeviceId,
    ) -> Self {
        Self { accounts, store, clock, device }
    }

    /// Makes the first account, an administrator.
    ///
    /// # Errors
    /// `state_conflict` once there is an operator, `pin_too_weak`; what accounts and store say.
    pub async fn create_administrator(&self, id: OperatorId, pin: Pin) -> Result<(), ErrorReport> {
        let (now, event) = (self.clock.now(), EventType::OperatorAdded);
        let account = id.clone();
        let row =
            |row: AuditEvent| row.with("operator", &account).with("role", Role::Administrator);
        if !self.accounts.operators().await.is_empty() {
            let code = ErrorCode::StateConflict;
            self.record(&now, row(AuditEvent::failed(event, Actor::Local, code))).await?;
            return Err(code.into());
        }
        let work = self.accounts.create_administrator(id, pin);
        self.around(&Actor::Local, &now, event, row, work).await
    }

    /// Adds an account on behalf of the operator in `proof`.
    ///
    /// # Errors
    /// `proof_expired`, `not_permitted`, `operator_exists`, `pin_too_weak`; what accounts and store say.
    pub async fn add(
        &self,
        proof: &OperatorProof,
        id: OperatorId,
        role: Role,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        let (now, account) = (self.clock.now(), id.clone());
        let row = |event: AuditEvent| event.with("operator", &account).with("role", role);
        let work = self.accounts.add_operator(proof, &now, id, role, pin);
        self.audited(proof, &now, EventType::OperatorAdded, row, work).await
    }

    /// Every account.
    ///
    /// # Errors
    /// `proof_expired`, `not_permitted`; what accounts and store say.
    pub async fn list(&self, proof: &OperatorProof) -> Result<Vec<LocalOperator>, ErrorReport> {
        let (now, action) = (self.clock.now(), Action::ManageOperators);
        let row = |row: AuditEvent| row.with("action", action);
        self.authorise(proof, &now, EventType::OperationRefused, row).await?;
        let mut operators = Vec::new();
        for (id, role) in self.accounts.operators().await {
            let is_locked = self.accounts.is_locked(&id, &now).await?;
            operators.push(LocalOperator { id, role, is_locked });
        }
        Ok(operators)
    }

    /// Removes an account.
    ///
    /// # Errors
    /// `proof_expired`, `not_permitted`, `operator_unknown`, `last_administrator`.
    pub async fn remove(
        &self,
        proof: &OperatorProof,
        account: OperatorId,
    ) -> Result<(), ErrorReport> {
        let (now, row) = (self.clock.now(), changed("removed", account.clone()));
        let work = self.accounts.remove_operator(proof, &now, account);
        self.audited(proof, &now, EventType::OperatorChanged, row, work).await
    }

    /// Gives an account another PIN and forgets its wrong ones.
    ///
    /// # Errors
    /// `proof_expired`, `not_permitted`, `operator_unknown`, `pin_too_weak`.
    pub async fn set_pin(
        &self,
        proof: &OperatorProof,
        account: OperatorId,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        let (now, row) = (self.clock.now(), changed("pin", account.clone()));
        let work = self.accounts.set_pin(proof, &now, account, pin);
        self.audited(proof, &now, EventType::OperatorChanged, row, work).await
    }

    /// Forgets the wrong PINs of an account.
    ///
    /// # Errors
    /// `proof_expired`, `not_permitted`, `operator_unknown`.
    pub async fn unlock(
        &self,
        proof: &OperatorProof,
        account: OperatorId,
    ) -> Result<(), ErrorReport> {
        let (now, row) = (self.clock.now(), changed("unlocked", account.clone()));
        let work = self.accounts.unlock(proof, &now, account);
        self.audited(proof, &now, EventType::OperatorChanged, row, work).await
    }

    /// Who may be chosen at a PIN pad.
    pub async fn operators(&self) -> Vec<(OperatorId, Role)> {
        self.accounts.operators().await
    }

    async fn record(&self, now: &Now, event: AuditEvent) -> Result<(), ErrorReport> {
        let audit = vec![event.device(&self.device)];
        let record = DeviceRecord { audit, ..DeviceRecord::default() };
        Ok(self.store.commit(now, &record).await?)
    }

    /// The row of a login that was refused. Nobody is proved: the name is only what was typed.
    async fn refused(
        &self,
        id: &OperatorId,
        code: ErrorCode,
        now: &Now,
    ) -> Result<(), ErrorReport> {
        let row = AuditEvent::failed(EventType::LoginRefused, Actor::Local, code);
        self.record(now, row.with("operator", id)).await
    }

    /// Refuses, with its row, whoever may not manage operators.
    async fn authorise(
        &self,
        proof: &OperatorProof,
        now: &Now,
        event: EventType,
        row: impl Fn(AuditEvent) -> AuditEvent + Send + Sync,
    ) -> Result<(), ErrorReport> {
        let Err(code) = proof.authorise(Action::ManageOperators, now.mono) else { return Ok(()) };
        self.record(now, row(AuditEvent::failed(event, proof.actor(), code))).await?;
        Err(code.into())
    }

    /// A change on behalf of the operator in `proof`.
    async fn audited(
        &self,
        proof: &OperatorProof,
        now: &Now,
        event: EventType,
        row: impl Fn(AuditEvent) -> AuditEvent + Send + Sync,
        work: impl Future<Output = Result<(), ErrorReport>> + Send,
    ) -> Result<(), ErrorReport> {
        self.authorise(proof, now, event, &row).await?;
        self.around(&proof.actor(), now, event, row, work).await
    }

    /// Intent, change, outcome.
    async fn around(
        &self,
        actor: &Actor,
        now: &Now,
        event: EventType,
        row: impl Fn(AuditEvent) -> AuditEvent + Send + Sync,
        work: impl Future<Output = Result<(), ErrorReport>> + Send,
    ) -> Result<(), ErrorReport> {
        let intent = AuditEvent::new(event, actor.clone()).with("stage", "intent");
        self.record(now, row(intent)).await?;
        let done = work.await;
        let outcome = match &done {
            Ok(()) => AuditEvent::new(event, actor.clone()),
            Err(report) => AuditEvent::failed(event, actor.clone(), report.code),
        };
        self.record(now, row(outcome.with("stage", "outcome"))).await?;
        done
    }
}

#[async_trait]
impl Authenticator for AuditedOperators {
    async fn authenticate(
        &self,
        id: &OperatorId,
        pin: Pin,
        now: &Now,
    ) -> Result<OperatorProof, ErrorReport> {
        match self.accounts.authenticate(id, pin, now).await {
            Ok(proof) => Ok(proof),
            Err(report) => {
                self.refused(id, report.code, now).await?;
                Err(report)
            }
        }
    }

    async fn note_malformed(&self, id: &OperatorId, now: &Now) -> Result<(), ErrorReport> {
        self.refused(id, ErrorCode::RequestMalformed, now).await
    }
}

impl fmt::Debug for AuditedOperators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditedOperators").field("device", &self.device).finish_non_exhaustive()
    }
}

/// What the row of a changed account says besides its actor.
fn changed(
    change: &'static str,
    account: OperatorId,
) -> impl Fn(AuditEvent) -> AuditEvent + Send + Sync {
    move |row| row.with("operator", &account).with("change", change)
}
