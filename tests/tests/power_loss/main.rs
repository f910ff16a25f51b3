//! The power goes at any call of a flow of the shipped device, made from recorded writes (D13, D16). More:
//! `cargo run -p zmon-tests --example power_loss -- --for 20m`

#![expect(clippy::indexing_slicing, reason = "numbers of its own lists")]
#![expect(clippy::expect_used, reason = "a failed round is its report")]

#[path = "../crash/flow.rs"]
mod flow;
mod images;
mod medium;
#[path = "../crash/permitted.rs"]
mod permitted;
mod record;

use flow::Flow;
use zmon_testkit::Seed;

/// Images of each flow.
const IMAGES: u32 = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_power_goes_the_disk_is_whole() {
    if let Err(why) = permitted::permitted() {
        println!("SKIPPED: {} images of disks: strace: {why}", IMAGES * 4);
        return;
    }
    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let mut dice = seed.rng();
    for flow in Flow::ALL {
        let mut recording = images::record(flow, seed.clone()).await;
        recording.look().await.expect("whole while the power stays");
        println!("{flow}: {} calls", recording.len());
        for number in 0..IMAGES {
            let image = recording.image(&mut dice, false).await;
            assert_eq!(image, Ok(()), "{flow}, image {number}");
        }
    }
}

/// The check can fail: on a disk that only says that it has synced, rows are lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_about_a_sync_is_found_out() {
    if let Err(why) = permitted::permitted() {
        println!("SKIPPED: the control: strace: {why}");
        return;
    }
    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let mut dice = seed.rng();
    let mut recording = images::record(Flow::Pairing, seed).await;
    recording.look().await.expect("whole while the power stays");
    let mut found = 0;
    for _ in 0..50 {
        found += u32::from(recording.image(&mut dice, true).await.is_err());
    }
    assert!(found > 10, "{found} of 50");
}
