//! The embedded certificate authority: two roots that never mix, and what they issue (D8).
//!
//! ```text
//! anchor root ──┬── configuration-signing leaf   EKU exactly 1 private OID, ≤ 90 days
//!  (key apart)  └── TLS server leaf              EKU serverAuth, SAN dns/ip
//! client CA ─────── device certificates          EKU exactly clientAuth, SAN urn:zp:device:ID
//! audit key         signs checkpoints, no certificate
//! ```
//!
//! Devices are given the anchor root at imaging; they never trust the client CA, and the client CA
//! itself carries EKU clientAuth, so that no device certificate can ever sign a configuration.
//!
//! **Randomness.** Keys and serial numbers come from the injected generator. The signatures under
//! certificates and revocation lists are made by the `rcgen` library with its provider's P-256,
//! which draws the ECDSA nonce from the operating system; no interface of it takes a generator. A
//! certificate's signature is therefore not reproducible from a seed, everything else in it is.

mod authority;
mod embedded;
mod material;
mod module;
mod params;
mod pem;
mod profile;
mod serial;

pub(crate) use pem::decode as decode_pem;

pub use embedded::EmbeddedCa;
pub use material::{CaMaterial, CaParts};
pub use module::{CaKey, CaModules, ModuleKey};
pub use params::{CaParams, ServerName};
pub use serial::random_serial;

/// Why the authority could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A name cannot stand in a certificate.
    #[error("the name cannot be written into a certificate: {0}")]
    Name(String),
    /// A key is not a P-256 key in PKCS#8 form.
    #[error("the {0} key is not a P-256 key in PKCS#8 form")]
    Key(&'static str),
    /// A certificate is not one certificate in PEM form.
    #[error("the {0} certificate cannot be read")]
    Certificate(&'static str),
    /// A key and its certificate do not belong together.
    #[error("the {0} key does not belong to its certificate")]
    Mismatch(&'static str),
    /// A key in a module cannot be read.
    #[error("the {0} key is in a module and cannot be read")]
    InModule(&'static str),
    /// The clock has no date, so nothing can be given a validity.
    #[error("the date is unknown")]
    NoDate,
    /// The anchor's key is kept apart and was not given.
    #[error("the anchor key is needed and not present")]
    AnchorKeyAbsent,
    /// The certificate library failed.
    #[error("the certificate could not be made: {0}")]
    Library(String),
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Library(error.to_string())
    }
}
