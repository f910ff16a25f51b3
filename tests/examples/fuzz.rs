//! Every fuzz target for a while, each with the committed corpus and what earlier runs have found:
//!
//! ```text
//! cargo run --release -p zmon-tests --example fuzz -- --for 20m
//! ```
//!
//! libFuzzer follows counters that a stable compiler puts in; an input that breaks something is kept under
//! `target/fuzz/broken`. `--each 10s --seeds 1` goes through all targets once.
#![expect(clippy::print_stdout, reason = "its report")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use zmon_reliability::{Args, FUZZ, root};

/// What one target was given, as libFuzzer says at its end.
const EXECUTED: &str = "stat::number_of_executed_units:";
/// Longest input, in bytes: the largest message of the protocol is not much longer.
const LONGEST: &str = "-max_len=8192";

/// Inputs to every fuzz target: a seed is one round through all of them.
#[derive(Parser)]
struct Fuzz {
    #[command(flatten)]
    args: Args,
    /// How long each target is run in a round.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    each: Duration,
    /// This target alone; nothing goes into the ledger.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Fuzz { mut args, each, only } = Fuzz::parse();
    args.no_ledger |= only.is_some();
    let home = root().join("target/fuzz");
    let programs = build(&home)?;
    let mut run = args.begin(&FUZZ)?;
    while let Some(seed) = run.next() {
        for (target, program) in &programs {
            if only.as_ref().is_some_and(|only| only != target) {
                continue;
            }
            match inputs(target, program, &home, seed, each)? {
                Ok(executed) => run.count(executed),
                Err(what) => run.fail(seed, &what),
            }
        }
    }
    Ok(run.end())
}

/// Builds all targets; their names and programs.
fn build(home: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let folder = root().join("fuzz");
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(home)
        // Its own flags are in its folder; those of others would take their place.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(&folder)
        .status()?;
    if !built.success() {
        return Err(io::Error::other("the fuzz targets are not built"));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    names.into_iter().map(|name| program(home, &name).map(|path| (name, path))).collect()
}

/// A target's program: below the folder of whatever machine this is.
fn program(home: &Path, name: &str) -> io::Result<PathBuf> {
    for entry in fs::read_dir(home)? {
        let program = entry?.path().join("release").join(name);
        if program.is_file() {
            return Ok(program);
        }
    }
    Err(io::Error::other(format!("{name} was not built")))
}

/// Runs one target. How many inputs it was given, or what has broken.
fn inputs(
    target: &str,
    program: &Path,
    home: &Path,
    seed: u64,
    time: Duration,
) -> io::Result<Result<u64, String>> {
    let (found, broken) = (home.join("corpus").join(target), home.join("broken"));
    let committed = root().join("fuzz/corpus").join(target);
    for folder in [&found, &broken] {
        fs::create_dir_all(folder)?;
    }
    // libFuzzer's seed has 32 bits, and 0 is one of its own choice.
    let seed = seed % u64::from(u32::MAX) + 1;
    let output = Command::new(program)
        .arg(format!("-seed={seed}"))
        .arg(format!("-max_total_time={}", time.as_secs().max(1)))
        .args([LONGEST, "-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048"])
        .arg(format!("-artifact_prefix={}/{target}-", broken.display()))
        .args([&found, &committed])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let executed = said
        .lines()
        .find_map(|line| line.strip_prefix(EXECUTED)?.trim().parse().ok())
        .filter(|_| output.status.success());
    let Some(executed) = executed else {
        let last: Vec<&str> = said.lines().rev().take(30).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Ok(Err(format!("{target}: {}\n{}", output.status, last.join("\n"))));
    };
    println!("{target}: {executed} inputs");
    Ok(Ok(executed))
}
