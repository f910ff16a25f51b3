//! What an error of PostgreSQL says about the connection and the transaction.

use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use crate::error::PersistenceError;

/// `serialization_failure`, `deadlock_detected` and `unique_violation`: another transaction was faster.
/// Whoever begins again sees what it has done, and decides by it.
const COLLISION: [&str; 3] = ["40001", "40P01", "23505"];
/// `data_corrupted` and `index_corrupted`.
const CORRUPT: [&str; 2] = ["XX001", "XX002"];
/// Classes of codes with which the server ends a session: shutdown, crash, time-outs of the session,
/// connection exceptions.
const ENDED: [&str; 3] = ["57P0", "25P0", "08"];
/// `lock_not_available`: the time to wait for a lock is over.
const LOCKED: &str = "55P03";

/// The SQLSTATE, if the error is PostgreSQL's.
fn code(error: &Error) -> Option<&str> {
    Some(error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.code())
}

/// Whether stored bytes are damaged.
pub(crate) fn is_corrupt(error: &Error) -> bool {
    code(error).is_some_and(|code| CORRUPT.contains(&code))
}

/// Whether a lock could not be had in time.
pub(super) fn is_locked(error: &Error) -> bool {
    code(error) == Some(LOCKED)
}

/// Whether the connection is of no use any more, so that nobody has heard an answer.
pub(super) fn is_cut(error: &Error) -> bool {
    match code(error) {
        Some(code) => ENDED.iter().any(|class| code.starts_with(class)),
        None => matches!(error, Error::Io(_) | Error::Tls(_) | Error::Protocol(_)),
    }
}

/// The same for what a statement on a connection failed with.
pub(super) fn was_cut(error: &PersistenceError) -> bool {
    error.database_cause().is_some_and(is_cut)
}

/// Whether the transaction may succeed, or be refused for a reason, when it begins again.
pub(super) fn is_collision(error: &PersistenceError) -> bool {
    let code = error.database_cause().and_then(code);
    code.is_some_and(|code| COLLISION.contains(&code))
}
