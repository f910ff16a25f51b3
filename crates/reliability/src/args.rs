//! The arguments of every long run.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::path::PathBuf;

use clap::Parser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{LedgerError, Row, Run};

/// The arguments of every long run.
#[derive(Clone, Debug, Parser)]
#[non_exhaustive]
pub struct Args {
    /// First seed of all shares; usually the first that the ledger does not have.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Which of how many shares: every Nth seed, from the Kth on.
    #[arg(long, default_value = "1/1", value_name = "K/N")]
    pub shard: Shard,
    /// Stops after so long: 30s, 20m, 2h.
    #[arg(long = "for", default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub time: Duration,
    /// Stops after so many seeds.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "N")]
    pub seeds: u64,
    /// Adds no line to the ledger: to look at seeds again, or at a tree that is being changed.
    #[arg(long)]
    pub no_ledger: bool,
    /// The ledger, if not the project's.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

impl Args {
    /// Begins a run of this row.
    ///
    /// # Errors
    /// A [`LedgerError`] when the ledger cannot be read or has these seeds already.
    pub fn begin(self, row: &'static Row) -> Result<Run, LedgerError> {
        Run::begin(self, row)
    }
}

/// A share of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    part: u64,
    of: u64,
}

impl Shard {
    /// Which, from 1.
    #[must_use]
    pub fn part(self) -> u64 {
        self.part
    }

    /// Of how many, at least 1.
    #[must_use]
    pub fn of(self) -> u64 {
        self.of
    }

    /// The seed at a place of this share.
    #[must_use]
    pub fn seed(self, first: u64, place: u64) -> u64 {
        first.wrapping_add(place.wrapping_mul(self.of)).wrapping_add(self.part - 1)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (part, of) = text.split_once('/').ok_or("K/N, as 1/4")?;
        let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        let (part, of) = (number(part)?, number(of)?);
        if part == 0 || part > of {
            Err("K is from 1 to N".to_owned())
        } else {
            Ok(Self { part, of })
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shares_divide_the_seeds() {
        let shares = ["1/3", "2/3", "3/3"].map(|text| text.parse::<Shard>().unwrap());
        let seeds: BTreeSet<u64> =
            shares.iter().flat_map(|shard| (0..4).map(|place| shard.seed(10, place))).collect();
        assert_eq!(seeds, (10..22).collect());
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "1", "0/4", "5/4", "a/4", "1/", "1/0"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
