//! What a station costs for each audit row, heartbeat and pairing, on SQLite and on PostgreSQL, and what a
//! million devices would come to: `cargo bench -p zmon-bench --bench fleet`, after the release programs have been
//! built. `docs/scaling.md` says how to read it.
//!
//! | file | what |
//! |---|---|
//! | `place` | the station as a program, its memory, the CPU time of both |
//! | `work` | the three kinds of work and the floor of each, in turn |
//! | `sum` | the tables |
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark: it prints, and what cannot be set up ends it with the reason"
)]

mod place;
mod sum;
mod work;

use std::sync::Arc;

use zmon_bench::process;
use zmon_testkit::TestDatabase;

use crate::place::Place;

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(program) = process::beside("mock-central-station") else {
        println!("the programs are not built; docs/scaling.md has the commands");
        return;
    };
    println!("{}\n", process::machine());
    let database = Arc::new(TestDatabase::create().await);
    let mut works = Vec::new();
    for memory in [None, Some(database)] {
        let place = Place::start(program.clone(), memory).await;
        works.push((place.name(), work::measure(&place).await));
    }
    println!("{}", sum::costs(&works));
    println!("{}", sum::kept(&works));
    println!("{}", sum::million(&works));
}
