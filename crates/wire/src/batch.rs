//! Batches of pairings ([W §1]): the manifest of one, and what its operators see of it.

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    address::DeviceAddress,
    batch::{BatchState, ItemState},
    error::FieldError,
    ids::{
        BatchId, BatchName, BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, OperatorId,
        SessionId, Thumbprint,
    },
    settings::{Language, MeasurementUnit, SyncInterval},
    time::UnixTime,
};

use crate::{
    csv,
    kind::True,
    manifest,
    problem::Problem,
    strict::{WireError, WireErrorKind},
    text,
};

/// One row of a batch's manifest: the columns of the registry's ([`manifest::ManifestRow`]), of which one
/// has to name the device, by its id or its serial number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchRow {
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_id: Option<DeviceId>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_serial: Option<DeviceSerial>,
    /// The full thumbprint that its identity key must have, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub identity_key: Option<Thumbprint>,
    /// What kind of device it is; the registry's business, and not kept here.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub model: Option<DeviceModel>,
    /// Where it listens, for a typed code that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub ip_address: Option<DeviceAddress>,
    /// The port of its listener, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Its bed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// Its units.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub measurement_unit: Option<MeasurementUnit>,
    /// Its language.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub language: Option<Language>,
    /// Its heartbeat interval, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::sync_interval_option")]
    pub sync_interval: Option<SyncInterval>,
}

/// A row of a batch's manifest with its number as its author counts, from 1; or what is wrong with it.
pub type NumberedRow = (u32, Result<BatchRow, FieldError>);

/// Reads the manifest of a batch: a JSON array, or one JSON object a line. A wrong row stands in its
/// place with its field and rule, and spoils no other.
///
/// # Errors
/// A [`WireError`] about the manifest as a whole: too large, no rows, no array.
pub fn parse(bytes: &[u8]) -> Result<Vec<NumberedRow>, WireError> {
    let rows = manifest::parse_each::<BatchRow>(bytes)?;
    if rows.is_empty() {
        let none = WireError::new(WireErrorKind::Member, "must have at least one row");
        return Err(none.within("manifest"));
    }
    Ok(rows.into_iter().map(|(number, row)| named(number, row)).collect())
}

fn named(number: usize, row: Result<BatchRow, WireError>) -> NumberedRow {
    let row = row.map_err(|error| error.detail()).and_then(|row| {
        if row.device_id.is_some() || row.device_serial.is_some() {
            return Ok(row);
        }
        let field = format!("row {number}.deviceId");
        Err(FieldError::owned(field, "must be given, or deviceSerial"))
    });
    (u32::try_from(number).unwrap_or(u32::MAX), row)
}

/// How many items of a batch stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchCounts {
    /// Not scanned yet.
    pub waiting: u32,
    /// At work.
    pub pairing: u32,
    /// Paired.
    pub paired: u32,
    /// Failed.
    pub failed: u32,
    /// Left out when the batch was closed.
    pub skipped: u32,
}

impl BatchCounts {
    /// Counts one more.
    pub fn count(&mut self, state: ItemState) {
        self.add(state, 1);
    }

    /// Counts so many more.
    pub fn add(&mut self, state: ItemState, more: u32) {
        let counted = match state {
            ItemState::Waiting => &mut self.waiting,
            ItemState::Pairing => &mut self.pairing,
            ItemState::Paired => &mut self.paired,
            ItemState::Failed => &mut self.failed,
            ItemState::Skipped => &mut self.skipped,
        };
        *counted = counted.saturating_add(more);
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        let Self { waiting, pairing, paired, failed, skipped } = *self;
        [waiting, pairing, paired, failed, skipped].into_iter().fold(0, u32::saturating_add)
    }
}

/// One batch of `GET /api/batches`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchSummary {
    /// The batch.
    #[serde(with = "text")]
    pub batch_id: BatchId,
    /// What people call it.
    #[serde(with = "text")]
    pub batch_name: BatchName,
    /// Where it stands.
    #[serde(with = "text")]
    pub state: BatchState,
    /// Who opened it.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// When.
    #[serde(with = "text")]
    pub opened_at: UnixTime,
    /// Its items by state.
    pub counts: BatchCounts,
}

/// The answer of `GET /api/batches`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchList {
    /// One page, the newest first.
    pub batches: Vec<BatchSummary>,
    /// How many there are on all pages.
    pub total: u64,
}

/// One item of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchItemView {
    /// Its row in the manifest, from 1.
    pub row: u32,
    /// The device, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_id: Option<DeviceId>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_serial: Option<DeviceSerial>,
    /// The bed it gets.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// The label it gets.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// Where it stands.
    #[serde(with = "text")]
    pub state: ItemState,
    /// How often it was scanned. A failed item that never was cannot be retried: its row is bad.
    pub attempts: u32,
    /// Who scanned it last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub operator: Option<OperatorId>,
    /// The pairing session of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub session_id: Option<SessionId>,
    /// When the last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub begun_at: Option<UnixTime>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub ended_at: Option<UnixTime>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A batch and its items: the answer of `POST /api/batches` and `GET /api/batches/{batchId}`. As the
/// `batch` event of `…/events` it has all items first, then those that have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchView {
    /// The batch.
    #[serde(with = "text")]
    pub batch_id: BatchId,
    /// What people call it.
    #[serde(with = "text")]
    pub batch_name: BatchName,
    /// Where it stands.
    #[serde(with = "text")]
    pub state: BatchState,
    /// Who opened it.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// When.
    #[serde(with = "text")]
    pub opened_at: UnixTime,
    /// How many pairings it runs at a time.
    pub concurrency: u32,
    /// All its items by state.
    pub counts: BatchCounts,
    /// Items by row.
    pub items: Vec<BatchItemView>,
}

impl BatchView {
    /// The columns of [`BatchView::to_csv`].
    const COLUMNS: [&str; 14] = [
        "row",
        "deviceId",
        "deviceSerial",
        "bedId",
        "deviceLabel",
        "state",
        "code",
        "detail",
        "next",
        "attempts",
        "operator",
        "sessionId",
        "begunAt",
        "endedAt",
    ];

    /// The items as a table, a line each under a head; no cell is a formula.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut table = csv::line(Self::COLUMNS.map(Cow::Borrowed));
        for item in &self.items {
            table.push_str(&csv::line(item.cells()));
        }
        table
    }
}

impl BatchItemView {
    fn cells(&self) -> [Cow<'_, str>; 14] {
        fn named<T: AsRef<str>>(name: Option<&T>) -> Cow<'_, str> {
            Cow::Borrowed(name.map_or("", AsRef::as_ref))
        }
        fn time(at: Option<UnixTime>) -> Cow<'static, str> {
            Cow::Owned(at.map(|at| format!("{at}")).unwrap_or_default())
        }
        let problem =
            |part: fn(&Problem) -> &str| Cow::Borrowed(self.problem.as_ref().map_or("", part));
        [
            Cow::Owned(format!("{}", self.row)),
            named(self.device_id.as_ref()),
            named(self.device_serial.as_ref()),
            named(self.bed_id.as_ref()),
            named(self.device_label.as_ref()),
            Cow::Borrowed(self.state.as_str()),
            problem(|problem| problem.code.as_str()),
            problem(|problem| &problem.detail),
            problem(|problem| &problem.next),
            Cow::Owned(format!("{}", self.attempts)),
            named(self.operator.as_ref()),
            Cow::Owned(self.session_id.map(|id| format!("{id}")).unwrap_or_default()),
            time(self.begun_at),
            time(self.ended_at),
        ]
    }
}

/// 202, the answer to `POST /api/batches/{batchId}/scan`: the device's item is at work from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchScanAnswer {
    /// Always true.
    pub success: True,
    /// The batch.
    #[serde(with = "text")]
    pub batch_id: BatchId,
    /// The item's row.
    pub row: u32,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The bed it gets.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// The label it gets.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
}

/// `POST /api/batches/{batchId}/retry`; without a body, every item that can be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchRetryRequest {
    /// The rows to retry.
    pub rows: Vec<u32>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchRetryAnswer {
    /// Always true.
    pub success: True,
    /// The rows that wait to be scanned again.
    pub rows: Vec<u32>,
}
