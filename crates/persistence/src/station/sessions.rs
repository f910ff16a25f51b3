//! Reservations, claims, phases.

use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, OperatorId, SessionId, TokenId};
use zmon_domain::time::UnixTime;
use zmon_protocol::station::SessionPhase;
use zmon_station::ports::{Refusal, SessionRow};

use super::apply::Stop;
use super::decode::{Columns, failed};
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, Row, query};

/// A reservation whose deadline has passed is lost, and with it the session unless it has ended.
const RELEASE_EXPIRED: &str = "UPDATE sessions SET reserved = 0, \
     phase = CASE WHEN phase IN ('paired', 'failed', 'released') THEN phase ELSE 'released' END \
     WHERE device_id = $1 AND reserved = 1 AND expires_at < $2";

const INSERT: &str = "INSERT INTO sessions (id, device_id, operator, phase, reserved, token_id, \
     opened_at, expires_at, error, answer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT DO NOTHING";

const MOVE: &str = "UPDATE sessions SET phase = $2, error = coalesce($3, error) \
     WHERE id = $1 AND phase NOT IN ('paired', 'failed', 'released')";

/// Stands for the operator of a session that a device began by itself (D23).
const NOBODY: &str = "";

pub(super) async fn reserve(connection: &mut Connection<'_>, row: &SessionRow) -> Result<(), Stop> {
    if let Some(session) = claimed_by(connection, &row.token_id).await? {
        return Err(Stop::Refused(Refusal::TokenUsed(session)));
    }
    query(RELEASE_EXPIRED)
        .bind(row.device_id.as_str())
        .bind(row.opened_at.unix())
        .execute(connection)
        .await
        .map_err(failed("sessions"))?;
    let inserted = query(INSERT)
        .bind(row.id.as_bytes().as_slice())
        .bind(row.device_id.as_str())
        .bind(row.operator.as_ref().map_or(NOBODY, OperatorId::as_str))
        .bind(row.phase.as_str())
        .bind(i64::from(row.reserved))
        .bind(row.token_id.as_bytes().as_slice())
        .bind(row.opened_at.unix())
        .bind(row.expires_at.unix())
        .bind(row.error.map(ErrorCode::as_str))
        .bind(row.answer.as_deref())
        .execute(connection)
        .await
        .map_err(failed("sessions"))?;
    if inserted == 1 {
        return Ok(());
    }
    // The partial unique index, or the id itself, was there first.
    if let Some(holder) = reservation(connection, &row.device_id).await? {
        return Err(Stop::Refused(Refusal::DeviceReserved(Box::new(holder))));
    }
    let phase = session(connection, &row.id).await?.map(|existing| existing.phase);
    Err(Stop::Refused(Refusal::SessionEnded(phase)))
}

/// One conditional insert decides between any number of claimers (T5).
pub(super) async fn claim_token(
    connection: &mut Connection<'_>,
    session_id: &SessionId,
    token_id: &TokenId,
) -> Result<(), Stop> {
    let inserted = query(
        "INSERT INTO claimed_tokens (token_id, session_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(token_id.as_bytes().as_slice())
    .bind(session_id.as_bytes().as_slice())
    .execute(connection)
    .await
    .map_err(failed("claimed_tokens"))?;
    if inserted == 1 {
        return Ok(());
    }
    match claimed_by(connection, token_id).await? {
        Some(session) if session == *session_id => Ok(()),
        Some(session) => Err(Stop::Refused(Refusal::TokenUsed(session))),
        None => Err(PersistenceError::corrupt("claimed_tokens: a claim has no row").into()),
    }
}

pub(super) async fn set_phase(
    connection: &mut Connection<'_>,
    id: &SessionId,
    phase: SessionPhase,
    error: Option<ErrorCode>,
) -> Result<(), Stop> {
    let moved = query(MOVE)
        .bind(id.as_bytes().as_slice())
        .bind(phase.as_str())
        .bind(error.map(ErrorCode::as_str))
        .execute(connection)
        .await
        .map_err(failed("sessions"))?;
    if moved == 1 {
        return Ok(());
    }
    let phase = session(connection, id).await?.map(|row| row.phase);
    Err(Stop::Refused(Refusal::SessionEnded(phase)))
}

pub(super) async fn keep_answer(
    connection: &mut Connection<'_>,
    id: &SessionId,
    answer: &[u8],
) -> Result<()> {
    query("UPDATE sessions SET answer = $2 WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .bind(answer)
        .execute(connection)
        .await
        .map_err(failed("sessions"))?;
    Ok(())
}

pub(super) async fn set_deadline(
    connection: &mut Connection<'_>,
    id: &SessionId,
    expires_at: UnixTime,
) -> Result<()> {
    query("UPDATE sessions SET expires_at = $2 WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .bind(expires_at.unix())
        .execute(connection)
        .await
        .map_err(failed("sessions"))?;
    Ok(())
}

pub(super) async fn release(connection: &mut Connection<'_>, id: &SessionId) -> Result<()> {
    query("UPDATE sessions SET reserved = 0 WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .execute(connection)
        .await
        .map_err(failed("sessions"))?;
    Ok(())
}

pub(super) async fn session(
    connection: &mut Connection<'_>,
    id: &SessionId,
) -> Result<Option<SessionRow>> {
    let row = query("SELECT * FROM sessions WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(failed("sessions"))?;
    row.as_ref().map(session_row).transpose()
}

pub(super) async fn reservation(
    connection: &mut Connection<'_>,
    device: &DeviceId,
) -> Result<Option<SessionRow>> {
    let row = query("SELECT * FROM sessions WHERE device_id = $1 AND reserved = 1")
        .bind(device.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed("sessions"))?;
    row.as_ref().map(session_row).transpose()
}

pub(super) async fn open_sessions(connection: &mut Connection<'_>) -> Result<Vec<SessionRow>> {
    let rows = query(
        "SELECT * FROM sessions WHERE reserved = 1 \
         OR phase NOT IN ('paired', 'failed', 'released') ORDER BY opened_at, id",
    )
    .fetch_all(connection)
    .await
    .map_err(failed("sessions"))?;
    rows.iter().map(session_row).collect()
}

pub(super) async fn paired_since(connection: &mut Connection<'_>, at: UnixTime) -> Result<u64> {
    let count: Option<i64> = query(
        "SELECT count(*) FROM sessions WHERE phase = 'paired' AND operator <> $1 \
         AND opened_at >= $2",
    )
    .bind(NOBODY)
    .bind(at.unix())
    .fetch_value(connection)
    .await
    .map_err(failed("sessions"))?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

pub(super) async fn claimed_by(
    connection: &mut Connection<'_>,
    token_id: &TokenId,
) -> Result<Option<SessionId>> {
    let row = query("SELECT session_id FROM claimed_tokens WHERE token_id = $1")
        .bind(token_id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(failed("claimed_tokens"))?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns { table: "claimed_tokens", row: &row };
    Ok(Some(SessionId::from_bytes(columns.bytes("session_id")?)))
}

fn operator(columns: Columns<'_>) -> Result<Option<OperatorId>> {
    let text: &str = columns.raw("operator")?;
    let named = (text != NOBODY).then(|| OperatorId::parse(text));
    named.transpose().map_err(|_| columns.damaged("operator"))
}

fn session_row(row: &Row) -> Result<SessionRow> {
    let columns = Columns { table: "sessions", row };
    Ok(SessionRow {
        id: SessionId::from_bytes(columns.bytes("id")?),
        device_id: columns.text("device_id", DeviceId::parse)?,
        operator: operator(columns)?,
        phase: columns.word("phase", SessionPhase::parse)?,
        reserved: columns.flag("reserved")?,
        token_id: TokenId::from_bytes(columns.bytes("token_id")?),
        opened_at: columns.time("opened_at")?,
        expires_at: columns.time("expires_at")?,
        error: columns.optional("error", str::parse)?,
        answer: columns.raw("answer")?,
    })
}
