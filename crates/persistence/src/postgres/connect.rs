//! Connection settings.

use core::time::Duration;
use std::io;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Error};
use tokio::time::timeout;

use super::url::PostgresUrl;
use crate::error::{PersistenceError, Result};

/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. The server gives a statement up earlier; when nothing at all is heard
/// the network is gone.
const ANSWER: Duration = Duration::from_secs(8);

/// Settings of every session, whatever the server's own are.
const SESSION: [(&str, &str); 9] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    // A commit is on the medium when it is answered.
    ("synchronous_commit", "on"),
    ("search_path", "public"),
    // A transaction that lost against another station's is rolled back twice, which the server remarks.
    ("client_min_messages", "error"),
    // The server notices within seconds that a station is gone, and lets go what it had locked.
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
];

/// Settings for connections that change nothing.
pub(super) fn reading(url: &PostgresUrl) -> PgConnectOptions {
    common(url).options([("default_transaction_read_only", "on")])
}

/// Settings for the connection that writes. Without whole-table scans a small table, too, is locked by
/// the row, so that different stations seldom collide.
pub(super) fn writing(url: &PostgresUrl) -> PgConnectOptions {
    common(url).options([("enable_seqscan", "off")])
}

fn common(url: &PostgresUrl) -> PgConnectOptions {
    url.options().application_name("zmon-station").options(SESSION).disable_statement_logging()
}

/// Connects to the database that `place` names for people.
pub(super) async fn connect(options: &PgConnectOptions, place: &str) -> Result<PgConnection> {
    within(CONNECT, options.connect())
        .await
        .map_err(|error| PersistenceError::database(format!("{place} cannot be reached"), error))
}

/// An answer of the server, if one comes.
pub(crate) async fn answered<T>(
    answer: impl Future<Output = core::result::Result<T, Error>>,
) -> core::result::Result<T, Error> {
    within(ANSWER, answer).await
}

async fn within<T>(
    most: Duration,
    answer: impl Future<Output = core::result::Result<T, Error>>,
) -> core::result::Result<T, Error> {
    match timeout(most, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Io(io::ErrorKind::TimedOut.into())),
    }
}
