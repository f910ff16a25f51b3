//! Codes that are redeemed by many at once, on a device with its database. More of them:
//! `cargo run --release -p zmon-tests --example redemptions -- --for 20m`

#![expect(clippy::expect_used, reason = "a failed round is its report")]

mod race;
mod station;

use race::Race;
use zmon_testkit::Seed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_who_redeem_a_code_one_is_accepted() {
    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let mut race = Race::new(seed).await;
    for number in 0..50 {
        race.once().await.unwrap_or_else(|what| panic!("code {number}: {what}"));
    }
    race.end().await;
}
