//! Local operators at the control socket and the screen, with an audit row for each refusal and each
//! change.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::{
    audit::{AuditEvent, EventType},
    error::{ErrorCode, ErrorReport},
    ids::{DeviceId, OperatorId},
    role::{Action, Actor, OperatorProof, Role},
    time::Now,
};
use zmon_persistence::{FileAuthenticator, OperatorEntry, PersistenceError, SqliteDeviceStore};
use zmon_protocol::device::DeviceRecord;
use zmon_provisioning::ports::{Authenticator, Clock, DeviceStore, Pin};
use zmon_transport::control::LocalAccounts;
use zmon_ui::web::LocalOperators;
use zmon_wire::control::OperatorView;

/// The file authenticator, audited (D22).
pub(crate) struct AuditedOperators {
    pub(crate) operators: Arc<FileAuthenticator>,
    pub(crate) store: Arc<SqliteDeviceStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) device: DeviceId,
}

impl AuditedOperators {
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

    /// Changes the accounts. They are in a file, so that no transaction spans row and change: an
    /// intent comes before it, the outcome after (D16).
    async fn audited(
        &self,
        proof: &OperatorProof,
        now: &Now,
        event: EventType,
        row: impl Fn(AuditEvent) -> AuditEvent + Send + Sync,
        work: impl Future<Output = Result<(), PersistenceError>> + Send,
    ) -> Result<(), ErrorReport> {
        self.authorise(proof, now, event, &row).await?;
        let intent = AuditEvent::new(event, proof.actor()).with("stage", "intent");
        self.record(now, row(intent)).await?;
        let changed = work.await.map_err(|error| {
            tracing::warn!(error = %error.describe(), "operators not changed");
            let is_taken = error.code() == ErrorCode::StateConflict;
            if is_taken { ErrorCode::OperatorExists } else { error.code() }
        });
        let outcome = match changed {
            Ok(()) => AuditEvent::new(event, proof.actor()),
            Err(code) => AuditEvent::failed(event, proof.actor(), code),
        };
        self.record(now, row(outcome.with("stage", "outcome"))).await?;
        Ok(changed?)
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
        match self.operators.authenticate(id, pin, now).await {
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

#[async_trait]
impl LocalAccounts for AuditedOperators {
    async fn add(
        &self,
        proof: &OperatorProof,
        id: OperatorId,
        role: Role,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        let (now, account) = (self.clock.now(), id.clone());
        let row = |event: AuditEvent| event.with("operator", &account).with("role", role);
        let work = self.operators.add_operator(proof, &now, id, role, pin);
        self.audited(proof, &now, EventType::OperatorAdded, row, work).await
    }

    async fn list(&self, proof: &OperatorProof) -> Result<Vec<OperatorView>, ErrorReport> {
        let now = self.clock.now();
        self.authorise(proof, &now, EventType::OperationRefused, |row| {
            row.with("action", Action::ManageOperators)
        })
        .await?;
        let mut operators = Vec::new();
        for OperatorEntry { id, role } in self.operators.list().await {
            let is_locked = self.operators.is_locked(&id, &now).await?;
            operators.push(OperatorView { operator: id, role, is_locked });
        }
        Ok(operators)
    }

    async fn remove(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport> {
        let now = self.clock.now();
        let row = changed("removed", account.clone());
        let work = self.operators.remove_operator(proof, &now, account);
        self.audited(proof, &now, EventType::OperatorChanged, row, work).await
    }

    async fn set_pin(
        &self,
        proof: &OperatorProof,
        account: OperatorId,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        let now = self.clock.now();
        let row = changed("pin", account.clone());
        let work = self.operators.set_pin(proof, &now, account, pin);
        self.audited(proof, &now, EventType::OperatorChanged, row, work).await
    }

    async fn unlock(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport> {
        let now = self.clock.now();
        let row = changed("unlocked", account.clone());
        let work = self.operators.unlock(proof, &now, account);
        self.audited(proof, &now, EventType::OperatorChanged, row, work).await
    }

    async fn create_administrator(&self, id: OperatorId, pin: Pin) -> Result<(), ErrorReport> {
        let (now, event) = (self.clock.now(), EventType::OperatorAdded);
        let row = |row: AuditEvent| row.with("operator", &id).with("role", Role::Administrator);
        if !self.operators.list().await.is_empty() {
            let code = ErrorCode::StateConflict;
            self.record(&now, row(AuditEvent::failed(event, Actor::Local, code))).await?;
            return Err(code.into());
        }
        let intent = row(AuditEvent::new(event, Actor::Local));
        self.record(&now, intent.with("stage", "intent")).await?;
        let made = self.operators.create_administrator(id.clone(), pin).await.map_err(|error| {
            tracing::warn!(error = %error.describe(), "no administrator made");
            error.code()
        });
        let outcome = match made {
            Ok(()) => AuditEvent::new(event, Actor::Local),
            Err(code) => AuditEvent::failed(event, Actor::Local, code),
        };
        self.record(&now, row(outcome).with("stage", "outcome")).await?;
        Ok(made?)
    }
}

#[async_trait]
impl LocalOperators for AuditedOperators {
    async fn operators(&self) -> Vec<(OperatorId, Role)> {
        self.operators.list().await.into_iter().map(|entry| (entry.id, entry.role)).collect()
    }
}

/// What the row of a changed account says besides its actor.
fn changed(
    change: &'static str,
    account: OperatorId,
) -> impl Fn(AuditEvent) -> AuditEvent + Send + Sync {
    move |row| row.with("operator", &account).with("change", change)
}
