//! The settings table and the SettingsManager over it.

use sqlx::{Row, SqliteConnection};
use zmon_domain::error::FieldError;
use zmon_domain::ids::{BedId, DeviceLabel};
use zmon_domain::settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval};

use super::bytes::{put, put_option};
use crate::error::{PersistenceError, Result};

/// The settings of slot A; `None` before the first configuration.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Option<DeviceSettings>> {
    let row = sqlx::query(
        "SELECT device_label, bed_id, measurement_unit, language, sync_interval \
         FROM settings WHERE id = 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(unreadable)?;
    let Some(row) = row else { return Ok(None) };
    let label: Option<&str> = row.try_get("device_label").map_err(unreadable)?;
    let bed: Option<&str> = row.try_get("bed_id").map_err(unreadable)?;
    let unit: &str = row.try_get("measurement_unit").map_err(unreadable)?;
    let language: &str = row.try_get("language").map_err(unreadable)?;
    let seconds: i64 = row.try_get("sync_interval").map_err(unreadable)?;
    Ok(Some(DeviceSettings {
        label: label.map(DeviceLabel::parse).transpose().map_err(damaged)?,
        bed: bed.map(BedId::parse).transpose().map_err(damaged)?,
        unit: MeasurementUnit::parse(unit).map_err(damaged)?,
        language: Language::parse(language).map_err(damaged)?,
        sync_interval: SyncInterval::from_secs(u64::try_from(seconds).unwrap_or(0))
            .map_err(damaged)?,
    }))
}

/// Replaces the settings; `None` removes them.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    settings: Option<&DeviceSettings>,
) -> Result<()> {
    sqlx::query("DELETE FROM settings").execute(&mut *connection).await.map_err(unwritable)?;
    let Some(settings) = settings else { return Ok(()) };
    sqlx::query(
        "INSERT INTO settings (id, device_label, bed_id, measurement_unit, language, \
         sync_interval) VALUES (1, $1, $2, $3, $4, $5)",
    )
    .bind(settings.label.as_ref().map(|label| label.as_str().to_owned()))
    .bind(settings.bed.as_ref().map(|bed| bed.as_str().to_owned()))
    .bind(settings.unit.as_str())
    .bind(settings.language.as_str().to_owned())
    .bind(i64::try_from(settings.sync_interval.as_secs()).unwrap_or(i64::MAX))
    .execute(connection)
    .await
    .map_err(unwritable)?;
    Ok(())
}

/// What the state's authenticator covers.
pub(super) fn bytes(settings: &DeviceSettings) -> Vec<u8> {
    let mut out = Vec::new();
    put_option(&mut out, settings.label.as_ref().map(|label| label.as_str().as_bytes()));
    put_option(&mut out, settings.bed.as_ref().map(|bed| bed.as_str().as_bytes()));
    put(&mut out, settings.unit.as_str().as_bytes());
    put(&mut out, settings.language.as_str().as_bytes());
    out.extend_from_slice(&settings.sync_interval.as_secs().to_be_bytes());
    out
}

fn damaged(error: FieldError) -> PersistenceError {
    PersistenceError::corrupt(format!("settings: {error}"))
}

fn unreadable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the settings cannot be read", error)
}

fn unwritable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the settings cannot be written", error)
}
