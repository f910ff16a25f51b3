//! The log as JSON lines, for a tool that has only public keys.

use std::io::Write;

use serde::Serialize;
use zmon_domain::error::ErrorCode;

use super::{checkpoint, read};
use crate::error::{PersistenceError, Result};
use crate::hex;
use crate::sql::Connection;

/// Rows read at a time.
const STEP: u32 = 512;

#[derive(Serialize)]
struct RowLine<'a> {
    hash: String,
    lane: &'a str,
    prev: String,
    /// The exact bytes the hash covers; they are JSON text themselves.
    record: &'a str,
    seq: i64,
}

#[derive(Serialize)]
struct CheckpointLine<'a> {
    checkpoint: &'a str,
}

pub(super) async fn lines(
    connection: &mut Connection<'_>,
    out: &mut (dyn Write + Send),
) -> Result<u64> {
    let mut written = 0_u64;
    let mut last_id = 0;
    loop {
        let rows = read::after(connection, last_id, STEP).await?;
        let Some((end, _)) = rows.last() else { break };
        last_id = end.id;
        for (place, content) in &rows {
            let damaged =
                |rule| PersistenceError::corrupt(format!("audit row {}: {rule}", place.seq));
            let content = content.as_ref().map_err(|rule| damaged(*rule))?;
            let record = core::str::from_utf8(&content.bytes)
                .map_err(|_| damaged("the record is not text"))?;
            let line = RowLine {
                hash: hex::encode(&content.hash),
                lane: &place.lane,
                prev: hex::encode(&content.prev),
                record,
                seq: place.seq,
            };
            put(out, &line)?;
            written = written.saturating_add(1);
        }
    }
    for stored in checkpoint::all(connection).await? {
        put(out, &CheckpointLine { checkpoint: &stored.jws })?;
        written = written.saturating_add(1);
    }
    Ok(written)
}

fn put(out: &mut (dyn Write + Send), line: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, line)
        .map_err(std::io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .map_err(|error| {
            let context = "the export cannot be written";
            PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error)
        })
}
