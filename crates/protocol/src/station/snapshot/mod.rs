//! A running session as bytes: what a station keeps, sealed, so that a restart or another station goes on
//! with it.
//!
//! It is data and nothing else. What it holds is read as strictly as a message: the identity document is
//! verified again with its own key, every text by its type, and no byte may be left. Ticks are kept as wall
//! time, because the next process counts its own.

mod codec;
mod device;
mod facts;
mod state;

use zmon_crypto::SecretBytes;
use zmon_domain::error::ErrorCode;
use zmon_domain::time::Now;

use self::codec::{Clock, Reader, Writer};
use super::context::SessionContext;
use super::machine::SessionMachine;

/// The first byte.
const VERSION: u8 = 1;

/// Why a session cannot be taken up from these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Another program made it.
    #[error("the snapshot has version {0}, and this program reads {VERSION}")]
    Version(u8),
    /// A member is missing, or not what its type holds.
    #[error("the snapshot's member {0} is not one of ours")]
    Member(&'static str),
    /// The station has no wall clock.
    #[error("a session is taken up by the wall clock, and there is none")]
    Clock,
}

impl SnapshotError {
    /// The code for log and audit.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Version(_) | Self::Member(_) => ErrorCode::StorageCorrupt,
            Self::Clock => ErrorCode::Internal,
        }
    }
}

impl SessionMachine {
    /// What [`SessionMachine::restore`] needs; `None` for a session that has ended, which needs nothing.
    /// It holds the session's secrets: keep it sealed, and erase it when the session ends.
    ///
    /// # Errors
    /// [`SnapshotError::Clock`].
    pub fn snapshot(&self, now: &Now) -> Result<Option<SecretBytes>, SnapshotError> {
        if self.phase().is_final() {
            return Ok(None);
        }
        let mut to = Writer::new(Clock::at(now).ok_or(SnapshotError::Clock)?);
        to.byte(VERSION);
        facts::write(&mut to, &self.core);
        state::write(&mut to, &self.state)?;
        Ok(Some(to.finish()))
    }

    /// The session of a snapshot. Tell it what the store says of its certificate, then
    /// [`SessionInput::Resumed`](super::SessionInput::Resumed).
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn restore(
        ctx: &SessionContext<'_>,
        now: &Now,
        snapshot: &[u8],
    ) -> Result<Self, SnapshotError> {
        let mut from = Reader::new(snapshot, Clock::at(now).ok_or(SnapshotError::Clock)?);
        match from.byte("version")? {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let core = facts::read(&mut from, ctx)?;
        let state = state::read(&mut from, ctx, &core)?;
        from.end()?;
        Ok(Self { core, state })
    }
}
