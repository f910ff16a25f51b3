//! A pairing as its operator's page sees it (D11): each step, the two minutes, and what comes after.

#![expect(clippy::unwrap_used, reason = "a panic in a helper of a test is its report")]

#[cfg(test)]
mod common;

use std::time::Duration;

use common::{FakeDevice, World, operator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::BedId;
use zmon_domain::role::Role;
use zmon_station::ports::SessionPhase;
use zmon_station::{PairOutcome, SessionFeed, SessionProgress};
use zmon_wire::pair::{PairRequest, ScanAnswer};

async fn scanned(world: &World, device: &FakeDevice) -> (ScanAnswer, SessionFeed) {
    let scan =
        world.station.scan(&technician(), device.scan_request()).await.unwrap().scanned().unwrap();
    let feed = world.station.follow(&technician(), &scan.session_id).await.unwrap();
    (scan, feed)
}

fn pair_after(scan: &ScanAnswer, device: &FakeDevice) -> PairRequest {
    let mut request = device.pair_request();
    request.session_id = Some(scan.session_id);
    request.pairing_token = None;
    request.ip_address = None;
    request.bed_id = Some(BedId::parse("ICU-3B").unwrap());
    request
}

fn seen(world: &World, feed: &SessionFeed) -> SessionProgress {
    feed.progress(&world.station.now())
}

async fn to_the_end(world: &World, feed: &mut SessionFeed) -> SessionProgress {
    while feed.changed().await {}
    seen(world, feed)
}

#[tokio::test(start_paused = true)]
async fn at_110_seconds_it_still_pairs_and_at_121_the_operator_is_told_to_scan_again() {
    let world = World::new().await;
    let (in_time, late) = (FakeDevice::new(1, Suite::P256), FakeDevice::new(2, Suite::P256));
    world.know(&[&in_time, &late]).await;

    let (scan, mut feed) = scanned(&world, &in_time).await;
    assert_eq!(seen(&world, &feed).pair_within, Some(Duration::from_secs(120)));
    pass(Duration::from_secs(110)).await;
    assert_eq!(seen(&world, &feed).pair_within, Some(Duration::from_secs(10)));
    let outcome = world.station.pair(&technician(), pair_after(&scan, &in_time)).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let end = to_the_end(&world, &mut feed).await;
    assert_eq!((end.phase, end.tested, end.pair_within), (SessionPhase::Paired, true, None));

    let (scan, mut feed) = scanned(&world, &late).await;
    pass(Duration::from_secs(121)).await;
    let end = to_the_end(&world, &mut feed).await;
    assert_eq!(end.phase, SessionPhase::Released);
    assert_eq!(end.error.unwrap().code, ErrorCode::SessionExpired);
    let refused = world.station.pair(&technician(), pair_after(&scan, &late)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionExpired);
    assert_eq!(world.store.certificates().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn steps_are_seen_in_their_order_and_none_after_the_last() {
    // What a reader may see: a slow one sees fewer of them, never another order.
    const ORDER: [SessionPhase; 5] = [
        SessionPhase::Dialling,
        SessionPhase::Identified,
        SessionPhase::Issuing,
        SessionPhase::Delivering,
        SessionPhase::Paired,
    ];
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let (scan, mut feed) = scanned(&world, &device).await;
    let first = seen(&world, &feed);
    assert_eq!((first.phase, first.tested), (SessionPhase::Identified, false));
    assert_eq!(first.device.unwrap().0, device.serial);

    let watching = async {
        let mut steps = Vec::new();
        while feed.changed().await {
            let now = seen(&world, &feed);
            steps.push((ORDER.iter().position(|phase| *phase == now.phase).unwrap(), now.tested));
        }
        steps
    };
    let technician = technician();
    let pairing = world.station.pair(&technician, pair_after(&scan, &device));
    let (steps, outcome) = tokio::join!(watching, pairing);
    outcome.unwrap();
    assert!(steps.is_sorted(), "{steps:?}");
    assert_eq!(steps.last(), Some(&(4, true)));
}

#[tokio::test(start_paused = true)]
async fn only_its_operator_follows_a_session_also_after_a_restart() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let (scan, _feed) = scanned(&world, &device).await;
    world.station.pair(&technician(), pair_after(&scan, &device)).await.unwrap();
    let other = operator("tom", Role::Technician);
    let refused = world.station.follow(&other, &scan.session_id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionUnknown);

    let world = world.restart().await;
    let refused = world.station.follow(&other, &scan.session_id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionUnknown);
    let mut feed = world.station.follow(&technician(), &scan.session_id).await.unwrap();
    assert_eq!(seen(&world, &feed).phase, SessionPhase::Paired);
    assert!(!feed.changed().await, "nothing will happen to it any more");
}

#[tokio::test(start_paused = true)]
async fn the_registry_says_who_has_a_bed() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let bed = BedId::parse("ICU-3B").unwrap();
    let tess = technician();
    assert!(world.station.devices_at_bed(&tess, &bed).await.unwrap().is_empty());
    let (scan, _feed) = scanned(&world, &device).await;
    world.station.pair(&tess, pair_after(&scan, &device)).await.unwrap();
    let there = world.station.devices_at_bed(&tess, &bed).await.unwrap();
    assert_eq!(there.len(), 1);
    assert_eq!(there[0], world.station.device(&tess, &there[0].device_id).await.unwrap());
    assert!(there[0].provisioned);
    let nobody = zmon_domain::ids::DeviceId::parse("nobody").unwrap();
    let refused = world.station.device(&tess, &nobody).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceUnknown);
}
