//! What the doctor has found.

use serde::Serialize;
use zmon_cli::{Failure, wrap::paragraph};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Nothing to do; something could not be looked at.
    Note,
    /// It works, and will not for long.
    Warning,
    /// It does not work, or is not safe.
    Problem,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "WARNING",
            Self::Problem => "PROBLEM",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What was looked at, one word.
    pub(crate) check: &'static str,
    /// What was seen.
    pub(crate) seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(crate) fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, seen: seen.into(), next: None }
    }

    /// Could not be looked at, and why.
    pub(crate) fn note(check: &'static str, seen: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(check, seen) }
    }

    /// Works, and will not for long.
    pub(crate) fn warning(
        check: &'static str,
        seen: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warning, next: Some(next.into()), ..Self::ok(check, seen) }
    }

    /// Does not work, or is not safe.
    pub(crate) fn problem(
        check: &'static str,
        seen: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { level: Level::Problem, next: Some(next.into()), ..Self::ok(check, seen) }
    }

    /// A failure in the words that it has everywhere.
    pub(crate) fn failed(check: &'static str, failure: &Failure) -> Self {
        let message = failure.code().message();
        let seen = match failure.cause() {
            Some(cause) => format!("{message} {cause}"),
            None => message.to_owned(),
        };
        Self::problem(check, seen, failure.next_step())
    }

    /// The lines a person reads.
    pub(crate) fn to_text(&self) -> String {
        let first = paragraph(&format!("{:<8} {:<13} ", self.level.word(), self.check), &self.seen);
        match &self.next {
            Some(next) => format!("{first}\n{}", paragraph("         next:         ", next)),
            None => first,
        }
    }
}
