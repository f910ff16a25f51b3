//! JSON Web Signatures in compact form (RFC 7515), restricted to what the protocol needs.
//!
//! - The exact payload bytes are signed; nothing is canonicalised.
//! - `typ` is mandatory and exact. Any other unknown header member refuses the message.
//! - The key *and* the algorithm come from the verifier's record ([`Unverified::verify_with`]);
//!   the header's `alg` must agree and decides nothing (T10, T11).
//! - An ES256 signature is malleable: neither it nor its hash is ever an identifier.

mod header;
mod typ;
mod verify;

use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use rand_core::CryptoRng;
use rustls_pki_types::CertificateDer;
use zmon_domain::error::ErrorCode;

use crate::identity::{IdentityKey, KeyError};

pub use typ::{Signer, Typ};
#[cfg(test)]
pub(crate) use verify::verify_signature;
pub use verify::{Unverified, Verified};

/// Why a JWS was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// Longer than a message may be, 64 KiB.
    #[error("the signed message is longer than a message may be")]
    TooLarge,
    /// Not three parts of canonical unpadded base64url.
    #[error("the signed message is malformed")]
    Malformed,
    /// The header is no JSON object of the known members, or has one twice.
    #[error("the header of the signed message is malformed")]
    Header,
    /// `typ` is not the one that is due.
    #[error("the signed message is of another type")]
    Typ,
    /// `alg` is not the one on record.
    #[error("the signed message names another algorithm than the one on record")]
    Algorithm,
    /// `x5c` is missing where it is due, present where it is not, or malformed.
    #[error("the certificate chain of the signed message is missing, out of place or malformed")]
    Chain,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// The recorded key's algorithm is not available in this build.
    #[error("the algorithm on record is not available")]
    Unsupported,
    /// The message could not be signed.
    #[error("the message could not be signed")]
    Signing,
}

impl JwsError {
    /// The error code for screens and the audit log.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::TooLarge => ErrorCode::RequestTooLarge,
            Self::Malformed | Self::Header | Self::Typ | Self::Chain => ErrorCode::JwsMalformed,
            Self::Algorithm | Self::Signature => ErrorCode::SignatureInvalid,
            Self::Unsupported => ErrorCode::SuiteUnsupported,
            Self::Signing => ErrorCode::KeyStoreUnavailable,
        }
    }
}

impl From<KeyError> for JwsError {
    fn from(_: KeyError) -> Self {
        Self::Signing
    }
}

/// Signs `payload` and returns the compact serialisation.
///
/// `x5c` is the signer's certificate chain, leaf first; [`Typ::signer`] says where it belongs.
///
/// # Errors
///
/// [`JwsError::Chain`] if `x5c` is empty, missing from a hello or given with an identity-key message,
/// [`JwsError::TooLarge`] above 64 KiB, [`JwsError::Signing`] if the key fails.
pub fn sign(
    typ: Typ,
    x5c: Option<&[CertificateDer<'_>]>,
    payload: &[u8],
    key: &dyn IdentityKey,
    rng: &mut dyn CryptoRng,
) -> Result<String, JwsError> {
    if !typ.accepts_chain(x5c.is_some()) || x5c.is_some_and(<[_]>::is_empty) {
        return Err(JwsError::Chain);
    }
    let x5c: Option<Vec<String>> =
        x5c.map(|chain| chain.iter().map(|der| Base64::encode_string(der)).collect());
    let header = header::encode(typ, key.public().suite(), x5c)?;
    let mut out = Base64UrlUnpadded::encode_string(&header);
    out.push('.');
    out.push_str(&Base64UrlUnpadded::encode_string(payload));
    let signature = key.sign(out.as_bytes(), rng)?;
    out.push('.');
    out.push_str(&Base64UrlUnpadded::encode_string(&signature));
    if out.len() > zmon_domain::limits::BODY_MAX.default {
        return Err(JwsError::TooLarge);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
