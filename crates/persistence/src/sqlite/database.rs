//! One writer, some readers, no timers.
//!
//! Not a pool: a pool's acquire time-out and maintenance tasks live in the runtime's time, which a
//! test may have paused, and SQLite has one writer anyway.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sqlx::sqlite::Sqlite;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, Transaction};
use tokio::sync::{Mutex, MutexGuard};
use zmon_domain::error::ErrorCode;

use super::schema::Schema;
use super::{check, connect};
use crate::error::{PersistenceError, Result, sqlite_extended};
use crate::fs::PrivateDir;
use crate::sql::migrated;

/// `SQLITE_IOERR_FSYNC` and `SQLITE_IOERR_DIR_FSYNC`: what is on the medium is unknown.
const FSYNC_FAILED: [u32; 2] = [1034, 1290];

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    writer: Option<Mutex<SqliteConnection>>,
    readers: Vec<Mutex<SqliteConnection>>,
    next: AtomicUsize,
    /// Set once an fsync failed; a retry could report success for pages the kernel has dropped.
    lost: AtomicBool,
    /// How the next commits end: `Some` like one whose fsync failed, kept by the medium or not.
    #[cfg(test)]
    pub(crate) unsynced: Mutex<std::collections::VecDeque<Option<bool>>>,
}

impl Database {
    /// Opens, checks and migrates the database `name` of `dir`, making it (0600) if it is absent.
    pub(crate) async fn open(
        dir: &PrivateDir,
        name: &str,
        schema: &Schema,
        readers: usize,
    ) -> Result<Self> {
        dir.ensure_file(name)?;
        check::file(dir, name, schema)?;
        let path = dir.path().join(name);
        let mut probe = connect::reader(&path).await?;
        check::recorded(&mut probe, name, schema).await?;
        close(probe).await?;

        let mut writer = connect::writer(&path).await?;
        check::quick(&mut writer, name).await?;
        migrated(schema.migrations.run(&mut writer).await, name, schema.version())?;
        stamp(&mut writer, name, schema).await?;
        check::shape(&mut writer, name, schema).await?;
        // Brings `user_version` from the log into the header, where the next start looks first.
        truncate_log(&mut writer).await?;
        let readers = open_readers(&path, readers).await?;
        Ok(Self {
            path,
            writer: Some(Mutex::new(writer)),
            readers,
            next: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            #[cfg(test)]
            unsynced: Mutex::default(),
        })
    }

    /// Opens an existing database beside the process that serves from it, to read, and to add to it in short
    /// transactions: SQLite lets one writer after the other in. Nothing is migrated.
    #[cfg(feature = "upkeep")]
    pub(crate) async fn open_beside(dir: &PrivateDir, name: &str, schema: &Schema) -> Result<Self> {
        let database = Self::open_read_only(dir, name, schema).await?;
        let (found, known) = (database.version().await?, schema.version());
        if found < known {
            let context = format!(
                "{name}: schema {found}, this program's is {known}: start the new program once"
            );
            return Err(PersistenceError::new(ErrorCode::StateConflict, context));
        }
        {
            let mut reader = database.read().await?;
            check::shape(&mut reader, name, schema).await?;
        }
        let writer = connect::writer(&database.path).await?;
        Ok(Self { writer: Some(Mutex::new(writer)), ..database })
    }

    /// Writes what the database holds at one moment into an empty file, beside whoever writes.
    #[cfg(feature = "upkeep")]
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<()> {
        let path = utf8(path)?;
        let mut reader = self.read().await?;
        sqlx::query("VACUUM INTO $1").bind(path).execute(&mut *reader).await.map_err(|error| {
            PersistenceError::database(format!("{path}: the copy cannot be made"), error)
        })?;
        Ok(())
    }

    /// Lets the connection that writes see another database under the name `old`.
    #[cfg(feature = "upkeep")]
    pub(crate) async fn attach_old(&self, path: &Path) -> Result<()> {
        let path = utf8(path)?;
        let mut writer = self.write().await?;
        sqlx::query("ATTACH DATABASE $1 AS old").bind(path).execute(&mut *writer).await.map_err(
            |error| PersistenceError::database(format!("{path}: cannot be looked into"), error),
        )?;
        Ok(())
    }

    /// Ends every connection, so that nothing but the database's own file is left of it.
    #[cfg(feature = "upkeep")]
    pub(crate) async fn close(self) -> Result<()> {
        for reader in self.readers {
            close(reader.into_inner()).await?;
        }
        match self.writer {
            Some(writer) => close(writer.into_inner()).await,
            None => Ok(()),
        }
    }

    /// Opens an existing database for reading, beside whoever writes it.
    pub(crate) async fn open_read_only(
        dir: &PrivateDir,
        name: &str,
        schema: &Schema,
    ) -> Result<Self> {
        check::file(dir, name, schema)?;
        let path = dir.path().join(name);
        let mut readers = open_readers(&path, 1).await?;
        for reader in &mut readers {
            check::recorded(reader.get_mut(), name, schema).await?;
        }
        Ok(Self {
            path,
            writer: None,
            readers,
            next: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            #[cfg(test)]
            unsynced: Mutex::default(),
        })
    }

    /// The number of the newest migration that was applied.
    #[cfg(feature = "upkeep")]
    pub(crate) async fn version(&self) -> Result<i64> {
        let mut reader = self.read().await?;
        sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *reader)
            .await
            .map_err(|error| PersistenceError::database("the schema version cannot be read", error))
    }

    /// A connection for reading; never blocked by the writer (WAL).
    pub(crate) async fn read(&self) -> Result<MutexGuard<'_, SqliteConnection>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let index = turn.checked_rem(self.readers.len()).unwrap_or(0);
        match self.readers.get(index) {
            Some(reader) => Ok(reader.lock().await),
            None => self.write().await,
        }
    }

    /// The one connection that writes.
    pub(crate) async fn write(&self) -> Result<MutexGuard<'_, SqliteConnection>> {
        let Some(writer) = &self.writer else {
            let context = "the database is open for reading only";
            return Err(PersistenceError::new(ErrorCode::StorageUnavailable, context));
        };
        let guard = writer.lock().await;
        if self.is_lost() {
            let context = "a write could not be synced; what is stored is known after a restart";
            return Err(PersistenceError::new(ErrorCode::StorageUnavailable, context));
        }
        Ok(guard)
    }

    /// Ends a transaction. When this fails nothing was changed, or it is not known whether it was:
    /// then the database [is lost](Self::is_lost).
    pub(crate) async fn finish(&self, transaction: Transaction<'_, Sqlite>) -> Result<()> {
        #[cfg(test)]
        if let Some(kept) = self.unsynced.lock().await.pop_front().flatten() {
            let ended =
                if kept { transaction.commit().await } else { transaction.rollback().await };
            self.lost.store(true, Ordering::Release);
            return Err(PersistenceError::new(ErrorCode::StorageUnavailable, format!("{ended:?}")));
        }
        transaction.commit().await.map_err(|error| {
            // What is no answer of SQLite says nothing about the commit either.
            if sqlite_extended(&error).is_none_or(|code| FSYNC_FAILED.contains(&code)) {
                self.lost.store(true, Ordering::Release);
            }
            PersistenceError::database("the transaction cannot be committed", error)
        })
    }

    /// Whether a commit failed in such a way that only the next start, which reads the medium
    /// again, can tell what is stored. Until then nothing may be concluded from what is read.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Starts a transaction that holds the write lock from the beginning, so that what it reads is
    /// what it changes. Dropping it rolls it back.
    ///
    /// When SQLite has rolled a transaction back by itself (full medium, I/O error), sqlx still
    /// counts it as open; such a connection is replaced, so that a full disk is not for ever.
    pub(crate) async fn begin<'c>(
        &self,
        connection: &'c mut SqliteConnection,
    ) -> Result<Transaction<'c, Sqlite>> {
        if connection.is_in_transaction() {
            // The rollback of a dropped transaction may still be queued; the ping is behind it.
            let answers = connection.ping().await.is_ok();
            if !answers || connection.is_in_transaction() {
                *connection = connect::writer(&self.path).await?;
            }
        }
        connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| PersistenceError::database("a transaction cannot be started", error))
    }
}

/// The header says how new the schema is, whatever order its migrations came in: one that was written on
/// another branch may be applied after one with a higher number.
async fn stamp(writer: &mut SqliteConnection, name: &str, schema: &Schema) -> Result<()> {
    let fail = |error| {
        PersistenceError::database(format!("{name}: the schema version cannot be set"), error)
    };
    let newest = schema.version();
    let said: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *writer).await.map_err(fail)?;
    if said != newest {
        let set = AssertSqlSafe(format!("PRAGMA user_version = {newest}"));
        sqlx::query(set).execute(writer).await.map_err(fail)?;
    }
    Ok(())
}

async fn open_readers(path: &Path, count: usize) -> Result<Vec<Mutex<SqliteConnection>>> {
    let mut readers = Vec::with_capacity(count);
    for _ in 0..count {
        readers.push(Mutex::new(connect::reader(path).await?));
    }
    Ok(readers)
}

/// Empties the write-ahead log into the file, so that old page images are gone.
///
/// `Ok(false)` when a reader still needs the log.
pub(crate) async fn truncate_log(writer: &mut SqliteConnection) -> Result<bool> {
    let fail = |error| PersistenceError::database("the log cannot be emptied", error);
    // Not waiting: a long verification must not hold up whoever commits.
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *writer).await.map_err(fail)?;
    let emptied: Result<(i64, i64, i64), _> =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *writer).await;
    sqlx::query(connect::BUSY_PRAGMA).execute(writer).await.map_err(fail)?;
    let (busy, _, _) = emptied.map_err(fail)?;
    Ok(busy == 0)
}

#[cfg(feature = "upkeep")]
fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        let context = format!("{}: must be a path in UTF-8", path.display());
        PersistenceError::new(ErrorCode::StorageUnavailable, context)
    })
}

async fn close(connection: SqliteConnection) -> Result<()> {
    connection
        .close()
        .await
        .map_err(|error| PersistenceError::database("a connection cannot be closed", error))
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[tokio::test]
    async fn after_a_failed_sync_nothing_more_is_written() {
        let temp = tempfile::tempdir().unwrap();
        let dir = PrivateDir::create(&temp.path().join("zmon")).unwrap();
        let database = Database::open(&dir, "test.db", &schema::DEVICE, 1).await.unwrap();
        assert!(database.write().await.is_ok());
        database.lost.store(true, Ordering::Release);
        let refused = database.write().await.map(drop).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::StorageUnavailable);
        assert!(database.read().await.is_ok());
    }

    #[tokio::test]
    async fn a_database_opened_for_reading_is_not_written() {
        let temp = tempfile::tempdir().unwrap();
        let dir = PrivateDir::create(&temp.path().join("zmon")).unwrap();
        let absent = Database::open_read_only(&dir, "test.db", &schema::DEVICE).await;
        assert_eq!(absent.unwrap_err().code(), ErrorCode::NotInitialised);
        drop(Database::open(&dir, "test.db", &schema::DEVICE, 1).await.unwrap());
        let database = Database::open_read_only(&dir, "test.db", &schema::DEVICE).await.unwrap();
        assert!(database.write().await.is_err());
    }
}
