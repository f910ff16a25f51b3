//! The log as syslog messages (RFC 5424), one a line.

use std::{
    fmt::{self, Display, Write as _},
    io::Write,
};

use zmon_domain::hex;
use zmon_persistence::{AuditExport, ExportedRow, PersistenceError, export_failed};

use super::facts::Facts;

/// Facility 13, "log audit" (RFC 5424 clause 6.2.1), times eight.
const FACILITY: u8 = 13 * 8;
/// Severity of what succeeded: "notice".
const NOTICE: u8 = 5;
/// Severity of what did not: "warning".
const WARNING: u8 = 4;
/// Our enterprise number (RFC 5424 clause 7.2.2), that of the project's object identifiers.
const ENTERPRISE: u32 = 58_888;

/// Rows with every fact as structured data, and the cause of a failure as the message.
pub(super) struct Syslog<W>(pub(super) W);

impl<W: Write + Send> AuditExport for Syslog<W> {
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<(), PersistenceError> {
        let facts = Facts::of(row)?;
        writeln!(self.0, "{}", Message { row, facts: &facts }).map_err(export_failed)
    }

    fn checkpoint(&mut self, jws: &str) -> Result<(), PersistenceError> {
        let head = Header { priority: FACILITY + NOTICE, time: None, id: "checkpoint" };
        writeln!(self.0, "{head} [checkpoint@{ENTERPRISE} jws=\"{}\"]", Escaped(jws))
            .map_err(export_failed)
    }
}

/// The header of a message, and the space after it is the caller's.
pub(super) struct Header<'a> {
    pub(super) priority: u8,
    pub(super) time: Option<&'a str>,
    pub(super) id: &'a str,
}

impl Display for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, time, id } = self;
        // The host is where the log was written, not where it is exported: the lane says it.
        write!(f, "<{priority}>1 {} - zmon - {id}", time.unwrap_or("-"))
    }
}

/// A parameter's value with what would end it escaped (RFC 5424 clause 6.3.3).
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '\\' | ']' => write!(f, "\\{character}")?,
                // One message is one line: RFC 5424 leaves control characters to the receiver.
                control if control.is_control() => write!(f, "{}", control.escape_unicode())?,
                plain => f.write_char(plain)?,
            }
        }
        Ok(())
    }
}

struct Message<'a> {
    row: &'a ExportedRow<'a>,
    facts: &'a Facts,
}

impl Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.facts.record;
        let severity = if record.success { NOTICE } else { WARNING };
        let time = self.facts.time.as_deref();
        let head = Header { priority: FACILITY + severity, time, id: &record.event };
        write!(f, "{head} [zmon@{ENTERPRISE}")?;
        let (seq, hash) = (self.row.seq.to_string(), hex::encode(&self.row.hash));
        let outcome = if record.success { "success" } else { "failure" };
        let facts = [
            ("lane", Some(self.row.lane)),
            ("seq", Some(&seq)),
            ("hash", Some(&hash)),
            ("actor", Some(&record.actor)),
            ("role", record.role.as_deref()),
            ("device", record.device_id.as_deref()),
            ("session", record.session.as_deref()),
            ("outcome", Some(outcome)),
            ("code", record.error.as_deref()),
            ("configurationHash", record.configuration_hash.as_deref()),
        ];
        for (name, value) in facts {
            if let Some(value) = value {
                write!(f, " {name}=\"{}\"", Escaped(value))?;
            }
        }
        f.write_char(']')?;
        if !record.detail.is_empty() {
            write!(f, "[detail@{ENTERPRISE}")?;
            for (name, value) in &record.detail {
                write!(f, " {name}=\"{}\"", Escaped(value))?;
            }
            f.write_char(']')?;
        }
        match &record.message {
            // Our own fixed texts, in UTF-8, which the byte order mark says (clause 6.4).
            Some(text) => write!(f, " \u{feff}{text}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples;

    #[test]
    fn a_row_is_one_message_with_every_fact() {
        let mut out = Vec::new();
        samples::export(&mut Syslog(&mut out)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let hash = "07".repeat(32);
        let expected = format!(
            "<108>1 2025-11-26T08:00:00.123Z - zmon - pairing_failed [zmon@58888 \
             lane=\"station:s1\" seq=\"7\" hash=\"{hash}\" actor=\"operator:tina\" \
             role=\"technician\" device=\"ZM-001\" session=\"000102030405060708090a0b0c0d0e0f\" \
             outcome=\"failure\" code=\"device_unreachable\"][detail@58888 \
             note=\"=1+1,\\\"\\]\\\\\\u{{a}}<&>\" route=\"push\"] \
             \u{feff}The device's \"port\" is closed."
        );
        assert_eq!(lines[0], expected);
        assert!(lines[1].starts_with("<109>1 - - zmon - started [zmon@58888 lane="));
        assert_eq!(lines[2], "<109>1 - - zmon - checkpoint [checkpoint@58888 jws=\"a.b.c\"]");
        assert_eq!(lines.len(), 3);
    }

    /// RFC 5424 clause 6.2.7 bounds the name of a message.
    #[test]
    fn every_event_has_a_name_that_syslog_takes() {
        for event in zmon_domain::audit::EventType::ALL {
            assert!(event.as_str().len() <= 32, "{event}");
            assert!(event.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{event}");
        }
    }
}
