//! The commit of a device that knows none: its first ordinary request over a new certificate (D13, D26).

use zmon_crypto::IdentityPublic;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::Serial;
use zmon_domain::role::Actor;
use zmon_domain::time::Now;
use zmon_protocol::station::CertificateUse;

use crate::error::StationError;
use crate::ports::{
    CertificateRow, CertificateState, DeviceStatus, Enrolment, Refusal, SessionPhase, StationWrite,
};
use crate::station::Station;
use crate::station::housekeeping::ended;

impl Station {
    /// The first ordinary request over a certificate that was fetched here is its commit; `false` for any
    /// other pending certificate.
    pub(in crate::station) async fn take_into_use(
        &self,
        serial: &Serial,
        now: &Now,
    ) -> Result<bool, StationError> {
        let row = self.admit_certificate(serial, CertificateUse::Commit).await?;
        let session = self.parts.store.session(&row.session).await?;
        let Some(session) = session.filter(|_| row.state == CertificateState::Pending) else {
            return Ok(row.state != CertificateState::Pending);
        };
        let Some(right) = session.enrolment else { return Ok(false) };
        self.keep_up(now).await?;
        let current = self.current(&row.device_id).await?;
        let replaced_is_gone = current.is_none() && right == Enrolment::Certificate;
        if replaced_is_gone || !self.is_still_known(&row).await? {
            // It was issued while what it replaces was revoked, or while the device got another key or was taken
            // out of service: nobody let it in anew.
            self.abort(now, &row).await?;
            self.session_aborted(now, &row).await?;
            return Ok(true);
        }
        let event =
            |event| AuditEvent::new(event, Actor::Peer).device(&row.device_id).session(row.session);
        let at = Self::wall(now)?;
        let step =
            |serial, from, to| StationWrite::Certificate { serial, from, to, at, reason: None };
        let confirmed = event(EventType::CommitConfirmed).with("serial", row.serial);
        let mut audit = vec![confirmed.with("method", "est")];
        let mut writes = Vec::new();
        if let Some(old) = &current {
            audit.push(event(EventType::CertificateSuperseded).with("serial", old.serial));
            writes.push(step(old.serial, CertificateState::Current, CertificateState::Superseded));
        }
        writes.push(step(row.serial, CertificateState::Pending, CertificateState::Current));
        if !session.phase.is_final() {
            writes.extend(ended(&session, SessionPhase::Paired, None));
        }
        match self.try_commit(now, audit, writes).await? {
            Ok(()) => {
                if let Some(old) = &current {
                    self.certificate_moved(old, CertificateState::Superseded);
                }
                self.certificate_moved(&row, CertificateState::Current);
                Ok(true)
            }
            // Another request was faster: look again.
            Err(
                Refusal::CertificateState { .. }
                | Refusal::OtherCurrent(_)
                | Refusal::SessionEnded(_),
            ) => Ok(true),
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }

    /// Whether the registry still has the device, in service, under the key that its certificate was issued for.
    async fn is_still_known(&self, row: &CertificateRow) -> Result<bool, StationError> {
        let key = IdentityPublic::parse(&row.identity_key).map_err(|error| error.code())?;
        let known = self.parts.store.device(&row.device_id).await?;
        Ok(known.is_some_and(|known| {
            known.status != DeviceStatus::Decommissioned && known.identity == key.thumbprint()
        }))
    }
}
