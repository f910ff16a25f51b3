//! Inputs, actions, records and events of a session.

use alloc::string::String;
use alloc::vec::Vec;

use zmon_crypto::Secret32;
use zmon_crypto::pake::{Confirmation, SHARE_LEN};
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{
    DeviceId, DeviceSerial, FirmwareVersion, OperatorId, Serial, SessionId, Thumbprint, TokenId,
    WindowId,
};
use zmon_domain::route::Route;
use zmon_domain::settings::DeviceSettings;
use zmon_domain::time::Tick;
use zmon_wire::blink::BlinkRequest;
use zmon_wire::kind::TrustLevel;
use zmon_wire::pake::PakeConfirm;
use zmon_wire::session::SessionOpen;

use super::context::{PairDetails, RegistryEntry, TypedTries};
use super::machine::SessionMachine;

/// One thing that happened to a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionInput {
    /// The device answered the hello with its identity document (result of `SendSession` and
    /// `ConfirmPake`, or fetched by a device that asked by itself).
    Identity(Vec<u8>),
    /// The device named its open window (result of `AskWindow`); how often the operator has tried.
    Window {
        /// The window.
        window_id: WindowId,
        /// From the station's record.
        tries: TypedTries,
    },
    /// The device answered a run of the typed code (result of `StartPake`).
    Share {
        /// `shareV`.
        share_v: [u8; SHARE_LEN],
        /// `confirmV`.
        confirm_v: Confirmation,
    },
    /// The device could not be reached, or refused (result of `SendSession`, `AskWindow`, `StartPake`
    /// and `ConfirmPake`).
    DialFailed(ErrorCode),
    /// The device, or a courier on its behalf, takes the message that waits (D7).
    Fetched(Route),
    /// The operator has scanned or typed the same again: the device may be within reach by now, or
    /// elsewhere.
    Again(DeviceAddress),
    /// The operator wants to see which monitor it is: its screen shall blink.
    Blink {
        /// Who.
        operator: OperatorId,
    },
    /// It blinks, for so many whole seconds (result of `Blink`).
    Blinked(u32),
    /// It does not (result of `Blink`).
    BlinkFailed(ErrorCode),
    /// The registry holds id, serial number or key of this device in another row (D9).
    RegistryConflict,
    /// The operator confirmed device and bed.
    Pair {
        /// Who.
        operator: OperatorId,
        /// What the device is to become.
        details: PairDetails,
    },
    /// The CA signed (result of `Issue`).
    Issued {
        /// Leaf first, then the client CA, DER.
        chain: Vec<Vec<u8>>,
        /// Serial number of the leaf.
        serial: Serial,
    },
    /// The CA did not sign (result of `Issue`).
    IssueFailed(ErrorCode),
    /// The device answered the delivery with its signed status (result of `Deliver`).
    Delivered(Vec<u8>),
    /// The delivery got no signed status (result of `Deliver`).
    DeliveryFailed(ErrorCode),
    /// The device tested the connection over its pending certificate.
    Tested {
        /// The certificate it came with.
        serial: Serial,
    },
    /// The store made this session's certificate current; see [`super::outcome::commit`].
    Committed {
        /// The certificate it came with.
        serial: Serial,
    },
    /// The store aborted this session's certificate; see [`super::outcome::answer`].
    Aborted {
        /// The certificate that was asked about.
        serial: Serial,
    },
    /// An operator scanned another window of the device (D11).
    Rescanned {
        /// Who.
        operator: OperatorId,
    },
    /// The session was taken up again from its [snapshot](SessionMachine::snapshot), after what the
    /// store says of its certificate was told: what was under way begins anew.
    Resumed,
    /// Whoever opened the session gave it up.
    Cancel {
        /// The operator; none for the device itself.
        operator: Option<OperatorId>,
    },
    /// The instant of `poll_timeout` has come, or may have.
    Timeout,
}

/// A step the machine proposes. Commit `record`, install `next`, run `actions` in order, give `reply`.
#[must_use = "nothing happens until the record is committed and the next machine installed"]
pub struct SessionTransition {
    /// The machine after the step.
    pub next: SessionMachine,
    /// What must be durable, in one transaction, before the step counts.
    pub record: StationRecord,
    /// What must happen in the world afterwards, in this order.
    pub actions: Vec<StationAction>,
    /// The answer to whoever sent the input.
    pub reply: Result<(), Refusal>,
}

/// Audit rows and writes of one step. All of it, or nothing.
#[derive(Clone, Debug, Default)]
pub struct StationRecord {
    /// Rows for `security_audit_log`, in order.
    pub audit: Vec<AuditEvent>,
    /// Changes of durable state, in order.
    pub writes: Vec<StationWrite>,
}

impl StationRecord {
    /// Whether there is nothing to commit.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.audit.is_empty() && self.writes.is_empty()
    }
}

/// One change of the station's durable state. A conditional one that finds its condition false fails
/// the whole commit; the driver then feeds the input named here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StationWrite {
    /// Reserve the device for the operator, unless another live reservation exists (D11).
    Reserve {
        /// The session that holds it.
        session_id: SessionId,
        /// The device.
        device_id: DeviceId,
        /// The operator who holds it; none where the device asked by itself (D23).
        operator: Option<OperatorId>,
        /// What it was opened with ([`Opening::reference`](super::Opening::reference)); unique among
        /// claimed sessions.
        token_id: TokenId,
    },
    /// The device has answered: the token, or the window of a typed code, is used up, `reserved →
    /// claimed`.
    Claim {
        /// Which session.
        session_id: SessionId,
        /// Which token or window.
        token_id: TokenId,
    },
    /// A run of the typed code begins, unless the operator has none left in this window or hour (D2).
    SpendTry {
        /// The session it belongs to.
        session_id: SessionId,
        /// Who typed the code.
        operator: OperatorId,
        /// The window it is tried in.
        window_id: WindowId,
    },
    /// The registry learns a device that policy admits by its scan; `RegistryConflict` when id,
    /// serial number or key belong to another row.
    AddDevice(RegistryEntry),
    /// The latest checkpoint of a device's audit log, verified (D16).
    PeerCheckpoint {
        /// Whose.
        device_id: DeviceId,
        /// The statement, a JWS.
        checkpoint: String,
    },
    /// A new certificate, pending; unique per session, so that a retry cannot mint a second one.
    InsertPending {
        /// Serial number.
        serial: Serial,
        /// Whose it is.
        device_id: DeviceId,
        /// The session it was issued in.
        session_id: SessionId,
        /// Leaf first, DER.
        chain: Vec<Vec<u8>>,
    },
    /// `pending → revoked`: never committed, and never will be; nothing when it is not pending.
    AbortPending {
        /// Which.
        serial: Serial,
    },
    /// The device carries these settings from now on.
    Assign {
        /// Which.
        device_id: DeviceId,
        /// Label, bed, unit, language, interval.
        settings: DeviceSettings,
    },
    /// The session moved on.
    Session {
        /// Which.
        session_id: SessionId,
        /// Where it is.
        phase: SessionPhase,
        /// Why it failed.
        error: Option<ErrorCode>,
    },
    /// Nothing else is to be written, but a restart must go on from here: keep the machine's
    /// [snapshot](SessionMachine::snapshot), as with every other write.
    Progress {
        /// Which.
        session_id: SessionId,
    },
    /// The reservation is gone. Idempotent.
    Release {
        /// The session that held it.
        session_id: SessionId,
        /// The device.
        device_id: DeviceId,
    },
}

/// An effect the driver runs after the commit. Results come back as inputs.
#[derive(Debug)]
#[non_exhaustive]
pub enum StationAction {
    /// `POST /api/provisioning/session` at the device; answer with `Identity` or `DialFailed`.
    SendSession {
        /// 1, 2 or 3.
        attempt: u8,
        /// Where.
        target: Target,
        /// The hello JWS.
        hello: String,
        /// HMAC over the hello.
        claim_mac: [u8; 32],
    },
    /// `GET /api/provisioning/window` at the device; answer with `Window` or `DialFailed`.
    AskWindow {
        /// 1, 2 or 3.
        attempt: u8,
        /// Where.
        target: Target,
    },
    /// `POST /api/provisioning/pake/start` over the connection of `AskWindow`; answer with `Share` or
    /// `DialFailed`.
    StartPake {
        /// The hello JWS.
        hello: String,
        /// `shareP`.
        share_p: [u8; SHARE_LEN],
    },
    /// `POST /api/provisioning/pake/confirm` over the same connection; answer with `Identity` or
    /// `DialFailed`.
    ConfirmPake {
        /// The session of the hello.
        session_id: SessionId,
        /// `confirmP`.
        confirm_p: Confirmation,
    },
    /// Answer the device's own request with this (D23).
    Offer {
        /// The hello JWS.
        hello: String,
        /// The secret of the session, for inside TLS only.
        ikm: Secret32,
    },
    /// `POST /api/provisioning/blink` at the device; answer with `Blinked` or `BlinkFailed`.
    Blink {
        /// The claim; its connection is used while it lives, as for `Deliver`.
        claim: Claim,
        /// The request.
        request: BlinkRequest,
    },
    /// Sign a client certificate; answer with `Issued` or `IssueFailed`.
    Issue {
        /// The session it is for.
        session_id: SessionId,
        /// Who it speaks for; the request's own names are ignored (D9).
        device_id: DeviceId,
        /// The public key to certify, SPKI DER: out of the verified request, or made here (D6).
        csr_spki: Vec<u8>,
        /// On what ground the device believes this station; the certificate says so (D8).
        trust: TrustLevel,
    },
    /// `POST /api/provisioning/configuration` at the device; answer with `Delivered` or
    /// `DeliveryFailed`.
    Deliver {
        /// 1, 2 or 3.
        attempt: u8,
        /// Where; the connection of the claim is used while it lives, then a new one opened by the same
        /// claim.
        target: Target,
        /// The claim.
        claim: Claim,
        /// The envelope, the same bytes at every attempt.
        envelope: Vec<u8>,
    },
    /// Close the connection to the device.
    Hangup,
    /// Tell the subscribers.
    Emit(StationEvent),
}

/// The request that claimed a device's window. A device answers it again with the same identity document
/// while its session stands, on whichever connection it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// By the token of a QR code.
    Token(SessionOpen),
    /// By a typed code, at the end of its run.
    Code(PakeConfirm),
}

/// Where a device listens, and which key it must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Address, inside the allowed networks (D18).
    pub address: DeviceAddress,
    /// Port out of the token, or of a typed code's device.
    pub port: u16,
    /// Left half of SHA-256 of the SPKI the TLS certificate must carry.
    pub thumbprint16: [u8; 16],
}

/// What is known of the blink that an operator asked for last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blink {
    /// It is on its way to the device, or waits for the device's poll.
    Asked,
    /// The device's screen blinks until then.
    Until(Tick),
    /// It did not.
    Failed(ErrorCode),
}

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionPhase {
    /// The hello is on its way to the device.
    Dialling,
    /// The device proved who it is; `pair` is awaited.
    Identified,
    /// The CA is signing.
    Issuing,
    /// The envelope is on its way to the device.
    Delivering,
    /// No signed answer to a delivery will come; commit or the pending certificate's end is awaited.
    AwaitingCommit,
    /// Paired.
    Paired,
    /// Failed, with a cause.
    Failed,
    /// Given up: cancelled, or not followed by `pair` in time.
    Released,
}

/// What subscribers hear. No secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StationEvent {
    /// The session moved to this phase.
    Phase(SessionPhase),
    /// The device proved who it is.
    Identified {
        /// Full SHA-256 of its identity SPKI.
        identity_key: Thumbprint,
        /// Its serial number.
        device_serial: DeviceSerial,
        /// Its firmware.
        firmware_version: FirmwareVersion,
    },
    /// The device tested its connection.
    Tested,
    /// Paired: the answer of `pair` can be given.
    Paired,
    /// Failed.
    Failed(ErrorReport),
    /// A key that is not its own came with an id or serial number (D9), or an audit log has lost rows
    /// (D16): a person should look.
    Alarm(ErrorReport),
}

/// Why an input was refused; names the holder where another operator is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Code, step, side and next action.
    pub report: ErrorReport,
    /// Who holds the device, with `SessionReserved` only.
    pub holder: Option<OperatorId>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { report: ErrorReport::from(code), holder: None }
    }
}

impl From<ErrorReport> for Refusal {
    fn from(report: ErrorReport) -> Self {
        Self { report, holder: None }
    }
}

impl SessionPhase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Self::Dialling,
        Self::Identified,
        Self::Issuing,
        Self::Delivering,
        Self::AwaitingCommit,
        Self::Paired,
        Self::Failed,
        Self::Released,
    ];

    /// The name in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dialling => "dialling",
            Self::Identified => "identified",
            Self::Issuing => "issuing",
            Self::Delivering => "delivering",
            Self::AwaitingCommit => "awaiting_commit",
            Self::Paired => "paired",
            Self::Failed => "failed",
            Self::Released => "released",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }

    /// Whether the session has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Paired | Self::Failed | Self::Released)
    }
}
