//! The trust level in a client certificate: on what ground its device believed the station (D8).
//!
//! A private extension, not critical so that other verifiers may pass over it: exactly one DER
//! `UTF8String` that holds the level's word.

use alloc::vec::Vec;

use rustls_pki_types::CertificateDer;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::der::{Decode, Encode};
use zmon_wire::kind::TrustLevel;

use super::Fault;
use super::leaf::Fields;

/// The extension's identifier, below the same placeholder as
/// [`OID_CONFIG_SIGNING`](super::OID_CONFIG_SIGNING).
pub const OID_TRUST_LEVEL: &str = "1.3.6.1.4.1.58888.1.2";
/// [`OID_TRUST_LEVEL`] as arcs, for certificate authorities that want numbers.
pub const OID_TRUST_LEVEL_ARCS: &[u64] = &[1, 3, 6, 1, 4, 1, 58888, 1, 2];

const TRUST_LEVEL: ObjectIdentifier = ObjectIdentifier::new_unwrap(OID_TRUST_LEVEL);

/// The extension's value for `level`, DER.
///
/// # Errors
///
/// Never for a level that there is; [`Fault::Malformed`] by the encoder's type.
pub fn trust_level_extension(level: TrustLevel) -> Result<Vec<u8>, Fault> {
    Utf8StringRef::new(level.as_str()).and_then(|text| text.to_der()).map_err(|_| Fault::Malformed)
}

/// What a certificate says of its level; `None` for one that says nothing.
///
/// # Errors
///
/// [`Fault::Malformed`] if it is no v3 certificate, says it twice, or in a word nobody knows.
pub fn trust_level_of(certificate: &[u8]) -> Result<Option<TrustLevel>, Fault> {
    Fields::parse(&CertificateDer::from(certificate)).map(|fields| fields.trust_level)
}

/// The level in a certificate's body.
pub(super) fn read(tbs: &TbsCertificate) -> Result<Option<TrustLevel>, Fault> {
    let all = tbs.extensions().into_iter().flatten();
    let mut found = all.filter(|extension| extension.extn_id == TRUST_LEVEL);
    let Some(extension) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(Fault::Malformed);
    }
    let text = Utf8StringRef::from_der(extension.extn_value.as_bytes());
    let level = text.ok().and_then(|text| text.as_str().parse().ok());
    level.map(Some).ok_or(Fault::Malformed)
}
