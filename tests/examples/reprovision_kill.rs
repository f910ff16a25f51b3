//! Provisions the shipped `device` again and again under a steady heartbeat, and kills it at random
//! instants in some of the rounds: never without a certificate that works (D13).
//!
//! ```text
//! cargo build -p zmon-device && cargo run -p zmon-tests --example reprovision_kill -- 100 50
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
    let number = |place: usize, usual: u32| {
        let given = std::env::args().nth(place);
        given.map_or(Ok(usual), |text| text.parse()).expect("numbers of rounds and of kills")
    };
    let rounds = number(1, 100);
    let plan = Plan { rounds, kills: number(2, rounds / 2) };
    assert!(plan.kills <= plan.rounds, "not more kills than rounds");
    let seed = Seed::from_environment();
    let seen = rounds::run(binary("zmon-device", "device"), seed, plan).await;
    println!("{seen}");
}
