//! Mutants of the machines, the messages and the crypto glue, and how many a test notices:
//!
//! ```text
//! cargo install cargo-mutants --version 27.1.0
//! cargo run -p zmon-tests --example mutants -- --for 2h
//! ```
//!
//! A seed is one of a thousand shares of all mutants. What no test notices is printed; it gets a test, or its reason in
//! `docs/reliability/mutants.md`.
#![expect(clippy::print_stdout, reason = "its report")]

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use serde_json::Value;
use zmon_reliability::{Args, MUTANTS, root};

/// Into how many shares the mutants are divided.
const SHARES: u64 = 1_000;
/// Whose code is changed.
const PACKAGES: [&str; 4] = ["zmon-domain", "zmon-wire", "zmon-crypto", "zmon-protocol"];

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut run = Args::parse().begin(&MUTANTS)?;
    let output = root().join("target/mutants");
    while let Some(seed) = run.next() {
        let seen = share(seed % SHARES, &output)?;
        println!("share {}: {} of {} noticed", seed % SHARES, seen.noticed, seen.all);
        seen.missed.iter().for_each(|mutant| println!("MISSED {mutant}"));
        run.count_of(seen.noticed, seen.all);
    }
    Ok(run.end())
}

/// What became of one share.
struct Seen {
    noticed: u64,
    all: u64,
    missed: Vec<String>,
}

/// Tries every mutant of a share; one that does not build is none.
fn share(number: u64, output: &Path) -> io::Result<Seen> {
    let mut command = Command::new("cargo");
    command.args([
        "mutants",
        "--no-shuffle",
        "--colors=never",
        "--timeout=120",
        "--build-timeout=600",
    ]);
    command.args(["--output"]).arg(output);
    command.arg(format!("--shard={number}/{SHARES}"));
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let ended = command.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    // 2: some were missed; 3: some ran out of time.
    if !matches!(ended.code(), Some(0 | 2 | 3)) {
        return Err(io::Error::other(format!("cargo mutants: {ended}")));
    }
    let report = fs::read(output.join("mutants.out/outcomes.json"))?;
    let report: Value = serde_json::from_slice(&report)?;
    let number = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (caught, timeout, missed) = (number("caught"), number("timeout"), number("missed"));
    let names = fs::read_to_string(output.join("mutants.out/missed.txt"))?;
    let missed_names = names.lines().map(str::to_owned).collect();
    let noticed = caught + timeout;
    Ok(Seen { noticed, all: noticed + missed, missed: missed_names })
}
