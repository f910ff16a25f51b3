//! What a local screen shows, as one value.

use core::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;
use zmon_domain::address::{DeviceAddress, ServerUrl};
use zmon_domain::code::PairingCode;
use zmon_domain::settings::DeviceSettings;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_domain::time::{Tick, UnixTime};
pub use zmon_protocol::device::Confirmation;
use zmon_wire::kind::TrustLevel;

use super::ProvisioningError;
use crate::ports::ManualSettings;

/// A snapshot of the service. Each value is whole: state, code and error belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceView {
    /// State of [W §6].
    pub state: ProvisioningState,
    /// Status of [I §3.3].
    pub status: ProvisioningStatus,
    /// Code and QR content while they are worth showing.
    pub pairing: Option<PairingView>,
    /// Why the last attempt failed, until the next one begins.
    pub last_error: Option<ProvisioningError>,
    /// Whether a configuration is active; stays true while re-provisioning (D12).
    pub is_provisioned: bool,
    /// The active configuration's server.
    pub server_url: Option<ServerUrl>,
    /// The active client certificate.
    pub certificate: Option<CertificateView>,
    /// The active configuration's settings; before the first one those of a manual configuration.
    pub settings: Option<DeviceSettings>,
    /// A manual configuration that waits for its migration ([W §14]).
    pub manual: Option<ManualView>,
    /// Whether the device waits for the station's word on its commit (D13): nothing ends that, and nobody.
    pub in_doubt: bool,
    /// Whether the screen is to blink, so that people see which monitor a station has claimed.
    pub blinking: bool,
    /// A station that waits for somebody to confirm it (D8).
    pub confirmation: Option<Confirmation>,
    /// On what ground the station of the active configuration was believed (D8).
    pub station_trust: Option<TrustLevel>,
    /// How many statements about dead certificates wait for their station (D21).
    pub retirements: usize,
    /// Whether a factory reset is under way: until it ends every command is refused.
    pub erasing: bool,
    /// Whether it has ended but for the new identity, which the next start makes.
    pub awaits_restart: bool,
}

/// A manual configuration on the device ([W §14]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManualView {
    /// What it says, or why it cannot be used.
    pub found: Result<ManualSettings, ProvisioningError>,
    /// Whether an operator has begun to migrate it: it goes after the first good heartbeat.
    pub migrating: bool,
}

impl ManualView {
    /// A view of what was found; `None` when there is nothing.
    pub(crate) fn new(
        found: Result<Option<ManualSettings>, ProvisioningError>,
        migrating: bool,
    ) -> Option<Self> {
        found.transpose().map(|found| Self { found, migrating })
    }

    /// What the screen asks or says ([W §14] "Migration Prompt").
    #[must_use]
    pub fn message(&self) -> &'static str {
        match (&self.found, self.migrating) {
            (Err(_), _) => "The manual configuration of this monitor cannot be used.",
            (Ok(_), false) => {
                "This monitor is configured by hand. Migrate it to provisioning now, or later."
            }
            (Ok(_), true) => {
                "The manual configuration stays until the new connection has been proven."
            }
        }
    }
}

impl ServiceView {
    /// The view of a device that holds nothing.
    #[must_use]
    pub fn new(state: ProvisioningState) -> Self {
        Self {
            state,
            status: state.status(),
            pairing: None,
            last_error: None,
            is_provisioned: false,
            server_url: None,
            certificate: None,
            settings: None,
            manual: None,
            in_doubt: false,
            blinking: false,
            confirmation: None,
            station_trust: None,
            retirements: 0,
            erasing: false,
            awaits_restart: false,
        }
    }
}

/// The open window, for the screen in front of the operator. Not printed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairingView {
    /// The code; compared in constant time.
    pub code: PairingCode,
    /// What goes into the QR code, once the listener's port is known.
    pub qr: Option<QrView>,
    /// Monotonic deadline of the window.
    pub deadline: Tick,
}

/// The QR code of an open window. Not printed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QrView {
    /// The seven-key JSON.
    pub content: Arc<Zeroizing<String>>,
    /// The address in it.
    pub address: DeviceAddress,
    /// The port of the listener: what a typed code needs besides the address (D2).
    pub port: u16,
    /// When the code was made.
    pub timestamp: UnixTime,
    /// When the code dies.
    pub expires_at: UnixTime,
}

impl PairingView {
    /// A view of an open window.
    #[must_use]
    pub fn new(code: PairingCode, deadline: Tick) -> Self {
        Self { code, qr: None, deadline }
    }

    /// Whole seconds left at `now`, rounded up so that a live code never shows 0.
    #[must_use]
    pub fn seconds_left(&self, now: Tick) -> u64 {
        let left = self.deadline.since(now);
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }
}

impl fmt::Debug for PairingView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairingView").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl fmt::Debug for QrView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QrView").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The client certificate a device connects with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateView {
    /// Last instant of its validity.
    pub not_after: Option<UnixTime>,
}

impl CertificateView {
    /// A certificate valid until `not_after`.
    #[must_use]
    pub const fn new(not_after: Option<UnixTime>) -> Self {
        Self { not_after }
    }
}
