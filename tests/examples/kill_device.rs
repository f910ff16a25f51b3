//! `kill -9` of the shipped `device` at random instants of applying, as often as wanted:
//!
//! ```text
//! cargo build -p zmon-device && cargo run -p zmon-tests --example kill_device -- 200
//! ```
//!
//! A run is repeated with the seed it prints: `ZMON_SEED=… cargo run …`.
#![expect(clippy::print_stdout, reason = "its report")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]

#[path = "../tests/kill/rounds.rs"]
mod rounds;

use rounds::Plan;
use zmon_testkit::{Seed, binary};

#[tokio::main]
async fn main() {
    let rounds = std::env::args().nth(1).map_or(Ok(200), |text| text.parse());
    let rounds: u32 = rounds.expect("a number of kills");
    let seed = Seed::from_environment();
    let plan = Plan { rounds, kills: rounds };
    let seen = rounds::run(binary("zmon-device", "device"), seed, plan).await;
    println!("{seen}");
}
