//! The station's store.

use core::cmp::Reverse;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zmon_crypto::IdentityKey;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceSerial, InstanceName, OperatorId, Serial, SessionId, StationId,
    Thumbprint, TokenId, WindowId,
};
use zmon_domain::limits;
use zmon_domain::time::{Now, UnixTime};
use zmon_protocol::station::TypedTries;
use zmon_station::ports::{
    AuditDamage, AuditPage, AuditReport, AuditRow, CertificateListing, CertificateRow,
    CertificateState, CrlRow, DeviceRow, EnrolmentCredentialRow, Entropy, LoginRow, OperatorRow,
    Page, Refusal, RevocationRow, SessionPhase, SessionRow, SessionStanding, SessionState,
    StationRecord, StationStore, StationWrite, StoreError,
};

use super::tables::Tables;
use crate::disk::{DiskError, Medium, Ram};
use crate::lock;
use crate::log::Log;

/// Sees every record that has become durable, and the tables before and after it.
pub type Witness = Arc<dyn Fn(&Tables, &Tables, &StationRecord) + Send + Sync>;

/// May change or refuse a record before it is carried out: how a test orders faults.
pub type Hook =
    Box<dyn FnMut(&mut StationRecord, &mut Tables) -> Result<(), StoreError> + Send + Sync>;

/// A [`StationStore`] in memory. Reads and writes are atomic; a refused record leaves no trace.
pub struct MemoryStationStore {
    medium: Arc<dyn Medium<Tables>>,
    hook: Mutex<Option<Hook>>,
    witness: Option<Witness>,
    signer: Option<(Arc<dyn IdentityKey>, Arc<dyn Entropy>)>,
    shared: bool,
}

impl Default for MemoryStationStore {
    /// An empty store in memory that never fails, of a station called `cs-1`.
    fn default() -> Self {
        Self::new(Arc::new(Ram::default()))
    }
}

impl MemoryStationStore {
    /// The store of a station on this medium.
    #[must_use]
    pub fn new(medium: Arc<dyn Medium<Tables>>) -> Self {
        Self { medium, hook: Mutex::default(), witness: None, signer: None, shared: false }
    }

    /// What an empty disk of this station holds.
    #[must_use]
    pub fn empty(station: &StationId) -> Tables {
        Tables { log: Log::new(format!("station:{station}")), ..Tables::default() }
    }

    /// The same store with a witness.
    #[must_use]
    pub fn with_witness(self, witness: Witness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// The same store, signing checkpoints of its audit log.
    #[must_use]
    pub fn with_checkpoints(self, key: Arc<dyn IdentityKey>, entropy: Arc<dyn Entropy>) -> Self {
        Self { signer: Some((key, entropy)), ..self }
    }

    /// The same store, to which several stations write.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// From now on this runs before every record; `None`: nothing does.
    pub fn before(&self, hook: Option<Hook>) {
        *lock(&self.hook) = hook;
    }

    /// Everything there is.
    #[must_use]
    pub fn tables(&self) -> Arc<Tables> {
        self.medium.read()
    }

    /// Changes the tables without any rule and without a row.
    pub async fn put(&self, change: impl FnOnce(&mut Tables) + Send) {
        let _turn = self.medium.turn().await;
        let mut next = (*self.medium.read()).clone();
        change(&mut next);
        // Only memory that never fails is changed behind its back.
        let _written = self.medium.write(next, Box::new(|| ())).await;
    }

    fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> Result<T, StoreError> {
        Ok(read(&self.medium.read()))
    }

    /// A checkpoint after each commit of a certificate and each thousand rows; one that fails, fails
    /// nothing.
    async fn checkpoint_if_due(&self, now: &Now, record: &StationRecord) {
        let Some((key, entropy)) = &self.signer else { return };
        let committed = record.writes.iter().any(|write| {
            matches!(write, StationWrite::Certificate { to: CertificateState::Current, .. })
        });
        let mut next = (*self.medium.read()).clone();
        let (rows, _) = next.log.head();
        let made = u64::try_from(next.log.checkpoints()).unwrap_or(u64::MAX);
        let due = committed || rows / limits::CHECKPOINT_ROWS.default > made;
        if due && next.log.attest(now, key.as_ref(), entropy.generator().as_mut()) {
            let _later = self.medium.write(next, Box::new(|| ())).await;
        }
    }
}

#[async_trait]
impl StationStore for MemoryStationStore {
    fn is_shared(&self) -> bool {
        self.shared
    }

    async fn commit(
        &self,
        now: &Now,
        record: &StationRecord,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let _turn = self.medium.turn().await;
        let before = self.medium.read();
        let (mut next, mut record) = ((*before).clone(), record.clone());
        if let Some(hook) = lock(&self.hook).as_mut() {
            hook(&mut record, &mut next)?;
        }
        for write in &record.writes {
            if let Err(refusal) = next.apply(write) {
                return Ok(Err(refusal));
            }
        }
        next.log.append(now, &record.audit);
        let seen: Box<dyn FnOnce() + Send> = match self.witness.clone() {
            None => Box::new(|| ()),
            Some(witness) => {
                let (after, record) = (next.clone(), record.clone());
                Box::new(move || witness(&before, &after, &record))
            }
        };
        self.medium.write(next, seen).await.map_err(failed)?;
        self.checkpoint_if_due(now, &record).await;
        Ok(Ok(()))
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        self.read(|t| t.devices.get(id).cloned())
    }

    async fn device_by_serial(
        &self,
        serial: &DeviceSerial,
    ) -> Result<Option<DeviceRow>, StoreError> {
        self.read(|t| t.devices.values().find(|row| row.serial == *serial).cloned())
    }

    async fn device_by_identity(
        &self,
        identity: &Thumbprint,
    ) -> Result<Option<DeviceRow>, StoreError> {
        self.read(|t| t.devices.values().find(|row| row.identity == *identity).cloned())
    }

    async fn devices_at_bed(&self, bed: &BedId) -> Result<Vec<DeviceRow>, StoreError> {
        let there = |row: &&DeviceRow| row.bed.as_ref() == Some(bed);
        self.read(|t| t.devices.values().filter(there).cloned().collect())
    }

    async fn devices(&self, page: Page) -> Result<Vec<DeviceRow>, StoreError> {
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        self.read(|t| t.devices.values().skip(skip).take(take).cloned().collect())
    }

    async fn peer_checkpoint(&self, id: &DeviceId) -> Result<Option<String>, StoreError> {
        self.read(|t| t.peers.get(id).cloned())
    }

    async fn recovery_counter(&self, id: &DeviceId) -> Result<u64, StoreError> {
        self.read(|t| t.counters.get(id).copied().unwrap_or(0))
    }

    async fn enrolment_credential(
        &self,
        id: &DeviceId,
    ) -> Result<Option<EnrolmentCredentialRow>, StoreError> {
        self.read(|t| t.credentials.get(id).cloned())
    }

    async fn operator(&self, id: &OperatorId) -> Result<Option<OperatorRow>, StoreError> {
        self.read(|t| t.operators.get(id).cloned())
    }

    async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        self.read(|t| t.operators.values().cloned().collect())
    }

    async fn login(&self, token_hash: &[u8; 32]) -> Result<Option<LoginRow>, StoreError> {
        self.read(|t| t.logins.get(token_hash).cloned())
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.read(|t| t.sessions.get(id).cloned())
    }

    async fn sessions_of(&self, owner: &InstanceName) -> Result<Vec<SessionStanding>, StoreError> {
        let running =
            |row: &&SessionRow| row.owner.as_ref() == Some(owner) && !row.phase.is_final();
        self.read(|t| {
            let standing = |row: &SessionRow| SessionStanding {
                id: row.id,
                epoch: row.epoch,
                certificate: t
                    .certificates
                    .values()
                    .find(|certificate| certificate.session == row.id)
                    .map(|made| (made.serial, made.state, made.committed_at.is_some())),
            };
            t.sessions.values().filter(running).map(standing).collect()
        })
    }

    async fn session_state(&self, id: &SessionId) -> Result<Option<SessionState>, StoreError> {
        self.read(|t| t.states.get(id).cloned())
    }

    async fn claimed_by(&self, token: &TokenId) -> Result<Option<SessionId>, StoreError> {
        self.read(|t| t.tokens.get(token).copied())
    }

    async fn reservation(&self, device: &DeviceId) -> Result<Option<SessionRow>, StoreError> {
        self.read(|t| t.reservation(device).cloned())
    }

    async fn typed_tries(
        &self,
        operator: &OperatorId,
        window: &WindowId,
        at: UnixTime,
    ) -> Result<TypedTries, StoreError> {
        self.read(|t| t.tries(operator, window, at))
    }

    async fn open_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        let open = |row: &&SessionRow| row.reserved || !row.phase.is_final();
        self.read(|t| t.sessions.values().filter(open).cloned().collect())
    }

    async fn paired_since(&self, at: UnixTime) -> Result<u64, StoreError> {
        let paired = |row: &&SessionRow| {
            row.phase == SessionPhase::Paired && row.operator.is_some() && row.opened_at >= at
        };
        self.read(|t| count(t.sessions.values().filter(paired)))
    }

    async fn certificates(
        &self,
        state: CertificateState,
        page: Page,
    ) -> Result<Vec<CertificateListing>, StoreError> {
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        self.read(|t| {
            let rows = t.certificates.values().filter(|row| row.state == state);
            let mut rows: Vec<_> = rows.cloned().map(CertificateListing::from).collect();
            rows.sort_by_key(|row| (Reverse(row.revoked.map(|(at, _)| at)), row.not_after));
            rows.into_iter().skip(skip).take(take).collect()
        })
    }

    async fn count_certificates(&self, state: CertificateState) -> Result<u64, StoreError> {
        self.read(|t| count(t.certificates.values().filter(|row| row.state == state)))
    }

    async fn certificate(&self, serial: &Serial) -> Result<Option<CertificateRow>, StoreError> {
        self.read(|t| t.certificates.get(serial).cloned())
    }

    async fn certificate_of_session(
        &self,
        session: &SessionId,
    ) -> Result<Option<CertificateRow>, StoreError> {
        self.read(|t| t.certificates.values().find(|row| row.session == *session).cloned())
    }

    async fn certificates_of_device(
        &self,
        device: &DeviceId,
        state: CertificateState,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        self.read(|t| {
            oldest_first(t.of_device(device).filter(|row| row.state == state).cloned().collect())
        })
    }

    async fn config_version(&self, device: &DeviceId) -> Result<u64, StoreError> {
        self.read(|t| t.of_device(device).map(|row| row.config_version).max().unwrap_or(0))
    }

    async fn pending_since(&self, issued_at: UnixTime) -> Result<Vec<CertificateRow>, StoreError> {
        let due = |row: &&CertificateRow| {
            row.state == CertificateState::Pending && row.issued_at <= issued_at
        };
        self.read(|t| oldest_first(t.certificates.values().filter(due).cloned().collect()))
    }

    async fn revocations(&self, at: UnixTime) -> Result<Vec<RevocationRow>, StoreError> {
        let line = |row: &CertificateRow| {
            let (revoked_at, reason) = row.revoked?;
            Some(RevocationRow { serial: row.serial, revoked_at, reason })
        };
        self.read(|t| {
            t.certificates.values().filter(|row| row.not_after >= at).filter_map(line).collect()
        })
    }

    async fn crl_number(&self) -> Result<u64, StoreError> {
        self.read(|t| t.crl.as_ref().map_or(0, |crl| crl.number))
    }

    async fn latest_crl(&self) -> Result<Option<CrlRow>, StoreError> {
        self.read(|t| t.crl.clone())
    }

    async fn newest_audit(&self, before: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read(|t| {
            let rows = (1..).zip(t.log.rows()).filter(|(n, _)| before == 0 || *n < before);
            let rows: Vec<_> = rows.map(|(n, row)| shown(t, n, row)).collect();
            rows.into_iter().rev().take(take).collect()
        })
    }

    async fn audit(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        let after = usize::try_from(page.after).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        self.read(|t| {
            (1..)
                .zip(t.log.rows())
                .skip(after)
                .take(take)
                .map(|(n, row)| shown(t, n, row))
                .collect()
        })
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        self.read(|t| {
            let lane = t.log.lane().to_owned();
            let (rows, hash) = t.log.head();
            let damage = t.log.damage();
            AuditReport {
                rows,
                checkpoints: u64::try_from(t.log.checkpoints()).unwrap_or(u64::MAX),
                heads: vec![(lane.clone(), rows, hash)],
                damage: damage.map(|(sequence, rule)| AuditDamage { lane, sequence, rule }),
            }
        })
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.read(|t| t.log.checkpoint())
    }
}

fn count<T>(rows: impl Iterator<Item = T>) -> u64 {
    u64::try_from(rows.count()).unwrap_or(u64::MAX)
}

fn oldest_first(mut rows: Vec<CertificateRow>) -> Vec<CertificateRow> {
    rows.sort_by_key(|row| row.issued_at);
    rows
}

fn shown(tables: &Tables, sequence: u64, row: &crate::log::Row) -> AuditRow {
    let event = &row.event;
    AuditRow {
        lane: tables.log.lane().to_owned(),
        sequence,
        timestamp_ms: row.millis.unwrap_or(0),
        event: event.event,
        device_id: event.device_id.clone(),
        session: event.session,
        actor: event.actor.clone(),
        success: event.success,
        error: event.error,
        configuration_hash: event.configuration_hash,
        detail: event.detail.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        hash: row.hash,
    }
}

fn failed(error: DiskError) -> StoreError {
    match error {
        DiskError::Full => StoreError::AuditUnavailable("no space left".to_owned()),
        DiskError::Broken => StoreError::Unavailable("input/output error".to_owned()),
    }
}
