//! The log as a table (RFC 4180), with the columns of the console's export.

use std::{borrow::Cow, io::Write};

use serde_json::{Map, Value};
use zmon_domain::hex;
use zmon_persistence::{AuditExport, AuditRecord, ExportedRow, PersistenceError, export_failed};
use zmon_wire::csv::line;

use super::facts::Facts;

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
pub(super) struct Csv<W>(W);

impl<W: Write> Csv<W> {
    /// Begins with the names of the columns.
    ///
    /// # Errors
    /// When `out` does not take them.
    pub(super) fn begin(mut out: W) -> Result<Self, PersistenceError> {
        out.write_all(line(COLUMNS.map(Cow::Borrowed)).as_bytes()).map_err(export_failed)?;
        Ok(Self(out))
    }
}

impl<W: Write + Send> AuditExport for Csv<W> {
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<(), PersistenceError> {
        let Facts { time, record } = &Facts::of(row)?;
        let known = |text: &'_ Option<String>| Cow::Owned(text.clone().unwrap_or_default());
        let cells: [Cow<'_, str>; COLUMNS.len()] = [
            Cow::Borrowed(row.lane),
            Cow::Owned(row.seq.to_string()),
            known(time),
            Cow::Borrowed(&record.event),
            known(&record.device_id),
            known(&record.session),
            Cow::Borrowed(&record.actor),
            known(&record.role),
            Cow::Borrowed(if record.success { "true" } else { "false" }),
            known(&record.error),
            known(&record.message),
            known(&record.configuration_hash),
            Cow::Owned(detail(record)),
            Cow::Owned(hex::encode(&row.hash)),
        ];
        self.0.write_all(line(cells).as_bytes()).map_err(export_failed)
    }

    fn checkpoint(&mut self, _jws: &str) -> Result<(), PersistenceError> {
        Ok(())
    }
}

/// The further facts as one JSON object; empty without any.
fn detail(record: &AuditRecord) -> String {
    if record.detail.is_empty() {
        return String::new();
    }
    let members = record.detail.iter();
    let object: Map<String, Value> =
        members.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples;

    #[test]
    fn a_table_has_every_row() {
        let mut out = Vec::new();
        samples::export(&mut Csv::begin(&mut out).unwrap()).unwrap();
        let mut reader = csv::Reader::from_reader(&*out);
        assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        let rows: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(rows.len(), 2);
        let (failed, started) = (&rows[0], &rows[1]);
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

    #[test]
    fn a_lane_that_looks_like_a_formula_is_text() {
        let mut out = Vec::new();
        let mut table = Csv::begin(&mut out).unwrap();
        let row = ExportedRow {
            lane: "=1+1",
            seq: 1,
            hash: [0; 32],
            prev: [0; 32],
            record: samples::RECORD,
        };
        table.row(&row).unwrap();
        let mut reader = csv::Reader::from_reader(&*out);
        assert_eq!(reader.records().next().unwrap().unwrap().get(0), Some("'=1+1"));
    }
}
