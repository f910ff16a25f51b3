//! The wire form of every message: read strictly, written again byte for byte.

use crate::list;
use serde_json::Value;
use zmon_domain::{
    error::ErrorCode, error::ErrorReport, error::FieldError, error::Side, limits, time::UnixTime,
};
use zmon_wire::{
    configuration::{ConfigurationDocument, ProvisioningPayload},
    pair::{PairAnswer, PairRequest, ScanRequest},
    problem::Problem,
    qr::QrContent,
    session::StatusDocument,
    strict,
};

fn file(name: &str) -> &'static str {
    list::ALL.iter().find(|golden| golden.name == name).expect("listed").text
}

fn compact(text: &str) -> Vec<u8> {
    // Golden files are pretty-printed; no string in them holds a line end or double space.
    text.lines().map(str::trim_start).collect::<String>().replace("\": ", "\":").into_bytes()
}

fn keys(text: &str, pointer: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(text).unwrap();
    let object = value.pointer(pointer).and_then(Value::as_object).expect("an object");
    object.keys().cloned().collect()
}

#[test]
fn every_message_is_written_as_it_was_read() {
    for golden in list::ALL {
        let written = (golden.rewrite)(golden.text.as_bytes());
        let written = written.unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        let expected = compact(golden.text);
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(&expected),
            "{}",
            golden.name
        );
        assert_eq!((golden.rewrite)(&written), Ok(expected), "{}", golden.name);
    }
}

#[test]
fn the_qr_content_is_the_documents_example_byte_for_byte() {
    let content = QrContent::parse(file("qr").as_bytes()).unwrap();
    let json = content.to_json().unwrap();
    assert_eq!(
        json.as_str(),
        "{\"deviceId\":\"ZM-001\",\"deviceSerial\":\"SN-2024-001234\",\"ipAddress\":\"192.168.1.100\",\
         \"pairingCode\":\"ABC-123-XYZ\",\"pairingToken\":\"base64-encoded-time-limited-token\",\
         \"expiresAt\":\"2024-11-25T14:30:00Z\",\"firmwareVersion\":\"1.2.3\"}"
    );
    // With a token of its real length it still fits the size that cameras read well.
    assert!(json.len() - 33 + 68 <= limits::QR_CONTENT_AIM.default);
}

#[test]
fn a_qr_content_that_no_code_holds_is_refused() {
    let mut content = QrContent::parse(file("qr").as_bytes()).unwrap();
    content.pairing_token = "a".repeat(2000).as_str().into();
    assert_eq!(content.to_json().unwrap_err().field(), "qrContentMax");
    assert!(QrContent::parse(&[b' '; 1274]).is_err());
}

#[test]
fn a_scanned_qr_content_is_a_scan_request() {
    let scan = strict::parse::<ScanRequest>(file("qr").as_bytes(), 1000).unwrap();
    assert_eq!(scan.device_id.as_str(), "ZM-001");
    assert_eq!(scan.pairing_code.expose(), "ABC-123-XYZ");
}

#[test]
fn pair_has_exactly_the_members_of_the_document() {
    assert_eq!(keys(file("pair-request"), ""), ["deviceId", "pairingCode", "pairingToken"]);
    assert_eq!(keys(file("pair-answer"), ""), ["configuration", "success"]);
    assert_eq!(
        keys(file("pair-answer"), "/configuration"),
        ["caCertificate", "clientCertificate", "clientPrivateKey", "serverUrl", "signature"]
    );
    let request: PairRequest = strict::parse(file("pair-request").as_bytes(), 1000).unwrap();
    assert!(request.session_id.is_none() && request.bed_id.is_none());
    let answer: PairAnswer = strict::parse(file("pair-answer").as_bytes(), 1000).unwrap();
    assert_eq!(answer.configuration.server_url.port(), 8443);
}

#[test]
fn the_configuration_lists_its_own_members() {
    let mut members = ConfigurationDocument::MEMBERS.to_vec();
    members.sort_unstable();
    assert_eq!(keys(file("configuration"), ""), members);
}

#[test]
fn the_configuration_is_a_superset_of_both_documents() {
    // `signature` is the third part of the JWS around it.
    for name in ["payload", "payload-workflow"] {
        let text = if name == "payload" {
            file(name)
        } else {
            include_str!("../golden/payload-workflow.json")
        };
        for member in keys(text, "").iter().filter(|member| *member != "signature") {
            assert!(ConfigurationDocument::MEMBERS.contains(&member.as_str()), "{member}");
        }
    }
}

#[test]
fn the_configuration_gives_settings_and_expiry() {
    let document = ConfigurationDocument::parse(file("configuration").as_bytes()).unwrap();
    let settings = document.settings();
    assert_eq!(settings.bed.as_ref().map(|bed| bed.as_str()), Some("ICU-3B"));
    assert_eq!(settings.sync_interval.as_secs(), 10);
    let deadline = UnixTime::parse("2024-11-25T15:25:00Z").unwrap();
    assert!(!document.is_expired(deadline));
    assert!(document.is_expired(deadline + std::time::Duration::from_secs(1)));
    assert_eq!(*document.to_json().unwrap(), compact(file("configuration")));
}

#[test]
fn unknown_members_are_ignored_unless_they_are_critical() {
    let with = |crit: &str| {
        let text = file("configuration").replace("\"serverCertificate\"\n", crit);
        text.replacen('{', "{\"alarmProfile\":{\"x\":[1]},", 1)
    };
    assert!(ConfigurationDocument::parse(with("\"syncInterval\"").as_bytes()).is_ok());
    let error = ConfigurationDocument::parse(with("\"alarmProfile\"").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "alarmProfile is critical and not understood by this software");
    let report = error.report(ErrorCode::ConfigurationMalformed);
    assert_eq!(report.code, ErrorCode::SchemaUnsupported);
    let twice = with("\"syncInterval\"").replacen('{', "{\"alarmProfile\":1,", 1);
    let error = ConfigurationDocument::parse(twice.as_bytes()).unwrap_err();
    assert_eq!(error.to_string().split(" (").next(), Some("alarmProfile must appear once"));
}

#[test]
fn another_schema_version_has_its_own_code() {
    let text = file("configuration").replace("\"schemaVersion\": 1", "\"schemaVersion\": 2");
    let error = ConfigurationDocument::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.field(), "schemaVersion");
    let report = error.report(ErrorCode::ConfigurationMalformed);
    assert_eq!(report.code, ErrorCode::SchemaUnsupported);
}

#[test]
fn absent_members_of_the_configuration_have_their_defaults() {
    let mut value: Value = serde_json::from_str(file("configuration")).unwrap();
    let object = value.as_object_mut().unwrap();
    for optional in [
        "clientPrivateKey",
        "serverCertificate",
        "pairingCode",
        "bedId",
        "deviceLabel",
        "auditCheckpoint",
        "crit",
    ] {
        object.remove(optional);
    }
    let document = ConfigurationDocument::parse(value.to_string().as_bytes()).unwrap();
    assert!(document.pairing_code.is_none() && document.crit.is_empty());
    let settings = document.settings();
    assert_eq!((settings.bed, settings.label), (None, None));
}

#[test]
fn both_documents_payloads_are_read() {
    let workflow =
        ProvisioningPayload::parse(include_bytes!("../golden/payload-workflow.json")).unwrap();
    assert!(workflow.is_valid());
    assert_eq!(workflow.sync_interval.as_secs(), 10);
    assert_eq!(workflow.expires_at().to_string(), "2024-11-25T15:25:00Z");
    assert!(!workflow.is_expired(workflow.expires_at()));
    assert!(workflow.is_expired(workflow.expires_at() + std::time::Duration::from_secs(1)));
    for emptied in ["deviceId", "serverUrl", "clientCertificate", "signature"] {
        let mut value: Value = serde_json::from_str(file("payload")).unwrap();
        *value.get_mut(emptied).unwrap() = Value::from("");
        let payload = ProvisioningPayload::parse(value.to_string().as_bytes()).unwrap();
        assert!(!payload.is_valid(), "{emptied}");
    }
}

#[test]
fn the_payload_is_a_view_of_the_configuration() {
    let document = ConfigurationDocument::parse(file("configuration").as_bytes()).unwrap();
    let payload = ProvisioningPayload::new(&document, "c2ln");
    assert!(payload.is_valid());
    assert_eq!(payload.pairing_code.expose(), "ABC-123-XYZ");
    assert_eq!((payload.device_label.as_str(), payload.bed_id.as_str()), ("ICU-MON-04", "ICU-3B"));
    assert_eq!((payload.signature.as_str(), payload.client_private_key.expose()), ("c2ln", ""));
    assert_eq!(payload.expires_at(), document.expires_at);
}

#[test]
fn a_status_is_pending_while_it_is_neither() {
    for (name, pending) in [("status", false), ("status-failed", false)] {
        let status: StatusDocument = strict::parse(file(name).as_bytes(), 1000).unwrap();
        assert_eq!(status.is_pending(), pending);
    }
    let text = file("status").replace("true", "false");
    let status: StatusDocument = strict::parse(text.as_bytes(), 1000).unwrap();
    assert!(status.is_pending());
}

#[test]
fn a_problem_is_the_report_and_nothing_else() {
    for code in ErrorCode::ALL {
        for report in [
            ErrorReport::new(*code),
            ErrorReport::field(*code, FieldError::new("bedId", "must be present")),
        ] {
            let problem = Problem::from(&report).instance("/api/provisioning/pair");
            let json = strict::to_vec(&problem).unwrap();
            let value: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(value["success"], false);
            assert_eq!(value["code"], code.as_str());
            assert_eq!(value["status"], code.http_status());
            assert_eq!(value["next"], code.next());
            let read: Problem = strict::parse(&json, 4096).unwrap();
            // Who found it on their own ground travels along; every other side is the table's.
            assert_eq!((read.report(), &read), (report.clone().on(problem.side), &problem));
            let theirs = Problem::new(&report.on(Side::Station));
            let side = if code.is_own_ground() { Side::Station } else { code.side() };
            assert_eq!((theirs.side, theirs.report().side()), (side, side));
        }
    }
}

#[test]
fn secrets_are_redacted_in_debug() {
    let content = QrContent::parse(file("qr").as_bytes()).unwrap();
    let document = ConfigurationDocument::parse(file("configuration").as_bytes()).unwrap();
    let request: PairRequest = strict::parse(file("pair-request").as_bytes(), 1000).unwrap();
    let answer: PairAnswer = strict::parse(file("pair-answer").as_bytes(), 1000).unwrap();
    let shown = format!(
        "{content:?} {document:?} {request:?} {:?}",
        answer.configuration.client_private_key
    );
    for secret in ["ABC-123-XYZ", "base64-encoded-time-limited-token", "base64-token", "..."] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
