//! One certificate in PEM form (RFC 7468).

use zmon_crypto::x509::CertificateChain;

use super::CaError;

/// The certificate as text.
pub(super) fn encode(what: &'static str, der: &[u8]) -> Result<String, CaError> {
    CertificateChain::from_der([der.to_vec()])
        .map(|chain| chain.to_pem())
        .map_err(|_| CaError::Certificate(what))
}

/// Exactly one certificate out of text.
pub(crate) fn decode(what: &'static str, text: &str) -> Result<Vec<u8>, CaError> {
    let chain = CertificateChain::from_pem(text.as_bytes());
    match chain {
        Ok(chain) if chain.issuers().is_empty() => Ok(chain.leaf().to_vec()),
        _ => Err(CaError::Certificate(what)),
    }
}
