//! Looking at batches.

use zmon_domain::ids::BatchId;
use zmon_domain::limits;
use zmon_domain::role::{Action, OperatorProof};
use zmon_wire::batch::{BatchCounts, BatchItemView, BatchList, BatchSummary, BatchView};
use zmon_wire::problem::Problem;

use crate::error::StationError;
use crate::ports::{BatchItemRow, BatchRow, Page};
use crate::station::Station;

impl Station {
    /// `GET /api/batches`: one page, the newest first; at most [`limits::PAGE_ROWS`] rows.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn batches(
        &self,
        proof: &OperatorProof,
        page: Page,
    ) -> Result<BatchList, StationError> {
        self.authorise(proof, Action::ReadRegistry, &self.now()).await?;
        let most = u32::try_from(limits::PAGE_ROWS.max).unwrap_or(u32::MAX);
        let page = Page { limit: page.limit.min(most), ..page };
        let listed = self.parts.store.batches(page).await?;
        let batches = listed.into_iter().map(|listed| BatchSummary {
            batch_id: listed.row.id,
            batch_name: listed.row.name,
            state: listed.row.state,
            operator: listed.row.operator,
            opened_at: listed.row.opened_at,
            counts: listed.counts,
        });
        let batches = batches.collect();
        Ok(BatchList { batches, total: self.parts.store.count_batches().await? })
    }

    /// `GET /api/batches/{batchId}`: a batch with all its items, which is its report.
    ///
    /// # Errors
    /// `batch_unknown`, `not_permitted`, storage errors.
    pub async fn batch(
        &self,
        proof: &OperatorProof,
        id: &BatchId,
    ) -> Result<BatchView, StationError> {
        self.authorise(proof, Action::ReadRegistry, &self.now()).await?;
        self.batch_as_it_is(id).await
    }

    pub(super) async fn batch_as_it_is(&self, id: &BatchId) -> Result<BatchView, StationError> {
        let batch = self.known_batch(id).await?;
        let items = self.parts.store.batch_items(id).await?;
        Ok(self.batch_view(batch, items))
    }

    pub(super) fn batch_view(&self, batch: BatchRow, items: Vec<BatchItemRow>) -> BatchView {
        let mut counts = BatchCounts::default();
        items.iter().for_each(|item| counts.count(item.state));
        let concurrency = self.parts.policy.batch_concurrency;
        BatchView {
            batch_id: batch.id,
            batch_name: batch.name,
            state: batch.state,
            operator: batch.operator,
            opened_at: batch.opened_at,
            concurrency: u32::try_from(concurrency).unwrap_or(u32::MAX),
            counts,
            items: items.into_iter().map(item_view).collect(),
        }
    }
}

fn item_view(item: BatchItemRow) -> BatchItemView {
    BatchItemView {
        row: item.number,
        problem: item.report().as_ref().map(Problem::new),
        device_id: item.device_id,
        device_serial: item.serial,
        bed_id: item.wanted.bed,
        device_label: item.wanted.label,
        state: item.state,
        attempts: item.attempts,
        operator: item.operator,
        session_id: item.session,
        begun_at: item.begun_at,
        ended_at: item.ended_at,
    }
}
