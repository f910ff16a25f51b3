//! What single members look like as JSON Schema: types whose text the domain parses, and the forms that
//! `zmon_wire` reads members in.
//!
//! The rules in words are the parsers' own, the numbers are those of the limits and of the readers'
//! sources. That the patterns say the same as the parsers is tested.

use core::fmt::Display;
use core::str::FromStr;

use serde_json::{Value, json};
use zmon_domain::address::{DeviceAddress, Network, ServerUrl};
use zmon_domain::audit::EventType;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::{ErrorCode, ErrorName, FieldError, Side, Step};
use zmon_domain::ids::{
    BatchId, BatchName, BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, FirmwareVersion,
    OperatorId, Serial, SessionId, SiteId, StationId, StationName, Thumbprint,
};
use zmon_domain::limits;
use zmon_domain::role::{Actor, Role};
use zmon_domain::route::Route;
use zmon_domain::settings::{Language, MeasurementUnit};
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::UnixTime;
use zmon_wire::kind::{Obstacle, TrustLevel};

/// A type that is text in messages.
#[derive(Debug)]
pub struct TextForm {
    /// The type's name.
    pub name: &'static str,
    /// Its schema.
    pub schema: Value,
    /// What its parser makes of a text: the text of the value, if it takes it.
    pub read: fn(&str) -> Option<String>,
}

/// Characters that a name shown to people has not, besides being printable: those that do not show as
/// themselves.
const INVISIBLE: [(u32, u32); 24] = [
    (0x00, 0x1f),
    (0x7f, 0xa0),
    (0xad, 0xad),
    (0x61c, 0x61c),
    (0x115f, 0x1160),
    (0x1680, 0x1680),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x206f),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xe000, 0xf8ff),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xffff),
    (0xe_0000, 0xe_ffff),
    (0xf_0000, 0xf_ffff),
    (0x10_0000, 0x10_3fff),
    (0x10_4000, 0x10_7fff),
    (0x10_8000, 0x10_bfff),
    (0x10_c000, 0x10_ffff),
];
const DAY: &str = "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|\
                   02-(?:0[1-9]|1[0-9]|2[0-9]))";
const UUID: &str = "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
/// The URL alphabet of base64 (RFC 4648 §5).
const BASE64URL: &str = "[A-Za-z0-9_-]";

/// Every type that is text in messages.
#[must_use]
pub fn texts() -> Vec<TextForm> {
    vec![
        text::<DeviceId>("DeviceId", id()),
        text::<DeviceSerial>("DeviceSerial", id()),
        text::<BedId>("BedId", id()),
        text::<StationId>("StationId", id()),
        text::<SiteId>("SiteId", id()),
        text::<FirmwareVersion>("FirmwareVersion", id()),
        text::<OperatorId>("OperatorId", id()),
        text::<DeviceLabel>("DeviceLabel", name()),
        text::<DeviceModel>("DeviceModel", name()),
        text::<BatchName>("BatchName", name()),
        text::<StationName>("StationName", name()),
        text::<SessionId>("SessionId", uuid()),
        text::<BatchId>("BatchId", uuid()),
        text::<Thumbprint>("Thumbprint", json!({ "pattern": hex(32) })),
        text::<Serial>("Serial", serial()),
        text::<UnixTime>("UnixTime", time()),
        text::<DeviceAddress>("DeviceAddress", address()),
        text::<Network>("Network", json!({ "pattern": "^[0-9a-f:.]+/(?:0|[1-9][0-9]{0,2})$" })),
        text::<ServerUrl>("ServerUrl", url()),
        text::<Language>("Language", json!({ "pattern": "^[A-Z]{2}$" })),
        text::<Actor>("Actor", actor()),
        words("MeasurementUnit", &[MeasurementUnit::Metric, MeasurementUnit::Imperial]),
        words("Role", &Role::ALL),
        words("Route", &Route::ALL),
        words("BatchState", BatchState::ALL),
        words("ItemState", ItemState::ALL),
        words("ProvisioningState", &ProvisioningState::ALL),
        words("EventType", EventType::ALL),
        words("ErrorCode", ErrorCode::ALL),
        words("ErrorName", ErrorName::ALL),
        words("Step", Step::ALL),
        words("Side", Side::ALL),
        words("TrustLevel", &TrustLevel::ALL),
        words("Obstacle", &Obstacle::ALL),
    ]
}

/// Whole seconds of the years 1970 to 9999.
pub(super) fn unix_seconds() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 253_402_300_799_u64 })
}

/// The heartbeat's interval.
pub(super) fn sync_interval() -> Value {
    let (shortest, longest) = (limits::SYNC_INTERVAL.min, limits::SYNC_INTERVAL.max);
    json!({ "type": "integer", "minimum": shortest.as_secs(), "maximum": longest.as_secs() })
}

/// A hash in hexadecimal.
pub(super) fn hash() -> Value {
    json!({ "type": "string", "pattern": hex(32) })
}

/// So many bytes as base64url, in the one canonical spelling.
pub(super) fn bytes(count: usize) -> Value {
    let (whole, rest) = (count / 3 * 4, count % 3);
    let tail = match rest {
        0 => String::new(),
        1 => format!("{BASE64URL}[AQgw]"),
        _ => format!("{BASE64URL}{{2}}[AEIMQUYcgkosw048]"),
    };
    json!({ "type": "string", "pattern": format!("^{BASE64URL}{{{whole}}}{tail}$") })
}

/// Bytes of any length as base64url, in the one canonical spelling, of at most so many characters.
pub(super) fn base64url(longest: u64) -> Value {
    let tail = format!("{BASE64URL}[AQgw]|{BASE64URL}{{2}}[AEIMQUYcgkosw048]");
    let pattern = format!("^(?:{BASE64URL}{{4}})*(?:{tail})?$");
    json!({ "type": "string", "pattern": pattern, "maxLength": longest })
}

/// Characters of base64url, at most so many.
pub(super) fn token(longest: u64) -> Value {
    json!({ "type": "string", "pattern": format!("^{BASE64URL}*$"), "maxLength": longest })
}

/// A compact JWS of at most so many characters.
pub(super) fn compact(longest: u64) -> Value {
    let pattern = format!("^{BASE64URL}+\\.{BASE64URL}+\\.{BASE64URL}+$");
    json!({ "type": "string", "pattern": pattern, "maxLength": longest })
}

/// Text of at most so many bytes without control characters.
pub(super) fn plain(longest: u64) -> Value {
    let pattern = format!("^[^{}]*$", class(&[(0x00, 0x1f), (0x7f, 0x9f)]));
    json!({ "type": "string", "pattern": pattern, "maxLength": longest })
}

/// Any text of at most so many bytes.
pub(super) fn bounded(longest: u64) -> Value {
    json!({ "type": "string", "maxLength": longest })
}

/// A certificate or chain: base64 of PEM, or PEM.
pub(super) fn pem(longest: u64) -> Value {
    json!({ "type": "string", "pattern": "^[ -~\\r\\n]+$", "maxLength": longest })
}

fn text<T: FromStr<Err = FieldError> + Display>(name: &'static str, schema: Value) -> TextForm {
    let rule = "\0".parse::<T>().err().map(|error| error.rule().to_owned());
    let mut whole = json!({ "type": "string" });
    if let (Some(whole), Value::Object(schema)) = (whole.as_object_mut(), schema) {
        whole.extend(schema);
        whole.extend(rule.map(|rule| ("description".to_owned(), Value::from(rule))));
    }
    let read = |text: &str| text.parse::<T>().ok().map(|value| value.to_string());
    TextForm { name, schema: whole, read }
}

fn words<T: FromStr<Err: Display> + Display>(name: &'static str, all: &[T]) -> TextForm {
    let words: Vec<_> = all.iter().map(ToString::to_string).collect();
    let read = |text: &str| text.parse::<T>().ok().map(|value| value.to_string());
    TextForm { name, schema: json!({ "type": "string", "enum": words }), read }
}

fn id() -> Value {
    let rest = limits::ID_MAX.default.saturating_sub(1);
    json!({ "pattern": format!("^[A-Za-z0-9][A-Za-z0-9._-]{{0,{rest}}}$") })
}

fn name() -> Value {
    let (hidden, inner) = (class(&INVISIBLE), limits::LABEL_MAX.default.saturating_sub(2));
    json!({ "pattern": format!("^[^ {hidden}](?:[^{hidden}]{{0,{inner}}}[^ {hidden}])?$") })
}

fn uuid() -> Value {
    json!({ "pattern": UUID, "format": "uuid" })
}

fn hex(bytes: usize) -> String {
    format!("^[0-9A-Fa-f]{{{}}}$", bytes * 2)
}

/// Not zero: one pair of digits at least is not `00`.
fn serial() -> Value {
    let pattern = "^(?:00)*(?:0[1-9A-Fa-f]|[1-9A-Fa-f][0-9A-Fa-f])(?:[0-9A-Fa-f]{2})*$";
    json!({ "pattern": pattern, "maxLength": 40 })
}

fn time() -> Value {
    let year = "(?:19[7-9][0-9]|[2-9][0-9]{3})";
    let pattern = format!("^{year}-{DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$");
    json!({ "format": "date-time", "pattern": pattern })
}

fn address() -> Value {
    json!({ "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }], "maxLength": 45 })
}

fn url() -> Value {
    let host = "(?:[A-Za-z0-9.-]{1,253}|\\[[0-9A-Fa-f:.]{2,45}\\])";
    json!({ "pattern": format!("^[Hh][Tt][Tt][Pp][Ss]://{host}(?::[1-9][0-9]{{0,4}})?/?$") })
}

fn actor() -> Value {
    let roles = Role::ALL.map(|role| role.to_string()).join("|");
    let rest = limits::ID_MAX.default.saturating_sub(1);
    let operator = format!("(?:{roles}):[A-Za-z0-9][A-Za-z0-9._-]{{0,{rest}}}");
    json!({ "pattern": format!("^(?:local|system|peer|{operator})$") })
}

/// The inside of a class of a regular expression, in characters themselves: how they would be escaped
/// differs from one implementation to the next.
fn class(ranges: &[(u32, u32)]) -> String {
    let character = |code: u32| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    ranges
        .iter()
        .map(|(first, last)| match (character(*first), character(*last)) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect()
}
