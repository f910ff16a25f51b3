//! `zmon audit export`: the log in the format that its reader takes.

use std::{
    error::Error as _,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde::Serialize;
use zmon_cli::{Failure, Streams, files};
use zmon_persistence::{AuditExport, AuditLog, JsonLines, PersistenceError};
use zmon_wire::kind::True;

use super::{csv::Csv, dicom::Dicom, stored, syslog::Syslog};
use crate::{args::AuditFormat, draft::Draft};

/// What `audit export --output` wrote, for programs.
#[derive(Serialize)]
struct Exported<'a> {
    success: True,
    /// Rows and checkpoints.
    lines: u64,
    output: &'a Path,
}

/// Writes the log to a new file, or to standard output.
///
/// # Errors
/// `storage_corrupt` for a row that cannot be read; a usage failure for a file that exists.
pub(super) async fn run(
    log: &AuditLog,
    format: AuditFormat,
    output: Option<&Path>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let Some(path) = output else {
        let mut out = BufWriter::new(streams.out());
        let _written = write(log, format, &mut out).await.map_err(unwritten)?;
        return Ok(out.flush()?);
    };
    let mut draft = Draft::begin("--output", path)?;
    let mut out = BufWriter::new(&mut draft);
    let lines = write(log, format, &mut out).await.map_err(stored)?;
    out.flush().map_err(|error| files::cannot("write", path, &error))?;
    drop(out);
    draft.keep()?;
    if streams.is_json() {
        streams.json(&Exported { success: True, lines, output: path })?;
    }
    Ok(streams.note(&format!("{lines} lines in {}", path.display()))?)
}

async fn write(
    log: &AuditLog,
    format: AuditFormat,
    out: &mut (dyn Write + Send),
) -> Result<u64, PersistenceError> {
    let mut export: Box<dyn AuditExport + '_> = match format {
        AuditFormat::Jsonl => Box::new(JsonLines(out)),
        AuditFormat::Csv => Box::new(Csv::begin(out)?),
        AuditFormat::Syslog => Box::new(Syslog(out)),
        AuditFormat::Dicom => Box::new(Dicom(out)),
    };
    log.export(&mut *export).await
}

/// A failed export: of the log, or of standard output, whose reader may have gone away.
fn unwritten(error: PersistenceError) -> Failure {
    let output = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match output.map(io::Error::kind) {
        Some(kind @ io::ErrorKind::BrokenPipe) => io::Error::from(kind).into(),
        Some(_) | None => stored(error),
    }
}
