//! An error as it travels: a code, and which field broke which rule.

use alloc::{borrow::Cow, string::String};
use core::fmt;

use super::{ErrorCode, Side};

/// A field that broke a rule. It names both and never the value: values may be secret, and what an
/// attacker sent must not reach a screen or a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{field} {rule}")]
pub struct FieldError {
    field: Cow<'static, str>,
    rule: Cow<'static, str>,
}

impl FieldError {
    /// A field and the rule it broke, as a phrase that continues the field's name: `must be …`.
    #[must_use]
    pub const fn new(field: &'static str, rule: &'static str) -> Self {
        Self { field: Cow::Borrowed(field), rule: Cow::Borrowed(rule) }
    }

    /// As [`FieldError::new`], from text that was received from a peer or put together; neither part
    /// may hold a value.
    #[must_use]
    pub fn owned(field: impl Into<Cow<'static, str>>, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }

    /// The same rule on a field of another name: `bedId` becomes `rows[3].bedId`.
    #[must_use]
    pub fn at(self, field: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), rule: self.rule }
    }

    /// The field, as the message or file names it.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The rule, as a phrase: `must be …`.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// An error with its detail: the `ProvisioningError` of [I §2.1].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ErrorReport {
    /// The cause.
    pub code: ErrorCode,
    /// The field and rule, where a message or setting was malformed.
    pub detail: Option<FieldError>,
    /// Who found it on their own ground; see [`ErrorReport::on`].
    own: Option<Side>,
}

impl ErrorReport {
    /// An error without a detail.
    #[must_use]
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, detail: None, own: None }
    }

    /// An error about a field.
    #[must_use]
    pub const fn field(code: ErrorCode, detail: FieldError) -> Self {
        Self { code, detail: Some(detail), own: None }
    }

    /// Says whose ground it is, where the code alone does not ([`ErrorCode::is_own_ground`]): a full
    /// disk is the station's when the station reports it. Whoever says it first is right; every other
    /// code keeps the side of the table.
    #[must_use]
    pub const fn on(mut self, side: Side) -> Self {
        if self.code.is_own_ground() && self.own.is_none() {
            self.own = Some(side);
        }
        self
    }

    /// Where the cause lies.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self.own {
            Some(side) => side,
            None => self.code.side(),
        }
    }

    /// The cause.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// What happened, with the field and rule.
    #[must_use]
    pub fn message(&self) -> String {
        alloc::format!("{self}")
    }

    /// What a person should do next.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        self.code.next()
    }
}

impl From<ErrorCode> for ErrorReport {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.message())?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

impl core::error::Error for ErrorReport {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_side_of_what_is_on_ones_own_ground_depends_on_who_reports_it() {
        for code in ErrorCode::ALL {
            let report = ErrorReport::new(*code).on(Side::Station);
            let side = if code.is_own_ground() { Side::Station } else { code.side() };
            assert_eq!(report.side(), side, "{code}");
            assert_eq!(report.clone().on(Side::Device), report, "{code}");
        }
    }

    #[test]
    fn a_report_reads_as_one_sentence_with_its_field() {
        let plain = ErrorReport::from(ErrorCode::RequestMalformed);
        assert_eq!(plain.message(), ErrorCode::RequestMalformed.message());
        assert_eq!(plain.next(), ErrorCode::RequestMalformed.next());
        let detail = FieldError::new("bedId", "must be short").at("rows[3].bedId");
        let report = ErrorReport::field(ErrorCode::RequestMalformed, detail.clone());
        assert!(report.message().ends_with(" (rows[3].bedId must be short)"));
        assert_eq!(report.code(), ErrorCode::RequestMalformed);
        assert_eq!(detail, FieldError::owned("rows[3].bedId", String::from("must be short")));
    }
}
