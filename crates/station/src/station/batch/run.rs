//! The items that are at work in this process: each is a task of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{BatchId, SessionId};
use zmon_domain::role::OperatorProof;
use zmon_domain::route::Route;
use zmon_wire::pair::{PairRequest, ScanRequest};

use crate::error::StationError;
use crate::ports::{BatchItemRow, BatchWrite, SessionPhase, StationWrite};
use crate::station::{ScanOutcome, Station};

/// Batch and row.
type Key = (BatchId, u32);

/// The items that are at work.
pub(in crate::station) struct Batches {
    concurrency: usize,
    slots: Mutex<BTreeMap<BatchId, Weak<Semaphore>>>,
    running: Mutex<BTreeMap<Key, Option<AbortHandle>>>,
}

impl Batches {
    /// None, and so many pairings of a batch at a time.
    pub(in crate::station) fn new(concurrency: usize) -> Self {
        Self { concurrency, slots: Mutex::default(), running: Mutex::default() }
    }

    /// Begins an item; `None` when it is at work already.
    pub(super) fn enter(&self, station: &Arc<Station>, key: Key) -> Option<Turn> {
        let mut running = lock(&self.running);
        if running.contains_key(&key) {
            return None;
        }
        running.insert(key, None);
        Some(Turn { station: Arc::clone(station), key })
    }

    /// Whether a task of this process works on an item.
    pub(super) fn is_running(&self, key: &Key) -> bool {
        lock(&self.running).contains_key(key)
    }

    /// Ends every task where it stands. What is committed stays; the next start puts it in order.
    pub(in crate::station) fn abort_all(&self) {
        // Ending a task takes its key away: not while the lock is held.
        let running = core::mem::take(&mut *lock(&self.running));
        running.into_values().flatten().for_each(|task| task.abort());
    }

    fn started(&self, key: &Key, task: AbortHandle) {
        if let Some(place) = lock(&self.running).get_mut(key) {
            *place = Some(task);
        }
    }

    /// What the pairings of one batch share.
    fn slots(&self, batch: BatchId) -> Arc<Semaphore> {
        let mut slots = lock(&self.slots);
        slots.retain(|_, batch| batch.strong_count() > 0);
        if let Some(known) = slots.get(&batch).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::new(Semaphore::new(self.concurrency));
        slots.insert(batch, Arc::downgrade(&new));
        new
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An item at work, until it is dropped.
pub(super) struct Turn {
    station: Arc<Station>,
    key: Key,
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.station.batches.running).remove(&self.key);
    }
}

/// Why a session goes no further than its claim: the device proved another serial number than its row
/// says, or nobody but a courier reaches it, whom nobody has asked for (D7).
fn unfit(item: &BatchItemRow, request: &ScanRequest, scanned: &ScanOutcome) -> Option<ErrorCode> {
    let named = item.serial.as_ref();
    match scanned {
        ScanOutcome::Scanned(answer) => named
            .is_some_and(|serial| *serial != answer.device_serial)
            .then_some(ErrorCode::DeviceMismatch),
        ScanOutcome::Pending(pending) => {
            let courier = pending.delivery == Route::Courier;
            let asked = request.delivery == Some(Route::Courier);
            (courier && !asked).then_some(ErrorCode::DeviceUnreachable)
        }
    }
}

impl Station {
    /// Starts the task of an item that has begun.
    pub(super) fn run_item(
        self: &Arc<Self>,
        turn: Turn,
        proof: OperatorProof,
        item: BatchItemRow,
        request: ScanRequest,
    ) {
        let (station, key) = (Arc::clone(self), turn.key);
        // All of a batch's items wait for their slots in the order of their scans.
        let slots = self.batches.slots(item.batch);
        let task = tokio::spawn(async move {
            let ended = station.work(&proof, &item, request, &slots).await;
            let now = station.now();
            match ended {
                Ok(session) => {
                    let item = BatchItemRow { session: Some(session), ..item };
                    station.settle_item(&now, &item).await;
                }
                Err(error) => station.end_item(&now, &item, Err(error.report)).await,
            }
            drop(turn);
        });
        self.batches.started(&key, task.abort_handle());
    }

    /// Claims and pairs a device by the use-cases that everybody has, with what its own row says; returns
    /// its session when that has ended, or nobody knows of it any more.
    async fn work(
        self: &Arc<Self>,
        proof: &OperatorProof,
        item: &BatchItemRow,
        request: ScanRequest,
        slots: &Semaphore,
    ) -> Result<SessionId, StationError> {
        let scanned = self.scan(proof, request.clone()).await?;
        let session = match &scanned {
            ScanOutcome::Scanned(answer) => answer.session_id,
            ScanOutcome::Pending(pending) => pending.session_id,
        };
        self.keep_session(item, session).await?;
        if let Some(code) = unfit(item, &request, &scanned) {
            self.cancel(proof, &session).await?;
            return Err(code.into());
        }
        // A device that hangs keeps its slot as long as `pair` waits for it, and no longer.
        let slot = slots.acquire().await.map_err(|_| ErrorCode::Internal)?;
        let request = PairRequest {
            device_id: request.device_id,
            pairing_code: request.pairing_code,
            pairing_token: request.pairing_token,
            session_id: Some(session),
            device_serial: request.device_serial,
            ip_address: None,
            port: None,
            bed_id: None,
            device_label: None,
            delivery: request.delivery,
        };
        self.pair_wanting(proof, request, item.wanted.clone()).await?;
        drop(slot);
        if let Some(handle) = self.sessions.get(&session) {
            let _last = handle.wait_for(|view| view.phase.is_final()).await;
        }
        Ok(session)
    }

    async fn keep_session(
        &self,
        item: &BatchItemRow,
        session: SessionId,
    ) -> Result<(), StationError> {
        let (batch, number) = (item.batch, item.number);
        let write = StationWrite::Batch(BatchWrite::Session { batch, number, session });
        self.commit_all(&self.now(), Vec::new(), vec![write]).await?;
        self.batch_moved(batch);
        Ok(())
    }

    /// What a pairing came to, as the store has it; `None` while it goes on.
    pub(super) async fn outcome_of(
        &self,
        session: &SessionId,
    ) -> Result<Option<Result<(), ErrorReport>>, StationError> {
        let Some(row) = self.parts.store.session(session).await? else {
            return Ok(Some(Err(ErrorCode::SessionExpired.into())));
        };
        if !row.phase.is_final() {
            return Ok(None);
        }
        let why = row.error.unwrap_or(ErrorCode::SessionExpired);
        let paired = row.phase == SessionPhase::Paired;
        Ok(Some(if paired { Ok(()) } else { Err(why.into()) }))
    }
}
