//! Reading rows back.

use zmon_crypto::audit::chain;

use super::record::{AuditRecord, Projection};
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, Row, query};

const COLUMNS_AFTER: &str = "SELECT id, lane, seq, timestamp, record, prev, hash, event_type, \
     device_id, session_id, actor, role, pairing_code, success, error_code, error_message, \
     configuration_hash FROM security_audit_log WHERE id > $1 ORDER BY id LIMIT $2";

const COLUMNS_OF_LANE: &str = "SELECT id, lane, seq, timestamp, record, prev, hash, event_type, \
     device_id, session_id, actor, role, pairing_code, success, error_code, error_message, \
     configuration_hash FROM security_audit_log WHERE lane = $1 AND seq > $2 \
     ORDER BY seq LIMIT $3";

#[cfg(feature = "station")]
const COLUMNS_OF_LANE_BACKWARDS: &str = "SELECT id, lane, seq, timestamp, record, prev, hash, \
     event_type, device_id, session_id, actor, role, pairing_code, success, error_code, \
     error_message, configuration_hash FROM security_audit_log WHERE lane = $1 AND seq < $2 \
     ORDER BY seq DESC LIMIT $3";

/// Where a row stands. Readable even when the rest of the row is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: i64,
    pub(super) lane: String,
    pub(super) seq: i64,
}

/// What a row holds besides its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) prev: [u8; 32],
    pub(super) hash: [u8; 32],
    pub(super) columns: Projection,
}

/// A row as a page of events shows it.
#[derive(Debug, Clone)]
pub(crate) struct StoredRow {
    pub(crate) lane: String,
    pub(crate) seq: u64,
    pub(crate) hash: [u8; 32],
    pub(super) record: AuditRecord,
}

/// Rows of every lane in the order they were written, after row `id`.
///
/// In order of the table's own key: an index may be damaged and lead round in a circle, and a
/// cursor taken from a damaged column may never advance.
pub(super) async fn after(
    connection: &mut Connection<'_>,
    id: i64,
    limit: u32,
) -> Result<Vec<(Place, core::result::Result<Content, &'static str>)>> {
    let rows = query(COLUMNS_AFTER)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    let mut last = id;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let place = place(row)?;
        if place.id <= last {
            return Err(PersistenceError::corrupt("the rows of the audit log are out of order"));
        }
        last = place.id;
        found.push((place, content(row)));
    }
    Ok(found)
}

/// Rows of one lane, to be shown.
pub(super) async fn page(
    connection: &mut Connection<'_>,
    lane: &str,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredRow>> {
    let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
    let rows = query(COLUMNS_OF_LANE)
        .bind(lane)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    rows.iter().map(shown).collect()
}

/// Rows of one lane before the row `before`, newest first, to be shown; 0 = from the newest.
#[cfg(feature = "station")]
pub(super) async fn newest(
    connection: &mut Connection<'_>,
    lane: &str,
    before: u64,
    limit: u32,
) -> Result<Vec<StoredRow>> {
    let before = if before == 0 { i64::MAX } else { i64::try_from(before).unwrap_or(i64::MAX) };
    let rows = query(COLUMNS_OF_LANE_BACKWARDS)
        .bind(lane)
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    rows.iter().map(shown).collect()
}

/// The hash of one row; `None` where the lane has no such row.
#[cfg(any(feature = "station", feature = "upkeep"))]
pub(crate) async fn hash_at(
    connection: &mut Connection<'_>,
    lane: &str,
    seq: u64,
) -> Result<Option<[u8; 32]>> {
    let Ok(seq) = i64::try_from(seq) else { return Ok(None) };
    let hash: Option<Vec<u8>> =
        query("SELECT hash FROM security_audit_log WHERE lane = $1 AND seq = $2")
            .bind(lane)
            .bind(seq)
            .fetch_value(connection)
            .await
            .map_err(unreadable)?;
    let halved = |_| PersistenceError::corrupt("an audit row has half a hash");
    hash.map(|hash| <[u8; 32]>::try_from(hash).map_err(halved)).transpose()
}

/// The lane of the oldest row.
pub(super) async fn first_lane(connection: &mut Connection<'_>) -> Result<Option<String>> {
    query("SELECT lane FROM security_audit_log ORDER BY id LIMIT 1")
        .fetch_value(connection)
        .await
        .map_err(unreadable)
}

fn shown(row: &Row) -> Result<StoredRow> {
    let place = place(row)?;
    let damaged = |rule| PersistenceError::corrupt(format!("audit row {}: {rule}", place.seq));
    let content = content(row).map_err(damaged)?;
    let record = AuditRecord::parse(&content.bytes).map_err(damaged)?;
    let seq = u64::try_from(place.seq).map_err(|_| damaged("its number is negative"))?;
    // What is shown is what was written, whether or not anybody verifies the whole log.
    if chain(&place.lane, seq, &content.prev, &content.bytes) != content.hash {
        return Err(damaged("the record is not the one that was hashed"));
    }
    Ok(StoredRow { lane: place.lane.clone(), seq, hash: content.hash, record })
}

fn place(row: &Row) -> Result<Place> {
    Ok(Place {
        id: row.get("id").map_err(unreadable)?,
        lane: row.get("lane").map_err(unreadable)?,
        seq: row.get("seq").map_err(unreadable)?,
    })
}

fn content(row: &Row) -> core::result::Result<Content, &'static str> {
    columns(row).map_err(|_| "a column has the wrong type")?.ok_or("a hash has the wrong length")
}

fn columns(row: &Row) -> core::result::Result<Option<Content>, sqlx::Error> {
    let prev: &[u8] = row.get("prev")?;
    let hash: &[u8] = row.get("hash")?;
    let (Ok(prev), Ok(hash)) = (prev.try_into(), hash.try_into()) else { return Ok(None) };
    let columns = Projection {
        timestamp: row.get("timestamp")?,
        event_type: row.get("event_type")?,
        device_id: row.get("device_id")?,
        session_id: row.get("session_id")?,
        actor: row.get("actor")?,
        role: row.get("role")?,
        pairing_code: row.get("pairing_code")?,
        success: row.get("success")?,
        error_code: row.get("error_code")?,
        error_message: row.get("error_message")?,
        configuration_hash: row.get("configuration_hash")?,
    };
    Ok(Some(Content { bytes: row.get("record")?, prev, hash, columns }))
}

fn unreadable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the audit log cannot be read", error)
}
