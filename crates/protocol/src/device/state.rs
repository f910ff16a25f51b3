//! The states. Each owns only what is valid in it; secrets are shared and wiped with their last holder.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zmon_crypto::evidence::{ChainVerified, CodeClaimed, SignatureVerified};
use zmon_crypto::pake::{Confirmation, SHARE_LEN, Share, Verifier};
use zmon_crypto::schedule::{SessionKeys, Transcript};
use zmon_crypto::token::PairingToken;
use zmon_crypto::{KemKey, TlsKey};
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{SessionId, SiteId, StationId, StationName, TokenId, WindowId};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_domain::time::{Tick, UnixTime};
use zmon_wire::kind::Method;
use zmon_wire::qr::QrContent;

use super::blink::Blinks;
use super::configuration::Opened;
use super::hello::Checked;
use super::signer::{Permit, Signer};
use super::slot::Loaded;
use super::table::StateKind;
use crate::PullMethod;

/// Where the device is ([W §6] and Deprovisioned).
#[derive(Clone)]
pub(super) enum State {
    NotProvisioned,
    Deprovisioned,
    Provisioned(Provisioned),
    Error(Failed),
    Ready(Box<Ready>),
    Pairing(Box<Pairing>),
    Configuring(Box<Configuring>),
    Validating(Box<Validating>),
}

/// Slot A lives and no session runs.
#[derive(Clone)]
pub(super) struct Provisioned {
    pub(super) active: Arc<Loaded>,
    pub(super) last_error: Option<ErrorReport>,
    /// The station was asked for a new certificate.
    pub(super) asking: Option<Asking>,
}

/// A pull is on its way (D23).
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) method: PullMethod,
    /// Which pull the hello must answer.
    pub(super) pull_id: TokenId,
    pub(super) guard: Tick,
}

/// The last pairing failed and there is no slot A to go back to.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) base: Base,
    pub(super) report: ErrorReport,
}

/// What an unprovisioned device is when no session runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Fresh,
    Deprovisioned,
}

/// Where a session came from, and where it returns to without success.
#[derive(Clone)]
pub(super) enum Origin {
    Unprovisioned(Base),
    Active(Arc<Loaded>),
}

/// Provisioning mode, from the operator's command to its end.
#[derive(Clone)]
pub(super) struct Mode {
    pub(super) origin: Origin,
    pub(super) address: DeviceAddress,
    /// Who opened it; later rows of the window name them.
    pub(super) actor: Actor,
    /// How often a claim was released because nothing followed it.
    pub(super) releases: u8,
}

/// What is made anew with every window and every regenerate (D10).
#[derive(Clone)]
pub(super) struct Window {
    pub(super) id: WindowId,
    pub(super) code: Arc<PairingCode>,
    pub(super) kem: KemKey,
    pub(super) deadline: Tick,
    pub(super) expires_at: UnixTime,
}

/// A token and the instant it was minted.
#[derive(Clone)]
pub(super) struct Minted {
    pub(super) token: Arc<PairingToken>,
    pub(super) at: Tick,
}

/// The listener is open: the tokens that are accepted.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) port: u16,
    pub(super) current: Minted,
    pub(super) previous: Option<Minted>,
    /// Shown before these two in this window: only what a person brings may still name them (D7).
    pub(super) earlier: Vec<Minted>,
    /// What the QR code says now.
    pub(super) qr: Arc<QrContent>,
    pub(super) rotate_at: Tick,
}

/// A window is open and unclaimed.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) mode: Mode,
    pub(super) window: Window,
    /// None until the listener's port is known, and once the code is void.
    pub(super) tokens: Option<Tokens>,
    /// The listener's port, once it is known.
    pub(super) port: Option<u16>,
    pub(super) typed: Typed,
}

/// What was made of the typed code in this window (D2).
#[derive(Clone, Default)]
pub(super) struct Typed {
    /// Runs started so far; nothing lowers it.
    pub(super) tries: u8,
    /// The one run under way.
    pub(super) run: Option<Arc<Run>>,
}

/// A run of the typed code that has been answered; the station's confirmation is awaited.
pub(super) struct Run {
    pub(super) checked: Checked,
    /// The hello, exact bytes.
    pub(super) hello: Box<[u8]>,
    pub(super) verifier: Verifier,
    /// The share it was begun with, and the answer: the same request is the same run.
    pub(super) share_p: Share,
    pub(super) share_v: Share,
    pub(super) confirm_v: Confirmation,
    pub(super) deadline: Tick,
}

/// The request of a claim and its answer, to answer the same request the same way while the session
/// stands.
#[derive(Clone)]
pub(super) struct Opening {
    /// SHA-256 over what claimed the window: hello and claim MAC, or session and confirmation.
    pub(super) request_hash: [u8; 32],
    /// The identity document, as it was answered.
    pub(super) identity: Arc<str>,
}

/// What a valid claim of a window leaves behind. It cannot be built without the evidence.
#[derive(Clone)]
pub(super) struct Claimed {
    /// By token or by code.
    pub(super) method: Method,
    pub(super) mode: Mode,
    pub(super) port: u16,
    pub(super) code: Arc<PairingCode>,
    pub(super) opening: Opening,
    pub(super) _claimed: Arc<CodeClaimed>,
}

/// How a session began.
#[derive(Clone)]
pub(super) enum Begun {
    /// A station claimed the window (D11).
    Window(Box<Claimed>),
    /// The station answered this device's own pull (D23).
    Pull { method: PullMethod, origin: Origin },
}

/// A station and this device know each other: what the session goes on with.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) begun: Begun,
    /// What the configuration is sealed to.
    pub(super) kem: KemKey,
    pub(super) session_id: SessionId,
    pub(super) station_id: StationId,
    pub(super) station_name: StationName,
    /// Who signed the hello: later messages are verified with this record.
    pub(super) signer: Signer,
    pub(super) transcript: Transcript,
    pub(super) keys: Arc<SessionKeys>,
    /// The key in the certificate request; none where the station makes it (D6).
    pub(super) tls: Option<Arc<TlsKey>>,
    /// End of the session (D11).
    pub(super) deadline: Tick,
}

/// A station has claimed the window, or answered a pull.
#[derive(Clone)]
pub(super) struct Pairing {
    pub(super) claim: Claim,
    /// How many envelopes with a right MAC were opened.
    pub(super) opens: u8,
    /// When the claim is released unless an envelope comes (D11); none once one has come.
    pub(super) release_at: Option<Tick>,
    /// What its station had the screen do, so that people find it.
    pub(super) blinks: Blinks,
    /// What waits for an operator to confirm the station (D8).
    pub(super) offer: Option<Box<Offer>>,
}

/// A configuration that passed every check but the one that a person makes. It is nowhere but here.
#[derive(Clone)]
pub(super) struct Offer {
    pub(super) opened: Opened,
    /// SHA-256 of the envelope.
    pub(super) envelope_hash: [u8; 32],
    /// Until when somebody must confirm.
    pub(super) until: Tick,
}

/// What was checked before a configuration was staged.
#[derive(Clone, Copy)]
pub(super) struct Proofs {
    pub(super) _signature: SignatureVerified,
    pub(super) _client: ChainVerified,
}

/// Why a staged configuration may be used.
#[derive(Clone, Copy)]
pub(super) enum Evidence {
    /// Checked in this run, and its station believed on this ground.
    Checked { _proofs: Proofs, _permit: Permit },
    /// Checked before it became durable in slot B, in an earlier run.
    Durable,
}

/// A configuration passed every check and lies in slot B; its test begins at once.
#[derive(Clone)]
pub(super) struct Configuring {
    pub(super) staged: Staged,
}

/// A staged session.
#[derive(Clone)]
pub(super) struct Staged {
    pub(super) origin: Origin,
    pub(super) slot: Arc<Loaded>,
    pub(super) _evidence: Evidence,
    /// The claim it came by; none after a restart.
    pub(super) opening: Option<Opening>,
    /// SHA-256 of the envelope; none after a restart.
    pub(super) envelope_hash: Option<[u8; 32]>,
    /// End of the session until commit is sent; none after a restart.
    pub(super) deadline: Option<Tick>,
    pub(super) station_name: Option<StationName>,
    /// Site of the hello's signer; none after a restart.
    pub(super) site_id: Option<SiteId>,
}

/// Slot B is tested and committed.
#[derive(Clone)]
pub(super) struct Validating {
    pub(super) staged: Staged,
    pub(super) progress: Progress,
}

/// How far test and commit are.
#[derive(Clone)]
pub(super) enum Progress {
    /// `TestConnection` runs.
    Testing { attempt: u8 },
    /// The network failed; the test runs again at `at`.
    TestPause { next: u8, at: Tick },
    /// `SendCommit` runs. From here on only a signed answer drops a slot (D13).
    Committing { attempt: u8, nonce: [u8; 32], guard: Tick },
    /// The network failed; the commit goes out again at `at`.
    CommitPause { next: u8, nonce: [u8; 32], at: Tick },
    /// `AskOutcome` runs.
    Asking { asked: u32, nonce: [u8; 32], guard: Tick },
    /// The next ask goes out at `at`.
    AskPause { asked: u32, at: Tick },
}

/// The end of a session, kept to answer the same envelope the same way.
#[derive(Clone)]
pub(super) struct Finished {
    pub(super) session_id: SessionId,
    pub(super) envelope_hash: [u8; 32],
    pub(super) status: String,
}

impl Ready {
    /// Every try was spent without a valid confirmation: only a new code helps (D2).
    pub(super) fn is_void(&self) -> bool {
        self.typed.run.is_none() && self.typed.tries >= limits::TYPED_TRIES.default
    }
}

impl Run {
    /// Whether this very request has begun it.
    pub(super) fn is_begun_by(&self, hello: &[u8], share_p: &[u8; SHARE_LEN]) -> bool {
        *self.hello == *hello && self.share_p.as_bytes() == share_p
    }
}

impl Progress {
    /// Commit is marked sent.
    pub(super) const fn in_doubt(&self) -> bool {
        match self {
            Self::Testing { .. } | Self::TestPause { .. } => false,
            Self::Committing { .. }
            | Self::CommitPause { .. }
            | Self::Asking { .. }
            | Self::AskPause { .. } => true,
        }
    }
}

impl Begun {
    pub(super) const fn origin(&self) -> &Origin {
        match self {
            Self::Window(claimed) => &claimed.mode.origin,
            Self::Pull { origin, .. } => origin,
        }
    }

    pub(super) fn into_origin(self) -> Origin {
        match self {
            Self::Window(claimed) => claimed.mode.origin,
            Self::Pull { origin, .. } => origin,
        }
    }

    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Window(claimed) => claimed.method,
            Self::Pull { method, .. } => method.method(),
        }
    }

    /// The claim and its answer; none where nobody claimed.
    pub(super) const fn opening(&self) -> Option<&Opening> {
        match self {
            Self::Window(claimed) => Some(&claimed.opening),
            Self::Pull { .. } => None,
        }
    }

    /// The code that the configuration must carry; none where nobody showed one.
    pub(super) fn code(&self) -> Option<&PairingCode> {
        match self {
            Self::Window(claimed) => Some(&claimed.code),
            Self::Pull { .. } => None,
        }
    }
}

impl Origin {
    /// The state without a session.
    pub(super) fn settle(self, last_error: Option<ErrorReport>) -> State {
        match self {
            Self::Unprovisioned(base) => base.state(),
            Self::Active(active) => {
                State::Provisioned(Provisioned { active, last_error, asking: None })
            }
        }
    }

    /// The state after a failure (D12): slot A lives on, else the error is shown.
    pub(super) fn failed(self, report: ErrorReport) -> State {
        match self {
            Self::Unprovisioned(base) => State::Error(Failed { base, report }),
            Self::Active(active) => {
                let last_error = Some(report);
                State::Provisioned(Provisioned { active, last_error, asking: None })
            }
        }
    }

    pub(super) const fn active(&self) -> Option<&Arc<Loaded>> {
        match self {
            Self::Unprovisioned(_) => None,
            Self::Active(active) => Some(active),
        }
    }
}

impl Base {
    pub(super) const fn state(self) -> State {
        match self {
            Self::Fresh => State::NotProvisioned,
            Self::Deprovisioned => State::Deprovisioned,
        }
    }
}

impl State {
    /// The origin of the running session, if one runs.
    pub(super) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::NotProvisioned | Self::Deprovisioned | Self::Provisioned(_) | Self::Error(_) => {
                None
            }
            Self::Ready(ready) => Some(&ready.mode.origin),
            Self::Pairing(pairing) => Some(pairing.claim.begun.origin()),
            Self::Configuring(configuring) => Some(&configuring.staged.origin),
            Self::Validating(validating) => Some(&validating.staged.origin),
        }
    }

    /// Slot A.
    pub(super) fn active(&self) -> Option<&Arc<Loaded>> {
        match self {
            Self::NotProvisioned | Self::Deprovisioned | Self::Error(_) => None,
            Self::Provisioned(provisioned) => Some(&provisioned.active),
            Self::Ready(_) | Self::Pairing(_) | Self::Configuring(_) | Self::Validating(_) => {
                self.origin().and_then(Origin::active)
            }
        }
    }

    pub(super) fn kind(&self) -> StateKind {
        match self {
            Self::NotProvisioned => StateKind::NotProvisioned,
            Self::Deprovisioned => StateKind::Deprovisioned,
            Self::Provisioned(_) => StateKind::Provisioned,
            Self::Error(_) => StateKind::Error,
            Self::Ready(_) => StateKind::ReadyToPair,
            Self::Pairing(_) => StateKind::Pairing,
            Self::Configuring(_) => StateKind::Configuring,
            Self::Validating(validating) if validating.progress.in_doubt() => StateKind::InDoubt,
            Self::Validating(_) => StateKind::Validating,
        }
    }

    pub(super) fn public(&self) -> ProvisioningState {
        let phase = match self {
            Self::NotProvisioned => return ProvisioningState::NotProvisioned,
            Self::Deprovisioned => return ProvisioningState::Deprovisioned,
            Self::Provisioned(_) => return ProvisioningState::Provisioned,
            Self::Error(_) => return ProvisioningState::Error,
            Self::Ready(_) => ReprovisioningPhase::ReadyToPair,
            Self::Pairing(_) => ReprovisioningPhase::Pairing,
            Self::Configuring(_) => ReprovisioningPhase::Configuring,
            Self::Validating(_) => ReprovisioningPhase::Validating,
        };
        if self.active().is_some() {
            ProvisioningState::Reprovisioning(phase)
        } else {
            phase.plain()
        }
    }

    /// Slot B holds something.
    pub(super) const fn staged(&self) -> Option<&Staged> {
        match self {
            Self::NotProvisioned
            | Self::Deprovisioned
            | Self::Provisioned(_)
            | Self::Error(_)
            | Self::Ready(_)
            | Self::Pairing(_) => None,
            Self::Configuring(configuring) => Some(&configuring.staged),
            Self::Validating(validating) => Some(&validating.staged),
        }
    }

    pub(super) const fn opening(&self) -> Option<&Opening> {
        match self {
            Self::NotProvisioned
            | Self::Deprovisioned
            | Self::Provisioned(_)
            | Self::Error(_)
            | Self::Ready(_) => None,
            Self::Pairing(pairing) => pairing.claim.begun.opening(),
            Self::Configuring(configuring) => configuring.staged.opening.as_ref(),
            Self::Validating(validating) => validating.staged.opening.as_ref(),
        }
    }
}
