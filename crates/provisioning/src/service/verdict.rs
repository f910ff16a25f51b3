//! What a typed code is worth.

use zmon_domain::code::{CodeError, CodeFormat, PairingCode};
use zmon_domain::error::ErrorCode;

/// Answer of [`validate_pairing_code`](crate::IProvisioningService::validate_pairing_code).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodeVerdict {
    /// Not of the form this device shows.
    Format,
    /// The check symbol does not match: a typo (D1).
    Typo,
    /// Well formed, and not a code this device shows or has shown.
    Unknown,
    /// A code of this device whose window is over, or that was replaced.
    Expired,
    /// Already claimed by a station (D11).
    Consumed,
    /// The code on the screen.
    Ok,
}

impl CodeVerdict {
    /// The error behind the verdict; `None` for [`CodeVerdict::Ok`].
    #[must_use]
    pub fn error(self) -> Option<ErrorCode> {
        match self {
            Self::Format => Some(ErrorCode::PairingCodeMalformed),
            Self::Typo => Some(ErrorCode::PairingCodeTypo),
            Self::Unknown => Some(ErrorCode::InvalidPairingCode),
            Self::Expired => Some(ErrorCode::PairingCodeExpired),
            Self::Consumed => Some(ErrorCode::PairingCodeConsumed),
            Self::Ok => None,
        }
    }

    /// Reads `text`, or says why it cannot be a code.
    pub(crate) fn parse(text: &str, format: CodeFormat) -> Result<PairingCode, Self> {
        PairingCode::parse(text, format).map_err(|error| {
            if error == CodeError::CheckSymbol { Self::Typo } else { Self::Format }
        })
    }
}
