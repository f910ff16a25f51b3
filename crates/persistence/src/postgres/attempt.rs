//! One transaction, from its beginning to what is known of its end.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use zmon_domain::error::ErrorCode;

use super::connect::answered;
use super::error::is_cut;
use crate::error::{PersistenceError, Result};
use crate::sql::{Change, Connection};

/// Begins a change: it is kept only if everything it has read is still so.
const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";

/// How an attempt at a change ended.
pub(super) enum Attempt<C: Change> {
    Kept(C::Outcome),
    /// Rolled back, as it wished.
    Refused(C::Refusal),
    /// Nothing of it is there.
    Failed(PersistenceError),
    /// The commit was sent and not answered.
    Unheard {
        transaction: String,
        outcome: C::Outcome,
        error: PersistenceError,
    },
}

/// Makes a change in a transaction of its own.
pub(super) async fn attempt<C: Change>(connection: &mut PgConnection, change: &C) -> Attempt<C> {
    let lost = |error| PersistenceError::database("the transaction failed", error);
    let failed = |error| Attempt::Failed(lost(error));
    let mut transaction = match answered(connection.begin_with(BEGIN)).await {
        Ok(transaction) => transaction,
        Err(error) => return failed(error),
    };
    let made = change.make(&mut Connection::Postgres(&mut transaction)).await;
    let outcome = match made {
        Ok(Ok(outcome)) => outcome,
        // At once: until then others would wait for what it has locked.
        Ok(Err(refusal)) => {
            return match answered(transaction.rollback()).await {
                Ok(()) => Attempt::Refused(refusal),
                Err(error) => failed(error),
            };
        }
        Err(error) => {
            // Where this fails, too, so will the next attempt, or whoever closes the connection.
            let _rolled_back = answered(transaction.rollback()).await;
            return Attempt::Failed(error);
        }
    };
    let number = sqlx::query_scalar("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")
        .fetch_one(&mut *transaction);
    let number: Option<String> = match answered(number).await {
        Ok(number) => number,
        Err(error) => return failed(error),
    };
    match (answered(transaction.commit()).await, number) {
        (Ok(()), _) => Attempt::Kept(outcome),
        (Err(error), Some(transaction)) if is_cut(&error) => {
            Attempt::Unheard { transaction, outcome, error: lost(error) }
        }
        (Err(error), _) => failed(error),
    }
}

/// Whether a transaction was kept whose commit nobody has heard answered. The connection has waited for
/// the lane, which the old one held until its transaction had ended one way or the other.
pub(super) async fn was_kept(connection: &mut PgConnection, transaction: &str) -> Result<bool> {
    let status = sqlx::query_scalar("SELECT pg_xact_status(CAST($1 AS xid8))")
        .bind(transaction)
        .fetch_one(connection);
    let context = |status| format!("the status of the transaction is {status}");
    let status: Option<String> = answered(status)
        .await
        .map_err(|error| PersistenceError::database(context("not told"), error))?;
    match status.as_deref() {
        Some("committed") => Ok(true),
        Some("aborted") => Ok(false),
        other => {
            let context = context(other.unwrap_or("forgotten"));
            Err(PersistenceError::new(ErrorCode::StorageUnavailable, context))
        }
    }
}

/// Nobody can say whether a change was made.
pub(super) fn unknown(cause: PersistenceError) -> PersistenceError {
    let context = "the connection was lost over a commit; whether it was made is not known";
    PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, cause)
}
