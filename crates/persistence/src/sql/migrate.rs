//! Bringing a schema up to date.

use sqlx::migrate::MigrateError;
use zmon_domain::error::ErrorCode;

use crate::error::{PersistenceError, Result};

/// What the migrations of the database `name` came to; `supported` is the newest one this program knows.
pub(crate) fn migrated(
    done: core::result::Result<(), MigrateError>,
    name: &str,
    supported: i64,
) -> Result<()> {
    use MigrateError as E;
    let Err(error) = done else { return Ok(()) };
    if let E::VersionMissing(found) = error {
        return Err(PersistenceError::newer(name, found, supported));
    }
    if let E::VersionMismatch(version) | E::Dirty(version) = error {
        let context = format!("{name}: migration {version} is not the one applied");
        return Err(PersistenceError::corrupt(context));
    }
    let context = format!("{name}: the schema cannot be brought up to date");
    if let E::Execute(error) | E::ExecuteMigration(error, _) = error {
        return Err(PersistenceError::database(context, error));
    }
    Err(PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error))
}
