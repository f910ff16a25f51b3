//! Connection settings.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use crate::error::{PersistenceError, Result};

/// How long a statement waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);
/// The same as a statement.
pub(super) const BUSY_PRAGMA: &str = "PRAGMA busy_timeout = 5000";

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

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;

    async fn pragma(connection: &mut SqliteConnection, name: &str) -> i64 {
        let statement = AssertSqlSafe(format!("PRAGMA {name}"));
        sqlx::query_scalar(statement).fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn the_writer_syncs_zeroes_and_checks() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("test.db");
        std::fs::write(&path, b"").unwrap();
        let mut writer = writer(&path).await.unwrap();
        let mode: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut writer).await.unwrap();
        assert_eq!(mode, "wal");
        for (name, expected) in [
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("secure_delete", 1),
            ("recursive_triggers", 1),
            ("trusted_schema", 0),
            ("cell_size_check", 1),
            ("temp_store", 2),
            ("busy_timeout", 5000),
        ] {
            assert_eq!(pragma(&mut writer, name).await, expected, "{name}");
        }
        let mut reader = reader(&path).await.unwrap();
        assert_eq!(pragma(&mut reader, "busy_timeout").await, 5000);
        assert!(sqlx::query("CREATE TABLE t (x)").execute(&mut reader).await.is_err());
        sqlx::query(BUSY_PRAGMA).execute(&mut writer).await.unwrap();
        assert_eq!(u128::try_from(pragma(&mut writer, "busy_timeout").await), Ok(BUSY.as_millis()));
    }
}
