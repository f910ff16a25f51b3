//! The protected header of every JWS (RFC 7515 §4, D4).

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Deserializer, Serialize};

use crate::secret::{is_base64url, or_null, read_text};

/// The four header members that exist here. Any other member refuses the JWS: a member that is not
/// understood could change what the signature means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwsHeader {
    /// The algorithm; compared with the verifier's own record, never obeyed.
    #[serde(deserialize_with = "crate::text::word")]
    pub alg: String,
    /// The type, `zp-hello+jws` and so on; mandatory and exact.
    #[serde(deserialize_with = "crate::text::word")]
    pub typ: String,
    /// The signer's chain, leaf first, each certificate base64 of DER (RFC 7515 §4.1.6).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "certificates_option"
    )]
    pub x5c: Option<Vec<String>>,
    /// The key, where the verifier holds several.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::word_option"
    )]
    pub kid: Option<String>,
}

/// Longest compact JWS in a member, in bytes: with a chain of the usual length in its header it has a few
/// thousand, and a body must hold more than it.
const COMPACT_MAX: usize = 49_152;
const COMPACT_RULE: &str = "must be a compact JWS (RFC 7515 §3.1) of at most 49152 characters";

/// Reads a compact JWS: three parts of base64url. What is in them is for the verifier.
pub(crate) fn compact<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read_text(from, COMPACT_RULE, |text| is_compact(text).then(|| text.into()))
}

or_null!(pub(crate) compact_option, compact, String);

/// Longest certificate in a list, as characters of base64.
const CERTIFICATE_MAX: usize = 16_384;
const CERTIFICATE_RULE: &str = "must be base64 (RFC 4648 §4) of at most 16384 characters";

/// Reads a chain as a list of certificates in base64 of DER. How many there may be and what is in them is
/// for the verifier.
fn certificates<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Certificate(String);
    impl<'de> Deserialize<'de> for Certificate {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            read_text(from, CERTIFICATE_RULE, |text| {
                let is_one = text.len() <= CERTIFICATE_MAX && text.bytes().all(is_base64);
                is_one.then(|| Self(text.into()))
            })
        }
    }
    let list: Vec<Certificate> = Vec::deserialize(from)?;
    Ok(list.into_iter().map(|certificate| certificate.0).collect())
}

or_null!(pub(crate) certificates_option, certificates, Vec<String>);

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn is_compact(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_base64url);
    text.len() <= COMPACT_MAX && text.split('.').count() == 3 && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn only_three_parts_of_base64url_are_a_compact_jws() {
        assert!(is_compact("eyJhbGciOiJFUzI1NiJ9.e30.c2ln"));
        let long = "a".repeat(COMPACT_MAX);
        for bad in ["", "a", "a.b", "a..c", ".b.c", "a.b.", "a.b.c.d", "a.b.c=", "a.b c.d", "a.é.c"]
        {
            assert!(!is_compact(bad), "{bad}");
        }
        assert!(!is_compact(&format!("a.b.{long}")));
        assert!(is_compact(&format!("a.b.{}", &long[4..])));
    }
}
