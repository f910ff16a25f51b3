//! Runs wards until the time is over, the runs are done or one breaks a rule.
//!
//! ```text
//! cargo run --release --example ward -- --seed 1 --for 20m --shard 1/4
//! ```
#![expect(clippy::print_stdout, reason = "a program that reports")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use zmon_ward::{Bug, Counts, Outcome, Plan, run, shrink};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// Most runs that go into cutting a failing plan down.
const SHRINK: usize = 400;

/// Simulated wards: devices, station, network, clocks, disks and attackers.
#[derive(Parser)]
struct Args {
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stops after so long: 30s, 20m, 2h.
    #[arg(long = "for", default_value = "60s", value_parser = duration)]
    time: Duration,
    /// Which of how many shares: every Nth seed, from the Kth on.
    #[arg(long, default_value = "1/1", value_parser = shard)]
    shard: (u64, u64),
    /// Stops after so many runs.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// Plants a bug, and expects to find it.
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Shows what happens in the first run.
    #[arg(long)]
    show: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (share, shares) = args.shard;
    let begun = now();
    let mut reported = begun;
    let (mut done, mut sum) = (0u64, Counts::default());
    while done < args.runs && begun.elapsed() < args.time {
        let seed = args.seed.wrapping_add(done.wrapping_mul(shares)).wrapping_add(share - 1);
        let plan = Plan::of(seed);
        let outcome = run(&plan, args.bug);
        done += 1;
        sum.add(&outcome.counts);
        if args.show && done == 1 {
            outcome.lines.iter().for_each(|line| println!("{line}"));
        }
        if let Some(first) = outcome.first() {
            println!("BROKEN after {done} runs, {} s: {}", begun.elapsed().as_secs(), first.what);
            report(&plan, args.bug, &outcome);
            return if args.bug.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        if reported.elapsed() > PROGRESS {
            reported = now();
            progress(done, begun.elapsed(), seed);
        }
    }
    progress(done, begun.elapsed(), args.seed);
    println!("{sum:?}");
    println!("0 breaks");
    if args.bug.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[expect(clippy::disallowed_methods, reason = "how long a program runs is real time")]
fn now() -> Instant {
    Instant::now()
}

fn progress(done: u64, time: Duration, seed: u64) {
    let seconds = time.as_secs_f64().max(0.001);
    let rate = f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / seconds;
    println!("{done} runs in {seconds:.0} s, {rate:.1} a second, at seed {seed}");
}

fn report(plan: &Plan, bug: Option<Bug>, outcome: &Outcome) {
    println!("seed {}", plan.seed);
    for line in outcome.lines.iter().rev().take(40).rev() {
        println!("{line}");
    }
    let short = shrink(plan, bug, SHRINK);
    let again = run(&short, bug);
    println!("shortest: {short}");
    again.lines.iter().for_each(|line| println!("{line}"));
}

fn duration(text: &str) -> Result<Duration, String> {
    let rule = "a number and s, m or h";
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        _ => return Err(rule.to_owned()),
    };
    let number = text.get(..text.len() - 1).and_then(|number| number.parse::<u64>().ok());
    let seconds = number.and_then(|number| number.checked_mul(unit)).ok_or(rule)?;
    Ok(Duration::from_secs(seconds))
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let (share, shares) = text.split_once('/').ok_or("K/N")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let (share, shares) = (number(share)?, number(shares)?);
    if share == 0 || share > shares { Err("K from 1 to N".to_owned()) } else { Ok((share, shares)) }
}

fn bug(text: &str) -> Result<Bug, String> {
    let named = Bug::ALL.into_iter().find(|bug| bug.as_str() == text);
    named.ok_or_else(|| Bug::ALL.map(Bug::as_str).join(", "))
}
