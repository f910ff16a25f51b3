//! Every member of every message, spoiled in every way: refused by name, or taken as optional; never a
//! panic, never a value in the error.

use crate::list;
use proptest::prelude::*;
use serde_json::{Value, json};
use zmon_wire::{manifest, strict::WireErrorKind};

/// Messages whose unknown members are ignored by design.
const OPEN: &[&str] = &["configuration"];
/// Text that breaks every grammar and must not come back.
const CANARY: &str = "CANARY\u{1b}[31m\u{202e}";

/// JSON pointers to every member, at any depth.
fn pointers(value: &Value) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let inner = object.iter().flat_map(|(name, value)| {
        let deeper = pointers(value).into_iter().map(move |rest| format!("/{name}{rest}"));
        core::iter::once(format!("/{name}")).chain(deeper)
    });
    inner.collect()
}

fn parent_of<'v>(value: &'v mut Value, pointer: &str) -> (&'v mut Value, String) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    (value.pointer_mut(parent).unwrap(), name.to_owned())
}

#[test]
fn a_member_of_the_wrong_type_is_named() {
    for golden in list::ALL {
        for pointer in pointers(&golden.value()) {
            let path = pointer[1..].replace('/', ".");
            for wrong in [json!([[]]), json!({"?": 1}), json!(1.5), json!(-1), json!(u64::MAX)] {
                let mut value = golden.value();
                *value.pointer_mut(&pointer).unwrap() = wrong.clone();
                if let Err(error) = golden.read(&value) {
                    assert!(error.field().starts_with(&path), "{}: {error}: {wrong}", golden.name);
                    assert!(error.rule().len() > 5, "{}", golden.name);
                }
            }
            let mut value = golden.value();
            *value.pointer_mut(&pointer).unwrap() = json!([[]]);
            // A single-member answer list may be an array; none is an array of arrays.
            assert!(golden.read(&value).is_err(), "{}: {pointer}", golden.name);
        }
    }
}

#[test]
fn a_missing_member_is_named_or_optional() {
    for golden in list::ALL {
        for pointer in pointers(&golden.value()) {
            let mut value = golden.value();
            let (parent, name) = parent_of(&mut value, &pointer);
            parent.as_object_mut().unwrap().remove(&name);
            if let Err(error) = golden.read(&value) {
                let named = error.field().ends_with(&name) && error.rule() == "must be present";
                let choice = error.rule() == "must have exactly one member";
                assert!(named || choice, "{}: {pointer}: {error}", golden.name);
            }
        }
    }
}

#[test]
fn an_unknown_member_is_refused_by_name() {
    for golden in list::ALL.iter().filter(|golden| !OPEN.contains(&golden.name)) {
        let mut value = golden.value();
        let object = value.as_object_mut().unwrap();
        object.insert("surprise".into(), json!(1));
        let error = golden.read(&value).unwrap_err();
        let named = error.to_string() == "surprise is not a member of this message";
        let choice = error.rule() == "must have exactly one member";
        assert!(named || choice, "{}: {error}", golden.name);
    }
}

#[test]
fn a_duplicate_member_is_refused_by_name() {
    for golden in list::ALL {
        let name = golden.value().as_object().unwrap().keys().next().unwrap().clone();
        let text = golden.text.replacen('{', &format!("{{\"{name}\": null,"), 1);
        let error = (golden.rewrite)(text.as_bytes()).unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (WireErrorKind::Duplicate, name.as_str()),
            "{}",
            golden.name
        );
    }
}

#[test]
fn text_of_a_wrong_alphabet_is_refused_or_kept_as_data_and_never_repeated_in_an_error() {
    for golden in list::ALL {
        for pointer in pointers(&golden.value()) {
            for bad in [
                CANARY.to_owned(),
                format!("CANARY{}", "x".repeat(70)),
                "CANARY\0".into(),
                String::new(),
            ] {
                let mut value = golden.value();
                *value.pointer_mut(&pointer).unwrap() = Value::from(bad);
                if let Err(error) = golden.read(&value) {
                    let shown = format!("{error} {error:?}");
                    assert!(!shown.contains("CANARY"), "{}: {pointer}: {shown}", golden.name);
                }
            }
        }
    }
}

#[test]
fn every_typed_member_refuses_a_wrong_alphabet() {
    // What is left over is text by design: JWS, words for people in answers, secrets.
    let free = [
        "hello",
        "identity",
        "status",
        "ask",
        "outcome",
        "statement",
        "confirmation",
        "pull",
        "ikm",
        "signature",
        "pairingCode",
        "pairingToken",
        "clientPrivateKey",
        "auditCheckpoint",
        "alg",
        "typ",
        "kid",
        "password",
        "token",
        "pin",
        "newPin",
        "newPassword",
        "type",
        "title",
        "detail",
        "next",
        "field",
        "rule",
        "lane",
        "errorMessage",
        "finding",
        "program",
        "version",
        "delivery",
        "eventsUrl",
        "message",
        "certificateStatus",
        "content",
        "svg",
        "terminal",
    ];
    // Maps of names to text, and the payload of [I §3.2], whose members may even be empty.
    let open = ["/addresses/", "/detail/"];
    for golden in list::ALL.iter().filter(|golden| golden.name != "payload") {
        for pointer in pointers(&golden.value()) {
            let member = pointer.rsplit('/').next().unwrap();
            let mut value = golden.value();
            *value.pointer_mut(&pointer).unwrap() = Value::from(CANARY);
            let by_design =
                free.contains(&member) || open.iter().any(|map| pointer.starts_with(map));
            let refused = golden.read(&value).is_err();
            assert!(refused || by_design, "{}: {pointer}", golden.name);
        }
    }
}

#[test]
fn identifiers_in_messages_are_strict() {
    for name in
        ["qr", "hello", "identity", "configuration", "pair-request", "scan-request", "manifest-row"]
    {
        let golden = list::ALL.iter().find(|golden| golden.name == name).unwrap();
        for bad in [
            "",
            "../../etc",
            "a b",
            "ZM\u{2011}001",
            "<script>",
            "a'--",
            &"a".repeat(65),
            "\u{202e}x",
        ] {
            let mut value = golden.value();
            value["deviceId"] = Value::from(bad);
            let error = golden.read(&value).unwrap_err();
            assert_eq!(error.field(), "deviceId", "{name}: {bad}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for golden in list::ALL {
        let text = golden.text.trim_end().as_bytes();
        for length in 0..text.len() {
            assert!((golden.rewrite)(&text[..length]).is_err(), "{}: {length}", golden.name);
        }
    }
}

#[test]
fn a_body_of_one_byte_too_many_is_refused() {
    for golden in list::ALL {
        let mut text = golden.text.trim_end().to_owned();
        text.push_str(&" ".repeat(65_536 - text.len()));
        assert!((golden.rewrite)(text.as_bytes()).is_ok(), "{}", golden.name);
        text.push(' ');
        let error = (golden.rewrite)(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), WireErrorKind::TooLarge, "{}", golden.name);
    }
}

#[test]
fn a_body_that_is_not_utf8_is_refused() {
    for golden in list::ALL {
        let mut bytes = golden.text.as_bytes().to_vec();
        bytes[1] = 0xff;
        let error = (golden.rewrite)(&bytes).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (WireErrorKind::NotUtf8, Some(1)));
    }
}

#[test]
fn manifests_come_as_an_array_or_as_lines() {
    let row = list::ALL.iter().find(|golden| golden.name == "manifest-row").unwrap();
    let line = String::from_utf8((row.rewrite)(row.text.as_bytes()).unwrap()).unwrap();
    let minimal = r#"{"deviceId":"ZM-002","deviceSerial":"SN-2","identityKey":"00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"}"#;
    let lines = format!("{line}\n\n{minimal}\r\n");
    let rows = manifest::parse(lines.as_bytes()).unwrap();
    assert_eq!(rows, manifest::parse(format!(" [{line},{minimal}]").as_bytes()).unwrap());
    assert_eq!(rows, manifest::parse(&manifest::to_lines(&rows).unwrap()).unwrap());
    assert_eq!(rows[1].settings(), zmon_domain::settings::DeviceSettings::default());
    assert_eq!(rows[0].settings().language.as_str(), "EN");
    let again = manifest::ManifestRow::new(
        rows[1].device_id.clone(),
        rows[1].device_serial.clone(),
        rows[1].identity_key,
    );
    assert_eq!(again, rows[1]);
    assert_eq!(manifest::parse(b""), Ok(Vec::new()));
    assert_eq!(manifest::parse(b"[]"), Ok(Vec::new()));
}

#[test]
fn a_wrong_row_of_a_manifest_is_named_by_its_line() {
    let row = list::ALL.iter().find(|golden| golden.name == "manifest-row").unwrap();
    let good = String::from_utf8((row.rewrite)(row.text.as_bytes()).unwrap()).unwrap();
    let bad = good.replace("ZM-001", "ZM 001");
    for text in [format!("{good}\n\n{bad}\n"), format!("[{good},{good},{bad}]")] {
        let error = manifest::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.field(), "manifest[2].deviceId", "{error}");
    }
    for (text, field) in [
        ("{}", "manifest[0].deviceId"),
        ("x", "manifest[0]"),
        ("[1]", "manifest[0]"),
        ("[", "manifest"),
    ] {
        assert_eq!(manifest::parse(text.as_bytes()).unwrap_err().field(), field, "{text}");
    }
}

#[test]
fn a_manifest_has_limits() {
    let row = list::ALL.iter().find(|golden| golden.name == "manifest-row").unwrap();
    let line = String::from_utf8((row.rewrite)(row.text.as_bytes()).unwrap()).unwrap() + "\n";
    assert_eq!(manifest::parse(line.repeat(1000).as_bytes()).unwrap().len(), 1000);
    let error = manifest::parse(line.repeat(1001).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "manifest must have at most 1000 rows");
    let error = manifest::parse(&vec![b' '; 1_048_577]).unwrap_err();
    assert_eq!(error.to_string(), "manifest must be at most 1048576 bytes long");
    assert_eq!(error.kind(), WireErrorKind::TooLarge);
}

proptest! {
    #[test]
    fn a_spoiled_byte_never_panics(index in 0usize..list::ALL.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let golden = &list::ALL[index];
        let mut bytes = golden.text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop((golden.rewrite)(&bytes));
    }

    #[test]
    fn any_bytes_are_answered(index in 0usize..list::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        drop((list::ALL[index].rewrite)(&bytes));
        drop(manifest::parse(&bytes));
    }
}
