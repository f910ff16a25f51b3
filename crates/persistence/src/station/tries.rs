//! Runs of typed codes, per operator (D2).

use core::time::Duration;

use zmon_domain::ids::{OperatorId, SessionId, WindowId};
use zmon_domain::limits;
use zmon_domain::time::UnixTime;
use zmon_protocol::station::TypedTries;
use zmon_station::ports::Refusal;

use super::apply::Stop;
use super::decode::failed;
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, query};

/// How long a failed run counts. A window lives no longer than this.
const HOUR: Duration = Duration::from_secs(3600);

/// A claimed window was no guess: it does not count for the hour.
const COUNT: &str = "SELECT \
     (SELECT count(*) FROM typed_tries WHERE operator = $1 AND at > $3 AND window_id = $2), \
     (SELECT count(*) FROM typed_tries WHERE operator = $1 AND at > $3 AND session_id NOT IN \
       (SELECT session_id FROM claimed_tokens WHERE token_id = typed_tries.window_id))";

pub(super) async fn counted(
    connection: &mut Connection<'_>,
    operator: &OperatorId,
    window: &WindowId,
    at: UnixTime,
) -> Result<TypedTries> {
    let row = query(COUNT)
        .bind(operator.as_str())
        .bind(window.as_bytes().as_slice())
        .bind((at - HOUR).unix())
        .fetch_optional(connection)
        .await
        .map_err(failed("typed_tries"))?
        .ok_or_else(|| PersistenceError::corrupt("typed_tries: there is no count"))?;
    let count = |column: usize| -> Result<u32> {
        let number: i64 = row.at(column).map_err(failed("typed_tries"))?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    };
    Ok(TypedTries { window: count(0)?, hour: count(1)? })
}

pub(super) async fn spend(
    connection: &mut Connection<'_>,
    session_id: &SessionId,
    operator: &OperatorId,
    window: &WindowId,
    at: UnixTime,
) -> Result<(), Stop> {
    let tries = counted(connection, operator, window, at).await?;
    if tries.window >= u32::from(limits::TYPED_TRIES.default)
        || tries.hour >= u32::from(limits::TYPED_TRIES_HOURLY.default)
    {
        return Err(Stop::Refused(Refusal::TriesSpent));
    }
    query("DELETE FROM typed_tries WHERE at <= $1")
        .bind((at - HOUR).unix())
        .execute(connection)
        .await
        .map_err(failed("typed_tries"))?;
    query("INSERT INTO typed_tries (session_id, operator, window_id, at) VALUES ($1, $2, $3, $4)")
        .bind(session_id.as_bytes().as_slice())
        .bind(operator.as_str())
        .bind(window.as_bytes().as_slice())
        .bind(at.unix())
        .execute(connection)
        .await
        .map_err(failed("typed_tries"))?;
    Ok(())
}
