//! Figures for a monitoring system (Prometheus, OpenMetrics): what this run has done, and how it stands.
//!
//! Every operation has its audit row, so that the rows are what is counted: an operation that is
//! not counted would be one that is not audited.

use core::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use zmon_domain::time::UnixTime;

use crate::ports::{CrlRow, StationRecord};

/// Upper bounds of the buckets of a commit's time, in seconds.
const COMMIT_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The labels of one kind of audit row: names of the log, so few and fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Row {
    event: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Certificate {
    certificate: &'static str,
}

/// What this run counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    rows: Family<Row, Counter>,
    commits: Histogram,
    heartbeats: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rows: Family::default(),
            commits: Histogram::new(COMMIT_BUCKETS),
            heartbeats: Counter::default(),
        }
    }
}

impl Metrics {
    /// A record was committed, in so much time.
    pub(crate) fn committed(&self, record: &StationRecord, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        for row in &record.audit {
            let outcome = if row.success { "success" } else { "failure" };
            let event = row.event.as_str();
            self.rows.get_or_create(&Row { event, outcome }).inc();
        }
    }

    /// A device was heard.
    pub(crate) fn heard(&self) {
        self.heartbeats.inc();
    }

    /// Puts what was counted into `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("audit_rows", "Audit rows of this run, by event", self.rows.clone());
        let help = "Time of a transaction of the store, with its audit rows";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commits.clone());
        let help = "Heartbeats of devices in this run";
        registry.register("heartbeats", help, self.heartbeats.clone());
    }
}

/// How a station stands at one instant.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) open_sessions: u64,
    pub(crate) links_alive: u64,
    /// Names of states, and how many certificates are in each.
    pub(crate) certificates: Vec<(&'static str, u64)>,
    /// Names and ends of the station's own certificates.
    pub(crate) ends: Vec<(&'static str, UnixTime)>,
    pub(crate) crl: Option<(u64, UnixTime)>,
    pub(crate) junk_refused: u64,
}

impl Standing {
    /// The list that is in force.
    pub(crate) fn crl(list: &CrlRow) -> (u64, UnixTime) {
        (list.number, list.next_update)
    }

    /// Puts it into `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let gauge = |value: u64| ConstGauge::new(value);
        let help = "Pairings and renewals under way";
        registry.register("open_sessions", help, gauge(self.open_sessions));
        let help = "Devices that were heard within three of the usual intervals";
        registry.register("links_alive", help, gauge(self.links_alive));
        let certificates = Family::<State, Gauge>::default();
        for (state, number) in &self.certificates {
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            certificates.get_or_create(&State { state }).set(number);
        }
        registry.register("certificates", "Certificates of devices, by state", certificates);
        let ends = Family::<Certificate, Gauge>::default();
        for (certificate, end) in &self.ends {
            ends.get_or_create(&Certificate { certificate }).set(end.unix());
        }
        let help = "When a certificate of the station ends, in Unix time";
        registry.register_with_unit("certificate_not_after", help, Unit::Seconds, ends);
        if let Some((number, next_update)) = self.crl {
            registry.register("crl_number", "Number of the revocation list", gauge(number));
            let help = "When the next revocation list is due, in Unix time";
            let due = ConstGauge::new(next_update.unix());
            registry.register_with_unit("crl_next_update", help, Unit::Seconds, due);
        }
        let help = "Refusals of unknown callers in this run";
        registry.register("junk_refused", help, ConstCounter::new(self.junk_refused));
    }
}
