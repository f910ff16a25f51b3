//! Revoking certificates and publishing the revocation list (D13, D17).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::time::Now;
use zmon_wire::admin::RevokeAnswer;
use zmon_wire::kind::True;

use super::Station;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    CertificateRow, CertificateState, CrlOrder, CrlRow, Refusal, RevocationReason, StationWrite,
};

/// How often a conditional write is tried again after somebody else was faster.
pub(super) const RACES: u8 = 5;

impl Station {
    /// Revokes a certificate. It is refused from the next request on; the list follows. Revoking a
    /// revoked one changes nothing and succeeds.
    ///
    /// # Errors
    /// `not_permitted`, `certificate_unknown`, storage errors.
    pub async fn revoke(
        &self,
        proof: &OperatorProof,
        serial: &Serial,
        reason: RevocationReason,
    ) -> Result<RevokeAnswer, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::RevokeCertificate, &now).await?;
        for _ in 0..RACES {
            let Some(row) = self.parts.store.certificate(serial).await? else {
                let code = ErrorCode::CertificateUnknown;
                let row = AuditEvent::failed(EventType::CertificateRevoked, actor, code)
                    .with("serial", serial);
                return self.refuse(&now, row, code.into()).await;
            };
            let answer = |already_revoked| RevokeAnswer {
                success: True,
                serial: row.serial,
                device_id: row.device_id.clone(),
                already_revoked,
            };
            if row.state == CertificateState::Revoked {
                return Ok(answer(true));
            }
            let rows = self.revoked_together(&row).await?;
            if self.move_all_to_revoked(&now, Vec::new(), &rows, &actor, reason).await? {
                for row in &rows {
                    let _live = self.sessions.aborted(&row.session, row.serial).await;
                }
                self.publish_revocations().await;
                return Ok(answer(false));
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// Takes a device out of service: no pairing any more, and every certificate revoked.
    ///
    /// # Errors
    /// `not_permitted`, `device_unknown`, storage errors.
    pub async fn decommission(
        &self,
        proof: &OperatorProof,
        device: &DeviceId,
    ) -> Result<(), StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::RevokeCertificate, &now).await?;
        let event = EventType::DeviceDeprovisioned;
        if self.parts.store.device(device).await?.is_none() {
            let code = ErrorCode::DeviceUnknown;
            let row = AuditEvent::failed(event, actor, code).device(device);
            return self.refuse(&now, row, code.into()).await;
        }
        let row = AuditEvent::new(event, actor.clone()).device(device);
        let write = StationWrite::DeviceStatus {
            device_id: device.clone(),
            status: crate::ports::DeviceStatus::Decommissioned,
        };
        self.commit_all(&now, vec![row], vec![write]).await?;
        self.emit(StationEvent::RegistryChanged);
        for state in CertificateState::ALL {
            if state == CertificateState::Revoked {
                continue;
            }
            for row in self.parts.store.certificates_of_device(device, state).await? {
                let reason = RevocationReason::Decommissioned;
                if !self.move_to_revoked(&now, &row, actor.clone(), reason).await? {
                    return Err(ErrorCode::StateConflict.into());
                }
            }
        }
        self.publish_revocations().await;
        Ok(())
    }

    /// What goes with a certificate: with the current one all others of the device, because only
    /// its use would ever have retired the superseded one (D13, never two for ever).
    async fn revoked_together(
        &self,
        row: &CertificateRow,
    ) -> Result<Vec<CertificateRow>, StationError> {
        let mut rows = vec![row.clone()];
        if row.state == CertificateState::Current {
            for state in [CertificateState::Superseded, CertificateState::Pending] {
                let store = &self.parts.store;
                rows.extend(store.certificates_of_device(&row.device_id, state).await?);
            }
        }
        Ok(rows)
    }

    /// Moves a certificate from the state it was read in to revoked; `false` when it has moved on.
    pub(super) async fn move_to_revoked(
        &self,
        now: &Now,
        row: &CertificateRow,
        actor: Actor,
        reason: RevocationReason,
    ) -> Result<bool, StationError> {
        let rows = core::slice::from_ref(row);
        self.move_all_to_revoked(now, Vec::new(), rows, &actor, reason).await
    }

    /// [`Station::move_to_revoked`] for several certificates, all or none; `audit` comes first.
    pub(super) async fn move_all_to_revoked(
        &self,
        now: &Now,
        mut audit: Vec<AuditEvent>,
        rows: &[CertificateRow],
        actor: &Actor,
        reason: RevocationReason,
    ) -> Result<bool, StationError> {
        let event = match reason {
            RevocationReason::Aborted => EventType::CertificateAborted,
            RevocationReason::Superseded
            | RevocationReason::Administrator
            | RevocationReason::KeyCompromise
            | RevocationReason::Decommissioned => EventType::CertificateRevoked,
        };
        let at = Self::wall(now)?;
        audit.extend(rows.iter().map(|row| {
            AuditEvent::new(event, actor.clone())
                .device(&row.device_id)
                .session(row.session)
                .with("serial", row.serial)
                .with("was", row.state)
                .with("reason", reason.as_str())
        }));
        let writes = rows.iter().map(|row| StationWrite::Certificate {
            serial: row.serial,
            from: row.state,
            to: CertificateState::Revoked,
            at,
            reason: Some(reason),
        });
        match self.try_commit(now, audit, writes.collect()).await? {
            Ok(()) => {
                for row in rows {
                    self.certificate_moved(row, CertificateState::Revoked);
                }
                self.crl_due.store(true, Ordering::SeqCst);
                Ok(true)
            }
            Err(Refusal::CertificateState { .. }) => Ok(false),
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }

    /// `row` is as it was.
    pub(super) fn certificate_moved(&self, row: &CertificateRow, state: CertificateState) {
        if row.state == CertificateState::Current && state == CertificateState::Revoked {
            self.links().cut(&row.device_id);
        }
        self.emit(StationEvent::Certificate {
            serial: row.serial,
            device_id: row.device_id.clone(),
            state,
        });
    }

    /// Something was revoked; [`Station::run`] publishes a new list.
    pub(crate) fn revocations_due(&self) {
        self.crl_due.store(true, Ordering::SeqCst);
    }

    /// Publishes a new list now; a failure is logged and tried again by [`Station::run`]. Until then
    /// the check of every request against the store refuses the serial number all the same.
    pub(super) async fn publish_revocations(&self) {
        self.crl_due.store(true, Ordering::SeqCst);
        if let Err(error) = self.publish_crl().await {
            tracing::error!(%error, "the revocation list could not be published");
        }
    }

    /// Makes, records and announces the next revocation list.
    pub(super) async fn publish_crl(&self) -> Result<(), StationError> {
        for _ in 0..RACES {
            let now = self.now();
            let this_update = Self::wall(&now)?;
            self.crl_due.store(false, Ordering::SeqCst);
            match self.try_publish(&now, this_update).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    self.crl_due.store(true, Ordering::SeqCst);
                    return Err(error);
                }
            }
        }
        self.crl_due.store(true, Ordering::SeqCst);
        Err(ErrorCode::StateConflict.into())
    }

    async fn try_publish(
        &self,
        now: &Now,
        this_update: zmon_domain::time::UnixTime,
    ) -> Result<bool, StationError> {
        // Not that of the latest list: a database that was set back goes on above it.
        let latest = self.parts.store.crl_number().await?;
        let order = CrlOrder {
            number: latest.saturating_add(1),
            this_update,
            next_update: this_update + self.parts.policy.crl_lifetime,
            revoked: self.parts.store.revocations(this_update).await?,
        };
        let der = self.parts.issuer.revocation_list(&order).await.map_err(|error| {
            tracing::error!(%error, "the revocation list could not be signed");
            StationError::from(ErrorCode::KeyStoreUnavailable)
        })?;
        let row = CrlRow { number: order.number, this_update, next_update: order.next_update, der };
        let audit = AuditEvent::new(EventType::CrlPublished, Actor::System)
            .with("number", row.number)
            .with("revoked", order.revoked.len());
        let write = StationWrite::PublishCrl(row.clone());
        match self.try_commit(now, vec![audit], vec![write]).await? {
            Ok(()) => {
                let number = row.number;
                self.crl.send_replace(Some(Arc::new(row)));
                self.emit(StationEvent::CrlPublished { number });
                Ok(true)
            }
            Err(Refusal::CrlBehind { .. }) => Ok(false),
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }
}
