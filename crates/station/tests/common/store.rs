//! A station store in memory, with faults to order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{
    BedId, DeviceId, DeviceSerial, OperatorId, Serial, SessionId, Thumbprint, TokenId, WindowId,
};
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::time::{Now, UnixTime};
use zmon_protocol::station::TypedTries;
use zmon_station::ports::*;

/// Everything a station remembers.
#[derive(Clone, Default)]
struct Tables {
    devices: BTreeMap<DeviceId, DeviceRow>,
    checkpoints: BTreeMap<DeviceId, String>,
    counters: BTreeMap<DeviceId, u64>,
    operators: BTreeMap<OperatorId, OperatorRow>,
    logins: BTreeMap<[u8; 32], LoginRow>,
    sessions: BTreeMap<SessionId, SessionRow>,
    tokens: BTreeMap<TokenId, SessionId>,
    typed: Vec<(SessionId, OperatorId, WindowId, UnixTime)>,
    certificates: BTreeMap<Serial, CertificateRow>,
    crl: Option<CrlRow>,
    audit: Vec<(Option<i64>, AuditEvent)>,
}

/// The store. Reads and writes are atomic; a refused record leaves no trace.
#[derive(Default)]
pub(crate) struct MemoryStore {
    tables: Mutex<Tables>,
    fail_commits: AtomicBool,
    fail_on: Mutex<Option<EventType>>,
    password_between: Mutex<Option<String>>,
    commits: AtomicUsize,
}

impl MemoryStore {
    /// From now on every commit fails as if the audit log could not be written.
    pub(crate) fn fail_commits(&self, fail: bool) {
        self.fail_commits.store(fail, Ordering::SeqCst);
    }

    /// From now on every record with a row of this kind fails.
    pub(crate) fn fail_on(&self, event: Option<EventType>) {
        *self.fail_on.lock().unwrap() = event;
    }

    /// Somebody changes the password right before the next login is stored.
    pub(crate) fn change_password_between(&self, hash: &str) {
        *self.password_between.lock().unwrap() = Some(hash.to_owned());
    }

    /// How many records were committed.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    /// The audit rows so far.
    pub(crate) fn audit_events(&self) -> Vec<AuditEvent> {
        self.read(|t| t.audit.iter().map(|(_, event)| event.clone()).collect())
    }

    /// How many audit rows of one kind there are.
    pub(crate) fn count(&self, event: EventType) -> usize {
        self.audit_events().iter().filter(|row| row.event == event).count()
    }

    /// Every certificate.
    pub(crate) fn certificates(&self) -> Vec<CertificateRow> {
        self.read(|t| t.certificates.values().cloned().collect())
    }

    /// Every session.
    pub(crate) fn sessions(&self) -> Vec<SessionRow> {
        self.read(|t| t.sessions.values().cloned().collect())
    }

    /// Puts rows in without any rule.
    pub(crate) fn put_device(&self, row: DeviceRow) {
        self.tables.lock().unwrap().devices.insert(row.id.clone(), row);
    }

    fn read<T>(&self, f: impl FnOnce(&Tables) -> T) -> T {
        f(&self.tables.lock().unwrap())
    }
}

#[async_trait]
impl StationStore for MemoryStore {
    async fn commit(
        &self,
        now: &Now,
        record: &StationRecord,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let fail_on = *self.fail_on.lock().unwrap();
        let ordered = record.audit.iter().any(|row| Some(row.event) == fail_on);
        if ordered || self.fail_commits.load(Ordering::SeqCst) {
            return Err(StoreError::AuditUnavailable("ordered by the test".to_owned()));
        }
        let mut tables = self.tables.lock().unwrap();
        let mut next = tables.clone();
        for write in &record.writes {
            if let StationWrite::AddLogin(row) = write
                && let Some(hash) = self.password_between.lock().unwrap().take()
            {
                next.operators.get_mut(&row.operator).unwrap().password_hash = hash;
            }
            if let Err(refusal) = next.apply(write) {
                return Ok(Err(refusal));
            }
        }
        next.audit.extend(record.audit.iter().map(|event| (now.millis, event.clone())));
        *tables = next;
        self.commits.fetch_add(1, Ordering::SeqCst);
        Ok(Ok(()))
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.read(|t| t.devices.get(id).cloned()))
    }
    async fn device_by_serial(
        &self,
        serial: &DeviceSerial,
    ) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.read(|t| t.devices.values().find(|row| row.serial == *serial).cloned()))
    }
    async fn device_by_identity(
        &self,
        identity: &Thumbprint,
    ) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.read(|t| t.devices.values().find(|row| row.identity == *identity).cloned()))
    }
    async fn devices_at_bed(&self, bed: &BedId) -> Result<Vec<DeviceRow>, StoreError> {
        let there = |row: &&DeviceRow| row.bed.as_ref() == Some(bed);
        Ok(self.read(|t| t.devices.values().filter(there).cloned().collect()))
    }
    async fn devices(&self, page: Page) -> Result<Vec<DeviceRow>, StoreError> {
        let (skip, take) = (usize::try_from(page.offset).unwrap(), page.limit as usize);
        Ok(self.read(|t| t.devices.values().skip(skip).take(take).cloned().collect()))
    }
    async fn peer_checkpoint(&self, id: &DeviceId) -> Result<Option<String>, StoreError> {
        Ok(self.read(|t| t.checkpoints.get(id).cloned()))
    }

    async fn recovery_counter(&self, id: &DeviceId) -> Result<u64, StoreError> {
        Ok(self.read(|t| t.counters.get(id).copied().unwrap_or(0)))
    }

    async fn operator(&self, id: &OperatorId) -> Result<Option<OperatorRow>, StoreError> {
        Ok(self.read(|t| t.operators.get(id).cloned()))
    }
    async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        Ok(self.read(|t| t.operators.values().cloned().collect()))
    }
    async fn login(&self, token_hash: &[u8; 32]) -> Result<Option<LoginRow>, StoreError> {
        Ok(self.read(|t| t.logins.get(token_hash).cloned()))
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, StoreError> {
        Ok(self.read(|t| t.sessions.get(id).cloned()))
    }
    async fn claimed_by(&self, token: &TokenId) -> Result<Option<SessionId>, StoreError> {
        Ok(self.read(|t| t.tokens.get(token).copied()))
    }
    async fn reservation(&self, device: &DeviceId) -> Result<Option<SessionRow>, StoreError> {
        Ok(self.read(|t| t.reservation(device).cloned()))
    }
    async fn typed_tries(
        &self,
        operator: &OperatorId,
        window: &WindowId,
        at: UnixTime,
    ) -> Result<TypedTries, StoreError> {
        Ok(self.read(|t| t.tries(operator, window, at)))
    }
    async fn open_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        let open = |row: &&SessionRow| row.reserved || !row.phase.is_final();
        Ok(self.read(|t| t.sessions.values().filter(open).cloned().collect()))
    }

    async fn paired_since(&self, at: UnixTime) -> Result<u64, StoreError> {
        let paired = |row: &&SessionRow| {
            row.phase == SessionPhase::Paired && row.operator.is_some() && row.opened_at >= at
        };
        Ok(self.read(|t| t.sessions.values().filter(paired).count() as u64))
    }
    async fn certificates(
        &self,
        state: CertificateState,
        page: Page,
    ) -> Result<Vec<CertificateListing>, StoreError> {
        let mut rows: Vec<CertificateListing> = self.read(|t| {
            let rows = t.certificates.values().filter(|row| row.state == state);
            rows.cloned().map(CertificateListing::from).collect()
        });
        rows.sort_by_key(|row| (std::cmp::Reverse(row.revoked.map(|r| r.0)), row.not_after));
        let (skip, take) = (usize::try_from(page.offset).unwrap(), page.limit as usize);
        Ok(rows.into_iter().skip(skip).take(take).collect())
    }
    async fn count_certificates(&self, state: CertificateState) -> Result<u64, StoreError> {
        Ok(self.read(|t| t.certificates.values().filter(|row| row.state == state).count() as u64))
    }
    async fn certificate(&self, serial: &Serial) -> Result<Option<CertificateRow>, StoreError> {
        Ok(self.read(|t| t.certificates.get(serial).cloned()))
    }
    async fn certificate_of_session(
        &self,
        session: &SessionId,
    ) -> Result<Option<CertificateRow>, StoreError> {
        Ok(self.read(|t| t.certificates.values().find(|row| row.session == *session).cloned()))
    }
    async fn certificates_of_device(
        &self,
        device: &DeviceId,
        state: CertificateState,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        Ok(self.read(|t| t.of_device(device).filter(|row| row.state == state).cloned().collect()))
    }
    async fn config_version(&self, device: &DeviceId) -> Result<u64, StoreError> {
        Ok(self.read(|t| t.of_device(device).map(|row| row.config_version).max().unwrap_or(0)))
    }
    async fn pending_since(&self, issued_at: UnixTime) -> Result<Vec<CertificateRow>, StoreError> {
        let due = |row: &&CertificateRow| {
            row.state == CertificateState::Pending && row.issued_at <= issued_at
        };
        Ok(self.read(|t| t.certificates.values().filter(due).cloned().collect()))
    }
    async fn revocations(&self, at: UnixTime) -> Result<Vec<RevocationRow>, StoreError> {
        Ok(self.read(|t| {
            t.certificates
                .values()
                .filter(|row| row.not_after >= at)
                .filter_map(|row| {
                    let (revoked_at, reason) = row.revoked?;
                    Some(RevocationRow { serial: row.serial, revoked_at, reason })
                })
                .collect()
        }))
    }
    async fn latest_crl(&self) -> Result<Option<CrlRow>, StoreError> {
        Ok(self.read(|t| t.crl.clone()))
    }

    async fn newest_audit(&self, _: u64, _: u32) -> Result<Vec<AuditRow>, StoreError> {
        Ok(Vec::new())
    }
    async fn audit(&self, _: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        Ok(Vec::new())
    }
    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let rows = self.read(|t| t.audit.len() as u64);
        Ok(AuditReport { rows, checkpoints: 0, heads: Vec::new(), damage: None })
    }
    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

impl Tables {
    fn of_device(&self, device: &DeviceId) -> impl Iterator<Item = &CertificateRow> {
        self.certificates.values().filter(move |row| row.device_id == *device)
    }

    fn reservation(&self, device: &DeviceId) -> Option<&SessionRow> {
        self.sessions.values().find(|row| row.reserved && row.device_id == *device)
    }

    fn apply(&mut self, write: &StationWrite) -> Result<(), Refusal> {
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
            }
            StationWrite::Assign { device_id, settings } => {
                if let Some(row) = self.devices.get_mut(device_id) {
                    row.bed = settings.bed.clone().or(row.bed.take());
                    row.label = settings.label.clone().or(row.label.take());
                    row.unit = Some(settings.unit);
                    row.language = Some(settings.language);
                    row.sync_interval = Some(settings.sync_interval);
                }
            }
            StationWrite::DeviceStatus { device_id, status } => {
                if let Some(row) = self.devices.get_mut(device_id) {
                    row.status = *status;
                }
            }
            StationWrite::ForgetPeerCheckpoint { device_id } => {
                self.checkpoints.remove(device_id);
            }
            StationWrite::PeerCheckpoint { device_id, checkpoint } => {
                let kept = self.checkpoints.get(device_id);
                if kept.is_none_or(|kept| zmon_protocol::checkpoint::goes_on(checkpoint, kept)) {
                    self.checkpoints.insert(device_id.clone(), checkpoint.clone());
                }
            }
            StationWrite::RecoveryCounter { device_id, counter } => {
                let latest = self.counters.entry(device_id.clone()).or_insert(0);
                if counter <= latest {
                    return Err(Refusal::CounterBehind { latest: *latest });
                }
                *latest = *counter;
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
            StationWrite::Place { device_id, bed, label } => {
                if let Some(row) = self.devices.get_mut(device_id) {
                    (row.bed, row.label) = (bed.clone(), label.clone());
                }
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
                let row = self.certificates.get_mut(serial);
                match row.as_ref().map(|row| row.state) {
                    Some(CertificateState::Revoked) => {}
                    Some(CertificateState::Pending) => {
                        let row = row.unwrap();
                        row.state = CertificateState::Revoked;
                        row.revoked = Some((*at, RevocationReason::Aborted));
                    }
                    state => return Err(Refusal::CertificateState { serial: *serial, state }),
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
            other => panic!("the test store does not know {other:?}"),
        }
        Ok(())
    }

    fn tries(&self, operator: &OperatorId, window: &WindowId, at: UnixTime) -> TypedTries {
        let since = at - Duration::from_secs(3600);
        let mut tries = TypedTries::default();
        let own = |row: &&(SessionId, OperatorId, WindowId, UnixTime)| {
            row.1 == *operator && row.3 > since
        };
        for (session, _, tried, _) in self.typed.iter().filter(own) {
            let claimed = self.tokens.get(&TokenId::from_bytes(*tried.as_bytes()));
            tries.window += u32::from(tried == window);
            tries.hour += u32::from(claimed != Some(session));
        }
        tries
    }

    fn reserve(&mut self, row: &SessionRow) -> Result<(), Refusal> {
        if let Some(by) = self.tokens.get(&row.token_id) {
            return Err(Refusal::TokenUsed(*by));
        }
        if let Some(holder) = self.reservation(&row.device_id).cloned() {
            if holder.expires_at >= row.opened_at {
                return Err(Refusal::DeviceReserved(Box::new(holder)));
            }
            let old = self.sessions.get_mut(&holder.id).unwrap();
            old.reserved = false;
            if !old.phase.is_final() {
                old.phase = SessionPhase::Released;
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
        let state = self.certificates.get(serial).map(|row| row.state);
        if state != Some(from) {
            return Err(Refusal::CertificateState { serial: *serial, state });
        }
        let device = self.certificates[serial].device_id.clone();
        if to == CertificateState::Current {
            let other = self
                .of_device(&device)
                .find(|row| row.state == CertificateState::Current && row.serial != *serial);
            if let Some(other) = other {
                return Err(Refusal::OtherCurrent(other.serial));
            }
        }
        let row = self.certificates.get_mut(serial).unwrap();
        row.state = to;
        if to == CertificateState::Current {
            row.committed_at = Some(at);
        }
        if to == CertificateState::Revoked {
            row.revoked = Some((at, reason.unwrap()));
        }
        Ok(())
    }

    fn import(&mut self, rows: &[DeviceRow]) -> Result<(), Refusal> {
        let mut conflicts = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            if let Some((kind, existing)) = self.conflict(row) {
                conflicts.push(ImportConflict { index, kind, existing });
                continue;
            }
            let old = self.devices.entry(row.id.clone()).or_insert_with(|| row.clone());
            old.model = row.model.clone().or(old.model.take());
            old.bed = row.bed.clone().or(old.bed.take());
            old.label = row.label.clone().or(old.label.take());
            old.unit = row.unit.or(old.unit);
            old.language = row.language.or(old.language);
            old.sync_interval = row.sync_interval.or(old.sync_interval);
        }
        if conflicts.is_empty() { Ok(()) } else { Err(Refusal::DeviceConflicts(conflicts)) }
    }

    fn conflict(&self, row: &DeviceRow) -> Option<(ImportConflictKind, DeviceId)> {
        if let Some(old) = self.devices.get(&row.id) {
            if old.identity != row.identity {
                return Some((ImportConflictKind::IdUnderOtherKey, old.id.clone()));
            }
            if old.serial != row.serial {
                return Some((ImportConflictKind::IdSerialMismatch, old.id.clone()));
            }
            return None;
        }
        let by_serial = self.devices.values().find(|old| old.serial == row.serial);
        if let Some(old) = by_serial {
            let kind = if old.identity == row.identity {
                ImportConflictKind::IdSerialMismatch
            } else {
                ImportConflictKind::SerialUnderOtherKey
            };
            return Some((kind, old.id.clone()));
        }
        let by_key = self.devices.values().find(|old| old.identity == row.identity)?;
        Some((ImportConflictKind::KeyOfOtherDevice, by_key.id.clone()))
    }
}
