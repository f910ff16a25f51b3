//! What the layers above learn of a client certificate: its serial and its key, never its names.

#[cfg(feature = "station")]
use rustls::{CertificateError, Error};
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use zmon_crypto::x509::{is_simulated, spki_thumbprint};
#[cfg(feature = "station")]
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{Serial, Thumbprint};

/// The verified client certificate of one connection, as a request extension.
///
/// Identity is the serial's record in the station and the key, not a subject name (T24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    serial: Serial,
    thumbprint: Thumbprint,
    simulated: bool,
}

impl PeerCertificate {
    /// Reads a certificate that path validation has accepted.
    ///
    /// `None` when it cannot be read or its serial is longer than 20 bytes (RFC 5280 §4.1.2.2).
    pub fn from_verified(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = Certificate::from_der(certificate).ok()?;
        Some(Self {
            serial: Serial::from_bytes(parsed.tbs_certificate().serial_number().as_bytes()).ok()?,
            thumbprint: spki_thumbprint(certificate).ok()?,
            simulated: is_simulated(certificate).ok()?,
        })
    }

    /// Serial number: the key of the station's certificate record.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Whether a simulated station issued it (D20).
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }
}

/// Why this side refused a handshake, if the peer is to blame: its certificate, or bytes that are not
/// TLS as it is spoken here. A peer that went away or refused us is no finding.
#[cfg(feature = "station")]
pub(crate) fn refused_peer(error: &Error) -> Option<ErrorCode> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else goes wrong is not the peer's")]
    match error {
        Error::InvalidCertificate(CertificateError::Revoked) => Some(ErrorCode::CertificateRevoked),
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Some(ErrorCode::CertificateExpired),
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => {
            Some(ErrorCode::ClientCertificateInvalid)
        }
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerIncompatible(_)
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord
        | Error::NoApplicationProtocol => Some(ErrorCode::RequestMalformed),
        _ => None,
    }
}

/// id-kp-clientAuth (RFC 5280 §4.2.1.12).
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Whether the extended key usage is present and names clientAuth and nothing else (D8).
pub(crate) fn has_exactly_client_auth(certificate: &CertificateDer<'_>) -> bool {
    let Ok(parsed) = Certificate::from_der(certificate) else { return false };
    matches!(
        parsed.tbs_certificate().get_extension::<ExtendedKeyUsage>(),
        Ok(Some((_, ExtendedKeyUsage(uses)))) if uses == [CLIENT_AUTH]
    )
}
