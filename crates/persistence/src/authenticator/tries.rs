//! Tries that failed, durably: pulling the plug refunds none.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::time::Tick;

use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;

const FILE: &str = "operators.tries.json";
const FILE_MAX: usize = 256 * 1024;
const VERSION: u8 = 1;
/// Made-up names that are counted at a time; they push each other out, never an operator's.
const STRANGERS_MAX: usize = 256;

/// Failures by keyed name.
type Counts = BTreeMap<String, u32>;

/// Failed tries by keyed name, and until when each name has to wait in this run.
#[derive(Debug, Clone, Default)]
pub(super) struct Tries {
    operators: Counts,
    strangers: Counts,
    /// Ticks of another run mean nothing (a wait is not stored): a name at or above the limit that
    /// has no entry here waits its full time again, counted from its first try in this run.
    waits: BTreeMap<String, Tick>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    operators: Counts,
    strangers: Counts,
    v: u8,
}

impl Tries {
    /// Reads the file; without one nobody has failed.
    pub(super) fn read(dir: &PrivateDir) -> Result<Self> {
        if !dir.contains(FILE)? {
            return Ok(Self::default());
        }
        let bytes = dir.read(FILE, FILE_MAX)?;
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| {
            let context = "operators.tries.json: not a count of tries";
            PersistenceError::caused_by(ErrorCode::StorageCorrupt, context, error)
        })?;
        if document.v != VERSION {
            return Err(PersistenceError::newer(FILE, i64::from(document.v), i64::from(VERSION)));
        }
        let Document { operators, strangers, .. } = document;
        Ok(Self { operators, strangers, waits: BTreeMap::new() })
    }

    /// Overwrites and removes the file.
    pub(super) fn destroy(dir: &PrivateDir) -> Result<()> {
        dir.destroy_file(FILE)
    }

    /// Replaces the file durably.
    pub(super) fn write(&self, dir: &PrivateDir) -> Result<()> {
        let (operators, strangers) = (self.operators.clone(), self.strangers.clone());
        let document = Document { operators, strangers, v: VERSION };
        let bytes = serde_json::to_vec(&document).map_err(|error| {
            PersistenceError::caused_by(ErrorCode::Internal, "operators.tries.json", error)
        })?;
        dir.replace_file(FILE, &bytes)
    }

    /// Whether the name has to wait at `now`; starts the wait of a name that failed in an earlier run.
    pub(super) fn is_waiting(&mut self, name: &str, now: Tick) -> bool {
        let failures = self.operators.get(name).or_else(|| self.strangers.get(name));
        let Some(wait) = failures.copied().and_then(back_off) else { return false };
        let until = *self.waits.entry(name.to_owned()).or_insert(now + wait);
        now < until
    }

    /// Counts a try before it is made; it is taken back only by [`Tries::succeeded`].
    pub(super) fn count(&mut self, name: &str, known: bool, now: Tick) {
        if !known && !self.strangers.contains_key(name) && self.strangers.len() >= STRANGERS_MAX {
            self.forget_a_stranger();
        }
        let counts = if known { &mut self.operators } else { &mut self.strangers };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        if let Some(wait) = back_off(*count) {
            self.waits.insert(name.to_owned(), now + wait);
        }
    }

    /// Forgets the failures of a name.
    pub(super) fn succeeded(&mut self, name: &str) {
        self.operators.remove(name);
        self.strangers.remove(name);
        self.waits.remove(name);
    }

    /// Makes room by forgetting the made-up name with the fewest failures.
    fn forget_a_stranger(&mut self) {
        let fewest = self.strangers.iter().min_by_key(|(_, count)| **count);
        if let Some(name) = fewest.map(|(name, _)| name.clone()) {
            self.succeeded(&name);
        }
    }
}

/// How long to wait after so many failures: 30 s after three, doubling to 15 min.
fn back_off(failures: u32) -> Option<Duration> {
    let beyond = failures.checked_sub(limits::PIN_BACKOFF_AFTER.default)?;
    let wait = limits::PIN_BACKOFF_FIRST.default.saturating_mul(1 << beyond.min(16));
    Some(wait.min(limits::PIN_BACKOFF_MAX.default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_30_seconds_to_15_minutes() {
        let waits: Vec<_> = (0..12).map(|n| back_off(n).map(|wait| wait.as_secs())).collect();
        assert_eq!(
            waits,
            [None, None, None, Some(30), Some(60), Some(120), Some(240), Some(480)]
                .into_iter()
                .chain([Some(900); 4])
                .collect::<Vec<_>>()
        );
        assert_eq!(back_off(u32::MAX), Some(Duration::from_secs(900)));
    }

    #[test]
    fn made_up_names_are_bounded_and_push_out_no_operator() {
        let mut tries = Tries::default();
        tries.count("real", true, Tick::ZERO);
        for n in 0..2 * STRANGERS_MAX {
            tries.count(&format!("made-up-{n}"), false, Tick::ZERO);
        }
        assert_eq!(tries.strangers.len(), STRANGERS_MAX);
        assert_eq!(tries.operators.get("real"), Some(&1));
    }
}
