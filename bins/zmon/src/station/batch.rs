//! Batches of pairings.

use url::form_urlencoded;
use zmon_cli::Failure;
use zmon_domain::ids::{BatchId, BatchName};
use zmon_transport::{
    client::{Ask, JSON},
    paths,
};
use zmon_wire::{
    batch::{BatchList, BatchRetryAnswer, BatchRetryRequest, BatchScanAnswer, BatchView},
    pair::ScanRequest,
};

use super::{StationClient, read, send};

/// Longest answer about a batch: a thousand items, each with a problem.
const BATCH_MAX: usize = 4 * 1024 * 1024;

impl StationClient {
    /// Opens a batch with a manifest, given as its exact bytes.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn open_batch(
        &mut self,
        name: &BatchName,
        manifest: Vec<u8>,
    ) -> Result<BatchView, Failure> {
        let name: String = form_urlencoded::byte_serialize(name.as_str().as_bytes()).collect();
        let path = format!("{}?name={name}", paths::BATCHES);
        let ask = self.authorized(Ask::post(&path, JSON, manifest));
        read(&send(&mut self.connection, ask, BATCH_MAX).await?)
    }

    /// Every batch, the newest first.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn batches(&mut self) -> Result<BatchList, Failure> {
        let mut all = BatchList { batches: Vec::new(), total: 0 };
        loop {
            let path = format!("{}?offset={}", paths::BATCHES, all.batches.len());
            let page: BatchList = read(&self.get(&path, BATCH_MAX).await?)?;
            if page.batches.is_empty() {
                return Ok(all);
            }
            all.total = page.total;
            all.batches.extend(page.batches);
        }
    }

    /// A batch with all its items.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn batch(&mut self, id: BatchId) -> Result<BatchView, Failure> {
        read(&self.get(&paths::of_batch(paths::BATCH, id), BATCH_MAX).await?)
    }

    /// Scans a device for a batch.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn batch_scan(
        &mut self,
        id: BatchId,
        scan: &ScanRequest,
    ) -> Result<BatchScanAnswer, Failure> {
        read(&self.post(&paths::of_batch(paths::BATCH_SCAN, id), scan).await?)
    }

    /// Pauses, resumes or closes a batch, as the path says.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn move_batch(
        &mut self,
        path: &str,
        id: BatchId,
    ) -> Result<BatchView, Failure> {
        let path = paths::of_batch(path, id);
        let ask = self.authorized(Ask::post(&path, JSON, Vec::new()));
        read(&send(&mut self.connection, ask, BATCH_MAX).await?)
    }

    /// Lets failed items wait to be scanned again: these rows, or all.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn retry_batch(
        &mut self,
        id: BatchId,
        rows: Option<Vec<u32>>,
    ) -> Result<BatchRetryAnswer, Failure> {
        let path = paths::of_batch(paths::BATCH_RETRY, id);
        match rows {
            Some(rows) => read(&self.post(&path, &BatchRetryRequest { rows }).await?),
            None => {
                let ask = self.authorized(Ask::post(&path, JSON, Vec::new()));
                read(&send(&mut self.connection, ask, BATCH_MAX).await?)
            }
        }
    }
}
