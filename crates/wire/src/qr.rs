//! The content of the QR code: exactly the seven members of [W §3], in its order (D15).

use alloc::string::String;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use zmon_domain::{
    address::DeviceAddress,
    ids::{DeviceId, DeviceSerial, FirmwareVersion},
    limits,
    time::UnixTime,
};

use crate::{
    secret::SecretText,
    strict::{self, WireError},
    text,
};

/// What the QR code says. It holds the pairing code and token: treat it as a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QrContent {
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its serial number.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// Where a station reaches it; the port is inside the token (D3).
    #[serde(with = "text")]
    pub ip_address: DeviceAddress,
    /// The pairing code as people read it.
    #[serde(deserialize_with = "crate::secret::code")]
    pub pairing_code: SecretText,
    /// The pairing token in base64url.
    #[serde(deserialize_with = "crate::secret::token")]
    pub pairing_token: SecretText,
    /// When the pairing code expires.
    #[serde(with = "text")]
    pub expires_at: UnixTime,
    /// The device's firmware.
    #[serde(with = "text")]
    pub firmware_version: FirmwareVersion,
}

impl QrContent {
    /// The JSON text, byte for byte what the image encodes.
    ///
    /// # Errors
    /// A [`WireError`] when it is longer than the largest QR code at level H holds.
    pub fn to_json(&self) -> Result<Zeroizing<String>, WireError> {
        let mut bytes = strict::to_secret(self, limits::QR_CONTENT_MAX.max)?;
        let fits = bytes.len() <= limits::QR_CONTENT_MAX.max;
        // serde_json writes UTF-8 only.
        let text = String::from_utf8(core::mem::take(&mut *bytes)).map(Zeroizing::new);
        text.ok().filter(|_| fits).ok_or_else(|| {
            limits::QR_CONTENT_MAX
                .check(usize::MAX)
                .err()
                .map_or_else(WireError::unwritable, Into::into)
        })
    }

    /// Reads what a scanner delivered.
    ///
    /// # Errors
    /// A [`WireError`] naming the member and the rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        strict::parse(bytes, limits::QR_CONTENT_MAX.max)
    }
}
