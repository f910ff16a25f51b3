//! Signed statements about the heads of all lanes (D16).

use async_trait::async_trait;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::{Algorithms, IdentityPublic, sha256};
use zmon_domain::time::Now;
use zmon_wire::checkpoint::{Checkpoint, LaneHead};
use zmon_wire::kind::V1;
use zmon_wire::strict;

use super::verify::Damage;
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, Row, query};

/// Steps from lane to lane by index, because lanes are few and rows are many.
const HEADS: &str = "WITH RECURSIVE lanes(lane) AS ( \
     SELECT min(lane) FROM security_audit_log UNION ALL \
     SELECT (SELECT min(lane) FROM security_audit_log WHERE lane > lanes.lane) \
     FROM lanes WHERE lanes.lane IS NOT NULL) \
     SELECT lane, \
     (SELECT seq FROM security_audit_log AS l WHERE l.lane = lanes.lane ORDER BY seq DESC LIMIT 1), \
     (SELECT hash FROM security_audit_log AS l WHERE l.lane = lanes.lane ORDER BY seq DESC LIMIT 1) \
     FROM lanes WHERE lane IS NOT NULL";

/// Signs the payload of a checkpoint (`zp-checkpoint` JWS); the key stays where it is.
#[async_trait]
pub(crate) trait CheckpointSigner: Send + Sync {
    /// The payload as a compact JWS.
    async fn sign(&self, payload: Vec<u8>) -> Result<String>;
}

/// Number and hash of a lane's last row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) lane: String,
    pub(crate) seq: u64,
    pub(crate) hash: [u8; 32],
}

/// A checkpoint as stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) jws: String,
}

/// The payload of the checkpoint that is due, and how many rows it speaks for.
pub(crate) async fn payload(connection: &mut Connection<'_>, now: &Now) -> Result<(Vec<u8>, u64)> {
    let heads = stored_heads(connection).await?;
    let rows = total(&heads);
    let previous = latest(connection).await?;
    let statement = Checkpoint {
        heads,
        previous: previous.map(|stored| sha256(stored.jws.as_bytes())),
        rows,
        timestamp: now.millis,
        v: V1::default(),
    };
    let payload = strict::to_vec(&statement).map_err(|error| {
        let code = zmon_domain::error::ErrorCode::Internal;
        PersistenceError::caused_by(code, "a checkpoint cannot be written as JSON", error)
    })?;
    Ok((payload, rows))
}

/// Stores a signed checkpoint.
pub(crate) async fn store(
    connection: &mut Connection<'_>,
    now: &Now,
    rows: u64,
    jws: &str,
) -> Result<()> {
    query("INSERT INTO audit_checkpoints (timestamp, row_count, jws) VALUES ($1, $2, $3)")
        .bind(now.millis.unwrap_or(0))
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .bind(jws)
        .execute(connection)
        .await
        .map_err(|error| PersistenceError::database("a checkpoint cannot be added", error))?;
    Ok(())
}

/// The newest checkpoint.
pub(super) async fn latest(connection: &mut Connection<'_>) -> Result<Option<Stored>> {
    let row = query("SELECT id, jws FROM audit_checkpoints ORDER BY id DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .map_err(unreadable)?;
    row.as_ref().map(stored).transpose()
}

/// Every checkpoint, oldest first.
pub(super) async fn all(connection: &mut Connection<'_>) -> Result<Vec<Stored>> {
    let rows = query("SELECT id, jws FROM audit_checkpoints ORDER BY id")
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    rows.iter().map(stored).collect()
}

/// Rows added since the newest checkpoint; all of them without one.
pub(crate) async fn rows_since(connection: &mut Connection<'_>) -> Result<u64> {
    let rows = total(&stored_heads(connection).await?);
    let stated: Option<i64> =
        query("SELECT row_count FROM audit_checkpoints ORDER BY id DESC LIMIT 1")
            .fetch_value(connection)
            .await
            .map_err(unreadable)?;
    Ok(rows.saturating_sub(stated.and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0)))
}

/// Reads the heads a checkpoint states; with a key, only if its signature is right.
pub(super) fn heads(
    jws: &str,
    key: Option<&IdentityPublic>,
    algorithms: &Algorithms,
) -> core::result::Result<Vec<Head>, &'static str> {
    let (heads, _) = statement(jws, key, algorithms)?;
    Ok(heads)
}

/// The heads that a checkpoint states, whoever signed it: for one that comes from where nobody else writes.
#[cfg(any(feature = "station", feature = "upkeep"))]
pub(crate) fn stated_heads(jws: &str) -> Result<Vec<Head>> {
    heads(jws, None, &Algorithms::rustcrypto()).map_err(PersistenceError::corrupt)
}

/// Where each lane of the log ends now.
#[cfg(feature = "upkeep")]
pub(crate) async fn ends(connection: &mut Connection<'_>) -> Result<Vec<Head>> {
    let heads = stored_heads(connection).await?.into_iter();
    Ok(heads.map(|LaneHead { hash, lane, seq }| Head { lane, seq, hash }).collect())
}

/// Checks that stored checkpoints follow one another, and collects what they state.
///
/// A device may have had another identity key before (D21): a checkpoint whose signature is not by
/// `key` stands if a later one that is names its hash, over any number between.
pub(super) fn chain(
    stored: &[Stored],
    key: Option<&IdentityPublic>,
    algorithms: &Algorithms,
) -> core::result::Result<Vec<Head>, Damage> {
    let mut heads = Vec::new();
    let mut previous = None;
    let mut unvouched = None;
    for (expected, checkpoint) in (1..).zip(stored) {
        let damage = |rule| Damage { sequence: expected, rule };
        if i64::try_from(expected) != Ok(checkpoint.id) {
            return Err(unvouched.unwrap_or(damage("the checkpoint is missing")));
        }
        let signed = statement(&checkpoint.jws, key, algorithms);
        let vouches = signed.is_ok();
        let read = signed.or_else(|rule| {
            unvouched = unvouched.take().or(Some(damage(rule)));
            statement(&checkpoint.jws, None, algorithms)
        });
        let (stated, before) = read.map_err(damage)?;
        if before != previous {
            let broken = damage("the checkpoint does not continue the one before it");
            return Err(unvouched.unwrap_or(broken));
        }
        if vouches {
            unvouched = None;
        }
        previous = Some(sha256(checkpoint.jws.as_bytes()));
        heads.extend(stated);
    }
    unvouched.map_or(Ok(heads), Err)
}

/// Where each lane ends, by name.
async fn stored_heads(connection: &mut Connection<'_>) -> Result<Vec<LaneHead>> {
    let rows = query(HEADS).fetch_all(connection).await.map_err(unreadable)?;
    rows.iter().map(head).collect()
}

fn head(row: &Row) -> Result<LaneHead> {
    let damaged = |what| PersistenceError::corrupt(what);
    let seq: i64 = row.at(1).map_err(unreadable)?;
    let hash: &[u8] = row.at(2).map_err(unreadable)?;
    Ok(LaneHead {
        hash: hash.try_into().map_err(|_| damaged("an audit row has half a hash"))?,
        lane: row.at(0).map_err(unreadable)?,
        seq: u64::try_from(seq).map_err(|_| damaged("an audit row has a negative number"))?,
    })
}

/// Lanes count up by one from 1 and rows are never deleted.
fn total(heads: &[LaneHead]) -> u64 {
    heads.iter().fold(0, |rows, head| rows.saturating_add(head.seq))
}

fn stored(row: &Row) -> Result<Stored> {
    Ok(Stored { id: row.at(0).map_err(unreadable)?, jws: row.at(1).map_err(unreadable)? })
}

fn statement(
    jws: &str,
    key: Option<&IdentityPublic>,
    algorithms: &Algorithms,
) -> core::result::Result<(Vec<Head>, Option<[u8; 32]>), &'static str> {
    let unverified =
        Unverified::parse(jws.as_bytes()).map_err(|_| "the checkpoint is malformed")?;
    let payload = match key {
        Some(key) => unverified
            .verify_with(Typ::Checkpoint, key, algorithms)
            .map_err(|_| "the signature of the checkpoint is wrong")?
            .into_payload(),
        None => unverified.payload_unverified().to_vec().into(),
    };
    let statement: Checkpoint =
        strict::parse(&payload, payload.len()).map_err(|_| "the checkpoint is malformed")?;
    let heads = statement.heads.into_iter();
    let heads = heads.map(|LaneHead { hash, lane, seq }| Head { lane, seq, hash }).collect();
    Ok((heads, statement.previous))
}

fn unreadable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the audit log cannot be read", error)
}
