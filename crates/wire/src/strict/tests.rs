use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use proptest::prelude::*;
use serde::{Deserialize, de::IgnoredAny};
use zmon_domain::limits;

use super::*;

const MAX: usize = limits::BODY_MAX.default;

fn read(bytes: impl AsRef<[u8]>) -> Result<IgnoredAny, WireError> {
    parse(bytes.as_ref(), MAX)
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    number: Option<u8>,
    #[serde(default)]
    parts: Vec<Self>,
    #[serde(default)]
    more: BTreeMap<String, bool>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Choice {
    Empty {},
    Full { name: String },
    Wrapped(u8),
    Plain,
    Pair(u8, u8),
}

fn sample(json: &str) -> Result<Sample, WireError> {
    parse(json.as_bytes(), MAX)
}

fn choice(json: &str) -> Result<Choice, WireError> {
    parse(json.as_bytes(), MAX)
}

#[test]
fn valid_json_is_taken() {
    for json in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "\"\"",
        "[]",
        "{}",
        " [] ",
        "\t[\r\n]\n",
        "[1]",
        "[1,2]",
        "[-1]",
        "[0e1]",
        "[0e+1]",
        "[1E-2]",
        "[123.456e78]",
        "[9007199254740993]",
        "[18446744073709551616]",
        "[123456789012345678901234567890123456789]",
        "[-237462374673276894279832749832423479823246327846]",
        "[1e-400]",
        "[\"\\u0000\"]",
        "[\"\\uD834\\uDD1E\"]",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
        "[\"\u{7f}\"]",
        "[\"\u{ffff}\"]",
        "[\"\u{10ffff}\"]",
        "{\"\":0}",
        "{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
        "[[],[[]]]",
        "{\"\\u0000\":1}",
        "[null,1,\"1\",{}]",
    ] {
        assert!(read(json).is_ok(), "{json}");
    }
}

#[test]
fn anything_else_is_refused() {
    for json in [
        "",
        " ",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "\"",
        "\"a",
        "\"\\",
        "\"\\u00",
        "[1,]",
        "[,1]",
        "[,]",
        "[1,,2]",
        "[1 2]",
        "[1:2]",
        "{,}",
        "{1:1}",
        "{a:1}",
        "{'a':1}",
        "{null:1}",
        "{\"a\":1,}",
        "{\"a\":1,,\"b\":2}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"}",
        "[\"a\"",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "[-]",
        "[-01]",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[-.5]",
        "[1e]",
        "[1e+]",
        "[1.e1]",
        "[0x1]",
        "[1_000]",
        "[1e400]",
        "['a']",
        "[a]",
        "[\"\t\"]",
        "[\"\n\"]",
        "[\"\0\"]",
        "[\"\\x00\"]",
        "[\"\\a\"]",
        "[\"\\uD800\"]",
        "[\"\\uDC00\"]",
        "[\"\\uD800\\u0041\"]",
        "[\"\\u12\"]",
        "[\"\\uqqqq\"]",
        "/**/[]",
        "[]//",
        "#",
        "\u{feff}[]",
        "\u{a0}[]",
        "\u{2060}[]",
        "\u{c}[]",
        "[\u{b}]",
        "<null>",
        "１",
        "[\u{661}]",
    ] {
        assert!(read(json).is_err(), "{json:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_at_their_place() {
    for (bytes, place) in [
        (&b"[\"\xff\"]"[..], 2),
        (b"[\"\xc0\xaf\"]", 2),
        (b"[\"a\xed\xa0\x80\"]", 3),
        (b"\xff\xfe[\0]\0", 0),
        (b"[\"\xe5\"]", 2),
    ] {
        let error = read(bytes).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (WireErrorKind::NotUtf8, Some(place)));
        assert_eq!(error.to_string(), format!("message must be UTF-8 (at byte {place})"));
    }
}

#[test]
fn size_comes_before_everything_else() {
    let exact = format!("\"{}\"", "a".repeat(MAX - 2));
    assert!(read(&exact).is_ok());
    let error = read(format!("{exact} ")).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (WireErrorKind::TooLarge, None));
    assert_eq!(error.to_string(), "message must be at most 65536 bytes long");
    assert_eq!(read([0xff; MAX + 1]).unwrap_err().kind(), WireErrorKind::TooLarge);
}

#[test]
fn thirty_two_levels_are_deep_enough() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(nested(32)).is_ok());
    let error = read(nested(33)).unwrap_err();
    assert_eq!(
        (error.kind(), error.rule()),
        (WireErrorKind::TooDeep, "must be nested at most 32 deep")
    );
    assert!(read("{\"a\":".repeat(32) + "1" + &"}".repeat(32)).is_ok());
    assert_eq!(read("{\"a\":".repeat(33)).unwrap_err().kind(), WireErrorKind::TooDeep);
    assert_eq!(read("[".repeat(MAX)).unwrap_err().kind(), WireErrorKind::TooDeep);
}

#[test]
fn duplicate_members_are_refused_anywhere_and_however_written() {
    for json in [
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"b\":2,\"a\":null}",
        "{\"a\":1,\"\\u0061\":1}",
        "{\"name\":\"x\",\"name\":\"y\"}",
        "[{\"b\":{\"a\":1,\"a\":2}}]",
        "{\"ignored\":[{\"a\":1,\"a\":2}]}",
    ] {
        let error = read(json).unwrap_err();
        assert_eq!(
            (error.kind(), error.rule()),
            (WireErrorKind::Duplicate, "must appear once"),
            "{json}"
        );
        assert!(["a", "name"].contains(&error.field()), "{json}");
    }
    assert!(read("{\"a\":1,\"A\":1,\"\u{e1}\":1,\"a\u{301}\":1}").is_ok());
}

#[test]
fn an_object_of_very_many_members_is_read() {
    let members: Vec<String> = (0..7000).map(|n| format!("\"{n}\":0")).collect();
    assert!(read(format!("{{{}}}", members.join(","))).is_ok());
}

#[test]
fn nothing_may_follow_the_value() {
    for json in ["{}{}", "{} x", "[]]", "1 2", "\"a\"\"b\"", "{}\0", "null,"] {
        let error = read(json).unwrap_err();
        assert_eq!(error.kind(), WireErrorKind::TrailingData, "{json:?}");
    }
}

#[test]
fn syntax_errors_have_their_place() {
    for (json, place) in [("[1,x]", 3), ("{\"a\":1,}", 7), ("[\n1,\n!]", 5), ("[]x", 2)] {
        assert_eq!(read(json).unwrap_err().offset(), Some(place), "{json}");
    }
    assert_eq!(read("[1").unwrap_err().rule(), "must be complete JSON");
    assert_eq!(read("[x").unwrap_err().rule(), "must be JSON");
}

#[test]
fn errors_name_the_member_and_the_rule() {
    for (json, field, rule) in [
        ("{}", "name", "must be present"),
        ("{\"name\":1}", "name", "must be a string"),
        ("{\"name\":null}", "name", "must be a string"),
        ("{\"name\":\"a\",\"x\":1}", "x", "is not a member of this message"),
        ("{\"name\":\"a\",\"number\":256}", "number", "must lie in its range"),
        ("{\"name\":\"a\",\"number\":-1}", "number", "must lie in its range"),
        ("{\"name\":\"a\",\"number\":1.0}", "number", "must be a whole number"),
        ("{\"name\":\"a\",\"number\":\"1\"}", "number", "must be a whole number"),
        ("{\"name\":\"a\",\"parts\":{}}", "parts", "must be a sequence"),
        ("{\"name\":\"a\",\"parts\":[{}]}", "parts[0].name", "must be present"),
        ("{\"name\":\"a\",\"parts\":[[\"a\"]]}", "parts[0]", "must be an object"),
        ("{\"name\":\"a\",\"more\":{\"b\":1}}", "more.b", "must be a boolean"),
        ("[\"a\"]", "message", "must be an object"),
        ("null", "message", "must be an object"),
    ] {
        let error = sample(json).unwrap_err();
        assert_eq!((error.field(), error.rule()), (field, rule), "{json}");
        assert_eq!(error.kind(), WireErrorKind::Member);
    }
}

#[test]
fn values_are_never_repeated() {
    let canary = "CANARY";
    for json in [
        format!("{{\"name\":[\"{canary}\"]}}"),
        format!("{{\"name\":{{\"{canary} \":1}}}}"),
        format!("{{\"name\":\"a\",\"number\":\"{canary}\"}}"),
        format!("{{\"name\":\"a\",\"{canary}\\n\":1}}"),
        format!("{{\"name\":\"a\",\"parts\":\"{canary}\"}}"),
        format!("\"{canary}\""),
        format!("{{\"name\":\"a\" {canary}"),
    ] {
        let error = sample(&json).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(canary), "{json}: {error}");
    }
    let long = format!("{{\"name\":\"a\",\"{}\":1}}", "x".repeat(65));
    assert_eq!(sample(&long).unwrap_err().field(), "(unprintable name)");
}

#[test]
fn good_values_arrive() {
    let json =
        "{\"parts\":[{\"name\":\"\\u0062\"}],\"name\":\"a\",\"number\":7,\"more\":{\"x\":true}}";
    let value = sample(json).unwrap();
    assert_eq!((value.name.as_str(), value.number), ("a", Some(7)));
    assert_eq!(value.parts.first().map(|part| part.name.as_str()), Some("b"));
    assert_eq!(value.more.get("x"), Some(&true));
    assert_eq!(sample("{\"name\":\"a\",\"number\":null}").unwrap().number, None);
}

#[test]
fn choices_have_one_member_or_a_plain_name() {
    assert_eq!(choice("{\"empty\":{}}"), Ok(Choice::Empty {}));
    assert_eq!(choice("{\"full\":{\"name\":\"a\"}}"), Ok(Choice::Full { name: "a".into() }));
    assert_eq!(choice("{\"wrapped\":3}"), Ok(Choice::Wrapped(3)));
    assert_eq!(choice("\"plain\""), Ok(Choice::Plain));
    assert_eq!(choice("{\"pair\":[1,2]}"), Ok(Choice::Pair(1, 2)));
    for (json, field, rule) in [
        ("{}", "message", "must have exactly one member"),
        ("{\"empty\":{},\"plain\":null}", "message", "must have exactly one member"),
        ("[]", "message", "must be an object with one member"),
        ("\"empty\"", "empty", "must be an object"),
        ("{\"empty\":[]}", "empty", "must be an object"),
        ("{\"empty\":{\"x\":1}}", "empty.x", "is not a member of this message"),
        ("{\"full\":{}}", "full.name", "must be present"),
        ("{\"plain\":1}", "message", "must be a plain name"),
        ("{\"wrapped\":\"a\"}", "wrapped", "must be a whole number"),
        ("{\"pair\":[1]}", "pair", "must have its fixed length"),
        ("{\"other\":1}", "message", "must be one of empty, full, wrapped, plain, pair"),
    ] {
        let error = choice(json).unwrap_err();
        assert_eq!((error.field(), error.rule()), (field, rule), "{json}");
    }
}

#[test]
fn reports_carry_the_code_of_the_message() {
    use zmon_domain::error::{ErrorCode, FieldError};

    let error = sample("{}").unwrap_err();
    let report = error.report(ErrorCode::HelloMalformed);
    assert_eq!(report.code, ErrorCode::HelloMalformed);
    assert_eq!(report.detail, Some(FieldError::new("name", "must be present")));
    assert_eq!(FieldError::from(error.clone()), error.detail());
    assert_eq!(WireError::from(error.detail()).field(), "name");
    let large = read([b' '; MAX + 1]).unwrap_err();
    assert_eq!(large.report(ErrorCode::RequestMalformed).code, ErrorCode::RequestTooLarge);
    assert_eq!(large.report(ErrorCode::HelloMalformed).code, ErrorCode::HelloMalformed);
}

#[test]
fn what_has_no_json_form_is_refused() {
    let map: BTreeMap<Vec<u8>, u8> = BTreeMap::from([(Vec::new(), 1)]);
    assert_eq!(to_vec(&map).unwrap_err().rule(), "must have a JSON form");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(parse::<Sample>(&bytes, MAX));
        drop(parse::<Choice>(&bytes, MAX));
    }

    #[test]
    fn any_text_of_json_characters_is_answered(text in "[\\[\\]{}:,\"\\\\u0-9a-f.eE+ -]{0,60}") {
        // What this reader takes, serde_json takes as well.
        let other = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert!(other || read(&text).is_err());
    }
}
