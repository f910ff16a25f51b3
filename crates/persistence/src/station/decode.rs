//! Columns into domain values; what does not parse is damage.

use zmon_domain::error::FieldError;
use zmon_domain::time::UnixTime;

use crate::error::{PersistenceError, Result};
use crate::sql::{Column, Row};

/// A row of one table on its way to a value.
#[derive(Clone, Copy)]
pub(super) struct Columns<'r> {
    pub(super) table: &'static str,
    pub(super) row: &'r Row,
}

impl<'r> Columns<'r> {
    /// A column as SQL has it.
    pub(super) fn raw<T: Column<'r>>(self, column: &'static str) -> Result<T> {
        self.row
            .get(column)
            .map_err(|error| PersistenceError::database(format!("{}.{column}", self.table), error))
    }

    /// A text column read by a domain parser.
    pub(super) fn text<T>(
        self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, FieldError>,
    ) -> Result<T> {
        parse(self.raw(column)?).map_err(|_| self.damaged(column))
    }

    /// The same for a column that may be null.
    pub(super) fn optional<T>(
        self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, FieldError>,
    ) -> Result<Option<T>> {
        let text: Option<&str> = self.raw(column)?;
        text.map(parse).transpose().map_err(|_| self.damaged(column))
    }

    /// A text column that holds one of a few words.
    pub(super) fn word<T>(
        self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        parse(self.raw(column)?).ok_or_else(|| self.damaged(column))
    }

    /// A flag, which both databases keep as 0 or 1.
    pub(super) fn flag(self, column: &'static str) -> Result<bool> {
        match self.raw(column)? {
            0_i64 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged(column)),
        }
    }

    /// Exactly `N` bytes.
    pub(super) fn bytes<const N: usize>(self, column: &'static str) -> Result<[u8; N]> {
        let bytes: &[u8] = self.raw(column)?;
        bytes.try_into().map_err(|_| self.damaged(column))
    }

    /// Unix seconds.
    pub(super) fn time(self, column: &'static str) -> Result<UnixTime> {
        UnixTime::from_unix(self.raw(column)?).ok_or_else(|| self.damaged(column))
    }

    /// Unix seconds or null.
    pub(super) fn optional_time(self, column: &'static str) -> Result<Option<UnixTime>> {
        let seconds: Option<i64> = self.raw(column)?;
        seconds
            .map(|seconds| UnixTime::from_unix(seconds).ok_or_else(|| self.damaged(column)))
            .transpose()
    }

    pub(super) fn damaged(self, column: &'static str) -> PersistenceError {
        PersistenceError::corrupt(format!("{}.{column}: not a value of ours", self.table))
    }
}

/// A statement on this table failed.
pub(super) fn failed(table: &'static str) -> impl Fn(sqlx::Error) -> PersistenceError {
    move |error| PersistenceError::database(table, error)
}

/// A database offset or count from a domain number.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
