//! The six signals of [I §2.1] as a stream without secrets.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast::{self, error::RecvError};
use zmon_domain::state::ProvisioningStatus;
use zmon_domain::time::UnixTime;

use super::{ProvisioningError, ProvisioningResult};

/// Signals a slow subscriber may lag behind before it is resynchronised.
const CAPACITY: usize = 64;

/// A signal ([I §2.1]). Nothing in it opens anything: codes, tokens and configurations are fetched
/// from the service by whoever may see them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProvisioningEvent {
    /// `qrCodeGenerated`: a new code or a redrawn image is on the screen.
    QrCodeGenerated {
        /// When the code dies; `None` without a wall clock.
        expires_at: Option<UnixTime>,
    },
    /// `qrCodeExpired`: the window ran out, or its code is void after five tries (D2). One that
    /// somebody closes or replaces is told by the status, or by the next `qrCodeGenerated`.
    QrCodeExpired,
    /// `configurationReceived`: a configuration was opened and found genuine.
    ConfigurationReceived {
        /// SHA-256 of the exact signed bytes.
        configuration_hash: [u8; 32],
    },
    /// `provisioningCompleted`.
    ProvisioningCompleted(ProvisioningResult),
    /// `provisioningFailed`.
    ProvisioningFailed(ProvisioningError),
    /// `statusChanged`.
    StatusChanged(ProvisioningStatus),
}

/// Sends the signals of one service and remembers the status for late subscribers.
#[derive(Clone)]
pub struct EventHub {
    status: Arc<Mutex<ProvisioningStatus>>,
    sender: broadcast::Sender<ProvisioningEvent>,
}

impl EventHub {
    /// A hub whose first subscriber sees `status`.
    #[must_use]
    pub fn new(status: ProvisioningStatus) -> Self {
        Self { status: Arc::new(Mutex::new(status)), sender: broadcast::Sender::new(CAPACITY) }
    }

    /// Sends `event` to every subscriber; none is no error.
    pub fn emit(&self, event: ProvisioningEvent) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if let ProvisioningEvent::StatusChanged(new) = event {
            *status = new;
        }
        drop(self.sender.send(event));
    }

    /// The status last sent.
    #[must_use]
    pub fn status(&self) -> ProvisioningStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream that begins with the status and misses nothing sent after it.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ProvisioningEvent::StatusChanged(*status);
        EventStream {
            first: Some(first),
            receiver: self.sender.subscribe(),
            hub: self.status.clone(),
        }
    }
}

impl fmt::Debug for EventHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHub").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// The signals of one service, in the order they were sent. The first is always
/// [`ProvisioningEvent::StatusChanged`] with the status at subscription.
pub struct EventStream {
    first: Option<ProvisioningEvent>,
    receiver: broadcast::Receiver<ProvisioningEvent>,
    hub: Arc<Mutex<ProvisioningStatus>>,
}

impl EventStream {
    /// The next signal; `None` once the service is gone. A subscriber that fell 64 signals behind
    /// gets the current status instead of the lost ones. Cancel-safe.
    pub async fn next(&mut self) -> Option<ProvisioningEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => Some(self.resynchronise()),
            Err(RecvError::Closed) => None,
        }
    }

    /// A signal that is already waiting.
    pub fn try_next(&mut self) -> Option<ProvisioningEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(self.resynchronise()),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => {
                None
            }
        }
    }

    /// The status, and from here on only what is sent after it: an older signal that is still kept
    /// would set the subscriber back.
    fn resynchronise(&mut self) -> ProvisioningEvent {
        let status = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        self.receiver = self.receiver.resubscribe();
        ProvisioningEvent::StatusChanged(*status)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_that_lagged_gets_the_status_and_nothing_from_before_it() {
        let hub = EventHub::new(ProvisioningStatus::Unprovisioned);
        let mut stream = hub.subscribe();
        let (last, others) = (ProvisioningStatus::Provisioned, ProvisioningStatus::ReadyToPair);
        for _ in 0..2 * CAPACITY {
            hub.emit(ProvisioningEvent::StatusChanged(others));
        }
        hub.emit(ProvisioningEvent::StatusChanged(last));
        let first = ProvisioningEvent::StatusChanged(ProvisioningStatus::Unprovisioned);
        assert_eq!(stream.try_next(), Some(first));
        assert_eq!(stream.try_next(), Some(ProvisioningEvent::StatusChanged(last)));
        assert_eq!(stream.try_next(), None);
        hub.emit(ProvisioningEvent::QrCodeExpired);
        assert_eq!(stream.try_next(), Some(ProvisioningEvent::QrCodeExpired));
    }
}
