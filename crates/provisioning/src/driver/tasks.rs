//! Calls to the station, each in a task of its own; their results come back as inputs.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use zmon_domain::error::ErrorReport;
use zmon_protocol::device::{DeviceInput, LinkCredentials, LinkError};
use zmon_wire::outcome::CommitRequest;

use super::gate::Gate;
use crate::ports::{Moment, StationLink};

/// An input the driver gives the machine by itself. Cloneable, so that it can be tried again.
#[derive(Clone)]
pub(super) enum Feedback {
    Listening(Option<u16>),
    Tested(Result<(), LinkError>),
    Committed(Result<Vec<u8>, LinkError>),
    Outcome(Result<Vec<u8>, LinkError>),
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
            Self::Timeout => DeviceInput::Timeout,
        }
    }
}

/// A finished call.
pub(crate) struct Finished {
    id: u64,
    feedback: Feedback,
}

/// The one call to the station that is under way. A newer one replaces it: a result that belongs
/// to an earlier session never reaches the machine.
pub(super) struct StationTasks {
    link: Arc<dyn StationLink>,
    gate: Gate,
    results: mpsc::UnboundedSender<Finished>,
    next_id: u64,
    running: Option<(u64, AbortHandle)>,
}

impl StationTasks {
    pub(super) fn new(
        link: Arc<dyn StationLink>,
        gate: Gate,
        results: mpsc::UnboundedSender<Finished>,
    ) -> Self {
        Self { link, gate, results, next_id: 0, running: None }
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

    /// The feedback of the call under way; `None` for one that was replaced.
    pub(super) fn accept(&mut self, finished: Finished) -> Option<Feedback> {
        self.running.take_if(|(id, _)| *id == finished.id).map(|_| finished.feedback)
    }

    fn spawn(&mut self, call: impl Future<Output = Feedback> + Send + 'static) {
        self.stop();
        self.next_id += 1;
        let (id, results) = (self.next_id, self.results.clone());
        let task = tokio::spawn(async move {
            let feedback = call.await;
            // A driver that is gone needs no result.
            drop(results.send(Finished { id, feedback }));
        });
        self.running = Some((id, task.abort_handle()));
    }

    fn stop(&mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
        }
    }
}

impl Drop for StationTasks {
    fn drop(&mut self) {
        self.stop();
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
