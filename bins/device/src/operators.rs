//! Local operators at the control socket, with an audit row for each refusal and each new account.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::{
    audit::{AuditEvent, EventType},
    error::{ErrorCode, ErrorReport},
    ids::{DeviceId, OperatorId},
    role::{Action, Actor, OperatorProof, Role},
    time::Now,
};
use zmon_persistence::{FileAuthenticator, SqliteDeviceStore};
use zmon_protocol::device::DeviceRecord;
use zmon_provisioning::ports::{Authenticator, Clock, DeviceStore, Pin};
use zmon_transport::control::LocalAccounts;

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
                // Nobody is proved: the name is only what was typed.
                let row = AuditEvent::failed(EventType::LoginRefused, Actor::System, report.code);
                self.record(now, row.with("operator", id)).await?;
                Err(report)
            }
        }
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
        let now = self.clock.now();
        let row = |event: AuditEvent| event.with("operator", &id).with("role", role);
        if let Err(code) = proof.authorise(Action::ManageOperators, now.mono) {
            let refused = AuditEvent::failed(EventType::OperatorAdded, proof.actor(), code);
            self.record(&now, row(refused)).await?;
            return Err(code.into());
        }
        // The accounts are in a file: the row comes first, and a second one if it was in vain.
        self.record(&now, row(AuditEvent::new(EventType::OperatorAdded, proof.actor()))).await?;
        let added = self.operators.add_operator(proof, &now, id.clone(), role, pin).await;
        match added {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(error = %error.describe(), "operator not added");
                let is_taken = error.code() == ErrorCode::StateConflict;
                let code = if is_taken { ErrorCode::OperatorExists } else { error.code() };
                let refused = AuditEvent::failed(EventType::OperatorAdded, proof.actor(), code);
                self.record(&now, row(refused)).await?;
                Err(code.into())
            }
        }
    }
}
