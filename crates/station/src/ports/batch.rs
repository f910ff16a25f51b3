//! What the station remembers of batches of pairings ([W §1]).

use core::num::NonZeroU16;

use async_trait::async_trait;
use zmon_domain::address::DeviceAddress;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{
    BatchId, BatchName, BedId, DeviceId, DeviceLabel, DeviceSerial, OperatorId, SessionId,
    Thumbprint,
};
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};
use zmon_domain::time::UnixTime;
use zmon_wire::batch::BatchCounts;

use super::rows::Page;
use super::store::StoreError;

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// The batch.
    pub id: BatchId,
    /// What people call it.
    pub name: BatchName,
    /// Where it stands.
    pub state: BatchState,
    /// Who opened it.
    pub operator: OperatorId,
    /// When.
    pub opened_at: UnixTime,
}

/// A batch in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchListing {
    /// The batch.
    pub row: BatchRow,
    /// Its items by state.
    pub counts: BatchCounts,
}

/// What a device shall carry; what is left out the registry or the station's defaults say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its bed.
    pub bed: Option<BedId>,
    /// Its label.
    pub label: Option<DeviceLabel>,
    /// Units to show.
    pub unit: Option<MeasurementUnit>,
    /// Language to show.
    pub language: Option<Language>,
    /// Heartbeat interval.
    pub sync_interval: Option<SyncInterval>,
}

/// One item of a batch. Batch and number are its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItemRow {
    /// Its batch.
    pub batch: BatchId,
    /// Its row in the manifest as the author counts, from 1.
    pub number: u32,
    /// The device; `None` while only its serial number is known, or when the row was bad.
    pub device_id: Option<DeviceId>,
    /// Its serial number.
    pub serial: Option<DeviceSerial>,
    /// The key that the manifest demands.
    pub identity: Option<Thumbprint>,
    /// Where it listens, for a typed code that does not say.
    pub address: Option<DeviceAddress>,
    /// The port of its listener, likewise.
    pub port: Option<NonZeroU16>,
    /// What it shall carry.
    pub wanted: Wanted,
    /// Where it stands.
    pub state: ItemState,
    /// How often it was scanned. A failed item that never was has a bad row.
    pub attempts: u32,
    /// Who scanned it last.
    pub operator: Option<OperatorId>,
    /// The session of the last attempt, once there is one.
    pub session: Option<SessionId>,
    /// When the last attempt began.
    pub begun_at: Option<UnixTime>,
    /// When it ended.
    pub ended_at: Option<UnixTime>,
    /// Why it failed.
    pub error: Option<ErrorCode>,
    /// Field and rule, where the cause has them.
    pub detail: Option<FieldError>,
}

impl BatchItemRow {
    /// Whether it may be scanned again when somebody asks for it.
    #[must_use]
    pub fn can_be_retried(&self) -> bool {
        self.state == ItemState::Failed && self.attempts > 0
    }

    /// Whether its batch still has business with its device.
    #[must_use]
    pub fn keeps_device(&self) -> bool {
        matches!(self.state, ItemState::Waiting | ItemState::Pairing) || self.can_be_retried()
    }

    /// Why it failed, as people are shown it.
    #[must_use]
    pub fn report(&self) -> Option<ErrorReport> {
        let code = self.error?;
        Some(match self.detail.clone() {
            Some(detail) => ErrorReport::field(code, detail),
            None => ErrorReport::new(code),
        })
    }
}

/// One write about batches. The refusal a write may cause is named with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchWrite {
    /// Keeps a batch with its items. [`BatchRefusal::Elsewhere`] when the device of one that waits is
    /// kept by an item of another batch that is not closed.
    Open(Box<BatchRow>, Vec<BatchItemRow>),
    /// Moves a batch; closing skips every item that waits. [`BatchRefusal::Batch`] when it is closed or
    /// unknown.
    Move {
        /// Which.
        batch: BatchId,
        /// Where to.
        to: BatchState,
    },
    /// An item that waits is at work: one more attempt, without what the last one left.
    /// [`BatchRefusal::Batch`] unless the batch is open, [`BatchRefusal::Item`] unless the item waits.
    Begin {
        /// Its batch.
        batch: BatchId,
        /// Which.
        number: u32,
        /// The device that was scanned.
        device_id: DeviceId,
        /// Who scanned it.
        operator: OperatorId,
        /// When.
        at: UnixTime,
    },
    /// Keeps the session of an item that is at work. [`BatchRefusal::Item`] when it is not.
    Session {
        /// Its batch.
        batch: BatchId,
        /// Which.
        number: u32,
        /// The session.
        session: SessionId,
    },
    /// An item that is at work is paired, or has failed. [`BatchRefusal::Item`] when it is not.
    End {
        /// Its batch.
        batch: BatchId,
        /// Which.
        number: u32,
        /// Why it failed; paired without.
        error: Option<ErrorReport>,
        /// When.
        at: UnixTime,
    },
    /// An item that has failed waits again. [`BatchRefusal::Batch`] when the batch is closed or
    /// unknown, [`BatchRefusal::Item`] unless the item [can be retried](BatchItemRow::can_be_retried).
    Retry {
        /// Its batch.
        batch: BatchId,
        /// Which.
        number: u32,
    },
}

/// Why a write about batches was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchRefusal {
    /// The batch stands here; `None`: there is no such batch.
    Batch(Option<BatchState>),
    /// The item stands here; `None`: there is no such item.
    Item(Option<ItemState>),
    /// The device of this row is kept by another batch.
    Elsewhere(u32),
}

/// Reading batches; [`super::StationStore`] writes them.
#[async_trait]
pub trait BatchStore: Send + Sync {
    /// A batch by id.
    async fn batch(&self, id: &BatchId) -> Result<Option<BatchRow>, StoreError>;
    /// Batches, the newest first.
    async fn batches(&self, page: Page) -> Result<Vec<BatchListing>, StoreError>;
    /// How many batches there are.
    async fn count_batches(&self) -> Result<u64, StoreError>;
    /// The items of a batch, by number.
    async fn batch_items(&self, id: &BatchId) -> Result<Vec<BatchItemRow>, StoreError>;
    /// The items of batches that are not closed which name this device; by its serial number where one of
    /// the two knows no id. By batch and number.
    async fn batch_items_of(
        &self,
        device: Option<&DeviceId>,
        serial: Option<&DeviceSerial>,
    ) -> Result<Vec<BatchItemRow>, StoreError>;
    /// Every item that is at work, in any batch.
    async fn running_batch_items(&self) -> Result<Vec<BatchItemRow>, StoreError>;
}
