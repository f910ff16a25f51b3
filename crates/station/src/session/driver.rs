//! The task of one session: commits what the machine proposes, then lets it take effect.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use zmon_domain::audit::AuditEvent;
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{OperatorId, Serial, TokenId};
use zmon_domain::limits;
use zmon_domain::time::Now;
use zmon_protocol::station::{
    PairDetails, SessionInput, SessionMachine, SessionPhase, SessionTransition, StationAction,
    StationEvent as MachineEvent,
};
use zmon_wire::identity::IdentityDocument;
use zmon_wire::session::SessionOpen;
use zmon_wire::strict;

use super::effects::{self, Effect, Failure, IssueFacts};
use super::{BACKLOG, Command, Identified, OpenFacts, SessionHandle, SessionView, translate};
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    CertificateRow, CertificateState, DeviceConnection, Refusal, StationRecord, StationWrite,
};
use crate::station::Station;

/// How often an internal step is committed again before the session is given up.
const COMMIT_ATTEMPTS: u32 = 6;
/// The first pause between two of these attempts; it doubles.
const COMMIT_PAUSE: Duration = Duration::from_millis(200);

type Reply = oneshot::Sender<Result<(), StationError>>;

/// Drives one session until it ends.
pub(crate) struct SessionDriver {
    station: Arc<Station>,
    machine: SessionMachine,
    commands: mpsc::Receiver<Command>,
    view: watch::Sender<SessionView>,
    effects: JoinSet<Effect>,
    connection: Option<Box<dyn DeviceConnection>>,
    facts: IssueFacts,
    certificate: Option<Box<CertificateRow>>,
    answer_kept: bool,
}

/// An input, kept until its step is durable.
#[derive(Debug, Clone)]
enum Step {
    Identity(Vec<u8>),
    DialFailed(Failure),
    RegistryConflict,
    Issued(Vec<Vec<u8>>),
    IssueFailed(ErrorCode),
    Delivered(Vec<u8>),
    DeliveryFailed(Failure),
    Pair(OperatorId, PairDetails),
    Cancel(OperatorId),
    Tested(Serial),
    Committed(Serial),
    Aborted(Serial),
    Timeout,
}

/// Why a step did not happen.
enum Halt {
    /// The store failed; the machine is as it was.
    Store(StationError),
    /// A conditional write was refused; the machine is as it was.
    Refused(Refusal),
    /// The device claims a commit that the station's record does not know.
    NotCommitted,
}

impl SessionDriver {
    /// Takes over a session whose opening record has been committed, and starts its task.
    pub(crate) fn spawn(
        station: &Arc<Station>,
        opened: SessionTransition,
        token_id: TokenId,
        code: PairingCode,
        config_version: u64,
    ) -> SessionHandle {
        let machine = opened.next;
        let first =
            SessionView { phase: machine.phase(), error: None, answer: None, identified: None };
        let (command_sender, commands) = mpsc::channel(BACKLOG);
        let (view, view_receiver) = watch::channel(first);
        let handle = SessionHandle {
            id: machine.session_id(),
            operator: machine.operator().clone(),
            device_id: machine.device_id().clone(),
            token_id,
            code,
            commands: command_sender,
            view: view_receiver,
        };
        let driver = Self {
            station: Arc::clone(station),
            machine,
            commands,
            view,
            effects: JoinSet::new(),
            connection: None,
            facts: IssueFacts { config_version, ..IssueFacts::default() },
            certificate: None,
            answer_kept: false,
        };
        // Registered before it runs, so that it cannot end before it is known.
        let (go, ready) = oneshot::channel();
        let task = tokio::spawn(async move {
            if ready.await.is_ok() {
                driver.run(opened.actions).await;
            }
        });
        station.sessions.insert(handle.clone(), task.abort_handle());
        let _started = go.send(());
        handle
    }

    async fn run(mut self, actions: Vec<StationAction>) {
        let id = self.machine.session_id();
        self.start(actions);
        self.publish(None);
        while !self.machine.phase().is_final() {
            let (step, reply) = self.next().await;
            if !self.advance(step, reply).await {
                break;
            }
        }
        self.station.sessions.remove(&id);
    }

    /// Waits for the next thing to happen.
    async fn next(&mut self) -> (Step, Option<Reply>) {
        let clock = Arc::clone(&self.station.parts.clock);
        let deadline = self.machine.poll_timeout();
        let timer = async move {
            match deadline {
                Some(deadline) => clock.sleep_until(deadline).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // Commands first: the device's commit reaches the queue before its answer to the
            // delivery leaves it, and must be known when that answer is judged.
            Some(command) = self.commands.recv() => self.understand(command),
            Some(effect) = self.effects.join_next() => (self.absorb(effect), None),
            () = timer => (Step::Timeout, None),
        }
    }

    fn absorb(&mut self, effect: Result<Effect, tokio::task::JoinError>) -> Step {
        match effect {
            Ok(Effect::Dialled(identity, connection)) => {
                self.connection = Some(connection);
                Step::Identity(identity)
            }
            Ok(Effect::DialFailed(failure)) => Step::DialFailed(failure),
            Ok(Effect::Issued(row, chain)) => {
                self.certificate = Some(row);
                Step::Issued(chain)
            }
            Ok(Effect::IssueFailed(code)) => Step::IssueFailed(code),
            Ok(Effect::Delivered(status, connection)) => {
                self.connection = Some(connection);
                Step::Delivered(status)
            }
            Ok(Effect::DeliveryFailed(failure, connection)) => {
                self.connection = connection;
                Step::DeliveryFailed(failure)
            }
            Err(error) => {
                tracing::error!(%error, "an effect of a session was lost");
                Step::Timeout
            }
        }
    }

    fn understand(&mut self, command: Command) -> (Step, Option<Reply>) {
        match command {
            Command::Pair(operator, details, reply) => {
                (Step::Pair(operator, *details), Some(reply))
            }
            Command::Cancel(operator, reply) => (Step::Cancel(operator), Some(reply)),
            Command::Tested(serial) => (Step::Tested(serial), None),
            Command::Committed(serial) => (Step::Committed(serial), None),
            Command::Aborted(serial) => (Step::Aborted(serial), None),
        }
    }

    /// Does one step; `false` when the session has to be given up.
    async fn advance(&mut self, step: Step, reply: Option<Reply>) -> bool {
        let mut step = step;
        let mut pause = COMMIT_PAUSE;
        for _ in 0..COMMIT_ATTEMPTS {
            match self.take(&step).await {
                Ok(outcome) => {
                    answer(reply, outcome);
                    return true;
                }
                // Somebody waits and can try again; the machine is as it was.
                Err(Halt::Store(error)) if reply.is_some() => {
                    answer(reply, Err(error));
                    return true;
                }
                Err(Halt::Store(_)) => {
                    let clock = &self.station.parts.clock;
                    clock.sleep_until(self.station.now().mono + pause).await;
                    pause *= 2;
                }
                Err(Halt::Refused(refusal)) => match self.instead(refusal) {
                    Ok(other) => step = other,
                    Err(code) => return self.give_up(reply, code),
                },
                Err(Halt::NotCommitted) => {
                    let cause = Some("success was claimed without a commit".to_owned());
                    let code = ErrorCode::SessionMismatch;
                    step = Step::DeliveryFailed(Failure { code, cause });
                }
            }
        }
        self.give_up(reply, ErrorCode::StorageUnavailable)
    }

    /// What to do when the store refuses a conditional write; an error ends the session.
    fn instead(&self, refusal: Refusal) -> Result<Step, ErrorCode> {
        tracing::warn!(session = %self.machine.session_id(), ?refusal, "the step was refused");
        match refusal {
            Refusal::DeviceConflicts(_) => Ok(Step::RegistryConflict),
            // The device was faster than the machine that wanted to give up.
            Refusal::CertificateState {
                serial,
                state: Some(CertificateState::Current | CertificateState::Superseded),
            } => Ok(Step::Committed(serial)),
            Refusal::TokenUsed(_) => {
                Ok(Step::DialFailed(Failure { code: ErrorCode::PairingCodeConsumed, cause: None }))
            }
            Refusal::SessionEnded(_) => Err(ErrorCode::SessionExpired),
            Refusal::CertificateState { .. }
            | Refusal::CertificateExists(_)
            | Refusal::OtherCurrent(_)
            | Refusal::DeviceReserved(_)
            | Refusal::OperatorExists
            | Refusal::CrlBehind { .. } => Err(ErrorCode::Internal),
        }
    }

    fn give_up(&self, reply: Option<Reply>, code: ErrorCode) -> bool {
        let report = ErrorReport::new(code);
        tracing::error!(session = %self.machine.session_id(), %code, "the session is given up");
        answer(reply, Err(report.clone().into()));
        self.view.send_modify(|view| {
            view.phase = SessionPhase::Failed;
            view.error = Some(report);
        });
        false
    }

    /// Proposes the step, commits it, installs it, and starts its actions.
    async fn take(&mut self, step: &Step) -> Result<Result<(), StationError>, Halt> {
        let store = Arc::clone(&self.station.parts.store);
        let checkpoint = store.checkpoint().await.map_err(|error| Halt::Store(error.into()))?;
        let now = self.station.now();
        let transition = {
            let ctx = self.station.context(checkpoint.as_deref());
            let mut rng = self.station.parts.entropy.generator();
            self.machine.clone().handle(&ctx, &now, rng.as_mut(), self.input(step))
        };
        let SessionTransition { next, record, actions, reply } = transition;
        if next.phase() == SessionPhase::Paired && !self.is_committed(&next).await? {
            return Err(Halt::NotCommitted);
        }
        let record = self.complete(step, &next, record, &now).map_err(Halt::Store)?;
        if !record.is_empty() {
            let committed = store.commit(&now, &record).await;
            committed.map_err(|error| Halt::Store(error.into()))?.map_err(Halt::Refused)?;
        }
        self.install(step, next, &record, &now);
        let cause = why(step, &actions);
        self.start(actions);
        self.publish(cause);
        Ok(reply.map_err(StationError::from))
    }

    /// The station's record alone decides whether a device is paired (D13), not what it says.
    async fn is_committed(&self, next: &SessionMachine) -> Result<bool, Halt> {
        let Some(serial) = next.serial() else { return Ok(false) };
        let row = self.station.parts.store.certificate(serial).await;
        let row = row.map_err(|error| Halt::Store(error.into()))?;
        Ok(row.is_some_and(|row| row.committed_at.is_some()))
    }

    fn input(&self, step: &Step) -> SessionInput {
        match step.clone() {
            Step::Identity(document) => SessionInput::Identity(document),
            Step::DialFailed(failure) => SessionInput::DialFailed(failure.code),
            Step::RegistryConflict => SessionInput::RegistryConflict,
            Step::Issued(chain) => match &self.certificate {
                Some(row) => SessionInput::Issued { chain, serial: row.serial },
                None => SessionInput::IssueFailed(ErrorCode::Internal),
            },
            Step::IssueFailed(code) => SessionInput::IssueFailed(code),
            Step::Delivered(status) => SessionInput::Delivered(status),
            Step::DeliveryFailed(failure) => SessionInput::DeliveryFailed(failure.code),
            Step::Pair(operator, details) => SessionInput::Pair { operator, details },
            Step::Cancel(operator) => SessionInput::Cancel { operator },
            Step::Tested(serial) => SessionInput::Tested { serial },
            Step::Committed(serial) => SessionInput::Committed { serial },
            Step::Aborted(serial) => SessionInput::Aborted { serial },
            Step::Timeout => SessionInput::Timeout,
        }
    }

    /// Adds to the machine's record what only the driver knows.
    fn complete(
        &self,
        step: &Step,
        next: &SessionMachine,
        proposed: zmon_protocol::station::StationRecord,
        now: &Now,
    ) -> Result<StationRecord, StationError> {
        let at = Station::wall(now)?;
        let expires_at = at + self.station.parts.policy.session.session_lifetime;
        let facts = OpenFacts { at, expires_at };
        let mut record = translate(proposed, facts, self.certificate.as_deref())?;
        if let Step::DialFailed(Failure { cause: Some(cause), .. })
        | Step::DeliveryFailed(Failure { cause: Some(cause), .. }) = step
        {
            record.audit.iter_mut().for_each(|row| explain(row, cause));
        }
        if let Step::Identity(document) = step
            && next.phase() != SessionPhase::Failed
            && let Some(checkpoint) = identity_document(document).and_then(|d| d.audit_checkpoint)
        {
            let device_id = next.device_id().clone();
            record.writes.push(StationWrite::PeerCheckpoint { device_id, checkpoint });
        }
        if let Some(answer) = next.answer().filter(|_| !self.answer_kept) {
            let answer = strict::to_vec(&answer).map_err(|_| ErrorCode::Internal)?;
            let session_id = next.session_id();
            record.writes.push(StationWrite::SessionAnswer { session_id, answer });
        }
        Ok(record)
    }

    fn install(&mut self, step: &Step, next: SessionMachine, record: &StationRecord, now: &Now) {
        self.answer_kept |=
            record.writes.iter().any(|w| matches!(w, StationWrite::SessionAnswer { .. }));
        if record.writes.iter().any(|w| matches!(w, StationWrite::AbortPending { .. })) {
            self.station.revocations_due();
        }
        self.machine = next;
        if let Step::Pair(_, details) = step {
            self.facts.config_version = details.config_version;
        }
        // The machine has accepted the document, so the key in it is the device's.
        if let Step::Identity(document) = step
            && self.machine.phase() != SessionPhase::Failed
        {
            self.identified(document, now);
        }
    }

    fn identified(&mut self, document: &[u8], now: &Now) {
        let (Some(document), Some(at)) = (identity_document(document), now.wall) else {
            return;
        };
        self.facts.identity_key = document.identity_key;
        let identified = Identified {
            serial: document.device_serial,
            firmware: document.firmware_version,
            reserved_until: at + self.station.parts.policy.session.claim_without_pair,
        };
        self.view.send_modify(|view| view.identified = Some(identified));
    }

    fn start(&mut self, actions: Vec<StationAction>) {
        for action in actions {
            let station = Arc::clone(&self.station);
            match action {
                StationAction::SendSession { target, hello, claim_mac, .. } => {
                    let open = SessionOpen { hello, claim_mac };
                    self.spawn_effect(effects::dial(station, target, open));
                }
                StationAction::Issue { session_id, device_id, csr_spki } => {
                    let facts = self.facts.clone();
                    self.spawn_effect(effects::issue(
                        station, session_id, device_id, csr_spki, facts,
                    ));
                }
                StationAction::Deliver { envelope, .. } => {
                    let connection = self.connection.take();
                    self.spawn_effect(effects::deliver(connection, envelope));
                }
                StationAction::Hangup => self.connection = None,
                StationAction::Emit(event) => self.emit(&event),
                unknown => tracing::error!(?unknown, "the machine asks for something unknown"),
            }
        }
    }

    fn spawn_effect(&mut self, effect: impl Future<Output = Effect> + Send + 'static) {
        let _task = self.effects.spawn(effect);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what live views do not show, and what later machines may say, is not passed on"
    )]
    fn emit(&self, event: &MachineEvent) {
        match event {
            MachineEvent::Phase(phase) => self.station.emit(StationEvent::Session {
                id: self.machine.session_id(),
                device_id: self.machine.device_id().clone(),
                operator: self.machine.operator().clone(),
                phase: *phase,
                error: None,
            }),
            MachineEvent::Failed(report) => self.station.emit(StationEvent::Session {
                id: self.machine.session_id(),
                device_id: self.machine.device_id().clone(),
                operator: self.machine.operator().clone(),
                phase: SessionPhase::Failed,
                error: Some(report.code),
            }),
            MachineEvent::Alarm(report) => self.station.emit(StationEvent::Alarm {
                device_id: Some(self.machine.device_id().clone()),
                code: report.code,
            }),
            _ => {}
        }
    }

    fn publish(&self, error: Option<ErrorReport>) {
        let phase = self.machine.phase();
        let answer = self.machine.answer();
        self.view.send_modify(|view| {
            view.phase = phase;
            view.answer = answer;
            if matches!(phase, SessionPhase::Failed | SessionPhase::Released) {
                view.error = error.or(view.error.take());
            }
        });
    }
}

fn answer(reply: Option<Reply>, outcome: Result<(), StationError>) {
    if let Some(reply) = reply {
        // The asker may have gone; the step stands.
        let _gone = reply.send(outcome);
    }
}

/// Why the session has ended without a pairing, if it has.
fn why(step: &Step, actions: &[StationAction]) -> Option<ErrorReport> {
    let failed = actions.iter().find_map(|action| match action {
        StationAction::Emit(MachineEvent::Failed(report)) => Some(report.clone()),
        _ => None,
    });
    match step {
        Step::Cancel(_) => Some(ErrorReport::new(ErrorCode::Cancelled)),
        _ => failed,
    }
}

fn explain(row: &mut AuditEvent, cause: &str) {
    if !row.success {
        row.detail.push(("cause", cause.to_owned()));
    }
}

fn identity_document(document: &[u8]) -> Option<IdentityDocument> {
    let jws = zmon_crypto::jws::Unverified::parse(document).ok()?;
    strict::parse(jws.payload_unverified(), limits::BODY_MAX.default).ok()
}
