//! Why a certificate was refused.

use zmon_domain::error::ErrorCode;

/// The job a certificate was presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateRole {
    /// Signs hellos, configurations and outcomes.
    ConfigSigning,
    /// Authenticates a device by mTLS.
    Client,
    /// Vouches for a device's identity key (D9).
    Factory,
}

/// What is wrong with a certificate or its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No certificate, bytes that are none, or more than a chain may have.
    #[error("the certificate is malformed")]
    Malformed,
    /// No path leads to an anchor (or to the given client CA).
    #[error("no path leads to a trusted certificate authority")]
    NotAnchored,
    /// A signature on the path is wrong, or of an algorithm that is not accepted.
    #[error("a signature on the certification path is not accepted")]
    Signature,
    /// A constraint of RFC 5280 on the path is violated.
    #[error("the certification path violates a constraint")]
    Path,
    /// Not yet valid.
    #[error("a certificate on the path is not yet valid")]
    NotYetValid,
    /// Expired.
    #[error("a certificate on the path has expired")]
    Expired,
    /// Valid for longer than its profile permits.
    #[error("the certificate is valid for longer than permitted")]
    LifetimeTooLong,
    /// The key type is not the profile's.
    #[error("the certificate has a key of another type than its profile")]
    KeyType,
    /// A certificate authority where a leaf is due.
    #[error("the certificate is a certificate authority's")]
    IsAuthority,
    /// Key usage is not the profile's.
    #[error("the key usage is not the profile's")]
    KeyUsage,
    /// Extended key usage is not the profile's.
    #[error("the extended key usage is not the profile's")]
    ExtendedKeyUsage,
    /// Subject alternative names are not the profile's.
    #[error("the subject alternative names are not the profile's")]
    Names,
    /// The site in the certificate is not the anchor's.
    #[error("the site in the certificate is not the anchor's")]
    Site,
    /// The certificate is another device's.
    #[error("the certificate names another device")]
    Device,
    /// The certificate is for another key.
    #[error("the certificate is for another key")]
    Key,
    /// The certificate has another trust level than the session, or none.
    #[error("the trust level in the certificate is not the session's")]
    TrustLevel,
    /// The client CA is an anchor.
    #[error("the issuer of the client certificate is an anchor")]
    IssuerIsAnchor,
    /// The client CA is chained to another CA and not limited to client authentication.
    #[error("the issuer of the client certificate is not limited to client authentication")]
    IssuerUsage,
    /// A certificate of a simulated station where real ones count (D20).
    #[error("the certificate was made by a simulated station")]
    Simulated,
}

/// A [`Fault`] and the job the certificate was presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{fault}")]
pub struct CertificateError {
    role: CertificateRole,
    fault: Fault,
}

impl CertificateError {
    pub(crate) const fn new(role: CertificateRole, fault: Fault) -> Self {
        Self { role, fault }
    }

    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.fault
    }

    /// The job the certificate was presented for.
    #[must_use]
    pub const fn role(&self) -> CertificateRole {
        self.role
    }

    /// The error code for screens and the audit log.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self.role {
            CertificateRole::ConfigSigning => signing_code(self.fault),
            CertificateRole::Client => client_code(self.fault),
            CertificateRole::Factory => factory_code(self.fault),
        }
    }
}

fn signing_code(fault: Fault) -> ErrorCode {
    match fault {
        Fault::Malformed
        | Fault::LifetimeTooLong
        | Fault::KeyType
        | Fault::IsAuthority
        | Fault::KeyUsage
        | Fault::ExtendedKeyUsage
        | Fault::Names
        | Fault::Path
        | Fault::Device
        | Fault::Key
        | Fault::TrustLevel
        | Fault::IssuerIsAnchor
        | Fault::IssuerUsage => ErrorCode::SigningProfileViolation,
        Fault::NotAnchored | Fault::Signature => ErrorCode::StationNotAnchored,
        Fault::NotYetValid | Fault::Expired => ErrorCode::SigningCertificateExpired,
        Fault::Site => ErrorCode::SiteMismatch,
        Fault::Simulated => ErrorCode::SimulatedCertificate,
    }
}

fn client_code(fault: Fault) -> ErrorCode {
    match fault {
        Fault::Key => ErrorCode::ClientKeyMismatch,
        Fault::Simulated => ErrorCode::SimulatedCertificate,
        Fault::NotYetValid | Fault::Expired => ErrorCode::CertificateExpired,
        Fault::Malformed
        | Fault::NotAnchored
        | Fault::Signature
        | Fault::Path
        | Fault::LifetimeTooLong
        | Fault::KeyType
        | Fault::IsAuthority
        | Fault::KeyUsage
        | Fault::ExtendedKeyUsage
        | Fault::Names
        | Fault::Site
        | Fault::Device
        | Fault::TrustLevel
        | Fault::IssuerIsAnchor
        | Fault::IssuerUsage => ErrorCode::ClientCertificateInvalid,
    }
}

fn factory_code(fault: Fault) -> ErrorCode {
    match fault {
        Fault::NotYetValid | Fault::Expired => ErrorCode::FactoryCertificateExpired,
        Fault::Device => ErrorCode::FactoryDeviceMismatch,
        Fault::Key => ErrorCode::FactoryKeyMismatch,
        Fault::Malformed
        | Fault::NotAnchored
        | Fault::Signature
        | Fault::Path
        | Fault::LifetimeTooLong
        | Fault::KeyType
        | Fault::IsAuthority
        | Fault::KeyUsage
        | Fault::ExtendedKeyUsage
        | Fault::Names
        | Fault::Site
        | Fault::TrustLevel
        | Fault::IssuerIsAnchor
        | Fault::IssuerUsage
        | Fault::Simulated => ErrorCode::FactoryChainInvalid,
    }
}
