//! Verifiers that pin a public key (D3, D17).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use zmon_crypto::x509::spki_thumbprint;
use zmon_domain::ids::Thumbprint;

use super::context::IDENTITY_SCHEMES;

/// The server proved possession of a key, but of another one than was pinned.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the server's public key is not the pinned one")]
pub struct PinMismatch;

impl PinMismatch {
    /// Whether this rustls error is a pin mismatch.
    pub fn caused(error: &Error) -> bool {
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))
                if inner.downcast_ref::<Self>().is_some()
        )
    }
}

impl From<PinMismatch> for Error {
    fn from(value: PinMismatch) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(value))))
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo DER, with rustls's error.
fn thumbprint(certificate: &CertificateDer<'_>) -> Result<Thumbprint, Error> {
    spki_thumbprint(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// Accepts exactly one key: the one whose SPKI thumbprint starts with the token's 16 bytes.
///
/// Names, dates and issuers of the self-signed certificate carry no meaning and are not read;
/// possession is proved by CertificateVerify, under one of the two identity schemes.
#[derive(Debug)]
pub(crate) struct ThumbprintVerifier {
    thumbprint16: [u8; 16],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ThumbprintVerifier {
    pub(crate) fn new(thumbprint16: [u8; 16], algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { thumbprint16, algorithms }
    }
}

impl ServerCertVerifier for ThumbprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Thumbprints are public (they are on the screen): an ordinary comparison suffices.
        if thumbprint(end_entity)?.short() == self.thumbprint16 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(PinMismatch.into())
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
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        IDENTITY_SCHEMES.to_vec()
    }
}

/// Path validation by an inner verifier, and one SPKI besides (`serverCertificate`, [I §3.2]).
#[derive(Debug)]
pub(crate) struct PathAndPinVerifier {
    path: Arc<dyn ServerCertVerifier>,
    pin: Thumbprint,
}

impl PathAndPinVerifier {
    pub(crate) fn new(path: Arc<dyn ServerCertVerifier>, pin: Thumbprint) -> Self {
        Self { path, pin }
    }
}

impl ServerCertVerifier for PathAndPinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.path.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        if thumbprint(end_entity)? == self.pin { Ok(verified) } else { Err(PinMismatch.into()) }
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
        self.path.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.path.supported_verify_schemes()
    }
}
