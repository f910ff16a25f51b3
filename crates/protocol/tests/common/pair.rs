//! Device and station with a network that does what the test says.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use zmon_crypto::x509::AnchorSet;
use zmon_crypto::{IdentityKey, Suite};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{Serial, SessionId};
use zmon_domain::time::Now;
use zmon_protocol::PullMethod;
use zmon_protocol::device::{
    DeviceAction, DeviceEvent, DeviceInput, DeviceReply, DeviceSnapshot, LinkError, Retirement,
    StationTrust,
};
use zmon_protocol::station::{
    CertificateState, CertificateUse, RegistryEntry, SessionInput, SessionPhase, StationAction,
};
use zmon_wire::blink::BlinkRequest;
use zmon_wire::kind::TrustLevel;
use zmon_wire::qr::QrContent;

use super::clock::Clock;
use super::device::{self, Device};
use super::station::{self, Station};

/// What happens to one commit or ask on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Delivered,
    RequestLost,
    AnswerLost,
    Garbled,
}

pub(crate) struct Pair {
    pub(crate) clock: Clock,
    pub(crate) device: Device,
    pub(crate) station: Station,
    pub(crate) port: u16,
    pub(crate) listening: bool,
    /// Serial of the slot the monitoring link runs on.
    pub(crate) link: Option<Serial>,
    pub(crate) signals: Vec<DeviceEvent>,
    /// Every action of the device, by name, in order.
    pub(crate) trace: Vec<&'static str>,
    /// Results of the next connection tests; then they succeed.
    pub(crate) tests: VecDeque<Result<(), LinkError>>,
    /// Fates of the next commits; then they are delivered.
    pub(crate) commits: VecDeque<Commit>,
    /// Fates of the next asks; then they are delivered.
    pub(crate) asks: VecDeque<Commit>,
    /// Answers to the next statements about dead certificates; then the station is out of reach.
    pub(crate) retires: VecDeque<Result<(), LinkError>>,
    /// Every statement that left the device.
    pub(crate) retired: Vec<Arc<Retirement>>,
    /// Results of the next erasures; then they succeed.
    pub(crate) erasures: VecDeque<Result<(), ErrorCode>>,
    /// Results of the next removals of a manual configuration; then they succeed.
    pub(crate) removals: VecDeque<Result<(), ErrorCode>>,
    /// How many dials fail.
    pub(crate) dials_to_fail: u8,
    /// How many of the next deliveries do not arrive.
    pub(crate) deliveries_to_fail: u8,
    /// How many of the next requests to blink do not arrive.
    pub(crate) blinks_to_fail: u8,
    /// How many answers to a typed code's confirmation are lost.
    pub(crate) confirms_to_lose: u8,
    /// The answer to the delivery does not arrive.
    pub(crate) lose_status: bool,
    /// What the next pulls fail with; then they are answered.
    pub(crate) pulls: VecDeque<LinkError>,
    /// What the next fetches fail with; then they are answered.
    pub(crate) fetches: VecDeque<LinkError>,
    /// Nothing happens any more once the device has made so many commits.
    pub(crate) power_fails_at: Option<usize>,
    pub(crate) last_pull: Option<(PullMethod, Vec<u8>)>,
    /// Does something to every envelope on its way.
    pub(crate) tamper: Option<fn(&mut Vec<u8>)>,
    pub(crate) last_session: Option<(Vec<u8>, [u8; 32])>,
    /// The last run of a typed code.
    pub(crate) last_start: Option<(Vec<u8>, [u8; 65])>,
    pub(crate) last_confirm: Option<(SessionId, [u8; 32])>,
    pub(crate) last_blink: Option<BlinkRequest>,
    /// Every field that station and device have said to each other in a typed pairing.
    pub(crate) wire: Vec<Vec<u8>>,
    pub(crate) last_envelope: Option<Vec<u8>>,
    pub(crate) last_status: Option<String>,
    pub(crate) delivered: bool,
    pub(crate) tested: u32,
    pub(crate) asked: u32,
}

impl Pair {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_suite(seed, Suite::P256)
    }

    pub(crate) fn with_suite(seed: u64, suite: Suite) -> Self {
        let clock = Clock::new();
        let mut station = Station::new(seed);
        let anchors = AnchorSet::from_anchors([station.ca.anchor()]).unwrap();
        let device = Device::new(seed, suite, anchors, &clock.now());
        station.registry = Some(RegistryEntry {
            device_id: device.profile.device_id.clone(),
            serial: device.profile.serial.clone(),
            identity_key: device.identity.public().thumbprint(),
            decommissioned: false,
        });
        station.identity = Some(device.identity.public().clone());
        Self {
            clock,
            device,
            station,
            port: 4430,
            listening: false,
            link: None,
            signals: Vec::new(),
            trace: Vec::new(),
            tests: VecDeque::new(),
            commits: VecDeque::new(),
            asks: VecDeque::new(),
            retires: VecDeque::new(),
            retired: Vec::new(),
            erasures: VecDeque::new(),
            removals: VecDeque::new(),
            dials_to_fail: 0,
            deliveries_to_fail: 0,
            blinks_to_fail: 0,
            confirms_to_lose: 0,
            lose_status: false,
            pulls: VecDeque::new(),
            fetches: VecDeque::new(),
            last_pull: None,
            power_fails_at: None,
            tamper: None,
            last_session: None,
            last_start: None,
            last_confirm: None,
            last_blink: None,
            wire: Vec::new(),
            last_envelope: None,
            last_status: None,
            delivered: false,
            tested: 0,
            asked: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// The device holds no anchor from now on: an operator has to confirm its station.
    pub(crate) fn by_proximity(&mut self) {
        self.device.anchors = AnchorSet::from_anchors([]).unwrap();
        self.device.profile.trust = StationTrust::Proximity;
        self.station.policy.station_trust = vec![TrustLevel::Anchored, TrustLevel::Proximity];
    }

    /// One input to the device, and everything that follows without time passing.
    pub(crate) fn tell(&mut self, input: DeviceInput) -> Result<DeviceReply, ErrorReport> {
        let reply = self.device.input(&self.now(), input);
        self.settle();
        reply
    }

    pub(crate) fn enter(&mut self) {
        let now = self.now();
        let proof = device::technician(&now);
        self.tell(DeviceInput::Enter { proof, address: device::address() }).unwrap();
    }

    pub(crate) fn reprovision(&mut self) {
        let now = self.now();
        let proof = device::technician(&now);
        self.tell(DeviceInput::Reprovision { proof, address: device::address() }).unwrap();
    }

    /// A technician asks for a new certificate.
    pub(crate) fn renew(&mut self) {
        let proof = device::technician(&self.now());
        self.tell(DeviceInput::Renew { proof }).unwrap();
    }

    /// The station's own clock, whatever the device's says.
    pub(crate) fn station_now(&self) -> Now {
        Clock { elapsed: self.clock.elapsed, ..Clock::new() }.now()
    }

    pub(crate) fn snapshot(&self) -> DeviceSnapshot {
        self.device.machine.snapshot(&self.now())
    }

    /// The words on the device's screen; none that could be right where no station waits.
    pub(crate) fn words(&self) -> String {
        let shown = self.snapshot().confirmation;
        shown.map_or_else(String::new, |shown| shown.words.join(" "))
    }

    pub(crate) fn qr(&self) -> QrContent {
        self.snapshot().qr.expect("a QR code is shown")
    }

    /// Scan and pair in one call, as far as it goes without time passing.
    pub(crate) fn pair(&mut self) -> SessionPhase {
        let qr = self.qr();
        self.pair_with(&qr)
    }

    pub(crate) fn pair_with(&mut self, qr: &QrContent) -> SessionPhase {
        let request = self.station.request(qr, Some(station::details("ICU-3B")));
        let now = self.now();
        drop(self.station.open(&now, request));
        self.settle();
        self.phase()
    }

    /// The code typed, and pair in one call.
    pub(crate) fn pair_typed(&mut self, code: &str) -> SessionPhase {
        let details = Some(station::details("ICU-3B"));
        let request = self.station.typed_request(code, self.port, details);
        let now = self.now();
        drop(self.station.open(&now, request));
        self.settle();
        self.phase()
    }

    /// The code on the screen.
    pub(crate) fn code(&self) -> String {
        self.snapshot().code.expect("a code is shown").to_string()
    }

    /// Scan only: the device is claimed, `pair` is to follow.
    pub(crate) fn scan(&mut self) -> SessionPhase {
        let qr = self.qr();
        let request = self.station.request(&qr, None);
        let now = self.now();
        self.station.open(&now, request).unwrap();
        self.settle();
        self.phase()
    }

    pub(crate) fn phase(&self) -> SessionPhase {
        self.station.machine.as_ref().unwrap().phase()
    }

    /// The device with a configuration in force.
    pub(crate) fn provisioned(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        pair.enter();
        assert_eq!(pair.pair(), SessionPhase::Paired);
        pair.signals.clear();
        pair.trace.clear();
        pair
    }

    /// Runs actions and due timers until nothing is due now.
    pub(crate) fn settle(&mut self) {
        loop {
            if self.power_fails_at.is_some_and(|commits| self.device.commits.len() >= commits) {
                return;
            }
            if let Some(action) = self.device.actions.pop_front() {
                self.act(action);
            } else if let Some(action) = self.station.actions.pop_front() {
                self.act_station(action);
            } else if !self.fire() {
                return;
            }
        }
    }

    /// Fires one timer that is due; false if none is.
    fn fire(&mut self) -> bool {
        let now = self.now();
        if self.device.machine.poll_timeout().is_some_and(|at| at <= now.mono) {
            drop(self.device.input(&now, DeviceInput::Timeout));
            let again = self.device.machine.poll_timeout().is_some_and(|at| at <= now.mono);
            assert!(
                !again || self.device.audit_down || !self.device.actions.is_empty(),
                "a timer that fired must move"
            );
            return !self.device.audit_down;
        }
        let due =
            |station: &Station| station.machine.as_ref().and_then(|machine| machine.poll_timeout());
        if due(&self.station).is_some_and(|at| at <= now.mono) {
            self.station.input(&now, SessionInput::Timeout).unwrap();
            return true;
        }
        false
    }

    /// Carries out what the station wants, one action at a time, until its session is there.
    pub(crate) fn step_until(&mut self, phase: SessionPhase) {
        while self.phase() != phase {
            let action = self.station.actions.pop_front().expect("the session goes on");
            self.act_station(action);
        }
    }

    /// The same until this is what it wants next.
    pub(crate) fn step_until_action(&mut self, wanted: impl Fn(&StationAction) -> bool) {
        while !self.station.actions.front().is_some_and(&wanted) {
            let action = self.station.actions.pop_front().expect("the session goes on");
            self.act_station(action);
        }
    }

    /// Jumps to the next wakeup of either side; false if there is none.
    pub(crate) fn step(&mut self) -> bool {
        let station = self.station.machine.as_ref().and_then(|machine| machine.poll_timeout());
        let next = [self.device.machine.poll_timeout(), station].into_iter().flatten().min();
        let Some(next) = next else { return false };
        self.clock.jump(next);
        self.settle();
        true
    }

    /// Lets time pass, waking up whenever somebody wants to.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.clock.elapsed + duration;
        loop {
            let station = self.station.machine.as_ref().and_then(|machine| machine.poll_timeout());
            let next = [self.device.machine.poll_timeout(), station].into_iter().flatten().min();
            match next {
                // A driver whose commit fails backs off.
                Some(next) if next.elapsed() <= end && !self.device.audit_down => {
                    self.clock.jump(next);
                    self.settle();
                }
                Some(_) | None => break,
            }
        }
        self.clock.elapsed = end;
        self.settle();
    }

    pub(crate) fn restart(&mut self) -> Result<DeviceReply, ErrorReport> {
        self.power_fails_at = None;
        self.listening = false;
        self.link = None;
        self.delivered = false;
        let now = self.now();
        let reply = self.device.restart(&now);
        self.settle();
        reply
    }

    fn act(&mut self, action: DeviceAction) {
        let now = self.now();
        match action {
            DeviceAction::OpenListener => {
                self.trace.push("OpenListener");
                self.listening = true;
                let port = self.port;
                self.device.input(&now, DeviceInput::ListenerOpened { port }).unwrap();
            }
            DeviceAction::CloseListener => {
                self.trace.push("CloseListener");
                self.listening = false;
            }
            DeviceAction::AnswerDelivery { status, .. } => {
                self.trace.push("AnswerDelivery");
                self.last_status = Some(status.clone());
                if !core::mem::take(&mut self.delivered) {
                    return;
                }
                let input = if self.lose_status {
                    SessionInput::DeliveryFailed(ErrorCode::Timeout)
                } else {
                    SessionInput::Delivered(status.into_bytes())
                };
                self.station.input(&now, input).unwrap();
            }
            DeviceAction::TestConnection { attempt, credentials } => {
                self.trace.push("TestConnection");
                self.tested += 1;
                assert!(attempt <= 3, "three attempts in all");
                assert!(credentials.server_pin.is_some() && !credentials.ca.is_empty());
                let result = self.tests.pop_front().unwrap_or(Ok(()));
                if result.is_ok() {
                    let serial = self.staged_serial();
                    let state = self.station.certificates[&serial].state;
                    assert!(state.permits(CertificateUse::Test), "{state}");
                    self.tell_station(SessionInput::Tested { serial });
                }
                drop(self.device.input(&now, DeviceInput::Tested(result)));
            }
            DeviceAction::SendCommit { request, .. } => {
                self.trace.push("SendCommit");
                let fate = self.commits.pop_front().unwrap_or(Commit::Delivered);
                let lost = Err(LinkError::Network(ErrorCode::Timeout));
                let mut answer = lost.clone();
                if fate != Commit::RequestLost {
                    let bytes = self.station.commit(&request).unwrap();
                    let serial = request.serial;
                    if self.station.certificates[&serial].state == CertificateState::Current {
                        self.tell_station(SessionInput::Committed { serial });
                    }
                    answer = Ok(bytes);
                }
                let answer = spoil(fate, answer, lost);
                drop(self.device.input(&now, DeviceInput::CommitAnswered(answer)));
            }
            DeviceAction::AskOutcome { ask, .. } => {
                self.trace.push("AskOutcome");
                self.asked += 1;
                let fate = self.asks.pop_front().unwrap_or(Commit::Delivered);
                let lost = Err(LinkError::Network(ErrorCode::StationUnreachable));
                let mut answer = lost.clone();
                if fate != Commit::RequestLost {
                    let serial = self.staged_serial();
                    answer = Ok(self.station.answer(ask.as_bytes()).unwrap());
                    if self.station.certificates[&serial].state == CertificateState::Revoked {
                        self.tell_station(SessionInput::Aborted { serial });
                    }
                }
                let answer = spoil(fate, answer, lost);
                drop(self.device.input(&now, DeviceInput::OutcomeAnswered(answer)));
            }
            DeviceAction::Pull { method, pull, credentials } => {
                self.trace.push("Pull");
                assert!(credentials.server_pin.is_some(), "the server is checked by its pin");
                self.last_pull = Some((method, pull.clone().into_bytes()));
                let result = match self.pulls.pop_front() {
                    Some(error) => Err(error),
                    None => self
                        .station
                        .pull(&self.station_now(), method, pull.as_bytes())
                        .map_err(|report| LinkError::Refused(report.code)),
                };
                drop(self.device.input(&now, DeviceInput::Pulled(result)));
            }
            DeviceAction::Fetch { request, .. } => {
                self.trace.push("Fetch");
                let input = DeviceInput::Fetched(match self.fetches.pop_front() {
                    Some(error) => Err(error),
                    None => self.fetch(request.identity.into_bytes()),
                });
                drop(self.device.input(&now, input));
            }
            DeviceAction::StartLink(_) => {
                self.trace.push("StartLink");
                self.link = self.device.stored.slot_a.as_ref().map(|slot| slot.serial);
            }
            DeviceAction::StopLink => {
                self.trace.push("StopLink");
                self.link = None;
            }
            DeviceAction::SendRetire(entry) => {
                self.trace.push("SendRetire");
                let lost = Err(LinkError::Network(ErrorCode::StationUnreachable));
                let result = self.retires.pop_front().unwrap_or(lost);
                let counter = entry.counter;
                self.retired.push(entry);
                drop(self.device.input(&now, DeviceInput::RetireAnswered { counter, result }));
            }
            DeviceAction::Erase => {
                self.trace.push("Erase");
                let result = self.erasures.pop_front().unwrap_or(Ok(()));
                drop(self.device.input(&now, DeviceInput::Erased(result)));
            }
            DeviceAction::RemoveManual => {
                self.trace.push("RemoveManual");
                let result = self.removals.pop_front().unwrap_or(Ok(()));
                drop(self.device.input(&now, DeviceInput::ManualRemoved(result)));
            }
            DeviceAction::Emit(event) => self.signals.push(event),
            other => panic!("the test bed does not know {other:?}"),
        }
    }

    fn act_station(&mut self, action: StationAction) {
        let now = self.now();
        match action {
            StationAction::SendSession { hello, claim_mac, .. } => {
                self.last_session = Some((hello.clone().into_bytes(), claim_mac));
                if self.dials_to_fail > 0 || !self.listening {
                    self.dials_to_fail = self.dials_to_fail.saturating_sub(1);
                    let code = ErrorCode::DeviceUnreachable;
                    self.station.input(&now, SessionInput::DialFailed(code)).unwrap();
                    return;
                }
                let hello = hello.into_bytes();
                let input =
                    match self.device.input(&now, DeviceInput::SessionOpen { hello, claim_mac }) {
                        Ok(DeviceReply::Identity(identity)) => {
                            SessionInput::Identity(identity.into_bytes())
                        }
                        Ok(other) => panic!("a claim is not answered by {other:?}"),
                        Err(report) => SessionInput::DialFailed(report.code),
                    };
                self.station.input(&now, input).unwrap();
            }
            StationAction::AskWindow { .. } => {
                if self.dials_to_fail > 0 || !self.listening {
                    self.dials_to_fail = self.dials_to_fail.saturating_sub(1);
                    let code = ErrorCode::DeviceUnreachable;
                    self.station.input(&now, SessionInput::DialFailed(code)).unwrap();
                    return;
                }
                let input = match self.device.input(&now, DeviceInput::AskWindow) {
                    Ok(DeviceReply::Window(_, window_id)) => {
                        self.wire.push(window_id.as_bytes().to_vec());
                        SessionInput::Window { window_id, tries: self.station.tries }
                    }
                    Ok(other) => panic!("a question is not answered by {other:?}"),
                    Err(report) => SessionInput::DialFailed(report.code),
                };
                self.station.input(&now, input).unwrap();
            }
            StationAction::StartPake { hello, share_p } => {
                let hello = hello.into_bytes();
                self.wire.extend([hello.clone(), share_p.to_vec()]);
                self.last_start = Some((hello.clone(), share_p));
                let reply = self.device.input(&now, DeviceInput::PakeStart { hello, share_p });
                let input = match reply {
                    Ok(DeviceReply::Share { share_v, confirm_v }) => {
                        self.wire.extend([share_v.to_vec(), confirm_v.to_vec()]);
                        SessionInput::Share { share_v, confirm_v }
                    }
                    Ok(other) => panic!("a run is not answered by {other:?}"),
                    Err(report) => SessionInput::DialFailed(report.code),
                };
                self.station.input(&now, input).unwrap();
            }
            StationAction::ConfirmPake { session_id, confirm_p } => {
                self.wire.push(confirm_p.to_vec());
                self.last_confirm = Some((session_id, confirm_p));
                let input = DeviceInput::PakeConfirm { session_id, confirm_p };
                let input = match self.device.input(&now, input) {
                    Ok(DeviceReply::Identity(_)) if self.confirms_to_lose > 0 => {
                        self.confirms_to_lose -= 1;
                        SessionInput::DialFailed(ErrorCode::DeviceUnreachable)
                    }
                    Ok(DeviceReply::Identity(identity)) => {
                        self.wire.push(identity.clone().into_bytes());
                        SessionInput::Identity(identity.into_bytes())
                    }
                    Ok(other) => panic!("a claim is not answered by {other:?}"),
                    Err(report) => SessionInput::DialFailed(report.code),
                };
                self.station.input(&now, input).unwrap();
            }
            StationAction::Issue { device_id, csr_spki, trust, .. } => {
                self.station.ca.trust = trust;
                // The device may have no clock; the station has.
                let now = if now.wall.is_some() { now } else { self.station_now() };
                let at = now.wall.unwrap_or_else(super::clock::start);
                let (chain, serial) = self.station.ca.issue(&csr_spki, &device_id, at);
                self.station.input(&now, SessionInput::Issued { chain, serial }).unwrap();
            }
            StationAction::Deliver { mut envelope, .. } => {
                if let Some(tamper) = self.tamper {
                    tamper(&mut envelope);
                }
                self.last_envelope = Some(envelope.clone());
                self.wire.push(envelope.clone());
                if self.deliveries_to_fail > 0 {
                    self.deliveries_to_fail -= 1;
                    let lost = SessionInput::DeliveryFailed(ErrorCode::DeviceUnreachable);
                    self.station.input(&now, lost).unwrap();
                    return;
                }
                let input = match self.device.input(&now, DeviceInput::Configuration { envelope }) {
                    Ok(DeviceReply::Pending) => {
                        self.delivered = true;
                        return;
                    }
                    Ok(DeviceReply::Status(status)) => SessionInput::Delivered(status.into_bytes()),
                    Ok(other) => panic!("a delivery is not answered by {other:?}"),
                    Err(report) => SessionInput::DeliveryFailed(report.code),
                };
                self.station.input(&now, input).unwrap();
            }
            StationAction::Blink { request, .. } => {
                self.last_blink = Some(request.clone());
                if self.blinks_to_fail > 0 {
                    self.blinks_to_fail -= 1;
                    let lost = SessionInput::BlinkFailed(ErrorCode::DeviceUnreachable);
                    self.station.input(&now, lost).unwrap();
                    return;
                }
                let BlinkRequest { session_id, number, mac } = request;
                let input = DeviceInput::Blink { session_id, number, mac };
                let input = match self.device.input(&now, input) {
                    Ok(DeviceReply::Blinking { seconds }) => SessionInput::Blinked(seconds),
                    Ok(other) => panic!("a blink is not answered by {other:?}"),
                    Err(report) => SessionInput::BlinkFailed(report.code),
                };
                self.station.input(&now, input).unwrap();
            }
            StationAction::Hangup => {}
            other => panic!("the test bed does not know {other:?}"),
        }
    }

    /// `POST …/identity`
    pub(crate) fn fetch(&mut self, identity: Vec<u8>) -> Result<Vec<u8>, LinkError> {
        let now = self.station_now();
        let refused = |code| LinkError::Refused(code);
        let told = self.station.input(&now, SessionInput::Identity(identity));
        told.map_err(|refusal| refused(refusal.report.code))?;
        while let Some(action) = self.station.actions.pop_front() {
            self.act_station(action);
        }
        let machine = self.station.machine.as_ref().unwrap();
        let mut envelope = machine.envelope().ok_or(refused(ErrorCode::IdentityInvalid))?.to_vec();
        if let Some(tamper) = self.tamper {
            tamper(&mut envelope);
        }
        Ok(envelope)
    }

    /// The session hears of it, if one runs.
    fn tell_station(&mut self, input: SessionInput) {
        if self.station.machine.is_some() {
            self.station.input(&self.clock.now(), input).unwrap();
        }
    }

    fn staged_serial(&self) -> Serial {
        let (slot, _) = self.device.stored.slot_b.as_ref().expect("slot B is tested");
        slot.serial
    }
}

fn spoil(
    fate: Commit,
    answer: Result<Vec<u8>, LinkError>,
    lost: Result<Vec<u8>, LinkError>,
) -> Result<Vec<u8>, LinkError> {
    match fate {
        Commit::Delivered => answer,
        Commit::RequestLost | Commit::AnswerLost => lost,
        Commit::Garbled => answer.map(|mut bytes| {
            let last = bytes.len() - 10;
            bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
            bytes
        }),
    }
}
