//! A store in memory that does what the port promises, and fails when told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::time::Now;
use zmon_protocol::device::{BootState, DeviceRecord};
use zmon_provisioning::ports::{AuditPage, AuditReport, AuditRow, DeviceStore, StoreError};

/// What the store holds.
#[derive(Default)]
pub(crate) struct MemoryStore {
    boot: Mutex<BootState>,
    rows: Mutex<Vec<AuditEvent>>,
    commits: AtomicUsize,
    passes: AtomicUsize,
    failures: AtomicUsize,
    /// The newest checkpoint.
    pub(crate) checkpoint: Mutex<Option<String>>,
}

impl MemoryStore {
    /// The next `count` commits fail.
    pub(crate) fn fail_next(&self, count: usize) {
        self.passes.store(0, Ordering::SeqCst);
        self.failures.store(count, Ordering::SeqCst);
    }

    /// After `passes` more commits, one fails.
    pub(crate) fn fail_after(&self, passes: usize) {
        self.passes.store(passes, Ordering::SeqCst);
        self.failures.store(1, Ordering::SeqCst);
    }

    /// Commits that succeeded.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    /// Event types of all rows, in order.
    pub(crate) fn event_types(&self) -> Vec<EventType> {
        self.rows.lock().unwrap().iter().map(|row| row.event).collect()
    }

    /// The rows of one type, in order.
    pub(crate) fn rows_of(&self, event: EventType) -> Vec<AuditEvent> {
        self.rows.lock().unwrap().iter().filter(|row| row.event == event).cloned().collect()
    }

    /// What a restart would find.
    pub(crate) fn boot(&self) -> BootState {
        self.boot.lock().unwrap().clone()
    }
}

#[async_trait]
impl DeviceStore for MemoryStore {
    async fn load(&self) -> Result<BootState, StoreError> {
        Ok(self.boot())
    }

    async fn commit(&self, _now: &Now, record: &DeviceRecord) -> Result<(), StoreError> {
        let counts_down = |counter: &AtomicUsize| {
            let less = |left: usize| left.checked_sub(1);
            counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
        };
        if !counts_down(&self.passes) && counts_down(&self.failures) {
            return Err(StoreError::Audit("told to fail".into()));
        }
        self.rows.lock().unwrap().extend(record.audit.iter().cloned());
        let mut boot = self.boot.lock().unwrap();
        for write in &record.writes {
            boot.apply(write).unwrap();
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn events(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.rows.lock().unwrap();
        let page = (1u64..)
            .zip(rows.iter())
            .filter(|(sequence, _)| *sequence > page.after)
            .take(page.limit as usize)
            .map(|(sequence, row)| {
                AuditRow::new(sequence, "device:test".into(), row.event, row.success)
            });
        Ok(page.collect())
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        Ok(AuditReport::default())
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(self.checkpoint.lock().unwrap().clone())
    }
}
