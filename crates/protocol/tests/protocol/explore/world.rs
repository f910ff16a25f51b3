//! A device, a station and the network between them, small enough to be copied at every step.
//!
//! The machines are the product's own. Each party has a clock of its own, so that any timer may fire
//! before or after anything that the other side does.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{Serial, SessionId, WindowId};
use zmon_domain::time::{Now, Tick};
use zmon_protocol::device::{
    BootState, DeviceAction, DeviceInput, DeviceMachine, DeviceRecord, DeviceReply,
    DeviceTransition, DeviceWrite, StateKind,
};
use zmon_protocol::station::outcome::{CertificateView, Change};
use zmon_protocol::station::{
    CertificateState, SessionInput, SessionMachine, SessionTransition, StationAction, StationWrite,
};
use zmon_wire::outcome::CommitRequest;
use zmon_wire::qr::QrContent;

use super::bed::{Bed, Plant};
use crate::common::clock::Clock;

/// A request that one side has made of the other. Certificates and sessions go by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call {
    /// Station to device: hello and claim of a session.
    Claim(usize),
    /// Station to device: the envelope of a session.
    Deliver(usize),
    /// Device to station over this certificate.
    Test(usize),
    Commit(usize),
    /// Device to station about this certificate.
    Ask(usize),
}

/// Where a request is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way.
    Sent,
    /// The device took the envelope and answers later.
    Held,
    /// The answer is on its way.
    Answered(Result<Arc<[u8]>, ErrorCode>),
}

/// What a request says, as far as its session does not.
#[derive(Clone)]
pub(super) enum Content {
    None,
    Commit(CommitRequest),
    Ask(Arc<str>),
}

#[derive(Clone)]
pub(super) struct Pending {
    pub(super) stage: Stage,
    pub(super) content: Content,
}

/// A signed answer of the station.
#[derive(Clone)]
pub(super) struct Spoken {
    pub(super) bytes: Arc<[u8]>,
    /// It was to a commit, all attempts of which have one nonce, or to a question, which has its own.
    pub(super) to_commit: bool,
    pub(super) committed: bool,
}

/// One session of the station.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// The window that was scanned, and which of its tokens.
    pub(super) scanned: (usize, u8),
    /// None once the station has lost its memory.
    pub(super) machine: Option<Arc<SessionMachine>>,
    pub(super) clock: Duration,
    pub(super) claim: Option<(Arc<str>, [u8; 32])>,
    pub(super) envelope: Option<Arc<[u8]>>,
    /// Network failures it has been told of.
    pub(super) failures: u8,
}

/// A window of the device, as whoever looks at its screen knows it.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) id: WindowId,
    /// What it has shown last.
    pub(super) photo: Option<Arc<QrContent>>,
    /// How many tokens it has shown.
    pub(super) drawn: u8,
}

/// How much more may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    pub(crate) windows: u8,
    pub(crate) sessions: u8,
    /// Lost, replayed and forged messages.
    pub(crate) faults: u8,
    /// Restarts of either side.
    pub(crate) crashes: u8,
    /// Timers that fire.
    pub(crate) timers: u8,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(super) bed: Arc<Bed>,
    pub(super) rng: ChaCha20Rng,
    pub(super) left: Bounds,
    pub(super) device: Arc<DeviceMachine>,
    pub(super) disk: Arc<BootState>,
    pub(super) clock: Duration,
    /// The window that the store holds open.
    pub(super) open: Option<WindowId>,
    /// Every window there was.
    pub(super) windows: Vec<Window>,
    pub(super) sessions: Vec<Session>,
    pub(super) certificates: Vec<CertificateView>,
    pub(super) calls: BTreeMap<Call, Pending>,
    /// The requests of the step that is being taken.
    pub(super) fresh: Vec<Call>,
    /// Requests that nobody waits for any more, and that may still arrive.
    pub(super) strays: BTreeMap<Call, Content>,
    /// The last signed answer about each certificate that left the station.
    pub(super) outcomes: BTreeMap<usize, Spoken>,
    /// Which sessions the device has let claim a window, by window.
    pub(super) claims: Vec<(usize, usize)>,
    /// The session whose end the device remembers.
    pub(super) finished: Option<usize>,
    pub(super) was_provisioned: bool,
    /// A rule that a single step broke.
    pub(super) broken: Option<&'static str>,
}

impl World {
    pub(super) fn new(bed: &Arc<Bed>, left: Bounds) -> Self {
        let clock = Duration::ZERO;
        let disk = BootState::default();
        let machine = DeviceMachine::restore(disk.clone(), &bed.device(), &now(clock)).next;
        Self {
            bed: Arc::clone(bed),
            rng: ChaCha20Rng::seed_from_u64(1),
            left,
            device: Arc::new(machine),
            disk: Arc::new(disk),
            clock,
            open: None,
            windows: Vec::new(),
            sessions: Vec::new(),
            certificates: Vec::new(),
            calls: BTreeMap::new(),
            fresh: Vec::new(),
            strays: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            claims: Vec::new(),
            finished: None,
            was_provisioned: false,
            broken: None,
        }
    }

    pub(super) fn kind(&self) -> StateKind {
        self.device.kind()
    }

    pub(super) fn now(&self) -> Now {
        now(self.clock)
    }

    pub(super) fn certificate(&self, serial: &Serial) -> Option<usize> {
        self.certificates.iter().position(|view| view.serial == *serial)
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<usize> {
        self.sessions.iter().position(|session| session.id == *id)
    }

    pub(super) fn rule(&mut self, holds: bool, rule: &'static str) {
        if !holds {
            self.broken = self.broken.or(Some(rule));
        }
    }

    /// What a driver does with an input: propose, commit, install, act.
    pub(super) fn tell_device(&mut self, input: DeviceInput) -> Result<DeviceReply, ErrorReport> {
        let bed = Arc::clone(&self.bed);
        let before = Arc::clone(&self.device);
        let claims = input.claims();
        let now = self.now();
        let transition =
            DeviceMachine::clone(&before).handle(&bed.device(), &now, &mut self.rng, input);
        let reply = self.install(transition);
        if bed.plant == Plant::DoubleClaim && claims && reply.is_ok() {
            self.device = before;
            self.open = self.windows.last().map(|window| window.id);
            Arc::make_mut(&mut self.disk).window_open = true;
        }
        reply
    }

    fn install(&mut self, transition: DeviceTransition) -> Result<DeviceReply, ErrorReport> {
        let DeviceTransition { next, record, actions, reply } = transition;
        self.commit(&record);
        self.device = Arc::new(next);
        for action in actions {
            self.act(action);
        }
        let snapshot = self.device.snapshot(&self.now());
        if let (Some(qr), Some(window)) = (snapshot.qr, self.windows.last_mut())
            && window.photo.as_ref().map(|shown| shown.pairing_token.expose())
                != Some(qr.pairing_token.expose())
        {
            window.photo = Some(Arc::new(qr));
            window.drawn += 1;
        }
        // What is due at once is done at once, as a driver does it.
        if self.is_due() {
            let again = self.device.kind();
            drop(self.tell_device(DeviceInput::Timeout));
            self.rule(
                self.device.kind() != again || !self.is_due(),
                "a timer that is due goes off",
            );
        }
        reply
    }

    fn is_due(&self) -> bool {
        self.device.poll_timeout().is_some_and(|at| at.elapsed() <= self.clock)
    }

    fn commit(&mut self, record: &DeviceRecord) {
        self.rule(record.writes.is_empty() || !record.audit.is_empty(), "no row, no operation");
        let disk = Arc::make_mut(&mut self.disk);
        let mut sound = true;
        for write in &record.writes {
            match write {
                DeviceWrite::OpenWindow(id) => {
                    self.open = Some(*id);
                    self.windows.push(Window { id: *id, photo: None, drawn: 0 });
                }
                DeviceWrite::ClaimWindow(id, _) => sound &= self.open.take() == Some(*id),
                DeviceWrite::CloseWindow => self.open = None,
                _ => {}
            }
            sound &= disk.apply(write).is_ok();
            if self.bed.plant == Plant::FlipBeforeProof
                && matches!(write, DeviceWrite::MarkCommitSent(_))
            {
                sound &= disk.apply(&DeviceWrite::Flip).is_ok();
            }
        }
        self.was_provisioned |= disk.slot_a.is_some();
        self.was_provisioned &= !disk.deprovisioned;
        self.rule(sound, "a write contradicts what is stored");
    }

    fn act(&mut self, action: DeviceAction) {
        match action {
            DeviceAction::OpenListener => {
                drop(self.tell_device(DeviceInput::ListenerOpened { port: 4430 }));
            }
            DeviceAction::AnswerDelivery { session_id, status } => {
                let Some(session) = self.session(&session_id) else { return };
                self.finished = Some(session);
                if let Some(call) = self.calls.get_mut(&Call::Deliver(session))
                    && call.stage == Stage::Held
                {
                    call.stage = Stage::Answered(Ok(status.into_bytes().into()));
                }
            }
            DeviceAction::TestConnection { .. } => {
                if let Some(number) = self.staged() {
                    self.send(Call::Test(number), Content::None);
                }
            }
            DeviceAction::SendCommit { request, .. } => {
                if let Some(number) = self.certificate(&request.serial) {
                    self.send(Call::Commit(number), Content::Commit(request));
                }
            }
            DeviceAction::AskOutcome { ask, .. } => {
                if let Some(number) = self.staged() {
                    self.send(Call::Ask(number), Content::Ask(ask.into()));
                }
            }
            DeviceAction::CloseListener
            | DeviceAction::StartLink(_)
            | DeviceAction::StopLink
            | DeviceAction::Emit(_) => {}
            _ => self.rule(false, "the device does what nobody asked for"),
        }
    }
}

impl World {
    /// A request leaves. One of the same name that is still on its way may yet arrive.
    pub(super) fn send(&mut self, call: Call, content: Content) {
        let pending = Pending { stage: Stage::Sent, content };
        self.fresh.push(call);
        if let Some(old) = self.calls.insert(call, pending) {
            self.stray(call, old);
        }
    }

    /// Nobody waits for this request any more.
    pub(super) fn stray(&mut self, call: Call, pending: Pending) {
        if pending.stage == Stage::Sent {
            self.strays.insert(call, pending.content);
        }
    }

    fn staged(&self) -> Option<usize> {
        let (slot, _) = self.disk.slot_b.as_ref()?;
        self.certificate(&slot.serial)
    }

    /// Power off and on: memory is gone, storage is not.
    pub(super) fn restart_device(&mut self) {
        for (call, pending) in core::mem::take(&mut self.calls) {
            match call {
                // The connection breaks; the station hears of it.
                Call::Claim(_) | Call::Deliver(_) => {
                    let stage = Stage::Answered(Err(ErrorCode::DeviceUnreachable));
                    self.calls.insert(call, Pending { stage, content: pending.content });
                }
                Call::Test(_) | Call::Commit(_) | Call::Ask(_) => self.stray(call, pending),
            }
        }
        self.finished = None;
        let boot = BootState::clone(&self.disk);
        let now = self.now();
        let bed = Arc::clone(&self.bed);
        let reply = self.install(DeviceMachine::restore(boot, &bed.device(), &now));
        self.rule(reply.is_ok(), "what is stored can be read again");
    }

    /// The station forgets its sessions; its records stay (D11).
    pub(super) fn restart_station(&mut self) {
        for session in &mut self.sessions {
            session.machine = None;
        }
        for (call, pending) in core::mem::take(&mut self.calls) {
            match call {
                Call::Claim(_) | Call::Deliver(_) => self.stray(call, pending),
                Call::Test(_) | Call::Commit(_) | Call::Ask(_) => {
                    let stage = match pending.stage {
                        Stage::Sent => Stage::Sent,
                        Stage::Held | Stage::Answered(_) => {
                            Stage::Answered(Err(ErrorCode::StationUnreachable))
                        }
                    };
                    self.calls.insert(call, Pending { stage, content: pending.content });
                }
            }
        }
    }

    /// A session of the station takes an input; nothing if the station has forgotten it.
    pub(super) fn tell_session(&mut self, number: usize, input: SessionInput) {
        let bed = Arc::clone(&self.bed);
        let Some(session) = self.sessions.get(number) else { return };
        let Some(machine) = session.machine.clone() else { return };
        let now = now(session.clock);
        let machine = SessionMachine::clone(&machine);
        let transition = machine.handle(&bed.station(), &now, &mut self.rng, input);
        self.install_session(number, transition);
    }

    pub(super) fn install_session(&mut self, number: usize, transition: SessionTransition) {
        let SessionTransition { next, record, actions, .. } = transition;
        self.rule(record.writes.is_empty() || !record.audit.is_empty() || moves_only(&record), ROW);
        for write in record.writes {
            match write {
                StationWrite::InsertPending { serial, device_id, session_id, .. } => {
                    let minted = self.certificates.iter().any(|view| view.session_id == session_id);
                    self.rule(!minted, "one certificate per session");
                    let state = CertificateState::Pending;
                    let committed = false;
                    let view = CertificateView { serial, device_id, session_id, state, committed };
                    self.certificates.push(view);
                }
                StationWrite::AbortPending { serial } => self.abort(&serial),
                _ => {}
            }
        }
        self.sessions[number].machine = Some(Arc::new(next));
        for action in actions {
            self.act_station(number, action);
        }
    }

    fn act_station(&mut self, number: usize, action: StationAction) {
        match action {
            StationAction::SendSession { hello, claim_mac, .. } => {
                self.sessions[number].claim = Some((hello.into(), claim_mac));
                self.send(Call::Claim(number), Content::None);
            }
            StationAction::Issue { device_id, csr_spki, trust, .. } => {
                let (chain, serial) = {
                    let mut issuer = self.bed.issuer.lock().unwrap();
                    issuer.trust = trust;
                    issuer.issue(&csr_spki, &device_id, crate::common::clock::start())
                };
                self.tell_session(number, SessionInput::Issued { chain, serial });
            }
            StationAction::Deliver { envelope, .. } => {
                self.sessions[number].envelope = Some(envelope.into());
                self.send(Call::Deliver(number), Content::None);
            }
            StationAction::Hangup => {
                for call in [Call::Claim(number), Call::Deliver(number)] {
                    if let Some(pending) = self.calls.remove(&call) {
                        self.stray(call, pending);
                    }
                }
            }
            StationAction::Emit(_) => {}
            _ => self.rule(false, "the station does what nobody asked for"),
        }
    }

    /// `pending → revoked`, if it is pending.
    pub(super) fn abort(&mut self, serial: &Serial) {
        if let Some(number) = self.certificate(serial) {
            let view = &mut self.certificates[number];
            if view.state == CertificateState::Pending {
                view.state = CertificateState::Revoked;
            }
        }
    }

    /// What the record decided becomes durable, and the session hears of it.
    pub(super) fn settle(&mut self, number: usize, change: &Change) {
        match change {
            Change::None => {}
            Change::Commit { supersedes } => {
                if let Some(old) = supersedes.and_then(|serial| self.certificate(&serial))
                    && self.bed.plant != Plant::ForgetRevoke
                {
                    self.certificates[old].state = CertificateState::Superseded;
                }
                let view = &mut self.certificates[number];
                view.state = CertificateState::Current;
                view.committed = true;
            }
            Change::Abort => {
                if self.bed.plant != Plant::ForgetAbort {
                    self.certificates[number].state = CertificateState::Revoked;
                }
            }
            _ => self.rule(false, "the station decides what nobody knows"),
        }
        let CertificateView { serial, session_id, .. } = self.certificates[number].clone();
        let Some(session) = self.session(&session_id) else { return };
        match self.certificates[number].state {
            CertificateState::Current => {
                self.tell_session(session, SessionInput::Committed { serial });
            }
            CertificateState::Revoked => {
                self.tell_session(session, SessionInput::Aborted { serial });
            }
            CertificateState::Pending | CertificateState::Superseded => {}
            _ => self.rule(false, "a certificate is in no known state"),
        }
    }
}

const ROW: &str = "no row, no operation at the station";

/// Whether a record only says where the session is.
fn moves_only(record: &zmon_protocol::station::StationRecord) -> bool {
    record.writes.iter().all(|write| matches!(write, StationWrite::Session { .. }))
}

/// The wall clock stands still and is right; only the clock of timers runs.
pub(super) fn now(elapsed: Duration) -> Now {
    Now { mono: Tick::new(elapsed), ..Clock::new().now() }
}
