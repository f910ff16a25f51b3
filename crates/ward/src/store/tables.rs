//! What a station remembers, and what each write makes of it: the port's promises, without SQL.

use core::time::Duration;
use std::collections::BTreeMap;

use zmon_domain::ids::{BatchId, DeviceId, OperatorId, Serial, SessionId, TokenId, WindowId};
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::time::UnixTime;
use zmon_protocol::station::TypedTries;
use zmon_station::ports::{
    BatchItemRow, BatchRow, CertificateRow, CertificateState, CrlRow, DeviceRow, DeviceStatus,
    EnrolmentCredentialRow, ImportConflict, ImportConflictKind, LoginRow, OperatorRow, Refusal,
    RevocationReason, SessionPhase, SessionRow, SessionState, StationWrite,
};

use crate::log::Log;

/// A run of a typed code: session, operator, window, time.
pub type Try = (SessionId, OperatorId, WindowId, UnixTime);

/// Everything a station remembers.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// The registry.
    pub devices: BTreeMap<DeviceId, DeviceRow>,
    /// What is kept of the devices' audit logs.
    pub peers: BTreeMap<DeviceId, String>,
    /// Counters of recoveries.
    pub counters: BTreeMap<DeviceId, u64>,
    /// What lets devices enrol.
    pub credentials: BTreeMap<DeviceId, EnrolmentCredentialRow>,
    /// Accounts.
    pub operators: BTreeMap<OperatorId, OperatorRow>,
    /// Logins.
    pub logins: BTreeMap<[u8; 32], LoginRow>,
    /// Sessions.
    pub sessions: BTreeMap<SessionId, SessionRow>,
    /// What is kept of running ones.
    pub states: BTreeMap<SessionId, SessionState>,
    /// Which session has claimed which token.
    pub tokens: BTreeMap<TokenId, SessionId>,
    /// Runs of typed codes.
    pub typed: Vec<Try>,
    /// Certificates.
    pub certificates: BTreeMap<Serial, CertificateRow>,
    /// The latest revocation list.
    pub crl: Option<CrlRow>,
    /// Batches of pairings.
    pub batches: BTreeMap<BatchId, BatchRow>,
    /// Their items, by batch and row.
    pub batch_items: BTreeMap<(BatchId, u32), BatchItemRow>,
    /// The audit log.
    pub log: Log,
}

impl Tables {
    /// A device's certificates.
    pub fn of_device(&self, device: &DeviceId) -> impl Iterator<Item = &CertificateRow> {
        self.certificates.values().filter(move |row| row.device_id == *device)
    }

    /// The session that keeps a device.
    #[must_use]
    pub fn reservation(&self, device: &DeviceId) -> Option<&SessionRow> {
        self.sessions.values().find(|row| row.reserved && row.device_id == *device)
    }

    /// Carries out one write.
    ///
    /// # Errors
    /// The refusal of a conditional write; drop the tables then.
    ///
    /// # Panics
    /// For a write that this store does not know.
    #[expect(clippy::panic, reason = "a write that is not carried out would be a lie")]
    pub fn apply(&mut self, write: &StationWrite) -> Result<(), Refusal> {
        match write {
            StationWrite::ImportDevices(rows) => return self.import(rows),
            StationWrite::Rekey { device_id, from, to } => {
                let other = self.devices.values().find(|row| row.identity == *to);
                if let Some(other) = other.filter(|other| other.id != *device_id) {
                    let kind = ImportConflictKind::KeyOfOtherDevice;
                    let conflict = ImportConflict { index: 0, kind, existing: other.id.clone() };
                    return Err(Refusal::DeviceConflicts(vec![conflict]));
                }
                let row = self.devices.get_mut(device_id).filter(|row| row.identity == *from);
                row.ok_or(Refusal::KeyMoved)?.identity = *to;
                self.end_unspent(device_id);
            }
            StationWrite::Assign { device_id, settings } => {
                if let Some(row) = self.devices.get_mut(device_id) {
                    row.bed.clone_from(&settings.bed);
                    row.label.clone_from(&settings.label);
                    row.unit = Some(settings.unit);
                    row.language = Some(settings.language);
                    row.sync_interval = Some(settings.sync_interval);
                }
            }
            StationWrite::DeviceStatus { device_id, status } => {
                if let Some(row) = self.devices.get_mut(device_id) {
                    row.status = *status;
                }
                if *status == DeviceStatus::Decommissioned {
                    self.end_unspent(device_id);
                }
            }
            StationWrite::ForgetPeerCheckpoint { device_id } => {
                self.peers.remove(device_id);
            }
            StationWrite::PeerCheckpoint { device_id, checkpoint } => {
                let kept = self.peers.get(device_id);
                if kept.is_none_or(|kept| zmon_protocol::checkpoint::goes_on(checkpoint, kept)) {
                    self.peers.insert(device_id.clone(), checkpoint.clone());
                }
            }
            StationWrite::RecoveryCounter { device_id, counter } => {
                let latest = self.counters.entry(device_id.clone()).or_insert(0);
                if counter <= latest {
                    return Err(Refusal::CounterBehind { latest: *latest });
                }
                *latest = *counter;
            }
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
                if self.operators.contains_key(&row.id) {
                    return Err(Refusal::OperatorExists);
                }
                self.operators.insert(row.id.clone(), row.clone());
            }
            StationWrite::SetPassword { operator, before, after, keep } => {
                let account = self.operators.get_mut(operator);
                let Some(account) = account.filter(|account| account.password_hash == *before)
                else {
                    return Err(Refusal::PasswordStale);
                };
                account.password_hash.clone_from(after);
                account.one_time = false;
                self.logins.retain(|hash, row| row.operator != *operator || hash == keep);
            }
            StationWrite::OneTimePassword { operator, hash } => {
                let account = self.operators.get_mut(operator).ok_or(Refusal::OperatorUnknown)?;
                account.password_hash.clone_from(hash);
                account.one_time = true;
                self.logins.retain(|_, row| row.operator != *operator);
            }
            StationWrite::OperatorAccess { operator, disabled } => {
                let mut rest = self.operators.values().filter(|row| row.id != *operator);
                let other = rest.any(|row| row.role == Role::Administrator && !row.disabled);
                let account = self.operators.get_mut(operator).ok_or(Refusal::OperatorUnknown)?;
                if *disabled && account.role == Role::Administrator && !other {
                    return Err(Refusal::LastAdministrator);
                }
                account.disabled = *disabled;
                self.logins.retain(|_, row| !disabled || row.operator != *operator);
            }
            StationWrite::Place { device_id, from, to } => {
                let row = self.devices.get_mut(device_id);
                let row = row.filter(|row| (&row.bed, &row.label) == (&from.bed, &from.label));
                let row = row.ok_or(Refusal::PlaceMoved)?;
                (row.bed, row.label) = (to.bed.clone(), to.label.clone());
            }
            StationWrite::AddLogin(row) => {
                self.logins.insert(row.token_hash, row.clone());
            }
            StationWrite::DropLogin { token_hash } => {
                self.logins.remove(token_hash);
            }
            StationWrite::DropLoginsBefore(at) => {
                self.logins.retain(|_, row| row.expires_at >= *at)
            }
            StationWrite::Reserve(row) => return self.reserve(row),
            StationWrite::ClaimToken { session_id, token_id } => {
                let by = *self.tokens.entry(*token_id).or_insert(*session_id);
                if by != *session_id {
                    return Err(Refusal::TokenUsed(by));
                }
            }
            StationWrite::Session { session_id, phase, error } => {
                match self.sessions.get_mut(session_id) {
                    None => return Err(Refusal::SessionEnded(None)),
                    Some(row) if row.phase.is_final() => {
                        return Err(Refusal::SessionEnded(Some(row.phase)));
                    }
                    Some(row) => {
                        row.phase = *phase;
                        row.error = error.or(row.error);
                        if phase.is_final() {
                            self.states.remove(session_id);
                        }
                    }
                }
            }
            StationWrite::Hold { session_id, epoch } => {
                let row = self.sessions.get(session_id).ok_or(Refusal::SessionEnded(None))?;
                if row.epoch != *epoch {
                    return Err(Refusal::SessionTaken { epoch: row.epoch });
                }
            }
            StationWrite::SessionState { session_id, state } => {
                let phase = self.sessions.get(session_id).map(|row| row.phase);
                if phase.is_none_or(SessionPhase::is_final) {
                    return Err(Refusal::SessionEnded(phase));
                }
                self.states.insert(*session_id, state.clone());
            }
            StationWrite::TakeSession { session_id, from, owner, lease_until } => {
                let Some(row) = self.sessions.get_mut(session_id) else {
                    return Err(Refusal::SessionEnded(None));
                };
                if row.phase.is_final() {
                    return Err(Refusal::SessionEnded(Some(row.phase)));
                }
                if row.epoch != *from {
                    return Err(Refusal::SessionTaken { epoch: row.epoch });
                }
                row.owner.clone_from(owner);
                (row.epoch, row.lease_until) = (from + 1, *lease_until);
                if owner.is_none() {
                    self.states.remove(session_id);
                }
            }
            StationWrite::RenewLeases { owner, sessions, until } => {
                for id in sessions {
                    let row = self.sessions.get_mut(id);
                    if let Some(row) = row.filter(|row| row.owner.as_ref() == Some(owner)) {
                        row.lease_until = *until;
                    }
                }
            }
            StationWrite::SessionAnswer { session_id, answer } => {
                if let Some(row) = self.sessions.get_mut(session_id) {
                    row.answer = Some(answer.clone());
                }
            }
            StationWrite::SessionDeadline { session_id, expires_at } => {
                if let Some(row) = self.sessions.get_mut(session_id) {
                    row.expires_at = *expires_at;
                }
            }
            StationWrite::Release { session_id } => {
                if let Some(row) = self.sessions.get_mut(session_id) {
                    row.reserved = false;
                }
            }
            StationWrite::Batch(write) => {
                return self.apply_batch(write).map_err(Refusal::Batch);
            }
            StationWrite::InsertCertificate(row) => {
                let device = self.devices.get(&row.device_id);
                if device.is_some_and(|d| d.status == DeviceStatus::Decommissioned) {
                    return Err(Refusal::DeviceDecommissioned);
                }
                let mut rows = self.certificates.values();
                if let Some(old) = rows.find(|old| old.session == row.session) {
                    return Err(Refusal::CertificateExists(Box::new(old.clone())));
                }
                self.certificates.insert(row.serial, row.clone());
            }
            StationWrite::Certificate { serial, from, to, at, reason } => {
                return self.certificate(serial, *from, *to, *at, *reason);
            }
            StationWrite::AbortPending { serial, at } => {
                let state = self.certificates.get(serial).map(|row| row.state);
                if state != Some(CertificateState::Revoked) {
                    let (from, to) = (CertificateState::Pending, CertificateState::Revoked);
                    let reason = Some(RevocationReason::Aborted);
                    return self.certificate(serial, from, to, *at, reason);
                }
            }
            StationWrite::PublishCrl(row) => {
                let latest = self.crl.as_ref().map_or(0, |crl| crl.number);
                if row.number != latest + 1 {
                    return Err(Refusal::CrlBehind { latest });
                }
                self.crl = Some(row.clone());
            }
            StationWrite::SpendTry { session_id, operator, window_id, at } => {
                let tries = self.tries(operator, window_id, *at);
                if tries.window >= u32::from(limits::TYPED_TRIES.default)
                    || tries.hour >= u32::from(limits::TYPED_TRIES_HOURLY.default)
                {
                    return Err(Refusal::TriesSpent);
                }
                self.typed.push((*session_id, operator.clone(), *window_id, *at));
            }
            other => panic!("the simulated store does not know {other:?}"),
        }
        Ok(())
    }

    /// How often an operator has tried a typed code.
    #[must_use]
    pub fn tries(&self, operator: &OperatorId, window: &WindowId, at: UnixTime) -> TypedTries {
        let since = at - Duration::from_secs(3600);
        let mut tries = TypedTries::default();
        let own = |row: &&Try| row.1 == *operator && row.3 > since;
        for (session, _, tried, _) in self.typed.iter().filter(own) {
            let claimed = self.tokens.get(&TokenId::from_bytes(*tried.as_bytes()));
            tries.window += u32::from(tried == window);
            tries.hour += u32::from(claimed != Some(session));
        }
        tries
    }

    /// Ends the credential that a device has not spent.
    fn end_unspent(&mut self, device: &DeviceId) {
        self.credentials.retain(|id, row| id != device || row.spent_by.is_some());
    }

    fn reserve(&mut self, row: &SessionRow) -> Result<(), Refusal> {
        if let Some(by) = self.tokens.get(&row.token_id) {
            return Err(Refusal::TokenUsed(*by));
        }
        if let Some(holder) = self.reservation(&row.device_id).cloned() {
            if holder.expires_at >= row.opened_at {
                return Err(Refusal::DeviceReserved(Box::new(holder)));
            }
            if let Some(old) = self.sessions.get_mut(&holder.id) {
                old.reserved = false;
                if !old.phase.is_final() {
                    old.phase = SessionPhase::Released;
                    self.states.remove(&holder.id);
                }
            }
        }
        self.sessions.insert(row.id, row.clone());
        Ok(())
    }

    fn certificate(
        &mut self,
        serial: &Serial,
        from: CertificateState,
        to: CertificateState,
        at: UnixTime,
        reason: Option<RevocationReason>,
    ) -> Result<(), Refusal> {
        let moved = self.certificates.get(serial).cloned();
        let state = moved.as_ref().map(|row| row.state);
        let Some(mut row) = moved.filter(|row| row.state == from) else {
            return Err(Refusal::CertificateState { serial: *serial, state });
        };
        if to == CertificateState::Current {
            let mut rows = self.of_device(&row.device_id);
            let other = rows.find(|o| o.state == CertificateState::Current && o.serial != *serial);
            if let Some(other) = other {
                return Err(Refusal::OtherCurrent(other.serial));
            }
        }
        row.state = to;
        if to == CertificateState::Current {
            row.committed_at = Some(at);
        }
        if to == CertificateState::Revoked {
            row.revoked = reason.map(|reason| (at, reason));
        }
        if reason.is_some_and(RevocationReason::ends_enrolment) {
            self.end_unspent(&row.device_id);
        }
        self.certificates.insert(*serial, row);
        Ok(())
    }
}
