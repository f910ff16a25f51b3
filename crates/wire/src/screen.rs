//! The page on the device's own screen: what it is told and what it asks ([W §9]).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    ids::{DeviceSerial, OperatorId},
    role::Role,
    settings::{Language, MeasurementUnit},
    time::UnixTime,
};

use crate::{control::StatusView, secret::SecretText, text};

/// All that the screen shows but the QR image. It holds the pairing code while a window is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScreenView {
    /// What the control socket says too.
    pub status: StatusView,
    /// The serial number, for people who look for this device.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// The buttons that lead somewhere in this state.
    pub actions: Vec<ScreenAction>,
    /// The certificate in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ScreenCertificate>,
    /// Unanswered heartbeats of the last minutes, the present one last.
    pub error_trend: Vec<u32>,
    /// The language of the configuration in force.
    #[serde(with = "text")]
    pub language: Language,
    /// Its units.
    #[serde(with = "text")]
    pub measurement_unit: MeasurementUnit,
    /// SHA-256 of the page's files: another value is another page.
    #[serde(with = "text::hash")]
    pub assets: [u8; 32],
}

/// A button of [W §9.1], [W §9.3] or [W §14].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScreenAction {
    /// "Enter Provisioning Mode", with a PIN.
    Enter,
    /// "Regenerate QR Code".
    Regenerate,
    /// "Cancel Provisioning".
    Cancel,
    /// "Re-provision Device", with a PIN.
    Reprovision,
    /// "Simulate Configuration".
    Simulate,
    /// "Migrate Configuration", with a PIN.
    Migrate,
    /// "Not Now", with a PIN.
    Postpone,
    /// The station's words are the same (D8), with a PIN.
    ConfirmStation,
    /// They are not, or nobody knows this station.
    RefuseStation,
}

/// Expiry and validity of a certificate ([W §9.2]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScreenCertificate {
    /// The last instant of its validity; absent when it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub not_after: Option<UnixTime>,
    /// What the clock says of it.
    pub validity: Validity,
}

/// Whether a certificate is good now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Validity {
    /// It is.
    Valid,
    /// Its last instant is over.
    Expired,
    /// The date or the time is not known.
    Unknown,
}

/// Who may be chosen at the PIN pad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScreenOperators {
    /// Local operators whose role may open a window, by name.
    pub operators: Vec<ScreenOperator>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScreenOperator {
    /// The account.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// Its role.
    #[serde(with = "text")]
    pub role: Role,
}

/// A pressed button: an object with one member, as on the control socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ScreenRequest {
    /// "Enter Provisioning Mode".
    Enter {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// "Re-provision Device".
    Reprovision {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// "Migrate Configuration".
    Migrate {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// "Not Now".
    Postpone {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// The station's words are the same (D8).
    ConfirmStation {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        pin: SecretText,
        /// The words that were on the screen.
        words: String,
    },
    /// They are not, or nobody knows this station.
    RefuseStation {},
    /// "Regenerate QR Code".
    Regenerate {},
    /// "Cancel Provisioning".
    Cancel {},
    /// "Simulate Configuration".
    Simulate {},
}
