//! X.509 (RFC 5280): anchors, the two certificate profiles, requests and the listener certificate.
//!
//! `rustls-webpki` builds and validates the path; the profiles of this project are checked on top
//! of it by own code (D8). Parsing is done by `rustls-webpki` and `x509-cert`, never by hand.
//!
//! Time is a parameter. With `None` (a device without a clock, D14) a path is validated at the
//! latest `notBefore` of the presented certificates, and the caller then asks
//! [`SigningCertificate::verified_at`] with a time it may trust. Only that call yields
//! [`crate::evidence::ChainVerified`].

mod anchor;
mod chain;
mod client;
pub mod csr;
mod error;
mod factory;
mod leaf;
mod path;
mod self_signed;
mod signer;
mod signing;
mod trust_level;

use alloc::vec::Vec;

use rustls_pki_types::CertificateDer;
use x509_cert::der::asn1::ObjectIdentifier;
use zmon_domain::ids::Thumbprint;

use crate::hash::sha256;

pub use anchor::{Anchor, AnchorError, AnchorSet};
pub use chain::{CertificateChain, MAX_CERTIFICATES};
pub use client::{ClientCertificate, ClientExpectation, verify_client_chain};
pub use error::{CertificateError, CertificateRole, Fault};
pub use factory::{FactoryAnchors, FactoryCertificate, FactoryExpectation, verify_factory_chain};
pub use path::ValidityWindow;
pub use self_signed::self_signed;
pub use signing::{ShownCertificate, SigningCertificate, read_signing_leaf, verify_signing_chain};
pub use trust_level::{
    OID_TRUST_LEVEL, OID_TRUST_LEVEL_ARCS, trust_level_extension, trust_level_of,
};

/// Extended key usage of configuration-signing certificates (D8).
///
/// A placeholder below a private-use arc; a product puts its own enterprise number here.
pub const OID_CONFIG_SIGNING: &str = "1.3.6.1.4.1.58888.1.1";
/// [`OID_CONFIG_SIGNING`] as arcs, for certificate authorities that want numbers.
pub const OID_CONFIG_SIGNING_ARCS: &[u64] = &[1, 3, 6, 1, 4, 1, 58888, 1, 1];

/// Prefix of the SAN URI that names a station.
pub const URN_STATION: &str = "urn:zp:station:";
/// Prefix of the SAN URI that names a site.
pub const URN_SITE: &str = "urn:zp:site:";
/// Prefix of the SAN URI that names a device.
pub const URN_DEVICE: &str = "urn:zp:device:";

pub(crate) const CONFIG_SIGNING: ObjectIdentifier =
    ObjectIdentifier::new_unwrap(OID_CONFIG_SIGNING);
pub(crate) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
pub(crate) const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
pub(crate) const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// The `SubjectPublicKeyInfo` of a certificate, byte for byte as it stands there.
///
/// # Errors
///
/// [`Fault::Malformed`] if it is no v3 certificate.
pub fn spki_of(certificate: &[u8]) -> Result<Vec<u8>, Fault> {
    let der = CertificateDer::from(certificate);
    let parsed = webpki::EndEntityCert::try_from(&der).map_err(|_| Fault::Malformed)?;
    Ok(parsed.subject_public_key_info().to_vec())
}

/// From when to when a certificate says that it is valid.
///
/// # Errors
///
/// [`Fault::Malformed`] if it is no v3 certificate.
pub fn validity_of(certificate: &[u8]) -> Result<ValidityWindow, Fault> {
    leaf::Fields::parse(&CertificateDer::from(certificate)).map(|fields| fields.validity)
}

/// Whether a certificate says that a simulated station made it (D20).
///
/// # Errors
///
/// As [`trust_level_of`].
pub fn is_simulated(certificate: &[u8]) -> Result<bool, Fault> {
    trust_level_of(certificate).map(|level| level == Some(zmon_wire::kind::TrustLevel::Simulated))
}

/// SHA-256 of a certificate's SPKI: the pin of a server or device (D17). Survives a renewal that
/// keeps the key.
///
/// # Errors
///
/// [`Fault::Malformed`] if it is no v3 certificate.
pub fn spki_thumbprint(certificate: &[u8]) -> Result<Thumbprint, Fault> {
    spki_of(certificate).map(|spki| Thumbprint::from_bytes(sha256(&spki)))
}

#[cfg(test)]
mod tests;
