//! Structured logs on standard error. Logs carry identifiers and codes as fields, never key
//! material, codes, tokens, PINs or message bodies.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};
use zmon_domain::error::{ErrorReport, FieldError};

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which lines are written: a level (`info`) or directives (`zmon_transport=debug,info`).
#[derive(Clone, Debug)]
pub struct Filter(Targets);

impl Filter {
    /// Reads a level or directives.
    ///
    /// # Errors
    /// The rule, about a field `log`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let targets = text.parse();
        targets.map(Self).map_err(|_| FieldError::new("log", "must be a level or directives"))
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

/// Starts logging for this process; a second call (a test) changes nothing.
pub fn init(filter: Filter, format: LogFormat) {
    let Filter(filter) = filter;
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(true).with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = registry().with(filter).with(lines).try_init();
    if started.is_err() {
        tracing::debug!("logging was already started in this process");
    }
}

/// Records that the process ends because of `report`.
pub fn ending(report: &ErrorReport) {
    let (code, side) = (report.code, report.side());
    tracing::error!(code = code.as_str(), step = %code.step(), side = %side, "stopped");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_names_its_field() {
        assert_eq!(Filter::parse("zmon=loudest").unwrap_err().field(), "log");
        assert!(Filter::parse("zmon_transport=debug,info").is_ok());
    }
}
