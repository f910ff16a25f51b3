//! Batches of pairings ([W §1]): a manifest, and one scan a device. Each item is paired by the use-cases
//! that everybody has, with its own row's bed, label, settings and key, whatever its neighbours do.

mod control;
mod look;
mod open;
mod run;
mod scan;
mod settle;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::BatchId;
use zmon_domain::role::Actor;

use super::Station;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{BatchItemRow, BatchRefusal, BatchRow};

pub(super) use run::Batches;

impl Station {
    async fn known_batch(&self, id: &BatchId) -> Result<BatchRow, StationError> {
        self.parts.store.batch(id).await?.ok_or_else(|| ErrorCode::BatchUnknown.into())
    }

    fn batch_moved(&self, id: BatchId) {
        self.emit(StationEvent::Batch { id });
    }
}

/// A row about a batch.
fn event(event: EventType, actor: &Actor, batch: &BatchId) -> AuditEvent {
    AuditEvent::new(event, actor.clone()).with("batch", batch)
}

/// A row about an item.
fn item_event(name: EventType, actor: &Actor, item: &BatchItemRow) -> AuditEvent {
    let row = event(name, actor, &item.batch).with("row", item.number);
    match &item.device_id {
        Some(device) => row.device(device),
        None => row,
    }
}

/// The same about something that did not succeed.
const fn failed(mut row: AuditEvent, code: ErrorCode) -> AuditEvent {
    row.success = false;
    row.error = Some(code);
    row
}

/// What an operator is told when the store refuses a write.
const fn refused(refusal: BatchRefusal) -> ErrorCode {
    match refusal {
        BatchRefusal::Batch(None) | BatchRefusal::Item(None) => ErrorCode::BatchUnknown,
        BatchRefusal::Batch(Some(BatchState::Closed)) => ErrorCode::BatchClosed,
        BatchRefusal::Batch(Some(BatchState::Paused)) => ErrorCode::BatchPaused,
        BatchRefusal::Item(Some(ItemState::Skipped)) => ErrorCode::BatchClosed,
        BatchRefusal::Item(Some(_)) => ErrorCode::BatchItemTaken,
        BatchRefusal::Batch(Some(BatchState::Open)) | BatchRefusal::Elsewhere(_) => {
            ErrorCode::StateConflict
        }
    }
}
