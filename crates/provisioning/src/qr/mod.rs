//! What a tablet scans: [`QrCodeData`] and its drawings.

mod mask;
mod symbol;

use core::fmt;

use zeroize::Zeroizing;
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{DeviceId, DeviceSerial};
use zmon_domain::time::{UnixTime, is_expired, seconds_until};

use symbol::Symbol;

pub use symbol::QrError;

/// QR content and image ([I §3.1]): a secret as long as the window is open, so nothing prints it
/// and its copies are wiped on drop.
#[derive(Clone)]
pub struct QrCodeData {
    device_id: DeviceId,
    serial_number: DeviceSerial,
    ip_address: DeviceAddress,
    pairing_code: PairingCode,
    timestamp: UnixTime,
    expires_at: UnixTime,
    qr_code_image: Zeroizing<Vec<u8>>,
    qr_code_content: Zeroizing<String>,
}

/// The members of [`QrCodeData`] other than the image, which is drawn from `content`.
pub struct QrParts {
    /// The device that is to be paired.
    pub device_id: DeviceId,
    /// Its serial number.
    pub serial_number: DeviceSerial,
    /// Where it listens.
    pub ip_address: DeviceAddress,
    /// The code on the screen.
    pub pairing_code: PairingCode,
    /// When the code was made.
    pub timestamp: UnixTime,
    /// When it dies.
    pub expires_at: UnixTime,
    /// The seven-key JSON of [W §3].
    pub content: Zeroizing<String>,
}

impl QrCodeData {
    /// Draws `parts.content` as a symbol of level H (D15).
    ///
    /// # Errors
    ///
    /// [`QrError`] if the content does not fit.
    pub fn draw(parts: QrParts) -> Result<Self, QrError> {
        let image = Symbol::encode(parts.content.as_bytes())?.png()?;
        Ok(Self {
            device_id: parts.device_id,
            serial_number: parts.serial_number,
            ip_address: parts.ip_address,
            pairing_code: parts.pairing_code,
            timestamp: parts.timestamp,
            expires_at: parts.expires_at,
            qr_code_image: image,
            qr_code_content: parts.content,
        })
    }

    /// Device unique identifier.
    #[must_use]
    pub fn device_id(&self) -> &DeviceId {
        &self.device_id
    }

    /// Device serial number.
    #[must_use]
    pub fn serial_number(&self) -> &DeviceSerial {
        &self.serial_number
    }

    /// Device IP address.
    #[must_use]
    pub fn ip_address(&self) -> &DeviceAddress {
        &self.ip_address
    }

    /// The pairing code, to be read aloud or typed.
    #[must_use]
    pub fn pairing_code(&self) -> &PairingCode {
        &self.pairing_code
    }

    /// Generation time of the code (redrawing the image every 30 s does not change it, D10).
    #[must_use]
    pub fn timestamp(&self) -> UnixTime {
        self.timestamp
    }

    /// Expiry time: `timestamp` and the window's length, 10 minutes by default.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// The image as PNG bytes: 300×300 pixels, level H ([I §8]).
    #[must_use]
    pub fn qr_code_image(&self) -> &[u8] {
        &self.qr_code_image
    }

    /// The JSON in the image, byte for byte.
    #[must_use]
    pub fn qr_code_content(&self) -> &str {
        &self.qr_code_content
    }

    /// Whether `now` is past the expiry time; the exact instant is still inside.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        is_expired(now, self.expires_at)
    }

    /// Whole seconds from `now` to the expiry time, never below 0.
    #[must_use]
    pub fn seconds_until_expiry(&self, now: UnixTime) -> u64 {
        seconds_until(now, self.expires_at)
    }

    /// The symbol as SVG, one unit per module.
    ///
    /// # Errors
    ///
    /// [`QrError`] as when it was drawn.
    pub fn svg(&self) -> Result<Zeroizing<String>, QrError> {
        Ok(Symbol::encode(self.qr_code_content.as_bytes())?.svg())
    }

    /// The symbol as text of half blocks, for a dark terminal.
    ///
    /// # Errors
    ///
    /// [`QrError`] as when it was drawn.
    pub fn terminal(&self) -> Result<Zeroizing<String>, QrError> {
        Ok(Symbol::encode(self.qr_code_content.as_bytes())?.terminal())
    }
}

impl fmt::Debug for QrCodeData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QrCodeData")
            .field("device_id", &self.device_id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
