//! A device's statement that it has given certificates up (D21).

use zmon_crypto::IdentityPublic;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_wire::retire::RetireStatement;
use zmon_wire::strict;

use super::context::SessionContext;

/// What a statement says that nobody has verified: which record to look up, and nothing else.
///
/// # Errors
/// `JwsMalformed`.
pub fn claimed(statement: &[u8]) -> Result<RetireStatement, ErrorReport> {
    let jws = Unverified::parse(statement).map_err(|error| error.code())?;
    read(jws.payload_unverified())
}

/// Reads a statement and checks it against the identity key on record for its certificates.
///
/// # Errors
/// `JwsMalformed`, or `SignatureInvalid`.
pub fn verify(
    ctx: &SessionContext<'_>,
    statement: &[u8],
    key: &IdentityPublic,
) -> Result<RetireStatement, ErrorReport> {
    let verified = Unverified::parse(statement)
        .and_then(|jws| jws.verify_with(Typ::Retire, key, ctx.algorithms))
        .map_err(|error| error.code())?;
    read(verified.payload())
}

fn read(payload: &[u8]) -> Result<RetireStatement, ErrorReport> {
    let statement: RetireStatement = strict::parse(payload, limits::BODY_MAX.default)
        .map_err(|error| error.report(ErrorCode::JwsMalformed))?;
    if statement.serials.is_empty() { Err(ErrorCode::JwsMalformed.into()) } else { Ok(statement) }
}
