//! Signing keys and their public halves.
//!
//! An identity key only signs: ES256 (ECDSA P-256, SHA-256) or PS256 (RSASSA-PSS, SHA-256, 32-byte
//! salt); never PKCS#1 v1.5, never decryption (D5).

mod public;
#[cfg(feature = "rsa")]
pub(crate) mod rsa_key;
mod soft;
mod tls;

use alloc::vec::Vec;

use rand_core::CryptoRng;
use zmon_domain::error::ErrorCode;

pub use public::{IdentityPublic, ec_parameters};
pub use soft::SoftIdentity;
pub use tls::TlsKey;

/// The cryptographic suite of a device. It follows from the type of its identity key and is never
/// negotiated (§3 of the protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// P-256: ES256, HPKE DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
    P256 = 1,
    /// RSA-2048: PS256, RSAES-OAEP-SHA256, HKDF-SHA256, AES-256-GCM.
    Rsa2048 = 2,
}

impl Suite {
    /// The number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::P256 => 1,
            Self::Rsa2048 => 2,
        }
    }

    /// Reads the number on the wire; `None` if no suite has it.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::P256),
            2 => Some(Self::Rsa2048),
            _ => None,
        }
    }

    /// The `alg` of RFC 7518 that goes with the suite.
    #[must_use]
    pub const fn jws_alg(self) -> &'static str {
        match self {
            Self::P256 => "ES256",
            Self::Rsa2048 => "PS256",
        }
    }

    /// Whether this build can work with the suite (suite 2 needs the feature `rsa`).
    #[must_use]
    pub const fn is_supported(self) -> bool {
        match self {
            Self::P256 => true,
            Self::Rsa2048 => cfg!(feature = "rsa"),
        }
    }
}

impl From<zmon_wire::kind::Suite> for Suite {
    fn from(suite: zmon_wire::kind::Suite) -> Self {
        match suite {
            zmon_wire::kind::Suite::P256 => Self::P256,
            zmon_wire::kind::Suite::Rsa2048 => Self::Rsa2048,
        }
    }
}

impl From<Suite> for zmon_wire::kind::Suite {
    fn from(suite: Suite) -> Self {
        match suite {
            Suite::P256 => Self::P256,
            Suite::Rsa2048 => Self::Rsa2048,
        }
    }
}

/// Why a key was refused or could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are no DER encoding of such a key, or the point is not on the curve.
    #[error("the key is malformed")]
    Malformed,
    /// The bytes are a valid but not the one canonical encoding, so its hash would not be unique.
    #[error("the key is not in its canonical encoding")]
    NotCanonical,
    /// An algorithm, curve or size that no suite has, or whose feature is off.
    #[error("the key type is not supported")]
    Unsupported,
    /// RSA below 2,048 bits, or a public exponent that is even, below 65,537 or above 2³².
    #[error("the key is too weak")]
    Weak,
    /// The key is of another suite than the one on record.
    #[error("the key is of another suite than the one on record")]
    SuiteMismatch,
    /// The key could not be generated.
    #[error("the key could not be generated")]
    Generation,
    /// The key, or the module that holds it, did not sign.
    #[error("the key did not sign")]
    Signing,
}

impl KeyError {
    /// The error code for screens and the audit log.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Malformed | Self::NotCanonical | Self::Weak => ErrorCode::IdentityInvalid,
            Self::Unsupported | Self::SuiteMismatch => ErrorCode::SuiteUnsupported,
            Self::Generation | Self::Signing => ErrorCode::KeyStoreUnavailable,
        }
    }
}

/// A signing key whose private half may live anywhere: in memory, in a file, in a secure element.
pub trait IdentityKey: Send + Sync {
    /// The public half.
    fn public(&self) -> &IdentityPublic;

    /// Signs `message` (not its hash).
    ///
    /// Returns r ‖ s of 64 bytes for [`Suite::P256`] (RFC 7518 §3.4) and an RSASSA-PSS signature
    /// as long as the modulus for [`Suite::Rsa2048`]. `rng` hedges the ECDSA nonce, and makes the
    /// PSS salt and the RSA blinding; a secure element may use its own.
    ///
    /// # Errors
    ///
    /// [`KeyError::Signing`] if the key or its module fails.
    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError>;
}

/// Turns an ES256 signature (r ‖ s, 64 bytes) into the DER form that X.509 and TLS use.
///
/// # Errors
///
/// [`KeyError::Malformed`] unless `fixed` is 64 bytes with r and s in `1..n`.
pub fn es256_to_der(fixed: &[u8]) -> Result<Vec<u8>, KeyError> {
    let signature = p256::ecdsa::Signature::from_slice(fixed).map_err(|_| KeyError::Malformed)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

#[cfg(test)]
mod tests;
