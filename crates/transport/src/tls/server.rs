//! Server configurations of the Central Station.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zmon_crypto::SecretBytes;

use super::context::{TlsContext, TlsSetupError, without_resumption};
use super::revocation::ClientAuthority;

/// What a server shows: a chain, leaf first (DER), and the leaf's key (PKCS#8 DER).
pub struct ServerCredentials {
    chain: Vec<CertificateDer<'static>>,
    key: SecretBytes,
}

impl ServerCredentials {
    /// Credentials from DER; the key is loaded by the provider when a configuration is built.
    ///
    /// # Errors
    /// [`TlsSetupError::Chain`] when the chain is empty.
    pub fn new(chain: &[Vec<u8>], key: SecretBytes) -> Result<Self, TlsSetupError> {
        if chain.is_empty() {
            return Err(TlsSetupError::Chain("empty"));
        }
        Ok(Self { chain: certificates(chain), key })
    }
}

impl fmt::Debug for ServerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCredentials([secret])")
    }
}

/// The operators' listener: the station proves itself, the client logs in by HTTP.
///
/// # Errors
/// [`TlsSetupError`] when chain and key are unreadable or do not belong together.
pub fn operator_server(
    context: &TlsContext,
    credentials: &ServerCredentials,
) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let config = context
        .server()?
        .with_no_client_auth()
        .with_single_cert(credentials.chain.clone(), private_key(&credentials.key))
        .map_err(TlsSetupError::Rustls)?;
    Ok(without_resumption(config))
}

/// The devices' listener: both sides prove themselves, revocation is live.
///
/// # Errors
/// [`TlsSetupError`] when chain and key are unreadable or do not belong together.
pub fn mutual_server(
    context: &TlsContext,
    credentials: &ServerCredentials,
    authority: &Arc<ClientAuthority>,
) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let verifier: Arc<dyn ClientCertVerifier> = Arc::<ClientAuthority>::clone(authority);
    let config = context
        .server()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain.clone(), private_key(&credentials.key))
        .map_err(TlsSetupError::Rustls)?;
    Ok(without_resumption(config))
}

/// Owned rustls certificates from DER.
pub(crate) fn certificates(chain: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    chain.iter().map(|der| CertificateDer::from(der.clone())).collect()
}

/// A PKCS#8 key in the type rustls takes. Both providers wipe this copy when they have loaded it
/// (`KeyProvider::load_private_key` of rustls 0.23.46).
pub(crate) fn private_key(key: &SecretBytes) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose().to_vec()))
}
