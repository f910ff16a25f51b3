//! The task of one session: waits, steps, tries again, gives up.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::WindowId;
use zmon_protocol::station::{
    Claim, SessionMachine, SessionPhase, SessionTransition, StationAction,
};
use zmon_wire::carry::Reply;
use zmon_wire::session::{DeliveryAnswer, SessionAnswer};

use super::effects::{Effect, Failure};
use super::kept::Order;
use super::record::FIRST_EPOCH;
use super::step::{Halt, Step};
use super::{BACKLOG, Command, SessionHandle, SessionView};
use crate::error::StationError;
use crate::ports::{CertificateRow, CertificateState, DeviceConnection, Refusal};
use crate::station::Station;

/// How often an internal step is committed again before the session is given up.
const COMMIT_ATTEMPTS: u32 = 6;
/// The first pause between two of these attempts; it doubles.
const COMMIT_PAUSE: Duration = Duration::from_millis(200);

type Asker = oneshot::Sender<Result<(), StationError>>;

/// Drives one session until it ends.
pub(crate) struct SessionDriver {
    pub(super) station: Arc<Station>,
    pub(super) machine: SessionMachine,
    commands: mpsc::Receiver<Command>,
    pub(super) view: watch::Sender<SessionView>,
    pub(super) effects: JoinSet<Effect>,
    pub(super) connection: Option<Box<dyn DeviceConnection>>,
    /// The device is being asked to blink, over that connection.
    pub(super) blinks: bool,
    /// The envelope that waits for the connection until then, with the claim that opens another.
    pub(super) delayed: Option<(Claim, Vec<u8>)>,
    /// What every record of this driver is conditional on.
    pub(super) epoch: u64,
    /// The certificate that was ordered, once one was.
    pub(super) order: Option<Order>,
    pub(super) certificate: Option<Box<CertificateRow>>,
    pub(super) answer_kept: bool,
    /// Steps to take before anything else, the last one first.
    due: Vec<Step>,
    /// It was taken over, and has not looked yet what became of its certificate.
    is_new_here: bool,
}

/// A session as its driver finds it.
pub(crate) struct Resumed {
    pub(crate) machine: SessionMachine,
    pub(crate) order: Option<Order>,
    /// The new owner's.
    pub(crate) epoch: u64,
}

impl SessionDriver {
    /// Drives a session whose opening record has been committed.
    pub(crate) fn open(station: &Arc<Station>, opened: SessionTransition) -> SessionHandle {
        let SessionTransition { next, actions, .. } = opened;
        let begun = Resumed { machine: next, order: None, epoch: FIRST_EPOCH };
        Self::spawn(station, begun, false, actions)
    }

    /// Drives a session that this process has taken over.
    pub(crate) fn resume(station: &Arc<Station>, resumed: Resumed) -> SessionHandle {
        Self::spawn(station, resumed, true, Vec::new())
    }

    fn spawn(
        station: &Arc<Station>,
        begun: Resumed,
        is_new_here: bool,
        actions: Vec<StationAction>,
    ) -> SessionHandle {
        let Resumed { machine, order, epoch } = begun;
        let first = SessionView::of_machine(&machine, &station.now());
        let (command_sender, commands) = mpsc::channel(BACKLOG);
        let (view, view_receiver) = watch::channel(first);
        let handle = SessionHandle {
            id: machine.session_id(),
            operator: machine.operator().cloned(),
            method: machine.method(),
            device_id: machine.device_id().clone(),
            epoch,
            token_id: *machine.token_id(),
            code: machine.code().cloned(),
            target: machine.target().cloned(),
            key16: machine.key16(),
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
            blinks: false,
            delayed: None,
            epoch,
            order,
            certificate: None,
            answer_kept: false,
            due: Vec::new(),
            is_new_here,
        };
        // Registered before it runs, so that it cannot end before it is known.
        let (go, ready) = oneshot::channel();
        let task = tokio::spawn(async move {
            if ready.await.is_ok() {
                driver.run(actions).await;
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
        if self.is_new_here && !self.look().await {
            self.give_up(None, ErrorCode::StorageUnavailable);
            let _ended = self.station.sessions.remove(&id, self.epoch);
            return;
        }
        while !self.machine.phase().is_final() {
            let (step, reply) = self.next().await;
            if !self.advance(step, reply).await {
                break;
            }
        }
        let _ended = self.station.sessions.remove(&id, self.epoch);
    }

    /// What the store knows better than the machine that was kept comes first (D13). It is read when the
    /// session can be told already what is decided meanwhile.
    async fn look(&mut self) -> bool {
        let id = self.machine.session_id();
        let mut pause = COMMIT_PAUSE;
        for _ in 0..COMMIT_ATTEMPTS {
            match self.station.parts.store.certificate_of_session(&id).await {
                Ok(row) => {
                    self.due = vec![Step::Resumed];
                    self.due.extend(row.and_then(|row| decided(&row)));
                    return true;
                }
                Err(error) => tracing::warn!(%error, session = %id, "a certificate"),
            }
            self.station.parts.clock.sleep_until(self.station.now().mono + pause).await;
            pause *= 2;
        }
        false
    }

    /// Waits for the next thing to happen.
    async fn next(&mut self) -> (Step, Option<Asker>) {
        if let Some(step) = self.due.pop() {
            return (step, None);
        }
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
            Ok(Effect::Window(window, connection)) => {
                self.connection = Some(connection);
                Step::Window(window)
            }
            Ok(Effect::Share(started, connection)) => {
                self.connection = Some(connection);
                Step::Share(started)
            }
            Ok(Effect::DialFailed(failure, connection)) => {
                self.connection = connection;
                Step::DialFailed(failure)
            }
            Ok(Effect::Blinked(answer, connection)) => {
                self.blinked(connection);
                answer.map_or_else(Step::BlinkFailed, Step::Blinked)
            }
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
                self.lost()
            }
        }
    }

    /// The connection is free again.
    fn blinked(&mut self, connection: Option<Box<dyn DeviceConnection>>) {
        self.connection = connection;
        self.blinks = false;
        if let Some((claim, envelope)) = self.delayed.take() {
            self.deliver(claim, envelope);
        }
    }

    /// The effect that this phase waits for will never come.
    fn lost(&mut self) -> Step {
        let failure = Failure { code: ErrorCode::Internal, cause: None };
        if self.blinks {
            self.blinked(None);
            return Step::BlinkFailed(failure);
        }
        match self.machine.phase() {
            SessionPhase::Dialling => Step::DialFailed(failure),
            SessionPhase::Issuing => Step::IssueFailed(ErrorCode::Internal),
            SessionPhase::Delivering => Step::DeliveryFailed(failure),
            SessionPhase::Identified
            | SessionPhase::AwaitingCommit
            | SessionPhase::Paired
            | SessionPhase::Failed
            | SessionPhase::Released
            | _ => Step::Timeout,
        }
    }

    fn understand(&mut self, command: Command) -> (Step, Option<Asker>) {
        match command {
            Command::Pair(operator, details, reply) => {
                (Step::Pair(operator, *details), Some(reply))
            }
            Command::Rescanned(operator, reply) => (Step::Rescanned(operator), Some(reply)),
            Command::Identity(document, reply) => (Step::Identity(document), Some(reply)),
            Command::Again(address, reply) => (Step::Again(address), Some(reply)),
            Command::Fetch(route, reply) => (Step::Fetched(route), Some(reply)),
            Command::Reply(answer, reply) => (self.carried(*answer), Some(reply)),
            Command::Blink(operator, reply) => (Step::Blink(operator), Some(reply)),
            Command::Cancel(operator, reply) => (Step::Cancel(operator), Some(reply)),
            Command::Tested(serial) => (Step::Tested(serial), None),
            Command::Committed(serial) => (Step::Committed(serial), None),
            Command::Aborted(serial) => (Step::Aborted(serial), None),
        }
    }

    /// What a carrier has brought is what a dialled device would have answered.
    fn carried(&self, reply: Reply) -> Step {
        match reply {
            Reply::Identity(SessionAnswer { identity }) => Step::Identity(identity.into_bytes()),
            Reply::Window(answer) => Step::Window(WindowId::from_bytes(answer.window_id)),
            Reply::Share(started) => Step::Share(Box::new(started)),
            Reply::Blinking(answer) => Step::Blinked(answer.seconds),
            Reply::Status(DeliveryAnswer { status }) => Step::Delivered(status.into_bytes()),
            Reply::Refused { code } => {
                let failure = Failure { code, cause: None };
                match self.machine.phase() {
                    SessionPhase::Dialling => Step::DialFailed(failure),
                    SessionPhase::Identified => Step::BlinkFailed(failure),
                    SessionPhase::Issuing
                    | SessionPhase::Delivering
                    | SessionPhase::AwaitingCommit
                    | SessionPhase::Paired
                    | SessionPhase::Failed
                    | SessionPhase::Released
                    | _ => Step::DeliveryFailed(failure),
                }
            }
        }
    }

    /// Does one step; `false` when the session has to be given up.
    async fn advance(&mut self, step: Step, reply: Option<Asker>) -> bool {
        // What the store knows better comes first; then the step is taken anew.
        let mut steps = vec![step];
        let mut pause = COMMIT_PAUSE;
        for _ in 0..COMMIT_ATTEMPTS {
            let Some(step) = steps.last() else { return true };
            match self.take(step).await {
                Ok(outcome) => {
                    let _taken = steps.pop();
                    if steps.is_empty() {
                        answer(reply, outcome);
                        return true;
                    }
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
                Err(Halt::Refused(Refusal::SessionTaken { epoch })) => {
                    return self.give_way(reply, epoch);
                }
                Err(Halt::Refused(refusal)) => match self.instead(refusal) {
                    Ok(Step::Committed(serial)) => steps.push(Step::Committed(serial)),
                    Ok(other) => steps = vec![other],
                    Err(code) => return self.give_up(reply, code),
                },
                Err(Halt::NotCommitted) => {
                    let cause = Some("success was claimed without a commit".to_owned());
                    let code = ErrorCode::ConnectionTestFailed;
                    steps = vec![Step::DeliveryFailed(Failure { code, cause })];
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
            // Two sessions of one operator had read the same count.
            Refusal::TriesSpent => {
                Ok(Step::DialFailed(Failure { code: ErrorCode::TypedTriesExhausted, cause: None }))
            }
            Refusal::SessionEnded(_) => Err(ErrorCode::SessionExpired),
            Refusal::CertificateState { .. }
            | Refusal::CertificateExists(_)
            | Refusal::OtherCurrent(_)
            | Refusal::DeviceReserved(_)
            | Refusal::CredentialSpent
            | Refusal::OperatorExists
            | Refusal::OperatorUnknown
            | Refusal::LastAdministrator
            | Refusal::PasswordStale
            | Refusal::KeyMoved
            | Refusal::PlaceMoved
            | Refusal::Batch(_)
            | Refusal::SessionTaken { .. }
            | Refusal::CounterBehind { .. }
            | Refusal::CrlBehind { .. } => Err(ErrorCode::Internal),
            Refusal::DeviceDecommissioned => Ok(Step::IssueFailed(ErrorCode::DeviceDecommissioned)),
        }
    }

    /// Another owner goes on with the session: nothing more is done here, and nothing was.
    fn give_way(&self, reply: Option<Asker>, epoch: u64) -> bool {
        let session = self.machine.session_id();
        tracing::info!(%session, own = self.epoch, epoch, "the session has another owner");
        answer(reply, Err(ErrorCode::StateConflict.into()));
        false
    }

    fn give_up(&self, reply: Option<Asker>, code: ErrorCode) -> bool {
        let report = ErrorReport::new(code);
        tracing::error!(session = %self.machine.session_id(), %code, "the session is given up");
        answer(reply, Err(report.clone().into()));
        self.view.send_modify(|view| {
            view.phase = SessionPhase::Failed;
            view.error = Some(report);
        });
        false
    }
}

/// What the record says of a session's certificate; nothing while it is pending.
fn decided(row: &CertificateRow) -> Option<Step> {
    match (row.state, row.committed_at) {
        (CertificateState::Pending, _) => None,
        (CertificateState::Revoked, None) => Some(Step::Aborted(row.serial)),
        _ => Some(Step::Committed(row.serial)),
    }
}

fn answer(reply: Option<Asker>, outcome: Result<(), StationError>) {
    if let Some(reply) = reply {
        // The asker may have gone; the step stands.
        let _gone = reply.send(outcome);
    }
}
