//! Public keys, parsed and checked once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use p256::pkcs8::{DecodePublicKey, EncodePublicKey};
use x509_cert::der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zmon_domain::ids::Thumbprint;

use super::{KeyError, Suite};
use crate::hash::sha256;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A public key that passed every check of T14, with its SPKI bytes and their hash.
///
/// Only the canonical encoding is accepted (uncompressed point, minimal integers), so that equal
/// keys have equal thumbprints and the other way round. Clones share the bytes.
#[derive(Clone)]
pub struct IdentityPublic {
    suite: Suite,
    spki: Arc<[u8]>,
    /// Content of the `subjectPublicKey` BIT STRING.
    bits: Arc<[u8]>,
    thumbprint: Thumbprint,
}

impl IdentityPublic {
    /// Parses and checks a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
    ///
    /// P-256: the point is on the curve and uncompressed. RSA: 2,048 to 4,096 bits, public
    /// exponent odd and in 65,537 ..= 2³².
    ///
    /// # Errors
    ///
    /// [`KeyError`]: malformed, not canonical, unsupported or weak.
    pub fn parse(spki_der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| KeyError::Malformed)?;
        let (suite, canonical) = match info.algorithm.oid {
            ID_EC_PUBLIC_KEY => (Suite::P256, canonical_p256(&info, spki_der)?),
            RSA_ENCRYPTION => (Suite::Rsa2048, canonical_rsa(spki_der)?),
            _ => return Err(KeyError::Unsupported),
        };
        if canonical != spki_der {
            return Err(KeyError::NotCanonical);
        }
        let bits = info.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        Ok(Self {
            suite,
            bits: Arc::from(bits),
            thumbprint: Thumbprint::from_bytes(sha256(spki_der)),
            spki: Arc::from(spki_der),
        })
    }

    /// Reads a P-256 key as PKCS#11 gives it (`CKA_EC_POINT`): the uncompressed point, in a DER OCTET STRING.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`].
    pub fn from_ec_point(der: &[u8]) -> Result<Self, KeyError> {
        let point = <&OctetStringRef>::from_der(der).map_err(|_| KeyError::Malformed)?;
        let key = p256::PublicKey::from_sec1_bytes(point.as_bytes());
        let document = key.map_err(|_| KeyError::Malformed)?.to_public_key_der();
        Self::parse(document.map_err(|_| KeyError::Malformed)?.as_bytes())
    }

    /// The suite that the key's type stands for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SPKI; the device's name for everyone who has to recognise it.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Content of the `subjectPublicKey` BIT STRING: what signature verifiers take.
    #[must_use]
    pub fn key_bits(&self) -> &[u8] {
        &self.bits
    }
}

/// The curve P-256 by its name, DER (RFC 5480 §2.1.1.1): `CKA_EC_PARAMS` of PKCS#11.
///
/// # Errors
///
/// Never, by the encoder's type.
pub fn ec_parameters() -> Result<Vec<u8>, KeyError> {
    SECP256R1.to_der().map_err(|_| KeyError::Malformed)
}

impl PartialEq for IdentityPublic {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for IdentityPublic {}

impl fmt::Debug for IdentityPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityPublic({:?}, {})", self.suite, self.thumbprint)
    }
}

fn canonical_p256(
    info: &SubjectPublicKeyInfoRef<'_>,
    spki_der: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let curve = info.algorithm.parameters_oid().map_err(|_| KeyError::Unsupported)?;
    if curve != SECP256R1 {
        return Err(KeyError::Unsupported);
    }
    let key = p256::PublicKey::from_public_key_der(spki_der).map_err(|_| KeyError::Malformed)?;
    let document = key.to_public_key_der().map_err(|_| KeyError::Malformed)?;
    Ok(document.as_bytes().to_vec())
}

#[cfg(feature = "rsa")]
fn canonical_rsa(spki_der: &[u8]) -> Result<Vec<u8>, KeyError> {
    let key = super::rsa_key::parse_public(spki_der)?;
    super::rsa_key::public_to_der(&key)
}

#[cfg(not(feature = "rsa"))]
fn canonical_rsa(_spki_der: &[u8]) -> Result<Vec<u8>, KeyError> {
    Err(KeyError::Unsupported)
}
