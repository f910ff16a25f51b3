//! One certificate in PEM form (RFC 7468).

use super::CaError;

/// The certificate as text.
pub(super) fn encode(der: &[u8]) -> String {
    zmon_crypto::x509::pem_from_der(der)
}

/// Exactly one certificate out of text.
pub(super) fn decode(what: &'static str, text: &str) -> Result<Vec<u8>, CaError> {
    let mut chain =
        zmon_crypto::x509::der_from_pem(text).map_err(|_| CaError::Certificate(what))?;
    match (chain.pop(), chain.is_empty()) {
        (Some(der), true) => Ok(der),
        _ => Err(CaError::Certificate(what)),
    }
}
