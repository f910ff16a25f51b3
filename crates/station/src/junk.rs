//! Refusals of unauthenticated callers: counted, one audit row per source, reason and minute (D16).
//! Refusals that say something get rows of their own, within a budget per source and minute.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::Tick;

use crate::lockout::network;

/// Pairs of source and reason counted at a time; more share one row without a source.
const CAPACITY: usize = 1_000;
/// Refusals of a source per [`WINDOW`] that get a row of their own; further ones are counted.
const OWN_ROWS: u64 = 10;
const WINDOW: Duration = limits::JUNK_WINDOW.default;

type Key = (Option<IpAddr>, ErrorCode);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Tick,
    refused: u64,
}

/// The counts of the running minute.
#[derive(Debug, Default)]
pub(crate) struct Junk {
    counts: BTreeMap<Key, Count>,
    own_rows: BTreeMap<IpAddr, Count>,
    total: u64,
}

impl Junk {
    /// Counts one refusal.
    pub(crate) fn count(&mut self, source: IpAddr, reason: ErrorCode, now: Tick) {
        let mut key = (Some(source), reason);
        if self.counts.len() >= CAPACITY && !self.counts.contains_key(&key) {
            key = (None, reason);
        }
        let count = self.counts.entry(key).or_insert(Count { since: now, refused: 0 });
        count.refused = count.refused.saturating_add(1);
        self.total = self.total.saturating_add(1);
    }

    /// Every refusal counted in this run.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Whether a refusal of this source gets a row of its own; if not, it is to be counted.
    pub(crate) fn own_row(&mut self, source: IpAddr, now: Tick) -> bool {
        self.own_rows.retain(|_, count| now.since(count.since) < WINDOW);
        let source = network(source);
        if self.own_rows.len() >= CAPACITY && !self.own_rows.contains_key(&source) {
            return false;
        }
        let count = self.own_rows.entry(source).or_insert(Count { since: now, refused: 0 });
        count.refused = count.refused.saturating_add(1);
        count.refused <= OWN_ROWS
    }

    /// Takes out the rows whose minute is over.
    pub(crate) fn due(&mut self, now: Tick) -> Vec<AuditEvent> {
        let over = |count: &Count| now.since(count.since) >= WINDOW;
        let rows =
            self.counts.iter().filter(|(_, count)| over(count)).map(|(key, count)| row(key, count));
        let rows = rows.collect();
        self.counts.retain(|_, count| !over(count));
        rows
    }
}

fn row((source, reason): &Key, count: &Count) -> AuditEvent {
    let source = source.map_or_else(|| "many".to_owned(), |ip| ip.to_string());
    AuditEvent::failed(EventType::JunkRefused, Actor::Peer, *reason)
        .with("source", source)
        .with("count", count.refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_junk_is_one_row() {
        let here = IpAddr::from([10, 0, 0, 1]);
        let mut junk = Junk::default();
        for n in 0..1000 {
            junk.count(here, ErrorCode::RequestMalformed, Tick::new(Duration::from_millis(n)));
        }
        assert_eq!(junk.due(Tick::new(WINDOW - Duration::from_nanos(1))), []);
        let rows = junk.due(Tick::new(WINDOW));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].detail, [("source", "10.0.0.1".into()), ("count", "1000".into())]);
        assert_eq!(junk.due(Tick::new(WINDOW * 9)), []);
        assert_eq!(junk.total(), 1000, "the figure outlives its minute");
    }

    #[test]
    fn each_source_has_a_budget_of_rows_a_minute() {
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut junk = Junk::default();
        let own = (0..50).filter(|_| junk.own_row(here, Tick::ZERO)).count();
        assert_eq!(own, 10);
        assert!(junk.own_row(there, Tick::ZERO));
        assert!(junk.own_row(here, Tick::new(WINDOW)), "a new minute has a new budget");
        let mut junk = Junk::default();
        let own = (0..3_000u32).filter(|n| junk.own_row(IpAddr::V4((*n).into()), Tick::ZERO));
        assert_eq!(own.count(), CAPACITY);
    }

    #[test]
    fn the_memory_is_bounded_and_nothing_is_lost() {
        let mut junk = Junk::default();
        for n in 0..3_000u32 {
            junk.count(IpAddr::V4(n.into()), ErrorCode::ClaimRefused, Tick::ZERO);
        }
        let rows = junk.due(Tick::new(WINDOW));
        assert_eq!(rows.len(), CAPACITY + 1);
        assert!(rows.iter().any(|row| row.detail.contains(&("count", "2000".into()))));
    }
}
