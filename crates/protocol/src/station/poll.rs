//! What a device signs when it asks for its next message (D7). Pure; the caller knows whose key it is.

use zmon_crypto::IdentityPublic;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_wire::carry::Poll;
use zmon_wire::strict;

use super::context::SessionContext;

/// Reads a poll, verified with the key that is in it.
///
/// That proves who holds the key and nothing else: whether the key is the device's, the registry or the
/// scan of the session says.
///
/// # Errors
/// `JwsMalformed`, `SignatureInvalid`, or what is wrong with the key.
pub fn verify(
    ctx: &SessionContext<'_>,
    bytes: &[u8],
) -> Result<(Poll, IdentityPublic), ErrorReport> {
    let malformed = |error: strict::WireError| error.report(ErrorCode::JwsMalformed);
    let jws = Unverified::parse(bytes).map_err(|error| error.code())?;
    // Read before it is verified, only to find the key.
    let poll: Poll =
        strict::parse(jws.payload_unverified(), limits::BODY_MAX.default).map_err(malformed)?;
    let key = IdentityPublic::parse(&poll.identity_key).map_err(|error| error.code())?;
    // `poll` was parsed from the very bytes that are verified now.
    let _proof = jws.verify_with(Typ::Pull, &key, ctx.algorithms).map_err(|error| error.code())?;
    Ok((poll, key))
}
