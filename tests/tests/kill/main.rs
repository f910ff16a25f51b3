//! `kill -9` of the shipped `device` at random instants of applying a configuration (D13): always
//! wholly old or wholly new, and it says which. More rounds:
//! `cargo run -p zmon-tests --example kill_device -- --for 20m`

#![expect(clippy::print_stdout, reason = "seed and report of a run")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]

mod rounds;

use rounds::Plan;
use zmon_testkit::{Seed, binary};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_device_is_wholly_old_or_wholly_new_and_says_which() {
    const ROUNDS: u32 = 20;
    let plan = Plan { rounds: ROUNDS, kills: ROUNDS };
    let seen = rounds::run(binary("zmon-device", "device"), Seed::from_environment(), plan).await;
    println!("{seen}");
    assert_eq!(seen.kills(), ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_provisioned_again_and_again_is_never_without_a_working_certificate() {
    let plan = Plan { rounds: 6, kills: 3 };
    let seen = rounds::run(binary("zmon-device", "device"), Seed::from_environment(), plan).await;
    println!("{seen}");
    assert_eq!((seen.rounds(), seen.kills()), (6, 3));
    assert!(seen.heartbeats() >= 6, "one in every round");
}
