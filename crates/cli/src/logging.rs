//! Structured logs on standard error. Logs carry identifiers and codes as fields, never key
//! material, codes, tokens, PINs or message bodies.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};
use zmon_domain::error::ErrorCode;

use crate::Failure;

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

/// Starts logging for this process; a second call (a test) changes nothing.
///
/// `filter` is a level (`info`) or directives (`zmon_transport=debug,info`).
///
/// # Errors
/// A usage failure when `filter` cannot be read.
pub fn init(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter: Targets = filter.parse().map_err(|error| {
        Failure::usage("log", "must be a level or directives").context(format!("{error}"))
    })?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(true).with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = registry().with(filter).with(lines).try_init();
    if started.is_err() {
        tracing::debug!("logging was already started in this process");
    }
    Ok(())
}

/// Records that the process ends because of `code`.
pub fn ending(code: ErrorCode) {
    tracing::error!(code = code.as_str(), step = %code.step(), side = %code.side(), "stopped");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitClass;

    #[test]
    fn a_bad_filter_is_a_usage_failure() {
        let failure = init("zmon=loudest", LogFormat::Text).unwrap_err();
        assert_eq!(failure.class(), ExitClass::Usage);
    }
}
