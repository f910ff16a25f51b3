//! Pausing, resuming, retrying and closing a batch.

use zmon_domain::audit::EventType;
use zmon_domain::batch::BatchState;
use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::ids::BatchId;
use zmon_domain::role::{Action, OperatorProof};
use zmon_wire::batch::{BatchRetryAnswer, BatchView};
use zmon_wire::kind::True;

use super::{event, failed, refused};
use crate::error::StationError;
use crate::ports::{BatchItemRow, BatchRefusal, BatchWrite, Refusal, StationWrite};
use crate::station::Station;
use crate::station::certificates::RACES;

impl Station {
    /// `POST /api/batches/{batchId}/pause`: no scan is taken for now. What has been scanned runs to its end,
    /// because its code is used up. Saying it again changes nothing.
    ///
    /// # Errors
    /// `not_permitted`, `batch_unknown`, `batch_closed`, storage errors.
    pub async fn pause_batch(
        &self,
        proof: &OperatorProof,
        id: &BatchId,
    ) -> Result<BatchView, StationError> {
        self.move_batch(proof, id, EventType::BatchPaused, BatchState::Paused).await
    }

    /// `POST /api/batches/{batchId}/resume`: scans are taken again. Saying it again changes nothing.
    ///
    /// # Errors
    /// As [`Station::pause_batch`].
    pub async fn resume_batch(
        &self,
        proof: &OperatorProof,
        id: &BatchId,
    ) -> Result<BatchView, StationError> {
        self.move_batch(proof, id, EventType::BatchResumed, BatchState::Open).await
    }

    /// `POST /api/batches/{batchId}/close`: nothing is taken any more, what waits is skipped, what runs
    /// comes to its end. Saying it again changes nothing.
    ///
    /// # Errors
    /// `not_permitted`, `batch_unknown`, storage errors.
    pub async fn close_batch(
        &self,
        proof: &OperatorProof,
        id: &BatchId,
    ) -> Result<BatchView, StationError> {
        self.move_batch(proof, id, EventType::BatchClosed, BatchState::Closed).await
    }

    async fn move_batch(
        &self,
        proof: &OperatorProof,
        id: &BatchId,
        name: EventType,
        to: BatchState,
    ) -> Result<BatchView, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::RunBatch, &now).await?;
        if self.known_batch(id).await?.state != to {
            let write = StationWrite::Batch(BatchWrite::Move { batch: *id, to });
            let row = event(name, &actor, id);
            match self.try_commit(&now, vec![row.clone()], vec![write]).await? {
                Ok(()) => self.batch_moved(*id),
                Err(Refusal::Batch(refusal)) => {
                    let code = refused(refusal);
                    return self.refuse(&now, failed(row, code), code.into()).await;
                }
                Err(refusal) => return Err(Self::unexpected(&refusal)),
            }
        }
        self.batch_as_it_is(id).await
    }

    /// `POST /api/batches/{batchId}/retry`: items that have failed wait to be scanned again, all of them or
    /// those of some rows. A bad row is mended in the manifest of another batch.
    ///
    /// # Errors
    /// `not_permitted`, `batch_unknown`, `batch_closed`; `request_malformed` for a row that cannot be
    /// retried; storage errors.
    pub async fn retry_batch(
        &self,
        proof: &OperatorProof,
        id: &BatchId,
        rows: Option<&[u32]>,
    ) -> Result<BatchRetryAnswer, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::RunBatch, &now).await?;
        self.known_batch(id).await?;
        for _ in 0..RACES {
            let items = self.parts.store.batch_items(id).await?;
            let rows = chosen(&items, rows)?;
            if rows.is_empty() {
                return Ok(BatchRetryAnswer { success: True, rows });
            }
            let again = |number: &u32| {
                StationWrite::Batch(BatchWrite::Retry { batch: *id, number: *number })
            };
            let writes = rows.iter().map(again).collect();
            let row = event(EventType::BatchRetried, &actor, id).with("items", rows.len());
            match self.try_commit(&now, vec![row.clone()], writes).await? {
                Ok(()) => {
                    self.batch_moved(*id);
                    return Ok(BatchRetryAnswer { success: True, rows });
                }
                // Somebody else has retried one meanwhile.
                Err(Refusal::Batch(BatchRefusal::Item(_))) => {}
                Err(Refusal::Batch(refusal)) => {
                    let code = refused(refusal);
                    return self.refuse(&now, failed(row, code), code.into()).await;
                }
                Err(refusal) => return Err(Self::unexpected(&refusal)),
            }
        }
        Err(ErrorCode::StateConflict.into())
    }
}

fn chosen(items: &[BatchItemRow], rows: Option<&[u32]>) -> Result<Vec<u32>, StationError> {
    let failed: Vec<u32> =
        items.iter().filter(|item| item.can_be_retried()).map(|item| item.number).collect();
    let Some(rows) = rows else { return Ok(failed) };
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows.dedup();
    if rows.iter().all(|row| failed.contains(row)) {
        return Ok(rows);
    }
    Err(FieldError::new("rows", "must name items that were scanned and have failed").into())
}
