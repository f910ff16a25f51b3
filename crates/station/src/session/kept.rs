//! What is kept of a running session: its machine, and what its driver alone knows.

use zmon_crypto::SecretBytes;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::Serial;
use zmon_domain::time::{Now, UnixTime};
use zmon_protocol::station::{SessionContext, SessionMachine, SnapshotError};

use crate::ports::SessionState;

/// The first byte.
const VERSION: u8 = 1;

/// What makes the certificate of a session the same one however often it is signed: it is decided, and
/// kept, before it is signed the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its serial number.
    pub(crate) serial: Serial,
    /// When it was ordered; its validity counts from there.
    pub(crate) at: UnixTime,
}

/// The bytes for the store; `None` for a session that has ended.
///
/// # Errors
/// `internal` without a wall clock.
pub(crate) fn keep(
    machine: &SessionMachine,
    order: Option<&Order>,
    now: &Now,
) -> Result<Option<SessionState>, ErrorCode> {
    let Some(snapshot) = machine.snapshot(now).map_err(SnapshotError::code)? else {
        return Ok(None);
    };
    // Exact, so that no secret is left behind in what is outgrown.
    let mut bytes = Vec::with_capacity(32 + snapshot.len());
    bytes.push(VERSION);
    let serial = order.map_or(&[][..], |order| order.serial.as_bytes());
    bytes.push(u8::try_from(serial.len()).map_err(|_| ErrorCode::Internal)?);
    bytes.extend_from_slice(serial);
    bytes.extend_from_slice(&order.map_or(0, |order| order.at.unix()).to_be_bytes());
    bytes.extend_from_slice(snapshot.expose());
    Ok(Some(SessionState::new(SecretBytes::new(bytes))))
}

/// Machine and order out of what was kept.
///
/// # Errors
/// [`SnapshotError`].
pub(crate) fn read(
    ctx: &SessionContext<'_>,
    now: &Now,
    state: &SessionState,
) -> Result<(SessionMachine, Option<Order>), SnapshotError> {
    let wrong = SnapshotError::Member("order");
    let (version, rest) = state.expose().split_first().ok_or(wrong)?;
    if *version != VERSION {
        return Err(SnapshotError::Version(*version));
    }
    let (length, rest) = rest.split_first().ok_or(wrong)?;
    let (serial, rest) = rest.split_at_checked(usize::from(*length)).ok_or(wrong)?;
    let (at, snapshot) = rest.split_first_chunk().ok_or(wrong)?;
    let order = if serial.is_empty() {
        None
    } else {
        let serial = Serial::from_bytes(serial).map_err(|_| wrong)?;
        let at = UnixTime::from_unix(i64::from_be_bytes(*at)).ok_or(wrong)?;
        Some(Order { serial, at })
    };
    Ok((SessionMachine::restore(ctx, now, snapshot)?, order))
}
