//! Batches of pairings: every verdict inside one transaction, on both databases.

use crate::common::{at, session};
use crate::memory::{Memory, on_both_databases, on_every_store};
use crate::station_store::answer;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{BatchId, BatchName, DeviceId, DeviceSerial, OperatorId, Thumbprint};
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};
use zmon_station::ports::StationStore;
use zmon_station::ports::{
    BatchItemRow, BatchRefusal, BatchRow, BatchWrite, Page, Refusal, StationWrite, Wanted,
};
use zmon_wire::batch::BatchCounts;

on_every_store! {
    a_batch_and_its_items_come_back_as_they_were_kept,
    an_item_begins_once_and_ends_once,
    a_failed_item_waits_again_and_a_bad_row_does_not,
    closing_is_for_ever_and_skips_what_waits,
    a_device_is_kept_by_one_open_batch,
    batches_are_listed_the_newest_first,
    of_64_scans_at_once_exactly_one_begins_the_item,
}

mod by_sql {
    use super::*;

    on_both_databases! {
        what_is_kept_of_batches_is_not_removed_by_sql,
        items_that_are_no_values_are_errors,
    }
}

fn id(n: u8) -> BatchId {
    BatchId::from_bytes([n; 16])
}

fn tess() -> OperatorId {
    OperatorId::parse("tess").unwrap()
}

fn device(n: u32) -> DeviceId {
    DeviceId::parse(&format!("ZM-{n:03}")).unwrap()
}

fn serial(n: u32) -> DeviceSerial {
    DeviceSerial::parse(&format!("SN-{n:03}")).unwrap()
}

fn batch(n: u8) -> BatchRow {
    BatchRow {
        id: id(n),
        name: BatchName::parse("Station 3, Süd").unwrap(),
        state: BatchState::Open,
        operator: tess(),
        opened_at: at(1000 + i64::from(n)),
    }
}

fn item(n: u8, number: u32) -> BatchItemRow {
    BatchItemRow {
        batch: id(n),
        number,
        device_id: Some(device(number)),
        serial: None,
        identity: None,
        address: None,
        port: None,
        wanted: Wanted::default(),
        state: ItemState::Waiting,
        attempts: 0,
        operator: None,
        session: None,
        begun_at: None,
        ended_at: None,
        error: None,
        detail: None,
    }
}

fn bad(n: u8, number: u32) -> BatchItemRow {
    BatchItemRow {
        device_id: None,
        state: ItemState::Failed,
        error: Some(ErrorCode::RequestMalformed),
        detail: Some(FieldError::owned(format!("row {number}.bedId"), "must be a bed")),
        ..item(n, number)
    }
}

fn open(n: u8, items: Vec<BatchItemRow>) -> BatchWrite {
    BatchWrite::Open(Box::new(batch(n)), items)
}

fn begin(n: u8, number: u32) -> BatchWrite {
    let (device_id, operator) = (device(number), tess());
    BatchWrite::Begin { batch: id(n), number, device_id, operator, at: at(2000) }
}

fn end(n: u8, number: u32, error: Option<ErrorReport>) -> BatchWrite {
    BatchWrite::End { batch: id(n), number, error, at: at(3000) }
}

fn retry(n: u8, number: u32) -> BatchWrite {
    BatchWrite::Retry { batch: id(n), number }
}

fn shift(n: u8, to: BatchState) -> BatchWrite {
    BatchWrite::Move { batch: id(n), to }
}

async fn write(
    store: &(impl StationStore + ?Sized),
    write: BatchWrite,
) -> Result<(), BatchRefusal> {
    match answer(store, vec![StationWrite::Batch(write)]).await {
        Ok(()) => Ok(()),
        Err(Refusal::Batch(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

async fn states(store: &(impl StationStore + ?Sized), n: u8) -> Vec<ItemState> {
    store.batch_items(&id(n)).await.unwrap().iter().map(|item| item.state).collect()
}

async fn a_batch_and_its_items_come_back_as_they_were_kept(memory: &Memory) {
    let store = memory.open().await;
    let full = BatchItemRow {
        serial: Some(serial(7)),
        identity: Some(Thumbprint::from_bytes([9; 32])),
        address: Some("10.1.50.7".parse().unwrap()),
        port: core::num::NonZeroU16::new(40_007),
        wanted: Wanted {
            bed: Some("ICU-7".parse().unwrap()),
            label: Some("Bett 7, Fensterseite".parse().unwrap()),
            unit: Some(MeasurementUnit::Imperial),
            language: Some(Language::EN),
            sync_interval: Some(SyncInterval::from_secs(30).unwrap()),
        },
        ..item(1, 7)
    };
    let by_serial = BatchItemRow { device_id: None, serial: Some(serial(8)), ..item(1, 8) };
    let items = vec![item(1, 2), full.clone(), by_serial, bad(1, 9)];
    write(&*store, open(1, items.clone())).await.unwrap();
    drop(store);
    let store = memory.open().await;
    assert_eq!(store.batch(&id(1)).await.unwrap(), Some(batch(1)));
    assert_eq!(store.batch(&id(2)).await.unwrap(), None);
    assert_eq!(store.batch_items(&id(1)).await.unwrap(), items);
    assert_eq!(store.batch_items(&id(2)).await.unwrap(), []);
    let of = async |named: Option<u32>, by: Option<u32>| {
        let (named, by) = (named.map(device), by.map(serial));
        store.batch_items_of(named.as_ref(), by.as_ref()).await.unwrap()
    };
    let found = [full];
    assert_eq!(of(Some(7), None).await, found);
    assert_eq!(of(None, Some(7)).await, found);
    assert_eq!(of(Some(99), Some(8)).await.len(), 1);
    // Whose id is known is not found by somebody else's serial number.
    assert_eq!(of(Some(99), Some(7)).await, []);
    assert_eq!(of(None, None).await, []);
}

async fn an_item_begins_once_and_ends_once(memory: &Memory) {
    let store = memory.open().await;
    write(&*store, open(1, vec![item(1, 1), item(1, 2)])).await.unwrap();
    use BatchRefusal::{Batch, Item};
    assert_eq!(write(&*store, end(1, 1, None)).await, Err(Item(Some(ItemState::Waiting))));
    assert_eq!(write(&*store, begin(2, 1)).await, Err(Batch(None)));
    assert_eq!(write(&*store, begin(1, 3)).await, Err(Item(None)));
    write(&*store, begin(1, 1)).await.unwrap();
    assert_eq!(write(&*store, begin(1, 1)).await, Err(Item(Some(ItemState::Pairing))));
    let keep = |number| BatchWrite::Session { batch: id(1), number, session: session(4) };
    assert_eq!(write(&*store, keep(2)).await, Err(Item(Some(ItemState::Waiting))));
    write(&*store, keep(1)).await.unwrap();
    let running = store.running_batch_items().await.unwrap();
    let [at_work] = running.as_slice() else { panic!("{running:?}") };
    let begun = (at_work.attempts, at_work.operator.clone(), at_work.session, at_work.begun_at);
    assert_eq!(begun, (1, Some(tess()), Some(session(4)), Some(at(2000))));
    write(&*store, end(1, 1, None)).await.unwrap();
    assert_eq!(write(&*store, end(1, 1, None)).await, Err(Item(Some(ItemState::Paired))));
    assert_eq!(write(&*store, begin(1, 1)).await, Err(Item(Some(ItemState::Paired))));
    assert_eq!(states(&*store, 1).await, [ItemState::Paired, ItemState::Waiting]);
    assert!(store.running_batch_items().await.unwrap().is_empty());
}

async fn a_failed_item_waits_again_and_a_bad_row_does_not(memory: &Memory) {
    let store = memory.open().await;
    write(&*store, open(1, vec![item(1, 1), bad(1, 2)])).await.unwrap();
    write(&*store, begin(1, 1)).await.unwrap();
    let detail = FieldError::new("bedId", "must be present");
    let report = ErrorReport::field(ErrorCode::ConfigurationMalformed, detail);
    write(&*store, end(1, 1, Some(report.clone()))).await.unwrap();
    let failed = store.batch_items(&id(1)).await.unwrap().swap_remove(0);
    assert_eq!((failed.state, failed.report()), (ItemState::Failed, Some(report)));
    assert_eq!(failed.ended_at, Some(at(3000)));
    use BatchRefusal::Item;
    assert_eq!(write(&*store, retry(1, 2)).await, Err(Item(Some(ItemState::Failed))));
    write(&*store, retry(1, 1)).await.unwrap();
    assert_eq!(write(&*store, retry(1, 1)).await, Err(Item(Some(ItemState::Waiting))));
    write(&*store, begin(1, 1)).await.unwrap();
    let again = store.batch_items(&id(1)).await.unwrap().swap_remove(0);
    assert_eq!((again.attempts, again.error, again.session), (2, None, None));
}

async fn closing_is_for_ever_and_skips_what_waits(memory: &Memory) {
    let store = memory.open().await;
    write(&*store, open(1, vec![item(1, 1), item(1, 2), item(1, 3)])).await.unwrap();
    write(&*store, begin(1, 1)).await.unwrap();
    write(&*store, begin(1, 2)).await.unwrap();
    write(&*store, end(1, 2, Some(ErrorCode::DeviceUnreachable.into()))).await.unwrap();
    use BatchRefusal::Batch;
    write(&*store, shift(1, BatchState::Paused)).await.unwrap();
    assert_eq!(write(&*store, begin(1, 3)).await, Err(Batch(Some(BatchState::Paused))));
    write(&*store, shift(1, BatchState::Open)).await.unwrap();
    write(&*store, shift(1, BatchState::Closed)).await.unwrap();
    use ItemState::{Failed, Paired, Pairing, Skipped};
    assert_eq!(states(&*store, 1).await, [Pairing, Failed, Skipped]);
    let closed = Err(Batch(Some(BatchState::Closed)));
    assert_eq!(write(&*store, shift(1, BatchState::Open)).await, closed);
    assert_eq!(write(&*store, begin(1, 3)).await, closed);
    assert_eq!(write(&*store, retry(1, 2)).await, closed);
    assert_eq!(write(&*store, shift(2, BatchState::Paused)).await, Err(Batch(None)));
    // What was at work ends all the same.
    write(&*store, end(1, 1, None)).await.unwrap();
    assert_eq!(states(&*store, 1).await, [Paired, Failed, Skipped]);
    assert_eq!(store.batch_items_of(Some(&device(1)), None).await.unwrap(), []);
}

async fn a_device_is_kept_by_one_open_batch(memory: &Memory) {
    let store = memory.open().await;
    let named = |n: u8, number: u32, device_id: Option<u32>, of: Option<u32>| BatchItemRow {
        device_id: device_id.map(device),
        serial: of.map(serial),
        ..item(n, number)
    };
    let items = vec![
        named(1, 1, Some(1), Some(1)),
        named(1, 2, None, Some(2)),
        item(1, 3),
        item(1, 4),
        bad(1, 5),
    ];
    write(&*store, open(1, items)).await.unwrap();
    write(&*store, begin(1, 4)).await.unwrap();
    let elsewhere = |number| Err(BatchRefusal::Elsewhere(number));
    for (row, refused) in [
        (named(2, 11, Some(1), None), elsewhere(11)),
        (named(2, 12, None, Some(1)), elsewhere(12)),
        (named(2, 13, Some(22), Some(2)), elsewhere(13)),
        (named(2, 14, Some(4), None), elsewhere(14)),
    ] {
        assert_eq!(write(&*store, open(2, vec![item(2, 99), row])).await, refused);
        assert_eq!(store.batch(&id(2)).await.unwrap(), None, "nothing of it is there");
    }
    // A device whose item has failed is still that batch's, one that is paired is not; nor does what is
    // bad here disturb.
    write(&*store, end(1, 4, Some(ErrorCode::DeviceUnreachable.into()))).await.unwrap();
    assert_eq!(write(&*store, open(2, vec![item(2, 4)])).await, elsewhere(4));
    write(&*store, begin(1, 3)).await.unwrap();
    write(&*store, end(1, 3, None)).await.unwrap();
    let taken = BatchItemRow {
        state: ItemState::Failed,
        error: Some(ErrorCode::DeviceInOtherBatch),
        ..item(2, 4)
    };
    write(&*store, open(2, vec![item(2, 3), taken])).await.unwrap();
    write(&*store, shift(1, BatchState::Closed)).await.unwrap();
    write(&*store, open(3, vec![item(3, 1), item(3, 4)])).await.unwrap();
}

async fn batches_are_listed_the_newest_first(memory: &Memory) {
    let store = memory.open().await;
    for n in 1..=3 {
        let rows = (1..=u32::from(n)).map(|row| item(n, row + 10 * u32::from(n)));
        write(&*store, open(n, rows.collect())).await.unwrap();
    }
    write(&*store, begin(3, 31)).await.unwrap();
    write(&*store, shift(2, BatchState::Closed)).await.unwrap();
    let page = |offset, limit| Page { offset, limit };
    let listed = store.batches(page(0, 10)).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|listed| listed.row.id).collect();
    assert_eq!(ids, [id(3), id(2), id(1)]);
    let counts = |waiting, pairing, skipped| BatchCounts {
        waiting,
        pairing,
        skipped,
        ..BatchCounts::default()
    };
    let found: Vec<_> = listed.iter().map(|listed| listed.counts).collect();
    assert_eq!(found, [counts(2, 1, 0), counts(0, 0, 2), counts(1, 0, 0)]);
    assert_eq!(store.batches(page(1, 1)).await.unwrap()[0].row.id, id(2));
    assert_eq!(store.count_batches().await.unwrap(), 3);
}

async fn of_64_scans_at_once_exactly_one_begins_the_item(memory: &Memory) {
    let store = memory.open().await;
    write(&*store, open(1, vec![item(1, 1)])).await.unwrap();
    let mut scans = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let store = std::sync::Arc::clone(&store);
        scans.spawn(async move { write(&*store, begin(1, 1)).await });
    }
    let answers = scans.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let taken = Err(BatchRefusal::Item(Some(ItemState::Pairing)));
    assert_eq!(answers.iter().filter(|answer| **answer == taken).count(), 63);
    assert_eq!(store.batch_items(&id(1)).await.unwrap()[0].attempts, 1);
}

async fn what_is_kept_of_batches_is_not_removed_by_sql(memory: &Memory) {
    let store = memory.open().await;
    write(&*store, open(1, vec![item(1, 1), item(1, 2)])).await.unwrap();
    write(&*store, begin(1, 1)).await.unwrap();
    write(&*store, end(1, 1, None)).await.unwrap();
    write(&*store, shift(1, BatchState::Closed)).await.unwrap();
    let mut sql = memory.sql().await;
    for statement in [
        "DELETE FROM batches",
        "DELETE FROM batch_items",
        "UPDATE batches SET state = 'open'",
        "UPDATE batch_items SET state = 'waiting' WHERE number = 1",
        "UPDATE batch_items SET state = 'failed' WHERE number = 2",
        "UPDATE batch_items SET error = 'timeout' WHERE number = 2",
        "UPDATE batch_items SET field = 'bedId' WHERE number = 2",
        "UPDATE batch_items SET attempts = -1",
        "UPDATE batch_items SET state = 'lost' WHERE number = 2",
    ] {
        assert!(sql.attempt(statement).await.is_err(), "{statement}");
    }
}

async fn items_that_are_no_values_are_errors(memory: &Memory) {
    let store = memory.open().await;
    write(&*store, open(1, vec![item(1, 1)])).await.unwrap();
    let mut sql = memory.sql().await;
    sql.drop_checks().await;
    let long = sql.bytes("00");
    for (column, wrong, right) in [
        ("state", "'lost'", "'waiting'"),
        ("device_id", "'a b'", "'ZM-001'"),
        ("serial", "'-'", "NULL"),
        ("identity", long.as_str(), "NULL"),
        ("session", long.as_str(), "NULL"),
        ("port", "0", "NULL"),
        ("attempts", "-1", "0"),
        ("sync_interval", "0", "NULL"),
        ("error", "'nonsense'", "NULL"),
        ("begun_at", "-1", "NULL"),
    ] {
        sql.run(&format!("UPDATE batch_items SET {column} = {wrong}")).await;
        assert!(store.batch_items(&id(1)).await.is_err(), "{column}");
        sql.run(&format!("UPDATE batch_items SET {column} = {right}")).await;
    }
    assert_eq!(store.batch_items(&id(1)).await.unwrap(), [item(1, 1)]);
    sql.run("UPDATE batches SET name = ''").await;
    assert!(store.batch(&id(1)).await.is_err());
    assert!(store.batches(Page { offset: 0, limit: 10 }).await.is_err());
}
