//! What comes out of the device machine: a transition with record, actions and reply.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zmon_crypto::pake::{Confirmation, SHARE_LEN};
use zmon_domain::address::ServerUrl;
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{DeviceId, DeviceLabel, SessionId, SiteId, WindowId};
use zmon_domain::state::ProvisioningStatus;
use zmon_domain::time::UnixTime;
use zmon_wire::outcome::CommitRequest;
use zmon_wire::pull::FetchRequest;

use super::machine::DeviceMachine;
use super::retire::Retirement;
use super::slot::{LinkCredentials, Slot};
use crate::PullMethod;

/// A step the machine proposes. Commit `record`, install `next`, run `actions` in order, give `reply`.
#[must_use = "nothing happens until the record is committed and the next machine installed"]
pub struct DeviceTransition {
    /// The machine after the step.
    pub next: DeviceMachine,
    /// What must be durable, in one transaction, before the step counts.
    pub record: DeviceRecord,
    /// What must happen in the world afterwards, in this order.
    pub actions: Vec<DeviceAction>,
    /// The answer to whoever sent the input.
    pub reply: Result<DeviceReply, ErrorReport>,
}

impl DeviceTransition {
    /// The signals of this step, in order.
    pub fn events(&self) -> impl Iterator<Item = &DeviceEvent> {
        self.actions.iter().filter_map(|action| match action {
            DeviceAction::Emit(event) => Some(event),
            DeviceAction::OpenListener
            | DeviceAction::CloseListener
            | DeviceAction::AnswerDelivery { .. }
            | DeviceAction::TestConnection { .. }
            | DeviceAction::SendCommit { .. }
            | DeviceAction::AskOutcome { .. }
            | DeviceAction::Pull { .. }
            | DeviceAction::Fetch { .. }
            | DeviceAction::StartLink(_)
            | DeviceAction::StopLink
            | DeviceAction::SendRetire(_)
            | DeviceAction::Erase
            | DeviceAction::RemoveManual => None,
        })
    }
}

/// Audit rows and writes of one transition. All of it, or nothing.
#[derive(Clone, Debug, Default)]
pub struct DeviceRecord {
    /// Rows for `security_audit_log`, in order.
    pub audit: Vec<AuditEvent>,
    /// Changes of durable state, in order.
    pub writes: Vec<DeviceWrite>,
}

impl DeviceRecord {
    /// Whether there is nothing to commit.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.audit.is_empty() && self.writes.is_empty()
    }
}

/// One change of the device's durable state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DeviceWrite {
    /// A window is open; any earlier one is void. A window found open at start is voided with a row.
    OpenWindow(WindowId),
    /// `open → claimed(session)`, conditional on this very window being open (D11).
    ClaimWindow(WindowId, SessionId),
    /// `tries + 1`, conditional on this very window being open with fewer than
    /// [`limits::TYPED_TRIES`](zmon_domain::limits::TYPED_TRIES) (D2).
    SpendTry(WindowId),
    /// No window is open any more, whatever was before. Idempotent.
    CloseWindow,
    /// The configuration waits in slot B.
    StageB(Slot),
    /// Slot B and its secret are destroyed.
    DropB,
    /// From here on only a signed answer may drop a slot (D13).
    MarkCommitSent(SessionId),
    /// Slot B becomes slot A, the old A is destroyed, the settings of the new one apply, and the device
    /// is no longer marked as deprovisioned.
    Flip,
    /// Both slots are destroyed and the device is marked as deprovisioned.
    Deprovision,
    /// A statement waits for its station; it outlives every wipe (D21).
    QueueRetire(Retirement),
    /// The station took the statement with this counter.
    RetireDelivered(u64),
    /// Both slots, the settings, the window and the mark of a migration are destroyed, and an erasure
    /// is under way that only `EraseDone` ends. What guards against roll-back and the waiting
    /// statements stay.
    FactoryReset,
    /// Once the erasure has ended, the next start makes a new identity key and root secret, before
    /// anything else. The old key has signed what waits in the queue.
    NewIdentity,
    /// The erasure has ended.
    EraseDone,
    /// Whether an operator has begun to migrate a manual configuration ([W §14]).
    Migrating(bool),
    /// The latest `notBefore` of a signing certificate of this site (D14).
    RememberSite(SiteId, UnixTime),
    /// The counter of recoveries stands here; durable before it is sent, and it never falls (D23).
    RaiseCounter(u64),
    /// Trusted time has reached this instant; it never falls (D14).
    RaiseFloor(UnixTime),
}

/// An effect the driver runs after the commit. Results come back as inputs.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceAction {
    /// Open the provisioning listener; answer with `ListenerOpened` or `ListenerFailed`.
    OpenListener,
    /// Stop accepting; requests already in flight get their answers.
    CloseListener,
    /// Complete the configuration delivery that waits for this session.
    AnswerDelivery {
        /// The session whose delivery waits.
        session_id: SessionId,
        /// The `zp-status` JWS to answer with.
        status: String,
    },
    /// `GET /api/device/test` over slot B; answer with `Tested`.
    TestConnection {
        /// 1, 2 or 3.
        attempt: u8,
        /// How to reach the station with slot B.
        credentials: LinkCredentials,
    },
    /// `POST /api/device/commit` over slot B; answer with `CommitAnswered`.
    SendCommit {
        /// How to reach the station with slot B.
        credentials: LinkCredentials,
        /// The request, the same at every attempt.
        request: CommitRequest,
    },
    /// `POST /api/provisioning/outcome`; answer with `OutcomeAnswered`.
    AskOutcome {
        /// How to reach the station; the client certificate is not needed for this request.
        credentials: LinkCredentials,
        /// The `zp-ask` JWS.
        ask: String,
    },
    /// Ask the station for a new certificate, over slot A; answer with `Pulled`. Recovery shows no
    /// client certificate.
    Pull {
        /// How to reach the station with slot A.
        credentials: LinkCredentials,
        /// Renewal or recovery.
        method: PullMethod,
        /// The `zp-pull` JWS.
        pull: String,
    },
    /// Answer the hello of a `Pull` with the identity document; answer with `Fetched`.
    Fetch {
        /// How to reach the station with slot A.
        credentials: LinkCredentials,
        /// As in the `Pull`.
        method: PullMethod,
        /// The request.
        request: FetchRequest,
    },
    /// Run the monitoring link with these credentials, instead of any other.
    StartLink(LinkCredentials),
    /// Stop the monitoring link.
    StopLink,
    /// `POST /api/provisioning/retire`, without a client certificate; answer with `RetireAnswered`.
    SendRetire(Arc<Retirement>),
    /// Erase clinical data, operators and a manual configuration; answer with `Erased`.
    Erase,
    /// Remove the manual configuration; answer with `ManualRemoved`.
    RemoveManual,
    /// Tell the subscribers.
    Emit(DeviceEvent),
}

/// The answer to the sender of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceReply {
    /// Done; nothing to say.
    None,
    /// The identity document (JWS) for a claimed session.
    Identity(String),
    /// Whose window is open, and which.
    Window(DeviceId, WindowId),
    /// The device's share and confirmation in a run of the typed code.
    Share {
        /// `shareV`.
        share_v: [u8; SHARE_LEN],
        /// `confirmV`.
        confirm_v: Confirmation,
    },
    /// The screen blinks.
    Blinking {
        /// For so many whole seconds from now; 0 for a blink that is over.
        seconds: u32,
    },
    /// The `zp-status` JWS of a session that has ended.
    Status(String),
    /// The delivery is accepted; `AnswerDelivery` follows when the session ends.
    Pending,
}

/// The six signals of [I §2.1]. They carry no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceEvent {
    /// `qrCodeGenerated`: read code and QR content from the snapshot.
    QrCodeGenerated,
    /// `qrCodeExpired`
    QrCodeExpired,
    /// `configurationReceived`
    ConfigurationReceived {
        /// SHA-256 of the exact signed bytes.
        configuration_hash: [u8; 32],
        /// The station the device is about to work with.
        server_url: ServerUrl,
        /// The label the device is about to carry.
        device_label: Option<DeviceLabel>,
    },
    /// `provisioningCompleted`
    ProvisioningCompleted {
        /// SHA-256 of the exact signed bytes.
        configuration_hash: [u8; 32],
        /// The station the device works with.
        server_url: ServerUrl,
        /// The label the device carries.
        device_label: Option<DeviceLabel>,
    },
    /// `provisioningFailed`
    ProvisioningFailed(ErrorReport),
    /// `statusChanged`
    StatusChanged(ProvisioningStatus),
}
