//! The life of a device certificate as the station records it (D13).

use core::fmt;

/// What a device certificate may do.
///
/// ```text
/// Pending ──commit──► Current ──next commit──► Superseded ──first request over the next──► Revoked
///    └──failure, ask, 30 min──────┴────────────revoke──────────┴─────────────────────────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateState {
    /// Issued; opens only the connection test and the commit.
    Pending,
    /// The device's one certificate.
    Current,
    /// Replaced by a commit; still accepted until its successor is used.
    Superseded,
    /// Refused everywhere; also a pending one that was aborted.
    Revoked,
}

/// What can happen to a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateEvent {
    /// The device committed to it.
    Committed,
    /// The device committed to another one.
    Replaced,
    /// The first ordinary request came over the certificate that replaced it.
    SuccessorUsed,
    /// An administrator, a retire statement or an expiry of policy revoked it.
    Revoked,
    /// The pairing failed, the device asked, or 30 minutes passed, and no commit had come.
    Aborted,
}

/// What a certificate may be used for on the mTLS listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateUse {
    /// `GET /api/device/test`
    Test,
    /// `POST /api/device/commit`
    Commit,
    /// Everything else: heartbeat and monitoring.
    Ordinary,
    /// `POST /api/device/renew` and what follows it (D23).
    Renew,
}

/// The state does not know this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {state} certificate cannot be {event:?}")]
pub struct CertificateConflict {
    /// The state it is in.
    pub state: CertificateState,
    /// What was asked of it.
    pub event: CertificateEvent,
}

impl CertificateState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Current, Self::Superseded, Self::Revoked];

    /// The name in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// The state after `event`; the same state again where the event has already had its effect.
    ///
    /// # Errors
    /// The event contradicts the state, for instance a commit of a revoked certificate.
    pub const fn after(self, event: CertificateEvent) -> Result<Self, CertificateConflict> {
        use CertificateEvent as E;
        Ok(match (self, event) {
            (Self::Pending | Self::Current, E::Committed) => Self::Current,
            (Self::Current | Self::Superseded, E::Replaced) => Self::Superseded,
            (Self::Superseded | Self::Revoked, E::SuccessorUsed)
            | (Self::Pending | Self::Revoked, E::Aborted)
            | (Self::Revoked, E::Replaced)
            | (_, E::Revoked) => Self::Revoked,
            (state, event) => return Err(CertificateConflict { state, event }),
        })
    }

    /// Whether the mTLS listener lets a certificate in this state do this.
    #[must_use]
    pub const fn permits(self, purpose: CertificateUse) -> bool {
        match self {
            Self::Pending => matches!(purpose, CertificateUse::Test | CertificateUse::Commit),
            // A commit that is repeated because its answer was lost must find its answer.
            Self::Current => true,
            Self::Superseded => matches!(purpose, CertificateUse::Ordinary),
            Self::Revoked => false,
        }
    }
}

impl fmt::Display for CertificateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
