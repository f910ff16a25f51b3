//! What the station remembers, as plain rows of domain values.

use core::num::NonZeroU16;

use zmon_crypto::SecretBytes;
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, InstanceName, OperatorId, Serial,
    SessionId, Thumbprint, TokenId,
};
use zmon_domain::role::{Actor, Role};
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};
use zmon_domain::time::UnixTime;
use zmon_protocol::station::{CertificateState, SessionPhase};

/// One page of a listing, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many rows to skip.
    pub offset: u64,
    /// How many rows at most.
    pub limit: u32,
}

/// Where a device stands, and what it is called there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Its bed.
    pub bed: Option<BedId>,
    /// Its label.
    pub label: Option<DeviceLabel>,
}

/// Whether a registered device may be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceStatus {
    /// May be paired.
    Active,
    /// Taken out of service: no pairing, no certificate.
    Decommissioned,
}

impl DeviceStatus {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Decommissioned].into_iter().find(|s| s.as_str() == text)
    }
}

/// A device the station knows (D9). `id`, `serial` and `identity` are each unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// The device.
    pub id: DeviceId,
    /// Its serial number.
    pub serial: DeviceSerial,
    /// SHA-256 of its identity key's `SubjectPublicKeyInfo`.
    pub identity: Thumbprint,
    /// Whether it may be paired.
    pub status: DeviceStatus,
    /// What kind of device it is, if its manifest said so.
    pub model: Option<DeviceModel>,
    /// Where it listens for a typed code, if it has a fixed address.
    pub address: Option<DeviceAddress>,
    /// The port of its listener, if it has a fixed one.
    pub port: Option<NonZeroU16>,
    /// Where it stands, once known.
    pub bed: Option<BedId>,
    /// What it is called, once known.
    pub label: Option<DeviceLabel>,
    /// Units to show; `None` = the station's default.
    pub unit: Option<MeasurementUnit>,
    /// Language to show; `None` = the station's default.
    pub language: Option<Language>,
    /// Heartbeat interval; `None` = the station's default.
    pub sync_interval: Option<SyncInterval>,
    /// When it was registered.
    pub registered_at: UnixTime,
}

/// An operator's account.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorRow {
    /// The account.
    pub id: OperatorId,
    /// What it may do.
    pub role: Role,
    /// Argon2id hash in PHC string form. Not secret, but not shown either.
    pub password_hash: String,
    /// A disabled account cannot log in.
    pub disabled: bool,
    /// The password was made by a program and shown once: it opens nothing but its own change.
    pub one_time: bool,
    /// When it was made.
    pub created_at: UnixTime,
}

impl core::fmt::Debug for OperatorRow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OperatorRow")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("disabled", &self.disabled)
            .field("one_time", &self.one_time)
            .finish_non_exhaustive()
    }
}

/// A login. The bearer token itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRow {
    /// SHA-256 of the bearer token.
    pub token_hash: [u8; 32],
    /// Who logged in.
    pub operator: OperatorId,
    /// The role at login time; the account's role is read again at each use.
    pub role: Role,
    /// Last second of validity.
    pub expires_at: UnixTime,
}

/// One pairing. At most one *reserved* row per device (D11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The session.
    pub id: SessionId,
    /// The device it is about.
    pub device_id: DeviceId,
    /// Who started it; only they may finish it and read its result. None where the device itself
    /// asked for a new certificate (D23).
    pub operator: Option<OperatorId>,
    /// How far it has come.
    pub phase: SessionPhase,
    /// Whether it keeps the device for its operator, until `expires_at`.
    pub reserved: bool,
    /// The token it was opened with; public ([`TokenId`] is a hash). Without a token the session's own
    /// id stands here.
    pub token_id: TokenId,
    /// When it was opened.
    pub opened_at: UnixTime,
    /// After this it no longer keeps the device reserved.
    pub expires_at: UnixTime,
    /// Why it failed, once it has.
    pub error: Option<ErrorCode>,
    /// The finished answer of `pair` ([W §11.3]) as JSON bytes: public certificates, ciphertext and signatures
    /// only. Kept so that a repeated request gets the same answer, also after a restart.
    pub answer: Option<Vec<u8>>,
    /// The process that runs it; none when nobody can go on with it, because what its machine needs is not
    /// kept or cannot be read.
    pub owner: Option<InstanceName>,
    /// How often it has found an owner: every write of an owner is conditional on it.
    pub epoch: u64,
    /// From then on another process may take it over.
    pub lease_until: UnixTime,
    /// By what right the device enrolled, where its certificate was fetched by EST (RFC 7030): then nothing
    /// but the first ordinary use of that certificate commits to it.
    pub enrolment: Option<Enrolment>,
}

impl SessionRow {
    /// Whether nobody has to wait for its owner any more.
    #[must_use]
    pub fn is_up_for(&self, instance: &InstanceName, at: UnixTime) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner == instance || at >= self.lease_until)
    }
}

/// By what right a device enrolled (RFC 7030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Enrolment {
    /// It had a credential that an administrator made for it.
    Credential,
    /// It showed its current certificate.
    Certificate,
}

impl Enrolment {
    /// Every right.
    pub const ALL: [Self; 2] = [Self::Credential, Self::Certificate];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Certificate => "certificate",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.as_str() == text)
    }
}

/// What lets one device enrol once, instead of its certificate. The secret itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentCredentialRow {
    /// Whom it is for.
    pub device_id: DeviceId,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Last second of validity.
    pub expires_at: UnixTime,
    /// The session that has spent it.
    pub spent_by: Option<SessionId>,
}

/// Where a running session stands, as the record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStanding {
    /// The session.
    pub id: SessionId,
    /// The epoch of its owner.
    pub epoch: u64,
    /// Its certificate, what it may do, and whether it was ever committed to.
    pub certificate: Option<(Serial, CertificateState, bool)>,
}

/// What the machine of a running session needs to go on, secrets included: sealed by whoever stores it, and
/// erased with the session's end. Compared in constant time.
#[derive(Debug, Clone)]
pub struct SessionState(SecretBytes);

impl SessionState {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: SecretBytes) -> Self {
        Self(bytes)
    }

    /// The bytes. Named so that every use stands out.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

impl PartialEq for SessionState {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0)
    }
}

impl Eq for SessionState {}

/// Why a certificate was revoked; maps to RFC 5280 §5.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// Never committed (D13).
    Aborted,
    /// Its successor is in use.
    Superseded,
    /// An administrator revoked it.
    Administrator,
    /// The key is or may be known to others.
    KeyCompromise,
    /// The device was taken out of service, or has given the certificate up itself (D21).
    Decommissioned,
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Aborted,
        Self::Superseded,
        Self::Administrator,
        Self::KeyCompromise,
        Self::Decommissioned,
    ];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
            Self::Administrator => "administrator",
            Self::KeyCompromise => "key_compromise",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Whether the device is no longer let in: what would let it enrol ends with the certificate.
    #[must_use]
    pub const fn ends_enrolment(self) -> bool {
        matches!(self, Self::Administrator | Self::KeyCompromise | Self::Decommissioned)
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// One issued device certificate. `serial` and `session` are each unique; at most one row per
/// device is [`CertificateState::Current`] (D13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Its serial number.
    pub serial: Serial,
    /// The pairing it was issued in.
    pub session: SessionId,
    /// Whose it is.
    pub device_id: DeviceId,
    /// The device's identity key at issue, `SubjectPublicKeyInfo` DER; questions about the outcome
    /// of the session are verified with it.
    pub identity_key: Vec<u8>,
    /// Number of the configuration it came in, counting up per device from 1.
    pub config_version: u64,
    /// Where it stands.
    pub state: CertificateState,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
    /// When it was issued: since then it is pending.
    pub issued_at: UnixTime,
    /// When it became current; kept for ever, so that a later question about the outcome of its
    /// session is answered "committed" whatever has happened to it since.
    pub committed_at: Option<UnixTime>,
    /// When and why it was refused for ever.
    pub revoked: Option<(UnixTime, RevocationReason)>,
}

/// An issued certificate as it is listed: what a [`CertificateRow`] has without the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateListing {
    /// Its serial number.
    pub serial: Serial,
    /// The pairing it was issued in.
    pub session: SessionId,
    /// Whose it is.
    pub device_id: DeviceId,
    /// Where it stands.
    pub state: CertificateState,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
    /// When it was issued.
    pub issued_at: UnixTime,
    /// When and why it was revoked.
    pub revoked: Option<(UnixTime, RevocationReason)>,
}

/// One line of a revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRow {
    /// The revoked certificate.
    pub serial: Serial,
    /// When.
    pub revoked_at: UnixTime,
    /// Why.
    pub reason: RevocationReason,
}

/// A signed revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlRow {
    /// Strictly increasing by one, starting at 1.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one is due at the latest.
    pub next_update: UnixTime,
    /// The list, DER.
    pub der: Vec<u8>,
}

/// A part of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPage {
    /// Rows with a greater sequence number than this; 0 = from the beginning.
    pub after: u64,
    /// How many rows at most.
    pub limit: u32,
}

/// One stored audit row (D16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The writer, `station:<stationId>`.
    pub lane: String,
    /// Position in the lane, from 1.
    pub sequence: u64,
    /// Unix milliseconds, UTC.
    pub timestamp_ms: i64,
    /// What happened.
    pub event: EventType,
    /// Which device, if any.
    pub device_id: Option<DeviceId>,
    /// Which pairing, if any.
    pub session: Option<SessionId>,
    /// Who.
    pub actor: Actor,
    /// Whether it succeeded.
    pub success: bool,
    /// Why not.
    pub error: Option<ErrorCode>,
    /// SHA-256 of the configuration concerned.
    pub configuration_hash: Option<[u8; 32]>,
    /// Further facts, without secrets.
    pub detail: Vec<(String, String)>,
    /// The chain hash.
    pub hash: [u8; 32],
}

/// The result of recomputing the whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// How many rows were checked.
    pub rows: u64,
    /// How many checkpoints were checked against the rows.
    pub checkpoints: u64,
    /// The last row's sequence number and hash, per lane.
    pub heads: Vec<(String, u64, [u8; 32])>,
    /// The first row that is not what was written, if any.
    pub damage: Option<AuditDamage>,
}

/// Where an audit chain breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDamage {
    /// In which lane.
    pub lane: String,
    /// At which row.
    pub sequence: u64,
    /// What is wrong with it.
    pub rule: &'static str,
}
