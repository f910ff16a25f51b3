//! The device's store.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zmon_crypto::IdentityKey;
use zmon_domain::ids::DeviceId;
use zmon_domain::time::Now;
use zmon_protocol::device::{BootState, DeviceRecord, DeviceWrite};
use zmon_provisioning::ports::{
    AuditPage, AuditReport, AuditRow, DeviceStore, LaneReport, SharedRng, StoreError,
};

use crate::disk::{DiskError, Medium};
use crate::lock;
use crate::log::{Log, Row};

/// Everything a device remembers.
#[derive(Debug, Clone, Default)]
pub struct DeviceMemory {
    /// Slots, window, counters.
    pub boot: BootState,
    /// The audit log.
    pub log: Log,
}

impl DeviceMemory {
    /// What an empty disk of this device holds.
    #[must_use]
    pub fn empty(device: &DeviceId) -> Self {
        Self { boot: BootState::default(), log: Log::new(format!("device:{device}")) }
    }
}

/// Sees every record that has become durable, and the memory before and after it.
pub(crate) type DeviceWitness =
    Arc<dyn Fn(&DeviceMemory, &DeviceMemory, &DeviceRecord) + Send + Sync>;

/// May change a record before it is carried out.
pub(crate) type DeviceHook = Box<dyn FnMut(&mut DeviceRecord) + Send + Sync>;

/// A [`DeviceStore`] in memory.
pub struct MemoryDeviceStore {
    medium: Arc<dyn Medium<DeviceMemory>>,
    hook: Mutex<Option<DeviceHook>>,
    witness: Option<DeviceWitness>,
    signer: Option<(Arc<dyn IdentityKey>, SharedRng)>,
}

impl MemoryDeviceStore {
    /// The store of a device on this medium.
    #[must_use]
    pub fn new(medium: Arc<dyn Medium<DeviceMemory>>) -> Self {
        Self { medium, hook: Mutex::default(), witness: None, signer: None }
    }

    /// The same store, signing checkpoints of its audit log.
    #[must_use]
    pub fn with_checkpoints(self, key: Arc<dyn IdentityKey>, rng: SharedRng) -> Self {
        Self { signer: Some((key, rng)), ..self }
    }

    pub(crate) fn with_witness(self, witness: DeviceWitness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    pub(crate) fn with_hook(self, hook: Option<DeviceHook>) -> Self {
        Self { hook: Mutex::new(hook), ..self }
    }

    async fn checkpoint_if_due(&self, now: &Now, record: &DeviceRecord) {
        let Some((key, rng)) = &self.signer else { return };
        let marks =
            |write: &DeviceWrite| matches!(write, DeviceWrite::OpenWindow(_) | DeviceWrite::Flip);
        if !record.writes.iter().any(marks) {
            return;
        }
        let mut next = (*self.medium.read()).clone();
        if next.log.attest(now, key.as_ref(), &mut *rng.lock()) {
            // The rows are durable; the next one speaks for them too.
            let _later = self.medium.write(next, Box::new(|| ())).await;
        }
    }
}

#[async_trait]
impl DeviceStore for MemoryDeviceStore {
    async fn load(&self) -> Result<BootState, StoreError> {
        Ok(self.medium.read().boot.clone())
    }

    async fn commit(&self, now: &Now, record: &DeviceRecord) -> Result<(), StoreError> {
        let _turn = self.medium.turn().await;
        let before = self.medium.read();
        let (mut next, mut record) = ((*before).clone(), record.clone());
        if let Some(hook) = lock(&self.hook).as_mut() {
            hook(&mut record);
        }
        for write in &record.writes {
            let applied = next.boot.apply(write);
            applied.map_err(|code| StoreError::Corrupt(format!("{write:?}: {code}")))?;
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
        Ok(())
    }

    async fn events(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        let memory = self.medium.read();
        let after = usize::try_from(page.after).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let rows = (1..).zip(memory.log.rows()).skip(after).take(take);
        Ok(rows.map(|(sequence, row)| shown(&memory.log, sequence, row)).collect())
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let memory = self.medium.read();
        let (rows, head) = memory.log.head();
        let damage = memory.log.damage();
        let lane = LaneReport {
            lane: memory.log.lane().to_owned(),
            rows,
            head,
            broken_at: damage.map(|(sequence, rule)| (sequence, rule.to_owned())),
        };
        let checkpoints = u64::try_from(memory.log.checkpoints()).unwrap_or(u64::MAX);
        let mut report = AuditReport::default();
        report.lanes.push(lane);
        report.checkpoints = checkpoints;
        Ok(report)
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(self.medium.read().log.checkpoint())
    }
}

fn shown(log: &Log, sequence: u64, row: &Row) -> AuditRow {
    let event = &row.event;
    let mut shown = AuditRow::new(sequence, log.lane().to_owned(), event.event, event.success);
    shown.timestamp = row.millis;
    shown.device_id = event.device_id.clone();
    shown.session = event.session;
    shown.actor = event.actor.clone();
    shown.error = event.error;
    shown.code_hash = event.code_hash;
    shown.configuration_hash = event.configuration_hash;
    shown.detail = event.detail.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    shown.hash = row.hash;
    shown
}

fn failed(error: DiskError) -> StoreError {
    match error {
        DiskError::Full => StoreError::Audit("no space left".to_owned()),
        DiskError::Broken => StoreError::Unavailable("input/output error".to_owned()),
    }
}
