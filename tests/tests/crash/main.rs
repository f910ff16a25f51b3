//! The shipped `device`, and the shipped station, killed at its N-th write to the disk and told of errors at it,
//! N = 1, 2 … until the flow has no more of them (D13). Every flow and every call:
//! `cargo run -p zmon-tests --example crash_matrix`

#![expect(clippy::print_stdout, reason = "counts of a run")]
#![expect(clippy::indexing_slicing, reason = "numbers of its own lists")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]

mod central;
mod flow;
mod matrix;
mod permitted;
mod strace;
#[path = "../replicas/technician.rs"]
mod technician;

use central::Central;
use flow::Flow;
use matrix::{Bedside, Row};
use strace::Misfortune;
use zmon_testkit::Seed;

/// Goes through rows of the matrix; each of them fires.
async fn rows(rows: &[Row]) {
    if let Err(why) = permitted::permitted() {
        println!("SKIPPED: {} rows of the crash matrix: strace: {why}", rows.len());
        return;
    }
    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let mut bedside = Bedside::new(seed).await;
    for &row in rows {
        let seen = bedside.row(row).await;
        println!("{} {} {:?}: {seen}", row.flow, row.call, row.what);
        assert!(seen.times > 0, "{row:?} happens at all");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_device_does_killed_at_every_sync_of_its_disk_is_whole() {
    let (call, what) = ("fsync", Misfortune::Kill);
    rows(&Flow::ALL.map(|flow| Row { flow, call, what })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pairing_killed_at_every_write_of_its_database_is_whole() {
    let (flow, call, what) = (Flow::Reprovisioning, "pwrite64", Misfortune::Kill);
    rows(&[Row { flow, call, what }]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pairing_whose_writes_fail_is_whole() {
    let flow = Flow::Reprovisioning;
    let fails = [("pwrite64", "ENOSPC"), ("fsync", "EIO")];
    rows(&fails.map(|(call, errno)| Row { flow, call, what: Misfortune::Error(errno) })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_killed_at_every_sync_of_its_disk_goes_on_with_what_it_had() {
    let (call, what) = ("fsync", Misfortune::Kill);
    let rows = [Flow::Reprovisioning, Flow::Renewal, Flow::Deprovisioning];
    let rows = rows.map(|flow| Row { flow, call, what });
    if let Err(why) = permitted::permitted() {
        println!("SKIPPED: {} rows of the crash matrix: strace: {why}", rows.len());
        return;
    }
    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let mut central = Central::new(seed).await;
    for row in rows {
        let seen = central.row(row).await;
        println!("station {} {} {:?}: {seen}", row.flow, row.call, row.what);
        assert!(seen.times > 0, "{row:?} happens at all");
    }
}
