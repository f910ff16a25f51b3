//! Batches over the operators' interface.

use std::collections::BTreeMap;

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use zmon_crypto::Suite;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_transport::client::{Answer, ClientTimes};
use zmon_transport::paths::{self, of_batch};
use zmon_wire::batch::{BatchList, BatchRetryAnswer, BatchScanAnswer, BatchView};
use zmon_wire::strict;

use crate::pairing::Monitor;
use crate::support::providers;
use crate::world::{Tablet, World, problem};

fn read<T: serde::de::DeserializeOwned>(answer: &Answer) -> T {
    strict::parse(&answer.body, 65_536).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

async fn open(tablet: &mut Tablet, manifest: &str) -> BatchView {
    let answer = tablet.post("/api/batches?name=Ward+3%2C%20S%C3%BCd", manifest).await;
    assert_eq!(answer.status, 200);
    read(&answer)
}

#[tokio::test]
async fn a_batch_is_opened_scanned_followed_and_closed() {
    let provider = providers().swap_remove(0);
    let world = World::open_with(provider.clone(), ClientTimes::default()).await;
    let monitor = Monitor::start(&world, &provider, Suite::P256).await;
    let mut ada = world.administrator().await;
    ada.post("/api/registry/import", &monitor.manifest()).await;
    let mut tess = world.operator("tess", Role::Technician).await;
    let scan = monitor.scan().await;
    let id = scan.device_id.clone();
    let rows =
        format!("{{\"deviceId\":\"{id}\",\"bedId\":\"ICU-3B\"}}\n{{\"deviceId\":\"ZM-9\"}}\n{{}}");
    let batch = open(&mut tess, &rows).await;
    assert_eq!((batch.batch_name.as_str(), batch.state), ("Ward 3, Süd", BatchState::Open));
    assert_eq!((batch.counts.waiting, batch.counts.failed), (2, 1));
    let of = |path| of_batch(path, batch.batch_id);
    let list: BatchList = read(&tess.get("/api/batches?offset=0&limit=10").await);
    assert_eq!((list.batches[0].batch_id, list.total), (batch.batch_id, 1));

    // Who looks sees all items first, then those that move.
    let mut watching = world.administrator().await;
    let events = of(paths::BATCH_EVENTS);
    let watched = tokio::spawn(async move { watching.get(&events).await });
    let scan = String::from_utf8(strict::to_vec(&scan).unwrap()).unwrap();
    let answer = tess.post(&of(paths::BATCH_SCAN), &scan).await;
    assert_eq!(answer.status, 202);
    let taken: BatchScanAnswer = read(&answer);
    assert_eq!((taken.row, taken.bed_id.unwrap().as_str()), (1, "ICU-3B"));
    let again = tess.post(&of(paths::BATCH_SCAN), &scan).await;
    assert_eq!(problem(&again).code, ErrorCode::BatchItemTaken);
    let paired = async {
        loop {
            let view: BatchView = read(&ada.get(&of(paths::BATCH)).await);
            assert_eq!(view.counts.failed, 1, "{view:?}");
            if view.counts.paired == 1 {
                break view;
            }
            tokio::task::yield_now().await;
        }
    };
    let view = tokio::time::timeout(crate::support::PATIENCE, paired).await.unwrap();
    assert_eq!(view.items[0].state, ItemState::Paired);
    let settings = monitor.service.settings().current().unwrap();
    assert_eq!(settings.bed.unwrap().as_str(), "ICU-3B");

    for (path, state) in [
        (paths::BATCH_PAUSE, BatchState::Paused),
        (paths::BATCH_RESUME, BatchState::Open),
        (paths::BATCH_CLOSE, BatchState::Closed),
    ] {
        let moved: BatchView = read(&tess.post(&of(path), "").await);
        assert_eq!(moved.state, state);
    }
    let paused = tess.post(&of(paths::BATCH_PAUSE), "").await;
    assert_eq!(problem(&paused).code, ErrorCode::BatchClosed);
    let report = tess.get(&of(paths::BATCH_REPORT)).await;
    assert!(report.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/csv"));
    let file = format!("attachment; filename=\"batch-{}.csv\"", batch.batch_id);
    assert_eq!(report.headers[CONTENT_DISPOSITION].to_str().unwrap(), file);
    let table = String::from_utf8(report.body.to_vec()).unwrap();
    assert!(table.contains(&format!("\r\n1,{id},")) && table.lines().count() == 4, "{table}");

    // The stream ends with the batch.
    let watched = watched.await.unwrap();
    assert_eq!(watched.headers[CONTENT_TYPE], "text/event-stream");
    let text = String::from_utf8(watched.body.to_vec()).unwrap();
    let told: Vec<BatchView> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| strict::parse(data.as_bytes(), 65_536).unwrap())
        .collect();
    assert_eq!(told[0].items.len(), 3);
    // Whoever keeps what was told knows how everything stands.
    let all = told.iter().flat_map(|view| &view.items).map(|item| (item.row, item.state));
    let known: BTreeMap<_, _> = all.collect();
    assert_eq!(known[&1], ItemState::Paired);
    assert_eq!(known[&3], ItemState::Failed);
    let later = told[1..].iter().flat_map(|view| &view.items);
    assert!(later.map(|item| item.row).all(|row| row != 3), "only what has moved");
    assert_eq!(told.last().unwrap().state, BatchState::Closed);
    monitor.service.shutdown().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_about_batches_is_named() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let row = r#"{"deviceId":"ZM-001"}"#;
    for (query, field) in [
        ("", "name"),
        ("?name=", "name"),
        ("?name=a&name=b", "name"),
        ("?name=a%0Ab", "name"),
        ("?x=1", "query"),
    ] {
        let refused = problem(&ada.post(&format!("/api/batches{query}"), row).await);
        assert_eq!(refused.code, ErrorCode::RequestMalformed, "{query}");
        assert_eq!(refused.field.as_deref(), Some(field), "{query}");
    }
    let empty = problem(&ada.post("/api/batches?name=a", "[]").await);
    assert_eq!(empty.field.as_deref(), Some("manifest"));
    let malformed = problem(&ada.get("/api/batches/17").await);
    assert_eq!(malformed.field.as_deref(), Some("batchId"));
    let nowhere = "/api/batches/3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30";
    for path in ["", "/events", "/report"] {
        let unknown = problem(&ada.get(&format!("{nowhere}{path}")).await);
        assert_eq!(unknown.code, ErrorCode::BatchUnknown, "{path}");
    }
    let batch = open(&mut ada, row).await.batch_id;
    let retry = of_batch(paths::BATCH_RETRY, batch);
    let refused = problem(&ada.post(&retry, r#"{"rows":[1]}"#).await);
    assert_eq!(refused.field.as_deref(), Some("rows"));
    let none: BatchRetryAnswer = read(&ada.post(&retry, "").await);
    assert!(none.rows.is_empty());
    let mut audrey = world.operator("audrey", Role::Auditor).await;
    assert_eq!(audrey.get(&of_batch(paths::BATCH, batch)).await.status, 200);
    let refused = problem(&audrey.post(&of_batch(paths::BATCH_CLOSE, batch), "").await);
    assert_eq!(refused.code, ErrorCode::NotPermitted);
}
