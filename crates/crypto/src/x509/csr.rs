//! Certification requests (RFC 2986) for the device's TLS key.

use alloc::format;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use x509_cert::builder::RequestBuilder;
use x509_cert::der::asn1::Ia5String;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::request::CertReq;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;

use super::{URN_DEVICE, signer};
use crate::algorithms::Algorithms;
use crate::identity::{IdentityKey, IdentityPublic, KeyError, Suite};

/// Longest request that is read, in bytes.
pub const MAX_LEN: usize = 4096;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Too long, no request, or not in canonical DER.
    #[error("the certification request is malformed")]
    Malformed,
    /// The key is not P-256.
    #[error("the key of the certification request is not P-256")]
    Key,
    /// The request is not signed by its own key.
    #[error("the certification request is not signed by its own key")]
    Signature,
}

impl CsrError {
    /// The error code for screens and the audit log.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        ErrorCode::CsrInvalid
    }
}

/// The key of a request that is signed by that key. All else in the request is ignored (D9).
#[derive(Debug, Clone)]
pub struct CsrKey(IdentityPublic);

impl CsrKey {
    /// The key to certify.
    #[must_use]
    pub fn public_key(&self) -> &IdentityPublic {
        &self.0
    }

    /// Its SPKI in DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        self.0.spki_der()
    }
}

/// Makes the request of a device for `key`.
///
/// The subject is empty and the device's URN stands in the subject alternative name; the station
/// takes neither from here but from its own record.
///
/// # Errors
///
/// [`KeyError`] if the key fails.
pub fn create(
    key: &dyn IdentityKey,
    device_id: &DeviceId,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, KeyError> {
    let mut builder = RequestBuilder::new(Name::default()).map_err(|_| KeyError::Malformed)?;
    let urn = Ia5String::new(&format!("{URN_DEVICE}{}", device_id.as_str()))
        .map_err(|_| KeyError::Malformed)?;
    builder
        .add_extension(&SubjectAltName(alloc::vec![GeneralName::UniformResourceIdentifier(urn)]))
        .map_err(|_| KeyError::Malformed)?;
    signer::build(builder, key, rng)
}

/// Checks that a request is signed by its own key, and returns the key.
///
/// # Errors
///
/// [`CsrError`].
pub fn verify(der: &[u8], algorithms: &Algorithms) -> Result<CsrKey, CsrError> {
    if der.len() > MAX_LEN {
        return Err(CsrError::Malformed);
    }
    let request = CertReq::from_der(der).map_err(|_| CsrError::Malformed)?;
    // What is verified below is the re-encoded body; equality makes it the received one.
    if request.to_der().map_err(|_| CsrError::Malformed)? != der {
        return Err(CsrError::Malformed);
    }
    let spki = request.info.public_key.to_der().map_err(|_| CsrError::Malformed)?;
    let key = IdentityPublic::parse(&spki).map_err(|_| CsrError::Key)?;
    if key.suite() != Suite::P256 {
        return Err(CsrError::Key);
    }
    let expected = signer::signature_algorithm(key.suite()).map_err(|_| CsrError::Key)?;
    if request.algorithm != expected {
        return Err(CsrError::Signature);
    }
    let body = request.info.to_der().map_err(|_| CsrError::Malformed)?;
    let signature = request.signature.as_bytes().ok_or(CsrError::Malformed)?;
    algorithms
        .ecdsa_p256_sha256()
        .verify_signature(key.key_bits(), &body, signature)
        .map_err(|_| CsrError::Signature)?;
    Ok(CsrKey(key))
}

#[cfg(test)]
mod tests;
