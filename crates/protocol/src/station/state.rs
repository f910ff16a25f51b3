//! The states of a session at the station. Each owns only what is valid in it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use zmon_crypto::evidence::SignatureVerified;
use zmon_crypto::pake::{Confirmation, Prover, Share};
use zmon_crypto::schedule::{Prk, SessionKeys, Transcript};
use zmon_crypto::x509::csr::CsrKey;
use zmon_crypto::{IdentityPublic, KemPublic, TlsKey};
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{
    DeviceId, DeviceSerial, FirmwareVersion, OperatorId, Serial, SessionId, Thumbprint, TokenId,
};
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_domain::time::Tick;
use zmon_wire::kind::{Method, TrustLevel};
use zmon_wire::pair::PairAnswer;
use zmon_wire::pake::PakeConfirm;
use zmon_wire::session::SessionOpen;

use super::blink::Blinks;
use super::context::{DeviceRecord, DeviceTrust, PairDetails, RegistryEntry};
use super::io::{Claim, SessionPhase, Target};

/// What every state of a session knows.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) session_id: SessionId,
    pub(super) device_id: DeviceId,
    /// Who works on it; none where the device asked by itself (D23).
    pub(super) operator: Option<(OperatorId, Role)>,
    pub(super) record: DeviceRecord,
    pub(super) scanned_serial: Option<DeviceSerial>,
    /// How the session was begun, and so every message of it.
    pub(super) method: Method,
    /// What the session claims: the token, or the window once the device has named it.
    pub(super) token_id: TokenId,
    /// Where the device is dialled; none where it fetches its messages and nobody has said where it is.
    pub(super) target: Option<Target>,
    /// Left half of the thumbprint of the key that the device must have; none where it asked by itself.
    pub(super) key16: Option<[u8; 16]>,
    /// Whether the station dials by itself; what waits otherwise is carried by others (D7).
    pub(super) pushes: bool,
    /// How the last message went.
    pub(super) route: Route,
    /// The last message that was handed out, and to whom.
    pub(super) fetched: Option<(Route, &'static str)>,
    /// What its operator had the device do, so that people find it.
    pub(super) blinks: Blinks,
    /// What was scanned; none where nobody scanned anything.
    pub(super) code: Option<Arc<PairingCode>>,
    /// What the operator said at `pair`.
    pub(super) details: Option<PairDetails>,
    /// Until when `pair` must come (D11).
    pub(super) pair_by: Tick,
    /// Until when the session may last (D11).
    pub(super) deadline: Tick,
}

/// Where the session is.
#[derive(Clone)]
pub(super) enum State {
    Dialling(Box<Dialling>),
    Identified(Box<Identified>),
    Issuing(Box<Identified>),
    Delivering(Box<Delivering>),
    AwaitingCommit(Box<AwaitingCommit>),
    Paired(Box<Issued>),
    Failed(Box<Failed>),
    Released,
}

/// The hello is on its way, or waits for its next attempt.
#[derive(Clone)]
pub(super) struct Dialling {
    pub(super) call: Call,
    pub(super) attempt: u8,
    /// The next attempt waits until then.
    pub(super) retry_at: Option<Tick>,
}

/// What is on its way to a device that has not identified itself yet.
#[derive(Clone)]
pub(super) enum Call {
    /// Hello and claim of a scanned token.
    Claim { hello: Arc<str>, claim_mac: [u8; 32], prk: Prk },
    /// Hello and secret that a device asked for by itself (D23).
    Offered { hello: Arc<str>, prk: Prk },
    /// The question which window is open.
    Window,
    /// Hello and share of a typed code. `left`: tries that remain if this one fails.
    Start { hello: Arc<str>, share_p: Share, prover: Box<Prover>, left: u32 },
    /// The confirmation: the device has shown that it has the same code.
    Confirm { hello: Arc<str>, confirm_p: Confirmation, prk: Prk },
}

impl Call {
    /// Hello and secret of a claim that the device answers with its identity document.
    pub(super) const fn claim(&self) -> Option<(&Arc<str>, &Prk)> {
        match self {
            Self::Claim { hello, prk, .. }
            | Self::Offered { hello, prk }
            | Self::Confirm { hello, prk, .. } => Some((hello, prk)),
            Self::Window | Self::Start { .. } => None,
        }
    }

    /// The request itself, for another connection; none where nobody dials.
    pub(super) fn to_claim(&self, session_id: SessionId) -> Option<Claim> {
        match self {
            Self::Claim { hello, claim_mac, .. } => Some(Claim::Token(SessionOpen {
                hello: String::from(&**hello),
                claim_mac: *claim_mac,
            })),
            Self::Confirm { confirm_p, .. } => {
                Some(Claim::Code(PakeConfirm { session_id, confirm_p: *confirm_p }))
            }
            Self::Offered { .. } | Self::Window | Self::Start { .. } => None,
        }
    }

    /// Whether the device may be asked again after the network failed. A run that was begun has spent
    /// a try, and beginning it again spends another.
    pub(super) const fn may_repeat(&self) -> bool {
        match self {
            Self::Claim { .. } | Self::Window | Self::Confirm { .. } => true,
            Self::Start { .. } | Self::Offered { .. } => false,
        }
    }
}

/// A device that proved who it is. It cannot be built without the evidence.
#[derive(Clone)]
pub(super) struct Identified {
    pub(super) public: IdentityPublic,
    pub(super) kem: KemPublic,
    pub(super) serial: DeviceSerial,
    pub(super) firmware: FirmwareVersion,
    pub(super) client: ClientKey,
    /// What its registration will say, where the registry does not know it.
    pub(super) newcomer: Option<Box<Newcomer>>,
    /// On what ground it believes this station (D8).
    pub(super) trust: TrustLevel,
    /// The hello that it has answered.
    pub(super) hello: Arc<str>,
    /// Its answer, the identity document.
    pub(super) document: Arc<[u8]>,
    /// What opens a new connection to it; none where it asked by itself.
    pub(super) claim: Option<Claim>,
    pub(super) transcript: Transcript,
    pub(super) keys: Arc<SessionKeys>,
    pub(super) _signature: SignatureVerified,
}

/// A device that the registry does not know. It is registered with its certificate, or not at all.
#[derive(Clone)]
pub(super) struct Newcomer {
    pub(super) entry: RegistryEntry,
    /// The checkpoint of its audit log, for the station to keep (D16).
    pub(super) checkpoint: Option<String>,
    pub(super) ground: Ground,
}

/// On what ground a device is believed.
#[derive(Clone, Copy)]
pub(super) struct Ground {
    pub(super) trust: DeviceTrust,
    /// SHA-256 of its factory certificate.
    pub(super) certificate: Option<Thumbprint>,
}

/// The key that the client certificate is for.
#[derive(Clone)]
pub(super) enum ClientKey {
    /// The device's, from its verified request.
    Requested(CsrKey),
    /// The station's own making (D6): there while the certificate is being signed, and wiped when it
    /// was sealed.
    Made(Option<Arc<TlsKey>>),
}

/// The certificate of this session and the envelope that carries it: made once, sent as often as needed.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) device: Box<Identified>,
    pub(super) serial: Serial,
    pub(super) envelope: Arc<[u8]>,
    pub(super) configuration_hash: [u8; 32],
    pub(super) answer: Arc<PairAnswer>,
    /// When the pending certificate is aborted (D13).
    pub(super) pending_until: Tick,
}

/// The envelope is on its way, or waits for its next attempt.
#[derive(Clone)]
pub(super) struct Delivering {
    pub(super) issued: Issued,
    pub(super) attempt: u8,
    pub(super) retry_at: Option<Tick>,
    /// The store has the certificate as current.
    pub(super) committed: bool,
}

/// No signed answer came; the station's own record will tell.
#[derive(Clone)]
pub(super) struct AwaitingCommit {
    pub(super) issued: Issued,
}

/// Failed, with the cause.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) report: ErrorReport,
}

impl State {
    pub(super) const fn phase(&self) -> SessionPhase {
        match self {
            Self::Dialling(_) => SessionPhase::Dialling,
            Self::Identified(_) => SessionPhase::Identified,
            Self::Issuing(_) => SessionPhase::Issuing,
            Self::Delivering(_) => SessionPhase::Delivering,
            Self::AwaitingCommit(_) => SessionPhase::AwaitingCommit,
            Self::Paired(_) => SessionPhase::Paired,
            Self::Failed(_) => SessionPhase::Failed,
            Self::Released => SessionPhase::Released,
        }
    }

    /// The device, once it has proved who it is.
    pub(super) fn device(&self) -> Option<&Identified> {
        match self {
            Self::Identified(device) | Self::Issuing(device) => Some(device),
            Self::Dialling(_)
            | Self::Delivering(_)
            | Self::AwaitingCommit(_)
            | Self::Paired(_)
            | Self::Failed(_)
            | Self::Released => self.issued().map(|issued| &*issued.device),
        }
    }

    pub(super) fn issued(&self) -> Option<&Issued> {
        match self {
            Self::Dialling(_)
            | Self::Identified(_)
            | Self::Issuing(_)
            | Self::Failed(_)
            | Self::Released => None,
            Self::Delivering(delivering) => Some(&delivering.issued),
            Self::AwaitingCommit(awaiting) => Some(&awaiting.issued),
            Self::Paired(issued) => Some(issued),
        }
    }
}
