//! A thousand devices, each claimed, and every one's configuration brought to every other:
//!
//! ```text
//! cargo run --release -p zmon-protocol --example cross_deliveries -- --for 20m
//! ```
#![allow(dead_code, unused_imports, reason = "the test bed serves more than this")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test bed's report")]
#![expect(clippy::indexing_slicing, reason = "numbers of its own lists")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test bed picks what it is about")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/protocol/cross.rs"]
mod cross;

use std::process::ExitCode;

use clap::Parser;
use cross::Ward;
use zmon_reliability::{Args, CROSS_DELIVERIES, LedgerError};

/// Configurations that reach another device: a seed is a ward.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// Devices of a ward.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(2..=9_999))]
    devices: u64,
}

fn main() -> Result<ExitCode, LedgerError> {
    let Command { mut args, devices } = Command::parse();
    // Another ward than that of the row.
    args.no_ledger |= devices != 1_000;
    let mut run = args.begin(&CROSS_DELIVERIES)?;
    while let Some(seed) = run.next() {
        let mut ward = Ward::new(seed, devices);
        for place in 0..ward.len() {
            match ward.deliver_to(place) {
                Ok(refused) => run.count(refused),
                Err(what) => run.fail(seed, &what),
            }
            if run.left().is_zero() {
                break;
            }
        }
    }
    Ok(run.end())
}
