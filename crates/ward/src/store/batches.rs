//! Batches of pairings and their items ([W §1]).

use async_trait::async_trait;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::ids::{BatchId, DeviceId, DeviceSerial};
use zmon_station::ports::{
    BatchItemRow, BatchListing, BatchRefusal, BatchRow, BatchStore, BatchWrite, Page, StoreError,
};
use zmon_wire::batch::BatchCounts;

use super::station::MemoryStationStore;
use super::tables::Tables;

impl Tables {
    /// Carries out one write about batches.
    #[expect(clippy::panic, reason = "a write that is not carried out would be a lie")]
    pub(super) fn apply_batch(&mut self, write: &BatchWrite) -> Result<(), BatchRefusal> {
        match write {
            BatchWrite::Open(row, items) => {
                let taken = |item: &&BatchItemRow| {
                    item.state == ItemState::Waiting && self.keeps(&row.id, item)
                };
                if let Some(item) = items.iter().find(taken) {
                    return Err(BatchRefusal::Elsewhere(item.number));
                }
                self.batches.insert(row.id, (**row).clone());
                let named = items.iter().map(|item| ((row.id, item.number), item.clone()));
                self.batch_items.extend(named);
            }
            BatchWrite::Move { batch, to } => {
                self.must_be(batch, |state| state != BatchState::Closed)?;
                if let Some(row) = self.batches.get_mut(batch) {
                    row.state = *to;
                }
                let own = self.batch_items.values_mut().filter(|item| item.batch == *batch);
                for item in own.filter(|item| item.state == ItemState::Waiting) {
                    if *to == BatchState::Closed {
                        item.state = ItemState::Skipped;
                    }
                }
            }
            BatchWrite::Begin { batch, number, device_id, operator, at } => {
                self.must_be(batch, |state| state == BatchState::Open)?;
                let item = self.item(batch, *number, |item| item.state == ItemState::Waiting)?;
                item.state = ItemState::Pairing;
                item.attempts += 1;
                item.device_id = Some(device_id.clone());
                item.operator = Some(operator.clone());
                (item.begun_at, item.ended_at, item.session) = (Some(*at), None, None);
            }
            BatchWrite::Session { batch, number, session } => {
                let item = self.item(batch, *number, |item| item.state == ItemState::Pairing)?;
                item.session = Some(*session);
            }
            BatchWrite::End { batch, number, error, at } => {
                let item = self.item(batch, *number, |item| item.state == ItemState::Pairing)?;
                item.state = if error.is_some() { ItemState::Failed } else { ItemState::Paired };
                item.ended_at = Some(*at);
                item.error = error.as_ref().map(|report| report.code);
                item.detail = error.as_ref().and_then(|report| report.detail.clone());
            }
            BatchWrite::Retry { batch, number } => {
                self.must_be(batch, |state| state != BatchState::Closed)?;
                let item = self.item(batch, *number, |item| item.can_be_retried())?;
                item.state = ItemState::Waiting;
                (item.error, item.detail) = (None, None);
            }
            other => panic!("the simulated store does not know {other:?}"),
        }
        Ok(())
    }

    fn must_be(
        &self,
        id: &BatchId,
        fits: impl FnOnce(BatchState) -> bool,
    ) -> Result<(), BatchRefusal> {
        let state = self.batches.get(id).map(|row| row.state);
        if state.is_some_and(fits) { Ok(()) } else { Err(BatchRefusal::Batch(state)) }
    }

    fn item(
        &mut self,
        batch: &BatchId,
        number: u32,
        fits: impl FnOnce(&BatchItemRow) -> bool,
    ) -> Result<&mut BatchItemRow, BatchRefusal> {
        match self.batch_items.get_mut(&(*batch, number)) {
            None => Err(BatchRefusal::Item(None)),
            Some(item) if fits(item) => Ok(item),
            Some(item) => Err(BatchRefusal::Item(Some(item.state))),
        }
    }

    fn keeps(&self, batch: &BatchId, item: &BatchItemRow) -> bool {
        let others = self.items_of(item.device_id.as_ref(), item.serial.as_ref());
        others.into_iter().any(|other| other.batch != *batch && other.keeps_device())
    }

    fn items_of(
        &self,
        device: Option<&DeviceId>,
        serial: Option<&DeviceSerial>,
    ) -> Vec<BatchItemRow> {
        let is_open = |item: &&BatchItemRow| {
            self.batches.get(&item.batch).is_some_and(|row| row.state != BatchState::Closed)
        };
        let named = |item: &&BatchItemRow| {
            let by_id = device.is_some() && item.device_id.as_ref() == device;
            let by_serial = serial.is_some() && item.serial.as_ref() == serial;
            by_id || by_serial && (item.device_id.is_none() || device.is_none())
        };
        self.batch_items.values().filter(is_open).filter(named).cloned().collect()
    }

    fn of_batch(&self, id: BatchId) -> impl Iterator<Item = &BatchItemRow> {
        self.batch_items.range((id, 0)..=(id, u32::MAX)).map(|(_, item)| item)
    }

    fn listed(&self, row: &BatchRow) -> BatchListing {
        let mut counts = BatchCounts::default();
        self.of_batch(row.id).for_each(|item| counts.count(item.state));
        BatchListing { row: row.clone(), counts }
    }
}

#[async_trait]
impl BatchStore for MemoryStationStore {
    async fn batch(&self, id: &BatchId) -> Result<Option<BatchRow>, StoreError> {
        Ok(self.tables().batches.get(id).cloned())
    }

    async fn batches(&self, page: Page) -> Result<Vec<BatchListing>, StoreError> {
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let tables = self.tables();
        let mut rows: Vec<_> = tables.batches.values().collect();
        rows.sort_by_key(|row| (core::cmp::Reverse(row.opened_at), row.id));
        Ok(rows.into_iter().skip(skip).take(take).map(|row| tables.listed(row)).collect())
    }

    async fn count_batches(&self) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.tables().batches.len()).unwrap_or(u64::MAX))
    }

    async fn batch_items(&self, id: &BatchId) -> Result<Vec<BatchItemRow>, StoreError> {
        Ok(self.tables().of_batch(*id).cloned().collect())
    }

    async fn batch_items_of(
        &self,
        device: Option<&DeviceId>,
        serial: Option<&DeviceSerial>,
    ) -> Result<Vec<BatchItemRow>, StoreError> {
        Ok(self.tables().items_of(device, serial))
    }

    async fn running_batch_items(&self) -> Result<Vec<BatchItemRow>, StoreError> {
        let at_work = |item: &&BatchItemRow| item.state == ItemState::Pairing;
        Ok(self.tables().batch_items.values().filter(at_work).cloned().collect())
    }
}
