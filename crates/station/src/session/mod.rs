//! Running pairings: each session is a task that drives one [`SessionMachine`].
//!
//! The task is the only owner of its machine and of the connection to the device. Requests reach it
//! as commands and watch its view; a request that goes away changes nothing.
//!
//! [`SessionMachine`]: zmon_protocol::station::SessionMachine

mod actions;
mod commit;
mod driver;
mod effects;
mod kept;
mod record;
mod step;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use zmon_crypto::token::PairingToken;
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{
    DeviceId, DeviceSerial, FirmwareVersion, OperatorId, Serial, SessionId, TokenId,
};
use zmon_domain::route::Route;
use zmon_domain::time::{Now, Tick, UnixTime};
use zmon_protocol::station::{Blink, Opening, PairDetails, SessionMachine, SessionPhase, Target};
use zmon_wire::carry::{Message, Reply};
use zmon_wire::kind::Method;
use zmon_wire::pair::PairAnswer;

use crate::error::StationError;
use crate::ports::SessionRow;

pub(crate) use driver::{Resumed, SessionDriver};
pub(crate) use kept::{Order, keep, read};
pub(crate) use record::{OpenFacts, translate};

/// Commands a session may be behind with.
const BACKLOG: usize = 16;

/// What requests see of a session.
#[derive(Debug, Clone)]
pub(crate) struct SessionView {
    /// Where it is.
    pub(crate) phase: SessionPhase,
    /// Why it failed.
    pub(crate) error: Option<ErrorReport>,
    /// The answer of `pair`, once paired.
    pub(crate) answer: Option<PairAnswer>,
    /// What the device said about itself, once the machine has accepted it.
    pub(crate) identified: Option<Identified>,
    /// The sealed configuration, for a device that fetches it.
    pub(crate) envelope: Option<Arc<[u8]>>,
    /// Whether the device has tested its new connection.
    pub(crate) tested: bool,
    /// The words that an operator compares with those of the device (D8).
    pub(crate) words: Option<[&'static str; 4]>,
    /// How its messages go.
    pub(crate) route: Route,
    /// The message that waits for whoever carries it.
    pub(crate) message: Option<Arc<Message>>,
    /// Until when `pair` must follow, while it is awaited.
    pub(crate) pair_by: Option<Tick>,
    /// What is known of the last blink that was asked for.
    pub(crate) blink: Option<Blink>,
}

impl SessionView {
    /// A session in this phase, of which nothing else is known.
    pub(crate) const fn new(phase: SessionPhase) -> Self {
        Self {
            phase,
            error: None,
            answer: None,
            identified: None,
            envelope: None,
            tested: false,
            words: None,
            route: Route::Push,
            message: None,
            pair_by: None,
            blink: None,
        }
    }

    /// The device is known and `pair` has not come: there is nothing to carry.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.phase, SessionPhase::Identified)
    }

    /// What the machine knows of its session.
    pub(crate) fn of_machine(machine: &SessionMachine, now: &Now) -> Self {
        Self {
            answer: machine.answer(),
            identified: Identified::of(machine, now),
            envelope: machine.envelope().cloned(),
            words: machine.words(),
            route: machine.route(),
            message: machine.message().map(Arc::new),
            pair_by: machine.pair_by(),
            blink: machine.blink(),
            ..Self::new(machine.phase())
        }
    }

    /// What is left of a session that no task runs.
    pub(crate) fn of_row(row: SessionRow) -> Self {
        Self { error: row.error.map(Into::into), ..Self::new(row.phase) }
    }
}

/// What a device said about itself.
#[derive(Debug, Clone)]
pub(crate) struct Identified {
    /// Its serial number.
    pub(crate) serial: DeviceSerial,
    /// Its firmware.
    pub(crate) firmware: FirmwareVersion,
    /// Until when it is kept for its operator.
    pub(crate) reserved_until: UnixTime,
}

impl Identified {
    /// What the machine knows of it; none without a wall clock.
    pub(crate) fn of(machine: &SessionMachine, now: &Now) -> Option<Self> {
        let (serial, firmware, _) = machine.identified()?;
        Some(Self {
            serial: serial.clone(),
            firmware: firmware.clone(),
            reserved_until: now.wall? + machine.held_until().since(now.mono),
        })
    }
}

/// What a running session is asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// Go on with these details.
    Pair(OperatorId, Box<PairDetails>, oneshot::Sender<Result<(), StationError>>),
    /// This operator scanned another window of the device.
    Rescanned(OperatorId, oneshot::Sender<Result<(), StationError>>),
    /// The device's identity document, fetched by itself (D23).
    Identity(Vec<u8>, oneshot::Sender<Result<(), StationError>>),
    /// The operator has scanned or typed the same again.
    Again(DeviceAddress, oneshot::Sender<Result<(), StationError>>),
    /// A carrier takes the message that waits (D7).
    Fetch(Route, oneshot::Sender<Result<(), StationError>>),
    /// A carrier brings the device's answer (D7).
    Reply(Box<Reply>, oneshot::Sender<Result<(), StationError>>),
    /// The operator wants to see which monitor it is.
    Blink(OperatorId, oneshot::Sender<Result<(), StationError>>),
    /// Give up: the operator, or the device itself.
    Cancel(Option<OperatorId>, oneshot::Sender<Result<(), StationError>>),
    /// The device tested the connection with this certificate.
    Tested(Serial),
    /// The store made this certificate current.
    Committed(Serial),
    /// The store aborted or revoked this certificate.
    Aborted(Serial),
}

/// How to reach a running session.
#[derive(Debug, Clone)]
pub(crate) struct SessionHandle {
    /// Which.
    pub(crate) id: SessionId,
    /// Who started it; none where the device did.
    pub(crate) operator: Option<OperatorId>,
    /// How it began.
    pub(crate) method: Method,
    /// The device it is about.
    pub(crate) device_id: DeviceId,
    /// Which owner of the session its task is.
    pub(crate) epoch: u64,
    token_id: TokenId,
    /// What an operator read off the screen; none where the device began it.
    code: Option<PairingCode>,
    target: Option<Target>,
    key16: Option<[u8; 16]>,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<SessionView>,
}

impl SessionHandle {
    /// Whether code and token (if given) are those it was begun with.
    pub(crate) fn was_begun_with(&self, code: &PairingCode, token: Option<&PairingToken>) -> bool {
        let same = |token: &PairingToken| self.method == Method::Qr && token.id() == self.token_id;
        self.code.as_ref() == Some(code) && token.is_none_or(same)
    }

    /// Whether it was begun by typing this code.
    pub(crate) fn was_typed(&self, code: &PairingCode) -> bool {
        self.method == Method::Typed && self.code.as_ref() == Some(code)
    }

    /// Whether it was begun by the other method.
    pub(crate) fn mixes_with(&self, opening: &Opening) -> bool {
        match opening {
            Opening::Scanned(_) => self.method == Method::Typed,
            Opening::Typed { .. } => self.method == Method::Qr,
        }
    }

    /// Left half of the thumbprint of the key that the device must prove.
    pub(crate) const fn key16(&self) -> Option<[u8; 16]> {
        self.key16
    }

    /// Where the device was said to listen.
    pub(crate) const fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The state right now.
    pub(crate) fn view(&self) -> SessionView {
        self.view.borrow().clone()
    }

    /// Every state from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<SessionView> {
        self.view.clone()
    }

    /// Waits until the view is as wanted, or the session has gone; returns the last view.
    pub(crate) async fn wait_for(&self, wanted: impl FnMut(&SessionView) -> bool) -> SessionView {
        let mut view = self.view.clone();
        match view.wait_for(wanted).await {
            Ok(view) => view.clone(),
            Err(_) => self.view(),
        }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), StationError>>) -> Command,
    ) -> Result<(), StationError> {
        let (reply, answer) = oneshot::channel();
        let gone = || StationError::from(ErrorCode::SessionExpired);
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn tell(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }
}

/// The running sessions of this process.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    live: Mutex<BTreeMap<SessionId, (SessionHandle, AbortHandle)>>,
}

impl Sessions {
    /// A running session.
    pub(crate) fn get(&self, id: &SessionId) -> Option<SessionHandle> {
        self.live().get(id).map(|(handle, _)| handle.clone())
    }

    /// The session, if it runs here and nobody has taken it over: its row says `epoch`.
    pub(crate) fn of_epoch(&self, id: &SessionId, epoch: u64) -> Option<SessionHandle> {
        let live = self.get(id)?;
        if live.epoch < epoch {
            self.give_way(id, live.epoch);
            return None;
        }
        Some(live)
    }

    /// The device has tested with a session's certificate.
    pub(crate) async fn tested(&self, id: &SessionId, serial: Serial) -> bool {
        self.tell(id, Command::Tested(serial)).await
    }

    /// A session's certificate became current.
    pub(crate) async fn committed(&self, id: &SessionId, serial: Serial) -> bool {
        self.tell(id, Command::Committed(serial)).await
    }

    /// A session's certificate will never become current. `false` when no task runs the session.
    pub(crate) async fn aborted(&self, id: &SessionId, serial: Serial) -> bool {
        self.tell(id, Command::Aborted(serial)).await
    }

    /// Tells a session something that will be told again; one that is behind with its commands hears it
    /// then.
    pub(crate) fn tell_if_idle(&self, id: &SessionId, command: Command) {
        if let Some(handle) = self.get(id) {
            let _told = handle.commands.try_send(command);
        }
    }

    async fn tell(&self, id: &SessionId, command: Command) -> bool {
        match self.get(id) {
            Some(handle) => handle.tell(command).await,
            None => false,
        }
    }

    fn insert(&self, handle: SessionHandle, task: AbortHandle) {
        self.live().insert(handle.id, (handle, task));
    }

    /// Ends every task where it stands. What is committed stays; the next start puts it in order.
    pub(crate) fn abort_all(&self) {
        let live = core::mem::take(&mut *self.live());
        live.into_values().for_each(|(_, task)| task.abort());
    }

    /// Which sessions run here, and as which of their owners.
    pub(crate) fn epochs(&self) -> BTreeMap<SessionId, u64> {
        self.live().iter().map(|(id, (handle, _))| (*id, handle.epoch)).collect()
    }

    /// Another owner goes on with the session: the task that ran it here as `epoch` ends where it stands.
    /// What it had not committed never will be.
    pub(crate) fn give_way(&self, id: &SessionId, epoch: u64) {
        if let Some(task) = self.remove(id, epoch) {
            task.abort();
        }
    }

    fn remove(&self, id: &SessionId, epoch: u64) -> Option<AbortHandle> {
        let mut live = self.live();
        let own = live.get(id).is_some_and(|(handle, _)| handle.epoch == epoch);
        own.then(|| live.remove(id)).flatten().map(|(_, task)| task)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<SessionId, (SessionHandle, AbortHandle)>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
