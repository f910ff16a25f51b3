//! A station's durable memory, clock and randomness.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::CryptoRng;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceSerial, InstanceName, OperatorId, Serial, SessionId, Thumbprint,
    TokenId, WindowId,
};
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};
use zmon_protocol::station::TypedTries;
use zmon_station::ports::{
    AuditPage, AuditReport, AuditRow, CertificateListing, CertificateRow, CertificateState, Clock,
    CrlRow, DeviceRow, EnrolmentCredentialRow, Entropy, LoginRow, OperatorRow, Page, Refusal,
    RevocationRow, SessionPhase, SessionRow, SessionStanding, SessionState, StationRecord,
    StationStore, StoreError,
};

use super::tables::Tables;
use crate::pki::NOW;

/// The runtime's time from [`NOW`] on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StationClock(tokio::time::Instant);

impl StationClock {
    pub(crate) fn new() -> Self {
        Self(tokio::time::Instant::now())
    }

    pub(crate) fn unix(&self) -> i64 {
        NOW + i64::try_from(self.0.elapsed().as_secs()).unwrap()
    }
}

#[async_trait]
impl Clock for StationClock {
    fn now(&self) -> Now {
        Now {
            mono: Tick::new(self.0.elapsed()),
            wall: UnixTime::from_unix(self.unix()),
            quality: ClockQuality::Synced,
            millis: Some(self.unix() * 1000),
        }
    }

    async fn sleep_until(&self, deadline: Tick) {
        tokio::time::sleep_until(self.0 + deadline.elapsed()).await;
    }
}

/// One generator after the other, all from one seed.
pub(crate) struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed << 32))
    }
}

impl Entropy for SeededEntropy {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(ChaCha20Rng::seed_from_u64(self.0.fetch_add(1, Ordering::SeqCst)))
    }
}

/// The store. Commits are atomic; a refused record leaves no trace.
#[derive(Default)]
pub(crate) struct MemoryStore {
    tables: Mutex<Tables>,
    gone: AtomicBool,
}

impl MemoryStore {
    pub(crate) fn certificates(&self) -> Vec<CertificateRow> {
        self.read(|t| t.certificates.values().cloned().collect())
    }

    pub(crate) fn put_certificate(&self, row: CertificateRow) {
        self.tables.lock().unwrap().certificates.insert(row.serial, row);
    }

    /// From now on it cannot be said whether anything is there.
    pub(crate) fn fail_reads(&self, fail: bool) {
        self.gone.store(fail, Ordering::SeqCst);
    }

    pub(super) fn read<T>(&self, f: impl FnOnce(&Tables) -> T) -> T {
        f(&self.tables.lock().unwrap())
    }
}

#[async_trait]
impl StationStore for MemoryStore {
    fn is_shared(&self) -> bool {
        false
    }
    async fn commit(
        &self,
        _now: &Now,
        record: &StationRecord,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let mut tables = self.tables.lock().unwrap();
        let mut next = tables.clone();
        for write in &record.writes {
            if let Err(refusal) = next.apply(write) {
                return Ok(Err(refusal));
            }
        }
        next.audit.extend(record.audit.iter().cloned());
        *tables = next;
        Ok(Ok(()))
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.read(|t| t.devices.get(id).cloned()))
    }
    async fn device_by_serial(&self, of: &DeviceSerial) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.read(|t| t.devices.values().find(|row| row.serial == *of).cloned()))
    }
    async fn device_by_identity(&self, of: &Thumbprint) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.read(|t| t.devices.values().find(|row| row.identity == *of).cloned()))
    }
    async fn devices_at_bed(&self, bed: &BedId) -> Result<Vec<DeviceRow>, StoreError> {
        let there = |row: &&DeviceRow| row.bed.as_ref() == Some(bed);
        Ok(self.read(|t| t.devices.values().filter(there).cloned().collect()))
    }
    async fn devices(&self, page: Page) -> Result<Vec<DeviceRow>, StoreError> {
        let skip = usize::try_from(page.offset).unwrap();
        let take = usize::try_from(page.limit).unwrap();
        Ok(self.read(|t| t.devices.values().skip(skip).take(take).cloned().collect()))
    }
    async fn peer_checkpoint(&self, _: &DeviceId) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
    async fn recovery_counter(&self, _: &DeviceId) -> Result<u64, StoreError> {
        Ok(0)
    }
    async fn enrolment_credential(
        &self,
        id: &DeviceId,
    ) -> Result<Option<EnrolmentCredentialRow>, StoreError> {
        Ok(self.read(|t| t.credentials.get(id).cloned()))
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
    async fn sessions_of(&self, _: &InstanceName) -> Result<Vec<SessionStanding>, StoreError> {
        Ok(Vec::new())
    }
    async fn session_state(&self, _: &SessionId) -> Result<Option<SessionState>, StoreError> {
        Ok(None)
    }
    async fn claimed_by(&self, token: &TokenId) -> Result<Option<SessionId>, StoreError> {
        Ok(self.read(|t| t.tokens.get(token).copied()))
    }
    async fn reservation(&self, device: &DeviceId) -> Result<Option<SessionRow>, StoreError> {
        Ok(self.read(|t| t.reservation(device).cloned()))
    }
    async fn typed_tries(
        &self,
        _: &OperatorId,
        _: &WindowId,
        _: UnixTime,
    ) -> Result<TypedTries, StoreError> {
        Ok(TypedTries::default())
    }
    async fn open_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        let open = |row: &&SessionRow| row.reserved || !row.phase.is_final();
        Ok(self.read(|t| t.sessions.values().filter(open).cloned().collect()))
    }
    async fn paired_since(&self, at: UnixTime) -> Result<u64, StoreError> {
        let paired = |row: &&SessionRow| row.phase == SessionPhase::Paired && row.opened_at >= at;
        Ok(self.read(|t| u64::try_from(t.sessions.values().filter(paired).count()).unwrap()))
    }
    async fn certificates(
        &self,
        state: CertificateState,
        page: Page,
    ) -> Result<Vec<CertificateListing>, StoreError> {
        let skip = usize::try_from(page.offset).unwrap();
        let take = usize::try_from(page.limit).unwrap();
        let rows = self.read(|t| {
            let rows = t.certificates.values().filter(|row| row.state == state);
            rows.skip(skip).take(take).cloned().map(CertificateListing::from).collect()
        });
        Ok(rows)
    }
    async fn count_certificates(&self, state: CertificateState) -> Result<u64, StoreError> {
        let rows = |t: &Tables| t.certificates.values().filter(|row| row.state == state).count();
        Ok(u64::try_from(self.read(rows)).unwrap())
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
        let matching = |row: &&CertificateRow| row.device_id == *device && row.state == state;
        Ok(self.read(|t| t.certificates.values().filter(matching).cloned().collect()))
    }
    async fn config_version(&self, _: &DeviceId) -> Result<u64, StoreError> {
        Ok(0)
    }
    async fn pending_since(&self, _: UnixTime) -> Result<Vec<CertificateRow>, StoreError> {
        Ok(Vec::new())
    }
    async fn revocations(&self, _: UnixTime) -> Result<Vec<RevocationRow>, StoreError> {
        Ok(self.read(|t| {
            let revoked = t.certificates.values().filter_map(|row| {
                let (revoked_at, reason) = row.revoked?;
                Some(RevocationRow { serial: row.serial, revoked_at, reason })
            });
            revoked.collect()
        }))
    }
    async fn crl_number(&self) -> Result<u64, StoreError> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("ordered by the test".to_owned()));
        }
        Ok(self.read(|t| t.crl.as_ref().map_or(0, |crl| crl.number)))
    }
    async fn latest_crl(&self) -> Result<Option<CrlRow>, StoreError> {
        Ok(self.read(|t| t.crl.clone()))
    }
    async fn newest_audit(&self, before: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let all = AuditPage { after: 0, limit: u32::MAX };
        let rows = self.audit(all).await?.into_iter().rev();
        let rows = rows.filter(|row| before == 0 || row.sequence < before);
        Ok(rows.take(usize::try_from(limit).unwrap()).collect())
    }
    async fn audit(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        let row = |(sequence, event): (u64, &zmon_domain::audit::AuditEvent)| AuditRow {
            lane: "station:CS-1".into(),
            sequence,
            timestamp_ms: NOW * 1000,
            event: event.event,
            device_id: event.device_id.clone(),
            session: event.session,
            actor: event.actor.clone(),
            success: event.success,
            error: event.error,
            configuration_hash: event.configuration_hash,
            detail: event
                .detail
                .iter()
                .map(|(name, text)| ((*name).into(), text.clone()))
                .collect(),
            hash: [0; 32],
        };
        let limit = usize::try_from(page.limit).unwrap();
        Ok(self.read(|t| {
            let rows = (1..).zip(t.audit.iter()).filter(|(sequence, _)| *sequence > page.after);
            rows.take(limit).map(row).collect()
        }))
    }
    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let rows = self.read(|t| u64::try_from(t.audit.len()).unwrap());
        Ok(AuditReport { rows, checkpoints: 2, heads: Vec::new(), damage: None })
    }
    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}
