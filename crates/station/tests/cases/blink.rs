//! Which of ten monitors is it: by push, by poll, and where it is not possible.

use std::sync::Arc;
use std::time::Duration;

use crate::common::poller::{Poller, answer};
use crate::common::{FakeDevice, Fault, World, operator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_station::{PairOutcome, ScanOutcome};
use zmon_wire::carry::Return;
use zmon_wire::kind::V1;
use zmon_wire::pair::{PairRequest, ScanRequest};

async fn ward() -> (World, Arc<FakeDevice>) {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    (world, device)
}

async fn scanned(world: &World, device: &FakeDevice) -> SessionId {
    let scan = world.station.scan(&technician(), device.scan_request()).await.unwrap();
    scan.scanned().unwrap().session_id
}

fn after(id: SessionId, device: &FakeDevice) -> PairRequest {
    PairRequest { session_id: Some(id), ..device.pair_request() }
}

async fn blink(world: &World, id: SessionId) -> Result<u32, ErrorCode> {
    let blinking = world.station.blink(&technician(), &id).await;
    blinking.map(|blinking| blinking.seconds).map_err(|error| error.code())
}

/// Rows of blinks that were asked for, and of such that did not come.
fn rows(world: &World) -> (usize, usize) {
    let rows = world.store.audit_events();
    let blinks = || rows.iter().filter(|row| row.event == EventType::MonitorBlinked);
    (blinks().filter(|row| row.success).count(), blinks().filter(|row| !row.success).count())
}

#[tokio::test(start_paused = true)]
async fn its_operator_has_the_claimed_device_blink_once_at_a_time() {
    let (world, device) = ward().await;
    let id = scanned(&world, &device).await;
    assert_eq!(blink(&world, id).await, Ok(6));
    pass(Duration::from_millis(2_500)).await;
    assert_eq!(blink(&world, id).await, Ok(4), "what is left of it, rounded up");
    assert_eq!((device.blinks.lock().unwrap().clone(), rows(&world)), (vec![1], (1, 0)));
    pass(Duration::from_secs(4)).await;
    assert_eq!(blink(&world, id).await, Ok(6));
    assert_eq!((device.blinks.lock().unwrap().clone(), rows(&world)), (vec![1, 2], (2, 0)));
    assert_eq!(world.lan.dialled().len(), 1, "over the connection of the claim");

    for other in [operator("tom", Role::Technician), operator("ada", Role::Administrator)] {
        let refused = world.station.blink(&other, &id).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::SessionUnknown);
    }
    let refused = world.station.blink(&operator("ed", Role::Auditor), &id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);

    let paired = world.station.pair(&technician(), after(id, &device)).await.unwrap();
    assert!(matches!(paired, PairOutcome::Paired(_)), "{paired:?}");
    assert_eq!(blink(&world, id).await, Err(ErrorCode::SessionUnknown), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn taps_at_the_same_time_are_one_blink() {
    let (world, device) = ward().await;
    device.misbehave(Fault::SlowBlink);
    let id = scanned(&world, &device).await;
    let (one, other) = tokio::join!(blink(&world, id), blink(&world, id));
    assert_eq!((one, other), (Ok(6), Ok(6)));
    assert_eq!((device.blinks.lock().unwrap().clone(), rows(&world)), (vec![1], (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_bed_that_is_chosen_meanwhile_does_not_wait_for_an_attempt() {
    let (world, device) = ward().await;
    device.misbehave(Fault::SlowBlink);
    let id = scanned(&world, &device).await;
    let blinking = blink(&world, id);
    let pairing = async {
        pass(Duration::from_secs(1)).await;
        world.station.pair(&technician(), after(id, &device)).await.unwrap()
    };
    let (blinking, paired) = tokio::join!(blinking, pairing);
    assert_eq!(blinking, Err(ErrorCode::StateConflict), "the bed was faster");
    assert!(matches!(paired, PairOutcome::Paired(_)), "{paired:?}");
    let rows = world.store.audit_events();
    let failed = rows.iter().filter(|row| !row.success).count();
    assert_eq!((failed, world.lan.dialled().len()), (0, 1), "one connection, one attempt");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_gone_is_told_and_may_come_back() {
    let (world, device) = ward().await;
    let id = scanned(&world, &device).await;
    device.misbehave(Fault::Unreachable);
    assert_eq!(blink(&world, id).await, Err(ErrorCode::DeviceUnreachable));
    assert_eq!(rows(&world), (1, 1));
    device.misbehave(Fault::None);
    assert_eq!(blink(&world, id).await, Ok(6));
    assert_eq!(device.blinks.lock().unwrap().clone(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_polls_blinks_at_its_next_poll() {
    let (world, device) = ward().await;
    let mut poller = Poller::new(&world, &device);
    assert_eq!((poller.poll().await, poller.poll().await), (None, None));
    let request = ScanRequest { delivery: Some(Route::Pull), ..device.scan_request() };
    let station = Arc::clone(&world.station);
    let scan = tokio::spawn(async move { station.scan(&technician(), request).await });
    pass(Duration::from_millis(1)).await;
    assert_eq!(poller.serve().await, 1);
    let id = scan.await.unwrap().unwrap().scanned().unwrap().session_id;
    let polling = async {
        pass(Duration::from_secs(4)).await;
        poller.serve().await
    };
    let (blinking, served) = tokio::join!(blink(&world, id), polling);
    assert_eq!((blinking, served), (Ok(6), 1));
    assert_eq!((device.blinks.lock().unwrap().clone(), rows(&world)), (vec![1], (1, 0)));

    // It does not come any more: that is said after a while, and the blink waits on for it.
    pass(Duration::from_secs(7)).await;
    assert_eq!(blink(&world, id).await, Err(ErrorCode::DeviceUnreachable));
    assert_eq!(poller.serve().await, 1);
    assert_eq!(blink(&world, id).await, Ok(6));
}

#[tokio::test(start_paused = true)]
async fn a_courier_carries_no_blink() {
    let (world, device) = ward().await;
    let request = ScanRequest { delivery: Some(Route::Courier), ..device.scan_request() };
    let scanned = world.station.scan(&technician(), request).await.unwrap();
    let ScanOutcome::Pending(waits) = scanned else { panic!("{scanned:?}") };
    let id = waits.session_id;
    assert_eq!(blink(&world, id).await, Err(ErrorCode::StateConflict), "not claimed yet");
    let hello = world.station.courier_message(&technician(), &id).await.unwrap().message;
    let reply = answer(&device, hello.unwrap()).await;
    let back = Return { v: V1::default(), session_id: id, reply };
    world.station.courier_return(&technician(), &id, back).await.unwrap();
    assert_eq!(blink(&world, id).await, Err(ErrorCode::StateConflict));
    let progress = world.station.follow(&technician(), &id).await.unwrap();
    assert_eq!(progress.progress(&world.station.now()).route, Route::Courier);
    assert_eq!(rows(&world), (0, 0));
}
