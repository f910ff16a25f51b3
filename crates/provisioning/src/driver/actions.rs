//! What the machine asked for, done.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::timeout;
use zmon_protocol::device::{DeviceAction, DeviceEvent};

use super::tasks::Feedback;
use super::{Driver, outcome};
use crate::ports::DeviceEndpoint;
use crate::service::{ProvisioningEvent, ProvisioningResult};

/// Longest wait for a socket to be bound or freed.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(5);

impl Driver {
    /// Runs one action. Binding and closing a socket is awaited here, and what a factory reset or a
    /// migration erases: until that is done nothing else may begin. Calls to the station run beside
    /// the driver.
    pub(super) async fn act(&mut self, action: DeviceAction) {
        match action {
            DeviceAction::OpenListener => {
                let endpoint: Arc<dyn DeviceEndpoint> = Arc::new(self.handle.endpoint());
                let opened = timeout(SOCKET_TIMEOUT, self.parts.listener.open(endpoint)).await;
                let port = match opened {
                    Ok(Ok(port)) => Some(port),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "listener not opened");
                        None
                    }
                    Err(_elapsed) => {
                        tracing::error!("listener not opened in time");
                        None
                    }
                };
                self.queue.push_back(Feedback::Listening(port));
            }
            DeviceAction::CloseListener => self.close_listener().await,
            DeviceAction::AnswerDelivery { session_id, status } => {
                self.waiting.answer(session_id, &status);
            }
            DeviceAction::TestConnection { attempt, credentials } => {
                tracing::info!(attempt, "testing the connection");
                self.shared.candidates.stage(Some(credentials.clone()));
                self.station.test(credentials);
            }
            DeviceAction::SendCommit { credentials, request } => {
                self.station.commit(credentials, request);
            }
            DeviceAction::AskOutcome { credentials, ask } => self.station.ask(credentials, ask),
            DeviceAction::Pull { credentials, method, pull } => {
                tracing::info!(%method, "asking for a new certificate");
                self.station.pull(credentials, method, pull);
            }
            DeviceAction::Fetch { credentials, method, request } => {
                self.station.fetch(credentials, method, request);
            }
            DeviceAction::StartLink(credentials) => {
                self.shared.candidates.activate(Some(credentials.clone()));
                self.link.start(credentials);
            }
            DeviceAction::StopLink => {
                self.shared.candidates.activate(None);
                self.link.stop();
            }
            DeviceAction::SendRetire(retirement) => self.station.retire(retirement),
            DeviceAction::Erase => {
                let erased = self.parts.local.erase().await.map_err(|error| {
                    tracing::error!(%error, "the device is not erased yet");
                    error.code
                });
                self.shared.forget_manual(erased.is_ok());
                self.queue.push_back(Feedback::Erased(erased));
            }
            DeviceAction::RemoveManual => {
                let removed = self.parts.local.manual.remove().await.map_err(|error| {
                    tracing::error!(%error, "the manual configuration is not removed yet");
                    error.code
                });
                self.shared.forget_manual(removed.is_ok());
                self.queue.push_back(Feedback::ManualRemoved(removed));
            }
            DeviceAction::Emit(event) => self.emit(event),
            other => tracing::error!(?other, "unknown action"),
        }
    }

    /// An identity document carries the newest checkpoint (D16): the station takes an older one than
    /// the last heartbeat's for a log that was set back.
    pub(super) async fn refresh_checkpoint(&mut self) {
        match self.parts.store.checkpoint().await {
            Ok(checkpoint) => self.checkpoint = checkpoint,
            Err(error) => tracing::warn!(%error, "checkpoint not read"),
        }
    }

    pub(super) async fn close_listener(&self) {
        if timeout(SOCKET_TIMEOUT, self.parts.listener.close()).await.is_err() {
            tracing::error!("listener not closed in time");
        }
    }

    fn emit(&mut self, event: DeviceEvent) {
        let event = match event {
            DeviceEvent::QrCodeGenerated => ProvisioningEvent::QrCodeGenerated {
                expires_at: outcome::expiry(&self.shared.view.borrow()),
            },
            DeviceEvent::QrCodeExpired => ProvisioningEvent::QrCodeExpired,
            DeviceEvent::ConfigurationReceived { configuration_hash, .. } => {
                self.waiting.received(configuration_hash);
                ProvisioningEvent::ConfigurationReceived { configuration_hash }
            }
            DeviceEvent::ProvisioningCompleted { server_url, device_label, .. } => {
                let result = ProvisioningResult::success(server_url, device_label);
                self.waiting.ended(&result);
                ProvisioningEvent::ProvisioningCompleted(result)
            }
            DeviceEvent::ProvisioningFailed(report) => {
                let result = ProvisioningResult::failure(report.clone());
                self.waiting.ended(&result);
                ProvisioningEvent::ProvisioningFailed(report)
            }
            DeviceEvent::StatusChanged(status) => ProvisioningEvent::StatusChanged(status),
            other => return tracing::error!(?other, "unknown event"),
        };
        self.shared.hub.emit(event);
    }
}
