//! The device's durable memory: slots, window flag, audit log.

use async_trait::async_trait;
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, SessionId};
use zmon_domain::role::Actor;
use zmon_domain::time::Now;
use zmon_protocol::device::{BootState, DeviceRecord};

/// Slots and audit log of one device, changed only by whole [`DeviceRecord`]s (D13, D16).
///
/// **A false success costs the most of all ports.** The driver runs a transition's actions (opens
/// the listener, sends `commit`, wipes an old slot's use) only after [`commit`](Self::commit)
/// answered `Ok`; a store that says `Ok` before the bytes are on the medium lets a power cut leave
/// the device without the certificate the station believes current. **A false failure** costs one
/// refused operation: the old machine stays in charge and the caller is told
/// [`ErrorCode::AuditUnavailable`] or [`ErrorCode::StorageUnavailable`].
#[async_trait]
pub trait DeviceStore: Send + Sync {
    /// What the last run left behind; the machine decides what it means (D11: a restart voids
    /// windows; D13: an uncommitted slot B is dropped, an in-doubt one is kept).
    async fn load(&self) -> Result<BootState, StoreError>;

    /// Writes every audit row and every [`DeviceWrite`](zmon_protocol::device::DeviceWrite) of
    /// `record` in **one** transaction, durable when this returns `Ok`; all or nothing.
    ///
    /// Cancel-safety: the driver never drops this future half way, so an adapter may move the work
    /// to a blocking thread.
    async fn commit(&self, now: &Now, record: &DeviceRecord) -> Result<(), StoreError>;

    /// Audit rows in ascending sequence.
    async fn events(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError>;

    /// Recomputes the hash chain over the stored bytes and compares every projected column (D16).
    async fn verify_audit(&self) -> Result<AuditReport, StoreError>;

    /// The newest signed checkpoint (`zp-checkpoint` JWS), if any was made yet.
    async fn checkpoint(&self) -> Result<Option<String>, StoreError>;
}

/// Which audit rows to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPage {
    /// Only rows with a sequence number above this one; 0 starts at the first row.
    pub after: u64,
    /// At most so many rows.
    pub limit: u32,
}

impl Default for AuditPage {
    fn default() -> Self {
        Self { after: 0, limit: 100 }
    }
}

/// One row of the audit log as read back. Its text is final: screens show it, nothing parses it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRow {
    /// Position in the lane, from 1.
    pub sequence: u64,
    /// The writer, e.g. `device:ZM-001`.
    pub lane: String,
    /// Unix milliseconds UTC; `None` while the device had no wall clock (D14).
    pub timestamp: Option<i64>,
    /// What happened.
    pub event: EventType,
    /// Whom it concerns.
    pub device_id: Option<DeviceId>,
    /// The pairing session, where there was one.
    pub session: Option<SessionId>,
    /// Who did it.
    pub actor: Actor,
    /// Whether the operation succeeded.
    pub success: bool,
    /// Why not.
    pub error: Option<ErrorCode>,
    /// Keyed hash of the pairing code, never the code.
    pub code_hash: Option<[u8; 32]>,
    /// SHA-256 of the exact signed configuration bytes.
    pub configuration_hash: Option<[u8; 32]>,
    /// Further facts, in the order written.
    pub detail: Vec<(String, String)>,
    /// The chain hash of this row.
    pub hash: [u8; 32],
}

impl AuditRow {
    /// A row with the mandatory members; adapters fill in the rest.
    #[must_use]
    pub fn new(sequence: u64, lane: String, event: EventType, success: bool) -> Self {
        Self {
            sequence,
            lane,
            timestamp: None,
            event,
            device_id: None,
            session: None,
            actor: Actor::System,
            success,
            error: None,
            code_hash: None,
            configuration_hash: None,
            detail: Vec::new(),
            hash: [0; 32],
        }
    }
}

/// What a verification of the audit log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// One entry per lane.
    pub lanes: Vec<LaneReport>,
    /// How many checkpoints were checked against the rows.
    pub checkpoints: u64,
}

impl AuditReport {
    /// Whether every lane is whole. An empty log is whole.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.lanes.iter().all(|lane| lane.broken_at.is_none())
    }

    /// Rows looked at, over all lanes.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.rows).sum()
    }
}

/// One lane of an [`AuditReport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneReport {
    /// The writer.
    pub lane: String,
    /// Rows verified, up to the first broken one.
    pub rows: u64,
    /// Chain hash of the last good row; zero for an empty lane.
    pub head: [u8; 32],
    /// Sequence number and reason of the first broken row.
    pub broken_at: Option<(u64, String)>,
}

/// Why the store did not do what it was asked. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The audit rows could not be written: no audit row, no operation (D16).
    #[error("the audit log cannot be written: {0}")]
    Audit(String),
    /// The medium is full, read-only, locked or gone.
    #[error("the database cannot be used: {0}")]
    Unavailable(String),
    /// The stored bytes are not what was written.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// Written by a newer release; left unread.
    #[error("the database has schema {found}, this program knows up to {supported}")]
    SchemaNewer {
        /// Version found.
        found: i64,
        /// Highest version this program knows.
        supported: i64,
    },
    /// A slot secret could not be made or read.
    #[error("the key store cannot be used: {0}")]
    KeyStore(String),
}

impl StoreError {
    /// The stable code shown to people and sent to callers.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Audit(_) => ErrorCode::AuditUnavailable,
            Self::Unavailable(_) => ErrorCode::StorageUnavailable,
            Self::Corrupt(_) => ErrorCode::StorageCorrupt,
            Self::SchemaNewer { .. } => ErrorCode::SchemaNewer,
            Self::KeyStore(_) => ErrorCode::KeyStoreUnavailable,
        }
    }
}

impl From<StoreError> for ErrorReport {
    fn from(error: StoreError) -> Self {
        Self::from(error.code())
    }
}
