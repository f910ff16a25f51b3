//! JSON as strangers send it: what a strict reader takes and refuses, by category, and by which rule
//! (T21). RFC 8259 leaves open what implementations do with the same name twice, with depth, with large
//! numbers and with a byte order mark; this reader's answer is here.

use std::collections::BTreeMap;

use serde_json::Value;
use zmon_domain::limits;
use zmon_wire::strict::{self, WireErrorKind};

type Case = (&'static str, &'static [u8], Option<WireErrorKind>);

const TAKEN: Option<WireErrorKind> = None;
const SYNTAX: Option<WireErrorKind> = Some(WireErrorKind::Syntax);
const TWICE: Option<WireErrorKind> = Some(WireErrorKind::Duplicate);
const AFTER: Option<WireErrorKind> = Some(WireErrorKind::TrailingData);
const NOT_UTF8: Option<WireErrorKind> = Some(WireErrorKind::NotUtf8);

/// Category, text, and the rule that it breaks.
const CASES: &[Case] = &[
    ("twice", br#"{"a":1,"a":2}"#, TWICE),
    ("twice", br#"{"a":1,"a":1}"#, TWICE),
    ("twice", br#"{"a":{"b":1,"b":2}}"#, TWICE),
    ("twice", br#"[[{"b":1,"b":2}]]"#, TWICE),
    ("twice", br#"{"\u0061":1,"a":2}"#, TWICE),
    ("twice", br#"{"":1,"":2}"#, TWICE),
    ("twice", b"{\"\xc3\xa9\":1,\"\\u00e9\":2}", TWICE),
    ("twice", br#"{"\ud83d\ude00":1,"\uD83D\uDE00":2}"#, TWICE),
    ("twice", br#"{"__proto__":1,"__proto__":2}"#, TWICE),
    ("twice", br#"{"a":1,"A":2}"#, TAKEN),
    ("twice", br#"[{"a":1},{"a":2}]"#, TAKEN),
    ("twice", br#"{"a":{"a":{"a":1}}}"#, TAKEN),
    ("number", b"-0", TAKEN),
    ("number", b"0.0", TAKEN),
    ("number", b"1E+2", TAKEN),
    ("number", b"1e-999", TAKEN),
    ("number", b"18446744073709551615", TAKEN),
    ("number", b"18446744073709551616", TAKEN),
    ("number", b"-9223372036854775809", TAKEN),
    ("number", b"123456789012345678901234567890", TAKEN),
    ("number", b"1e308", TAKEN),
    ("number", b"1e309", SYNTAX),
    ("number", b"-1e309", SYNTAX),
    ("number", b"1e99999999999999999999", SYNTAX),
    ("number", b"01", SYNTAX),
    ("number", b"-01", SYNTAX),
    ("number", b"00", SYNTAX),
    ("number", b"+1", SYNTAX),
    ("number", b".1", SYNTAX),
    ("number", b"1.", SYNTAX),
    ("number", b"-", SYNTAX),
    ("number", b"--1", SYNTAX),
    ("number", b"1e", SYNTAX),
    ("number", b"1e+", SYNTAX),
    ("number", b"0x10", AFTER),
    ("number", b"1_000", AFTER),
    ("number", b"1,000", AFTER),
    ("number", b"NaN", SYNTAX),
    ("number", b"Infinity", SYNTAX),
    ("number", b"-Infinity", SYNTAX),
    ("number", "\u{ff11}".as_bytes(), SYNTAX),
    ("number", "\u{661}".as_bytes(), SYNTAX),
    ("byte order mark", b"\xef\xbb\xbf{}", SYNTAX),
    ("byte order mark", b"{}\xef\xbb\xbf", AFTER),
    ("byte order mark", b"\xfe\xff\0{\0}", NOT_UTF8),
    ("byte order mark", b"\xff\xfe{\0}\0", NOT_UTF8),
    ("byte order mark", b"\xff\xfe\0\0{\0\0\0", NOT_UTF8),
    ("surrogate", br#""\ud83d\ude00""#, TAKEN),
    ("surrogate", br#""\ud800""#, SYNTAX),
    ("surrogate", br#""\udc00""#, SYNTAX),
    ("surrogate", br#""\ud800\ud800""#, SYNTAX),
    ("surrogate", br#""\ude00\ud83d""#, SYNTAX),
    ("surrogate", br#""\ud800a""#, SYNTAX),
    ("surrogate", br#""\ud800\n""#, SYNTAX),
    ("surrogate", br#"{"\ud800":1}"#, SYNTAX),
    ("surrogate", b"\"\xed\xa0\x80\"", NOT_UTF8),
    ("surrogate", b"\"\xed\xa0\xbd\xed\xb8\x80\"", NOT_UTF8),
    ("encoding", b"\"\xff\"", NOT_UTF8),
    ("encoding", b"\"\xc0\x80\"", NOT_UTF8),
    ("encoding", b"\"\xc3\"", NOT_UTF8),
    ("encoding", b"\"\xf4\x90\x80\x80\"", NOT_UTF8),
    ("encoding", b"\"\xe0\x80\xaf\"", NOT_UTF8),
    ("encoding", b"\"\xf0\x9f\x98\x80\"", TAKEN),
    ("encoding", b"\"\xef\xbf\xbf\"", TAKEN),
    ("trailing", b"{}{}", AFTER),
    ("trailing", b"{} x", AFTER),
    ("trailing", b"{},", AFTER),
    ("trailing", b"{}]", AFTER),
    ("trailing", b"{}\0", AFTER),
    ("trailing", b"{}//", AFTER),
    ("trailing", b"{}#", AFTER),
    ("trailing", b"1 2", AFTER),
    ("trailing", b"nulll", AFTER),
    ("trailing", b"\"a\"\"b\"", AFTER),
    ("trailing", b"{}\x1a", AFTER),
    ("trailing", b"{} \t\r\n", TAKEN),
    ("nul", b"\0{}", SYNTAX),
    ("nul", b"\"a\0b\"", SYNTAX),
    ("nul", b"{\"a\0\":1}", SYNTAX),
    ("nul", b"{\0}", SYNTAX),
    ("nul", b"[1,\0]", SYNTAX),
    ("nul", b"1\0", AFTER),
    ("nul", br#""\u0000""#, TAKEN),
    ("text", b"\"\n\"", SYNTAX),
    ("text", b"\"\t\"", SYNTAX),
    ("text", b"\"\x1f\"", SYNTAX),
    ("text", b"\"\x7f\"", TAKEN),
    ("text", br#""\x41""#, SYNTAX),
    ("text", br#""\'""#, SYNTAX),
    ("text", br#""\u123""#, SYNTAX),
    ("text", br#""\u+123""#, SYNTAX),
    ("text", br#""\U0041""#, SYNTAX),
    ("text", br#""\"#, SYNTAX),
    ("text", br#""a"#, SYNTAX),
    ("text", b"'a'", SYNTAX),
    ("text", b"a", SYNTAX),
    ("structure", b"", SYNTAX),
    ("structure", b" ", SYNTAX),
    ("structure", b"[", SYNTAX),
    ("structure", b"[1", SYNTAX),
    ("structure", b"[1,]", SYNTAX),
    ("structure", b"[,1]", SYNTAX),
    ("structure", b"[1}", SYNTAX),
    ("structure", b"[1 2]", SYNTAX),
    ("structure", b"[\"a\":1]", SYNTAX),
    ("structure", b"{\"a\"}", SYNTAX),
    ("structure", b"{\"a\":}", SYNTAX),
    ("structure", b"{\"a\":1,}", SYNTAX),
    ("structure", b"{\"a\":1 \"b\":2}", SYNTAX),
    ("structure", b"{a:1}", SYNTAX),
    ("structure", b"{1:1}", SYNTAX),
    ("structure", b"{null:1}", SYNTAX),
    ("structure", b"{[]:1}", SYNTAX),
    ("structure", b"{,}", SYNTAX),
    ("structure", b"/**/{}", SYNTAX),
    ("structure", b"{/**/}", SYNTAX),
    ("structure", b"\x0c{}", SYNTAX),
    ("structure", "\u{a0}{}".as_bytes(), SYNTAX),
    ("structure", "[\u{2028}]".as_bytes(), SYNTAX),
    ("structure", b"True", SYNTAX),
    ("structure", b"nul", SYNTAX),
    ("structure", b"undefined", SYNTAX),
    ("structure", b"[[],{},null,true,\"\",0]", TAKEN),
];

fn read(bytes: &[u8]) -> Result<Value, WireErrorKind> {
    strict::parse(bytes, limits::BODY_MAX.default).map_err(|error| error.kind())
}

#[test]
fn every_case_is_taken_or_refused_by_its_rule() {
    let mut counted: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (category, text, expected) in CASES {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(read(text).err(), *expected, "{category}: {shown}");
        let (taken, refused) = counted.entry(category).or_default();
        *if expected.is_none() { taken } else { refused } += 1;
        // An independent reader takes no text that this one takes in another sense.
        if let Ok(value) = read(text) {
            assert_eq!(serde_json::from_slice::<Value>(text).ok(), Some(value), "{shown}");
        }
    }
    println!("{counted:?}");
    let table = [
        ("byte order mark", (0, 5)),
        ("encoding", (2, 5)),
        ("nul", (1, 6)),
        ("number", (9, 21)),
        ("structure", (1, 26)),
        ("surrogate", (1, 9)),
        ("text", (1, 12)),
        ("trailing", (1, 11)),
        ("twice", (3, 9)),
    ];
    assert_eq!(counted, BTreeMap::from(table));
}

/// The same text one level inside a message of the protocol is no better.
#[test]
fn what_is_refused_alone_is_refused_as_a_member() {
    for (category, text, expected) in CASES {
        // Outside a value, these say something else inside one.
        if expected.is_none() || ["trailing", "byte order mark"].contains(category) {
            continue;
        }
        let message = [b"{\"v\":1,\"member\":", *text, b"}"].concat();
        let shown = String::from_utf8_lossy(text);
        assert!(read(&message).is_err(), "{category}: {shown}");
    }
}

#[test]
fn depth_ends_at_its_limit_in_any_mixture() {
    let deepest = limits::JSON_DEPTH.default;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels = if open.len() > 5 { 2 } else { 1 };
        let nested = |times: usize| [&open.repeat(times), "0", &close.repeat(times)].concat();
        assert!(read(nested(deepest / levels).as_bytes()).is_ok(), "{open}");
        let deeper = nested(deepest / levels + 1);
        assert_eq!(read(deeper.as_bytes()), Err(WireErrorKind::TooDeep), "{open}");
        let endless = open.repeat(limits::BODY_MAX.default / open.len());
        assert_eq!(read(endless.as_bytes()), Err(WireErrorKind::TooDeep), "{open}");
    }
}
