//! Adding rows at the end of a lane.

use zmon_crypto::audit::{GENESIS, chain};
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_domain::time::Now;

use super::record::AuditRecord;
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, query};

/// Where a lane ends, as the last row says it.
const LAST_ROW: &str =
    "SELECT seq, hash FROM security_audit_log WHERE lane = $1 ORDER BY seq DESC LIMIT 1";

/// The same as the triggers of PostgreSQL keep it, in one row a lane: writers of different lanes read
/// nothing that another one changes, so that neither has to begin again.
#[cfg(feature = "postgres")]
const KEPT_END: &str = "SELECT seq, hash FROM audit_lanes WHERE lane = $1";

const INSERT: &str = "INSERT INTO security_audit_log (lane, seq, timestamp, record, prev, hash, \
     event_type, device_id, session_id, actor, role, pairing_code, success, error_code, \
     error_message, configuration_hash) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// Appends `events` to `lane` inside the caller's transaction, in order. An event that names no
/// device is about `device`, where there is only one.
///
/// # Errors
/// `AuditUnavailable`; the caller must roll back: no audit row, no operation (D16).
pub(crate) async fn append(
    connection: &mut Connection<'_>,
    lane: &str,
    device: Option<&DeviceId>,
    now: &Now,
    events: &[AuditEvent],
) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    write(connection, lane, device, now, events)
        .await
        .map_err(|error| error.unless_corrupt(ErrorCode::AuditUnavailable))
}

async fn write(
    connection: &mut Connection<'_>,
    lane: &str,
    device: Option<&DeviceId>,
    now: &Now,
    events: &[AuditEvent],
) -> Result<()> {
    let (mut seq, mut prev) = head(connection, lane).await?;
    for event in events {
        let record = AuditRecord::new(event, device, now);
        let bytes = record.to_bytes()?;
        seq = seq.checked_add(1).ok_or_else(|| PersistenceError::corrupt("the lane is full"))?;
        let hash = chain(lane, seq, &prev, &bytes);
        let columns = record.projection();
        query(INSERT)
            .bind(lane)
            .bind(stored(seq)?)
            .bind(columns.timestamp)
            .bind(bytes.as_slice())
            .bind(prev.as_slice())
            .bind(hash.as_slice())
            .bind(columns.event_type.as_str())
            .bind(columns.device_id)
            .bind(columns.session_id)
            .bind(columns.actor.as_str())
            .bind(columns.role)
            .bind(columns.pairing_code)
            .bind(columns.success)
            .bind(columns.error_code)
            .bind(columns.error_message)
            .bind(columns.configuration_hash)
            .execute(connection)
            .await
            .map_err(|error| PersistenceError::database("an audit row cannot be added", error))?;
        prev = hash;
    }
    Ok(())
}

/// Number and hash of the last row of a lane; 0 and [`GENESIS`] for an empty one.
async fn head(connection: &mut Connection<'_>, lane: &str) -> Result<(u64, [u8; 32])> {
    let fail = |error| PersistenceError::database("the end of the audit log cannot be read", error);
    let statement = match connection {
        Connection::Sqlite(_) => LAST_ROW,
        #[cfg(feature = "postgres")]
        Connection::Postgres(_) => KEPT_END,
    };
    let row = query(statement).bind(lane).fetch_optional(connection).await.map_err(fail)?;
    let Some(row) = row else { return Ok((0, GENESIS)) };
    let seq: i64 = row.get("seq").map_err(fail)?;
    let hash: &[u8] = row.get("hash").map_err(fail)?;
    match (u64::try_from(seq), <[u8; 32]>::try_from(hash)) {
        (Ok(seq), Ok(hash)) => Ok((seq, hash)),
        _ => Err(PersistenceError::corrupt("the last audit row is not one of ours")),
    }
}

fn stored(seq: u64) -> Result<i64> {
    i64::try_from(seq).map_err(|_| PersistenceError::corrupt("the lane is full"))
}
