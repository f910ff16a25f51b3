//! Runs wards until the time is over, the seeds are done or one breaks a rule.
//!
//! ```text
//! cargo run --release -p zmon-ward --example ward -- --for 20m --shard 1/4
//! ```
#![expect(clippy::print_stdout, reason = "a program that reports")]

use std::process::ExitCode;

use clap::Parser;
use zmon_reliability::{Args, LedgerError, WARD};
use zmon_ward::{Bug, Counts, Outcome, Plan, run, shrink};

/// Most runs that go into cutting a failing plan down.
const SHRINK: usize = 400;

/// Simulated wards: devices, station, network, clocks, disks and attackers.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// Plants a bug, and expects to find it; nothing goes into the ledger.
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Shows what happens in the first run.
    #[arg(long)]
    show: bool,
}

fn main() -> Result<ExitCode, LedgerError> {
    let Command { mut args, bug, mut show } = Command::parse();
    args.no_ledger |= bug.is_some();
    let mut wards = args.begin(&WARD)?;
    let mut sum = Counts::default();
    while let Some(seed) = wards.next() {
        let plan = Plan::of(seed);
        let outcome = run(&plan, bug);
        wards.count(1);
        sum.add(&outcome.counts);
        if core::mem::take(&mut show) {
            outcome.lines.iter().for_each(|line| println!("{line}"));
        }
        if let Some(first) = outcome.first() {
            wards.fail(seed, &first.what);
            report(&plan, bug, &outcome);
            let end = wards.end();
            return Ok(if bug.is_some() { ExitCode::SUCCESS } else { end });
        }
    }
    println!("{sum:?}");
    let end = wards.end();
    Ok(if bug.is_some() { ExitCode::FAILURE } else { end })
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

fn bug(text: &str) -> Result<Bug, String> {
    let named = Bug::ALL.into_iter().find(|bug| bug.as_str() == text);
    named.ok_or_else(|| Bug::ALL.map(Bug::as_str).join(", "))
}
