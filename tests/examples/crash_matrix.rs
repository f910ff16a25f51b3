//! The shipped `device`, hit at every call of every kind in every flow, until the flow has no more of
//! them: killed before it, or told that it failed.
//!
//! ```text
//! cargo build -p zmon-device && cargo run -p zmon-tests --example crash_matrix -- 1/4 20
//! ```
//!
//! The first argument is the share of the matrix (`1/1`: all rows), the second the minutes after which it
//! stops by itself. It prints each row as it ends, and the sums.
#![expect(clippy::print_stdout, reason = "its report")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]

#[path = "../tests/crash/flow.rs"]
mod flow;
#[path = "../tests/crash/matrix.rs"]
mod matrix;
#[path = "../tests/crash/strace.rs"]
mod strace;

use flow::Flow;
use matrix::{Bedside, Row};
use strace::Misfortune;
use tokio::time::{Duration, Instant};
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
async fn main() {
    let argument = |place: usize| std::env::args().nth(place);
    let share = argument(1).unwrap_or_else(|| "1/1".to_owned());
    let (part, parts) = share.split_once('/').expect("a share: 1/4");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (part, parts) = (number(part), number(parts));
    assert!((1..=parts).contains(&part), "a share: 1/4");
    let minutes = argument(2).map_or(20, |text| text.parse().expect("minutes"));
    strace::permitted().expect("strace");
    #[expect(clippy::disallowed_methods, reason = "a bound on the wall's time")]
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    #[expect(clippy::disallowed_methods, reason = "a bound on the wall's time")]
    let go_on = || Instant::now() < end;

    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let mut bedside = Bedside::new(seed).await;
    let (mut times, mut ended) = (0, 0);
    let mine: Vec<Row> = matrix().into_iter().skip(part - 1).step_by(parts).collect();
    for &row in &mine {
        if !go_on() {
            break;
        }
        let seen = bedside.row(row, go_on).await;
        println!("{} {} {:?}: {seen}", row.flow, row.call, row.what);
        times += seen.times;
        ended += usize::from(go_on());
    }
    println!("{times} times, {ended} of {} rows to their end", mine.len());
}
