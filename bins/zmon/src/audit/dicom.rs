//! The log as audit messages of DICOM (PS3.15 annex A.5), as audit record repositories take them: each
//! in a syslog message (RFC 5424) of its own, one a line.

use std::io::{self, Write};

use base64ct::{Base64, Encoding};
use quick_xml::{Writer, events::BytesText};
use zmon_domain::audit::EventType;
use zmon_persistence::{AuditExport, ExportedRow, PersistenceError, export_failed};

use super::{facts::Facts, syslog::Header};

/// Facility 10, "security/authorization", and severity 5, as annex A.6 wants them.
const PRIORITY: u8 = 10 * 8 + 5;
/// The type of message that annex A.6 names.
const MESSAGE_ID: &str = "DICOM+RFC3881";
/// Name of the codes of this system, beside those of DICOM.
const OWN_CODES: &str = "zmon";

/// The time of a row without a clock: annex A.5 wants one, and the log's own column says zero too.
const NO_CLOCK: &str = "1970-01-01T00:00:00.000Z";

/// A code of DICOM (PS3.16) with its meaning.
type Code = (&'static str, &'static str);

// PS3.16, context group 400.
const APPLICATION_ACTIVITY: Code = ("110100", "Application Activity");
const SECURITY_ALERT: Code = ("110113", "Security Alert");
const USER_AUTHENTICATION: Code = ("110114", "User Authentication");
// PS3.16, context group 401.
const APPLICATION_START: Code = ("110120", "Application Start");
const APPLICATION_STOP: Code = ("110121", "Application Stop");
const LOGIN: Code = ("110122", "Login");
const LOGOUT: Code = ("110123", "Logout");
const EMERGENCY_OVERRIDE: Code = ("110127", "Emergency Override Started");
const SECURITY_CONFIGURATION: Code = ("110129", "Security Configuration");
const RESTRICTED_FUNCTION: Code = ("110132", "Use of Restricted Function");
const SECURITY_ROLES: Code = ("110136", "Security Roles Changed");
const USER_ATTRIBUTES: Code = ("110137", "User Security Attributes Changed");
// PS3.16, context groups 402 and 404.
const APPLICATION: Code = ("110150", "Application");
const NODE_ID: Code = ("110182", "Node ID");

/// Rows as audit messages. They have no form for checkpoints: who wants to verify exports JSON lines.
pub(super) struct Dicom<W>(pub(super) W);

impl<W: Write + Send> AuditExport for Dicom<W> {
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<(), PersistenceError> {
        let facts = Facts::of(row)?;
        let head = Header { priority: PRIORITY, time: facts.time.as_deref(), id: MESSAGE_ID };
        write!(self.0, "{head} - \u{feff}").map_err(export_failed)?;
        let mut xml = Writer::new(&mut self.0);
        message(&mut xml, row, &facts).map_err(export_failed)?;
        self.0.write_all(b"\n").map_err(export_failed)
    }

    fn checkpoint(&mut self, _jws: &str) -> Result<(), PersistenceError> {
        Ok(())
    }
}

/// What DICOM calls an event: its kind, and its type where it has a word for it.
fn codes(record: &str) -> (Code, Code) {
    use EventType as E;
    match record.parse::<EventType>() {
        Ok(E::Started) => (APPLICATION_ACTIVITY, APPLICATION_START),
        Ok(E::Stopped) => (APPLICATION_ACTIVITY, APPLICATION_STOP),
        Ok(E::LoginSucceeded | E::LoginRefused) => (USER_AUTHENTICATION, LOGIN),
        Ok(E::LoggedOut) => (USER_AUTHENTICATION, LOGOUT),
        Ok(E::InterlockOverridden) => (SECURITY_ALERT, EMERGENCY_OVERRIDE),
        Ok(E::OperationRefused | E::ProvisioningModeRefused | E::JunkRefused | E::ClaimRefused) => {
            (SECURITY_ALERT, RESTRICTED_FUNCTION)
        }
        Ok(E::OperatorAdded | E::OperatorChanged) => (SECURITY_ALERT, SECURITY_ROLES),
        Ok(E::PasswordChanged) => (SECURITY_ALERT, USER_ATTRIBUTES),
        Ok(_) | Err(_) => (SECURITY_ALERT, SECURITY_CONFIGURATION),
    }
}

fn message<W: Write>(xml: &mut Writer<W>, row: &ExportedRow<'_>, facts: &Facts) -> io::Result<()> {
    let record = &facts.record;
    xml.create_element("AuditMessage").write_inner_content(|xml| {
        event(xml, facts)?;
        xml.create_element("ActiveParticipant")
            .with_attributes([("UserID", record.actor.as_str()), ("UserIsRequestor", "true")])
            .write_inner_content(|xml| match &record.role {
                Some(role) => code(xml, "RoleIDCode", role, OWN_CODES, role),
                None => dicom(xml, "RoleIDCode", APPLICATION),
            })?;
        xml.create_element("AuditSourceIdentification")
            .with_attribute(("AuditSourceID", row.lane))
            .write_inner_content(|xml| {
                // 4 = "application server process", of the table in annex A.5.2.
                let server = ("csd-code", "4");
                xml.create_element("AuditSourceTypeCode").with_attribute(server).write_empty()?;
                Ok(())
            })?;
        match &record.device_id {
            Some(device) => object(xml, device, row, facts),
            None => Ok(()),
        }
    })?;
    Ok(())
}

fn event<W: Write>(xml: &mut Writer<W>, facts: &Facts) -> io::Result<()> {
    let record = &facts.record;
    let (kind, of_type) = codes(&record.event);
    // 0 = success, 4 = minor failure: the action was not carried out, the system goes on.
    let outcome = if record.success { "0" } else { "4" };
    let time = facts.time.as_deref().unwrap_or(NO_CLOCK);
    xml.create_element("EventIdentification")
        .with_attributes([
            ("EventActionCode", "E"),
            ("EventDateTime", time),
            ("EventOutcomeIndicator", outcome),
        ])
        .write_inner_content(|xml| {
            dicom(xml, "EventID", kind)?;
            dicom(xml, "EventTypeCode", of_type)?;
            code(xml, "EventTypeCode", &record.event, OWN_CODES, &record.event)?;
            let Some(text) = &record.message else { return Ok(()) };
            let text = BytesText::new(text);
            xml.create_element("EventOutcomeDescription").write_text_content(text)?;
            Ok(())
        })?;
    Ok(())
}

/// The device as the object of the event, with every further fact.
fn object<W: Write>(
    xml: &mut Writer<W>,
    device: &str,
    row: &ExportedRow<'_>,
    facts: &Facts,
) -> io::Result<()> {
    let record = &facts.record;
    xml.create_element("ParticipantObjectIdentification")
        .with_attributes([
            ("ParticipantObjectID", device),
            // 2 = "system object".
            ("ParticipantObjectTypeCode", "2"),
            // 13 = "security resource".
            ("ParticipantObjectTypeCodeRole", "13"),
        ])
        .write_inner_content(|xml| {
            dicom(xml, "ParticipantObjectIDTypeCode", NODE_ID)?;
            let seq = row.seq.to_string();
            let own = [
                ("seq", Some(&seq)),
                ("session", record.session.as_ref()),
                ("code", record.error.as_ref()),
                ("configurationHash", record.configuration_hash.as_ref()),
            ];
            let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let further = record.detail.iter().map(|(name, value)| (name.as_str(), value));
            for (name, value) in own.chain(further) {
                let value = Base64::encode_string(value.as_bytes());
                xml.create_element("ParticipantObjectDetail")
                    .with_attributes([("type", name), ("value", value.as_str())])
                    .write_empty()?;
            }
            Ok(())
        })?;
    Ok(())
}

fn dicom<W: Write>(xml: &mut Writer<W>, element: &str, (value, meaning): Code) -> io::Result<()> {
    code(xml, element, value, "DCM", meaning)
}

fn code<W: Write>(
    xml: &mut Writer<W>,
    element: &str,
    value: &str,
    system: &str,
    meaning: &str,
) -> io::Result<()> {
    xml.create_element(element)
        .with_attributes([
            ("csd-code", value),
            ("codeSystemName", system),
            ("originalText", meaning),
        ])
        .write_empty()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use quick_xml::{Reader, events::Event};

    use super::*;
    use crate::audit::samples;

    /// The elements of a document in order, with their attributes.
    fn elements(xml: &str) -> Vec<(String, Vec<(String, String)>)> {
        let mut reader = Reader::from_str(xml);
        let mut found = Vec::new();
        loop {
            let event = reader.read_event().unwrap();
            if event == Event::Eof {
                return found;
            }
            let (Event::Start(tag) | Event::Empty(tag)) = event else { continue };
            let attributes = tag.attributes().map(|attribute| {
                let attribute = attribute.unwrap();
                (attribute.key.as_ref().to_owned(), attribute.value.into_owned())
            });
            found.push((tag.name().as_ref().to_owned(), attributes.collect()));
        }
    }

    #[test]
    fn a_row_is_one_audit_message_in_one_line() {
        let mut out = Vec::new();
        samples::export(&mut Dicom(&mut out)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        let (head, xml) = lines[0].split_once('\u{feff}').unwrap();
        assert_eq!(head, "<85>1 2025-11-26T08:00:00.123Z - zmon - DICOM+RFC3881 - ");
        let found = elements(xml);
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names[..9],
            [
                "AuditMessage",
                "EventIdentification",
                "EventID",
                "EventTypeCode",
                "EventTypeCode",
                "EventOutcomeDescription",
                "ActiveParticipant",
                "RoleIDCode",
                "AuditSourceIdentification"
            ]
        );
        let attribute = |element: usize, name: &str| {
            let (_, attributes) = &found[element];
            attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(attribute(1, "EventOutcomeIndicator"), Some("4"));
        assert_eq!(attribute(1, "EventDateTime"), Some("2025-11-26T08:00:00.123Z"));
        assert_eq!(attribute(2, "csd-code"), Some("110113"));
        assert_eq!(attribute(4, "csd-code"), Some("pairing_failed"));
        let note = found.iter().find(|(name, attributes)| {
            name == "ParticipantObjectDetail" && attributes[0].1 == "note"
        });
        let value = Base64::decode_vec(&note.unwrap().1[1].1).unwrap();
        assert_eq!(value, b"=1+1,\"]\\\n<&>");

        let (head, xml) = lines[1].split_once('\u{feff}').unwrap();
        assert_eq!(head, "<85>1 - - zmon - DICOM+RFC3881 - ");
        let found = elements(xml);
        assert!(found[1].1.contains(&("EventDateTime".to_owned(), NO_CLOCK.to_owned())));
        assert!(found.iter().all(|(name, _)| name != "ParticipantObjectIdentification"));
        assert!(found[3].1.contains(&("csd-code".to_owned(), "110120".to_owned())));
    }
}
