//! [W §13.3] "Audit logging verification": no audit row, no operation; no operation, no surprise.

use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, Side};
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{Kind, RETRIES, Step, disk, paired, registered, wait};

use crate::common::nothing_installed;

#[tokio::test]
async fn a_device_that_cannot_log_does_not_enter_and_does_so_afterwards() {
    let (station, device) = registered().await;
    disk::refuse_audit_rows(&device.database()).await;
    let refused = device.try_enter().await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AuditUnavailable);
    assert_eq!(device.state(), ProvisioningState::NotProvisioned);
    assert!(!device.store().load().await.unwrap().window_open);

    disk::accept_audit_rows(&device.database()).await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    device.audit_verified().await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_logged_consumes_nothing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    disk::refuse_audit_rows(&device.database()).await;
    let refused = station.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    assert_eq!(device.state(), ProvisioningState::ReadyToPair, "the code is not consumed");
    assert_eq!(device.qr().await.pairing_code.expose(), qr.pairing_code.expose());
    nothing_installed(&station, &device).await;

    disk::accept_audit_rows(&device.database()).await;
    let qr = device.qr().await;
    station.pair(&qr).await.expect("the same code is still good");
    device.until_connected().await;
    device.audit_verified().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_logged_is_not_staged() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.faults().order(Step::Deliver, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.pair(&qr).await });
    station.faults().reached(Step::Deliver, 1).await;
    disk::refuse_audit_rows(&device.database()).await;
    station.faults().clear();
    let refused = station.clock().hurry(RETRIES, pairing).await.unwrap().unwrap_err();
    // The device's log is full, not the station's.
    assert_eq!(refused.code(), ErrorCode::DeviceFailed);
    assert!(device.store().load().await.unwrap().slot_b.is_none());
    disk::accept_audit_rows(&device.database()).await;
    nothing_installed(&station, &device).await;
}

#[tokio::test]
async fn an_internal_step_that_cannot_be_logged_waits_and_goes_on() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Test, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.pair(&qr).await });
    device.faults().reached(Step::Test, 1).await;
    disk::refuse_audit_rows(&device.database()).await;
    let stores = device.faults().count(Step::Store);
    device.faults().clear();
    // It is tried, and tried again.
    let tries = device.faults().reached(Step::Store, stores + 2);
    station.clock().hurry(RETRIES, tries).await;
    assert_eq!(device.faults().count(Step::Commit), 0, "no row, no commit");
    disk::accept_audit_rows(&device.database()).await;
    station.clock().hurry(RETRIES, pairing).await.unwrap().expect("paired after all");
    device.until_connected().await;
    device.audit_verified().await;
}

#[tokio::test]
async fn a_station_that_cannot_log_refuses_and_pairs_afterwards() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    disk::refuse_audit_rows(&station.database()).await;
    let refused = station.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    assert!(refused.status >= 500, "{}", refused.status);
    assert_eq!(refused.problem.side, Side::Station, "its own log is full, not the device's");
    assert_eq!(station.faults().count(Step::Dial), 0, "the device was not asked");
    let refused = station.stranger().log_in("tina", zmon_testkit::PASSWORD).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);

    disk::accept_audit_rows(&station.database()).await;
    station.pair(&qr).await.expect("the same code");
    device.until_connected().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn heartbeats_never_wait_for_the_audit_log() {
    let (station, device) = paired().await;
    disk::refuse_audit_rows(&device.database()).await;
    disk::refuse_audit_rows(&station.database()).await;
    let beats = device.faults().count(Step::Heartbeat);
    for number in 1..=3 {
        station.clock().advance(limits::SYNC_INTERVAL.default);
        device.faults().reached(Step::Heartbeat, beats + number).await;
        let expected = limits::SYNC_INTERVAL.default * u32::try_from(number).unwrap();
        wait::until("an answer", device.link(), |link| link.uptime >= expected).await;
    }
    assert!(device.link().borrow().connected);
}

#[tokio::test]
async fn the_documents_nine_events_are_all_reached_and_shown_by_its_view() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    device.faults().order(Step::Test, Kind::Tamper);
    station.pair(&qr).await.unwrap_err();
    device.faults().clear();
    station.pair(&device.open_window().await).await.unwrap();
    device.until_connected().await;
    device.enter().await;
    device.service().exit_provisioning_mode(None).await.unwrap();

    let view = "SELECT DISTINCT event_type FROM provisioning_events ORDER BY event_type";
    let shown = disk::texts(&device.database(), view).await;
    let mut nine: Vec<_> = EventType::ALL
        .iter()
        .filter(|event| event.is_provisioning_event())
        .map(|event| event.as_str().to_owned())
        .collect();
    nine.sort();
    assert_eq!(nine.len(), 9);
    assert_eq!(shown, nine);
    let columns = disk::texts(
        &device.database(),
        "SELECT name FROM pragma_table_info('provisioning_events') ORDER BY cid",
    )
    .await;
    let document = [
        "id",
        "timestamp",
        "event_type",
        "device_id",
        "pairing_code",
        "success",
        "error_message",
        "configuration_hash",
    ];
    assert_eq!(columns, document);
    let failed = "SELECT count(*) FROM provisioning_events WHERE success = 0 \
                  AND error_message IS NULL";
    assert_eq!(disk::number(&device.database(), failed).await, 0, "every failure says why");
}

#[tokio::test]
async fn an_edited_a_deleted_and_a_cut_log_are_found() {
    let edits = [
        "UPDATE security_audit_log SET success = 0 WHERE id = 3",
        "UPDATE security_audit_log SET timestamp = timestamp + 1 WHERE id = 2",
        "DELETE FROM security_audit_log WHERE id = 4",
        "DELETE FROM security_audit_log WHERE id = (SELECT max(id) FROM security_audit_log)",
    ];
    let (_station, mut device) = paired().await;
    device.audit_verified().await;
    device.stop().await;
    let whole = disk::Snapshot::take(device.directory());
    for edit in edits {
        // Whoever holds the file can also remove what guards it.
        let guards = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
        for guard in disk::texts(&device.database(), guards).await {
            disk::sql(&device.database(), &format!("DROP TRIGGER \"{guard}\"")).await;
        }
        disk::sql(&device.database(), edit).await;
        match device.start().await {
            Ok(()) => {
                let report = device.store().verify_audit().await.unwrap();
                assert!(!report.is_intact(), "{edit}: {report:?}");
                device.stop().await;
            }
            Err(refused) => assert_eq!(refused.code, ErrorCode::StorageCorrupt, "{edit}"),
        }
        whole.restore();
    }
}

/// `zmon --json audit …` over a directory: whether it succeeded, and what it said.
fn zmon(args: &[&str]) -> (bool, serde_json::Value) {
    let program = zmon_testkit::binary("zmon", "zmon");
    let told = std::process::Command::new(program).args(["--json", "audit"]).args(args).output();
    let told = told.unwrap();
    (told.status.success(), serde_json::from_slice(&told.stdout).unwrap())
}

#[tokio::test]
async fn a_log_that_was_put_back_is_whole_but_for_a_checkpoint_kept_elsewhere() {
    let (station, mut device) = paired().await;
    device.stop().await;
    let early = disk::Snapshot::take(device.directory());
    let dir = device.directory().to_str().unwrap().to_owned();
    let (_, found) = zmon(&["verify", &dir]);
    let kept = found["lanes"][0]["rows"].as_u64().unwrap();

    device.start().await.unwrap();
    station.pair(&device.open_window().await).await.unwrap();
    device.until_connected().await;
    device.stop().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let held = elsewhere.path().join("export.jsonl");
    let held = held.to_str().unwrap();
    assert!(zmon(&["export", &dir, "--output", held]).0);
    let (whole, found) = zmon(&["verify", &dir, "--held", held]);
    assert!(whole, "{found}");
    assert!(found["lanes"][0]["attestedRow"].as_u64().unwrap() > kept, "{found}");

    early.restore();
    let (whole, found) = zmon(&["verify", &dir]);
    assert!(whole, "nothing in the directory shows it: {found}");
    let (whole, found) = zmon(&["verify", &dir, "--held", held]);
    assert!(!whole);
    assert_eq!(found["code"], ErrorCode::StorageCorrupt.as_str());
    assert_eq!(found["lanes"][0]["damagedRow"], kept + 1);

    std::fs::write(held, "").unwrap();
    let (whole, found) = zmon(&["verify", &dir, "--held", held]);
    assert!(!whole);
    assert_eq!(found["field"], "--held");
    assert_eq!(found["rule"], "must hold at least one checkpoint");
}
