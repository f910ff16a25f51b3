//! The shipped `device`, hit at every call of every kind in every flow, until the flow has no more of
//! them: killed before it, or told that it failed.
//!
//! ```text
//! cargo build -p zmon-device && cargo run -p zmon-tests --example crash_matrix -- --for 20m
//! ```
//!
//! A seed is a row of the matrix; a row that is begun is gone through. After the last row comes the first
//! again, with other random numbers.
#![expect(clippy::print_stdout, reason = "its report")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]

#[path = "../tests/crash/flow.rs"]
mod flow;
#[path = "../tests/crash/matrix.rs"]
mod matrix;
#[path = "../tests/crash/permitted.rs"]
mod permitted;
#[path = "../tests/crash/strace.rs"]
mod strace;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::Parser;
use flow::Flow;
use futures_util::FutureExt;
use matrix::{Bedside, Row};
use strace::Misfortune;
use zmon_reliability::{Args, FAULTS, LedgerError};
use zmon_testkit::Seed;

/// What is done to the disk and the network, by the names of the system's calls.
const CALLS: [&str; 14] = [
    "pwrite64",
    "fdatasync",
    "fsync",
    "ftruncate",
    "pread64",
    "openat",
    "unlink",
    "rename",
    "write",
    "sendto",
    "recvfrom",
    "writev",
    "connect",
    "accept4",
];

/// What it is told.
const ERRORS: [&str; 4] = ["ENOSPC", "EIO", "EMFILE", "EINTR"];

/// Every row, those of one flow after another.
fn matrix() -> Vec<Row> {
    let misfortunes = [Misfortune::Kill].into_iter().chain(ERRORS.map(Misfortune::Error));
    let rows = |flow, what| CALLS.map(|call| Row { flow, call, what });
    let of = |flow| misfortunes.clone().flat_map(move |what| rows(flow, what));
    Flow::ALL.into_iter().flat_map(of).collect()
}

#[tokio::main]
async fn main() -> Result<ExitCode, LedgerError> {
    let mut run = Args::parse().begin(&FAULTS)?;
    permitted::permitted().expect("strace");
    let rows = matrix();
    let all = u64::try_from(rows.len()).expect("a number");
    while let Some(seed) = run.next() {
        let place = usize::try_from((seed.max(1) - 1) % all).expect("a place");
        let row = rows[place];
        let going = async move { Bedside::new(Seed::new(seed)).await.row(row, || true).await };
        // What does not hold panics with its story.
        match AssertUnwindSafe(going).catch_unwind().await {
            Ok(seen) => {
                println!("{} {} {:?}: {seen}", row.flow, row.call, row.what);
                run.count(seen.times.into());
            }
            Err(_panic) => run.fail(seed, "see above"),
        }
    }
    println!("a matrix has {all} rows");
    Ok(run.end())
}
