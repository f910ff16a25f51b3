//! The states of a device and the two views of them ([W §6], [I §3.3], [W §9.1], D12).

use core::{fmt, str::FromStr};

use crate::error::FieldError;

/// Where a device stands: the eight states of [W §6], and Deprovisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProvisioningState {
    /// No server configuration; the initial state.
    NotProvisioned,
    /// A provisioning window is open and the QR code is shown.
    ReadyToPair,
    /// A station has claimed the window.
    Pairing,
    /// A configuration is being received and checked.
    Configuring,
    /// The new configuration is staged and its connection is being tested and committed.
    Validating,
    /// A configuration is in force.
    Provisioned,
    /// The last attempt failed and no configuration is in force. Where an older one is, the device is
    /// [`Provisioned`](Self::Provisioned) again and says why the attempt failed.
    Error,
    /// As one of the four phases above, while the configuration in force goes on working.
    Reprovisioning(ReprovisioningPhase),
    /// An administrator removed the configuration.
    Deprovisioned,
}

/// How far a re-provisioning has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReprovisioningPhase {
    /// As [`ProvisioningState::ReadyToPair`].
    ReadyToPair,
    /// As [`ProvisioningState::Pairing`].
    Pairing,
    /// As [`ProvisioningState::Configuring`].
    Configuring,
    /// As [`ProvisioningState::Validating`].
    Validating,
}

/// The status of [I §3.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProvisioningStatus {
    /// Device not yet provisioned.
    Unprovisioned,
    /// QR code displayed, waiting for the scan.
    ReadyToPair,
    /// Configuration received, validating.
    PairingReceived,
    /// Successfully provisioned.
    Provisioned,
    /// Provisioning failed.
    ProvisioningFailed,
    /// De-provisioned by an administrator.
    Deprovisioned,
}

/// The indicator of [W §9.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Indicator {
    /// Waiting for the scan.
    Ready,
    /// A station has claimed the window.
    Pairing,
    /// A configuration is being applied.
    Configuring,
    /// A configuration is in force.
    Connected,
    /// The last attempt failed.
    Error,
}

impl ReprovisioningPhase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] =
        [Self::ReadyToPair, Self::Pairing, Self::Configuring, Self::Validating];

    /// The state that a first provisioning has in this phase.
    #[must_use]
    pub const fn plain(self) -> ProvisioningState {
        match self {
            Self::ReadyToPair => ProvisioningState::ReadyToPair,
            Self::Pairing => ProvisioningState::Pairing,
            Self::Configuring => ProvisioningState::Configuring,
            Self::Validating => ProvisioningState::Validating,
        }
    }
}

impl ProvisioningState {
    /// Every state with every phase.
    pub const ALL: [Self; 12] = [
        Self::NotProvisioned,
        Self::ReadyToPair,
        Self::Pairing,
        Self::Configuring,
        Self::Validating,
        Self::Provisioned,
        Self::Error,
        Self::Reprovisioning(ReprovisioningPhase::ReadyToPair),
        Self::Reprovisioning(ReprovisioningPhase::Pairing),
        Self::Reprovisioning(ReprovisioningPhase::Configuring),
        Self::Reprovisioning(ReprovisioningPhase::Validating),
        Self::Deprovisioned,
    ];

    /// The status of [I §3.3].
    #[must_use]
    pub const fn status(self) -> ProvisioningStatus {
        match self {
            Self::NotProvisioned => ProvisioningStatus::Unprovisioned,
            Self::ReadyToPair | Self::Pairing => ProvisioningStatus::ReadyToPair,
            Self::Configuring | Self::Validating => ProvisioningStatus::PairingReceived,
            Self::Provisioned => ProvisioningStatus::Provisioned,
            Self::Error => ProvisioningStatus::ProvisioningFailed,
            Self::Reprovisioning(phase) => phase.plain().status(),
            Self::Deprovisioned => ProvisioningStatus::Deprovisioned,
        }
    }

    /// The indicator of [W §9.1]; none before provisioning and after de-provisioning.
    #[must_use]
    pub const fn indicator(self) -> Option<Indicator> {
        match self {
            Self::NotProvisioned | Self::Deprovisioned => None,
            Self::ReadyToPair => Some(Indicator::Ready),
            Self::Pairing => Some(Indicator::Pairing),
            Self::Configuring | Self::Validating => Some(Indicator::Configuring),
            Self::Provisioned => Some(Indicator::Connected),
            Self::Error => Some(Indicator::Error),
            Self::Reprovisioning(phase) => phase.plain().indicator(),
        }
    }

    /// The phase of a re-provisioning.
    #[must_use]
    pub const fn phase(self) -> Option<ReprovisioningPhase> {
        match self {
            Self::Reprovisioning(phase) => Some(phase),
            Self::NotProvisioned
            | Self::ReadyToPair
            | Self::Pairing
            | Self::Configuring
            | Self::Validating
            | Self::Provisioned
            | Self::Error
            | Self::Deprovisioned => None,
        }
    }

    /// The name used on the wire and in logs, `Reprovisioning.Pairing`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotProvisioned => "NotProvisioned",
            Self::ReadyToPair => "ReadyToPair",
            Self::Pairing => "Pairing",
            Self::Configuring => "Configuring",
            Self::Validating => "Validating",
            Self::Provisioned => "Provisioned",
            Self::Error => "Error",
            Self::Reprovisioning(ReprovisioningPhase::ReadyToPair) => "Reprovisioning.ReadyToPair",
            Self::Reprovisioning(ReprovisioningPhase::Pairing) => "Reprovisioning.Pairing",
            Self::Reprovisioning(ReprovisioningPhase::Configuring) => "Reprovisioning.Configuring",
            Self::Reprovisioning(ReprovisioningPhase::Validating) => "Reprovisioning.Validating",
            Self::Deprovisioned => "Deprovisioned",
        }
    }

    /// What a screen says about the state.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotProvisioned => "This monitor is not connected to a Central Station.",
            Self::ReadyToPair => "Scan the QR code with the tablet.",
            Self::Pairing => "A Central Station is pairing with this monitor.",
            Self::Configuring => "Receiving the configuration.",
            Self::Validating => "Testing the new connection.",
            Self::Provisioned => "This monitor is provisioned.",
            Self::Error => "Provisioning failed.",
            Self::Reprovisioning(phase) => match phase {
                ReprovisioningPhase::ReadyToPair => {
                    "Scan the QR code with the tablet. Monitoring goes on meanwhile."
                }
                ReprovisioningPhase::Pairing => {
                    "A Central Station is pairing with this monitor. Monitoring goes on meanwhile."
                }
                ReprovisioningPhase::Configuring => {
                    "Receiving the new configuration. Monitoring goes on meanwhile."
                }
                ReprovisioningPhase::Validating => {
                    "Testing the new connection. Monitoring goes on meanwhile."
                }
            },
            Self::Deprovisioned => "This monitor was removed from its Central Station.",
        }
    }
}

impl ProvisioningStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Unprovisioned,
        Self::ReadyToPair,
        Self::PairingReceived,
        Self::Provisioned,
        Self::ProvisioningFailed,
        Self::Deprovisioned,
    ];

    /// The name of [I §3.3], `PAIRING_RECEIVED`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unprovisioned => "UNPROVISIONED",
            Self::ReadyToPair => "READY_TO_PAIR",
            Self::PairingReceived => "PAIRING_RECEIVED",
            Self::Provisioned => "PROVISIONED",
            Self::ProvisioningFailed => "PROVISIONING_FAILED",
            Self::Deprovisioned => "DEPROVISIONED",
        }
    }
}

impl Indicator {
    /// The word of [W §9.1].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Pairing => "Pairing",
            Self::Configuring => "Configuring",
            Self::Connected => "Connected",
            Self::Error => "Error",
        }
    }
}

impl FromStr for ProvisioningState {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or(FieldError::new("state", "must be the name of a provisioning state"))
    }
}

impl FromStr for ProvisioningStatus {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let status = Self::ALL.into_iter().find(|status| status.as_str() == text);
        status.ok_or(FieldError::new("status", "must be the name of a provisioning status"))
    }
}

impl FromStr for Indicator {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        [Self::Ready, Self::Pairing, Self::Configuring, Self::Connected, Self::Error]
            .into_iter()
            .find(|indicator| indicator.as_str() == text)
            .ok_or(FieldError::new("indicator", "must be the name of an indicator"))
    }
}

impl fmt::Display for ProvisioningState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for ProvisioningStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use Indicator as I;
    use ProvisioningState as S;
    use ProvisioningStatus as P;

    #[test]
    fn the_maps_are_those_of_the_decision() {
        for (state, status, indicator) in [
            (S::NotProvisioned, P::Unprovisioned, None),
            (S::ReadyToPair, P::ReadyToPair, Some(I::Ready)),
            (S::Pairing, P::ReadyToPair, Some(I::Pairing)),
            (S::Configuring, P::PairingReceived, Some(I::Configuring)),
            (S::Validating, P::PairingReceived, Some(I::Configuring)),
            (S::Provisioned, P::Provisioned, Some(I::Connected)),
            (S::Error, P::ProvisioningFailed, Some(I::Error)),
            (S::Deprovisioned, P::Deprovisioned, None),
        ] {
            assert_eq!((state.status(), state.indicator()), (status, indicator), "{state}");
        }
    }

    #[test]
    fn reprovisioning_maps_by_its_phase() {
        for phase in ReprovisioningPhase::ALL {
            let state = S::Reprovisioning(phase);
            assert_eq!(state.status(), phase.plain().status());
            assert_eq!(state.indicator(), phase.plain().indicator());
            assert_eq!(state.phase(), Some(phase));
            assert_eq!(phase.plain().phase(), None);
        }
    }

    #[test]
    fn names_round_trip_and_every_state_has_a_message() {
        for state in S::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
            assert!(state.message().ends_with('.'));
        }
        for status in P::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        for indicator in S::ALL.into_iter().filter_map(S::indicator) {
            assert_eq!(indicator.to_string().parse(), Ok(indicator));
        }
        assert_eq!("ready".parse::<S>().unwrap_err().field(), "state");
        assert_eq!("ready".parse::<P>().unwrap_err().field(), "status");
        assert_eq!("ready".parse::<I>().unwrap_err().field(), "indicator");
    }

    #[test]
    fn the_status_names_are_those_of_the_interface() {
        let names = P::ALL.map(P::as_str);
        assert_eq!(
            names,
            [
                "UNPROVISIONED",
                "READY_TO_PAIR",
                "PAIRING_RECEIVED",
                "PROVISIONED",
                "PROVISIONING_FAILED",
                "DEPROVISIONED"
            ]
        );
    }
}
