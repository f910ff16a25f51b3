//! Issuing device certificates and revocation lists.

use async_trait::async_trait;
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

use super::rows::RevocationRow;

/// What a device certificate shall say. Every name comes from the station's own record, never from
/// the device's request (D9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificateOrder {
    /// `SubjectPublicKeyInfo` (DER) whose possession the request has proved.
    pub spki: Vec<u8>,
    /// The registered device.
    pub device_id: DeviceId,
    /// Random, at least 64 bits, positive (RFC 5280 §4.1.2.2).
    pub serial: Serial,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
    /// On what ground the device believes this station (D8): the extension
    /// [`OID_TRUST_LEVEL`](zmon_crypto::x509::OID_TRUST_LEVEL).
    pub trust: TrustLevel,
}

/// A certificate and the authorities above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The leaf, DER.
    pub der: Vec<u8>,
    /// Leaf first, then its issuers, DER, as delivered to the device.
    pub chain: Vec<Vec<u8>>,
}

/// What a revocation list shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlOrder {
    /// Strictly increasing (RFC 5280 §5.2.3).
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one is due at the latest.
    pub next_update: UnixTime,
    /// Every revoked certificate that has not expired.
    pub revoked: Vec<RevocationRow>,
}

/// Issues device certificates. The embedded authority is [`crate::ca::EmbeddedCa`]; another
/// authority (a hardware module, a hospital PKI) implements the same.
#[async_trait]
pub trait CertificateIssuer: Send + Sync {
    /// Issues one device certificate with exactly the profile of D8.
    ///
    /// # Errors
    /// [`IssueError`]; nothing was issued.
    async fn issue(&self, order: &ClientCertificateOrder) -> Result<IssuedCertificate, IssueError>;

    /// Signs a revocation list (DER).
    ///
    /// # Errors
    /// [`IssueError`]; nothing was signed.
    async fn revocation_list(&self, order: &CrlOrder) -> Result<Vec<u8>, IssueError>;

    /// The authorities that device certificates chain to, DER, issuer of the leaf first.
    fn authorities(&self) -> Vec<Vec<u8>>;
}

/// Why nothing was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The order breaks the profile.
    #[error("the certificate order is refused: {rule}")]
    Order {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The signing key or its library failed.
    #[error("the certificate could not be signed: {cause}")]
    Signing {
        /// What happened, for the log.
        cause: String,
    },
}
