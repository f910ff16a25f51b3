//! The device's provisioning listener: self-signed by the identity key (D17).

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use rand_core::{TryCryptoRng, TryRng};
use rustls::crypto::SecureRandom;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use zmon_crypto::identity::es256_to_der;
use zmon_crypto::{IdentityKey, Suite};

use super::context::{TlsContext, TlsSetupError, without_resumption};

/// The configuration of the provisioning listener.
///
/// `certificate` is the self-signed DER made by `zmon_crypto::x509::self_signed`; `key` signs
/// CertificateVerify wherever it lives, file or secure element.
///
/// # Errors
/// [`TlsSetupError::Rustls`] when the certificate cannot be read or names another key.
pub fn identity_server(
    context: &TlsContext,
    certificate: Vec<u8>,
    key: Arc<dyn IdentityKey>,
) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let adapter = Arc::new(IdentitySigner { key, random: context.provider().secure_random });
    let certified = CertifiedKey::new(vec![CertificateDer::from(certificate)], adapter);
    certified.keys_match().map_err(TlsSetupError::Rustls)?;
    let config = context
        .server()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    Ok(without_resumption(config))
}

/// Shows the same certificate whatever the hello asks for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// rustls's view of an [`IdentityKey`].
#[derive(Clone)]
struct IdentitySigner {
    key: Arc<dyn IdentityKey>,
    random: &'static dyn SecureRandom,
}

impl IdentitySigner {
    fn is_ecdsa(&self) -> bool {
        self.key.public().suite() == Suite::P256
    }
}

impl fmt::Debug for IdentitySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentitySigner")
    }
}

impl SigningKey for IdentitySigner {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.key.public().spki_der()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        if self.is_ecdsa() { SignatureAlgorithm::ECDSA } else { SignatureAlgorithm::RSA }
    }
}

impl Signer for IdentitySigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut rng = ProviderRng { random: self.random, failed: false };
        let signature = self
            .key
            .sign(message, &mut rng)
            .map_err(|_| Error::General("the identity key did not sign".into()))?;
        if rng.failed {
            return Err(Error::FailedToGetRandomBytes);
        }
        if !self.is_ecdsa() {
            return Ok(signature);
        }
        es256_to_der(&signature)
            .map_err(|_| Error::General("the identity key's signature is malformed".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        if self.is_ecdsa() {
            SignatureScheme::ECDSA_NISTP256_SHA256
        } else {
            SignatureScheme::RSA_PSS_SHA256
        }
    }
}

/// The provider's randomness as a `CryptoRng`.
///
/// `CryptoRng` cannot fail, the provider can: a failure is remembered and the caller discards
/// what was made meanwhile. The filler counts so that rejection sampling still ends.
struct ProviderRng {
    random: &'static dyn SecureRandom,
    failed: bool,
}

impl TryRng for ProviderRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        if self.random.fill(dst).is_err() {
            self.failed = true;
            dst.iter_mut().zip((1..=u8::MAX).cycle()).for_each(|(byte, filler)| *byte = filler);
        }
        Ok(())
    }
}

impl TryCryptoRng for ProviderRng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Broken;

    impl SecureRandom for Broken {
        fn fill(&self, _buf: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
            Err(rustls::crypto::GetRandomFailed)
        }
    }

    #[test]
    fn failed_randomness_is_remembered() {
        let mut rng = ProviderRng { random: &Broken, failed: false };
        let mut bytes = [0; 4];
        let Ok(()) = rng.try_fill_bytes(&mut bytes);
        assert!(rng.failed);
        assert_eq!(bytes, [1, 2, 3, 4]);
    }
}
