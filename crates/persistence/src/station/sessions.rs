//! Reservations, claims, phases.

use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::ids::{DeviceId, InstanceName, OperatorId, Serial, SessionId, TokenId};
use zmon_domain::time::UnixTime;
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_station::ports::{Enrolment, Refusal, SessionRow, SessionStanding};

use super::apply::Stop;
use super::decode::{Columns, failed, number};
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, Row, query};

/// A reservation whose deadline has passed is lost, and with it the session unless it has ended.
const RELEASE_EXPIRED: &str = "UPDATE sessions SET reserved = 0, \
     phase = CASE WHEN phase IN ('paired', 'failed', 'released') THEN phase ELSE 'released' END \
     WHERE device_id = $1 AND reserved = 1 AND expires_at < $2";

const INSERT: &str = "INSERT INTO sessions (id, device_id, operator, phase, reserved, token_id, \
     opened_at, expires_at, error, answer, owner, epoch, lease_until, enrolment) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING";

/// One conditional update decides between any number of takers.
const TAKE: &str = "UPDATE sessions SET owner = $3, epoch = epoch + 1, lease_until = $4 \
     WHERE id = $1 AND epoch = $2 AND phase NOT IN ('paired', 'failed', 'released')";

const MOVE: &str = "UPDATE sessions SET phase = $2, error = coalesce($3, error) \
     WHERE id = $1 AND phase NOT IN ('paired', 'failed', 'released')";

const OF_OWNER: &str = "SELECT s.id, s.epoch, c.serial, c.state, c.committed_at FROM sessions s \
     LEFT JOIN certificates c ON c.session = s.id \
     WHERE s.owner = $1 AND s.phase NOT IN ('paired', 'failed', 'released')";

/// Stands for the operator of a session that a device began by itself (D23), and for the owner of one that
/// nobody can go on with.
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
        .bind(row.owner.as_ref().map_or(NOBODY, InstanceName::as_str))
        .bind(number(row.epoch))
        .bind(row.lease_until.unix())
        .bind(row.enrolment.map(Enrolment::as_str))
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

pub(super) async fn hold(
    connection: &mut Connection<'_>,
    id: &SessionId,
    epoch: u64,
) -> Result<(), Stop> {
    match session(connection, id).await? {
        Some(row) if row.epoch == epoch => Ok(()),
        Some(row) => Err(Stop::Refused(Refusal::SessionTaken { epoch: row.epoch })),
        None => Err(Stop::Refused(Refusal::SessionEnded(None))),
    }
}

pub(super) async fn take(
    connection: &mut Connection<'_>,
    id: &SessionId,
    from: u64,
    owner: Option<&InstanceName>,
    lease_until: UnixTime,
) -> Result<(), Stop> {
    let taken = query(TAKE)
        .bind(id.as_bytes().as_slice())
        .bind(number(from))
        .bind(owner.map_or(NOBODY, InstanceName::as_str))
        .bind(lease_until.unix())
        .execute(connection)
        .await
        .map_err(failed("sessions"))?;
    if taken == 1 {
        return Ok(());
    }
    Err(Stop::Refused(match session(connection, id).await? {
        Some(row) if !row.phase.is_final() => Refusal::SessionTaken { epoch: row.epoch },
        row => Refusal::SessionEnded(row.map(|row| row.phase)),
    }))
}

pub(super) async fn renew_leases(
    connection: &mut Connection<'_>,
    owner: &InstanceName,
    ids: &[SessionId],
    until: UnixTime,
) -> Result<()> {
    for id in ids {
        query("UPDATE sessions SET lease_until = $3 WHERE id = $1 AND owner = $2")
            .bind(id.as_bytes().as_slice())
            .bind(owner.as_str())
            .bind(until.unix())
            .execute(connection)
            .await
            .map_err(failed("sessions"))?;
    }
    Ok(())
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

pub(super) async fn of_owner(
    connection: &mut Connection<'_>,
    owner: &InstanceName,
) -> Result<Vec<SessionStanding>> {
    let rows = query(OF_OWNER)
        .bind(owner.as_str())
        .fetch_all(connection)
        .await
        .map_err(failed("sessions"))?;
    rows.iter().map(standing).collect()
}

fn standing(row: &Row) -> Result<SessionStanding> {
    let columns = Columns { table: "sessions", row };
    let serial: Option<&[u8]> = columns.raw("serial")?;
    let certificate = match serial {
        None => None,
        Some(serial) => {
            let serial = Serial::from_bytes(serial).map_err(|_| columns.damaged("serial"))?;
            let state = columns.word("state", CertificateState::parse)?;
            Some((serial, state, columns.optional_time("committed_at")?.is_some()))
        }
    };
    let (id, epoch) = (SessionId::from_bytes(columns.bytes("id")?), epoch(columns)?);
    Ok(SessionStanding { id, epoch, certificate })
}

fn epoch(columns: Columns<'_>) -> Result<u64> {
    u64::try_from(columns.raw::<i64>("epoch")?).map_err(|_| columns.damaged("epoch"))
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

/// Whose name stands in a column, unless it is nobody's.
fn name<T>(
    columns: Columns<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, FieldError>,
) -> Result<Option<T>> {
    let text: &str = columns.raw(column)?;
    let named = (text != NOBODY).then(|| parse(text));
    named.transpose().map_err(|_| columns.damaged(column))
}

fn enrolment(columns: Columns<'_>) -> Result<Option<Enrolment>> {
    let Some(text) = columns.raw::<Option<&str>>("enrolment")? else { return Ok(None) };
    Enrolment::parse(text).map(Some).ok_or_else(|| columns.damaged("enrolment"))
}

fn session_row(row: &Row) -> Result<SessionRow> {
    let columns = Columns { table: "sessions", row };
    Ok(SessionRow {
        id: SessionId::from_bytes(columns.bytes("id")?),
        device_id: columns.text("device_id", DeviceId::parse)?,
        operator: name(columns, "operator", OperatorId::parse)?,
        phase: columns.word("phase", SessionPhase::parse)?,
        reserved: columns.flag("reserved")?,
        token_id: TokenId::from_bytes(columns.bytes("token_id")?),
        opened_at: columns.time("opened_at")?,
        expires_at: columns.time("expires_at")?,
        error: columns.optional("error", str::parse)?,
        answer: columns.raw("answer")?,
        owner: name(columns, "owner", InstanceName::parse)?,
        epoch: epoch(columns)?,
        lease_until: columns.time("lease_until")?,
        enrolment: enrolment(columns)?,
    })
}
