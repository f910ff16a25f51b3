//! Reading and changing either database.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::MutexGuard;

use super::Connection;
use crate::error::{PersistenceError, Result};
#[cfg(feature = "postgres")]
use crate::postgres;
use crate::sqlite;

/// Work that is done in one transaction, as if nobody else worked on the database.
///
/// A database that lets others work beside it may ask for it again: then nothing of the attempt
/// before remains, and it must do the same.
#[async_trait]
pub(crate) trait Change: Send + Sync {
    /// What comes of it.
    type Outcome: Send;
    /// Why it is not to be kept, though the database could.
    type Refusal: Send;

    /// Does it. Unless the answer is `Ok(Ok(_))` everything is rolled back.
    async fn make(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Result<Self::Outcome, Self::Refusal>>;
}

/// An open database of either kind.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Sqlite(Arc<sqlite::Database>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<postgres::Database>),
}

impl Database {
    /// A connection for reading; never blocked by whoever writes.
    pub(crate) async fn read(&self) -> Result<Reader<'_>> {
        match self {
            Self::Sqlite(database) => Ok(Reader::Sqlite(database.read().await?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => Ok(Reader::Postgres(database.read().await?)),
        }
    }

    /// Makes a change and commits it. When this fails nothing was changed, or the error says that it is
    /// not known.
    pub(crate) async fn write<C: Change>(
        &self,
        change: &C,
    ) -> Result<Result<C::Outcome, C::Refusal>> {
        match self {
            Self::Sqlite(database) => {
                let mut connection = database.write().await?;
                let mut transaction = database.begin(&mut connection).await?;
                let made = change.make(&mut Connection::Sqlite(&mut transaction)).await?;
                if made.is_ok() {
                    database.finish(transaction).await?;
                }
                Ok(made)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.write(change).await,
        }
    }
}

/// A connection for reading. One of PostgreSQL that is not [given back](Self::give_back) is closed: it
/// may have been left in the middle of an answer.
pub(crate) enum Reader<'d> {
    Sqlite(MutexGuard<'d, SqliteConnection>),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Lease<'d>),
}

impl Reader<'_> {
    pub(crate) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            #[cfg(feature = "postgres")]
            Self::Postgres(lease) => Connection::Postgres(lease.connection()),
        }
    }

    /// For statements that are all to see one moment.
    pub(crate) async fn snapshot(&mut self) -> Result<Snapshot<'_>> {
        match self {
            Self::Sqlite(connection) => {
                let snapshot = connection.begin().await.map_err(unreadable)?;
                Ok(Snapshot::Sqlite(snapshot))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(lease) => {
                let snapshot = lease.connection().begin_with(postgres::SNAPSHOT).await;
                Ok(Snapshot::Postgres(snapshot.map_err(unreadable)?))
            }
        }
    }

    /// Whether what was asked failed because the connection had been cut while it lay idle: then another
    /// one answers.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "a file has no connection that others can cut")
    )]
    pub(crate) fn was_cut(&self, error: &PersistenceError) -> bool {
        match self {
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(lease) => lease.was_cut(error),
        }
    }

    /// After an answer that was read to its end.
    pub(crate) fn give_back(self) {
        match self {
            Self::Sqlite(connection) => drop(connection),
            #[cfg(feature = "postgres")]
            Self::Postgres(lease) => lease.give_back(),
        }
    }
}

/// One moment of a database.
pub(crate) enum Snapshot<'c> {
    Sqlite(Transaction<'c, Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(Transaction<'c, sqlx::Postgres>),
}

impl Snapshot<'_> {
    pub(crate) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(snapshot) => Connection::Sqlite(snapshot),
            #[cfg(feature = "postgres")]
            Self::Postgres(snapshot) => Connection::Postgres(snapshot),
        }
    }

    pub(crate) async fn end(self) -> Result<()> {
        match self {
            Self::Sqlite(snapshot) => snapshot.rollback().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(snapshot) => snapshot.rollback().await,
        }
        .map_err(unreadable)
    }
}

/// Reads with `$question`, which sees `$connection`; once more over another connection if the first had
/// been cut.
macro_rules! read {
    ($database:expr, $connection:ident => $question:expr) => {{
        loop {
            let mut reader = $database.read().await?;
            let answer = {
                let $connection = &mut reader.connection();
                $question.await
            };
            match answer {
                Err(error) if reader.was_cut(&error) => {}
                Err(error) => break Err(error),
                Ok(answer) => {
                    reader.give_back();
                    break Ok(answer);
                }
            }
        }
    }};
}
pub(crate) use read;

fn unreadable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the database cannot be read", error)
}
