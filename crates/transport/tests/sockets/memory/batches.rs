//! Batches in memory: as much as these tests look at.

use async_trait::async_trait;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::ids::{BatchId, DeviceId, DeviceSerial};
use zmon_station::ports::{
    BatchItemRow, BatchListing, BatchRefusal, BatchRow, BatchStore, BatchWrite, Page, Refusal,
    StoreError,
};
use zmon_wire::batch::BatchCounts;

use super::station::MemoryStore;
use super::tables::Tables;

impl Tables {
    pub(super) fn apply_batch(&mut self, write: &BatchWrite) -> Result<(), Refusal> {
        match write {
            BatchWrite::Open(row, items) => {
                self.batches.insert(row.id, (**row).clone());
                self.items.extend(items.iter().cloned());
            }
            BatchWrite::Move { batch, to } => {
                let row = self.batches.get_mut(batch).unwrap();
                if row.state == BatchState::Closed {
                    return Err(Refusal::Batch(BatchRefusal::Batch(Some(row.state))));
                }
                row.state = *to;
            }
            BatchWrite::Begin { batch, number, operator, at, .. } => {
                let state = self.batches[batch].state;
                if state != BatchState::Open {
                    return Err(Refusal::Batch(BatchRefusal::Batch(Some(state))));
                }
                let item = self.item(batch, *number);
                item.state = ItemState::Pairing;
                item.attempts += 1;
                (item.operator, item.begun_at) = (Some(operator.clone()), Some(*at));
            }
            BatchWrite::Session { batch, number, session } => {
                self.item(batch, *number).session = Some(*session);
            }
            BatchWrite::End { batch, number, error, at } => {
                let item = self.item(batch, *number);
                let failed = error.as_ref().map(|report| report.code);
                item.state = failed.map_or(ItemState::Paired, |_| ItemState::Failed);
                (item.error, item.ended_at) = (failed, Some(*at));
            }
            BatchWrite::Retry { batch, number } => {
                let item = self.item(batch, *number);
                (item.state, item.error) = (ItemState::Waiting, None);
            }
            other => unreachable!("{other:?}"),
        }
        Ok(())
    }

    fn item(&mut self, batch: &BatchId, number: u32) -> &mut BatchItemRow {
        let mut items = self.items.iter_mut();
        items.find(|item| item.batch == *batch && item.number == number).unwrap()
    }
}

#[async_trait]
impl BatchStore for MemoryStore {
    async fn batch(&self, id: &BatchId) -> Result<Option<BatchRow>, StoreError> {
        Ok(self.read(|t| t.batches.get(id).cloned()))
    }
    async fn batches(&self, _: Page) -> Result<Vec<BatchListing>, StoreError> {
        let listed =
            |row: &BatchRow| BatchListing { row: row.clone(), counts: BatchCounts::default() };
        Ok(self.read(|t| t.batches.values().map(listed).collect()))
    }
    async fn count_batches(&self) -> Result<u64, StoreError> {
        Ok(self.read(|t| u64::try_from(t.batches.len()).unwrap()))
    }
    async fn batch_items(&self, id: &BatchId) -> Result<Vec<BatchItemRow>, StoreError> {
        Ok(self.read(|t| t.items.iter().filter(|item| item.batch == *id).cloned().collect()))
    }
    async fn batch_items_of(
        &self,
        device: Option<&DeviceId>,
        _: Option<&DeviceSerial>,
    ) -> Result<Vec<BatchItemRow>, StoreError> {
        let named = |item: &&BatchItemRow| item.device_id.as_ref() == device;
        Ok(self.read(|t| t.items.iter().filter(named).cloned().collect()))
    }
    async fn running_batch_items(&self) -> Result<Vec<BatchItemRow>, StoreError> {
        let at_work = |item: &&BatchItemRow| item.state == ItemState::Pairing;
        Ok(self.read(|t| t.items.iter().filter(at_work).cloned().collect()))
    }
}
