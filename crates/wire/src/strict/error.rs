//! What was wrong with a message, without repeating it.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
};
use core::fmt;

use serde::de::{self, Expected, Unexpected};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};

/// The rule that a version member broke; recognised to tell an unknown version from a malformed one.
pub(crate) const VERSION_RULE: &str = "must be a version that this software knows";
const WHOLE: &str = "message";
const NAME_MAX: usize = 64;

/// The kind of rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WireErrorKind {
    /// More bytes than permitted.
    TooLarge,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, or not all of it.
    Syntax,
    /// Nested too deeply.
    TooDeep,
    /// The same member twice in one object.
    Duplicate,
    /// Something after the value.
    TrailingData,
    /// A member is missing, unknown, of the wrong type or breaks its rule.
    Member,
    /// A version that this software does not know.
    Version,
    /// A member that must be understood is not.
    Critical,
}

/// Why a message was refused: the member, the rule, and the place in the bytes where the grammar broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    kind: WireErrorKind,
    // Empty while the error is inside the member that it is about.
    path: String,
    rule: Cow<'static, str>,
    offset: Option<usize>,
}

impl WireError {
    /// The kind of rule.
    #[must_use]
    pub const fn kind(&self) -> WireErrorKind {
        self.kind
    }

    /// The member by its path, `configuration.serverUrl`; `message` for the whole.
    #[must_use]
    pub fn field(&self) -> &str {
        if self.path.is_empty() { WHOLE } else { &self.path }
    }

    /// The rule, as a phrase: `must be …`.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The byte at which the grammar broke.
    #[must_use]
    pub const fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// Member and rule.
    #[must_use]
    pub fn detail(&self) -> FieldError {
        FieldError::owned(String::from(self.field()), self.rule.clone())
    }

    /// The error as shown to people. `malformed` is the code of the message that was read; size and
    /// version have codes of their own.
    #[must_use]
    pub fn report(&self, malformed: ErrorCode) -> ErrorReport {
        let code = match (self.kind, malformed) {
            (WireErrorKind::TooLarge, ErrorCode::RequestMalformed) => ErrorCode::RequestTooLarge,
            (
                WireErrorKind::Version | WireErrorKind::Critical,
                ErrorCode::ConfigurationMalformed,
            ) => ErrorCode::SchemaUnsupported,
            _ => malformed,
        };
        ErrorReport::field(code, self.detail())
    }

    pub(crate) fn new(kind: WireErrorKind, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, path: String::new(), rule: rule.into(), offset: None }
    }

    pub(crate) fn unwritable() -> Self {
        Self::new(WireErrorKind::Member, "must have a JSON form")
    }

    pub(crate) fn at_offset(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Puts the error inside a member of the object around it.
    pub(crate) fn within(mut self, name: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{}{separator}{}", printable(name), self.path);
        self
    }

    /// Puts the error inside an element of the array around it.
    pub(crate) fn within_element(mut self, index: usize) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{separator}{}", self.path);
        self
    }
}

impl WireError {
    /// Puts the error inside a row of a manifest, counted from 1.
    pub(crate) fn within_row(mut self, number: usize) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("row {number}{separator}{}", self.path);
        self
    }

    /// The error of a list of rows as that of its row, if it is inside one, else of the manifest.
    pub(crate) fn of_row(mut self) -> Self {
        let element = self.path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let element = element.and_then(|(index, rest)| {
            let rest = String::from(rest.strip_prefix('.').unwrap_or(rest));
            Some((index.parse::<usize>().ok()?.checked_add(1)?, rest))
        });
        match element {
            Some((number, rest)) => {
                self.path = rest;
                self.within_row(number)
            }
            None => self.within("manifest"),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field(), self.rule)?;
        self.offset.map_or(Ok(()), |offset| write!(f, " (at byte {offset})"))
    }
}

impl core::error::Error for WireError {}

impl From<FieldError> for WireError {
    fn from(error: FieldError) -> Self {
        Self::new(WireErrorKind::Member, String::from(error.rule())).within(error.field())
    }
}

impl From<WireError> for FieldError {
    fn from(error: WireError) -> Self {
        error.detail()
    }
}

/// Every constructor is overridden: the provided ones would put the offending value into the text.
impl de::Error for WireError {
    fn custom<T: fmt::Display>(rule: T) -> Self {
        let rule = rule.to_string();
        let known = rule == VERSION_RULE;
        let kind = if known { WireErrorKind::Version } else { WireErrorKind::Member };
        Self::new(kind, rule)
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let whole = ["u8", "u16", "u32", "u64", "usize", "i32", "i64"].contains(&&*expected);
        let expected = if whole { "a whole number" } else { &*expected };
        Self::new(WireErrorKind::Member, format!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::new(WireErrorKind::Member, "must lie in its range")
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self::new(WireErrorKind::Member, "must have its fixed length")
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(WireErrorKind::Member, format!("must be one of {}", known.join(", ")))
    }

    fn unknown_field(name: &str, _: &'static [&'static str]) -> Self {
        Self::new(WireErrorKind::Member, "is not a member of this message").within(name)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(WireErrorKind::Member, "must be present").within(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::new(WireErrorKind::Duplicate, "must appear once").within(name)
    }
}

/// A member's name as far as it can be shown: names come from the sender.
fn printable(name: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
    let shown = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain);
    if shown { name } else { "(unprintable name)" }
}
