//! A row for the tests of the formats.

use zmon_persistence::{AuditExport, ExportedRow, JsonLines, PersistenceError, export_failed};

/// A refused pairing with everything in it that a format could stumble over.
pub(super) const RECORD: &str = r#"{"actor":"operator:tina","clock":"synced","codeHash":null,"configurationHash":null,"detail":[["note","=1+1,\"]\\\n<&>"],["route","push"]],"deviceId":"ZM-001","error":"device_unreachable","event":"pairing_failed","message":"The device's \"port\" is closed.","role":"technician","session":"000102030405060708090a0b0c0d0e0f","success":false,"timestamp":1764144000123,"v":1}"#;

/// Hands the row to a format, then one of a station that had no clock.
pub(super) fn export(export: &mut dyn AuditExport) -> Result<(), PersistenceError> {
    let row =
        ExportedRow { lane: "station:s1", seq: 7, hash: [7; 32], prev: [6; 32], record: RECORD };
    export.row(&row)?;
    let mut bare = row.parse()?;
    bare = zmon_persistence::AuditRecord {
        actor: "system".to_owned(),
        detail: Vec::new(),
        device_id: None,
        error: None,
        event: "started".to_owned(),
        message: None,
        role: None,
        session: None,
        success: true,
        timestamp: None,
        ..bare
    };
    let record = serde_json::to_string(&bare).map_err(|error| export_failed(error.into()))?;
    export.row(&ExportedRow { seq: 8, record: &record, ..row })?;
    export.checkpoint("a.b.c")
}

#[test]
fn json_lines_keep_the_exact_bytes() {
    let mut out = Vec::new();
    export(&mut JsonLines(&mut out)).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["record"], RECORD);
    assert_eq!(lines[2]["checkpoint"], "a.b.c");
}

#[test]
fn no_format_invents_a_row_that_is_damaged() {
    let row = ExportedRow { lane: "l", seq: 9, hash: [0; 32], prev: [0; 32], record: "{\"v\":1}" };
    let mut formats: [Box<dyn AuditExport>; 3] = [
        Box::new(super::csv::Csv::begin(Vec::new()).unwrap()),
        Box::new(super::syslog::Syslog(Vec::new())),
        Box::new(super::dicom::Dicom(Vec::new())),
    ];
    for format in &mut formats {
        let error = format.row(&row).unwrap_err();
        assert_eq!(error.code(), zmon_domain::error::ErrorCode::StorageCorrupt);
        assert!(error.describe().contains("row 9"), "{}", error.describe());
    }
}
