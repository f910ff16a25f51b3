//! Batches of pairings and their items ([W §1]).

use core::num::NonZeroU16;

use zmon_domain::address::DeviceAddress;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{
    BatchId, BatchName, BedId, DeviceId, DeviceLabel, DeviceSerial, OperatorId, SessionId,
    Thumbprint,
};
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};
use zmon_domain::time::UnixTime;
use zmon_station::ports::{
    BatchItemRow, BatchListing, BatchRefusal, BatchRow, BatchWrite, Page, Refusal, Wanted,
};
use zmon_wire::batch::BatchCounts;

use super::apply::Stop;
use super::decode::{Columns, failed, number as count_of};
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, Row, query};

const BATCHES: &str = "batches";
const ITEMS: &str = "batch_items";

/// A device of the batch that another batch keeps: one that is not closed, by an item that waits, is at
/// work, or was scanned and has failed.
const ELSEWHERE: &str = "SELECT i.number FROM batch_items i \
     JOIN batch_items o ON o.batch_id <> i.batch_id AND (o.device_id = i.device_id \
       OR (o.serial = i.serial AND (o.device_id IS NULL OR i.device_id IS NULL))) \
     JOIN batches b ON b.id = o.batch_id \
     WHERE i.batch_id = $1 AND i.state = 'waiting' AND b.state <> 'closed' \
     AND (o.state IN ('waiting', 'pairing') OR (o.state = 'failed' AND o.attempts > 0)) \
     ORDER BY i.number LIMIT 1";

const INSERT: &str = "INSERT INTO batch_items (batch_id, number, device_id, serial, identity, \
     ip_address, port, bed, label, unit, language, sync_interval, state, attempts, operator, \
     session, begun_at, ended_at, error, field, rule) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
     $19, $20, $21)";

/// Begins an item that waits, without what the last attempt left.
const BEGIN: &str = "UPDATE batch_items SET state = 'pairing', attempts = attempts + 1, \
     device_id = $3, operator = $4, begun_at = $5, session = NULL, ended_at = NULL \
     WHERE batch_id = $1 AND number = $2 AND state = 'waiting'";

const LIST: &str = "SELECT b.*, \
     (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'waiting') AS waiting, \
     (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'pairing') AS pairing, \
     (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'paired') AS paired, \
     (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'failed') AS failed, \
     (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'skipped') AS skipped \
     FROM batches b ORDER BY b.opened_at DESC, b.id LIMIT $1 OFFSET $2";

/// Carries out one write.
pub(super) async fn apply(connection: &mut Connection<'_>, write: &BatchWrite) -> Result<(), Stop> {
    match write {
        BatchWrite::Open(row, items) => open(connection, row, items).await,
        BatchWrite::Move { batch, to } => shift(connection, batch, *to).await,
        BatchWrite::Begin { batch, number, device_id, operator, at } => {
            must_be(connection, batch, |state| state == BatchState::Open).await?;
            let begun = query(BEGIN)
                .bind(batch.as_bytes().as_slice())
                .bind(i64::from(*number))
                .bind(device_id.as_str())
                .bind(operator.as_str())
                .bind(at.unix())
                .execute(connection)
                .await
                .map_err(failed(ITEMS))?;
            moved(connection, begun, batch, *number).await
        }
        BatchWrite::Session { batch, number, session } => {
            let kept = query(
                "UPDATE batch_items SET session = $3 \
                 WHERE batch_id = $1 AND number = $2 AND state = 'pairing'",
            )
            .bind(batch.as_bytes().as_slice())
            .bind(i64::from(*number))
            .bind(session.as_bytes().as_slice())
            .execute(connection)
            .await
            .map_err(failed(ITEMS))?;
            moved(connection, kept, batch, *number).await
        }
        BatchWrite::End { batch, number, error, at } => {
            end(connection, batch, *number, error.as_ref(), *at).await
        }
        BatchWrite::Retry { batch, number } => {
            must_be(connection, batch, |state| state != BatchState::Closed).await?;
            let again = query(
                "UPDATE batch_items SET state = 'waiting', error = NULL, field = NULL, rule = NULL \
                 WHERE batch_id = $1 AND number = $2 AND state = 'failed' AND attempts > 0",
            )
            .bind(batch.as_bytes().as_slice())
            .bind(i64::from(*number))
            .execute(connection)
            .await
            .map_err(failed(ITEMS))?;
            moved(connection, again, batch, *number).await
        }
        other => {
            let context = format!("this store does not know the write {other:?}");
            Err(PersistenceError::new(ErrorCode::Internal, context).into())
        }
    }
}

async fn open(
    connection: &mut Connection<'_>,
    row: &BatchRow,
    items: &[BatchItemRow],
) -> Result<(), Stop> {
    query("INSERT INTO batches (id, name, state, operator, opened_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(row.id.as_bytes().as_slice())
        .bind(row.name.as_str())
        .bind(row.state.as_str())
        .bind(row.operator.as_str())
        .bind(row.opened_at.unix())
        .execute(connection)
        .await
        .map_err(failed(BATCHES))?;
    for item in items {
        insert(connection, item).await?;
    }
    let elsewhere: Option<i64> = query(ELSEWHERE)
        .bind(row.id.as_bytes().as_slice())
        .fetch_value(connection)
        .await
        .map_err(failed(ITEMS))?;
    match elsewhere {
        None => Ok(()),
        Some(number) => {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            Err(Stop::Refused(Refusal::Batch(BatchRefusal::Elsewhere(number))))
        }
    }
}

async fn insert(connection: &mut Connection<'_>, item: &BatchItemRow) -> Result<()> {
    let wanted = &item.wanted;
    query(INSERT)
        .bind(item.batch.as_bytes().as_slice())
        .bind(i64::from(item.number))
        .bind(item.device_id.as_ref().map(DeviceId::as_str))
        .bind(item.serial.as_ref().map(DeviceSerial::as_str))
        .bind(item.identity.as_ref().map(|key| key.as_bytes().as_slice()))
        .bind(item.address.map(|address| address.to_string()))
        .bind(item.port.map(|port| i64::from(port.get())))
        .bind(wanted.bed.as_ref().map(BedId::as_str))
        .bind(wanted.label.as_ref().map(DeviceLabel::as_str))
        .bind(wanted.unit.map(MeasurementUnit::as_str))
        .bind(wanted.language.as_ref().map(Language::as_str))
        .bind(wanted.sync_interval.map(|interval| count_of(interval.as_secs())))
        .bind(item.state.as_str())
        .bind(i64::from(item.attempts))
        .bind(item.operator.as_ref().map(OperatorId::as_str))
        .bind(item.session.as_ref().map(|session| session.as_bytes().as_slice()))
        .bind(item.begun_at.map(UnixTime::unix))
        .bind(item.ended_at.map(UnixTime::unix))
        .bind(item.error.map(ErrorCode::as_str))
        .bind(item.detail.as_ref().map(FieldError::field))
        .bind(item.detail.as_ref().map(FieldError::rule))
        .execute(connection)
        .await
        .map_err(failed(ITEMS))?;
    Ok(())
}

async fn shift(
    connection: &mut Connection<'_>,
    batch: &BatchId,
    to: BatchState,
) -> Result<(), Stop> {
    must_be(connection, batch, |state| state != BatchState::Closed).await?;
    query("UPDATE batches SET state = $2 WHERE id = $1")
        .bind(batch.as_bytes().as_slice())
        .bind(to.as_str())
        .execute(connection)
        .await
        .map_err(failed(BATCHES))?;
    if to == BatchState::Closed {
        query("UPDATE batch_items SET state = 'skipped' WHERE batch_id = $1 AND state = 'waiting'")
            .bind(batch.as_bytes().as_slice())
            .execute(connection)
            .await
            .map_err(failed(ITEMS))?;
    }
    Ok(())
}

async fn end(
    connection: &mut Connection<'_>,
    batch: &BatchId,
    number: u32,
    error: Option<&ErrorReport>,
    at: UnixTime,
) -> Result<(), Stop> {
    let state = if error.is_some() { ItemState::Failed } else { ItemState::Paired };
    let detail = error.and_then(|report| report.detail.as_ref());
    let ended = query(
        "UPDATE batch_items SET state = $3, ended_at = $4, error = $5, field = $6, rule = $7 \
         WHERE batch_id = $1 AND number = $2 AND state = 'pairing'",
    )
    .bind(batch.as_bytes().as_slice())
    .bind(i64::from(number))
    .bind(state.as_str())
    .bind(at.unix())
    .bind(error.map(|report| report.code.as_str()))
    .bind(detail.map(FieldError::field))
    .bind(detail.map(FieldError::rule))
    .execute(connection)
    .await
    .map_err(failed(ITEMS))?;
    moved(connection, ended, batch, number).await
}

/// Refuses a write about a batch that stands where it may not.
async fn must_be(
    connection: &mut Connection<'_>,
    id: &BatchId,
    fits: impl FnOnce(BatchState) -> bool,
) -> Result<(), Stop> {
    let state = batch(connection, id).await?.map(|row| row.state);
    if state.is_some_and(fits) {
        return Ok(());
    }
    Err(Stop::Refused(Refusal::Batch(BatchRefusal::Batch(state))))
}

/// Whether the one item was written; else where it stands.
async fn moved(
    connection: &mut Connection<'_>,
    rows: u64,
    batch: &BatchId,
    number: u32,
) -> Result<(), Stop> {
    if rows == 1 {
        return Ok(());
    }
    let row = query("SELECT * FROM batch_items WHERE batch_id = $1 AND number = $2")
        .bind(batch.as_bytes().as_slice())
        .bind(i64::from(number))
        .fetch_optional(connection)
        .await
        .map_err(failed(ITEMS))?;
    let item = row.as_ref().map(item_row).transpose()?;
    Err(Stop::Refused(Refusal::Batch(BatchRefusal::Item(item.map(|item| item.state)))))
}

pub(super) async fn batch(
    connection: &mut Connection<'_>,
    id: &BatchId,
) -> Result<Option<BatchRow>> {
    let row = query("SELECT * FROM batches WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(failed(BATCHES))?;
    row.as_ref().map(batch_row).transpose()
}

pub(super) async fn list(connection: &mut Connection<'_>, page: Page) -> Result<Vec<BatchListing>> {
    let rows = query(LIST)
        .bind(i64::from(page.limit))
        .bind(count_of(page.offset))
        .fetch_all(connection)
        .await
        .map_err(failed(BATCHES))?;
    rows.iter().map(listing).collect()
}

pub(super) async fn count(connection: &mut Connection<'_>) -> Result<u64> {
    let count: Option<i64> = query("SELECT count(*) FROM batches")
        .fetch_value(connection)
        .await
        .map_err(failed(BATCHES))?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

pub(super) async fn items(
    connection: &mut Connection<'_>,
    id: &BatchId,
) -> Result<Vec<BatchItemRow>> {
    let rows = query("SELECT * FROM batch_items WHERE batch_id = $1 ORDER BY number")
        .bind(id.as_bytes().as_slice())
        .fetch_all(connection)
        .await
        .map_err(failed(ITEMS))?;
    rows.iter().map(item_row).collect()
}

pub(super) async fn items_of(
    connection: &mut Connection<'_>,
    device: Option<&DeviceId>,
    serial: Option<&DeviceSerial>,
) -> Result<Vec<BatchItemRow>> {
    let rows = query(
        "SELECT i.* FROM batch_items i JOIN batches b ON b.id = i.batch_id \
         WHERE b.state <> 'closed' \
         AND (i.device_id = $1 OR (i.serial = $2 AND (i.device_id IS NULL OR $1 IS NULL))) \
         ORDER BY i.batch_id, i.number",
    )
    .bind(device.map(DeviceId::as_str))
    .bind(serial.map(DeviceSerial::as_str))
    .fetch_all(connection)
    .await
    .map_err(failed(ITEMS))?;
    rows.iter().map(item_row).collect()
}

pub(super) async fn running(connection: &mut Connection<'_>) -> Result<Vec<BatchItemRow>> {
    let rows = query("SELECT * FROM batch_items WHERE state = 'pairing' ORDER BY batch_id, number")
        .fetch_all(connection)
        .await
        .map_err(failed(ITEMS))?;
    rows.iter().map(item_row).collect()
}

fn batch_row(row: &Row) -> Result<BatchRow> {
    let columns = Columns { table: BATCHES, row };
    Ok(BatchRow {
        id: BatchId::from_bytes(columns.bytes("id")?),
        name: columns.text("name", BatchName::parse)?,
        state: columns.text("state", str::parse)?,
        operator: columns.text("operator", OperatorId::parse)?,
        opened_at: columns.time("opened_at")?,
    })
}

fn listing(row: &Row) -> Result<BatchListing> {
    let columns = Columns { table: BATCHES, row };
    let mut counts = BatchCounts::default();
    for (state, column) in [
        (ItemState::Waiting, "waiting"),
        (ItemState::Pairing, "pairing"),
        (ItemState::Paired, "paired"),
        (ItemState::Failed, "failed"),
        (ItemState::Skipped, "skipped"),
    ] {
        let items: i64 = columns.raw(column)?;
        counts.add(state, u32::try_from(items).map_err(|_| columns.damaged(column))?);
    }
    Ok(BatchListing { row: batch_row(row)?, counts })
}

fn item_row(row: &Row) -> Result<BatchItemRow> {
    let columns = Columns { table: ITEMS, row };
    let whole = |column: &'static str| -> Result<u32> {
        u32::try_from(columns.raw::<i64>(column)?).map_err(|_| columns.damaged(column))
    };
    let bytes = |column: &'static str| -> Result<Option<&[u8]>> { columns.raw(column) };
    let identity = bytes("identity")?
        .map(|key| key.try_into().map(Thumbprint::from_bytes))
        .transpose()
        .map_err(|_| columns.damaged("identity"))?;
    let session = bytes("session")?
        .map(|id| id.try_into().map(SessionId::from_bytes))
        .transpose()
        .map_err(|_| columns.damaged("session"))?;
    let port: Option<i64> = columns.raw("port")?;
    let port = port
        .map(|port| u16::try_from(port).and_then(NonZeroU16::try_from))
        .transpose()
        .map_err(|_| columns.damaged("port"))?;
    let interval: Option<i64> = columns.raw("sync_interval")?;
    let sync_interval = interval
        .map(|seconds| SyncInterval::from_secs(u64::try_from(seconds).unwrap_or(0)))
        .transpose()
        .map_err(|_| columns.damaged("sync_interval"))?;
    let (field, rule): (Option<String>, Option<String>) =
        (columns.raw("field")?, columns.raw("rule")?);
    Ok(BatchItemRow {
        batch: BatchId::from_bytes(columns.bytes("batch_id")?),
        number: whole("number")?,
        device_id: columns.optional("device_id", DeviceId::parse)?,
        serial: columns.optional("serial", DeviceSerial::parse)?,
        identity,
        address: columns.optional("ip_address", DeviceAddress::parse)?,
        port,
        wanted: Wanted {
            bed: columns.optional("bed", BedId::parse)?,
            label: columns.optional("label", DeviceLabel::parse)?,
            unit: columns.optional("unit", MeasurementUnit::parse)?,
            language: columns.optional("language", Language::parse)?,
            sync_interval,
        },
        state: columns.text("state", str::parse)?,
        attempts: whole("attempts")?,
        operator: columns.optional("operator", OperatorId::parse)?,
        session,
        begun_at: columns.optional_time("begun_at")?,
        ended_at: columns.optional_time("ended_at")?,
        error: columns.optional("error", str::parse)?,
        detail: field.zip(rule).map(|(field, rule)| FieldError::owned(field, rule)),
    })
}
