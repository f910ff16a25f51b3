//! A device's last words about its certificates (D21).

use std::net::IpAddr;
use std::sync::Arc;

use zmon_crypto::IdentityPublic;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Actor;
use zmon_protocol::station::retire;
use zmon_wire::kind::True;
use zmon_wire::retire::{RetireAnswer, RetireStatement};

use super::certificates::RACES;
use super::{Checkpoints, Station, detached};
use crate::error::StationError;
use crate::ports::{CertificateRow, CertificateState, RevocationReason};

impl Station {
    /// `POST /api/provisioning/retire`: a device has given certificates up. They are revoked, exactly
    /// those and what the current one among them replaced: nothing else would ever revoke that. A
    /// statement that comes again changes nothing and gets the same answer.
    ///
    /// The statement is verified with the identity key on record with the certificates, which is the
    /// registry's at their issue: a device that has another key by now still ends the old one's.
    ///
    /// # Errors
    /// `jws_malformed`, `signature_invalid`, or `session_unknown` for a certificate this station never
    /// issued; once it is proved, `certificate_unknown` and `device_mismatch` for one that is not the
    /// signer's: with a row within the budget of `source`, counted beyond it (D16).
    pub async fn retire(
        self: &Arc<Self>,
        source: IpAddr,
        statement: &[u8],
    ) -> Result<RetireAnswer, StationError> {
        let (station, statement) = (Arc::clone(self), statement.to_vec());
        detached(async move { station.take_statement(source, &statement).await }).await
    }

    async fn take_statement(
        &self,
        source: IpAddr,
        bytes: &[u8],
    ) -> Result<RetireAnswer, StationError> {
        for _ in 0..RACES {
            let now = self.now();
            let signer = self.signer_of(bytes).await?;
            let key = IdentityPublic::parse(&signer.identity_key).map_err(|error| error.code())?;
            let statement = retire::verify(&self.context(Checkpoints::default()), bytes, &key)?;
            let received = AuditEvent::new(EventType::RetireReceived, Actor::Peer)
                .device(&statement.device_id)
                .with("counter", statement.counter)
                .with("reason", statement.reason);
            let rows = match self.named(&statement, &signer).await? {
                Ok(rows) => rows,
                Err(code) if !self.junk().own_row(source, now.mono) => {
                    self.note_junk(source, code);
                    return Err(code.into());
                }
                Err(code) => {
                    let refused = AuditEvent { success: false, error: Some(code), ..received };
                    return self.refuse(&now, refused, code.into()).await;
                }
            };
            let answer = RetireAnswer {
                success: True,
                device_id: statement.device_id.clone(),
                counter: statement.counter,
            };
            let live = self.still_accepted(rows).await?;
            if live.is_empty() {
                return Ok(answer);
            }
            let reason = RevocationReason::Decommissioned;
            if self.move_all_to_revoked(&now, vec![received], &live, &Actor::Peer, reason).await? {
                for row in &live {
                    let _live = self.sessions.aborted(&row.session, row.serial).await;
                }
                self.publish_revocations().await;
                return Ok(answer);
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// The record whose key is to verify a statement.
    async fn signer_of(&self, bytes: &[u8]) -> Result<CertificateRow, StationError> {
        let claimed = retire::claimed(bytes)?;
        let first = claimed.serials.first().ok_or(ErrorCode::JwsMalformed)?;
        let row = self.parts.store.certificate(first).await?;
        row.ok_or_else(|| ErrorCode::SessionUnknown.into())
    }

    /// The certificates of a verified statement, each of this very device and key.
    async fn named(
        &self,
        statement: &RetireStatement,
        signer: &CertificateRow,
    ) -> Result<Result<Vec<CertificateRow>, ErrorCode>, StationError> {
        let mut rows: Vec<CertificateRow> = Vec::new();
        for serial in &statement.serials {
            let Some(row) = self.parts.store.certificate(serial).await? else {
                return Ok(Err(ErrorCode::CertificateUnknown));
            };
            let own =
                row.device_id == statement.device_id && row.identity_key == signer.identity_key;
            if !own {
                return Ok(Err(ErrorCode::DeviceMismatch));
            }
            if !rows.iter().any(|known| known.serial == row.serial) {
                rows.push(row);
            }
        }
        Ok(Ok(rows))
    }

    /// Those that are not revoked yet, and with the current one what it replaced (D13).
    async fn still_accepted(
        &self,
        mut rows: Vec<CertificateRow>,
    ) -> Result<Vec<CertificateRow>, StationError> {
        if let Some(current) = rows.iter().find(|row| row.state == CertificateState::Current) {
            let state = CertificateState::Superseded;
            let store = &self.parts.store;
            for old in store.certificates_of_device(&current.device_id, state).await? {
                if !rows.iter().any(|row| row.serial == old.serial) {
                    rows.push(old);
                }
            }
        }
        rows.retain(|row| row.state != CertificateState::Revoked);
        Ok(rows)
    }
}
