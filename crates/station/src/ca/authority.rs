//! A P-256 key with the certificate it belongs to.

use rand_core::CryptoRng;
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroize;
use zmon_crypto::x509::trust_level_of;
use zmon_crypto::{SecretBytes, SoftIdentity, Suite};

use super::{CaError, profile};

/// A P-256 signing key, made from the injected generator and used through `rcgen`.
pub(super) struct AuthorityKey {
    pair: KeyPair,
}

impl Drop for AuthorityKey {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

impl AuthorityKey {
    /// Makes a key.
    pub(super) fn generate(what: &'static str, rng: &mut dyn CryptoRng) -> Result<Self, CaError> {
        let key = SoftIdentity::generate(Suite::P256, rng).map_err(|_| CaError::Key(what))?;
        Self::from_pkcs8(what, &key.to_pkcs8().map_err(|_| CaError::Key(what))?)
    }

    /// Reads a key.
    pub(super) fn from_pkcs8(what: &'static str, pkcs8: &SecretBytes) -> Result<Self, CaError> {
        let der = PrivatePkcs8KeyDer::from(pkcs8.expose());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self { pair })
            .map_err(|_| CaError::Key(what))
    }

    /// The key as PKCS#8.
    pub(super) fn to_pkcs8(&self) -> SecretBytes {
        SecretBytes::new(self.pair.serialize_der())
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// The key as an [`zmon_crypto::IdentityKey`], for JWS signatures.
    pub(super) fn to_signer(&self, what: &'static str) -> Result<SoftIdentity, CaError> {
        SoftIdentity::from_pkcs8(self.pair.serialized_der()).map_err(|_| CaError::Key(what))
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
        let certificate = params.self_signed(key.pair())?.der().to_vec();
        Ok(Self { key, certificate })
    }

    /// Reads one, and checks that key and certificate belong together.
    pub(super) fn load(
        what: &'static str,
        key: AuthorityKey,
        certificate: Vec<u8>,
    ) -> Result<Self, CaError> {
        let this = Self { key, certificate };
        if subject_key(what, &this.certificate)? == this.key.pair().subject_public_key_info() {
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
    pub(super) fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, CaError> {
        let der = CertificateDer::from(self.certificate.as_slice());
        Ok(Issuer::from_ca_cert_der(&der, self.key.pair())?)
    }
}

/// The `SubjectPublicKeyInfo` (DER) of a certificate.
pub(super) fn subject_key(what: &'static str, certificate: &[u8]) -> Result<Vec<u8>, CaError> {
    zmon_crypto::x509::spki_of(certificate).map_err(|_| CaError::Certificate(what))
}
