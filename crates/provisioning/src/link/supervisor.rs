//! The task that keeps the link up.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use zmon_domain::time::{Now, Tick};
use zmon_protocol::device::{LinkCredentials, LinkError};
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::strict;

use super::backoff::Backoff;
use super::certificate::not_after;
use super::status::LinkStatus;
use crate::ports::{Clock, DeviceStore, SharedRng, StationLink, StoreError};
use crate::service::ServiceView;

/// How long a heartbeat waits for the checkpoint that it may carry.
const CHECKPOINT_WITHIN: Duration = Duration::from_millis(100);

/// What a [`LinkSupervisor`] works with.
pub struct LinkParts {
    /// Calls the station.
    pub station: Arc<dyn StationLink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub rng: SharedRng,
    /// Where the state that a heartbeat reports is read.
    pub view: watch::Receiver<ServiceView>,
    /// Where the checkpoint that a heartbeat carries is read.
    pub store: Arc<dyn DeviceStore>,
}

/// Keeps one link to the station of the active slot: started, replaced and stopped by the driver,
/// stopped when dropped.
pub struct LinkSupervisor {
    target: watch::Sender<Option<Arc<LinkCredentials>>>,
    status: watch::Receiver<LinkStatus>,
    task: AbortHandle,
}

impl LinkSupervisor {
    /// Starts the task, idle until [`start`](Self::start). Needs a tokio runtime.
    #[must_use]
    pub fn spawn(parts: LinkParts) -> Self {
        let (target, targets) = watch::channel(None);
        let (status_sender, status) = watch::channel(LinkStatus::default());
        let started = parts.clock.now().mono;
        let runner = Runner {
            parts,
            targets,
            status: status_sender,
            started,
            sequence: 0,
            connected: None,
            checkpoint: None,
            sent: None,
        };
        let task = tokio::spawn(runner.run()).abort_handle();
        Self { target, status, task }
    }

    /// Connects with `credentials` instead of any others, at once.
    pub fn start(&self, credentials: LinkCredentials) {
        self.target.send_replace(Some(Arc::new(credentials)));
    }

    /// Disconnects.
    pub fn stop(&self) {
        self.target.send_replace(None);
    }

    /// The status, newest value first.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }
}

impl Drop for LinkSupervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for LinkSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSupervisor").field("status", &*self.status.borrow()).finish()
    }
}

struct Runner {
    parts: LinkParts,
    targets: watch::Receiver<Option<Arc<LinkCredentials>>>,
    status: watch::Sender<LinkStatus>,
    started: Tick,
    sequence: u64,
    connected: Option<Tick>,
    /// The log's latest checkpoint, and the one the station has been sent (D16).
    checkpoint: Option<String>,
    sent: Option<String>,
}

impl Runner {
    async fn run(mut self) {
        loop {
            let target = self.targets.borrow_and_update().clone();
            self.announce(target.as_deref());
            let changed = match target {
                Some(credentials) => self.keep(&credentials).await,
                None => self.targets.changed().await.is_ok(),
            };
            if !changed {
                return;
            }
        }
    }

    fn announce(&mut self, credentials: Option<&LinkCredentials>) {
        self.connected = None;
        (self.checkpoint, self.sent) = (None, None);
        self.status.send_modify(|status| {
            status.connected = false;
            status.uptime = Duration::ZERO;
            status.last_error = None;
            status.server_url = credentials.map(|credentials| credentials.server_url.clone());
            status.certificate_expires = credentials.and_then(not_after);
        });
    }

    /// Beats until the target changes (`true`) or the supervisor is gone (`false`).
    async fn keep(&mut self, credentials: &LinkCredentials) -> bool {
        let mut backoff = Backoff::new();
        loop {
            let begun = self.parts.clock.now().mono;
            let heartbeat = self.heartbeat(begun);
            let answer = tokio::select! {
                biased;
                changed = self.targets.changed() => return changed.is_ok(),
                answer = self.parts.station.heartbeat(credentials, &heartbeat) => answer,
            };
            let next = match answer {
                Ok(answer) => {
                    backoff.reset();
                    self.answered(&self.parts.clock.now(), &heartbeat, &answer);
                    begun + credentials.sync_interval.as_duration()
                }
                Err(error) => {
                    self.unanswered(error);
                    let wait = backoff.next(&mut *self.parts.rng.lock());
                    self.parts.clock.now().mono + wait
                }
            };
            tokio::select! {
                biased;
                changed = self.targets.changed() => return changed.is_ok(),
                () = self.parts.clock.sleep_until(next) => {}
            }
            // Just before it is sent, or an older one might follow a newer; a heartbeat does not wait
            // for a log that is busy.
            tokio::select! {
                biased;
                changed = self.targets.changed() => return changed.is_ok(),
                read = timeout(CHECKPOINT_WITHIN, self.parts.store.checkpoint()) => {
                    self.checkpoint = latest(read);
                }
            }
        }
    }

    fn heartbeat(&mut self, now: Tick) -> Heartbeat {
        self.sequence += 1;
        let state = self.parts.view.borrow().state;
        let status = self.status.borrow();
        Heartbeat {
            sequence: self.sequence,
            uptime_seconds: now.since(self.started).as_secs(),
            bytes_sent: status.bytes_sent,
            errors: status.errors,
            state,
            audit_checkpoint: self.checkpoint.clone().filter(|new| self.sent.as_ref() != Some(new)),
        }
    }

    fn answered(&mut self, now: &Now, heartbeat: &Heartbeat, answer: &HeartbeatAnswer) {
        if heartbeat.audit_checkpoint.is_some() {
            self.sent.clone_from(&heartbeat.audit_checkpoint);
        }
        let since = *self.connected.get_or_insert(now.mono);
        let size = |bytes: Vec<u8>| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.status.send_modify(|status| {
            if !status.connected {
                tracing::info!("link up");
            }
            status.connected = true;
            status.last_error = None;
            status.last_connected = now.wall;
            status.uptime = now.mono.since(since);
            status.bytes_sent += strict::to_vec(heartbeat).map_or(0, size);
            status.bytes_received += strict::to_vec(answer).map_or(0, size);
        });
    }

    fn unanswered(&mut self, error: LinkError) {
        self.connected = None;
        self.status.send_modify(|status| {
            if status.connected {
                tracing::warn!(code = %error.code(), "link down");
            }
            status.connected = false;
            status.uptime = Duration::ZERO;
            status.errors += 1;
            status.last_error = Some(error.code());
        });
    }
}

/// The checkpoint that was read; none when the log was busy or could not be read.
fn latest(read: Result<Result<Option<String>, StoreError>, Elapsed>) -> Option<String> {
    match read {
        Ok(Ok(checkpoint)) => checkpoint,
        Ok(Err(error)) => {
            tracing::debug!(%error, "checkpoint not read");
            None
        }
        Err(_elapsed) => None,
    }
}
