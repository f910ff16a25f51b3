//! The station store in memory, with faults to order.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_station::ports::*;
use zmon_ward::{MemoryStationStore, Ram, Tables};

/// What a test has ordered.
#[derive(Default)]
struct Orders {
    fail_commits: bool,
    fail_on: Option<EventType>,
    password_between: Option<String>,
    place_between: Option<Place>,
}

/// The store; reads of the port are those of the store below.
pub(crate) struct MemoryStore {
    inner: Arc<MemoryStationStore>,
    orders: Arc<Mutex<Orders>>,
    commits: Arc<AtomicUsize>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let (orders, commits) = (Arc::<Mutex<Orders>>::default(), Arc::<AtomicUsize>::default());
        let counter = Arc::clone(&commits);
        let store = MemoryStationStore::new(Arc::new(Ram::default()));
        let store = store.shared().with_witness(Arc::new(move |_, _, _| {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        let ordered = Arc::clone(&orders);
        store.before(Some(Box::new(move |record, tables| {
            ordered.lock().unwrap().carry_out(record, tables)
        })));
        Self { inner: Arc::new(store), orders, commits }
    }
}

impl Orders {
    fn carry_out(&mut self, record: &StationRecord, tables: &mut Tables) -> Result<(), StoreError> {
        let ordered = record.audit.iter().any(|row| Some(row.event) == self.fail_on);
        if ordered || self.fail_commits {
            return Err(StoreError::AuditUnavailable("ordered by the test".to_owned()));
        }
        for write in &record.writes {
            if let StationWrite::AddLogin(row) = write
                && let Some(hash) = self.password_between.take()
            {
                tables.operators.get_mut(&row.operator).unwrap().password_hash = hash;
            }
            if let StationWrite::Place { device_id, .. } = write
                && let Some(place) = self.place_between.take()
            {
                let row = tables.devices.get_mut(device_id).unwrap();
                (row.bed, row.label) = (place.bed, place.label);
            }
        }
        Ok(())
    }
}

impl MemoryStore {
    /// The store as a station takes it.
    pub(crate) fn port(&self) -> Arc<dyn StationStore> {
        Arc::clone(&self.inner) as _
    }

    /// From now on every commit fails as if the audit log could not be written.
    pub(crate) fn fail_commits(&self, fail: bool) {
        self.orders.lock().unwrap().fail_commits = fail;
    }

    /// From now on every record with a row of this kind fails.
    pub(crate) fn fail_on(&self, event: Option<EventType>) {
        self.orders.lock().unwrap().fail_on = event;
    }

    /// Somebody changes the password right before the next login is stored.
    pub(crate) fn change_password_between(&self, hash: &str) {
        self.orders.lock().unwrap().password_between = Some(hash.to_owned());
    }

    /// Somebody else moves the device right before its next move is stored, and takes that back.
    pub(crate) fn move_between(&self, place: Place) {
        self.orders.lock().unwrap().place_between = Some(place);
    }

    /// How many records were committed.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    /// The audit rows so far.
    pub(crate) fn audit_events(&self) -> Vec<AuditEvent> {
        self.tables().log.rows().iter().map(|row| row.event.clone()).collect()
    }

    /// How many audit rows of one kind there are.
    pub(crate) fn count(&self, event: EventType) -> usize {
        self.audit_events().iter().filter(|row| row.event == event).count()
    }

    /// Every certificate.
    pub(crate) fn certificates(&self) -> Vec<CertificateRow> {
        self.tables().certificates.values().cloned().collect()
    }

    /// Every session.
    pub(crate) fn sessions(&self) -> Vec<SessionRow> {
        self.tables().sessions.values().cloned().collect()
    }

    /// Puts rows in without any rule.
    pub(crate) async fn put_device(&self, row: DeviceRow) {
        self.put(|tables| drop(tables.devices.insert(row.id.clone(), row))).await;
    }
}

impl Deref for MemoryStore {
    type Target = MemoryStationStore;

    fn deref(&self) -> &MemoryStationStore {
        &self.inner
    }
}
