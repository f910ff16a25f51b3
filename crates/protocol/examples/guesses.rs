//! Guesses at typed codes, thousands a window, with restarts in every twentieth:
//!
//! ```text
//! cargo run --release -p zmon-protocol --example guesses -- --for 20m
//! ```
#![allow(dead_code, unused_imports, reason = "the test bed serves more than this")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test bed's report")]
#![expect(clippy::indexing_slicing, reason = "numbers of its own lists")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test bed picks what it is about")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/protocol/guesses.rs"]
mod guesses;

use std::process::ExitCode;

use clap::Parser;
use zmon_reliability::{Args, GUESSES, LedgerError};

/// Guesses at a typed code: a seed is a device.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// Guesses at each device.
    #[arg(long, default_value_t = 5_000)]
    guesses: u64,
    /// A device of so many is restarted between its guesses.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    restart: u64,
}

#[expect(clippy::print_stdout, reason = "its report")]
fn main() -> Result<ExitCode, LedgerError> {
    let Command { mut args, guesses, restart } = Command::parse();
    // Other guesses than those of the row.
    args.no_ledger |= guesses != 5_000;
    let mut run = args.begin(&GUESSES)?;
    let (mut counted, mut restarts) = (0, 0);
    while let Some(seed) = run.next() {
        match guesses::guess(seed, guesses, seed % restart == 0) {
            Ok(seen) => {
                run.count(seen.guesses);
                counted += seen.counted;
                restarts += seen.restarts;
            }
            Err(what) => run.fail(seed, &what),
        }
    }
    println!("{counted} counted as tries, {restarts} restarts");
    Ok(run.end())
}
