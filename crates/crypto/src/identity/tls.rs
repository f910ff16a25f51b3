//! The device's TLS client key, fresh for every session (D6).

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;

use super::{IdentityKey, IdentityPublic, KeyError, SoftIdentity, Suite};
use crate::secret::SecretBytes;

/// A P-256 key that authenticates the device to the station by mTLS.
///
/// Made on the device per session, certified by a CSR ([`crate::x509::csr`]), kept in a slot and
/// wiped with it. It is never the identity key.
pub struct TlsKey(SoftIdentity);

impl TlsKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Generation`] if the key cannot be made.
    pub fn generate(rng: &mut dyn CryptoRng) -> Result<Self, KeyError> {
        SoftIdentity::generate(Suite::P256, rng).map(Self)
    }

    /// Reads an unencrypted PKCS#8 private key.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it is not a P-256 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let key = SoftIdentity::from_pkcs8(der)?;
        match key.public().suite() {
            Suite::P256 => Ok(Self(key)),
            Suite::Rsa2048 => Err(KeyError::SuiteMismatch),
        }
    }

    /// The key as unencrypted PKCS#8 in DER, for the slot store to seal and for TLS to load.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] if the key cannot be encoded.
    pub fn pkcs8(&self) -> Result<SecretBytes, KeyError> {
        self.0.to_pkcs8()
    }
}

impl IdentityKey for TlsKey {
    fn public(&self) -> &IdentityPublic {
        self.0.public()
    }

    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
        self.0.sign(message, rng)
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsKey({:?}, [secret])", self.0.public())
    }
}
