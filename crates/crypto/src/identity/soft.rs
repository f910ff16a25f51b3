//! An identity key held in memory.

use alloc::vec::Vec;
use core::fmt;

use p256::ecdsa::signature::RandomizedSigner;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use rand_core::CryptoRng;
use rustls_pki_types::pem::{SectionKind, SliceIter};
use zeroize::Zeroize;

#[cfg(feature = "rsa")]
use super::rsa_key;
use super::{IdentityKey, IdentityPublic, KeyError, Suite};
use crate::secret::SecretBytes;

/// An identity or signing key in memory. Wiped on drop.
///
/// Devices with a secure element implement [`IdentityKey`] over it instead.
pub struct SoftIdentity {
    private: Private,
    public: IdentityPublic,
}

enum Private {
    P256(SigningKey),
    #[cfg(feature = "rsa")]
    Rsa(alloc::boxed::Box<rsa::PrivateKey>),
}

impl SoftIdentity {
    /// Makes a new key of `suite`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] for suite 2 without the feature `rsa`; [`KeyError::Generation`].
    pub fn generate(suite: Suite, rng: &mut dyn CryptoRng) -> Result<Self, KeyError> {
        match suite {
            Suite::P256 => Self::from_p256(SigningKey::generate_from_rng(rng)),
            #[cfg(feature = "rsa")]
            Suite::Rsa2048 => Self::from_rsa(rsa_key::generate(rng)?),
            #[cfg(not(feature = "rsa"))]
            Suite::Rsa2048 => Err(KeyError::Unsupported),
        }
    }

    /// Reads an unencrypted PKCS#8 private key (RFC 5958).
    ///
    /// # Errors
    ///
    /// [`KeyError`]: malformed, unsupported or weak.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = SigningKey::from_pkcs8_der(der) {
            return Self::from_p256(key);
        }
        #[cfg(feature = "rsa")]
        if let Ok(key) = rsa::PrivateKey::from_pkcs8_der(der) {
            return Self::from_rsa(key);
        }
        match p256::pkcs8::PrivateKeyInfoRef::try_from(der) {
            Ok(info) if info.algorithm.oid == p256::elliptic_curve::ALGORITHM_OID => {
                Err(KeyError::Malformed)
            }
            Ok(_) => Err(KeyError::Unsupported),
            Err(_) => Err(KeyError::Malformed),
        }
    }

    /// Reads such a key in PEM form (RFC 7468 §10): exactly one block, of this kind.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: malformed, unsupported or weak.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let mut sections = SliceIter::<(SectionKind, Vec<u8>)>::new(text);
        match (sections.next(), sections.next()) {
            (Some(Ok((SectionKind::PrivateKey, der))), None) => {
                Self::from_pkcs8(SecretBytes::new(der).expose())
            }
            (first, second) => {
                for mut der in [first, second].into_iter().flatten().flatten().map(|(_, der)| der) {
                    der.zeroize();
                }
                Err(KeyError::Malformed)
            }
        }
    }

    /// The key as unencrypted PKCS#8 in DER, for the key store to seal.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] if the key cannot be encoded.
    pub fn to_pkcs8(&self) -> Result<SecretBytes, KeyError> {
        let document = match &self.private {
            Private::P256(key) => key.to_pkcs8_der(),
            #[cfg(feature = "rsa")]
            Private::Rsa(key) => key.to_pkcs8_der(),
        };
        // The document wipes itself; the copy lives in a container that does too.
        Ok(SecretBytes::copy_from(document.map_err(|_| KeyError::Malformed)?.as_bytes()))
    }

    fn from_p256(key: SigningKey) -> Result<Self, KeyError> {
        let spki = key.verifying_key().to_public_key_der().map_err(|_| KeyError::Malformed)?;
        let public = IdentityPublic::parse(spki.as_bytes())?;
        Ok(Self { private: Private::P256(key), public })
    }

    #[cfg(feature = "rsa")]
    fn from_rsa(key: rsa::PrivateKey) -> Result<Self, KeyError> {
        let public = IdentityPublic::parse(&rsa_key::public_to_der(key.as_public_key())?)?;
        Ok(Self { private: Private::Rsa(alloc::boxed::Box::new(key)), public })
    }
}

impl IdentityKey for SoftIdentity {
    fn public(&self) -> &IdentityPublic {
        &self.public
    }

    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
        match &self.private {
            Private::P256(key) => {
                let signature: Signature =
                    key.try_sign_with_rng(rng, message).map_err(|_| KeyError::Signing)?;
                Ok(signature.to_vec())
            }
            #[cfg(feature = "rsa")]
            Private::Rsa(key) => key
                .pss_sign_with_rng::<sha2::Sha256, _>(rng, message)
                .map_err(|_| KeyError::Signing),
        }
    }
}

impl fmt::Debug for SoftIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftIdentity({:?}, [secret])", self.public)
    }
}
