//! Certificates and revocation lists (D13, D17).

use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::time::UnixTime;
use zmon_protocol::station::CertificateState;
use zmon_station::ports::{
    CertificateListing, CertificateRow, CrlRow, DeviceStatus, Page, Refusal, RevocationReason,
    RevocationRow,
};

use super::apply::Stop;
use super::decode::{Columns, failed, number};
use super::{enrolment, registry};
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, Row, query};

const INSERT: &str = "INSERT INTO certificates (serial, session, device_id, identity_key, \
     config_version, state, der, not_before, not_after, issued_at, committed_at, revoked_at, reason) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (session) DO NOTHING";

/// `committed_at` is set once and kept for ever; the state is the condition (D13).
const MOVE: &str = "UPDATE certificates SET state = $3, \
     committed_at = CASE WHEN $3 = 'current' THEN coalesce(committed_at, $4) ELSE committed_at END, \
     revoked_at = CASE WHEN $3 = 'revoked' THEN $4 END, \
     reason = CASE WHEN $3 = 'revoked' THEN $5 END \
     WHERE serial = $1 AND state = $2";

const OTHER_CURRENT: &str = "SELECT serial FROM certificates WHERE state = 'current' \
     AND serial <> $1 AND device_id = (SELECT device_id FROM certificates WHERE serial = $1)";

/// The newest number of a revocation list, or the one below which a database that was set back gives none out.
const CRL_NUMBER: &str = "SELECT max(number) FROM (SELECT max(number) AS number FROM crls \
     UNION ALL SELECT max(crl_floor) FROM set_backs) AS numbers";

/// The same of a device's configurations.
const CONFIG_VERSION: &str = "SELECT max(version) FROM ( \
     SELECT max(config_version) AS version FROM certificates WHERE device_id = $1 \
     UNION ALL SELECT max(config_floor) FROM set_backs) AS versions";

pub(super) async fn insert(
    connection: &mut Connection<'_>,
    row: &CertificateRow,
) -> Result<(), Stop> {
    let device = registry::device(connection, &row.device_id).await?;
    if device.is_some_and(|device| device.status == DeviceStatus::Decommissioned) {
        return Err(Stop::Refused(Refusal::DeviceDecommissioned));
    }
    let inserted = query(INSERT)
        .bind(row.serial.as_bytes())
        .bind(row.session.as_bytes().as_slice())
        .bind(row.device_id.as_str())
        .bind(row.identity_key.as_slice())
        .bind(number(row.config_version))
        .bind(row.state.as_str())
        .bind(row.der.as_slice())
        .bind(row.not_before.unix())
        .bind(row.not_after.unix())
        .bind(row.issued_at.unix())
        .bind(row.committed_at.map(UnixTime::unix))
        .bind(row.revoked.map(|(at, _)| at.unix()))
        .bind(row.revoked.map(|(_, reason)| reason.as_str()))
        .execute(connection)
        .await
        .map_err(failed("certificates"))?;
    if inserted == 1 {
        return Ok(());
    }
    match by_session(connection, &row.session).await? {
        Some(existing) => Err(Stop::Refused(Refusal::CertificateExists(Box::new(existing)))),
        None => Err(PersistenceError::corrupt("certificates: a session has no row").into()),
    }
}

/// Moves a certificate from exactly `from`.
pub(super) async fn transition(
    connection: &mut Connection<'_>,
    serial: &Serial,
    from: CertificateState,
    to: CertificateState,
    at: UnixTime,
    reason: Option<RevocationReason>,
) -> Result<(), Stop> {
    if to == CertificateState::Current
        && let Some(other) = other_current(connection, serial).await?
        && state(connection, serial).await? == Some(from)
    {
        return Err(Stop::Refused(Refusal::OtherCurrent(other)));
    }
    let moved = query(MOVE)
        .bind(serial.as_bytes())
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(at.unix())
        .bind(reason.map(RevocationReason::as_str))
        .execute(connection)
        .await
        .map_err(failed("certificates"))?;
    if moved == 1 {
        if reason.is_some_and(RevocationReason::ends_enrolment) {
            enrolment::end_unspent_of_holder(connection, serial).await?;
        }
        return Ok(());
    }
    let state = state(connection, serial).await?;
    Err(Stop::Refused(Refusal::CertificateState { serial: *serial, state }))
}

/// Pending → revoked (aborted); nothing when it is revoked already; refused once it was committed.
pub(super) async fn abort_pending(
    connection: &mut Connection<'_>,
    serial: &Serial,
    at: UnixTime,
) -> Result<(), Stop> {
    let (pending, revoked) = (CertificateState::Pending, CertificateState::Revoked);
    let reason = Some(RevocationReason::Aborted);
    match transition(connection, serial, pending, revoked, at, reason).await {
        Err(Stop::Refused(Refusal::CertificateState { state, .. })) if state == Some(revoked) => {
            Ok(())
        }
        other => other,
    }
}

pub(super) async fn by_serial(
    connection: &mut Connection<'_>,
    serial: &Serial,
) -> Result<Option<CertificateRow>> {
    let row = query("SELECT * FROM certificates WHERE serial = $1")
        .bind(serial.as_bytes())
        .fetch_optional(connection)
        .await
        .map_err(failed("certificates"))?;
    row.as_ref().map(certificate_row).transpose()
}

pub(super) async fn by_session(
    connection: &mut Connection<'_>,
    session: &SessionId,
) -> Result<Option<CertificateRow>> {
    let row = query("SELECT * FROM certificates WHERE session = $1")
        .bind(session.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(failed("certificates"))?;
    row.as_ref().map(certificate_row).transpose()
}

pub(super) async fn of_device(
    connection: &mut Connection<'_>,
    device: &DeviceId,
    state: CertificateState,
) -> Result<Vec<CertificateRow>> {
    let rows = query(
        "SELECT * FROM certificates WHERE device_id = $1 AND state = $2 \
         ORDER BY issued_at, serial",
    )
    .bind(device.as_str())
    .bind(state.as_str())
    .fetch_all(connection)
    .await
    .map_err(failed("certificates"))?;
    rows.iter().map(certificate_row).collect()
}

/// Only revoked ones have `revoked_at`.
pub(super) async fn in_state(
    connection: &mut Connection<'_>,
    state: CertificateState,
    page: Page,
) -> Result<Vec<CertificateListing>> {
    let rows = query(
        "SELECT serial, session, device_id, state, not_before, not_after, issued_at, revoked_at, \
         reason FROM certificates WHERE state = $1 \
         ORDER BY revoked_at DESC, not_after, serial LIMIT $2 OFFSET $3",
    )
    .bind(state.as_str())
    .bind(i64::from(page.limit))
    .bind(number(page.offset))
    .fetch_all(connection)
    .await
    .map_err(failed("certificates"))?;
    rows.iter().map(listing).collect()
}

pub(super) async fn count(connection: &mut Connection<'_>, state: CertificateState) -> Result<u64> {
    let count: Option<i64> = query("SELECT count(*) FROM certificates WHERE state = $1")
        .bind(state.as_str())
        .fetch_value(connection)
        .await
        .map_err(failed("certificates"))?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

pub(super) async fn config_version(
    connection: &mut Connection<'_>,
    device: &DeviceId,
) -> Result<u64> {
    let version: Option<i64> = query(CONFIG_VERSION)
        .bind(device.as_str())
        .fetch_value(connection)
        .await
        .map_err(failed("certificates"))?;
    Ok(version.and_then(|version| u64::try_from(version).ok()).unwrap_or(0))
}

pub(super) async fn pending_since(
    connection: &mut Connection<'_>,
    issued_at: UnixTime,
) -> Result<Vec<CertificateRow>> {
    let rows = query(
        "SELECT * FROM certificates WHERE state = 'pending' AND issued_at <= $1 \
         ORDER BY issued_at, serial",
    )
    .bind(issued_at.unix())
    .fetch_all(connection)
    .await
    .map_err(failed("certificates"))?;
    rows.iter().map(certificate_row).collect()
}

/// Revoked certificates that have not expired at `at`, by number.
pub(super) async fn revocations(
    connection: &mut Connection<'_>,
    at: UnixTime,
) -> Result<Vec<RevocationRow>> {
    let rows = query(
        "SELECT serial, revoked_at, reason FROM certificates \
         WHERE state = 'revoked' AND not_after >= $1 ORDER BY length(serial), serial",
    )
    .bind(at.unix())
    .fetch_all(connection)
    .await
    .map_err(failed("certificates"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns { table: "certificates", row };
            Ok(RevocationRow {
                serial: serial(columns)?,
                revoked_at: columns.time("revoked_at")?,
                reason: columns.word("reason", RevocationReason::parse)?,
            })
        })
        .collect()
}

pub(super) async fn crl_number(connection: &mut Connection<'_>) -> Result<u64> {
    let number: Option<i64> =
        query(CRL_NUMBER).fetch_value(connection).await.map_err(failed("crls"))?;
    Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
}

pub(super) async fn latest_crl(connection: &mut Connection<'_>) -> Result<Option<CrlRow>> {
    let row = query("SELECT * FROM crls ORDER BY number DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .map_err(failed("crls"))?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns { table: "crls", row: &row };
    let number: i64 = columns.raw("number")?;
    Ok(Some(CrlRow {
        number: u64::try_from(number).map_err(|_| columns.damaged("number"))?,
        this_update: columns.time("this_update")?,
        next_update: columns.time("next_update")?,
        der: columns.raw("der")?,
    }))
}

/// Numbers rise (RFC 5280 §5.2.3), by one unless the database was set back.
pub(super) async fn publish_crl(connection: &mut Connection<'_>, row: &CrlRow) -> Result<(), Stop> {
    let latest = crl_number(connection).await?;
    if latest.checked_add(1) != Some(row.number) {
        return Err(Stop::Refused(Refusal::CrlBehind { latest }));
    }
    query("INSERT INTO crls (number, this_update, next_update, der) VALUES ($1, $2, $3, $4)")
        .bind(number(row.number))
        .bind(row.this_update.unix())
        .bind(row.next_update.unix())
        .bind(row.der.as_slice())
        .execute(connection)
        .await
        .map_err(failed("crls"))?;
    Ok(())
}

async fn state(
    connection: &mut Connection<'_>,
    serial: &Serial,
) -> Result<Option<CertificateState>> {
    Ok(by_serial(connection, serial).await?.map(|row| row.state))
}

async fn other_current(connection: &mut Connection<'_>, serial: &Serial) -> Result<Option<Serial>> {
    let row = query(OTHER_CURRENT)
        .bind(serial.as_bytes())
        .fetch_optional(connection)
        .await
        .map_err(failed("certificates"))?;
    row.as_ref().map(|row| self::serial(Columns { table: "certificates", row })).transpose()
}

fn serial(columns: Columns<'_>) -> Result<Serial> {
    Serial::from_bytes(columns.raw("serial")?).map_err(|_| columns.damaged("serial"))
}

fn listing(row: &Row) -> Result<CertificateListing> {
    let columns = Columns { table: "certificates", row };
    Ok(CertificateListing {
        serial: serial(columns)?,
        session: SessionId::from_bytes(columns.bytes("session")?),
        device_id: columns.text("device_id", DeviceId::parse)?,
        state: columns.word("state", CertificateState::parse)?,
        not_before: columns.time("not_before")?,
        not_after: columns.time("not_after")?,
        issued_at: columns.time("issued_at")?,
        revoked: revoked(columns)?,
    })
}

fn revoked(columns: Columns<'_>) -> Result<Option<(UnixTime, RevocationReason)>> {
    Ok(match columns.optional_time("revoked_at")? {
        None => None,
        Some(at) => Some((at, columns.word("reason", RevocationReason::parse)?)),
    })
}

fn certificate_row(row: &Row) -> Result<CertificateRow> {
    let columns = Columns { table: "certificates", row };
    let version: i64 = columns.raw("config_version")?;
    Ok(CertificateRow {
        serial: serial(columns)?,
        session: SessionId::from_bytes(columns.bytes("session")?),
        device_id: columns.text("device_id", DeviceId::parse)?,
        identity_key: columns.raw("identity_key")?,
        config_version: u64::try_from(version).map_err(|_| columns.damaged("config_version"))?,
        state: columns.word("state", CertificateState::parse)?,
        der: columns.raw("der")?,
        not_before: columns.time("not_before")?,
        not_after: columns.time("not_after")?,
        issued_at: columns.time("issued_at")?,
        committed_at: columns.optional_time("committed_at")?,
        revoked: revoked(columns)?,
    })
}
