//! Client configurations: station to device, device to station, operator to station.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::CertificateDer;
use zmon_crypto::SecretBytes;
use zmon_domain::ids::Thumbprint;

use super::context::{TlsContext, TlsSetupError, anonymous, without_memory};
use super::pin::{PathAndPinVerifier, ThumbprintVerifier};
use super::revocation::roots;
use super::server::{certificates, private_key};

/// What a device shows: its chain, leaf first (DER), and the leaf's key (PKCS#8 DER).
pub struct ClientCredentials<'a> {
    /// Certificate chain, leaf first.
    pub chain: &'a [Vec<u8>],
    /// PKCS#8 DER of the leaf's key.
    pub key: &'a SecretBytes,
}

impl fmt::Debug for ClientCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCredentials([secret])")
    }
}

/// Station to device: the server's key must be the one the token names (D3, D17).
///
/// # Errors
/// [`TlsSetupError::Rustls`] when the provider has no TLS 1.3.
pub fn pinned_client(
    context: &TlsContext,
    thumbprint16: [u8; 16],
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let verifier = ThumbprintVerifier::new(thumbprint16, context.algorithms());
    Ok(anonymous(
        context.client()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
    ))
}

/// Device to station: path to `caCertificate`, name, SPKI of `serverCertificate` when given, and
/// the device's own certificate shown.
///
/// # Errors
/// [`TlsSetupError`] when the CA, chain or key is unreadable, or chain and key do not belong
/// together.
pub fn device_client(
    context: &TlsContext,
    ca: &[Vec<u8>],
    server_pin: Option<Thumbprint>,
    own: &ClientCredentials<'_>,
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    if own.chain.is_empty() {
        return Err(TlsSetupError::Chain("empty"));
    }
    let verifier = station_verifier(context, ca, server_pin)?;
    let config = context
        .client()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(certificates(own.chain), private_key(own.key))
        .map_err(TlsSetupError::Rustls)?;
    Ok(without_memory(config))
}

/// Device to station where it holds no certificate that is still accepted: path to
/// `caCertificate`, name, SPKI pin, and *no* certificate of its own, under an ALPN name such as
/// [`OUTCOME_ALPN`](crate::paths::OUTCOME_ALPN) (D13, D21, D23).
///
/// # Errors
/// [`TlsSetupError::Authority`] when no CA can be read.
pub fn nameless_client(
    context: &TlsContext,
    ca: &[Vec<u8>],
    server_pin: Option<Thumbprint>,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let verifier = station_verifier(context, ca, server_pin)?;
    let config =
        anonymous(context.client()?.dangerous().with_custom_certificate_verifier(verifier));
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// Operator or command line to station: path to a given CA (DER) and the server's name.
///
/// # Errors
/// [`TlsSetupError::Authority`] when no CA can be read.
pub fn trusting_client(
    context: &TlsContext,
    ca: &[Vec<u8>],
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let verifier: Arc<dyn ServerCertVerifier> = path_verifier(context, ca)?;
    Ok(anonymous(context.client()?.dangerous().with_custom_certificate_verifier(verifier)))
}

/// Certificates of a PEM text as DER, for [`trusting_client`].
///
/// # Errors
/// [`TlsSetupError::Authority`] when the text is not PEM or holds no certificate.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, TlsSetupError> {
    use rustls_pki_types::pem::PemObject;
    let parsed = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|der| der.as_ref().to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsSetupError::Authority("not PEM"))?;
    if parsed.is_empty() {
        return Err(TlsSetupError::Authority("no certificate in the PEM"));
    }
    Ok(parsed)
}

fn station_verifier(
    context: &TlsContext,
    ca: &[Vec<u8>],
    server_pin: Option<Thumbprint>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsSetupError> {
    let path = path_verifier(context, ca)?;
    Ok(match server_pin {
        Some(pin) => Arc::new(PathAndPinVerifier::new(path, pin)),
        None => path,
    })
}

fn path_verifier(
    context: &TlsContext,
    ca: &[Vec<u8>],
) -> Result<Arc<WebPkiServerVerifier>, TlsSetupError> {
    WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots(ca)?),
        Arc::clone(context.provider()),
    )
    .build()
    .map_err(|_| TlsSetupError::Authority("no verifier can be built from it"))
}
