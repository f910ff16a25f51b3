//! A registered device gets another identity key (D21): an administrator's word, and the only way.

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::DeviceId;
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::time::Now;
use zmon_wire::admin::RekeyAnswer;
use zmon_wire::kind::True;
use zmon_wire::manifest::{self, ManifestRow};

use super::Station;
use super::certificates::RACES;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    CertificateRow, CertificateState, DeviceRow, Refusal, RevocationReason, StationWrite,
};

impl Station {
    /// `POST /api/registry/devices/{deviceId}/rekey`: the device of a manifest's one row has the key in
    /// it from now on, and every certificate that was issued to the old one is revoked, in the same
    /// transaction. Nothing is alarmed: an administrator says so. Saying it again changes nothing.
    ///
    /// Statements of the old key are still taken: they are verified with the key on record with the
    /// certificates.
    ///
    /// # Errors
    /// `not_permitted`; `request_malformed` for another device, serial number or number of rows;
    /// `device_unknown`; `device_key_conflict` for a key that is another device's; storage errors.
    pub async fn rekey(
        &self,
        proof: &OperatorProof,
        device: &DeviceId,
        manifest: &[u8],
    ) -> Result<RekeyAnswer, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::RekeyDevice, &now).await?;
        let row = one_row(device, manifest)?;
        let refused = |code| {
            AuditEvent::failed(EventType::DeviceRekeyed, actor.clone(), code)
                .device(device)
                .with("identityKey", row.identity_key)
        };
        for _ in 0..RACES {
            let Some(known) = self.parts.store.device(device).await? else {
                let code = ErrorCode::DeviceUnknown;
                return self.refuse(&now, refused(code), code.into()).await;
            };
            if known.serial != row.device_serial {
                return Err(malformed(
                    "deviceSerial",
                    "must be the registered one of its deviceId",
                ));
            }
            if known.identity == row.identity_key {
                return Ok(answer(&row, 0));
            }
            let old = self.accepted(device).await?;
            let event = AuditEvent::new(EventType::DeviceRekeyed, actor.clone())
                .device(device)
                .with("identityKey", row.identity_key)
                .with("was", known.identity)
                .with("revoked", old.len());
            match self.try_rekey(&now, &known, &row, event, &old).await? {
                Ok(()) => {
                    for certificate in &old {
                        self.certificate_moved(certificate, CertificateState::Revoked);
                        let session = &certificate.session;
                        let _live = self.sessions.aborted(session, certificate.serial).await;
                    }
                    self.emit(StationEvent::RegistryChanged);
                    self.publish_revocations().await;
                    return Ok(answer(&row, old.len()));
                }
                Err(Refusal::DeviceConflicts(_)) => {
                    let code = ErrorCode::DeviceKeyConflict;
                    let field =
                        FieldError::new("identityKey", "must not be registered for another device");
                    let error = StationError::field(code, field);
                    return self.refuse(&now, refused(code), error).await;
                }
                // A certificate, or the key, moved on meanwhile: look again.
                Err(Refusal::CertificateState { .. } | Refusal::KeyMoved) => {}
                Err(refusal) => return Err(Self::unexpected(&refusal)),
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// Every certificate of a device that is not revoked.
    async fn accepted(&self, device: &DeviceId) -> Result<Vec<CertificateRow>, StationError> {
        let mut rows = Vec::new();
        for state in CertificateState::ALL {
            if state != CertificateState::Revoked {
                rows.extend(self.parts.store.certificates_of_device(device, state).await?);
            }
        }
        Ok(rows)
    }

    async fn try_rekey(
        &self,
        now: &Now,
        known: &DeviceRow,
        row: &ManifestRow,
        event: AuditEvent,
        old: &[CertificateRow],
    ) -> Result<Result<(), Refusal>, StationError> {
        let at = Self::wall(now)?;
        let reason = RevocationReason::Decommissioned;
        let actor = event.actor.clone();
        let mut audit = vec![event];
        let mut writes = vec![StationWrite::Rekey {
            device_id: known.id.clone(),
            from: known.identity,
            to: row.identity_key,
        }];
        for certificate in old {
            audit.push(
                AuditEvent::new(EventType::CertificateRevoked, actor.clone())
                    .device(&certificate.device_id)
                    .session(certificate.session)
                    .with("serial", certificate.serial)
                    .with("was", certificate.state)
                    .with("reason", reason.as_str()),
            );
            writes.push(StationWrite::Certificate {
                serial: certificate.serial,
                from: certificate.state,
                to: CertificateState::Revoked,
                at,
                reason: Some(reason),
            });
        }
        self.try_commit(now, audit, writes).await
    }
}

/// The one row of the manifest, which must be this device's.
fn one_row(device: &DeviceId, manifest: &[u8]) -> Result<ManifestRow, StationError> {
    let rows = manifest::parse(manifest)
        .map_err(|error| StationError::from(error.report(ErrorCode::RequestMalformed)))?;
    let Ok([row]) = <[ManifestRow; 1]>::try_from(rows) else {
        return Err(malformed("manifest", "must have exactly one row"));
    };
    if row.device_id != *device {
        return Err(malformed("deviceId", "must be the device that is named"));
    }
    Ok(row)
}

fn malformed(field: &'static str, rule: &'static str) -> StationError {
    ErrorReport::field(ErrorCode::RequestMalformed, FieldError::new(field, rule)).into()
}

fn answer(row: &ManifestRow, revoked: usize) -> RekeyAnswer {
    RekeyAnswer {
        success: True,
        device_id: row.device_id.clone(),
        identity_key: row.identity_key,
        revoked: u32::try_from(revoked).unwrap_or(u32::MAX),
    }
}
