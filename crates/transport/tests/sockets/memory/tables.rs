//! What the station's memory does with each write.

use std::collections::BTreeMap;

use zmon_domain::audit::AuditEvent;
use zmon_domain::ids::{BatchId, DeviceId, OperatorId, Serial, SessionId, TokenId};
use zmon_station::ports::{
    BatchItemRow, BatchRow, CertificateRow, CertificateState, CrlRow, DeviceRow,
    EnrolmentCredentialRow, ImportConflict, ImportConflictKind, LoginRow, OperatorRow, Refusal,
    RevocationReason, SessionRow, StationWrite,
};

#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) devices: BTreeMap<DeviceId, DeviceRow>,
    pub(super) credentials: BTreeMap<DeviceId, EnrolmentCredentialRow>,
    pub(super) operators: BTreeMap<OperatorId, OperatorRow>,
    pub(super) logins: BTreeMap<[u8; 32], LoginRow>,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    pub(super) tokens: BTreeMap<TokenId, SessionId>,
    pub(super) certificates: BTreeMap<Serial, CertificateRow>,
    pub(super) crl: Option<CrlRow>,
    pub(super) audit: Vec<AuditEvent>,
    pub(super) batches: BTreeMap<BatchId, BatchRow>,
    pub(super) items: Vec<BatchItemRow>,
}

impl Tables {
    pub(super) fn reservation(&self, device: &DeviceId) -> Option<&SessionRow> {
        self.sessions.values().find(|row| row.reserved && row.device_id == *device)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is nothing these tests look at")]
    pub(super) fn apply(&mut self, write: &StationWrite) -> Result<(), Refusal> {
        match write {
            StationWrite::ImportDevices(rows) => self.import(rows)?,
            StationWrite::PermitEnrolment(row) => {
                self.credentials.insert(row.device_id.clone(), row.clone());
            }
            StationWrite::SpendCredential { device_id, hash, session_id, at } => {
                let row = self.credentials.get_mut(device_id).filter(|row| {
                    row.hash == *hash && row.expires_at >= *at && row.spent_by.is_none()
                });
                row.ok_or(Refusal::CredentialSpent)?.spent_by = Some(*session_id);
            }
            StationWrite::AddOperator(row) => {
                let old = self.operators.insert(row.id.clone(), row.clone());
                old.map_or(Ok(()), |_| Err(Refusal::OperatorExists))?;
            }
            StationWrite::SetPassword { operator, before, after, keep } => {
                let account = self.operators.get_mut(operator);
                let account = account.filter(|account| account.password_hash == *before);
                account.ok_or(Refusal::PasswordStale)?.password_hash.clone_from(after);
                self.logins.retain(|hash, row| row.operator != *operator || hash == keep);
            }
            StationWrite::OneTimePassword { operator, hash } => {
                let account = self.operators.get_mut(operator).ok_or(Refusal::OperatorUnknown)?;
                account.password_hash.clone_from(hash);
                account.one_time = true;
                self.logins.retain(|_, row| row.operator != *operator);
            }
            StationWrite::OperatorAccess { operator, disabled } => {
                let account = self.operators.get_mut(operator).ok_or(Refusal::OperatorUnknown)?;
                account.disabled = *disabled;
                self.logins.retain(|_, row| !disabled || row.operator != *operator);
            }
            StationWrite::Place { device_id, from, to } => {
                let row = self.devices.get_mut(device_id).unwrap();
                if (&row.bed, &row.label) != (&from.bed, &from.label) {
                    return Err(Refusal::PlaceMoved);
                }
                (row.bed, row.label) = (to.bed.clone(), to.label.clone());
            }
            StationWrite::DeviceStatus { device_id, status } => {
                self.devices.get_mut(device_id).unwrap().status = *status;
            }
            StationWrite::AddLogin(row) => drop(self.logins.insert(row.token_hash, row.clone())),
            StationWrite::DropLogin { token_hash } => drop(self.logins.remove(token_hash)),
            StationWrite::Reserve(row) => {
                if let Some(by) = self.tokens.get(&row.token_id) {
                    return Err(Refusal::TokenUsed(*by));
                }
                if let Some(holder) = self.reservation(&row.device_id) {
                    return Err(Refusal::DeviceReserved(Box::new(holder.clone())));
                }
                self.sessions.insert(row.id, row.clone());
            }
            StationWrite::ClaimToken { session_id, token_id } => {
                let by = *self.tokens.entry(*token_id).or_insert(*session_id);
                if by != *session_id {
                    return Err(Refusal::TokenUsed(by));
                }
            }
            StationWrite::Session { session_id, phase, error } => {
                let row = self.sessions.get_mut(session_id);
                let row = row.ok_or(Refusal::SessionEnded(None))?;
                (row.phase, row.error) = (*phase, error.or(row.error));
            }
            StationWrite::SessionAnswer { session_id, answer } => {
                self.sessions.get_mut(session_id).unwrap().answer = Some(answer.clone());
            }
            StationWrite::Release { session_id } => {
                self.sessions.get_mut(session_id).unwrap().reserved = false;
            }
            StationWrite::InsertCertificate(row) => {
                self.certificates.insert(row.serial, row.clone());
            }
            StationWrite::Certificate { serial, from, to, at, reason } => {
                let row = self.certificates.get_mut(serial).unwrap();
                if row.state != *from {
                    let state = Some(row.state);
                    return Err(Refusal::CertificateState { serial: *serial, state });
                }
                row.state = *to;
                if *to == CertificateState::Current {
                    row.committed_at = Some(*at);
                }
                row.revoked = reason.map(|reason| (*at, reason)).or(row.revoked);
            }
            StationWrite::AbortPending { serial, at } => {
                let row = self.certificates.get_mut(serial).unwrap();
                row.state = CertificateState::Revoked;
                row.revoked = Some((*at, RevocationReason::Aborted));
            }
            StationWrite::Batch(write) => self.apply_batch(write)?,
            StationWrite::PublishCrl(row) => self.crl = Some(row.clone()),
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, rows: &[DeviceRow]) -> Result<(), Refusal> {
        for (index, row) in rows.iter().enumerate() {
            let known = self.devices.get(&row.id).filter(|old| old.identity != row.identity);
            if let Some(old) = known {
                let kind = ImportConflictKind::IdUnderOtherKey;
                let existing = old.id.clone();
                let conflict = ImportConflict { index, kind, existing };
                return Err(Refusal::DeviceConflicts(vec![conflict]));
            }
            self.devices.insert(row.id.clone(), row.clone());
        }
        Ok(())
    }
}
