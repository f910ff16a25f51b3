//! Simulated provisioning ([W §9.3], D20): the real machine against a station in memory.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::timeout;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;

use crate::ports::DeviceEndpoint;
use crate::qr::QrCodeData;
use crate::service::{EventStream, ProvisioningEvent, ProvisioningPayload, ProvisioningResult};

/// A station in memory. Its anchor, a simulated one, must be the device's only one, whose profile must say
/// [`StationTrust::Simulated`](zmon_protocol::device::StationTrust::Simulated).
#[async_trait]
pub trait SimulatedStation: Send + Sync {
    /// Plays tablet and station: scans `qr`, opens a session at `device` and delivers a
    /// configuration with the members of `payload`.
    ///
    /// # Errors
    ///
    /// What the device answered, or what the payload lacks.
    async fn provision(
        &self,
        qr: &QrCodeData,
        device: Arc<dyn DeviceEndpoint>,
        payload: &ProvisioningPayload,
    ) -> Result<(), ErrorReport>;
}

/// Lets `station` provision the device and waits for the end of the session in `events`, which
/// were subscribed to before.
pub(crate) async fn run(
    station: &dyn SimulatedStation,
    qr: &QrCodeData,
    device: Arc<dyn DeviceEndpoint>,
    payload: &ProvisioningPayload,
    mut events: EventStream,
) -> ProvisioningResult {
    if let Err(error) = station.provision(qr, device, payload).await {
        return ProvisioningResult::failure(error);
    }
    let end = async {
        loop {
            match events.next().await {
                Some(ProvisioningEvent::ProvisioningCompleted(result)) => return result,
                Some(ProvisioningEvent::ProvisioningFailed(error)) => {
                    return ProvisioningResult::failure(error);
                }
                Some(
                    ProvisioningEvent::QrCodeGenerated { .. }
                    | ProvisioningEvent::QrCodeExpired
                    | ProvisioningEvent::ConfigurationReceived { .. }
                    | ProvisioningEvent::StatusChanged(_),
                ) => {}
                None => return ProvisioningResult::failure(ErrorCode::Cancelled),
            }
        }
    };
    timeout(limits::DELIVERY_TIMEOUT.default, end)
        .await
        .unwrap_or_else(|_elapsed| ProvisioningResult::failure(ErrorCode::Timeout))
}
