//! One error type for everything in this crate: a stable code, what was being done, and the cause.

use std::error::Error as StdError;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;
use zmon_domain::error::{ErrorCode, ErrorReport};
#[cfg(feature = "device")]
use zmon_provisioning::ports::{KeyStoreError, StoreError as DeviceStoreError};
#[cfg(feature = "station")]
use zmon_station::ports::StoreError as StationStoreError;

/// A failed operation on a file or a database.
///
/// [`code`](Self::code) is the stable cause people and audit rows see; the rest is for the
/// operator's log. No text in it is secret.
#[derive(Debug, thiserror::Error)]
#[error("{}: {context}", .code.as_str())]
pub struct PersistenceError {
    code: ErrorCode,
    context: String,
    facts: Facts,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What some ports report as fields of their own.
#[derive(Debug)]
enum Facts {
    None,
    Versions { found: i64, supported: i64 },
    Mode { path: String, mode: u32, required: u32 },
    Link { path: String },
}

/// Short form inside this crate.
pub(crate) type Result<T, E = PersistenceError> = core::result::Result<T, E>;

impl PersistenceError {
    /// An error without a deeper cause; `context` names the object and the rule it broke.
    pub(crate) fn new(code: ErrorCode, context: impl Into<String>) -> Self {
        Self { code, context: context.into(), facts: Facts::None, source: None }
    }

    /// The same with the error that caused it.
    pub(crate) fn caused_by(
        code: ErrorCode,
        context: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(code, context) }
    }

    /// A stored value that does not mean anything: the database is damaged.
    pub(crate) fn corrupt(context: impl Into<String>) -> Self {
        Self::new(ErrorCode::StorageCorrupt, context)
    }

    /// A schema this program does not know.
    pub(crate) fn newer(name: &str, found: i64, supported: i64) -> Self {
        let context = format!("{name}: schema {found}, this program knows up to {supported}");
        let facts = Facts::Versions { found, supported };
        Self { facts, ..Self::new(ErrorCode::SchemaNewer, context) }
    }

    /// A file or directory others may enter.
    pub(crate) fn mode_too_wide(path: String, mode: u32, required: u32) -> Self {
        let context = format!("{path}: mode {mode:04o}, must be {required:04o}");
        let facts = Facts::Mode { path, mode, required };
        Self { facts, ..Self::new(ErrorCode::KeyFileModeTooWide, context) }
    }

    /// A link where a file or directory must be.
    pub(crate) fn symlink(path: String) -> Self {
        let context = format!("{path}: must not be a symbolic link");
        Self { facts: Facts::Link { path }, ..Self::new(ErrorCode::KeyFileIsSymlink, context) }
    }

    /// Sorts a database error by what a caller can do about it.
    pub(crate) fn database(context: impl Into<String>, error: sqlx::Error) -> Self {
        Self::caused_by(database_code(&error), context, error)
    }

    /// The database error behind this one, if there is one.
    #[cfg(feature = "postgres")]
    pub(crate) fn database_cause(&self) -> Option<&sqlx::Error> {
        self.source.as_ref()?.downcast_ref()
    }

    /// The same error under another code, unless the database is damaged.
    pub(crate) fn unless_corrupt(mut self, code: ErrorCode) -> Self {
        if self.code != ErrorCode::StorageCorrupt {
            self.code = code;
        }
        self
    }

    /// The stable cause.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The object and the rule it broke.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Context and causes on one line, for a log.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = self.context.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(feature = "device")]
impl From<PersistenceError> for DeviceStoreError {
    fn from(error: PersistenceError) -> Self {
        let text = error.describe();
        if let Facts::Versions { found, supported } = error.facts {
            return Self::SchemaNewer { found, supported };
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other cause is the medium's")]
        match error.code {
            ErrorCode::AuditUnavailable => Self::Audit(text),
            ErrorCode::StorageCorrupt => Self::Corrupt(text),
            ErrorCode::KeyStoreUnavailable
            | ErrorCode::KeyFileModeTooWide
            | ErrorCode::KeyFileIsSymlink => Self::KeyStore(text),
            _ => Self::Unavailable(text),
        }
    }
}

#[cfg(feature = "station")]
impl From<PersistenceError> for StationStoreError {
    fn from(error: PersistenceError) -> Self {
        let text = error.describe();
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other cause is the medium's")]
        match error.code {
            ErrorCode::AuditUnavailable => Self::AuditUnavailable(text),
            ErrorCode::StorageCorrupt => Self::Corrupt(text),
            _ => Self::Unavailable(text),
        }
    }
}

#[cfg(feature = "device")]
impl From<PersistenceError> for KeyStoreError {
    fn from(error: PersistenceError) -> Self {
        let text = error.describe();
        match (error.facts, error.code) {
            (Facts::Mode { path, mode, required }, _) => Self::ModeTooWide { path, mode, required },
            (Facts::Link { path }, _) => Self::Symlink(path),
            (_, ErrorCode::StorageCorrupt) => Self::Corrupt(text),
            (_, ErrorCode::NotInitialised) => Self::NotInitialised,
            _ => Self::Unavailable(text),
        }
    }
}

impl From<PersistenceError> for ErrorReport {
    fn from(error: PersistenceError) -> Self {
        Self::new(error.code)
    }
}

#[cfg(feature = "device")]
impl From<KeyStoreError> for PersistenceError {
    fn from(error: KeyStoreError) -> Self {
        // A damaged key file is damage, as a damaged database is.
        let corrupt = matches!(error, KeyStoreError::Corrupt(_));
        let code = if corrupt { ErrorCode::StorageCorrupt } else { error.code() };
        Self::caused_by(code, "key store", error)
    }
}

/// SQLite's primary result codes that mean "the file is damaged", not "try again".
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;

fn database_code(error: &sqlx::Error) -> ErrorCode {
    use sqlx::Error as E;
    let undecodable = matches!(
        error,
        E::ColumnDecode { .. }
            | E::Decode(_)
            | E::ColumnNotFound(_)
            | E::ColumnIndexOutOfBounds { .. }
            | E::TypeNotFound { .. }
            | E::RowNotFound
    );
    let primary = sqlite_extended(error).map(|code| code & 0xff);
    let corrupt = matches!(primary, Some(SQLITE_CORRUPT | SQLITE_NOTADB));
    #[cfg(feature = "postgres")]
    let corrupt = corrupt || crate::postgres::is_corrupt(error);
    if undecodable || corrupt { ErrorCode::StorageCorrupt } else { ErrorCode::StorageUnavailable }
}

/// The extended result code SQLite gave, if this error is SQLite's.
pub(crate) fn sqlite_extended(error: &sqlx::Error) -> Option<u32> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    DatabaseError::code(error)?.parse().ok()
}
