//! Devices, operators, logins.

use core::num::NonZeroU16;

use zmon_domain::address::DeviceAddress;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, OperatorId, Thumbprint,
};
use zmon_domain::settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval};
use zmon_domain::time::UnixTime;
use zmon_station::ports::{
    DeviceRow, DeviceStatus, ImportConflict, ImportConflictKind, LoginRow, OperatorRow, Page,
    Place, Refusal,
};

use super::apply::Stop;
use super::decode::{Columns, failed, number};
use super::enrolment;
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, Row, query};

const DEVICE_BY_ID: &str = "SELECT * FROM devices WHERE id = $1";
const DEVICE_BY_SERIAL: &str = "SELECT * FROM devices WHERE serial = $1";
const DEVICE_BY_IDENTITY: &str = "SELECT * FROM devices WHERE identity = $1";

pub(super) async fn device(
    connection: &mut Connection<'_>,
    id: &DeviceId,
) -> Result<Option<DeviceRow>> {
    let row = query(DEVICE_BY_ID).bind(id.as_str()).fetch_optional(connection).await;
    row.map_err(failed("devices"))?.as_ref().map(device_row).transpose()
}

pub(super) async fn device_by_serial(
    connection: &mut Connection<'_>,
    serial: &DeviceSerial,
) -> Result<Option<DeviceRow>> {
    let row = query(DEVICE_BY_SERIAL).bind(serial.as_str()).fetch_optional(connection).await;
    row.map_err(failed("devices"))?.as_ref().map(device_row).transpose()
}

pub(super) async fn device_by_identity(
    connection: &mut Connection<'_>,
    identity: &Thumbprint,
) -> Result<Option<DeviceRow>> {
    let identity = identity.as_bytes().as_slice();
    let row = query(DEVICE_BY_IDENTITY).bind(identity).fetch_optional(connection).await;
    row.map_err(failed("devices"))?.as_ref().map(device_row).transpose()
}

/// A registry has thousands of rows at most, and this is asked once a pairing: no index.
pub(super) async fn devices_at_bed(
    connection: &mut Connection<'_>,
    bed: &BedId,
) -> Result<Vec<DeviceRow>> {
    let rows = query("SELECT * FROM devices WHERE bed = $1 ORDER BY id")
        .bind(bed.as_str())
        .fetch_all(connection)
        .await
        .map_err(failed("devices"))?;
    rows.iter().map(device_row).collect()
}

pub(super) async fn devices(connection: &mut Connection<'_>, page: Page) -> Result<Vec<DeviceRow>> {
    let rows = query("SELECT * FROM devices ORDER BY id LIMIT $1 OFFSET $2")
        .bind(i64::from(page.limit))
        .bind(number(page.offset))
        .fetch_all(connection)
        .await
        .map_err(failed("devices"))?;
    rows.iter().map(device_row).collect()
}

/// All rows or none; conflicts are collected, so that one import names them all.
pub(super) async fn import(
    connection: &mut Connection<'_>,
    rows: &[DeviceRow],
) -> Result<(), Stop> {
    let mut conflicts = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match clash(connection, row).await? {
            Clash::New => insert_device(connection, row).await?,
            Clash::Same => complete_device(connection, row).await?,
            Clash::With(kind, existing) => conflicts.push(ImportConflict { index, kind, existing }),
        }
    }
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(Stop::Refused(Refusal::DeviceConflicts(conflicts)))
}

/// Another identity key for a device that has exactly `from`.
pub(super) async fn rekey(
    connection: &mut Connection<'_>,
    id: &DeviceId,
    from: &Thumbprint,
    to: &Thumbprint,
) -> Result<(), Stop> {
    if let Some(other) = device_by_identity(connection, to).await?.filter(|row| row.id != *id) {
        let kind = ImportConflictKind::KeyOfOtherDevice;
        let conflict = ImportConflict { index: 0, kind, existing: other.id };
        return Err(Stop::Refused(Refusal::DeviceConflicts(vec![conflict])));
    }
    let moved = query("UPDATE devices SET identity = $3 WHERE id = $1 AND identity = $2")
        .bind(id.as_str())
        .bind(from.as_bytes().as_slice())
        .bind(to.as_bytes().as_slice())
        .execute(connection)
        .await
        .map_err(failed("devices"))?;
    if moved != 1 {
        return Err(Stop::Refused(Refusal::KeyMoved));
    }
    Ok(enrolment::end_unspent(connection, id).await?)
}

pub(super) async fn assign(
    connection: &mut Connection<'_>,
    id: &DeviceId,
    settings: &DeviceSettings,
) -> Result<()> {
    query(
        "UPDATE devices SET bed = $2, label = $3, unit = $4, language = $5, sync_interval = $6 \
         WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(settings.bed.as_ref().map(BedId::as_str))
    .bind(settings.label.as_ref().map(DeviceLabel::as_str))
    .bind(settings.unit.as_str())
    .bind(settings.language.as_str())
    .bind(number(settings.sync_interval.as_secs()))
    .execute(connection)
    .await
    .map_err(failed("devices"))?;
    Ok(())
}

pub(super) async fn place(
    connection: &mut Connection<'_>,
    id: &DeviceId,
    from: &Place,
    to: &Place,
) -> Result<(), Stop> {
    let moved = query(
        "UPDATE devices SET bed = $2, label = $3 \
         WHERE id = $1 AND bed IS NOT DISTINCT FROM $4 AND label IS NOT DISTINCT FROM $5",
    )
    .bind(id.as_str())
    .bind(to.bed.as_ref().map(BedId::as_str))
    .bind(to.label.as_ref().map(DeviceLabel::as_str))
    .bind(from.bed.as_ref().map(BedId::as_str))
    .bind(from.label.as_ref().map(DeviceLabel::as_str))
    .execute(connection)
    .await
    .map_err(failed("devices"))?;
    if moved == 1 { Ok(()) } else { Err(Stop::Refused(Refusal::PlaceMoved)) }
}

pub(super) async fn set_status(
    connection: &mut Connection<'_>,
    id: &DeviceId,
    status: DeviceStatus,
) -> Result<()> {
    query("UPDATE devices SET status = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(status.as_str())
        .execute(connection)
        .await
        .map_err(failed("devices"))?;
    if status == DeviceStatus::Decommissioned {
        enrolment::end_unspent(connection, id).await?;
    }
    Ok(())
}

/// Two requests of a device may be answered at a time: what is kept never moves back (D16).
pub(super) async fn keep_peer_checkpoint(
    connection: &mut Connection<'_>,
    id: &DeviceId,
    checkpoint: &str,
) -> Result<()> {
    let kept = peer_checkpoint(connection, id).await?;
    if kept.is_some_and(|kept| !zmon_protocol::checkpoint::goes_on(checkpoint, &kept)) {
        return Ok(());
    }
    query(
        "INSERT INTO peer_checkpoints (device_id, checkpoint) VALUES ($1, $2) \
         ON CONFLICT (device_id) DO UPDATE SET checkpoint = excluded.checkpoint",
    )
    .bind(id.as_str())
    .bind(checkpoint)
    .execute(connection)
    .await
    .map_err(failed("peer_checkpoints"))?;
    Ok(())
}

/// One conditional statement decides between any number of equal requests (D23).
pub(super) async fn raise_recovery_counter(
    connection: &mut Connection<'_>,
    id: &DeviceId,
    counter: u64,
) -> Result<(), Stop> {
    let raised = query(
        "INSERT INTO recovery_counters (device_id, counter) VALUES ($1, $2) \
         ON CONFLICT (device_id) DO UPDATE SET counter = excluded.counter \
         WHERE excluded.counter > recovery_counters.counter",
    )
    .bind(id.as_str())
    .bind(number(counter))
    .execute(connection)
    .await
    .map_err(failed("recovery_counters"))?;
    if raised == 1 {
        return Ok(());
    }
    let latest = recovery_counter(connection, id).await?;
    Err(Stop::Refused(Refusal::CounterBehind { latest }))
}

pub(super) async fn recovery_counter(
    connection: &mut Connection<'_>,
    id: &DeviceId,
) -> Result<u64> {
    let latest: Option<i64> = query("SELECT counter FROM recovery_counters WHERE device_id = $1")
        .bind(id.as_str())
        .fetch_value(connection)
        .await
        .map_err(failed("recovery_counters"))?;
    Ok(latest.and_then(|latest| u64::try_from(latest).ok()).unwrap_or(0))
}

pub(super) async fn forget_peer_checkpoint(
    connection: &mut Connection<'_>,
    id: &DeviceId,
) -> Result<()> {
    query("DELETE FROM peer_checkpoints WHERE device_id = $1")
        .bind(id.as_str())
        .execute(connection)
        .await
        .map_err(failed("peer_checkpoints"))?;
    Ok(())
}

pub(super) async fn peer_checkpoint(
    connection: &mut Connection<'_>,
    id: &DeviceId,
) -> Result<Option<String>> {
    query("SELECT checkpoint FROM peer_checkpoints WHERE device_id = $1")
        .bind(id.as_str())
        .fetch_value(connection)
        .await
        .map_err(failed("peer_checkpoints"))
}

pub(super) async fn operator(
    connection: &mut Connection<'_>,
    id: &OperatorId,
) -> Result<Option<OperatorRow>> {
    let row = query("SELECT * FROM operators WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed("operators"))?;
    row.as_ref().map(operator_row).transpose()
}

pub(super) async fn operators(connection: &mut Connection<'_>) -> Result<Vec<OperatorRow>> {
    let rows = query("SELECT * FROM operators ORDER BY id")
        .fetch_all(connection)
        .await
        .map_err(failed("operators"))?;
    rows.iter().map(operator_row).collect()
}

pub(super) async fn add_operator(
    connection: &mut Connection<'_>,
    row: &OperatorRow,
) -> Result<(), Stop> {
    let added = query(
        "INSERT INTO operators (id, role, password_hash, disabled, one_time, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id.as_str())
    .bind(row.role.as_str())
    .bind(row.password_hash.as_str())
    .bind(i64::from(row.disabled))
    .bind(i64::from(row.one_time))
    .bind(row.created_at.unix())
    .execute(connection)
    .await
    .map_err(failed("operators"))?;
    if added == 1 { Ok(()) } else { Err(Stop::Refused(Refusal::OperatorExists)) }
}

pub(super) async fn set_password(
    connection: &mut Connection<'_>,
    operator: &OperatorId,
    before: &str,
    after: &str,
    keep: &[u8; 32],
) -> Result<(), Stop> {
    let changed = query(
        "UPDATE operators SET password_hash = $3, one_time = 0 \
         WHERE id = $1 AND password_hash = $2",
    )
    .bind(operator.as_str())
    .bind(before)
    .bind(after)
    .execute(connection)
    .await
    .map_err(failed("operators"))?;
    if changed != 1 {
        return Err(Stop::Refused(Refusal::PasswordStale));
    }
    query("DELETE FROM logins WHERE operator = $1 AND token_hash <> $2")
        .bind(operator.as_str())
        .bind(keep.as_slice())
        .execute(connection)
        .await
        .map_err(failed("logins"))?;
    Ok(())
}

pub(super) async fn login(
    connection: &mut Connection<'_>,
    token_hash: &[u8; 32],
) -> Result<Option<LoginRow>> {
    let row = query("SELECT * FROM logins WHERE token_hash = $1")
        .bind(token_hash.as_slice())
        .fetch_optional(connection)
        .await
        .map_err(failed("logins"))?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns { table: "logins", row: &row };
    Ok(Some(LoginRow {
        token_hash: columns.bytes("token_hash")?,
        operator: columns.text("operator", OperatorId::parse)?,
        role: columns.text("role", str::parse)?,
        expires_at: columns.time("expires_at")?,
    }))
}

pub(super) async fn add_login(connection: &mut Connection<'_>, row: &LoginRow) -> Result<()> {
    query("INSERT INTO logins (token_hash, operator, role, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(row.token_hash.as_slice())
        .bind(row.operator.as_str())
        .bind(row.role.as_str())
        .bind(row.expires_at.unix())
        .execute(connection)
        .await
        .map_err(failed("logins"))?;
    Ok(())
}

pub(super) async fn drop_login(
    connection: &mut Connection<'_>,
    token_hash: &[u8; 32],
) -> Result<()> {
    query("DELETE FROM logins WHERE token_hash = $1")
        .bind(token_hash.as_slice())
        .execute(connection)
        .await
        .map_err(failed("logins"))?;
    Ok(())
}

pub(super) async fn drop_logins_before(
    connection: &mut Connection<'_>,
    at: UnixTime,
) -> Result<()> {
    query("DELETE FROM logins WHERE expires_at < $1")
        .bind(at.unix())
        .execute(connection)
        .await
        .map_err(failed("logins"))?;
    Ok(())
}

/// How a row of an import stands to the registry.
enum Clash {
    New,
    Same,
    With(ImportConflictKind, DeviceId),
}

/// An id or serial number under another key is named first: that is the alarm (D9).
async fn clash(connection: &mut Connection<'_>, row: &DeviceRow) -> Result<Clash> {
    let other_key = |found: &DeviceRow| found.identity != row.identity;
    let by_id = device(connection, &row.id).await?;
    if let Some(found) = by_id.as_ref().filter(|found| other_key(found)) {
        return Ok(Clash::With(ImportConflictKind::IdUnderOtherKey, found.id.clone()));
    }
    let by_serial = device_by_serial(connection, &row.serial).await?;
    if let Some(found) = by_serial.as_ref().filter(|found| other_key(found)) {
        return Ok(Clash::With(ImportConflictKind::SerialUnderOtherKey, found.id.clone()));
    }
    let Some(found) = device_by_identity(connection, &row.identity).await? else {
        return Ok(Clash::New);
    };
    Ok(match (found.id == row.id, found.serial == row.serial) {
        (true, true) => Clash::Same,
        (false, false) => Clash::With(ImportConflictKind::KeyOfOtherDevice, found.id),
        _ => Clash::With(ImportConflictKind::IdSerialMismatch, found.id),
    })
}

async fn insert_device(connection: &mut Connection<'_>, row: &DeviceRow) -> Result<()> {
    query(
        "INSERT INTO devices (id, serial, identity, status, bed, label, unit, language, \
         sync_interval, registered_at, ip_address, port, model) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(row.id.as_str())
    .bind(row.serial.as_str())
    .bind(row.identity.as_bytes().as_slice())
    .bind(row.status.as_str())
    .bind(row.bed.as_ref().map(BedId::as_str))
    .bind(row.label.as_ref().map(DeviceLabel::as_str))
    .bind(row.unit.map(MeasurementUnit::as_str))
    .bind(row.language.as_ref().map(Language::as_str))
    .bind(row.sync_interval.map(|interval| number(interval.as_secs())))
    .bind(row.registered_at.unix())
    .bind(row.address.map(|address| address.to_string()))
    .bind(row.port.map(|port| i64::from(port.get())))
    .bind(row.model.as_ref().map(DeviceModel::as_str))
    .execute(connection)
    .await
    .map_err(failed("devices"))?;
    Ok(())
}

/// Takes over what the new row knows; what it does not know stays.
async fn complete_device(connection: &mut Connection<'_>, row: &DeviceRow) -> Result<()> {
    query(
        "UPDATE devices SET bed = coalesce($2, bed), label = coalesce($3, label), \
         unit = coalesce($4, unit), language = coalesce($5, language), \
         sync_interval = coalesce($6, sync_interval), ip_address = coalesce($7, ip_address), \
         port = coalesce($8, port), model = coalesce($9, model) WHERE id = $1",
    )
    .bind(row.id.as_str())
    .bind(row.bed.as_ref().map(BedId::as_str))
    .bind(row.label.as_ref().map(DeviceLabel::as_str))
    .bind(row.unit.map(MeasurementUnit::as_str))
    .bind(row.language.as_ref().map(Language::as_str))
    .bind(row.sync_interval.map(|interval| number(interval.as_secs())))
    .bind(row.address.map(|address| address.to_string()))
    .bind(row.port.map(|port| i64::from(port.get())))
    .bind(row.model.as_ref().map(DeviceModel::as_str))
    .execute(connection)
    .await
    .map_err(failed("devices"))?;
    Ok(())
}

fn device_row(row: &Row) -> Result<DeviceRow> {
    let columns = Columns { table: "devices", row };
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
    Ok(DeviceRow {
        id: columns.text("id", DeviceId::parse)?,
        serial: columns.text("serial", DeviceSerial::parse)?,
        identity: Thumbprint::from_bytes(columns.bytes("identity")?),
        status: columns.word("status", DeviceStatus::parse)?,
        model: columns.optional("model", DeviceModel::parse)?,
        address: columns.optional("ip_address", DeviceAddress::parse)?,
        port,
        bed: columns.optional("bed", BedId::parse)?,
        label: columns.optional("label", DeviceLabel::parse)?,
        unit: columns.optional("unit", MeasurementUnit::parse)?,
        language: columns.optional("language", Language::parse)?,
        sync_interval,
        registered_at: columns.time("registered_at")?,
    })
}

fn operator_row(row: &Row) -> Result<OperatorRow, PersistenceError> {
    let columns = Columns { table: "operators", row };
    Ok(OperatorRow {
        id: columns.text("id", OperatorId::parse)?,
        role: columns.text("role", str::parse)?,
        password_hash: columns.raw("password_hash")?,
        disabled: columns.flag("disabled")?,
        one_time: columns.flag("one_time")?,
        created_at: columns.time("created_at")?,
    })
}
