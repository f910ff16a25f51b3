//! Connection settings.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use crate::error::{PersistenceError, Result};

/// How long a statement waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// A connection that changes nothing, for looking before opening and for reading beside a writer.
pub(super) async fn reader(path: &Path) -> Result<SqliteConnection> {
    open(&common(path).read_only(true)).await
}

/// The connection that writes: WAL, every commit synced to the medium, deleted content zeroed.
pub(super) async fn writer(path: &Path) -> Result<SqliteConnection> {
    let options = common(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        .pragma("recursive_triggers", "ON");
    open(&options).await
}

fn common(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        // Temporary b-trees stay in memory, so that no content reaches a file outside this folder.
        .pragma("temp_store", "MEMORY")
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .optimize_on_close(false, None)
        .disable_statement_logging()
}

async fn open(options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    SqliteConnection::connect_with(options)
        .await
        .map_err(|error| PersistenceError::database("the database cannot be opened", error))
}
