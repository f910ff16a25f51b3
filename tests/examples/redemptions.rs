//! Codes, each redeemed by sixteen at once, on a device with its files, its database and its driver:
//!
//! ```text
//! cargo run --release -p zmon-tests --example redemptions -- --for 20m
//! ```
#![expect(clippy::expect_used, reason = "a failed round is its report")]

#[path = "../tests/redemptions/race.rs"]
mod race;
#[path = "../tests/redemptions/station.rs"]
mod station;

use std::process::ExitCode;

use clap::Parser;
use race::Race;
use zmon_reliability::{Args, LedgerError, REDEMPTIONS};
use zmon_testkit::Seed;

/// Codes that sixteen redeem at once: a seed is a device that shows one code after another.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// Codes of a device.
    #[arg(long, default_value_t = 500)]
    codes: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode, LedgerError> {
    let Command { args, codes } = Command::parse();
    let mut run = args.begin(&REDEMPTIONS)?;
    while let Some(seed) = run.next() {
        let mut race = Race::new(Seed::new(seed)).await;
        for number in 0..codes {
            match race.once().await {
                Ok(()) => run.count(1),
                Err(what) => run.fail(seed, &format!("code {number}: {what}")),
            }
            if run.left().is_zero() {
                break;
            }
        }
        race.end().await;
    }
    Ok(run.end())
}
