//! The driver: one task that owns the device machine and executes what it decides.
//!
//! ```text
//!   commands ─┐
//!   results  ─┼─► machine.clone().handle(input) ─► store.commit(record) ─► install next
//!   timer    ─┘                                        │ Err                 │
//!                                                      ▼                     ▼
//!                                            old machine stays        run actions, reply
//! ```
//!
//! Whatever happens to the caller's future, a step that began runs to its end inside this task.

mod actions;
mod anchors;
mod endpoint;
mod gate;
mod handle;
mod ledger;
mod outcome;
mod parts;
mod projection;
mod shared;
mod start;
mod tasks;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use zmon_crypto::{CodeHashKey, TokenKey};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, Tick};
use zmon_protocol::device::{
    DeviceContext, DeviceInput, DeviceMachine, DeviceReply, DeviceTransition,
};

use crate::link::{LinkStatus, LinkSupervisor};
use crate::ports::StoreError;

pub use anchors::AnchorImport;
pub(crate) use gate::Gate;
pub(crate) use handle::{Command, Handle, Reception};
pub(crate) use ledger::CodeLedger;
pub use parts::DeviceParts;
pub(crate) use shared::Shared;
pub(crate) use start::{Started, start};
use tasks::{Feedback, Finished, StationTasks};

/// Wait before an internal input whose commit failed is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// Timers that may be due one right after the other before the driver takes a rest.
const MAX_SPINS: u8 = 16;

/// The task's state.
pub(crate) struct Driver {
    parts: DeviceParts,
    token_key: TokenKey,
    code_hash_key: CodeHashKey,
    checkpoint: Option<String>,
    machine: DeviceMachine,
    link: LinkSupervisor,
    shared: Shared,
    handle: Handle,
    station: StationTasks,
    gate: Gate,
    /// Heartbeats that were answered; a migration waits for one.
    proven: watch::Receiver<LinkStatus>,
    waiting: outcome::Waiting,
    /// Inputs that an action produced at once.
    queue: VecDeque<Feedback>,
    /// Inputs whose commit failed, and when they are tried again.
    retry: Option<(Tick, VecDeque<Feedback>)>,
    /// Timeouts in a row that left the next one due at once.
    spins: u8,
}

impl Driver {
    /// Serves until the last handle is gone or a stop is asked for, then closes the window.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut results: mpsc::UnboundedReceiver<Finished>,
    ) {
        let stopped = loop {
            let deadline = self.deadline();
            let clock = Arc::clone(&self.parts.clock);
            // The timer first: a flood of requests cannot keep a window open.
            tokio::select! {
                biased;
                () = wait(&*clock, deadline) => self.due().await,
                Some(finished) = results.recv() => self.finished(finished).await,
                Ok(()) = self.proven.changed() => self.link_changed().await,
                command = commands.recv() => match command {
                    Some(Command::Stop(done)) => break Some(done),
                    Some(command) => self.command(command).await,
                    None => break None,
                },
            }
        };
        self.close().await;
        if let Some(done) = stopped {
            // The caller may have stopped waiting; the work is done either way.
            let _ = done.send(());
        }
    }

    /// One step: decide, commit, install, act. The reply of the machine, or why the store refused.
    async fn step(&mut self, input: DeviceInput) -> Result<DeviceReply, StepError> {
        let now = self.parts.clock.now();
        let transition = {
            let mut rng = self.parts.rng.lock();
            self.machine.clone().handle(&self.context(), &now, &mut *rng, input)
        };
        self.take(transition, &now).await
    }

    /// Commits and installs a transition and runs its actions.
    async fn take(
        &mut self,
        transition: DeviceTransition,
        now: &Now,
    ) -> Result<DeviceReply, StepError> {
        let DeviceTransition { next, record, actions, reply } = transition;
        if !record.is_empty()
            && let Err(error) = self.parts.store.commit(now, &record).await
        {
            tracing::error!(%error, "step not taken: nothing was committed");
            return Err(StepError::NotCommitted(error));
        }
        self.install(next, now);
        // Before the actions: a connection made by one of them checks its peer at this time.
        self.parts.clock.raise_floor(self.machine.trusted_floor());
        for action in actions {
            self.act(action).await;
        }
        self.settle(now);
        reply.map_err(StepError::Refused)
    }

    /// A step and everything that follows from it at once (the listener's port).
    async fn handle_input(&mut self, input: DeviceInput) -> Result<DeviceReply, ErrorReport> {
        let reply = self.step(input).await.map_err(StepError::into_report)?;
        self.drain().await?;
        Ok(reply)
    }

    async fn drain(&mut self) -> Result<(), ErrorReport> {
        let mut first = Ok(());
        while let Some(feedback) = self.queue.pop_front() {
            let deaf = matches!(feedback, Feedback::Listening(None));
            let fed = self.feed(feedback).await;
            let deaf = if deaf { Err(ErrorCode::ListenerFailed.into()) } else { Ok(()) };
            first = first.and(fed).and(deaf);
        }
        first
    }

    /// An internal input: if it cannot be committed it is kept and tried again.
    async fn feed(&mut self, feedback: Feedback) -> Result<(), ErrorReport> {
        if matches!(feedback, Feedback::Pulled(Ok(_))) {
            self.refresh_checkpoint().await;
        }
        match self.step(feedback.to_input()).await {
            Ok(_) => Ok(()),
            Err(StepError::Refused(report)) => Err(report),
            Err(StepError::NotCommitted(error)) => {
                let at = self.parts.clock.now().mono + COMMIT_RETRY;
                self.retry.get_or_insert_with(|| (at, VecDeque::new())).1.push_back(feedback);
                Err(error.into())
            }
        }
    }

    async fn finished(&mut self, finished: Finished) {
        if let Some(feedback) = self.station.accept(finished) {
            self.background(feedback).await;
        }
    }

    /// The link has something to say. Only a migration listens: its last step waits for an answered
    /// heartbeat over the active slot.
    async fn link_changed(&mut self) {
        let status = self.proven.borrow_and_update().clone();
        let snapshot = self.machine.snapshot(&self.parts.clock.now());
        let active = snapshot.active.map(|active| active.server_url);
        if status.server_url.is_none() || status.server_url != active {
            return;
        }
        if status.connected && snapshot.migrating {
            self.background(Feedback::LinkProven).await;
        } else if status.last_error == Some(ErrorCode::CertificateExpired)
            && let Some(not_after) = status.certificate_expires
        {
            self.background(Feedback::LinkExpired(not_after)).await;
        }
    }

    /// A manual configuration that cannot be used has its row at every start.
    async fn report_manual(&mut self) -> Result<(), ErrorReport> {
        let Err(problem) = self.shared.manual() else { return Ok(()) };
        tracing::warn!(%problem, "the manual configuration cannot be used");
        let code = problem.code;
        let refused = DeviceInput::MigrationRefused { actor: Actor::System, code };
        match self.step(refused).await {
            Err(StepError::NotCommitted(error)) => Err(error.into()),
            Ok(_) | Err(StepError::Refused(_)) => Ok(()),
        }
    }

    /// The timer: retries first, then the machine's own.
    async fn due(&mut self) {
        let now = self.parts.clock.now().mono;
        if let Some((_, inputs)) = self.retry.take_if(|(at, _)| *at <= now) {
            for feedback in inputs {
                self.background(feedback).await;
            }
            return;
        }
        self.background(Feedback::Timeout).await;
        let again = self.machine.poll_timeout().is_some_and(|at| at <= now);
        self.spins = if again { self.spins + 1 } else { 0 };
        if self.spins > MAX_SPINS && self.retry.is_none() {
            tracing::error!("the machine's timer does not advance");
            self.retry = Some((now + COMMIT_RETRY, VecDeque::new()));
        }
    }

    async fn background(&mut self, feedback: Feedback) {
        self.queue.push_back(feedback);
        if let Err(report) = self.drain().await {
            tracing::debug!(code = %report.code, "input refused");
        }
    }

    /// The next instant at which something is due. While a retry waits, the machine's timers wait
    /// with it: they would meet the same store.
    fn deadline(&self) -> Option<Tick> {
        self.retry.as_ref().map_or_else(|| self.machine.poll_timeout(), |(at, _)| Some(*at))
    }

    /// Voids an open window with its audit row, closes the listener, stops the link.
    async fn close(&mut self) {
        let in_doubt = self.machine.snapshot(&self.parts.clock.now()).in_doubt;
        // In doubt there is nothing to exit: the next start takes the question up again (D13).
        if projection::window_is_open(self.machine.state())
            && !in_doubt
            && let Err(report) = self.handle_input(DeviceInput::Exit { actor: Actor::System }).await
        {
            tracing::warn!(code = %report.code, "window not closed; the next start voids it");
        }
        self.close_listener().await;
        self.link.stop();
    }

    fn context(&self) -> DeviceContext<'_> {
        DeviceContext {
            profile: &self.parts.profile,
            identity: self.parts.keys.identity(),
            token_key: &self.token_key,
            code_hash_key: &self.code_hash_key,
            anchors: &self.parts.anchors,
            algorithms: &self.parts.algorithms,
            checkpoint: self.checkpoint.as_deref(),
        }
    }
}

/// Why a step did not bring what was asked for.
enum StepError {
    /// The machine said no; its refusal is committed.
    Refused(ErrorReport),
    /// The store said no; nothing happened.
    NotCommitted(StoreError),
}

impl StepError {
    fn into_report(self) -> ErrorReport {
        match self {
            Self::Refused(report) => report,
            Self::NotCommitted(error) => error.into(),
        }
    }
}

async fn wait(clock: &dyn crate::ports::Clock, deadline: Option<Tick>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => core::future::pending().await,
    }
}
