//! The log as a table (RFC 4180), with the columns of the console's export.

use std::io::{self, Write};

use zmon_domain::hex;
use zmon_persistence::{AuditExport, ExportedRow, PersistenceError, export_failed};

use super::facts::Facts;
use crate::table::safe;

const COLUMNS: [&str; 14] = [
    "lane",
    "seq",
    "timestamp",
    "eventType",
    "deviceId",
    "sessionId",
    "actor",
    "role",
    "success",
    "code",
    "errorMessage",
    "configurationHash",
    "detail",
    "hash",
];

/// Rows as lines of a table. It has no place for checkpoints: who wants to verify exports JSON lines.
pub(super) struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    /// Begins with the names of the columns.
    ///
    /// # Errors
    /// When `out` does not take them.
    pub(super) fn begin(out: W) -> Result<Self, PersistenceError> {
        let mut writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        writer.write_record(COLUMNS).map_err(|error| export_failed(io::Error::from(error)))?;
        Ok(Self(writer))
    }
}

impl<W: Write + Send> AuditExport for Csv<W> {
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<(), PersistenceError> {
        let facts = Facts::of(row)?;
        let seq = row.seq.to_string();
        let hash = hex::encode(&row.hash);
        let detail = facts.detail_as_json();
        let time = facts.time.as_deref().unwrap_or_default();
        let record = &facts.record;
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let success = if record.success { "true" } else { "false" };
        let cells = [
            row.lane,
            &seq,
            time,
            &record.event,
            &or_empty(&record.device_id),
            &or_empty(&record.session),
            &record.actor,
            &or_empty(&record.role),
            success,
            &or_empty(&record.error),
            &or_empty(&record.message),
            &or_empty(&record.configuration_hash),
            &detail,
            &hash,
        ];
        self.0
            .write_record(cells.map(|cell| safe(cell).into_owned()))
            .map_err(|error| export_failed(io::Error::from(error)))
    }

    fn checkpoint(&mut self, _jws: &str) -> Result<(), PersistenceError> {
        self.0.flush().map_err(export_failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples;

    #[test]
    fn a_table_has_every_row_and_no_formula() {
        let mut out = Vec::new();
        samples::export(&mut Csv::begin(&mut out).unwrap()).unwrap();
        let mut reader = csv::Reader::from_reader(&*out);
        assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        let rows: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(rows.len(), 2);
        let [failed, started] = &rows[..] else { unreachable!() };
        assert_eq!(
            failed[..5],
            ["station:s1", "7", "2025-11-26T08:00:00.123Z", "pairing_failed", "ZM-001"]
        );
        assert_eq!(failed[8..10], ["false", "device_unreachable"]);
        let detail: serde_json::Value = serde_json::from_str(&failed[12]).unwrap();
        assert_eq!(detail["note"], "=1+1,\"]\\\n<&>");
        assert_eq!(started[2..6], ["", "started", "", ""]);
        assert!(out.ends_with(b"\r\n"));
    }
}
