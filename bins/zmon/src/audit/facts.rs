//! What every format says of a row.

use chrono::{DateTime, SecondsFormat, Utc};
use zmon_persistence::{AuditRecord, ExportedRow, PersistenceError};

/// A row, read.
pub(super) struct Facts {
    /// When, in RFC 3339 with milliseconds; none without a clock.
    pub(super) time: Option<String>,
    /// All the rest.
    pub(super) record: AuditRecord,
}

impl Facts {
    /// Reads a row.
    ///
    /// # Errors
    /// `storage_corrupt`.
    pub(super) fn of(row: &ExportedRow<'_>) -> Result<Self, PersistenceError> {
        let record = row.parse()?;
        let time = record.timestamp.and_then(DateTime::<Utc>::from_timestamp_millis);
        let time = time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
        Ok(Self { time, record })
    }
}
