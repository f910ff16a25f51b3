//! What a use-case answers when it does not do what was asked.

use core::time::Duration;

use zmon_domain::error::{ErrorCode, ErrorReport, FieldError, Side};
use zmon_domain::ids::{OperatorId, SessionId};

use zmon_protocol::station::Refusal;

use crate::ports::StoreError;

/// A refusal: the report every screen and the audit log show, and the few facts an answer may add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{report}")]
pub struct StationError {
    /// Code, step, side and next action; field and rule when input was malformed.
    pub report: ErrorReport,
    /// With `session_reserved`: who works on the device (D11).
    pub holder: Option<OperatorId>,
    /// With `pairing_code_consumed`, for the operator of the session that used the code: that session,
    /// so that an answer that was lost can be fetched (D11).
    pub session: Option<SessionId>,
    /// With `authentication_locked` and `too_many_requests`: how long to wait.
    pub retry_after: Option<Duration>,
}

impl StationError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.report.code
    }

    /// A refusal that names the operator who works on the device.
    #[must_use]
    pub fn reserved_by(holder: OperatorId) -> Self {
        Self { holder: Some(holder), ..Self::from(ErrorCode::SessionReserved) }
    }

    /// A refusal that names the operator's own session that used the code.
    #[must_use]
    pub fn used_by(session: SessionId) -> Self {
        Self { session: Some(session), ..Self::from(ErrorCode::PairingCodeConsumed) }
    }

    /// A refusal that says when to come back.
    #[must_use]
    pub fn retry_after(code: ErrorCode, after: Duration) -> Self {
        Self { retry_after: Some(after), ..Self::from(code) }
    }

    /// A refusal of malformed input.
    #[must_use]
    pub fn field(code: ErrorCode, field: FieldError) -> Self {
        Self::from(ErrorReport::field(code, field))
    }
}

impl From<Refusal> for StationError {
    fn from(refusal: Refusal) -> Self {
        Self { holder: refusal.holder, ..Self::from(refusal.report) }
    }
}

impl From<ErrorReport> for StationError {
    fn from(report: ErrorReport) -> Self {
        let report = report.on(Side::Station);
        Self { report, holder: None, session: None, retry_after: None }
    }
}

impl From<ErrorCode> for StationError {
    fn from(code: ErrorCode) -> Self {
        Self::from(ErrorReport::new(code))
    }
}

impl From<FieldError> for StationError {
    fn from(field: FieldError) -> Self {
        Self::field(ErrorCode::RequestMalformed, field)
    }
}

impl From<StoreError> for StationError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "store");
        Self::from(match error {
            StoreError::Unavailable(_) => ErrorCode::StorageUnavailable,
            StoreError::AuditUnavailable(_) => ErrorCode::AuditUnavailable,
            StoreError::Corrupt(_) => ErrorCode::StorageCorrupt,
        })
    }
}
