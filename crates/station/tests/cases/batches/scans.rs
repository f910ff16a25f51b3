//! Which scans are taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ended, item, manifest, open, row, scan, ward};
use crate::common::{FakeDevice, Fault, World, operator, technician};
use zmon_crypto::{IdentityKey, Suite};
use zmon_domain::audit::EventType;
use zmon_domain::batch::ItemState;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BatchId, DeviceSerial};
use zmon_domain::role::Role;
use zmon_station::{DeviceTrust, StationEvent};
use zmon_wire::secret::SecretText;

#[tokio::test(start_paused = true)]
async fn a_scan_of_another_device_of_another_batch_or_twice_is_told_so_and_reaches_nobody() {
    let world = World::new().await;
    let devices = ward(&world, 4).await;
    let batch = open(&world, &manifest(&devices[..2])).await.batch_id;
    let other = open(&world, &row(&devices[2])).await.batch_id;
    assert_eq!(scan(&world, &batch, &devices[3]).await, Err(ErrorCode::DeviceNotInBatch));
    assert_eq!(scan(&world, &batch, &devices[2]).await, Err(ErrorCode::DeviceInOtherBatch));
    let nowhere = BatchId::from_bytes([7; 16]);
    assert_eq!(scan(&world, &nowhere, &devices[0]).await, Err(ErrorCode::BatchUnknown));
    assert!(devices.iter().all(|device| device.opens.load(Ordering::SeqCst) == 0));

    assert_eq!(scan(&world, &batch, &devices[0]).await, Ok(1));
    assert_eq!(scan(&world, &batch, &devices[0]).await, Err(ErrorCode::BatchItemTaken));
    ended(&world, &batch).await;
    assert_eq!(scan(&world, &batch, &devices[0]).await, Err(ErrorCode::BatchItemTaken));
    assert_eq!(devices[0].opens.load(Ordering::SeqCst), 1);
    // Paired there, it is free for a batch that comes later.
    world.station.close_batch(&technician(), &other).await.unwrap();
    assert_eq!(scan(&world, &other, &devices[2]).await, Err(ErrorCode::BatchClosed));
    assert_eq!(scan(&world, &batch, &devices[2]).await, Err(ErrorCode::DeviceNotInBatch));

    let refused: Vec<_> = world
        .store
        .audit_events()
        .into_iter()
        .filter(|row| row.event == EventType::BatchScanned && !row.success)
        .map(|row| row.error.unwrap())
        .collect();
    use ErrorCode::{BatchClosed, BatchItemTaken, DeviceInOtherBatch, DeviceNotInBatch};
    let told = [
        DeviceNotInBatch,
        DeviceInOtherBatch,
        BatchItemTaken,
        BatchItemTaken,
        BatchClosed,
        DeviceNotInBatch,
    ];
    assert_eq!(refused, told);
}

#[tokio::test(start_paused = true)]
async fn of_many_scans_of_one_device_exactly_one_is_taken() {
    let world = World::new().await;
    let devices = ward(&world, 1).await;
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    let mut scans = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (station, request) = (Arc::clone(&world.station), devices[0].scan_request());
        scans.spawn(async move {
            let scanned = station.batch_scan(&technician(), &batch, request).await;
            scanned.map(|answer| answer.row).map_err(|error| error.code())
        });
    }
    let taken = scans.join_all().await;
    assert_eq!(taken.iter().filter(|scan| scan.is_ok()).count(), 1);
    let others = taken.iter().filter(|scan| **scan == Err(ErrorCode::BatchItemTaken));
    assert_eq!(others.count(), 15);
    assert_eq!(ended(&world, &batch).await.items[0].attempts, 1);
    assert_eq!(world.store.certificates().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_mistyped_or_not_permitted_is_nobody_s_attempt() {
    let world = World::new().await;
    let devices = ward(&world, 1).await;
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    let mut wrong = devices[0].scan_request();
    wrong.pairing_code = SecretText::new("ABC-123-XYA");
    let refused = world.station.batch_scan(&technician(), &batch, wrong).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PairingCodeTypo);
    let mut wrong = devices[0].scan_request();
    wrong.pairing_token = Some(SecretText::new("AAAA"));
    assert!(world.station.batch_scan(&technician(), &batch, wrong).await.is_err());
    let auditor = operator("otto", Role::Auditor);
    let scan = devices[0].scan_request();
    let refused = world.station.batch_scan(&auditor, &batch, scan).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    let item = item(&world, &batch, 1).await;
    assert_eq!((item.state, item.attempts), (ItemState::Waiting, 0));
    assert_eq!(world.station.batch(&auditor, &batch).await.unwrap().counts.waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn a_device_with_another_serial_number_or_key_than_its_row_says_is_not_taken() {
    let world = World::with(|policy| policy.session.device_trust.push(DeviceTrust::Scanned)).await;
    // Nobody has registered them.
    let devices: Vec<_> = (1..=3).map(|n| FakeDevice::new(n, Suite::P256)).collect();
    devices.iter().for_each(|device| world.plug(device));
    let key = |device: &FakeDevice| device.identity.public().thumbprint();
    let rows = [
        r#"{"deviceId":"ZM-001","deviceSerial":"SN-OTHER"}"#.to_owned(),
        format!(r#"{{"deviceId":"ZM-002","identityKey":"{}"}}"#, key(&devices[0])),
        format!(r#"{{"deviceId":"ZM-003","identityKey":"{}","bedId":"B3"}}"#, key(&devices[2])),
    ];
    let batch = open(&world, &rows.join("\n")).await.batch_id;
    let mut events = world.station.events();
    assert_eq!(scan(&world, &batch, &devices[0]).await, Err(ErrorCode::DeviceMismatch));
    assert_eq!(scan(&world, &batch, &devices[1]).await, Err(ErrorCode::DeviceKeyConflict));
    let alarm = StationEvent::Alarm {
        device_id: Some(devices[1].id.clone()),
        code: ErrorCode::DeviceKeyConflict,
    };
    assert_eq!(events.try_recv(), Ok(alarm));
    // A typed code shows no key.
    let mut typed = devices[2].scan_request();
    typed.pairing_token = None;
    let refused = world.station.batch_scan(&technician(), &batch, typed).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceUnknown);
    assert_eq!(scan(&world, &batch, &devices[2]).await, Ok(3));
    assert_eq!(ended(&world, &batch).await.counts.paired, 1);

    // One that does not say its serial number on the screen still has to prove it.
    let mut silent = devices[0].scan_request();
    silent.device_serial = None;
    world.station.batch_scan(&technician(), &batch, silent).await.unwrap();
    let view = ended(&world, &batch).await;
    assert_eq!(super::code(&view.items[0]), Some(ErrorCode::DeviceMismatch));
    assert!(devices[0].installed.lock().unwrap().is_empty());
    assert_ne!(DeviceSerial::parse("SN-OTHER").unwrap(), devices[0].serial);
}

#[tokio::test(start_paused = true)]
async fn a_failed_item_waits_for_a_retry_before_it_is_scanned_again() {
    let world = World::new().await;
    let devices = ward(&world, 2).await;
    devices[0].misbehave(Fault::Unreachable);
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    scan(&world, &batch, &devices[0]).await.unwrap();
    let view = ended(&world, &batch).await;
    assert_eq!(super::code(&view.items[0]), Some(ErrorCode::DeviceUnreachable));
    assert!(view.items[0].ended_at > view.items[0].begun_at);
    devices[0].misbehave(Fault::None);
    devices[0].open_window();
    assert_eq!(scan(&world, &batch, &devices[0]).await, Err(ErrorCode::BatchItemTaken));
    let retry = |rows: Vec<u32>| {
        let station = std::sync::Arc::clone(&world.station);
        async move { station.retry_batch(&technician(), &batch, Some(&rows)).await }
    };
    // Only what was scanned and has failed.
    for wrong in [vec![2], vec![1, 2], vec![9]] {
        let refused = retry(wrong).await.unwrap_err();
        assert_eq!(refused.report.detail.unwrap().field(), "rows");
    }
    assert_eq!(retry(vec![1, 1]).await.unwrap().rows, [1]);
    assert_eq!(item(&world, &batch, 1).await.state, ItemState::Waiting);
    assert!(world.station.retry_batch(&technician(), &batch, None).await.unwrap().rows.is_empty());
    scan(&world, &batch, &devices[0]).await.unwrap();
    let view = ended(&world, &batch).await;
    assert_eq!((view.items[0].state, view.items[0].attempts), (ItemState::Paired, 2));
    assert_eq!(world.store.count(EventType::BatchRetried), 1);
}
