//! What goes into the device machine.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use zmon_crypto::Secret32;
use zmon_crypto::pake::{Confirmation, SHARE_LEN};
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{OverrideReason, SessionId};
use zmon_domain::role::{Actor, OperatorProof};
use zmon_domain::route::Route;
use zmon_domain::time::UnixTime;

/// One thing that happened: a command, a message, the result of an action, or time.
///
/// Every (state, input) pair is defined; `STATES.md` of this crate holds the table.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceInput {
    /// An operator opens provisioning mode on an unprovisioned device ([W §2.1] step 1).
    Enter {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
        /// The address that goes into the QR code.
        address: DeviceAddress,
    },
    /// An authenticator, the interlock or the driver refused to open provisioning mode; only a row.
    EnterRefused {
        /// Who tried, as far as it is known.
        actor: Actor,
        /// Why it was refused.
        code: ErrorCode,
    },
    /// An administrator goes on although the clinical interlock objects (D22); only a row.
    OverrideInterlock {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
        /// Why, in the administrator's words.
        reason: OverrideReason,
    },
    /// The provisioning listener is open (result of `OpenListener`).
    ListenerOpened {
        /// The port the listener got; it goes into the token (D3).
        port: u16,
    },
    /// The provisioning listener could not be opened (result of `OpenListener`).
    ListenerFailed,
    /// The QR code shall name this address (`generate_provisioning_qr_code(id, ip)`, [I §2.1]).
    Announce {
        /// The address that goes into the QR code.
        address: DeviceAddress,
    },
    /// New code, token, window id and kemKey; the old ones are void from here on (D10).
    Regenerate {
        /// Who asked for it; nobody needs a PIN.
        actor: Actor,
    },
    /// Leave provisioning mode, or dismiss an error.
    Exit {
        /// Who asked for it.
        actor: Actor,
    },
    /// Open a new window after a failure ([W §7.2] manual retry).
    Retry {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
    },
    /// Clear the provisioning state and start over ([W §7.2]); slot A is untouched.
    Reset {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
    },
    /// Wipe the configuration ([I §2.1] `deprovisionDevice`).
    Deprovision {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
    },
    /// Erase the device ([W §7.2] factory reset).
    FactoryReset {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
        /// What was typed to confirm: the device's identifier.
        confirmation: String,
        /// Whether the device gets a new identity key and root secret with it.
        new_identity: bool,
    },
    /// Result of `Erase`.
    Erased(Result<(), ErrorCode>),
    /// Result of `SendRetire`: the station took the statement, or not.
    RetireAnswered {
        /// Counter of the statement.
        counter: u64,
        /// The answer.
        result: Result<(), LinkError>,
    },
    /// An operator goes from the manual configuration to provisioning ([W §14]).
    Migrate {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
        /// The address that goes into the QR code.
        address: DeviceAddress,
    },
    /// An operator keeps the manual configuration for now.
    PostponeMigration {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
    },
    /// The manual configuration is missing or broken; only a row.
    MigrationRefused {
        /// Who wanted to use it.
        actor: Actor,
        /// Why it cannot be used.
        code: ErrorCode,
    },
    /// A heartbeat over slot A was answered.
    LinkProven,
    /// The station refuses the link of slot A because the certificate has expired (D23).
    LinkExpired {
        /// Until when the certificate of the refused link was valid; another slot may be active by now.
        not_after: UnixTime,
    },
    /// Result of `RemoveManual`.
    ManualRemoved(Result<(), ErrorCode>),
    /// An operator opens provisioning mode on a provisioned device ([W §8]).
    Reprovision {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
        /// The address that goes into the QR code.
        address: DeviceAddress,
    },
    /// An operator asks for a new certificate now, due or not (D23).
    Renew {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
    },
    /// Result of `Pull`: the station's hello and the secret beside it.
    Pulled(Result<Pulled, LinkError>),
    /// Result of `Fetch`: the envelope, exact bytes.
    Fetched(Result<Vec<u8>, LinkError>),
    /// A station claims the window: `POST /api/provisioning/session`.
    SessionOpen {
        /// The hello JWS, exact bytes.
        hello: Vec<u8>,
        /// HMAC over the hello, keyed from the token.
        claim_mac: [u8; 32],
    },
    /// A station asks which window is open: `GET /api/provisioning/window` (D2).
    AskWindow,
    /// A run of the typed code begins: `POST /api/provisioning/pake/start`.
    PakeStart {
        /// The hello JWS, exact bytes.
        hello: Vec<u8>,
        /// The station's share.
        share_p: [u8; SHARE_LEN],
    },
    /// A run of the typed code ends: `POST /api/provisioning/pake/confirm`.
    PakeConfirm {
        /// The session of the run's hello.
        session_id: SessionId,
        /// The station's confirmation.
        confirm_p: Confirmation,
    },
    /// The station of the session has the screen blink: `POST /api/provisioning/blink`.
    Blink {
        /// The session.
        session_id: SessionId,
        /// Which blink of it.
        number: NonZeroU32,
        /// MAC over both by the session's key for this.
        mac: [u8; 32],
    },
    /// An operator confirms the station whose configuration waits (D8).
    ConfirmStation {
        /// Who, with which role, authenticated until when.
        proof: OperatorProof,
        /// The words that this person has read; they must be this session's.
        words: String,
    },
    /// Whoever is at the device refuses that station.
    RefuseStation {
        /// Who.
        actor: Actor,
    },
    /// A sealed configuration arrived: `POST /api/provisioning/configuration`.
    Configuration {
        /// The envelope, exact bytes.
        envelope: Vec<u8>,
    },
    /// A configuration that was handed over at the device was refused before its seal was looked at:
    /// the code that was typed beside it, its device, its expiry ([I §2.1]); only a row.
    ConfigurationRefused {
        /// Why it was refused.
        report: ErrorReport,
    },
    /// One of the six messages of a station above that did not come to the listener: the device has
    /// fetched it, or somebody has brought it (D7).
    By(Route, Box<Self>),
    /// Something that is no message at all came from a peer that proved nothing.
    Junk {
        /// What was wrong with it, for the counted row.
        code: ErrorCode,
    },
    /// Result of `TestConnection`.
    Tested(Result<(), LinkError>),
    /// Result of `SendCommit`: the station's signed outcome.
    CommitAnswered(Result<Vec<u8>, LinkError>),
    /// Result of `AskOutcome`: the station's signed outcome.
    OutcomeAnswered(Result<Vec<u8>, LinkError>),
    /// The instant of `poll_timeout` has come, or may have.
    Timeout,
}

impl DeviceInput {
    /// How it came, and what came.
    pub(super) fn unpack(self) -> (Route, Self) {
        let Self::By(route, message) = self else { return (Route::Push, self) };
        (route, message.unpack().1)
    }

    /// Whether its answer is an identity document, if it holds.
    #[must_use]
    pub fn claims(&self) -> bool {
        if let Self::By(_, message) = self {
            return message.claims();
        }
        matches!(self, Self::SessionOpen { .. } | Self::PakeConfirm { .. })
    }
}

/// A station's answer to a pull.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The hello JWS, exact bytes.
    pub hello: Vec<u8>,
    /// The secret that came beside it inside TLS.
    pub ikm: Secret32,
}

/// Why a request to the station over the new slot did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// May pass: no route, refused connection, time-out. Tried 3 times in all ([W §7.2]).
    Network(ErrorCode),
    /// The station answered and said no. Not retried.
    Refused(ErrorCode),
    /// A certificate or pin did not hold. Not retried.
    Certificate(ErrorCode),
}

impl LinkError {
    /// The cause.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Network(code) | Self::Refused(code) | Self::Certificate(code) => code,
        }
    }
}
