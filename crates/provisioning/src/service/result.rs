//! Outcomes.

use core::fmt;

use tokio::sync::watch;
use zmon_domain::address::ServerUrl;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceLabel, SessionId};

/// Why something was refused or failed: stable code, failing step, side, next action
/// (`ProvisioningError` of [I §2.1]; the same type and text on every screen and in the audit, D24).
pub use zmon_domain::error::ErrorReport as ProvisioningError;

/// How applying a configuration ended ([I §2.1]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProvisioningResult {
    /// Where the device now connects to; on success only.
    pub server_url: Option<ServerUrl>,
    /// The label it was given; on success, where the configuration has one.
    pub device_label: Option<DeviceLabel>,
    /// What went wrong; on failure only.
    pub error: Option<ProvisioningError>,
}

impl ProvisioningResult {
    /// A success.
    #[must_use]
    pub fn success(server_url: ServerUrl, device_label: Option<DeviceLabel>) -> Self {
        Self { server_url: Some(server_url), device_label, error: None }
    }

    /// A failure.
    #[must_use]
    pub fn failure(error: impl Into<ProvisioningError>) -> Self {
        Self { server_url: None, device_label: None, error: Some(error.into()) }
    }

    /// Whether the device is provisioned with this configuration.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.error.is_none()
    }
}

/// Evidence that this device received a configuration and found it genuine, meant for this
/// pairing, and fresh. Only a service can make one; it holds no secret.
#[derive(Clone)]
pub struct VerifiedConfiguration {
    session: SessionId,
    configuration_hash: [u8; 32],
    result: watch::Receiver<Option<ProvisioningResult>>,
}

impl VerifiedConfiguration {
    pub(crate) fn new(
        session: SessionId,
        configuration_hash: [u8; 32],
        result: watch::Receiver<Option<ProvisioningResult>>,
    ) -> Self {
        Self { session, configuration_hash, result }
    }

    /// The pairing session it belongs to.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// SHA-256 of the exact signed bytes, as in the audit log.
    #[must_use]
    pub fn configuration_hash(&self) -> &[u8; 32] {
        &self.configuration_hash
    }

    /// The end of its session; `cancelled` if the session ended without one.
    pub(crate) async fn result(mut self) -> ProvisioningResult {
        let ended = self.result.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|result| result.clone())
            .unwrap_or_else(|| ProvisioningResult::failure(ErrorCode::Cancelled))
    }
}

impl fmt::Debug for VerifiedConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedConfiguration")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
