//! A failed command, as people and programs read it.
//!
//! The words come from [`zmon_domain::error`], the same on every screen and in the audit log
//! (D24); this module adds only where on this machine it happened and the command to run next.

use std::{borrow::Cow, io};

use serde::Serialize;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError, Side};
use zmon_wire::{problem::Problem, strict::WireError};

use crate::{ExitClass, Streams, wrap::paragraph};

/// Why a command ended without doing what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    class: ExitClass,
    report: ErrorReport,
    context: Option<String>,
    next: Option<String>,
    /// Nothing is to be said about it any more.
    is_silent: bool,
}

impl Failure {
    /// A failure with the words of `code`.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self {
            class: ExitClass::from(code),
            report: ErrorReport::new(code),
            context: None,
            next: None,
            is_silent: false,
        }
    }

    /// Wrong input on the command line or in a file it names: exit code 2. `rule` continues the
    /// field's name: `must be …`.
    #[must_use]
    pub fn usage(field: &'static str, rule: &'static str) -> Self {
        FieldError::new(field, rule).into()
    }

    /// Names the argument or key that a broken rule is about, as the person wrote it.
    #[must_use]
    pub fn at(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.report.detail = self.report.detail.map(|detail| detail.at(field));
        self
    }

    /// Adds what was being done, e.g. the path of a file.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// What was being done, if it was added.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// What to do next.
    #[must_use]
    pub fn next_step(&self) -> &str {
        self.next.as_deref().unwrap_or(self.code().next())
    }

    /// Ends the command with the exit code of another class than that of the code.
    #[must_use]
    pub fn ending(self, class: ExitClass) -> Self {
        Self { class, ..self }
    }

    /// Replaces the general next step by the exact command to run.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// Says nothing more: the command has shown it in its own answer.
    #[must_use]
    pub fn shown(self) -> Self {
        Self { is_silent: true, ..self }
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.report.code
    }

    /// Says whose ground it is that a failed file or a defect lies on: that of the program.
    #[must_use]
    pub fn on(self, side: Side) -> Self {
        Self { report: self.report.on(side), ..self }
    }

    /// The code with the field and rule.
    #[must_use]
    pub fn report(&self) -> ErrorReport {
        self.report.clone()
    }

    /// The class of the exit code.
    #[must_use]
    pub fn class(&self) -> ExitClass {
        self.class
    }

    /// The lines a person reads, each at most 80 columns where words allow.
    #[must_use]
    pub fn to_text(&self) -> String {
        let code = self.code();
        let mut lines = vec![
            paragraph(&format!("error[{}]: ", code.as_str()), code.message()),
            paragraph(
                "  where: ",
                &format!("step {}, on the {}'s side", code.step(), self.report.side()),
            ),
        ];
        if let Some(detail) = &self.report.detail {
            lines.push(paragraph("  field: ", &detail.to_string()));
        }
        if let Some(context) = &self.context {
            lines.push(paragraph("  cause: ", context));
        }
        lines.push(paragraph("  next:  ", self.next.as_deref().unwrap_or(code.next())));
        lines.join("\n")
    }

    /// The same as one JSON document.
    #[must_use]
    pub fn to_document(&self) -> FailureDocument<'_> {
        FailureDocument {
            success: false,
            code: self.code().as_str(),
            message: self.code().message(),
            step: self.code().step().as_str(),
            side: self.report.side().as_str(),
            retry: self.code().retryable(),
            next: self.next.as_deref().unwrap_or(self.code().next()),
            field: self.report.detail.as_ref().map(FieldError::field),
            rule: self.report.detail.as_ref().map(FieldError::rule),
            cause: self.context.as_deref(),
        }
    }

    /// Shows the failure: text on standard error, or JSON on standard output; returns its class.
    pub fn show(&self, streams: &mut Streams<'_>) -> ExitClass {
        if self.is_silent {
            return self.class;
        }
        // A broken pipe must not hide the exit code.
        let _shown = if streams.is_json() {
            streams.json(&self.to_document())
        } else {
            streams.note(&self.to_text())
        };
        self.class
    }
}

/// The JSON form of a [`Failure`].
#[derive(Serialize)]
pub struct FailureDocument<'a> {
    success: bool,
    code: &'a str,
    message: &'a str,
    step: &'a str,
    side: &'a str,
    /// Whether the same command may succeed when it is simply repeated.
    retry: bool,
    next: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl From<ErrorReport> for Failure {
    fn from(report: ErrorReport) -> Self {
        Self { class: ExitClass::from(report.code), report, ..Self::new(ErrorCode::Internal) }
    }
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self {
            class: ExitClass::Usage,
            report: ErrorReport::field(ErrorCode::SettingsInvalid, error),
            ..Self::new(ErrorCode::SettingsInvalid)
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        problem.report().into()
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        FieldError::from(error).into()
    }
}

impl From<io::Error> for Failure {
    /// Standard output could not be written. A reader that went away (`zmon … | head`) has read
    /// what it wanted: that ends the command quietly and is no failure.
    fn from(error: io::Error) -> Self {
        let failure =
            Self::new(ErrorCode::Internal).context(format!("cannot write the output: {error}"));
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self { class: ExitClass::Ok, is_silent: true, ..failure }
        } else {
            failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_code_words_side_field_cause_and_next_step() {
        let text = Failure::usage("listen", "must be IP:PORT").context("device.toml").to_text();
        for part in
            ["error[settings_invalid]", "side", "listen must be IP:PORT", "device.toml", "next:"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn every_failure_fits_80_columns() {
        for code in ErrorCode::ALL {
            let text = Failure::new(*code).to_text();
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn programs_read_the_same_as_json_on_standard_output() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams::new(&mut out, &mut err, false);
        streams.set_json(true);
        let failure = Failure::new(ErrorCode::NotInitialised).next("device init x --anchor y");
        assert_eq!(failure.show(&mut streams), ExitClass::Refused);
        let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["success"], false);
        assert_eq!(document["code"], "not_initialised");
        assert_eq!(document["next"], "device init x --anchor y");
        assert_eq!(document["retry"], false);
        assert!(err.is_empty());
    }

    #[test]
    fn a_reader_that_went_away_ends_a_command_quietly_and_a_full_disk_does_not() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams::new(&mut out, &mut err, false);
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.show(&mut streams), ExitClass::Ok);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.show(&mut streams), ExitClass::Damaged);
        let shown = String::from_utf8(err).unwrap();
        assert_eq!(shown.matches("error[").count(), 1, "{shown}");
        assert!(out.is_empty() && shown.contains("cannot write the output"), "{shown}");
    }

    #[test]
    fn text_goes_to_standard_error() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams::new(&mut out, &mut err, false);
        let class = Failure::new(ErrorCode::DeviceUnreachable).show(&mut streams);
        assert_eq!(class, ExitClass::Unreachable);
        assert!(out.is_empty() && err.starts_with(b"error[device_unreachable]: "));
    }
}
