//! Manifests: what a batch is opened with.

use super::{code, manifest, name, open, row, ward};
use crate::common::{FakeDevice, World, administrator, operator, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::batch::ItemState;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_station::StationEvent;
use zmon_station::ports::Page;

#[tokio::test(start_paused = true)]
async fn a_bad_row_is_a_failed_item_with_its_field_and_rule_and_spoils_no_other() {
    let world = World::new().await;
    let devices = ward(&world, 9).await;
    world.station.decommission(&administrator(), &devices[4].id).await.unwrap();
    open(&world, &row(&devices[5])).await;
    let rows = [
        row(&devices[0]),
        r#"{"bedId":"ICU-1"}"#.to_owned(),
        r#"{"deviceId":"ZM-002","bedId":"not a bed"}"#.to_owned(),
        r#"{"deviceId":"ZM-002","surprise":1}"#.to_owned(),
        r#"{"deviceId":"#.to_owned(),
        row(&devices[2]),
        r#"{"deviceSerial":"SN-2026-000003","bedId":"other"}"#.to_owned(),
        format!(r#"{{"deviceId":"ZM-004","identityKey":"{}"}}"#, "00".repeat(32)),
        r#"{"deviceId":"ZM-005"}"#.to_owned(),
        r#"{"deviceId":"ZM-006"}"#.to_owned(),
        r#"{"deviceId":"ZM-007","deviceSerial":"SN-2026-000008"}"#.to_owned(),
        r#"{"deviceId":"ZM-900","deviceSerial":"SN-2026-000009"}"#.to_owned(),
        r#"{"deviceId":"ZM-901"}"#.to_owned(),
        r#"{"deviceSerial":"SN-2026-000008","bedId":"ICU-8"}"#.to_owned(),
    ];
    let mut events = world.station.events();
    let view = open(&world, &rows.join("\n")).await;
    use ErrorCode::{
        DeviceDecommissioned, DeviceInOtherBatch, DeviceKeyConflict, RequestMalformed,
    };
    let expected = [
        (None, ""),
        (Some(RequestMalformed), "row 2.deviceId"),
        (Some(RequestMalformed), "row 3.bedId"),
        (Some(RequestMalformed), "row 4.surprise"),
        (Some(RequestMalformed), "row 5"),
        (Some(RequestMalformed), "row 6.deviceId"),
        (Some(RequestMalformed), "row 7.deviceId"),
        (Some(DeviceKeyConflict), "row 8.identityKey"),
        (Some(DeviceDecommissioned), ""),
        (Some(DeviceInOtherBatch), ""),
        (Some(RequestMalformed), "row 11.deviceSerial"),
        (Some(RequestMalformed), "row 12.deviceId"),
        (None, ""),
        (None, ""),
    ];
    let field = |item: &zmon_wire::batch::BatchItemView| {
        item.problem.as_ref().and_then(|problem| problem.field.clone()).unwrap_or_default()
    };
    let found: Vec<_> = view.items.iter().map(|item| (code(item), field(item))).collect();
    let expected: Vec<_> = expected.map(|(code, field)| (code, field.to_owned())).into();
    assert_eq!(found, expected);
    for item in &view.items {
        let state = if item.problem.is_some() { ItemState::Failed } else { ItemState::Waiting };
        assert_eq!((item.state, item.attempts), (state, 0));
    }
    // A device that is registered by now is known by both its names.
    assert_eq!(view.items[13].device_id.as_ref(), Some(&devices[7].id));
    assert_eq!(view.items[12].device_serial, None, "nobody knows it yet");

    // A known name under another key is alarmed, as everywhere.
    let code = ErrorCode::DeviceKeyConflict;
    let alarm = StationEvent::Alarm { device_id: Some(devices[3].id.clone()), code };
    assert_eq!(events.try_recv(), Ok(alarm));
    assert_eq!(world.store.count(EventType::DeviceKeyConflict), 1);
    let opened = world.store.audit_events().into_iter().rev();
    let opened = opened.filter(|row| row.event == EventType::BatchOpened).collect::<Vec<_>>();
    let detail = |name| opened[0].detail.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    assert_eq!((detail("items"), detail("badRows")), ("14".to_owned(), "11".to_owned()));
    // What is bad is mended in another manifest, and not by a retry.
    let retry = world.station.retry_batch(&technician(), &view.batch_id, None).await.unwrap();
    assert!(retry.rows.is_empty());
    let scanned = super::scan(&world, &view.batch_id, &devices[4]).await;
    assert_eq!(scanned, Err(ErrorCode::DeviceDecommissioned));
}

#[tokio::test(start_paused = true)]
async fn a_manifest_without_a_single_good_line_is_refused_whole() {
    let world = World::new().await;
    for (text, field) in [
        ("", "manifest"),
        (" \n", "manifest"),
        ("[]", "manifest"),
        ("[1,", "manifest"),
        ("{\"x\":1}\n{", "row 1.x"),
        ("[{}]", "row 1.deviceId"),
    ] {
        let refused = world.station.open_batch(&technician(), name(), text.as_bytes()).await;
        let report = refused.unwrap_err().report;
        assert_eq!(report.code, ErrorCode::RequestMalformed, "{text}");
        assert_eq!(report.detail.unwrap().field(), field, "{text}");
    }
    let many = r#"{"deviceId":"ZM-001"}"#.to_owned() + "\n";
    let many = many.repeat(limits::MANIFEST_ROWS.default + 1);
    let refused = world.station.open_batch(&technician(), name(), many.as_bytes()).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::RequestTooLarge);
    let auditor = operator("otto", Role::Auditor);
    let refused = world.station.open_batch(&auditor, name(), b"[]").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    let page = Page { offset: 0, limit: 10 };
    assert_eq!(world.station.batches(&technician(), page).await.unwrap().total, 0);
}

#[tokio::test(start_paused = true)]
async fn batches_are_listed_the_newest_first_with_their_counts() {
    let world = World::new().await;
    let devices = ward(&world, 3).await;
    let first = open(&world, &manifest(&devices[..2])).await.batch_id;
    crate::common::pass(std::time::Duration::from_secs(1)).await;
    let second = open(&world, &manifest(&devices[2..])).await.batch_id;
    world.station.close_batch(&technician(), &second).await.unwrap();
    let page = |offset, limit| Page { offset, limit };
    let list = world.station.batches(&technician(), page(0, 10)).await.unwrap();
    let ids: Vec<_> = list.batches.iter().map(|batch| batch.batch_id).collect();
    assert_eq!((ids, list.total), (vec![second, first], 2));
    assert_eq!((list.batches[0].counts.skipped, list.batches[1].counts.waiting), (1, 2));
    let rest = world.station.batches(&technician(), page(1, 1)).await.unwrap();
    assert_eq!(rest.batches[0].batch_id, first);
}

#[tokio::test(start_paused = true)]
async fn the_report_is_a_table_without_formulas() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let text = r#"{"deviceId":"ZM-001","deviceLabel":"=HYPERLINK(\"http://x\",\"y\")"}"#;
    let view = open(&world, &format!("{text}\n{{}}")).await;
    let table = view.to_csv();
    let lines: Vec<_> = table.split("\r\n").collect();
    assert!(lines[0].starts_with("row,deviceId,deviceSerial,bedId,deviceLabel,state,code,"));
    let label = r#""'=HYPERLINK(""http://x"",""y"")""#;
    assert!(lines[1].starts_with(&format!("1,ZM-001,SN-2026-000001,,{label},waiting,,")));
    assert!(lines[2].starts_with("2,,,,,failed,request_malformed,"), "{}", lines[2]);
    assert_eq!((lines.len(), lines[3]), (4, ""));
}
