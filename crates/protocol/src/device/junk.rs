//! What strangers send must not cost a commit per request (D16): it is counted per reason and written
//! as one row a minute. Refusals that say something get rows of their own, within a budget a minute.

use alloc::vec::Vec;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::Tick;

use super::step::Step;

/// Refusals per [`limits::JUNK_WINDOW`] that get a row of their own; further ones are counted.
const OWN_ROWS: u8 = 10;

/// The running count.
#[derive(Clone, Default)]
pub(super) struct Junk {
    /// When the running period ends; none before its first event.
    until: Option<Tick>,
    counts: Vec<(ErrorCode, u32)>,
    own_rows: u8,
}

impl Junk {
    /// Counts one request that says nothing. No commit.
    pub(super) fn count(&mut self, step: &mut Step<'_>, code: ErrorCode) {
        self.enter_period(step);
        match self.counts.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.counts.push((code, 1)),
        }
    }

    /// Writes `row`, or counts it where the budget is spent.
    pub(super) fn refusal(&mut self, step: &mut Step<'_>, row: AuditEvent, code: ErrorCode) {
        self.enter_period(step);
        if self.own_rows < OWN_ROWS {
            self.own_rows += 1;
            step.out.row(row);
        } else {
            self.count(step, code);
        }
    }

    /// When counts are to be written.
    pub(super) fn due(&self) -> Option<Tick> {
        if self.counts.is_empty() { None } else { self.until }
    }

    /// Writes the counts of a period that is over.
    pub(super) fn flush(&mut self, step: &mut Step<'_>) {
        if self.until.is_none_or(|until| step.now.mono < until) {
            return;
        }
        for (code, count) in self.counts.drain(..) {
            let row = step.failure(EventType::JunkRefused, Actor::Peer, code).with("count", count);
            step.out.row(row);
        }
        self.until = None;
        self.own_rows = 0;
    }

    fn enter_period(&mut self, step: &mut Step<'_>) {
        self.flush(step);
        let end = step.now.mono + limits::JUNK_WINDOW.default;
        self.until.get_or_insert(end);
    }
}
