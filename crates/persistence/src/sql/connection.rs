//! A connection of either database, lent for some statements.

#[cfg(feature = "postgres")]
use sqlx::PgConnection;
use sqlx::SqliteConnection;

/// Where a statement is sent.
#[derive(Debug)]
pub(crate) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'c mut PgConnection),
}
