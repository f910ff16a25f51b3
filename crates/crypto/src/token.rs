//! The pairing token that the QR code carries (D3).
//!
//! ```text
//! token = version(1) ‖ port(2) ‖ nonce(16) ‖ thumbprint(16) ‖ mac(16)            51 bytes
//! mac   = left 16 of HMAC-SHA256(Expand(root, "zp1 token", 32),
//!           windowId ‖ token[0..35] ‖ L(deviceId) ‖ L(serial) ‖ L(ipAddress) ‖ L(code) ‖ L(expiresAt))
//! ```

use alloc::string::{String, ToString};
use core::fmt;
use core::num::NonZeroU16;

use base64ct::{Base64UrlUnpadded, Encoding};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, TokenId, WindowId};
use zmon_domain::time::UnixTime;

use crate::hash::{length_prefix, sha256_parts};
use crate::kdf;
use crate::labels;
use crate::root::TokenKey;

/// The only version of the token's layout.
pub const VERSION: u8 = 1;

/// Why bytes are no pairing token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not 68 characters of unpadded base64url in canonical form.
    #[error("the token is not 68 characters of base64url")]
    Encoding,
    /// Not 51 bytes.
    #[error("the token is not 51 bytes long")]
    Length,
    /// A version this build does not know.
    #[error("the token has an unknown version")]
    Version,
    /// Port 0.
    #[error("the token names port 0")]
    Port,
    /// The MAC does not belong to these inputs.
    #[error("the token was not made for these values")]
    Mac,
}

impl TokenError {
    /// The error code for screens and the audit log.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Encoding | Self::Length | Self::Version | Self::Port => {
                ErrorCode::PairingTokenMalformed
            }
            Self::Mac => ErrorCode::PairingTokenInvalid,
        }
    }
}

/// What a token is made from. Everything but the nonce is on the screen or in the QR code.
#[derive(Debug, Clone, Copy)]
pub struct TokenInputs<'a> {
    /// The window the token belongs to.
    pub window_id: &'a WindowId,
    /// TCP port of the device's provisioning listener; 0 is refused.
    pub port: u16,
    /// 16 random bytes, fresh at every rotation.
    pub nonce: &'a [u8; 16],
    /// Left half of SHA-256 of the identity key's SPKI.
    pub thumbprint16: &'a [u8; 16],
    /// The device's id.
    pub device_id: &'a DeviceId,
    /// The device's serial number.
    pub serial: &'a DeviceSerial,
    /// The address shown in the QR code.
    pub ip: &'a DeviceAddress,
    /// The pairing code shown beside the QR code; its display form enters the MAC.
    pub code: &'a PairingCode,
    /// The deadline shown in the QR code; its RFC 3339 text enters the MAC.
    pub expires_at: UnixTime,
}

/// A pairing token. Secret until it is spent, so it has no readable `Debug` and is wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PairingToken([u8; Self::LEN]);

impl PairingToken {
    /// Length in bytes.
    pub const LEN: usize = 51;
    /// Length in unpadded base64url characters.
    pub const TEXT_LEN: usize = 68;
    /// Bytes in front of the MAC, which it covers.
    const BODY: usize = 35;

    /// Makes the token of one rotation.
    ///
    /// # Errors
    ///
    /// [`TokenError::Port`] for port 0.
    pub fn mint(key: &TokenKey, inputs: &TokenInputs<'_>) -> Result<Self, TokenError> {
        let port = NonZeroU16::new(inputs.port).ok_or(TokenError::Port)?;
        let mut body = Zeroizing::new([0; Self::BODY]);
        fill(
            body.as_mut_slice(),
            &[&[VERSION], &port.get().to_be_bytes(), inputs.nonce, inputs.thumbprint16],
        );
        let mut mac = mac_of(key, inputs, body.as_slice());
        let mut token = Self([0; Self::LEN]);
        // The array holds 51 bytes, so the zip ends after the left 16 bytes of the MAC.
        fill(&mut token.0, &[body.as_slice(), &mac]);
        mac.zeroize();
        Ok(token)
    }

    /// Reads 51 bytes and checks version and port. The MAC can be checked by the device only.
    ///
    /// # Errors
    ///
    /// [`TokenError`]: length, version, port.
    pub fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        let token = Self(bytes.try_into().map_err(|_| TokenError::Length)?);
        let [version, port_high, port_low, ..] = token.0;
        if version != VERSION {
            return Err(TokenError::Version);
        }
        if port_high == 0 && port_low == 0 {
            return Err(TokenError::Port);
        }
        Ok(token)
    }

    /// Reads the text of the QR code: 68 characters of unpadded base64url.
    ///
    /// # Errors
    ///
    /// [`TokenError`]: encoding, length, version, port.
    pub fn parse_base64url(text: &str) -> Result<Self, TokenError> {
        if text.len() != Self::TEXT_LEN {
            return Err(TokenError::Encoding);
        }
        let mut buffer = Zeroizing::new([0; Self::LEN]);
        let bytes = Base64UrlUnpadded::decode(text, buffer.as_mut_slice())
            .map_err(|_| TokenError::Encoding)?;
        Self::parse(bytes)
    }

    /// The text for the QR code.
    #[must_use]
    pub fn to_base64url(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64UrlUnpadded::encode_string(&self.0))
    }

    /// The 51 bytes, the `ikm` of [`crate::schedule::Prk::from_hello`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The token's public name: the first 16 bytes of `H("zp1 token id" ‖ token)`.
    #[must_use]
    pub fn id(&self) -> TokenId {
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            sha256_parts(&[labels::TOKEN_ID, &self.0]);
        TokenId::from_bytes(id)
    }

    /// TCP port of the device's provisioning listener; never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        let [_, high, low, ..] = self.0;
        u16::from_be_bytes([high, low])
    }

    /// Left half of SHA-256 of the identity key's SPKI: what the station pins in TLS.
    #[must_use]
    pub fn thumbprint16(&self) -> [u8; 16] {
        let mut out = [0; 16];
        for (to, from) in out.iter_mut().zip(self.0.iter().skip(19)) {
            *to = *from;
        }
        out
    }

    /// Compares in constant time. The device accepts only the current and the previous token.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Checks on the device that this token is its own and was made for `inputs`.
    ///
    /// # Errors
    ///
    /// [`TokenError::Mac`] if it is not.
    pub fn verify(&self, key: &TokenKey, inputs: &TokenInputs<'_>) -> Result<(), TokenError> {
        if Self::mint(key, inputs)?.ct_eq(self) { Ok(()) } else { Err(TokenError::Mac) }
    }
}

impl fmt::Debug for PairingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

fn mac_of(key: &TokenKey, inputs: &TokenInputs<'_>, body: &[u8]) -> [u8; 32] {
    let device_id = inputs.device_id.as_str().as_bytes();
    let serial = inputs.serial.as_str().as_bytes();
    let ip = inputs.ip.to_string();
    let code = inputs.code.display();
    let expires_at = inputs.expires_at.to_string();
    kdf::hmac(
        &key.0,
        &[
            inputs.window_id.as_bytes(),
            body,
            &length_prefix(device_id),
            device_id,
            &length_prefix(serial),
            serial,
            &length_prefix(ip.as_bytes()),
            ip.as_bytes(),
            &length_prefix(code.as_bytes()),
            code.as_bytes(),
            &length_prefix(expires_at.as_bytes()),
            expires_at.as_bytes(),
        ],
    )
}

/// Writes `parts` one after another into `out`, and stops when `out` is full.
fn fill(out: &mut [u8], parts: &[&[u8]]) {
    for (to, from) in out.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests;
