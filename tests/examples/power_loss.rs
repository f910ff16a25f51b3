//! Images of a disk after the power went, made from the recorded writes of the shipped device:
//!
//! ```text
//! cargo build -p zmon-device && cargo run -p zmon-tests --example power_loss -- --for 20m
//! ```
#![expect(clippy::indexing_slicing, reason = "numbers of its own lists")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]
#![expect(clippy::print_stdout, reason = "its report")]

#[path = "../tests/crash/flow.rs"]
mod flow;
#[path = "../tests/power_loss/images.rs"]
mod images;
#[path = "../tests/power_loss/medium.rs"]
mod medium;
#[path = "../tests/crash/permitted.rs"]
mod permitted;
#[path = "../tests/power_loss/record.rs"]
mod record;

use std::process::ExitCode;

use clap::Parser;
use flow::Flow;
use zmon_reliability::{Args, LedgerError, POWER_LOSS};
use zmon_testkit::Seed;

/// Disks after the power went: a seed is a recorded flow.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// Images made of each recording.
    #[arg(long, default_value_t = 1_000)]
    images: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode, LedgerError> {
    let Command { args, images } = Command::parse();
    permitted::permitted().expect("strace");
    let mut run = args.begin(&POWER_LOSS)?;
    while let Some(number) = run.next() {
        let seed = Seed::new(number);
        let place = usize::try_from(number % 4).expect("a place");
        let flow = Flow::ALL[place];
        let mut recording = images::record(flow, seed.clone()).await;
        if let Err(what) = recording.look().await {
            run.fail(number, &what);
            continue;
        }
        println!("{flow}: {} calls", recording.len());
        let mut dice = seed.rng();
        for _ in 0..images {
            match recording.image(&mut dice, false).await {
                Ok(()) => run.count(1),
                Err(what) => run.fail(number, &what),
            }
            if run.left().is_zero() {
                break;
            }
        }
    }
    Ok(run.end())
}
