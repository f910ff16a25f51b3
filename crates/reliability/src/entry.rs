//! One line of the ledger.

use serde::{Deserialize, Serialize};

use crate::Shard;

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entry {
    /// Name of its [`crate::Row`].
    pub row: String,
    /// Commit it was run at, in full; with a `+` when the tree had changes.
    pub commit: String,
    /// [`crate::Sources`] of what the row is about.
    pub sources: String,
    /// First seed of all shares.
    pub seed: u64,
    /// Which share of the seeds.
    pub shard: Shard,
    /// Seeds it has used.
    pub seeds: u64,
    /// Cases of the row's kind.
    pub cases: u64,
    /// Cases out of so many, where a row is a share of something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Cases in which what must hold did not.
    pub failures: u64,
    /// How long it took, in seconds.
    pub seconds: u64,
}

impl Entry {
    /// The first seed that no share of this run comes to.
    #[must_use]
    pub fn next_seed(&self) -> u64 {
        let steps = self.seeds.saturating_mul(self.shard.of());
        self.seed.saturating_add(steps)
    }

    /// Whether both have used a seed, as far as bounds say: shares of one division never do.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let apart = self.next_seed() <= other.seed || other.next_seed() <= self.seed;
        let first = |entry: &Self| entry.seed.wrapping_add(entry.shard.part());
        let shares = self.shard.of() == other.shard.of()
            && first(self) % self.shard.of() != first(other) % other.shard.of();
        let any = self.seeds > 0 && other.seeds > 0;
        self.row == other.row && any && !apart && !shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seed: u64, shard: &str, seeds: u64) -> Entry {
        Entry {
            row: "ward".to_owned(),
            commit: "c".to_owned(),
            sources: "s".to_owned(),
            seed,
            shard: shard.parse().unwrap(),
            seeds,
            cases: seeds,
            of: None,
            failures: 0,
            seconds: 1,
        }
    }

    #[test]
    fn runs_meet_when_a_seed_may_be_in_both() {
        let run = entry(1, "1/1", 10);
        assert_eq!(run.next_seed(), 11);
        assert!(run.meets(&entry(10, "1/1", 1)));
        assert!(!run.meets(&entry(11, "1/1", 5)));
        assert!(!entry(1, "1/4", 10).meets(&entry(1, "2/4", 10)));
        assert!(entry(1, "1/4", 10).meets(&entry(1, "1/4", 2)));
        assert!(entry(1, "1/4", 10).meets(&entry(9, "1/4", 2)), "the same residue");
        assert!(entry(1, "1/4", 10).meets(&entry(30, "1/1", 2)), "inside its bounds");
        assert!(!run.meets(&Entry { row: "kills".to_owned(), ..run.clone() }));
        assert!(!run.meets(&entry(5, "1/1", 0)), "nothing was run");
    }

    #[test]
    fn a_line_is_what_it_was() {
        let line = r#"{"row":"ward","commit":"c","sources":"s","seed":1,"shard":"2/4","seeds":9,"cases":9,"failures":0,"seconds":1}"#;
        let read: Entry = serde_json::from_str(line).unwrap();
        assert_eq!(read, entry(1, "2/4", 9));
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
    }
}
