//! A P-256 key with the certificate it belongs to.

use std::sync::Arc;

use rand_core::CryptoRng;
use rcgen::{
    CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
    SigningKey,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroize;
use zmon_crypto::x509::trust_level_of;
use zmon_crypto::{IdentityKey, SecretBytes, SoftIdentity, Suite, es256_to_der};

use super::module::{CaKey, ModuleKey, ModuleSigner};
use super::{CaError, profile};

/// A P-256 signing key, used through `rcgen`.
pub(super) enum AuthorityKey {
    /// In this process's memory; made from the injected generator.
    Held(HeldKey),
    /// In a module.
    Module(Arc<dyn ModuleKey>),
}

/// Wiped when dropped.
pub(super) struct HeldKey(KeyPair);

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl AuthorityKey {
    /// Makes a key.
    pub(super) fn generate(what: &'static str, rng: &mut dyn CryptoRng) -> Result<Self, CaError> {
        let key = SoftIdentity::generate(Suite::P256, rng).map_err(|_| CaError::Key(what))?;
        Self::from_pkcs8(what, &key.to_pkcs8().map_err(|_| CaError::Key(what))?)
    }

    /// Takes a key that was made in a module.
    pub(super) fn in_module(what: &'static str, key: Arc<dyn ModuleKey>) -> Result<Self, CaError> {
        if key.public().suite() != Suite::P256 {
            return Err(CaError::Key(what));
        }
        Ok(Self::Module(key))
    }

    /// Reads a key.
    pub(super) fn from_pkcs8(what: &'static str, pkcs8: &SecretBytes) -> Result<Self, CaError> {
        let der = PrivatePkcs8KeyDer::from(pkcs8.expose());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self::Held(HeldKey(pair)))
            .map_err(|_| CaError::Key(what))
    }

    /// Takes a key from wherever it is.
    pub(super) fn open(what: &'static str, key: &CaKey) -> Result<Self, CaError> {
        match key {
            CaKey::File(pkcs8) => Self::from_pkcs8(what, pkcs8),
            CaKey::Module(key) => Self::in_module(what, Arc::clone(key)),
        }
    }

    /// The key as it is kept.
    pub(super) fn to_kept(&self) -> CaKey {
        match self {
            Self::Held(held) => CaKey::File(SecretBytes::new(held.0.serialize_der())),
            Self::Module(key) => CaKey::Module(Arc::clone(key)),
        }
    }

    /// The key as PKCS#8; none of one in a module.
    pub(super) fn to_pkcs8(&self, what: &'static str) -> Result<SecretBytes, CaError> {
        match self.to_kept() {
            CaKey::File(pkcs8) => Ok(pkcs8),
            CaKey::Module(_) => Err(CaError::InModule(what)),
        }
    }

    /// Whether each signature is a call of somebody else's library, and may take its time.
    pub(super) const fn is_in_module(&self) -> bool {
        matches!(self, Self::Module(_))
    }

    /// The key as an [`IdentityKey`], for JWS signatures.
    pub(super) fn to_signer(&self, what: &'static str) -> Result<Arc<dyn IdentityKey>, CaError> {
        Ok(match self {
            Self::Held(held) => {
                let key = SoftIdentity::from_pkcs8(held.0.serialized_der());
                Arc::new(key.map_err(|_| CaError::Key(what))?)
            }
            Self::Module(key) => Arc::new(ModuleSigner(Arc::clone(key))),
        })
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::Held(held) => held.0.der_bytes(),
            Self::Module(key) => key.public().key_bits(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::Held(held) => held.0.sign(message),
            Self::Module(key) => {
                let signature = key.sign(message).and_then(|fixed| es256_to_der(&fixed));
                signature.map_err(|_| rcgen::Error::RemoteKeyError)
            }
        }
    }
}

/// A key and its certificate.
pub(super) struct Authority {
    pub(super) key: AuthorityKey,
    pub(super) certificate: Vec<u8>,
}

impl Authority {
    /// Makes a self-signed one.
    pub(super) fn self_signed(
        key: AuthorityKey,
        params: &CertificateParams,
    ) -> Result<Self, CaError> {
        let certificate = params.self_signed(&key)?.der().to_vec();
        Ok(Self { key, certificate })
    }

    /// Reads one, and checks that key and certificate belong together.
    pub(super) fn load(
        what: &'static str,
        key: AuthorityKey,
        certificate: Vec<u8>,
    ) -> Result<Self, CaError> {
        let this = Self { key, certificate };
        if subject_key(what, &this.certificate)? == this.key.subject_public_key_info() {
            Ok(this)
        } else {
            Err(CaError::Mismatch(what))
        }
    }

    /// Signs a certificate for `subject_key`. What a simulated authority signs is simulated (D20).
    pub(super) fn issue(
        &self,
        params: &CertificateParams,
        subject_key: &impl PublicKeyData,
    ) -> Result<Vec<u8>, CaError> {
        let level = trust_level_of(&self.certificate).map_err(|_| CaError::Certificate("own"))?;
        let params = profile::at_level(params.clone(), level)?;
        Ok(params.signed_by(subject_key, &self.issuer()?)?.der().to_vec())
    }

    /// The library's view, with the subject name byte for byte as in the certificate.
    pub(super) fn issuer(&self) -> Result<Issuer<'static, &AuthorityKey>, CaError> {
        let der = CertificateDer::from(self.certificate.as_slice());
        Ok(Issuer::from_ca_cert_der(&der, &self.key)?)
    }
}

/// The `SubjectPublicKeyInfo` (DER) of a certificate.
pub(super) fn subject_key(what: &'static str, certificate: &[u8]) -> Result<Vec<u8>, CaError> {
    zmon_crypto::x509::spki_of(certificate).map_err(|_| CaError::Certificate(what))
}
