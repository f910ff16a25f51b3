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

/// JSON pointers to every member and element, at any depth.
fn pointers(value: &Value) -> Vec<String> {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(list) => {
            (0..).zip(list).map(|(n, value): (u8, _)| (n.to_string(), value)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let inner = inside.into_iter().flat_map(|(name, value)| {
        let deeper = pointers(value).into_iter().map({
            let name = name.clone();
            move |rest| format!("/{name}{rest}")
        });
        core::iter::once(format!("/{name}")).chain(deeper)
    });
    inner.collect()
}

/// Those of members that are text.
fn texts(value: &Value) -> Vec<String> {
    let is_text = |pointer: &String| value.pointer(pointer).is_some_and(Value::is_string);
    pointers(value).into_iter().filter(is_text).collect()
}

/// Those of objects, the message itself among them, where no map of names to text stands.
fn objects(value: &Value) -> Vec<String> {
    let is_object = |pointer: &String| value.pointer(pointer).is_some_and(Value::is_object);
    let all = core::iter::once(String::new()).chain(pointers(value));
    all.filter(is_object).filter(|pointer| !MAPS.iter().any(|map| pointer.ends_with(map))).collect()
}

/// Members that are maps of names to text.
const MAPS: [&str; 2] = ["/addresses", "/detail"];

fn is_in_map(pointer: &str) -> bool {
    MAPS.iter().any(|map| pointer.contains(&format!("{map}/")))
}

/// How an error names what a pointer points to: `rows[0].seq`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            let separator = if path.is_empty() { "" } else { "." };
            path.push_str(&format!("{separator}{part}"));
        }
    }
    path
}

fn parent_of<'v>(value: &'v mut Value, pointer: &str) -> (&'v mut Value, String) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    (value.pointer_mut(parent).unwrap(), name.to_owned())
}

#[test]
fn a_member_of_the_wrong_type_is_named() {
    for golden in list::ALL {
        for pointer in pointers(&golden.value()) {
            let path = path_of(&pointer);
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
            // An element may always be missing.
            let Some(parent) = parent.as_object_mut() else { continue };
            parent.remove(&name);
            if let Err(error) = golden.read(&value) {
                let named = error.field().ends_with(&name) && error.rule() == "must be present";
                let choice = error.rule() == "must have exactly one member";
                assert!(named || choice, "{}: {pointer}: {error}", golden.name);
            }
        }
    }
}

#[test]
fn an_unknown_member_is_refused_by_name_at_any_depth() {
    for golden in list::ALL.iter().filter(|golden| !OPEN.contains(&golden.name)) {
        for pointer in objects(&golden.value()) {
            let mut value = golden.value();
            let object = value.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
            object.insert("surprise".into(), json!(1));
            let error = golden.read(&value).unwrap_err();
            let path = path_of(&format!("{pointer}/surprise"));
            let named = error.to_string() == format!("{path} is not a member of this message");
            let choice = error.rule() == "must have exactly one member";
            assert!(named || choice, "{}: {pointer}: {error}", golden.name);
        }
    }
}

#[test]
fn a_duplicate_member_is_refused_by_name_at_any_depth() {
    for golden in list::ALL {
        for pointer in objects(&golden.value()) {
            let value = golden.value();
            let object = value.pointer(&pointer).unwrap().as_object().unwrap();
            let Some((name, member)) = object.iter().next() else { continue };
            // Marked in the value, doubled in the text.
            let mut marked = value.clone();
            let inside = marked.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
            inside.insert("(twice)".into(), member.clone());
            let text = marked.to_string().replace("\"(twice)\"", &format!("\"{name}\""));
            let error = (golden.rewrite)(text.as_bytes()).unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (WireErrorKind::Duplicate, name.as_str()),
                "{}: {pointer}",
                golden.name
            );
        }
    }
}

#[test]
fn every_member_that_is_text_has_a_bound_of_its_own() {
    // A device's own drawings, and maps of names to text in answers.
    let unbounded = ["content", "svg", "terminal", "png"];
    for golden in list::ALL.iter().filter(|golden| golden.name != "payload") {
        for pointer in texts(&golden.value()) {
            let member = pointer.rsplit('/').next().unwrap();
            if unbounded.contains(&member) || is_in_map(&pointer) {
                continue;
            }
            let mut value = golden.value();
            // Of every alphabet; the whole is short enough.
            *value.pointer_mut(&pointer).unwrap() = Value::from("A".repeat(60_000));
            let Err(error) = golden.read(&value) else { panic!("{}: {pointer}", golden.name) };
            assert!(error.field().starts_with(&path_of(&pointer)), "{}: {error}", golden.name);
            assert_ne!(error.kind(), WireErrorKind::TooLarge, "{}: {pointer}", golden.name);
        }
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
    // What is left over is bounded here and judged where it is used: secrets that people type, the key that
    // is sealed again, and what a device draws.
    let free = [
        "pairingCode",
        "clientPrivateKey",
        "password",
        "pin",
        "newPin",
        "newPassword",
        "oneTimePassword",
        "content",
        "svg",
        "terminal",
        "words",
    ];
    // And the payload of [I §3.2], whose members may even be empty.
    for golden in list::ALL.iter().filter(|golden| golden.name != "payload") {
        for pointer in pointers(&golden.value()) {
            let member = pointer.rsplit('/').next().unwrap();
            let mut value = golden.value();
            *value.pointer_mut(&pointer).unwrap() = Value::from(CANARY);
            let by_design = free.contains(&member) || is_in_map(&pointer);
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
        assert_eq!(error.field(), "row 3.deviceId", "{error}");
    }
    for (text, field) in
        [("{}", "row 1.deviceId"), ("x", "row 1"), ("[1]", "row 1"), ("[", "manifest")]
    {
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
