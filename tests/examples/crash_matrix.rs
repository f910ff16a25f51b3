//! The shipped `device`, and then the shipped station, hit at every call of every kind in every flow, until the
//! flow has no more of them: killed before it, or told that it failed.
//!
//! ```text
//! cargo build --bins && cargo run -p zmon-tests --example crash_matrix -- --for 20m
//! ```
//!
//! A seed is a row of the matrix; a row that is begun is gone through. After the last row comes the first
//! again, with other random numbers.
#![expect(clippy::print_stdout, reason = "its report")]
#![expect(clippy::indexing_slicing, reason = "numbers of its own lists")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]

#[path = "../tests/crash/central.rs"]
mod central;
#[path = "../tests/crash/flow.rs"]
mod flow;
#[path = "../tests/crash/matrix.rs"]
mod matrix;
#[path = "../tests/crash/permitted.rs"]
mod permitted;
#[path = "../tests/crash/strace.rs"]
mod strace;
#[path = "../tests/replicas/technician.rs"]
mod technician;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use central::Central;
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

/// Who is hit.
#[derive(Clone, Copy, Debug)]
enum Side {
    Device,
    Station,
}

/// Every row of one side, those of one flow after another.
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
    let sides = [Side::Device, Side::Station];
    let all: Vec<_> = rows.iter().flat_map(|row| sides.map(|side| (side, *row))).collect();
    while let Some(seed) = run.next() {
        let place = usize::try_from(seed.max(1) - 1).expect("a place") % all.len();
        let (side, row) = all[place];
        let going = async {
            let seed = Seed::new(seed);
            match side {
                Side::Device => Bedside::new(seed).await.row(row).await,
                Side::Station => Central::new(seed).await.row(row).await,
            }
        };
        // What does not hold panics with its story.
        match AssertUnwindSafe(going).catch_unwind().await {
            Ok(seen) => {
                println!("{side:?} {} {} {:?}: {seen}", row.flow, row.call, row.what);
                run.count(seen.times.into());
            }
            Err(_panic) => run.fail(seed, "see above"),
        }
    }
    println!("a matrix has {} rows", all.len());
    Ok(run.end())
}
