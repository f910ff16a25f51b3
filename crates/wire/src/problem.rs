//! Every failure over HTTP and the control socket: problem details (RFC 9457, D24).

use alloc::{format, string::String};

use serde::{Deserialize, Serialize};
use zmon_domain::error::{ErrorCode, ErrorName, ErrorReport, FieldError, Side, Step};

use crate::{kind::False, text};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem document. Beside the members of RFC 9457 it has `success: false`, the stable code, where it
/// failed and what to do next. It says the same as the screen and the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Problem {
    /// `urn:zp:error:` and the code.
    #[serde(deserialize_with = "crate::text::words")]
    pub r#type: String,
    /// What happened.
    #[serde(deserialize_with = "crate::text::words")]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, with the field and rule.
    #[serde(deserialize_with = "crate::text::words")]
    pub detail: String,
    /// The request or session that it is about.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::words_option"
    )]
    pub instance: Option<String>,
    /// Always false ([W §11.3]).
    pub success: False,
    /// The stable code.
    #[serde(with = "text")]
    pub code: ErrorCode,
    /// Which of the six errors of [W §7.1] it is.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub name: Option<ErrorName>,
    /// The step that failed.
    #[serde(with = "text")]
    pub step: Step,
    /// Where the cause lies.
    #[serde(with = "text")]
    pub side: Side,
    /// What to do next.
    #[serde(deserialize_with = "crate::text::words")]
    pub next: String,
    /// The field that broke a rule.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::words_option"
    )]
    pub field: Option<String>,
    /// The rule.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::words_option"
    )]
    pub rule: Option<String>,
}

impl Problem {
    /// The document of an error: the only way that one is made.
    #[must_use]
    pub fn new(report: &ErrorReport) -> Self {
        let code = report.code;
        Self {
            r#type: format!("urn:zp:error:{code}"),
            title: code.message().into(),
            status: code.http_status(),
            detail: report.message(),
            instance: None,
            success: False,
            code,
            name: code.name(),
            step: code.step(),
            side: report.side(),
            next: code.next().into(),
            field: report.detail.as_ref().map(|detail| detail.field().into()),
            rule: report.detail.as_ref().map(|detail| detail.rule().into()),
        }
    }

    /// Names the request or session that it is about.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// The error inside, for clients.
    #[must_use]
    pub fn report(&self) -> ErrorReport {
        let detail = self.field.clone().zip(self.rule.clone());
        let report = match detail {
            Some((field, rule)) => ErrorReport::field(self.code, FieldError::owned(field, rule)),
            None => ErrorReport::new(self.code),
        };
        report.on(self.side)
    }
}

impl From<&ErrorReport> for Problem {
    fn from(report: &ErrorReport) -> Self {
        Self::new(report)
    }
}
