//! Pause, resume and close.

use std::time::Duration;

use super::{ended, look, manifest, open, scan, states, ward};
use crate::common::{Fault, World, operator, pass, technician};
use zmon_domain::audit::EventType;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::BatchId;
use zmon_domain::role::Role;
use zmon_station::StationEvent;

#[tokio::test(start_paused = true)]
async fn a_paused_batch_takes_no_scan_and_ends_what_it_has_begun() {
    let world = World::new().await;
    let devices = ward(&world, 2).await;
    devices[0].misbehave(Fault::SlowDelivery);
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    scan(&world, &batch, &devices[0]).await.unwrap();
    let tess = technician();
    for _ in 0..2 {
        let paused = world.station.pause_batch(&tess, &batch).await.unwrap();
        assert_eq!(paused.state, BatchState::Paused);
    }
    assert_eq!(world.store.count(EventType::BatchPaused), 1, "saying it again changes nothing");
    assert_eq!(scan(&world, &batch, &devices[1]).await, Err(ErrorCode::BatchPaused));
    let view = ended(&world, &batch).await;
    assert_eq!(states(&view), [ItemState::Paired, ItemState::Waiting]);
    world.station.resume_batch(&tess, &batch).await.unwrap();
    world.station.resume_batch(&tess, &batch).await.unwrap();
    assert_eq!(world.store.count(EventType::BatchResumed), 1);
    scan(&world, &batch, &devices[1]).await.unwrap();
    assert_eq!(states(&ended(&world, &batch).await), [ItemState::Paired; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_batch_stays_closed_skips_what_waits_and_ends_what_it_has_begun() {
    let world = World::new().await;
    let devices = ward(&world, 3).await;
    devices[0].misbehave(Fault::Unreachable);
    devices[1].misbehave(Fault::SlowDelivery);
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    for device in &devices[..2] {
        scan(&world, &batch, device).await.unwrap();
    }
    pass(Duration::from_secs(10)).await;
    let tess = technician();
    let closed = world.station.close_batch(&tess, &batch).await.unwrap();
    use ItemState::{Failed, Paired, Pairing, Skipped};
    assert_eq!(states(&closed), [Failed, Pairing, Skipped]);
    assert_eq!(states(&ended(&world, &batch).await), [Failed, Paired, Skipped]);
    world.station.close_batch(&tess, &batch).await.unwrap();
    assert_eq!(world.store.count(EventType::BatchClosed), 1);
    assert_eq!(scan(&world, &batch, &devices[2]).await, Err(ErrorCode::BatchClosed));
    let closed =
        |error: zmon_station::StationError| assert_eq!(error.code(), ErrorCode::BatchClosed);
    closed(world.station.pause_batch(&tess, &batch).await.unwrap_err());
    closed(world.station.resume_batch(&tess, &batch).await.unwrap_err());
    closed(world.station.retry_batch(&tess, &batch, None).await.unwrap_err());
    // What it has left another batch takes.
    let next = open(&world, &manifest(&devices[2..])).await;
    assert_eq!(states(&next), [ItemState::Waiting]);
}

#[tokio::test(start_paused = true)]
async fn only_who_may_run_batches_moves_them_and_who_looks_is_told() {
    let world = World::new().await;
    let devices = ward(&world, 1).await;
    let mut events = world.station.events();
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    assert_eq!(events.try_recv(), Ok(StationEvent::Batch { id: batch }));
    let auditor = operator("otto", Role::Auditor);
    let station = &world.station;
    for refused in [
        station.pause_batch(&auditor, &batch).await.unwrap_err(),
        station.resume_batch(&auditor, &batch).await.unwrap_err(),
        station.close_batch(&auditor, &batch).await.unwrap_err(),
        station.retry_batch(&auditor, &batch, None).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), ErrorCode::NotPermitted);
    }
    let nowhere = BatchId::from_bytes([7; 16]);
    for refused in [
        station.batch(&auditor, &nowhere).await.unwrap_err(),
        station.pause_batch(&technician(), &nowhere).await.unwrap_err(),
        station.retry_batch(&technician(), &nowhere, None).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), ErrorCode::BatchUnknown);
    }
    assert_eq!(look(&world, &batch).await.state, BatchState::Open);
}
