//! Calls to the station, each in a task of its own; their results come back as inputs.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::time::UnixTime;
use zmon_protocol::PullMethod;
use zmon_protocol::device::{DeviceInput, LinkCredentials, LinkError, Pulled, Retirement};
use zmon_wire::outcome::CommitRequest;
use zmon_wire::pull::FetchRequest;

use super::gate::Gate;
use crate::ports::{Moment, StationLink};

/// An input the driver gives the machine by itself. Cloneable, so that it can be tried again.
#[derive(Clone)]
pub(super) enum Feedback {
    Listening(Option<u16>),
    Tested(Result<(), LinkError>),
    Committed(Result<Vec<u8>, LinkError>),
    Outcome(Result<Vec<u8>, LinkError>),
    Pulled(Result<Pulled, LinkError>),
    Fetched(Result<Vec<u8>, LinkError>),
    Retired(u64, Result<(), LinkError>),
    Erased(Result<(), ErrorCode>),
    ManualRemoved(Result<(), ErrorCode>),
    LinkProven,
    LinkExpired(UnixTime),
    Timeout,
}

impl Feedback {
    pub(super) fn to_input(&self) -> DeviceInput {
        match self.clone() {
            Self::Listening(Some(port)) => DeviceInput::ListenerOpened { port },
            Self::Listening(None) => DeviceInput::ListenerFailed,
            Self::Tested(result) => DeviceInput::Tested(result),
            Self::Committed(result) => DeviceInput::CommitAnswered(result),
            Self::Outcome(result) => DeviceInput::OutcomeAnswered(result),
            Self::Pulled(result) => DeviceInput::Pulled(result),
            Self::Fetched(result) => DeviceInput::Fetched(result),
            Self::Retired(counter, result) => DeviceInput::RetireAnswered { counter, result },
            Self::Erased(result) => DeviceInput::Erased(result),
            Self::ManualRemoved(result) => DeviceInput::ManualRemoved(result),
            Self::LinkProven => DeviceInput::LinkProven,
            Self::LinkExpired(not_after) => DeviceInput::LinkExpired { not_after },
            Self::Timeout => DeviceInput::Timeout,
        }
    }
}

/// A finished call.
pub(crate) struct Finished {
    id: u64,
    feedback: Feedback,
}

/// The calls to the station that are under way: one of the session and, beside it, one about dead
/// certificates. A newer one of its kind replaces each: a result that belongs to an earlier session
/// never reaches the machine.
pub(super) struct StationTasks {
    link: Arc<dyn StationLink>,
    gate: Gate,
    results: mpsc::UnboundedSender<Finished>,
    next_id: u64,
    running: Option<(u64, AbortHandle)>,
    retiring: Option<(u64, AbortHandle)>,
}

impl StationTasks {
    pub(super) fn new(
        link: Arc<dyn StationLink>,
        gate: Gate,
        results: mpsc::UnboundedSender<Finished>,
    ) -> Self {
        Self { link, gate, results, next_id: 0, running: None, retiring: None }
    }

    /// Tests the connection; a pass counts only while the interlock is clear (D22).
    pub(super) fn test(&mut self, credentials: LinkCredentials) {
        let (link, gate) = (Arc::clone(&self.link), self.gate.clone());
        self.spawn(async move {
            let tested = link.test(&credentials).await;
            Feedback::Tested(match (tested, gate.check(Moment::Commit).await) {
                (Ok(()), Err(active)) => Err(LinkError::Refused(active.code)),
                (tested, _) => tested,
            })
        });
    }

    /// Sends `commit`. An answer that arrives while the interlock is active counts as not yet
    /// received: the device stays in doubt and asks again (D13), slot A working on.
    pub(super) fn commit(&mut self, credentials: LinkCredentials, request: CommitRequest) {
        let (link, gate) = (Arc::clone(&self.link), self.gate.clone());
        self.spawn(async move {
            let answer = link.commit(&credentials, &request).await;
            Feedback::Committed(later(answer, gate.check(Moment::Flip).await))
        });
    }

    /// Asks for the outcome, as [`commit`](Self::commit).
    pub(super) fn ask(&mut self, credentials: LinkCredentials, ask: String) {
        let (link, gate) = (Arc::clone(&self.link), self.gate.clone());
        self.spawn(async move {
            let answer = link.ask_outcome(&credentials, &ask).await;
            Feedback::Outcome(later(answer, gate.check(Moment::Flip).await))
        });
    }

    /// Asks for a new certificate, unless the interlock objects already: its commit would have to
    /// wait, and the station has made one in vain (D22, D23).
    pub(super) fn pull(&mut self, credentials: LinkCredentials, method: PullMethod, pull: String) {
        let (link, gate) = (Arc::clone(&self.link), self.gate.clone());
        self.spawn(async move {
            Feedback::Pulled(match gate.check(Moment::Commit).await {
                Ok(()) => link.pull(&credentials, method, &pull).await,
                Err(active) => Err(LinkError::Refused(active.code)),
            })
        });
    }

    /// Fetches the sealed configuration.
    pub(super) fn fetch(
        &mut self,
        credentials: LinkCredentials,
        method: PullMethod,
        request: FetchRequest,
    ) {
        let link = Arc::clone(&self.link);
        self.spawn(
            async move { Feedback::Fetched(link.fetch(&credentials, method, &request).await) },
        );
    }

    /// Delivers a statement about dead certificates. It asks no interlock: it changes nothing here.
    pub(super) fn retire(&mut self, retirement: Arc<Retirement>) {
        let link = Arc::clone(&self.link);
        stop(&mut self.retiring);
        let task = self.start(async move {
            let result = link.retire(&retirement).await;
            Feedback::Retired(retirement.counter, result)
        });
        self.retiring = Some(task);
    }

    /// The feedback of a call under way; `None` for one that was replaced.
    pub(super) fn accept(&mut self, finished: Finished) -> Option<Feedback> {
        let of = |call: &mut Option<(u64, AbortHandle)>| {
            call.take_if(|(id, _)| *id == finished.id).is_some()
        };
        (of(&mut self.running) || of(&mut self.retiring)).then_some(finished.feedback)
    }

    fn spawn(&mut self, call: impl Future<Output = Feedback> + Send + 'static) {
        stop(&mut self.running);
        self.running = Some(self.start(call));
    }

    fn start(
        &mut self,
        call: impl Future<Output = Feedback> + Send + 'static,
    ) -> (u64, AbortHandle) {
        self.next_id += 1;
        let (id, results) = (self.next_id, self.results.clone());
        let task = tokio::spawn(async move {
            let feedback = call.await;
            // A driver that is gone needs no result.
            drop(results.send(Finished { id, feedback }));
        });
        (id, task.abort_handle())
    }
}

fn stop(call: &mut Option<(u64, AbortHandle)>) {
    if let Some((_, task)) = call.take() {
        task.abort();
    }
}

impl Drop for StationTasks {
    fn drop(&mut self) {
        stop(&mut self.running);
        stop(&mut self.retiring);
    }
}

fn later(
    answer: Result<Vec<u8>, LinkError>,
    clear: Result<(), ErrorReport>,
) -> Result<Vec<u8>, LinkError> {
    match (answer, clear) {
        (Ok(_), Err(active)) => Err(LinkError::Network(active.code)),
        (answer, _) => answer,
    }
}
