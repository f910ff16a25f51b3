//! The protected header of every JWS (RFC 7515 §4, D4).

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

/// The four header members that exist here. Any other member refuses the JWS: a member that is not
/// understood could change what the signature means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwsHeader {
    /// The algorithm; compared with the verifier's own record, never obeyed.
    pub alg: String,
    /// The type, `zp-hello+jws` and so on; mandatory and exact.
    pub typ: String,
    /// The signer's chain, leaf first, each certificate base64 of DER (RFC 7515 §4.1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x5c: Option<Vec<String>>,
    /// The key, where the verifier holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}
