//! The registry's manifest: who may be paired (D9). A JSON array, or one JSON object a line.

use alloc::{format, vec::Vec};
use core::num::NonZeroU16;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zmon_domain::{
    address::DeviceAddress,
    ids::{BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, Thumbprint},
    limits,
    settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval},
};

use crate::{
    strict::{self, WireError, WireErrorKind},
    text,
};

/// One device that the station shall know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestRow {
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its serial number.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// The full thumbprint of its identity key, in hexadecimal.
    #[serde(with = "text")]
    pub identity_key: Thumbprint,
    /// What kind of device it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub model: Option<DeviceModel>,
    /// Where it listens for a typed code, as a fixed address.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub ip_address: Option<DeviceAddress>,
    /// The port of its listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Its bed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// Its units.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub measurement_unit: Option<MeasurementUnit>,
    /// Its language.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub language: Option<Language>,
    /// Its heartbeat interval, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::sync_interval_option")]
    pub sync_interval: Option<SyncInterval>,
}

impl ManifestRow {
    /// A row with the three members that every device needs.
    #[must_use]
    pub const fn new(id: DeviceId, serial: DeviceSerial, identity_key: Thumbprint) -> Self {
        Self {
            device_id: id,
            device_serial: serial,
            identity_key,
            model: None,
            ip_address: None,
            port: None,
            bed_id: None,
            device_label: None,
            measurement_unit: None,
            language: None,
            sync_interval: None,
        }
    }

    /// The settings of the row, with defaults where it has none.
    #[must_use]
    pub fn settings(&self) -> DeviceSettings {
        DeviceSettings {
            label: self.device_label.clone(),
            bed: self.bed_id.clone(),
            unit: self.measurement_unit.unwrap_or_default(),
            language: self.language.unwrap_or_default(),
            sync_interval: self.sync_interval.unwrap_or_default(),
        }
    }
}

/// Reads a whole manifest, in either form. Nothing is taken from one with a wrong row.
///
/// # Errors
/// A [`WireError`] whose field names the row, `row 3.deviceId` for the third line or element, or the
/// manifest.
pub fn parse(bytes: &[u8]) -> Result<Vec<ManifestRow>, WireError> {
    Ok(parse_numbered(bytes)?.into_iter().map(|(_, row)| row).collect())
}

/// As [`parse`], each row with its number as its author counts: the line or the element, from 1.
///
/// # Errors
/// As [`parse`].
pub fn parse_numbered(bytes: &[u8]) -> Result<Vec<(usize, ManifestRow)>, WireError> {
    let rows = parse_each(bytes)?;
    rows.into_iter().map(|(number, row)| row.map(|row| (number, row))).collect()
}

/// A row, or what is wrong with it, and its number.
pub(crate) type Numbered<T> = (usize, Result<T, WireError>);

/// Reads a manifest in either form, each row by itself, with its number.
///
/// # Errors
/// A [`WireError`] about the manifest as a whole; that of a row names it and stands in its place.
pub(crate) fn parse_each<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<Numbered<T>>, WireError> {
    let max = limits::MANIFEST_BYTES.default;
    if bytes.len() > max {
        return Err(too_large(format!("must be at most {max} bytes long")));
    }
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    let rows: Vec<Numbered<T>> = if first == Some(&b'[') {
        (1..).zip(strict::parse_each(bytes, max).map_err(WireError::of_row)?).collect()
    } else {
        parse_lines(bytes)
    };
    let most = limits::MANIFEST_ROWS.default;
    if rows.len() > most {
        return Err(too_large(format!("must have at most {most} rows")));
    }
    let named =
        |(number, row): Numbered<T>| (number, row.map_err(|error| error.within_row(number)));
    Ok(rows.into_iter().map(named).collect())
}

/// Writes a manifest as one JSON object a line.
///
/// # Errors
/// Never for rows of this type; see [`strict::to_vec`].
pub fn to_lines(rows: &[ManifestRow]) -> Result<Vec<u8>, WireError> {
    let mut lines = Vec::new();
    for row in rows {
        lines.extend(strict::to_vec(row)?);
        lines.push(b'\n');
    }
    Ok(lines)
}

fn parse_lines<T: DeserializeOwned>(bytes: &[u8]) -> Vec<Numbered<T>> {
    let lines = (1..).zip(bytes.split(|b| *b == b'\n'));
    lines
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .map(|(number, line)| (number, strict::parse(line, limits::BODY_MAX.default)))
        .collect()
}

fn too_large(rule: alloc::string::String) -> WireError {
    WireError::new(WireErrorKind::TooLarge, rule).within("manifest")
}
