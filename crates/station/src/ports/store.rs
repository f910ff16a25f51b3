//! The station's memory (D11, D13, D16).
//!
//! Every method that changes something takes the audit rows of that change and writes both in one
//! transaction: no audit row, no operation. Conditional methods decide *inside* the transaction and
//! return a typed verdict; with any verdict but the first they have changed nothing and written no
//! row, and the caller records the refusal itself with [`StationStore::commit`].

use async_trait::async_trait;
use zmon_domain::audit::AuditEvent;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceLabel, DeviceSerial, OperatorId, Serial, SessionId, Thumbprint, TokenId,
};
use zmon_domain::time::{Now, UnixTime};

use super::rows::{
    AuditPage, AuditReport, AuditRow, CertificateRow, CertificateState, CrlRow, DeviceRow,
    DeviceStatus, LoginRow, OperatorRow, Page, RevocationReason, RevocationRow, SessionRow,
    SessionState,
};

/// Unconditional writes and the audit rows that explain them, one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct StationRecord {
    /// Audit rows, in order.
    pub audit: Vec<AuditEvent>,
    /// Writes, in order.
    pub writes: Vec<StationWrite>,
}

impl StationRecord {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.audit.is_empty() && self.writes.is_empty()
    }
}

/// One unconditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StationWrite {
    /// Moves a session; the row exists. `error` and `answer` replace what is stored only when given.
    Session {
        /// Which.
        id: SessionId,
        /// Its new state.
        state: SessionState,
        /// Why it failed.
        error: Option<zmon_domain::error::ErrorCode>,
        /// The finished answer of `pair`.
        answer: Option<Vec<u8>>,
    },
    /// Extends or shortens a session's reservation.
    SessionDeadline {
        /// Which.
        id: SessionId,
        /// After this it no longer keeps the device reserved.
        expires_at: UnixTime,
    },
    /// Adds a device that policy admits without a manifest. Unique columns still hold; a clash is
    /// [`StoreError::Conflict`].
    AddDevice(DeviceRow),
    /// Records where a device stands and what it is called.
    DevicePlace {
        /// Which.
        id: DeviceId,
        /// Where; `None` leaves it.
        bed: Option<BedId>,
        /// What it is called; `None` leaves it.
        label: Option<DeviceLabel>,
    },
    /// Changes whether a device may be paired.
    DeviceStatus {
        /// Which.
        id: DeviceId,
        /// Its new status.
        status: DeviceStatus,
    },
    /// Keeps the latest audit checkpoint a device has sent (D16).
    PeerCheckpoint {
        /// Whose.
        device_id: DeviceId,
        /// The statement, a JWS in compact form.
        checkpoint: String,
    },
    /// Keeps a login.
    AddLogin(LoginRow),
    /// Forgets a login.
    DropLogin {
        /// SHA-256 of the bearer token.
        token_hash: [u8; 32],
    },
    /// Forgets every login that expired before this.
    DropLoginsBefore(UnixTime),
}

/// Why the store could not do it. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached or written.
    #[error("the station's database is not available: {0}")]
    Unavailable(String),
    /// The audit rows could not be written.
    #[error("the audit log is not available: {0}")]
    AuditUnavailable(String),
    /// What is stored is not what was written.
    #[error("the station's database is damaged: {0}")]
    Corrupt(String),
    /// A unique column already holds the value.
    #[error("the value is already in use: {0}")]
    Conflict(&'static str),
}

/// Outcome of [`StationStore::import_devices`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportVerdict {
    /// Every row is in (rows that were already there, exactly, count as in).
    Imported {
        /// How many were new.
        added: usize,
        /// How many were already there, exactly the same id, serial and identity.
        unchanged: usize,
    },
    /// No row is in.
    Refused(Vec<ImportConflict>),
}

/// Why one row of an import cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportConflict {
    /// Position in the import, from 0.
    pub index: usize,
    /// What clashes.
    pub kind: ImportConflictKind,
    /// The registered device it clashes with.
    pub existing: DeviceId,
}

/// What clashes with a registered device (D9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportConflictKind {
    /// The id is registered with another identity key.
    IdUnderOtherKey,
    /// The serial number is registered with another identity key.
    SerialUnderOtherKey,
    /// The identity key is registered for another device.
    KeyOfOtherDevice,
    /// Same key, but id and serial number do not belong together.
    IdSerialMismatch,
}

/// Outcome of [`StationStore::add_operator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddOperatorVerdict {
    /// Added.
    Added,
    /// The account exists.
    Exists,
}

/// Outcome of [`StationStore::reserve_session`]. The first wins; a loser learns who holds it (D11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveVerdict {
    /// Reserved.
    Reserved {
        /// A session whose reservation had run out and was released by this call.
        released: Option<SessionId>,
    },
    /// Another session is active for the device.
    Held(SessionRow),
    /// The token has been claimed by this session before.
    TokenUsed(SessionId),
}

/// Outcome of [`StationStore::claim_session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimVerdict {
    /// Claimed.
    Claimed,
    /// The session is not [`SessionState::Reserved`].
    NotReserved(SessionState),
    /// The token has been claimed by this session before.
    TokenUsed(SessionId),
    /// No such session.
    Unknown,
}

/// Outcome of [`StationStore::issue_pending`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueVerdict {
    /// Recorded.
    Issued,
    /// The session has a certificate: use this one, never mint twice.
    AlreadyIssued(Box<CertificateRow>),
    /// The session is no longer active.
    SessionEnded(SessionState),
}

/// Outcome of [`StationStore::commit_certificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitVerdict {
    /// It is current now.
    Committed,
    /// It was current before (a repeated commit).
    AlreadyCommitted,
    /// It is neither pending nor current.
    NotPending(CertificateState),
    /// The device's current certificate is not the expected one: read it again and retry.
    CurrentChanged(Option<Serial>),
    /// No such certificate.
    Unknown,
}

/// Outcome of [`StationStore::settle_superseded`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleVerdict {
    /// Revoked.
    Settled,
    /// It was no longer superseded.
    NotSuperseded,
}

/// Outcome of [`StationStore::abort_pending`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortVerdict {
    /// Revoked without ever having been current.
    Aborted,
    /// It is not pending.
    NotPending(CertificateState),
    /// No such certificate.
    Unknown,
}

/// Outcome of [`StationStore::revoke`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeVerdict {
    /// Revoked.
    Revoked {
        /// What it was before.
        was: CertificateState,
    },
    /// It was revoked before.
    AlreadyRevoked,
    /// No such certificate.
    Unknown,
}

/// Outcome of [`StationStore::publish_crl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrlVerdict {
    /// Stored as the latest.
    Published,
    /// Another writer was first: build again after this number.
    Behind {
        /// The latest stored number.
        latest: u64,
    },
}

/// The station's durable memory.
#[async_trait]
pub trait StationStore: Send + Sync {
    /// Commits audit rows and writes in one transaction.
    async fn commit(&self, now: &Now, record: &StationRecord) -> Result<(), StoreError>;

    // Registry.

    /// A device by id.
    async fn device(&self, id: &DeviceId) -> Result<Option<DeviceRow>, StoreError>;
    /// A device by serial number.
    async fn device_by_serial(
        &self,
        serial: &DeviceSerial,
    ) -> Result<Option<DeviceRow>, StoreError>;
    /// A device by identity key.
    async fn device_by_identity(
        &self,
        identity: &Thumbprint,
    ) -> Result<Option<DeviceRow>, StoreError>;
    /// Devices by id, ascending.
    async fn devices(&self, page: Page) -> Result<Vec<DeviceRow>, StoreError>;
    /// Adds all rows or none. A row equal in id, serial and identity to a registered one is no
    /// conflict; its place and settings are taken over.
    async fn import_devices(
        &self,
        now: &Now,
        rows: &[DeviceRow],
        audit: &[AuditEvent],
    ) -> Result<ImportVerdict, StoreError>;

    // Operators.

    /// An account by id.
    async fn operator(&self, id: &OperatorId) -> Result<Option<OperatorRow>, StoreError>;
    /// Every account, by id.
    async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError>;
    /// Adds an account unless it exists.
    async fn add_operator(
        &self,
        now: &Now,
        row: &OperatorRow,
        audit: &[AuditEvent],
    ) -> Result<AddOperatorVerdict, StoreError>;
    /// A login by the hash of its bearer token.
    async fn login(&self, token_hash: &[u8; 32]) -> Result<Option<LoginRow>, StoreError>;

    // Sessions.

    /// A session by id.
    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, StoreError>;
    /// Every session that is in an active state, whatever its deadline.
    async fn active_sessions(&self) -> Result<Vec<SessionRow>, StoreError>;
    /// Inserts `row` (state [`SessionState::Reserved`]) unless the device has an active session
    /// whose `expires_at` has not passed at `at`, or the token was claimed before. An active row
    /// whose deadline has passed becomes [`SessionState::Released`] in the same transaction.
    async fn reserve_session(
        &self,
        now: &Now,
        at: UnixTime,
        row: &SessionRow,
        audit: &[AuditEvent],
    ) -> Result<ReserveVerdict, StoreError>;
    /// `Reserved` → `Claimed`, and the token is claimed for ever. A false "claimed" would open a
    /// used code again; a false refusal costs the operator one new code.
    async fn claim_session(
        &self,
        now: &Now,
        id: &SessionId,
        token_id: &TokenId,
        expires_at: UnixTime,
        audit: &[AuditEvent],
    ) -> Result<ClaimVerdict, StoreError>;

    // Certificates.

    /// A certificate by serial number: the per-request check, so one indexed read.
    async fn certificate(&self, serial: &Serial) -> Result<Option<CertificateRow>, StoreError>;
    /// The certificate of a session.
    async fn certificate_of_session(
        &self,
        session: &SessionId,
    ) -> Result<Option<CertificateRow>, StoreError>;
    /// A device's certificates in one state.
    async fn certificates_of_device(
        &self,
        device: &DeviceId,
        state: CertificateState,
    ) -> Result<Vec<CertificateRow>, StoreError>;
    /// Pending certificates issued at or before `issued_at`.
    async fn pending_since(&self, issued_at: UnixTime) -> Result<Vec<CertificateRow>, StoreError>;
    /// Records a certificate as pending (`row.state`) and its session as
    /// [`SessionState::Delivering`]. UNIQUE per session and per serial.
    async fn issue_pending(
        &self,
        now: &Now,
        row: &CertificateRow,
        audit: &[AuditEvent],
    ) -> Result<IssueVerdict, StoreError>;
    /// Pending → current, `expected_current` → superseded, `committed_at` = `at`, its session →
    /// [`SessionState::Completed`]; exactly one certificate of the device is current afterwards.
    async fn commit_certificate(
        &self,
        now: &Now,
        at: UnixTime,
        serial: &Serial,
        expected_current: Option<&Serial>,
        audit: &[AuditEvent],
    ) -> Result<CommitVerdict, StoreError>;
    /// Superseded → revoked (reason superseded), once its successor is in ordinary use.
    async fn settle_superseded(
        &self,
        now: &Now,
        at: UnixTime,
        serial: &Serial,
        audit: &[AuditEvent],
    ) -> Result<SettleVerdict, StoreError>;
    /// Pending → revoked (reason aborted).
    async fn abort_pending(
        &self,
        now: &Now,
        at: UnixTime,
        serial: &Serial,
        audit: &[AuditEvent],
    ) -> Result<AbortVerdict, StoreError>;
    /// Anything but revoked → revoked.
    async fn revoke(
        &self,
        now: &Now,
        at: UnixTime,
        serial: &Serial,
        reason: RevocationReason,
        audit: &[AuditEvent],
    ) -> Result<RevokeVerdict, StoreError>;
    /// Revoked certificates whose validity ends at or after `at`, by serial number.
    async fn revocations(&self, at: UnixTime) -> Result<Vec<RevocationRow>, StoreError>;
    /// The latest revocation list.
    async fn latest_crl(&self) -> Result<Option<CrlRow>, StoreError>;
    /// Stores a list whose number is exactly the latest + 1 (or 1).
    async fn publish_crl(
        &self,
        now: &Now,
        row: &CrlRow,
        audit: &[AuditEvent],
    ) -> Result<CrlVerdict, StoreError>;

    // Audit.

    /// A part of the log, oldest first.
    async fn audit(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError>;
    /// Recomputes the whole chain.
    async fn verify_audit(&self) -> Result<AuditReport, StoreError>;
}
