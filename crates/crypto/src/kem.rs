//! The device's encryption key (`kemKey`, D5): a key of its own that only opens envelopes.
//!
//! P-256 keys are made per window and wiped with the session; an RSA key pair is made beside the
//! identity and is never the identity. Both travel as `SubjectPublicKeyInfo`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use hpke::Kem;
use hpke::kem::DhP256HkdfSha256;
use hpke::{Deserializable, Serializable};
use p256::pkcs8::EncodePublicKey;
use rand_core::CryptoRng;

#[cfg(feature = "rsa")]
use crate::identity::rsa_key;
use crate::identity::{IdentityPublic, KeyError, Suite};

pub(crate) type HpkePublic = <DhP256HkdfSha256 as Kem>::PublicKey;
pub(crate) type HpkePrivate = <DhP256HkdfSha256 as Kem>::PrivateKey;

/// The private half. Clones share one key; it is wiped when the last clone is dropped.
#[derive(Clone)]
pub struct KemKey {
    private: Arc<KemPrivate>,
    public: KemPublic,
}

pub(crate) enum KemPrivate {
    /// Wipes itself on drop (`p256::SecretKey`).
    P256(HpkePrivate),
    /// Wipes itself on drop.
    #[cfg(feature = "rsa")]
    Rsa(alloc::boxed::Box<rsa::PrivateKey>),
}

impl KemKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] for suite 2 without the feature `rsa`; [`KeyError::Generation`].
    pub fn generate(suite: Suite, mut rng: &mut dyn CryptoRng) -> Result<Self, KeyError> {
        match suite {
            Suite::P256 => {
                let (private, public) = DhP256HkdfSha256::gen_keypair_with_rng(&mut rng);
                Self::from_p256(private, &public)
            }
            #[cfg(feature = "rsa")]
            Suite::Rsa2048 => Self::from_rsa(rsa_key::generate(rng)?),
            #[cfg(not(feature = "rsa"))]
            Suite::Rsa2048 => Err(KeyError::Unsupported),
        }
    }

    /// Reads an unencrypted PKCS#8 private key, for RSA keys that outlive a window.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: malformed, unsupported or weak.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        use p256::pkcs8::DecodePrivateKey;

        if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
            let mut bytes = key.to_bytes();
            let private = HpkePrivate::from_bytes(&bytes).map_err(|_| KeyError::Malformed);
            zeroize::Zeroize::zeroize(bytes.as_mut_slice());
            let private = private?;
            let public = DhP256HkdfSha256::sk_to_pk(&private);
            return Self::from_p256(private, &public);
        }
        #[cfg(feature = "rsa")]
        if let Ok(key) = rsa::PrivateKey::from_pkcs8_der(der) {
            return Self::from_rsa(key);
        }
        Err(KeyError::Malformed)
    }

    /// The public half, for the identity document.
    #[must_use]
    pub fn public(&self) -> &KemPublic {
        &self.public
    }

    /// The suite of the key.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.public.suite()
    }

    pub(crate) fn private(&self) -> &KemPrivate {
        &self.private
    }

    fn from_p256(private: HpkePrivate, public: &HpkePublic) -> Result<Self, KeyError> {
        let point = p256::PublicKey::from_sec1_bytes(&public.to_bytes())
            .map_err(|_| KeyError::Malformed)?;
        let spki = point.to_public_key_der().map_err(|_| KeyError::Malformed)?;
        let public = KemPublic::parse(spki.as_bytes())?;
        Ok(Self { private: Arc::new(KemPrivate::P256(private)), public })
    }

    #[cfg(feature = "rsa")]
    fn from_rsa(key: rsa::PrivateKey) -> Result<Self, KeyError> {
        let public = KemPublic::parse(&rsa_key::public_to_der(key.as_public_key())?)?;
        Ok(Self { private: Arc::new(KemPrivate::Rsa(alloc::boxed::Box::new(key))), public })
    }
}

impl fmt::Debug for KemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemKey({:?}, [secret])", self.suite())
    }
}

/// The public half, parsed, checked and ready to seal to.
#[derive(Clone)]
pub struct KemPublic {
    spki: IdentityPublic,
    key: KemPublicKey,
}

#[derive(Clone)]
pub(crate) enum KemPublicKey {
    P256(HpkePublic),
    #[cfg(feature = "rsa")]
    Rsa(Arc<rsa::PublicKey>),
}

impl KemPublic {
    /// Parses a `SubjectPublicKeyInfo`, with the checks of [`IdentityPublic::parse`].
    ///
    /// # Errors
    ///
    /// [`KeyError`]: malformed, not canonical, unsupported or weak.
    pub fn parse(spki_der: &[u8]) -> Result<Self, KeyError> {
        let spki = IdentityPublic::parse(spki_der)?;
        let key = match spki.suite() {
            Suite::P256 => {
                let point =
                    HpkePublic::from_bytes(spki.key_bits()).map_err(|_| KeyError::Malformed)?;
                KemPublicKey::P256(point)
            }
            #[cfg(feature = "rsa")]
            Suite::Rsa2048 => KemPublicKey::Rsa(Arc::new(rsa_key::parse_public(spki_der)?)),
            #[cfg(not(feature = "rsa"))]
            Suite::Rsa2048 => return Err(KeyError::Unsupported),
        };
        Ok(Self { spki, key })
    }

    /// The `SubjectPublicKeyInfo` in DER, as the identity document carries it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.spki.spki_der().to_vec()
    }

    /// The suite of the key.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.spki.suite()
    }

    pub(crate) fn key(&self) -> &KemPublicKey {
        &self.key
    }
}

impl PartialEq for KemPublic {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for KemPublic {}

impl fmt::Debug for KemPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemPublic({:?})", self.suite())
    }
}

#[cfg(test)]
mod tests;
