//! How items run: apart from each other, so many at a time, and across a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{code, ended, item, look, manifest, open, row, scan, states, ward};
use crate::common::{FakeDevice, Fault, World, pass, technician};
use zmon_crypto::{IdentityKey, SecretBytes, Suite};
use zmon_domain::audit::EventType;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::ErrorCode;
use zmon_domain::settings::{Language, MeasurementUnit};
use zmon_station::ports::{CertificateRow, CertificateState, SessionState};
use zmon_wire::batch::BatchCounts;

#[tokio::test(start_paused = true)]
async fn every_device_gets_its_own_row_s_bed_label_settings_and_key_whatever_its_neighbours_do() {
    let world = World::new().await;
    let devices = ward(&world, 8).await;
    devices[1].misbehave(Fault::Unreachable);
    devices[2].misbehave(Fault::WrongSignature);
    devices[3].misbehave(Fault::RefusesConfiguration);
    devices[4].misbehave(Fault::SlowDelivery);
    let impostor = devices[5].impostor(77);
    world.plug(&impostor);
    let own = r#"{"deviceId":"ZM-008","bedId":"BED-ZM-008","deviceLabel":"Monitor ZM-008","measurementUnit":"IMPERIAL","language":"DE","syncInterval":30}"#;
    let text = format!("{}\n{{\"bedId\":\"no device\"}}\n{own}", manifest(&devices[..7]));
    let batch = open(&world, &text).await.batch_id;

    for device in &devices {
        let shown = if device.id == impostor.id { &impostor } else { device };
        scan(&world, &batch, shown).await.unwrap();
    }
    let view = ended(&world, &batch).await;
    let expected = [
        (1, ItemState::Paired, None),
        (2, ItemState::Failed, Some(ErrorCode::DeviceUnreachable)),
        (3, ItemState::Failed, Some(ErrorCode::IdentityInvalid)),
        (4, ItemState::Failed, Some(ErrorCode::SiteMismatch)),
        (5, ItemState::Paired, None),
        (6, ItemState::Failed, Some(ErrorCode::DeviceKeyConflict)),
        (7, ItemState::Paired, None),
        (8, ItemState::Failed, Some(ErrorCode::RequestMalformed)),
        (9, ItemState::Paired, None),
    ];
    let found: Vec<_> = view.items.iter().map(|item| (item.row, item.state, code(item))).collect();
    assert_eq!(found, expected);
    let counts = BatchCounts { paired: 4, failed: 5, ..BatchCounts::default() };
    assert_eq!((view.counts, view.counts.total()), (counts, 9));

    for device in [&devices[0], &devices[4], &devices[6], &devices[7]] {
        let installed = device.installed.lock().unwrap();
        let [(serial, document)] = installed.as_slice() else { panic!("{}", device.id) };
        assert_eq!(document.device_id, device.id);
        assert_eq!(document.device_key, device.identity.public().thumbprint());
        let settings = document.settings();
        assert_eq!(settings.bed.unwrap().as_str(), format!("BED-{}", device.id));
        assert_eq!(settings.label.unwrap().as_str(), format!("Monitor {}", device.id));
        let own = device.id.as_str() == "ZM-008";
        let unit = if own { MeasurementUnit::Imperial } else { MeasurementUnit::Metric };
        let language = if own { "DE" } else { "EN" };
        assert_eq!((settings.unit, settings.language), (unit, Language::parse(language).unwrap()));
        assert_eq!(settings.sync_interval.as_secs(), if own { 30 } else { 10 });
        let certificates = world.store.certificates();
        let certificate = certificates.iter().find(|row| row.serial == *serial).unwrap();
        assert_eq!(certificate.device_id, device.id);
        assert_eq!(certificate.state, CertificateState::Current);
    }
    for paired in [1, 5, 7, 8] {
        let id = &devices[paired - 1].id;
        let registered = world.station.device(&technician(), id).await.unwrap();
        assert_eq!(registered.bed_id.unwrap().as_str(), format!("BED-{id}"));
    }
    for refused in [&devices[1], &devices[2], &devices[5], &impostor] {
        assert!(refused.installed.lock().unwrap().is_empty(), "{}", refused.id);
    }
    assert_eq!(world.store.count(EventType::BatchScanned), 8);
    assert_eq!(world.store.count(EventType::BatchItemEnded), 8);
}

#[tokio::test(start_paused = true)]
async fn so_many_pairings_run_at_a_time_and_a_device_that_hangs_keeps_its_slot_no_longer_than_pair_waits()
 {
    let world = World::with(|policy| policy.batch_concurrency = 2).await;
    let devices = ward(&world, 5).await;
    for slow in &devices[..2] {
        slow.misbehave(Fault::SlowDelivery);
    }
    let batch = open(&world, &manifest(&devices)).await;
    assert_eq!(batch.concurrency, 2);
    let batch = batch.batch_id;
    for device in &devices {
        scan(&world, &batch, device).await.unwrap();
    }
    pass(Duration::from_secs(39)).await;
    let delivered = || devices.iter().map(|device| device.deliveries.load(Ordering::SeqCst));
    assert_eq!(delivered().collect::<Vec<_>>(), [1, 1, 0, 0, 0], "the others wait for a slot");
    // Everybody was claimed at the scan, while their tokens were good.
    assert!(devices.iter().all(|device| device.opens.load(Ordering::SeqCst) == 1));
    assert_eq!(look(&world, &batch).await.counts.pairing, 5);
    pass(Duration::from_secs(2)).await;
    assert_eq!(states(&look(&world, &batch).await)[2..], [ItemState::Paired; 3]);
    // Nor is anything lost of those that were slow.
    assert_eq!(states(&ended(&world, &batch).await), [ItemState::Paired; 5]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_slot_fails_alone_and_can_be_retried() {
    let world = World::with(|policy| {
        policy.batch_concurrency = 1;
        policy.session.claim_without_pair = Duration::from_secs(30);
    })
    .await;
    let devices = ward(&world, 2).await;
    devices[0].misbehave(Fault::SlowDelivery);
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    for device in &devices {
        scan(&world, &batch, device).await.unwrap();
    }
    let view = ended(&world, &batch).await;
    assert_eq!(states(&view), [ItemState::Paired, ItemState::Failed]);
    assert_eq!(code(&view.items[1]), Some(ErrorCode::SessionExpired));

    let retried = world.station.retry_batch(&technician(), &batch, None).await.unwrap();
    assert_eq!(retried.rows, [2]);
    devices[1].open_window();
    scan(&world, &batch, &devices[1]).await.unwrap();
    let view = ended(&world, &batch).await;
    assert_eq!(states(&view), [ItemState::Paired; 2]);
    assert_eq!((view.items[1].attempts, view.items[1].problem.as_ref()), (2, None));
}

#[tokio::test(start_paused = true)]
async fn one_batch_does_not_wait_for_another() {
    let world = World::with(|policy| policy.batch_concurrency = 1).await;
    let devices = ward(&world, 2).await;
    devices[0].misbehave(Fault::SlowDelivery);
    let slow = open(&world, &row(&devices[0])).await.batch_id;
    let fast = open(&world, &row(&devices[1])).await.batch_id;
    scan(&world, &slow, &devices[0]).await.unwrap();
    scan(&world, &fast, &devices[1]).await.unwrap();
    pass(Duration::from_secs(1)).await;
    assert_eq!(item(&world, &fast, 1).await.state, ItemState::Paired);
    assert_eq!(item(&world, &slow, 1).await.state, ItemState::Pairing);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_on_after_a_restart_of_its_station() {
    use ItemState::{Failed, Paired, Pairing, Waiting};
    let policy = |policy: &mut zmon_station::StationPolicy| policy.batch_concurrency = 2;
    let world = World::with(policy).await;
    let devices = ward(&world, 7).await;
    for lost in &devices[1..3] {
        lost.misbehave(Fault::DiesBeforeCommit);
    }
    for slow in &devices[3..5] {
        slow.misbehave(Fault::SlowDelivery);
    }
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    scan(&world, &batch, &devices[0]).await.unwrap();
    ended(&world, &batch).await;
    // Two have the configuration and say nothing; two are at it; one is claimed and waits for a slot.
    for device in &devices[1..6] {
        scan(&world, &batch, device).await.unwrap();
        pass(Duration::from_secs(2)).await;
    }
    let before = states(&look(&world, &batch).await);
    assert_eq!(before, [Paired, Pairing, Pairing, Pairing, Pairing, Pairing, Waiting]);

    // Of one session nothing is kept that the next process can read.
    let session = item(&world, &batch, 3).await.session_id.unwrap();
    let broken = SessionState::new(SecretBytes::copy_from(b"\x09"));
    world.store.put(|tables| drop(tables.states.insert(session, broken))).await;

    let world = world.restart_with(policy).await;
    let view = look(&world, &batch).await;
    assert_eq!((view.state, states(&view)), (BatchState::Open, before), "their sessions go on");

    // What had been delivered the device may still commit to (D13); what it does not is aborted.
    let housekeeping = tokio::spawn(Arc::clone(&world.station).run());
    let certificates = world.store.certificates();
    let issued = certificates.iter().find(|row| row.session == session).unwrap();
    devices[2].commit(&session, &issued.serial).await.unwrap();
    // Whoever waited to pair what was only claimed is gone.
    while item(&world, &batch, 6).await.state == Pairing {
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(code(&item(&world, &batch, 6).await), Some(ErrorCode::SessionExpired));
    let again = world.station.retry_batch(&technician(), &batch, None).await.unwrap();
    assert_eq!(again.rows, [6]);
    for device in &devices[5..] {
        device.open_window();
        scan(&world, &batch, device).await.unwrap();
    }
    let view = ended(&world, &batch).await;
    assert_eq!(states(&view), [Paired, Failed, Paired, Paired, Paired, Paired, Paired]);
    assert_eq!(code(&view.items[1]), Some(ErrorCode::DeviceUnreachable), "it never committed");
    for (device, item) in devices.iter().zip(&view.items) {
        let mut certificates = world.store.certificates().into_iter();
        let current = |row: &CertificateRow| {
            row.device_id == device.id && row.state == CertificateState::Current
        };
        assert_eq!(certificates.any(|row| current(&row)), item.state == Paired, "{}", device.id);
    }
    // Nobody ran its session when it committed; the registry knows its bed all the same.
    let registered = world.station.device(&technician(), &devices[2].id).await.unwrap();
    assert_eq!(registered.bed_id.unwrap().as_str(), format!("BED-{}", devices[2].id));
    housekeeping.abort();
}

#[tokio::test(start_paused = true)]
async fn an_item_ends_as_its_session_does_at_whatever_station_that_is() {
    let south = World::new().await;
    let devices = ward(&south, 2).await;
    devices[1].misbehave(Fault::SlowDelivery);
    let north = south.beside("north").await;
    let batch = open(&south, &manifest(&devices)).await.batch_id;
    let housekeeping = tokio::spawn(Arc::clone(&north.station).run());
    scan(&north, &batch, &devices[0]).await.unwrap();
    assert_eq!(scan(&south, &batch, &devices[0]).await, Err(ErrorCode::BatchItemTaken));

    // Whoever took this scan renews no lease: the other one goes on with its session.
    scan(&south, &batch, &devices[1]).await.unwrap();
    pass(Duration::from_secs(25)).await;
    let session = item(&south, &batch, 2).await.session_id.unwrap();
    let row = north.store.tables().sessions[&session].clone();
    assert_eq!((row.owner.unwrap().as_str(), row.epoch), ("north", 2));
    assert_eq!(states(&ended(&south, &batch).await), [ItemState::Paired; 2]);
    assert_eq!(south.store.certificates().len(), 2, "one each");
    assert_eq!(south.store.count(EventType::BatchItemEnded), 2);
    housekeeping.abort();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_written_is_written_later() {
    let world = World::new().await;
    let devices = ward(&world, 1).await;
    let batch = open(&world, &manifest(&devices)).await.batch_id;
    world.store.fail_on(Some(EventType::BatchItemEnded));
    scan(&world, &batch, &devices[0]).await.unwrap();
    pass(Duration::from_secs(60)).await;
    assert_eq!(item(&world, &batch, 1).await.state, ItemState::Pairing);
    assert_eq!(devices[0].installed.lock().unwrap().len(), 1, "the device is paired all the same");
    world.station.round().await.unwrap();
    assert_eq!(item(&world, &batch, 1).await.state, ItemState::Pairing);
    world.store.fail_on(None);
    world.station.round().await.unwrap();
    assert_eq!(item(&world, &batch, 1).await.state, ItemState::Paired);
}

#[tokio::test(start_paused = true)]
async fn without_its_row_no_item_begins_and_no_batch_is_opened() {
    let world = World::new().await;
    let devices = ward(&world, 1).await;
    world.store.fail_on(Some(EventType::BatchOpened));
    let text = manifest(&devices);
    let opened = world.station.open_batch(&technician(), super::name(), text.as_bytes()).await;
    assert_eq!(opened.unwrap_err().code(), ErrorCode::AuditUnavailable);
    world.store.fail_on(Some(EventType::BatchScanned));
    let batch = open(&world, &text).await.batch_id;
    assert_eq!(scan(&world, &batch, &devices[0]).await, Err(ErrorCode::AuditUnavailable));
    assert_eq!(devices[0].opens.load(Ordering::SeqCst), 0, "nobody dialled it");
    world.store.fail_on(None);
    assert_eq!(scan(&world, &batch, &devices[0]).await, Ok(1));
    assert_eq!(states(&ended(&world, &batch).await), [ItemState::Paired]);
}

#[tokio::test(start_paused = true)]
async fn a_typed_code_and_a_device_that_the_row_places_are_paired_too() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let port = device.port();
    let text = format!(
        r#"[{{"deviceSerial":"{}","bedId":"ICU-1","ipAddress":"{}","port":{port}}}]"#,
        device.serial, device.address
    );
    let batch = open(&world, &text).await.batch_id;
    let mut typed = device.scan_request();
    (typed.pairing_token, typed.ip_address, typed.device_serial) = (None, None, None);
    world.station.batch_scan(&technician(), &batch, typed).await.unwrap();
    let view = ended(&world, &batch).await;
    assert_eq!(states(&view), [ItemState::Paired]);
    assert_eq!(view.items[0].device_id.as_ref(), Some(&device.id));
}
