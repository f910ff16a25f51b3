//! What every configuration is built from: a provider, a clock and TLS 1.3.

use std::fmt;
use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ConfigBuilder, SignatureScheme, WantsVerifier};
use rustls_pki_types as pki;

/// Provider and clock of one process; cheap to clone.
///
/// The clock is a function because libraries read none. It answers `None` while wall time is
/// unknown: certificates with validity dates are then refused, pinned keys still work (D14).
#[derive(Clone)]
pub struct TlsContext {
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
}

impl TlsContext {
    /// A context over a provider and a source of wall time (Unix seconds).
    pub fn new(
        provider: Arc<CryptoProvider>,
        unix_seconds: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self { provider, time: Arc::new(Time(unix_seconds)) }
    }

    /// The provider handed in.
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    pub(crate) fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.provider.signature_verification_algorithms
    }

    pub(crate) fn server(
        &self,
    ) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsSetupError> {
        ServerConfig::builder_with_details(Arc::clone(&self.provider), Arc::clone(&self.time))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsSetupError::Rustls)
    }

    pub(crate) fn client(
        &self,
    ) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsSetupError> {
        ClientConfig::builder_with_details(Arc::clone(&self.provider), Arc::clone(&self.time))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsSetupError::Rustls)
    }
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsContext")
    }
}

/// Why a configuration could not be built: bad material handed in, never a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// rustls refused the material.
    #[error("TLS material refused: {0}")]
    Rustls(#[source] rustls::Error),
    /// No CA certificate, or one that cannot be read.
    #[error("CA certificate refused: {0}")]
    Authority(&'static str),
    /// No certificate chain, or one that cannot be read.
    #[error("certificate chain refused: {0}")]
    Chain(&'static str),
    /// The private key is not PKCS#8 DER of a supported kind.
    #[error("private key refused")]
    Key,
    /// The revocation list cannot be read: nobody is accepted without one.
    #[error("revocation list refused: {0}")]
    RevocationList(#[source] rustls::server::VerifierBuilderError),
}

/// Session settings shared by every server: nothing is ever resumed (D17).
pub(crate) fn without_resumption(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Session settings shared by every client: nothing is ever resumed (D17).
pub(crate) fn without_memory(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Signature schemes of the two identity suites: `ES256` and `PS256` as TLS 1.3 names them (D5).
pub(crate) const IDENTITY_SCHEMES: [SignatureScheme; 2] =
    [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];

/// Client configuration without a client certificate.
pub(crate) fn anonymous(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
) -> Arc<ClientConfig> {
    without_memory(builder.with_no_client_auth())
}

struct Time<F>(F);

impl<F> fmt::Debug for Time<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl<F: Fn() -> Option<u64> + Send + Sync> TimeProvider for Time<F> {
    fn current_time(&self) -> Option<pki::UnixTime> {
        (self.0)().map(|seconds| {
            pki::UnixTime::since_unix_epoch(core::time::Duration::from_secs(seconds))
        })
    }
}
