//! A list of certificates as it travels: base64 of PEM, PEM, `x5c` or DER.

use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{SectionKind, SliceIter};
use zmon_domain::limits;

use super::Fault;

/// Certificates a chain may have. Real ones have two or three.
pub const MAX_CERTIFICATES: usize = 8;

/// One to [`MAX_CERTIFICATES`] certificates in DER, leaf first. Nothing in them is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateChain {
    leaf: CertificateDer<'static>,
    issuers: Vec<CertificateDer<'static>>,
}

impl CertificateChain {
    /// From certificates in DER, leaf first.
    ///
    /// # Errors
    ///
    /// [`Fault::Malformed`] for none or too many.
    pub fn from_der(certificates: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, Fault> {
        let mut certificates = certificates.into_iter().map(CertificateDer::from);
        let leaf = certificates.next().ok_or(Fault::Malformed)?;
        let issuers: Vec<_> = certificates.take(MAX_CERTIFICATES).collect();
        if issuers.len() >= MAX_CERTIFICATES {
            return Err(Fault::Malformed);
        }
        Ok(Self { leaf, issuers })
    }

    /// From the `x5c` member of a JWS header (RFC 7515 §4.1.6): standard base64 of DER.
    ///
    /// # Errors
    ///
    /// [`Fault::Malformed`] for bad base64, none or too many.
    pub fn from_x5c<S: AsRef<str>>(members: &[S]) -> Result<Self, Fault> {
        let certificates: Result<Vec<_>, _> = members
            .iter()
            .take(MAX_CERTIFICATES + 1)
            .map(|text| Base64::decode_vec(text.as_ref()).map_err(|_| Fault::Malformed))
            .collect();
        Self::from_der(certificates?)
    }

    /// From PEM text (RFC 7468). Text between the blocks is ignored, a block of another kind, for
    /// example a private key, refuses the whole.
    ///
    /// # Errors
    ///
    /// [`Fault::Malformed`] for bad PEM, another kind of block, none or too many.
    pub fn from_pem(text: &[u8]) -> Result<Self, Fault> {
        if text.len() > limits::BODY_MAX.default {
            return Err(Fault::Malformed);
        }
        let mut certificates = Vec::new();
        for section in SliceIter::<(SectionKind, Vec<u8>)>::new(text) {
            match section {
                Ok((SectionKind::Certificate, der)) => certificates.push(der),
                Ok((_, mut other)) => {
                    zeroize::Zeroize::zeroize(&mut other);
                    return Err(Fault::Malformed);
                }
                Err(_) => return Err(Fault::Malformed),
            }
        }
        Self::from_der(certificates)
    }

    /// From a configuration member: base64 of PEM, or bare PEM ([W §5]; both are read).
    ///
    /// # Errors
    ///
    /// [`Fault::Malformed`] as for [`CertificateChain::from_pem`].
    pub fn from_base64_pem(text: &str) -> Result<Self, Fault> {
        if text.trim_start().starts_with("-----BEGIN") {
            return Self::from_pem(text.as_bytes());
        }
        if text.len() > limits::BODY_MAX.default {
            return Err(Fault::Malformed);
        }
        let pem = Base64::decode_vec(text).map_err(|_| Fault::Malformed)?;
        Self::from_pem(&pem)
    }

    /// The first certificate.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    /// The others, in the order given.
    #[must_use]
    pub fn issuers(&self) -> &[CertificateDer<'static>] {
        &self.issuers
    }

    /// The others as a chain of their own; `None` if there are none.
    #[must_use]
    pub fn issuer_chain(&self) -> Option<Self> {
        let (leaf, issuers) = self.issuers.split_first()?;
        Some(Self { leaf: leaf.clone(), issuers: issuers.to_vec() })
    }

    /// All certificates, leaf first.
    pub fn iter(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        core::iter::once(&self.leaf).chain(&self.issuers)
    }

    /// All certificates as a list, leaf first, for [`crate::jws::sign`] and TLS.
    #[must_use]
    pub fn to_der_list(&self) -> Vec<CertificateDer<'static>> {
        self.iter().cloned().collect()
    }

    /// As members of a message: standard base64 of DER, leaf first (RFC 7515 §4.1.6).
    #[must_use]
    pub fn to_x5c(&self) -> Vec<String> {
        self.iter().map(|certificate| Base64::encode_string(certificate)).collect()
    }

    /// The chain as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut out = String::new();
        for certificate in self.iter() {
            out.push_str("-----BEGIN CERTIFICATE-----\n");
            let text = Base64::encode_string(certificate);
            let mut rest = text.as_str();
            while !rest.is_empty() {
                // RFC 7468 §2: lines of 64 characters. Base64 is ASCII, any index is a boundary.
                let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
                out.push_str(line);
                out.push('\n');
                rest = tail;
            }
            out.push_str("-----END CERTIFICATE-----\n");
        }
        out
    }

    /// The chain as configuration members carry it: base64 of PEM.
    #[must_use]
    pub fn to_base64_pem(&self) -> String {
        Base64::encode_string(self.to_pem().as_bytes())
    }
}
