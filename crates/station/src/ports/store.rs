//! The station's memory (D11, D13, D16).
//!
//! Everything that changes something is a [`StationRecord`]: audit rows and writes, committed in
//! one transaction. No audit row, no operation. Many writes are *conditional*: they decide inside
//! the transaction, and when one of them cannot be done the whole record is rolled back and the
//! caller gets a typed [`Refusal`]; the caller then records that refusal with a record of its own.

use async_trait::async_trait;
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceSerial, InstanceName, OperatorId, Serial, SessionId, Thumbprint,
    TokenId, WindowId,
};
use zmon_domain::settings::DeviceSettings;
use zmon_domain::time::{Now, UnixTime};
use zmon_protocol::station::{CertificateState, SessionPhase, TypedTries};

use super::batch::{BatchRefusal, BatchStore, BatchWrite};
use super::rows::{
    AuditPage, AuditReport, AuditRow, CertificateListing, CertificateRow, CrlRow, DeviceRow,
    DeviceStatus, EnrolmentCredentialRow, LoginRow, OperatorRow, Page, Place, RevocationReason,
    RevocationRow, SessionRow, SessionStanding, SessionState,
};

/// Audit rows and writes of one step. All of it, or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StationRecord {
    /// Audit rows, in order.
    pub audit: Vec<AuditEvent>,
    /// Writes, in order; later ones see earlier ones.
    pub writes: Vec<StationWrite>,
}

impl StationRecord {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.audit.is_empty() && self.writes.is_empty()
    }
}

/// One write. The refusal a write may cause is named with it; a write without one is unconditional.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StationWrite {
    // Registry.
    /// Adds devices, all or none. A row equal to a registered one in id, serial number and identity
    /// is no conflict: its place and settings are taken over where the new row has them.
    /// [`Refusal::DeviceConflicts`].
    ImportDevices(Vec<DeviceRow>),
    /// Gives a device another identity key, and ends its unspent credential. [`Refusal::KeyMoved`] unless it has exactly `from`,
    /// [`Refusal::DeviceConflicts`] when `to` is another device's.
    Rekey {
        /// Which.
        device_id: DeviceId,
        /// The key it must have.
        from: Thumbprint,
        /// The key it gets.
        to: Thumbprint,
    },
    /// Records what the device carries from now on.
    Assign {
        /// Which.
        device_id: DeviceId,
        /// Label, bed, unit, language, interval.
        settings: DeviceSettings,
    },
    /// Records where a device stands, and what it is called; its other settings stay.
    /// [`Refusal::PlaceMoved`] when it stands elsewhere than was believed, or is not registered.
    Place {
        /// Which.
        device_id: DeviceId,
        /// Where it is believed to stand.
        from: Place,
        /// Where it stands from now on.
        to: Place,
    },
    /// Keeps the counter of a device's recovery (D23). [`Refusal::CounterBehind`] unless it is higher
    /// than the one kept.
    RecoveryCounter {
        /// Whose.
        device_id: DeviceId,
        /// The counter.
        counter: u64,
    },
    /// Changes whether a device may be paired. One that is taken out of service loses its unspent credential.
    DeviceStatus {
        /// Which.
        device_id: DeviceId,
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

    /// Forgets what a device has shown of its audit log: it may begin a new one.
    ForgetPeerCheckpoint {
        /// Whose.
        device_id: DeviceId,
    },

    // Operators.
    /// Adds an account. [`Refusal::OperatorExists`].
    AddOperator(OperatorRow),
    /// Sets a password of the operator's own and ends every other login of that account.
    /// [`Refusal::PasswordStale`] unless the stored hash is still `before`.
    SetPassword {
        /// Whose.
        operator: OperatorId,
        /// The hash that the present password was checked against.
        before: String,
        /// The new hash, in PHC string form.
        after: String,
        /// The login that goes on, by its token's SHA-256.
        keep: [u8; 32],
    },
    /// Sets a password that opens nothing but its own change, and ends every login of the account.
    /// [`Refusal::OperatorUnknown`].
    OneTimePassword {
        /// Whose.
        operator: OperatorId,
        /// The hash, in PHC string form.
        hash: String,
    },
    /// Bars an account from logging in and ends its logins, or lets it in again.
    /// [`Refusal::OperatorUnknown`], and [`Refusal::LastAdministrator`] when no other administrator could
    /// log in after it.
    OperatorAccess {
        /// Whose.
        operator: OperatorId,
        /// Whether it is barred.
        disabled: bool,
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

    // Sessions.
    /// Inserts the row (`reserved`). A reserved row of the same device whose `expires_at` lies
    /// before `row.opened_at` first loses its reservation, and its phase becomes
    /// [`SessionPhase::Released`] unless that is final already. [`Refusal::DeviceReserved`] when a
    /// live one remains, [`Refusal::TokenUsed`] when the token was claimed before.
    Reserve(SessionRow),
    /// The token is claimed by this session for ever. A false success would open a used code again,
    /// a false refusal costs the operator one new code. [`Refusal::TokenUsed`] when *another*
    /// session has claimed it.
    ClaimToken {
        /// By which session.
        session_id: SessionId,
        /// Which token.
        token_id: TokenId,
    },
    /// Counts a run of a typed code. [`Refusal::TriesSpent`] when the operator has none left in this
    /// window or in the hour before `at` ([`limits::TYPED_TRIES`], [`limits::TYPED_TRIES_HOURLY`]).
    ///
    /// [`limits::TYPED_TRIES`]: zmon_domain::limits::TYPED_TRIES
    /// [`limits::TYPED_TRIES_HOURLY`]: zmon_domain::limits::TYPED_TRIES_HOURLY
    SpendTry {
        /// The session it belongs to; it has one.
        session_id: SessionId,
        /// Who typed the code.
        operator: OperatorId,
        /// The window it is tried in.
        window_id: WindowId,
        /// When.
        at: UnixTime,
    },
    /// Moves a session that is not yet in a final phase. [`Refusal::SessionEnded`].
    Session {
        /// Which.
        session_id: SessionId,
        /// Where it is.
        phase: SessionPhase,
        /// Why it failed; `None` leaves what is stored.
        error: Option<ErrorCode>,
    },
    /// Keeps the finished answer of `pair`.
    SessionAnswer {
        /// Which.
        session_id: SessionId,
        /// JSON bytes.
        answer: Vec<u8>,
    },
    /// Moves the end of a session's reservation.
    SessionDeadline {
        /// Which.
        session_id: SessionId,
        /// After this it no longer keeps the device reserved.
        expires_at: UnixTime,
    },
    /// The reservation is gone. Idempotent.
    Release {
        /// The session that held it.
        session_id: SessionId,
    },
    /// Goes before what the owner of a session writes. [`Refusal::SessionTaken`] unless the session has this
    /// epoch.
    Hold {
        /// Which.
        session_id: SessionId,
        /// The owner's.
        epoch: u64,
    },
    /// Keeps what the session's machine needs to go on, sealed, in place of what was kept. It is erased as
    /// soon as the session's phase is a final one. [`Refusal::SessionEnded`] when it is.
    SessionState {
        /// Which.
        session_id: SessionId,
        /// What its machine needs.
        state: SessionState,
    },
    /// Gives a session that is in no final phase to another owner: its epoch rises by one.
    /// [`Refusal::SessionEnded`], and [`Refusal::SessionTaken`] unless it has the epoch `from`.
    TakeSession {
        /// Which.
        session_id: SessionId,
        /// The epoch it must have.
        from: u64,
        /// Who runs it from now on; none when nobody can, and what was kept of it is erased.
        owner: Option<InstanceName>,
        /// From then on it may be taken over.
        lease_until: UnixTime,
    },
    /// Moves the ends of the leases of those of these sessions that still are this owner's.
    RenewLeases {
        /// Whose.
        owner: InstanceName,
        /// Which.
        sessions: Vec<SessionId>,
        /// Their end.
        until: UnixTime,
    },

    // Enrolment.
    /// Lets a device enrol once, by this credential and by no earlier one.
    PermitEnrolment(EnrolmentCredentialRow),
    /// The credential is used up, for ever, by this session. [`Refusal::CredentialSpent`] unless the device has
    /// exactly this one, it is alive at `at`, and no session has spent it.
    SpendCredential {
        /// Whose.
        device_id: DeviceId,
        /// SHA-256 of the secret.
        hash: [u8; 32],
        /// By which session.
        session_id: SessionId,
        /// When.
        at: UnixTime,
    },

    // Batches.
    /// A write about batches. [`Refusal::Batch`].
    Batch(BatchWrite),

    // Certificates.
    /// Inserts the row. [`Refusal::DeviceDecommissioned`] when the device has been taken out of service,
    /// [`Refusal::CertificateExists`] when its session has one already: a retry uses that one and never
    /// mints a second.
    InsertCertificate(CertificateRow),
    /// Moves a certificate from exactly this state. [`Refusal::CertificateState`] when it is in
    /// another one or unknown, [`Refusal::OtherCurrent`] when the device would have two current
    /// ones. With a reason that ends enrolment ([`RevocationReason::ends_enrolment`]) the unspent
    /// credential of its device ends too.
    Certificate {
        /// Which.
        serial: Serial,
        /// The state it must be in.
        from: CertificateState,
        /// The state it takes. `Current` sets `committed_at`, `Revoked` sets `revoked`.
        to: CertificateState,
        /// When.
        at: UnixTime,
        /// With `Revoked`: why; present then and only then.
        reason: Option<RevocationReason>,
    },
    /// Pending → revoked with [`RevocationReason::Aborted`]; nothing when it is revoked already.
    /// [`Refusal::CertificateState`] when the device was faster and it is current or superseded: a
    /// pairing is never reported as failed after its commit.
    AbortPending {
        /// Which.
        serial: Serial,
        /// When.
        at: UnixTime,
    },
    /// Stores a list whose number is exactly the latest + 1 (or 1). [`Refusal::CrlBehind`].
    PublishCrl(CrlRow),
}

/// Why a record was rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Another operator's session keeps the device: this one.
    DeviceReserved(Box<SessionRow>),
    /// The token was claimed by this session before.
    TokenUsed(SessionId),
    /// The operator has no try of a typed code left.
    TriesSpent,
    /// The session has ended in this phase; `None`: there is no such session.
    SessionEnded(Option<SessionPhase>),
    /// The session has another owner, by its epoch.
    SessionTaken {
        /// The epoch it has.
        epoch: u64,
    },
    /// The device has been taken out of service: it gets no certificate any more.
    DeviceDecommissioned,
    /// The session has this certificate already.
    CertificateExists(Box<CertificateRow>),
    /// The certificate is in this state; `None`: there is no such certificate.
    CertificateState {
        /// Which.
        serial: Serial,
        /// Where it stands.
        state: Option<CertificateState>,
    },
    /// The device has this other current certificate.
    OtherCurrent(Serial),
    /// The device has another identity key than was believed, or is not registered.
    KeyMoved,
    /// The device stands elsewhere than was believed, or is not registered.
    PlaceMoved,
    /// No device row of the import was taken.
    DeviceConflicts(Vec<ImportConflict>),
    /// The device's counter stands here already: the request was used before.
    CounterBehind {
        /// The counter kept.
        latest: u64,
    },
    /// The device has no such credential any more.
    CredentialSpent,
    /// The account exists.
    OperatorExists,
    /// There is no such account.
    OperatorUnknown,
    /// It is the only administrator who may log in.
    LastAdministrator,
    /// The password was changed meanwhile, or there is no such account.
    PasswordStale,
    /// A write about batches cannot be done.
    Batch(BatchRefusal),
    /// Another writer published first: build again after this number.
    CrlBehind {
        /// The latest stored number.
        latest: u64,
    },
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

/// The station's durable memory.
#[async_trait]
pub trait StationStore: BatchStore + Send + Sync {
    /// Whether other processes may write to it too.
    fn is_shared(&self) -> bool;

    /// Commits audit rows and writes in one transaction; durable when it answers `Ok(Ok(()))`.
    ///
    /// # Errors
    /// `Ok(Err(refusal))`: a conditional write cannot be done. `Err(error)`: the store cannot. In
    /// both cases nothing has changed and no row was written.
    async fn commit(
        &self,
        now: &Now,
        record: &StationRecord,
    ) -> Result<Result<(), Refusal>, StoreError>;

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
    /// Devices at a bed, by id.
    async fn devices_at_bed(&self, bed: &BedId) -> Result<Vec<DeviceRow>, StoreError>;
    /// Devices by id, ascending.
    async fn devices(&self, page: Page) -> Result<Vec<DeviceRow>, StoreError>;
    /// The latest audit checkpoint a device has sent.
    async fn peer_checkpoint(&self, id: &DeviceId) -> Result<Option<String>, StoreError>;

    /// The counter of the latest recovery of a device (D23); 0 before the first.
    async fn recovery_counter(&self, id: &DeviceId) -> Result<u64, StoreError>;

    /// The latest credential that was made for a device's enrolment, whatever has become of it.
    async fn enrolment_credential(
        &self,
        id: &DeviceId,
    ) -> Result<Option<EnrolmentCredentialRow>, StoreError>;

    // Operators.

    /// An account by id.
    async fn operator(&self, id: &OperatorId) -> Result<Option<OperatorRow>, StoreError>;
    /// Every account, by id.
    async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError>;
    /// A login by the hash of its bearer token.
    async fn login(&self, token_hash: &[u8; 32]) -> Result<Option<LoginRow>, StoreError>;

    // Sessions.

    /// A session by id.
    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, StoreError>;
    /// The running sessions of an owner.
    async fn sessions_of(&self, owner: &InstanceName) -> Result<Vec<SessionStanding>, StoreError>;
    /// What is kept of a running session.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it cannot be opened with this station's key.
    async fn session_state(&self, id: &SessionId) -> Result<Option<SessionState>, StoreError>;
    /// The session that has claimed a token.
    async fn claimed_by(&self, token: &TokenId) -> Result<Option<SessionId>, StoreError>;
    /// The session that keeps a device reserved, whatever its deadline.
    async fn reservation(&self, device: &DeviceId) -> Result<Option<SessionRow>, StoreError>;
    /// How often the operator has tried a typed code: in this window, and without success in the hour
    /// before `at`.
    async fn typed_tries(
        &self,
        operator: &OperatorId,
        window: &WindowId,
        at: UnixTime,
    ) -> Result<TypedTries, StoreError>;
    /// How many pairings that an operator opened at or after `at` have succeeded.
    async fn paired_since(&self, at: UnixTime) -> Result<u64, StoreError>;
    /// Every session that keeps a device reserved or is in no final phase.
    async fn open_sessions(&self) -> Result<Vec<SessionRow>, StoreError>;

    // Certificates.

    /// A certificate by serial number: the per-request check, so one indexed read.
    async fn certificate(&self, serial: &Serial) -> Result<Option<CertificateRow>, StoreError>;
    /// The certificate of a session.
    async fn certificate_of_session(
        &self,
        session: &SessionId,
    ) -> Result<Option<CertificateRow>, StoreError>;
    /// A device's certificates in one state, oldest first.
    async fn certificates_of_device(
        &self,
        device: &DeviceId,
        state: CertificateState,
    ) -> Result<Vec<CertificateRow>, StoreError>;
    /// Certificates in one state: the soonest to end first, revoked ones by the latest revocation.
    async fn certificates(
        &self,
        state: CertificateState,
        page: Page,
    ) -> Result<Vec<CertificateListing>, StoreError>;
    /// How many certificates are in one state.
    async fn count_certificates(&self, state: CertificateState) -> Result<u64, StoreError>;
    /// The greatest `config_version` a device was ever issued; 0 without any.
    async fn config_version(&self, device: &DeviceId) -> Result<u64, StoreError>;
    /// Pending certificates issued at or before `issued_at`, oldest first.
    async fn pending_since(&self, issued_at: UnixTime) -> Result<Vec<CertificateRow>, StoreError>;
    /// Revoked certificates whose validity ends at or after `at`, by serial number.
    async fn revocations(&self, at: UnixTime) -> Result<Vec<RevocationRow>, StoreError>;
    /// The number of the latest revocation list; 0 without one.
    async fn crl_number(&self) -> Result<u64, StoreError>;
    /// The latest revocation list.
    async fn latest_crl(&self) -> Result<Option<CrlRow>, StoreError>;

    // Audit.

    /// A part of the log, oldest first.
    async fn audit(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError>;
    /// At most `limit` rows before the row with the number `before`, newest first; 0 = from the newest.
    async fn newest_audit(&self, before: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
    /// Recomputes the whole chain.
    async fn verify_audit(&self) -> Result<AuditReport, StoreError>;
    /// The newest signed checkpoint of this station's log (`zp-checkpoint` JWS), if any.
    async fn checkpoint(&self) -> Result<Option<String>, StoreError>;
}
