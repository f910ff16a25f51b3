//! What may happen next, and what comes of it.

use std::sync::Arc;

use zmon_crypto::token::PairingToken;
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_protocol::device::{DeviceInput, DeviceReply, DeviceWrite, LinkError, StateKind};
use zmon_protocol::station::outcome::{self, Verdict};
use zmon_protocol::station::{
    CertificateState, CertificateUse, DeviceRecord, OpenRequest, Opening, SessionInput,
    SessionMachine, SessionTransition, StationAction,
};

use super::bed::Plant;
use super::world::{Call, Content, Pending, Session, Spoken, Stage, World, now};
use crate::common::{address, details, operator, technician};

/// One thing that happens. Numbers are those of windows, sessions and certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A technician opens a window at the device.
    Open,
    /// A technician scans what this window has shown last, however long ago.
    Scan(usize),
    /// A request arrives and is answered.
    Serve(Call),
    /// An answer arrives.
    Return(Call),
    /// Whoever waits is told that the network failed; the request may still arrive.
    Lose(Call),
    /// A request that nobody waits for arrives after all.
    Stray(Call),
    /// The attacker sends the claim of a session again.
    ReplayClaim(usize),
    /// The attacker sends the envelope of a session again.
    ReplayEnvelope(usize),
    /// The attacker answers with the last answer about this certificate, whatever it was to.
    ReplayAnswer(Call),
    /// A rogue station answers `committed` in the right form, over the right nonce.
    ForgeAnswer(Call),
    /// A rogue station that has seen this window claims it with the right token.
    RogueClaim(usize),
    /// The claim of a session with one bit of its MAC turned.
    BentClaim(usize),
    /// The envelope of a session with one bit turned.
    BentEnvelope(usize),
    /// The device's next timer fires.
    WakeDevice,
    /// The window's time is over.
    Expire,
    /// The next timer of a session fires.
    WakeSession(usize),
    /// The station aborts a certificate that has been pending for too long.
    Sweep(usize),
    /// The device's link sends a heartbeat over slot A.
    Heartbeat,
    CrashDevice,
    CrashStation,
}

impl World {
    pub(super) fn steps(&self, steps: &mut Vec<Step>) {
        let left = self.left;
        let idle = [
            StateKind::NotProvisioned,
            StateKind::Provisioned,
            StateKind::Error,
            StateKind::Deprovisioned,
        ];
        if left.windows > 0 && idle.contains(&self.kind()) {
            steps.push(Step::Open);
        }
        if left.sessions > 0 {
            let shown = (0..).zip(&self.windows).filter(|(_, window)| window.photo.is_some());
            steps.extend(shown.map(|(number, _)| Step::Scan(number)));
        }
        for (call, pending) in &self.calls {
            match pending.stage {
                Stage::Sent => steps.push(Step::Serve(*call)),
                Stage::Answered(_) => steps.push(Step::Return(*call)),
                Stage::Held => {}
            }
        }
        if left.timers > 0 {
            self.timers(steps);
        }
        if left.faults > 0 {
            self.attacks(steps);
        }
        self.forgeries(steps);
        if left.crashes > 0 {
            steps.extend([Step::CrashDevice, Step::CrashStation]);
        }
        if self.superseded_by_active().is_some() {
            steps.push(Step::Heartbeat);
        }
    }

    fn timers(&self, steps: &mut Vec<Step>) {
        match self.kind() {
            StateKind::ReadyToPair => steps.extend([Step::WakeDevice, Step::Expire]),
            StateKind::Pairing | StateKind::Validating | StateKind::InDoubt => {
                steps.push(Step::WakeDevice);
            }
            _ => {}
        }
        for (number, session) in self.sessions.iter().enumerate() {
            if session.machine.as_ref().is_some_and(|machine| machine.poll_timeout().is_some()) {
                steps.push(Step::WakeSession(number));
            }
        }
        for (number, view) in self.certificates.iter().enumerate() {
            if view.state == CertificateState::Pending {
                steps.push(Step::Sweep(number));
            }
        }
    }

    fn attacks(&self, steps: &mut Vec<Step>) {
        steps.extend(self.calls.keys().map(|call| Step::Lose(*call)));
        steps.extend(self.strays.keys().map(|call| Step::Stray(*call)));
        for (call, pending) in &self.calls {
            if let Call::Commit(number) | Call::Ask(number) = call
                && !matches!(pending.stage, Stage::Answered(Err(_)))
            {
                steps.push(Step::ForgeAnswer(*call));
                if pending.stage == Stage::Sent && self.outcomes.contains_key(number) {
                    steps.push(Step::ReplayAnswer(*call));
                }
            }
        }
        for (number, session) in self.sessions.iter().enumerate() {
            if session.claim.is_some() {
                steps.push(Step::ReplayClaim(number));
            }
            if session.envelope.is_some() {
                steps.push(Step::ReplayEnvelope(number));
            }
        }
    }

    /// What must change nothing, and so costs nothing. Elsewhere the device listens to nobody.
    fn forgeries(&self, steps: &mut Vec<Step>) {
        if ![StateKind::ReadyToPair, StateKind::Pairing].contains(&self.kind()) {
            return;
        }
        for (number, session) in self.sessions.iter().enumerate() {
            if session.claim.is_some() {
                steps.push(Step::BentClaim(number));
            }
            if session.envelope.is_some() {
                steps.push(Step::BentEnvelope(number));
            }
        }
        let shown = (0..).zip(&self.windows).filter(|(_, window)| window.photo.is_some());
        steps.extend(shown.map(|(number, _)| Step::RogueClaim(number)));
    }

    /// The certificate of slot A, if an older one waits to be revoked by its use.
    fn superseded_by_active(&self) -> Option<usize> {
        let active = self.certificate(&self.disk.slot_a.as_ref()?.serial)?;
        let waits = self.certificates.iter().any(|view| view.state == CertificateState::Superseded);
        (waits && self.certificates[active].state == CertificateState::Current).then_some(active)
    }

    /// The world after a step; none if nothing has changed but what may still happen.
    pub(super) fn after(&self, step: Step) -> Option<Self> {
        let mut world = self.clone();
        world.take(step);
        (world.view().what_is() != self.view().what_is()).then_some(world)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Open => self.open_window(),
            Step::Scan(window) => self.scan(window),
            Step::Serve(call) => self.serve(call),
            Step::Return(call) => {
                if let Some(Pending { stage: Stage::Answered(answer), .. }) =
                    self.calls.remove(&call)
                {
                    self.tell(call, answer);
                }
            }
            Step::Lose(call) => {
                self.left.faults -= 1;
                if let Some(pending) = self.calls.remove(&call) {
                    self.stray(call, pending);
                    self.tell(call, Err(ErrorCode::Timeout));
                }
            }
            Step::Stray(call) => {
                self.left.faults -= 1;
                if let Some(content) = self.strays.remove(&call) {
                    drop(self.answer(call, &content));
                }
            }
            Step::ReplayClaim(session) => {
                self.left.faults -= 1;
                drop(self.answer(Call::Claim(session), &Content::None));
            }
            Step::ReplayEnvelope(session) => {
                self.left.faults -= 1;
                drop(self.answer(Call::Deliver(session), &Content::None));
            }
            Step::ReplayAnswer(call) => {
                self.left.faults -= 1;
                let (Call::Commit(number) | Call::Ask(number)) = call else { return };
                let answer = Arc::clone(&self.outcomes[&number].bytes);
                self.answered_by_another(call, answer);
            }
            Step::ForgeAnswer(call) => {
                self.left.faults -= 1;
                let answer = self.forged(call);
                self.answered_by_another(call, answer);
            }
            Step::RogueClaim(window) => self.rogue_claim(window),
            Step::BentClaim(session) => {
                if let Some((hello, mut claim_mac)) = self.sessions[session].claim.clone() {
                    claim_mac[0] ^= 1;
                    let hello = hello.as_bytes().to_vec();
                    self.refused(DeviceInput::SessionOpen { hello, claim_mac });
                }
            }
            Step::BentEnvelope(session) => {
                if let Some(envelope) = self.sessions[session].envelope.clone() {
                    let mut envelope = envelope.to_vec();
                    let last = envelope.len() - 1;
                    envelope[last] ^= 1;
                    self.refused(DeviceInput::Configuration { envelope });
                }
            }
            Step::WakeDevice => {
                self.left.timers -= 1;
                let before = self.view();
                self.fresh.clear();
                // Some timers only write down what strangers have sent.
                for _ in 0..4 {
                    let Some(at) = self.device.poll_timeout() else { break };
                    self.clock = self.clock.max(at.elapsed());
                    drop(self.tell_device(DeviceInput::Timeout));
                    if self.view() != before {
                        self.give_up();
                        break;
                    }
                }
            }
            Step::Expire => {
                self.left.timers -= 1;
                let over = self.device.snapshot(&self.now()).expires_in.unwrap_or_default();
                self.clock += over + core::time::Duration::from_secs(1);
                drop(self.tell_device(DeviceInput::Timeout));
            }
            Step::WakeSession(number) => {
                self.left.timers -= 1;
                let session = &mut self.sessions[number];
                let at = session.machine.as_ref().and_then(|machine| machine.poll_timeout());
                session.clock = at.map_or(session.clock, |at| session.clock.max(at.elapsed()));
                self.tell_session(number, SessionInput::Timeout);
            }
            Step::Sweep(number) => {
                self.left.timers -= 1;
                let (serial, session) =
                    (self.certificates[number].serial, self.certificates[number].session_id);
                self.abort(&serial);
                if let Some(session) = self.session(&session) {
                    self.tell_session(session, SessionInput::Aborted { serial });
                }
            }
            Step::Heartbeat => {
                for view in &mut self.certificates {
                    if view.state == CertificateState::Superseded {
                        view.state = CertificateState::Revoked;
                    }
                }
            }
            Step::CrashDevice => {
                self.left.crashes -= 1;
                self.restart_device();
            }
            Step::CrashStation => {
                self.left.crashes -= 1;
                self.restart_station();
            }
        }
    }

    /// A timer of the device went off: it waits for none of its older requests any more.
    fn give_up(&mut self) {
        let own = |call: &Call| matches!(call, Call::Test(_) | Call::Commit(_) | Call::Ask(_));
        let given_up: Vec<Call> = self
            .calls
            .keys()
            .filter(|call| own(call) && !self.fresh.contains(call))
            .copied()
            .collect();
        for call in given_up {
            if let Some(pending) = self.calls.remove(&call) {
                self.stray(call, pending);
            }
        }
    }

    fn open_window(&mut self) {
        self.left.windows -= 1;
        let proof = technician(&self.now());
        let address = address();
        let input = match self.kind() {
            StateKind::Provisioned => DeviceInput::Reprovision { proof, address },
            StateKind::Error => DeviceInput::Retry { proof },
            _ => DeviceInput::Enter { proof, address },
        };
        drop(self.tell_device(input));
    }

    fn scan(&mut self, window: usize) {
        self.left.sessions -= 1;
        let Some(request) = self.request(window) else { return };
        let bed = Arc::clone(&self.bed);
        let id = request.session_id;
        let start = core::time::Duration::ZERO;
        let opened = SessionMachine::open(&bed.station(), &now(start), &mut self.rng, request);
        self.sessions.push(Session {
            id,
            scanned: (window, self.windows[window].drawn),
            machine: None,
            clock: start,
            claim: None,
            envelope: None,
            failures: 0,
        });
        self.install_session(self.sessions.len() - 1, opened);
    }

    /// No reservation stands in the way: another station of the hospital may not know of it.
    fn request(&mut self, window: usize) -> Option<OpenRequest> {
        let qr = self.windows[window].photo.clone()?;
        Some(OpenRequest {
            session_id: SessionId::generate(&mut self.rng),
            device: DeviceRecord::Known(self.bed.pair.station.registry.clone()?),
            reservation: None,
            opening: Opening::Scanned(
                PairingToken::parse_base64url(qr.pairing_token.expose()).unwrap(),
            ),
            code: PairingCode::parse_any(qr.pairing_code.expose()).unwrap(),
            scanned_serial: Some(qr.device_serial.clone()),
            address: Some(qr.ip_address),
            operator: operator(),
            role: Role::Technician,
            delivery: Route::Push,
            pair: Some(details("ICU-3B")),
        })
    }

    /// A request arrives; its answer is on its way back.
    fn serve(&mut self, call: Call) {
        let Some(pending) = self.calls.get(&call) else { return };
        let content = pending.content.clone();
        let answer = self.answer(call, &content);
        if let Some(pending) = self.calls.get_mut(&call)
            && pending.stage == Stage::Sent
        {
            pending.stage = answer.map_or(Stage::Held, Stage::Answered);
        }
    }

    /// What the other side makes of a request; nothing while it holds its answer back.
    fn answer(&mut self, call: Call, content: &Content) -> Option<Result<Arc<[u8]>, ErrorCode>> {
        match (call, content) {
            (Call::Claim(session), _) => {
                let (hello, claim_mac) = self.sessions[session].claim.clone()?;
                let hello = hello.as_bytes().to_vec();
                let before = self.kind();
                let reply = self.tell_device(DeviceInput::SessionOpen { hello, claim_mac });
                if let Ok(DeviceReply::Identity(_)) = reply
                    && before == StateKind::ReadyToPair
                {
                    self.claims.push((self.windows.len() - 1, session));
                }
                Some(self.said(reply))
            }
            (Call::Deliver(session), _) => {
                let envelope = self.sessions[session].envelope.clone()?.to_vec();
                // A configuration is taken by a device that this session has claimed, and no other.
                let before = self.disk.generation;
                let reply = self.tell_device(DeviceInput::Configuration { envelope });
                if self.disk.generation > before {
                    let claimed = self.claims.iter().any(|(_, by)| *by == session);
                    self.rule(claimed, "nothing is staged without its session's claim");
                }
                match reply {
                    // A test or a commit may have been answered before this call returns.
                    Ok(DeviceReply::Pending) => None,
                    reply => Some(self.said(reply)),
                }
            }
            (Call::Test(number), _) => {
                let view = self.certificates[number].clone();
                if view.state.permits(CertificateUse::Test) {
                    if let Some(session) = self.session(&view.session_id) {
                        self.tell_session(session, SessionInput::Tested { serial: view.serial });
                    }
                    return Some(Ok(Arc::from([])));
                }
                Some(Err(ErrorCode::CertificateRevoked))
            }
            (Call::Commit(number), Content::Commit(request)) => {
                let view = self.certificates[number].clone();
                if !view.state.permits(CertificateUse::Commit) {
                    return Some(Err(ErrorCode::CertificateRevoked));
                }
                let mut current = self
                    .certificates
                    .iter()
                    .filter(|view| view.state == CertificateState::Current)
                    .map(|view| view.serial);
                let current = current.next();
                let bed = Arc::clone(&self.bed);
                let verdict = outcome::commit(
                    &bed.station(),
                    &mut self.rng,
                    request,
                    &view,
                    current.as_ref(),
                );
                Some(self.decided(number, true, verdict))
            }
            (Call::Ask(number), Content::Ask(ask)) => {
                let bed = Arc::clone(&self.bed);
                let asked =
                    outcome::verify_ask(&bed.station(), ask.as_bytes(), bed.device_public());
                let verdict = asked.and_then(|asked| {
                    let view = self.certificates.get(number);
                    outcome::answer(&bed.station(), &mut self.rng, &asked, view)
                });
                Some(self.decided(number, false, verdict))
            }
            (Call::Commit(_) | Call::Ask(_), _) => None,
        }
    }

    fn decided(
        &mut self,
        number: usize,
        to_commit: bool,
        verdict: Result<Verdict, zmon_domain::error::ErrorReport>,
    ) -> Result<Arc<[u8]>, ErrorCode> {
        let Verdict { change, answer, .. } = verdict.map_err(|report| report.code)?;
        self.settle(number, &change);
        let bytes: Arc<[u8]> = answer.into_bytes().into();
        let committed = self.certificates[number].committed;
        self.outcomes.insert(number, Spoken { bytes: Arc::clone(&bytes), to_commit, committed });
        Ok(bytes)
    }

    fn said(
        &mut self,
        reply: Result<DeviceReply, zmon_domain::error::ErrorReport>,
    ) -> Result<Arc<[u8]>, ErrorCode> {
        match reply {
            Ok(DeviceReply::Identity(text) | DeviceReply::Status(text)) => {
                Ok(text.into_bytes().into())
            }
            Ok(_) => {
                self.rule(false, "a message is answered by a message");
                Err(ErrorCode::Internal)
            }
            Err(report) => Err(report.code),
        }
    }

    /// Whoever made the request gets its answer, or hears that the network failed.
    fn tell(&mut self, call: Call, answer: Result<Arc<[u8]>, ErrorCode>) {
        let bytes = answer.map(|bytes| bytes.to_vec());
        let failed = |code| match code {
            ErrorCode::Timeout | ErrorCode::StationUnreachable => LinkError::Network(code),
            _ => LinkError::Certificate(code),
        };
        match call {
            Call::Claim(session) | Call::Deliver(session) => {
                self.sessions[session].failures += u8::from(bytes.is_err());
                let input = match (call, bytes) {
                    (Call::Claim(_), Ok(bytes)) => SessionInput::Identity(bytes),
                    (Call::Claim(_), Err(code)) => SessionInput::DialFailed(code),
                    (_, Ok(bytes)) => SessionInput::Delivered(bytes),
                    (_, Err(code)) => SessionInput::DeliveryFailed(code),
                };
                self.tell_session(session, input);
            }
            Call::Test(_) => {
                let result = bytes.map(|_| ()).map_err(failed);
                drop(self.tell_device(DeviceInput::Tested(result)));
            }
            Call::Commit(_) => {
                drop(self.tell_device(DeviceInput::CommitAnswered(bytes.map_err(failed))));
            }
            Call::Ask(number) => {
                let silent = bytes.is_err();
                drop(self.tell_device(DeviceInput::OutcomeAnswered(bytes.map_err(failed))));
                if silent && self.bed.plant == Plant::SilenceMeansNo {
                    drop(self.certificates[number].clone());
                    let disk = Arc::make_mut(&mut self.disk);
                    if disk.apply(&DeviceWrite::DropB).is_ok() {
                        self.restart_device();
                    }
                }
            }
        }
    }

    /// Somebody else's answer comes first; the request itself may still arrive.
    fn answered_by_another(&mut self, call: Call, answer: Arc<[u8]>) {
        if let Some(pending) = self.calls.remove(&call) {
            self.stray(call, pending);
            self.tell(call, Ok(answer));
        }
    }

    /// `committed` over the nonce of this request, signed by a rogue station.
    fn forged(&mut self, call: Call) -> Arc<[u8]> {
        let (Call::Commit(number) | Call::Ask(number)) = call else { return Arc::from([]) };
        let bed = Arc::clone(&self.bed);
        let mut view = self.certificates[number].clone();
        view.state = CertificateState::Current;
        let rogue = bed.rogue();
        let content = self.calls[&call].content.clone();
        let verdict = match &content {
            Content::Commit(request) => {
                outcome::commit(&rogue, &mut self.rng, request, &view, None)
            }
            Content::Ask(ask) => outcome::verify_ask(&rogue, ask.as_bytes(), bed.device_public())
                .and_then(|ask| outcome::answer(&rogue, &mut self.rng, &ask, Some(&view))),
            Content::None => return Arc::from([]),
        };
        verdict.map_or(Arc::from([]), |verdict| verdict.answer.into_bytes().into())
    }

    fn rogue_claim(&mut self, window: usize) {
        let Some(request) = self.request(window) else { return };
        let bed = Arc::clone(&self.bed);
        let start = now(core::time::Duration::ZERO);
        let SessionTransition { actions, .. } =
            SessionMachine::open(&bed.rogue(), &start, &mut self.rng, request);
        for action in actions {
            if let StationAction::SendSession { hello, claim_mac, .. } = action {
                let hello = hello.into_bytes();
                self.refused(DeviceInput::SessionOpen { hello, claim_mac });
            }
        }
    }

    /// A forgery changes nothing that anybody can see.
    fn refused(&mut self, input: DeviceInput) {
        let before = self.view();
        let reply = self.tell_device(input);
        self.rule(reply.is_err(), "a forgery is refused");
        self.rule(self.view() == before, "a forgery changes nothing");
    }
}
