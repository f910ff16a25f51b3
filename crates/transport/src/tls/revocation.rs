//! Client certificate authority with a revocation list that changes while listeners run (D17).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use super::context::{TlsContext, TlsSetupError};
use super::peer::has_exactly_client_auth;

/// Verifies device certificates against the client CA and the newest revocation list.
///
/// `WebPkiClientVerifier` keeps its lists for ever, so a new one is built for each list and
/// swapped in; handshakes in flight finish under the one they began with. Only the device's own
/// certificate is looked up (the CA publishes no list about itself), a list past its
/// `nextUpdate` refuses everybody.
pub struct ClientAuthority {
    context: TlsContext,
    roots: Arc<RootCertStore>,
    current: ArcSwap<Current>,
}

/// Sized holder: `ArcSwap` needs a thin pointer.
struct Current(Arc<dyn ClientCertVerifier>);

impl ClientAuthority {
    /// An authority over the client CA's certificates (DER) and its revocation list (DER).
    ///
    /// # Errors
    /// [`TlsSetupError::Authority`] for an unreadable CA, [`TlsSetupError::RevocationList`] for an
    /// unreadable list.
    pub fn new(
        context: &TlsContext,
        client_ca: &[Vec<u8>],
        revocation_list: &[u8],
    ) -> Result<Arc<Self>, TlsSetupError> {
        let roots = Arc::new(roots(client_ca)?);
        let verifier = build(context, &roots, revocation_list)?;
        Ok(Arc::new(Self {
            context: context.clone(),
            roots,
            current: ArcSwap::from_pointee(Current(verifier)),
        }))
    }

    /// Puts a new revocation list in force for every later handshake.
    ///
    /// # Errors
    /// [`TlsSetupError::RevocationList`] when the list cannot be read; the old one stays in force.
    pub fn reload(&self, revocation_list: &[u8]) -> Result<(), TlsSetupError> {
        let verifier = build(&self.context, &self.roots, revocation_list)?;
        self.current.store(Arc::new(Current(verifier)));
        Ok(())
    }
}

impl fmt::Debug for ClientAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthority")
    }
}

impl ClientCertVerifier for ClientAuthority {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// Empty: a reference cannot outlive the swapped value, and hints help nobody here.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.current.load().0.verify_client_cert(certificate, intermediates, now)?;
        // webpki takes a missing EKU for "any purpose"; the profile does not (D8).
        if has_exactly_client_auth(certificate) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::InvalidPurpose))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().0.supported_verify_schemes()
    }
}

/// A root store from CA certificates (DER).
pub(crate) fn roots(certificates: &[Vec<u8>]) -> Result<RootCertStore, TlsSetupError> {
    if certificates.is_empty() {
        return Err(TlsSetupError::Authority("none given"));
    }
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store
            .add(CertificateDer::from(certificate.as_slice()))
            .map_err(|_| TlsSetupError::Authority("not a readable certificate"))?;
    }
    Ok(store)
}

fn build(
    context: &TlsContext,
    roots: &Arc<RootCertStore>,
    revocation_list: &[u8],
) -> Result<Arc<dyn ClientCertVerifier>, TlsSetupError> {
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(context.provider()))
        .clear_root_hint_subjects()
        .with_crls([CertificateRevocationListDer::from(revocation_list.to_vec())])
        .only_check_end_entity_revocation()
        .enforce_revocation_expiration()
        .build()
        .map_err(TlsSetupError::RevocationList)
}
