//! Credentials for one enrolment by EST (RFC 7030).

use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::time::UnixTime;
use zmon_station::ports::{EnrolmentCredentialRow, Refusal};

use super::apply::Stop;
use super::decode::{Columns, failed};
use crate::error::Result;
use crate::sql::{Connection, query};

const TABLE: &str = "enrolment_credentials";

/// One credential a device: a new one takes the place of the old one.
const PERMIT: &str = "INSERT INTO enrolment_credentials (device_id, hash, expires_at, spent_by) \
     VALUES ($1, $2, $3, NULL) ON CONFLICT (device_id) DO UPDATE SET hash = excluded.hash, \
     expires_at = excluded.expires_at, spent_by = NULL";

/// One conditional update decides between any number of users.
const SPEND: &str = "UPDATE enrolment_credentials SET spent_by = $3 \
     WHERE device_id = $1 AND hash = $2 AND expires_at >= $4 AND spent_by IS NULL";

/// What was given out before nobody trusted the device any more opens nothing after it.
const END_UNSPENT: &str =
    "DELETE FROM enrolment_credentials WHERE device_id = $1 AND spent_by IS NULL";
const END_UNSPENT_OF_HOLDER: &str = "DELETE FROM enrolment_credentials WHERE spent_by IS NULL \
     AND device_id = (SELECT device_id FROM certificates WHERE serial = $1)";

pub(super) async fn permit(
    connection: &mut Connection<'_>,
    row: &EnrolmentCredentialRow,
) -> Result<()> {
    query(PERMIT)
        .bind(row.device_id.as_str())
        .bind(row.hash.as_slice())
        .bind(row.expires_at.unix())
        .execute(connection)
        .await
        .map_err(failed(TABLE))?;
    Ok(())
}

pub(super) async fn spend(
    connection: &mut Connection<'_>,
    device: &DeviceId,
    hash: &[u8; 32],
    session: &SessionId,
    at: UnixTime,
) -> Result<(), Stop> {
    let spent = query(SPEND)
        .bind(device.as_str())
        .bind(hash.as_slice())
        .bind(session.as_bytes().as_slice())
        .bind(at.unix())
        .execute(connection)
        .await
        .map_err(failed(TABLE))?;
    if spent == 1 { Ok(()) } else { Err(Stop::Refused(Refusal::CredentialSpent)) }
}

/// Ends the credential that a device has not spent.
pub(super) async fn end_unspent(connection: &mut Connection<'_>, device: &DeviceId) -> Result<()> {
    query(END_UNSPENT).bind(device.as_str()).execute(connection).await.map_err(failed(TABLE))?;
    Ok(())
}

/// The same for the device that a certificate was issued to.
pub(super) async fn end_unspent_of_holder(
    connection: &mut Connection<'_>,
    serial: &Serial,
) -> Result<()> {
    query(END_UNSPENT_OF_HOLDER)
        .bind(serial.as_bytes())
        .execute(connection)
        .await
        .map_err(failed(TABLE))?;
    Ok(())
}

pub(super) async fn credential(
    connection: &mut Connection<'_>,
    device: &DeviceId,
) -> Result<Option<EnrolmentCredentialRow>> {
    let row = query("SELECT * FROM enrolment_credentials WHERE device_id = $1")
        .bind(device.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed(TABLE))?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns { table: TABLE, row: &row };
    let spent_by: Option<&[u8]> = columns.raw("spent_by")?;
    let spent_by = spent_by
        .map(|bytes| bytes.try_into().map(SessionId::from_bytes))
        .transpose()
        .map_err(|_| columns.damaged("spent_by"))?;
    Ok(Some(EnrolmentCredentialRow {
        device_id: columns.text("device_id", DeviceId::parse)?,
        hash: columns.bytes("hash")?,
        expires_at: columns.time("expires_at")?,
        spent_by,
    }))
}
