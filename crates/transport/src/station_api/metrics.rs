//! `GET /api/metrics`: figures in the text format of OpenMetrics, which Prometheus reads.

use core::time::Duration;

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use zmon_crypto::sha256;
use zmon_domain::error::{ErrorCode, FieldError};

use super::Api;
use super::answer::{Answer, Refused};
use super::gate::{Behind, Caller};

const PREFIX: &str = "zmon_station";
/// The media type of figures.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Shortest and longest token of a monitoring system, in bytes.
const TOKEN_BYTES: core::ops::RangeInclusive<usize> = 32..=256;
/// Upper bounds of the buckets of an answer's time, in seconds.
const ANSWER_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// What a monitoring system shows instead of a login: it reads figures and nothing else. Only its hash
/// is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ScrapeToken([u8; 32]);

impl ScrapeToken {
    /// Reads a token.
    ///
    /// # Errors
    /// The field `metricsToken`, with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !TOKEN_BYTES.contains(&text.len()) || !plain {
            let rule = "must be 32 to 256 printable ASCII characters without spaces";
            return Err(FieldError::new("metricsToken", rule));
        }
        Ok(Self(sha256(text.as_bytes())))
    }

    /// Compares hashes: how long that takes tells nothing about the token.
    pub(super) fn is(&self, text: &str) -> bool {
        sha256(text.as_bytes()) == self.0
    }
}

/// Requests of one kind: paths as they are routed, so few and fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    listener: &'static str,
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

/// What all listeners of a station count.
#[derive(Clone)]
pub(super) struct HttpMetrics {
    answers: Family<Answered, Counter>,
    times: Family<Listener, Histogram, fn() -> Histogram>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(ANSWER_BUCKETS);
        Self { answers: Family::default(), times: Family::new_with_constructor(histogram) }
    }
}

impl HttpMetrics {
    /// A request was answered, after so much time.
    pub(super) fn answered(&self, behind: Behind, path: &str, status: u16, took: Duration) {
        let listener = behind.as_str();
        let kind = Answered { listener, path: path.to_owned(), status };
        self.answers.get_or_create(&kind).inc();
        self.times.get_or_create(&Listener { listener }).observe(took.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Answers of this run, by listener, route and status";
        registry.register("http_answers", help, self.answers.clone());
        let help = "Time from a request's head to its answer's";
        registry.register_with_unit("http_answer", help, Unit::Seconds, self.times.clone());
    }
}

/// `GET /api/metrics`: for whoever reads the registry, and for the monitoring system with its token.
pub(super) async fn metrics(State(api): State<Api>, request: Request) -> Answer {
    let caller = Caller::of(&request);
    if !caller.is_scraper(&api) {
        let proof = caller.operator(&api).await?;
        api.station.may_measure(&proof).await?;
    }
    let mut registry = Registry::with_prefix(PREFIX);
    api.station.measure(&mut registry).await?;
    api.metrics.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Refused::from(ErrorCode::Internal))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_plain() {
        let good = "a".repeat(32);
        assert!(ScrapeToken::parse(&good).unwrap().is(&good));
        assert!(!ScrapeToken::parse(&good).unwrap().is("b"));
        for bad in ["a".repeat(31), "a".repeat(257), format!("{good} "), format!("{good}\u{e4}")] {
            let error = ScrapeToken::parse(&bad).err().unwrap();
            assert_eq!(error.field(), "metricsToken");
        }
    }
}
