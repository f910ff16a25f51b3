//! The log on its way out: row by row to whoever writes it, and as JSON lines, for a tool that has
//! only public keys.

use std::io::{self, Write};

use serde::Serialize;
use zmon_domain::error::ErrorCode;

use super::record::AuditRecord;
use super::{checkpoint, read};
use crate::error::{PersistenceError, Result};
use crate::hex;
use crate::sql::Connection;

/// Rows read at a time.
const STEP: u32 = 512;

/// Writes an audit log in some format. [`AuditLog::export`](super::AuditLog::export) hands over every
/// row in the order in which it was written, then every checkpoint.
pub trait AuditExport: Send {
    /// Writes one row.
    ///
    /// # Errors
    /// Of a row that cannot be read, and [`export_failed`].
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<()>;

    /// Writes one checkpoint, a JWS in compact form.
    ///
    /// # Errors
    /// [`export_failed`].
    fn checkpoint(&mut self, jws: &str) -> Result<()>;
}

/// One row as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct ExportedRow<'a> {
    /// The writer.
    pub lane: &'a str,
    /// Its number in the lane, from 1.
    pub seq: i64,
    /// Its hash in the chain.
    pub hash: [u8; 32],
    /// The hash of the row before it, zeros for the first.
    pub prev: [u8; 32],
    /// The exact bytes that the hash covers; they are JSON text.
    pub record: &'a str,
}

impl ExportedRow<'_> {
    /// What the row says.
    ///
    /// # Errors
    /// `storage_corrupt` for anything but the canonical form of a known version.
    pub fn parse(&self) -> Result<AuditRecord> {
        AuditRecord::parse(self.record.as_bytes()).map_err(|rule| damaged(self.seq, rule))
    }
}

/// A failed export: what it was written to does not take it.
#[must_use]
pub fn export_failed(error: io::Error) -> PersistenceError {
    let context = "the export cannot be written";
    PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error)
}

/// One JSON object a line, rows and checkpoints, exact enough to recompute every hash.
///
/// A row's line is `{"hash":…,"lane":…,"prev":…,"record":"…","seq":…}`. `record` holds the
/// exact bytes as text, so that hash = SHA-256("zp1 audit" ‖ lane ‖ u64 seq ‖ prev ‖
/// u32 length ‖ record) can be recomputed by any tool. A checkpoint's is `{"checkpoint":"…"}`.
#[derive(Debug)]
pub struct JsonLines<W>(pub W);

#[derive(Serialize)]
struct RowLine<'a> {
    hash: String,
    lane: &'a str,
    prev: String,
    record: &'a str,
    seq: i64,
}

#[derive(Serialize)]
struct CheckpointLine<'a> {
    checkpoint: &'a str,
}

impl<W: Write + Send> AuditExport for JsonLines<W> {
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<()> {
        let ExportedRow { lane, seq, record, .. } = *row;
        let (hash, prev) = (hex::encode(&row.hash), hex::encode(&row.prev));
        self.put(&RowLine { hash, lane, prev, record, seq })
    }

    fn checkpoint(&mut self, jws: &str) -> Result<()> {
        self.put(&CheckpointLine { checkpoint: jws })
    }
}

impl<W: Write> JsonLines<W> {
    fn put(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.0, line)
            .map_err(io::Error::from)
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(export_failed)
    }
}

/// Hands everything to `export`; returns how many rows and checkpoints.
pub(super) async fn run(
    connection: &mut Connection<'_>,
    export: &mut dyn AuditExport,
) -> Result<u64> {
    let mut written = 0_u64;
    let mut last_id = 0;
    loop {
        let rows = read::after(connection, last_id, STEP).await?;
        let Some((end, _)) = rows.last() else { break };
        last_id = end.id;
        for (place, content) in &rows {
            let content = content.as_ref().map_err(|rule| damaged(place.seq, rule))?;
            let record = core::str::from_utf8(&content.bytes)
                .map_err(|_| damaged(place.seq, "the record is not text"))?;
            export.row(&ExportedRow {
                lane: &place.lane,
                seq: place.seq,
                hash: content.hash,
                prev: content.prev,
                record,
            })?;
            written = written.saturating_add(1);
        }
    }
    for stored in checkpoint::all(connection).await? {
        export.checkpoint(&stored.jws)?;
        written = written.saturating_add(1);
    }
    Ok(written)
}

fn damaged(seq: i64, rule: &str) -> PersistenceError {
    PersistenceError::corrupt(format!("audit row {seq}: {rule}"))
}
