//! The protected header, the only one there is.

use alloc::string::String;
use alloc::vec::Vec;

use zmon_domain::limits;
use zmon_wire::jws::JwsHeader;
use zmon_wire::strict;

use super::{JwsError, Typ};
use crate::identity::Suite;

/// Serialises a header: `alg`, `typ` and, where given, `x5c`.
pub(super) fn encode(
    typ: Typ,
    suite: Suite,
    x5c: Option<Vec<String>>,
) -> Result<Vec<u8>, JwsError> {
    let header =
        JwsHeader { alg: suite.jws_alg().into(), typ: typ.as_str().into(), x5c, kid: None };
    strict::to_vec(&header).map_err(|_| JwsError::Header)
}

/// Reads a header. Unknown and repeated members refuse it.
pub(super) fn decode(bytes: &[u8]) -> Result<JwsHeader, JwsError> {
    let header: JwsHeader =
        strict::parse(bytes, limits::BODY_MAX.default).map_err(|_| JwsError::Header)?;
    // No message of the protocol selects a key by name, so a `kid` is as unknown as any other.
    if header.kid.is_some() { Err(JwsError::Header) } else { Ok(header) }
}
