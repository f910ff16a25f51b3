//! `kill -9` of the shipped `device` at random instants of applying a configuration, under a steady heartbeat:
//!
//! ```text
//! cargo build -p zmon-device && cargo run -p zmon-tests --example kill_device -- --for 20m
//! ```
#![expect(clippy::expect_used, reason = "a failed round is its report")]
#![expect(clippy::print_stdout, reason = "its report")]

#[path = "../tests/kill/rounds.rs"]
mod rounds;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::Parser;
use futures_util::FutureExt;
use rounds::Plan;
use zmon_reliability::{Args, KILLS, LedgerError};
use zmon_testkit::{Seed, binary};

/// Kills of the shipped device: a seed is a device that is provisioned again and again.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// How often it is provisioned.
    #[arg(long, default_value_t = 25)]
    rounds: u32,
    /// In how many of these rounds it is killed; in the others nothing happens to it.
    #[arg(long, default_value_t = 20)]
    kills: u32,
}

#[tokio::main]
async fn main() -> Result<ExitCode, LedgerError> {
    let Command { args, rounds, kills } = Command::parse();
    assert!(kills <= rounds, "not more kills than rounds");
    let mut run = args.begin(&KILLS)?;
    while let Some(seed) = run.next() {
        let plan = Plan { rounds, kills };
        let program = binary("zmon-device", "device");
        // A round that does not hold panics with its story.
        match AssertUnwindSafe(rounds::run(program, Seed::new(seed), plan)).catch_unwind().await {
            Ok(seen) => {
                println!("{seen}");
                run.count(seen.kills().into());
            }
            Err(_panic) => run.fail(seed, "see above"),
        }
    }
    Ok(run.end())
}
