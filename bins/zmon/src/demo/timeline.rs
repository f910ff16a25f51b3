//! What happened, step by step, with how long each step took.

use core::time::Duration;

use serde::Serialize;
use zmon_cli::{Failure, Streams};
use zmon_domain::{address::ServerUrl, state::ProvisioningState, time::Tick};
use zmon_persistence::Verification;
use zmon_wire::audit::AuditEntry;

use crate::clock;

/// Columns of a step's text; the duration follows.
const TEXT: usize = 62;

/// Shows each step when it is done.
pub(super) struct Timeline<'a, 'b> {
    pub(super) streams: &'a mut Streams<'b>,
    steps: u32,
    begun: Tick,
}

#[derive(Serialize)]
struct Step<'a> {
    step: u32,
    text: &'a str,
    milliseconds: u128,
}

#[derive(Serialize)]
struct Verified<'a> {
    log: &'a str,
    rows: u64,
    checkpoints: usize,
    intact: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Conclusion<'a> {
    success: bool,
    state: &'a str,
    server_url: &'a str,
}

impl<'a, 'b> Timeline<'a, 'b> {
    /// The first step begins now.
    pub(super) fn new(streams: &'a mut Streams<'b>) -> Self {
        Self { streams, steps: 0, begun: clock::now().mono }
    }

    /// A step is done; the next one begins.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn done(&mut self, text: &str) -> Result<(), Failure> {
        let now = clock::now().mono;
        let took = now.since(self.begun);
        self.steps += 1;
        if self.streams.is_json() {
            let step = Step { step: self.steps, text, milliseconds: took.as_millis() };
            self.streams.json(&step)?;
        } else {
            let line = format!("{:>2}  {text:<TEXT$} {:>10}", self.steps, milliseconds(took));
            self.streams.say(&line)?;
        }
        // Writing the line is no part of the next step.
        self.restart();
        Ok(())
    }

    /// What happened since the last step counts for none.
    pub(super) fn restart(&mut self) {
        self.begun = clock::now().mono;
    }

    /// Shows both audit logs as one story, with the milliseconds since the first row.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn trail(
        &mut self,
        device: &[AuditEntry],
        station: &[AuditEntry],
    ) -> Result<(), Failure> {
        if self.streams.is_json() {
            return station.iter().chain(device).try_for_each(|row| Ok(self.streams.json(row)?));
        }
        self.streams
            .say("\nThe audit trails of both sides, in milliseconds of wall-clock time:")?;
        let rows = station.iter().map(|row| ("station", row));
        let mut rows: Vec<_> = rows.chain(device.iter().map(|row| ("device", row))).collect();
        rows.sort_by_key(|(_, row)| row.timestamp);
        let first = rows.first().map_or(0, |(_, row)| row.timestamp);
        for (side, row) in rows {
            let after = row.timestamp - first;
            let (seq, event) = (row.seq, row.event_type);
            let outcome = match &row.code {
                Some(code) => code.as_str(),
                None if row.success => "ok",
                None => "failed",
            };
            self.streams.say(&format!("{after:>7}  {side:<7} {seq:>3}  {event:<32} {outcome}"))?;
        }
        Ok(())
    }

    /// An audit log was verified and is whole.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn verified(&mut self, log: &str, found: &Verification) -> Result<(), Failure> {
        let (rows, checkpoints) = (found.rows(), found.checkpoints);
        if self.streams.is_json() {
            return Ok(self.streams.json(&Verified { log, rows, checkpoints, intact: true })?);
        }
        let s = if checkpoints == 1 { "" } else { "s" };
        self.done(&format!("{log}: audit chain intact, {rows} rows, {checkpoints} checkpoint{s}"))
    }

    /// How it ended.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn provisioned(&mut self, url: &ServerUrl) -> Result<(), Failure> {
        let state = ProvisioningState::Provisioned.as_str();
        if self.streams.is_json() {
            let server_url = url.as_str();
            return Ok(self.streams.json(&Conclusion { success: true, state, server_url })?);
        }
        Ok(self.streams.say(state)?)
    }
}

/// `12.3 ms`
fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_and_fit_80_columns() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams::new(&mut out, &mut err, false);
        let mut timeline = Timeline::new(&mut streams);
        timeline.done("station: made").unwrap();
        timeline.done("device: made").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(" 1  station: made"));
        assert!(text.lines().nth(1).unwrap().starts_with(" 2  device: made"));
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn durations_have_one_decimal() {
        assert_eq!(milliseconds(Duration::from_micros(12_345)), "12.3 ms");
    }
}
