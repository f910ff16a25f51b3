//! What the control socket shows of a device.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    address::{DeviceAddress, ServerUrl},
    ids::{
        BedId, DeviceId, DeviceLabel, DeviceSerial, FirmwareVersion, OperatorId, SiteId, StationId,
        StationName, Thumbprint,
    },
    role::Role,
    state::{Indicator, ProvisioningState, ProvisioningStatus},
    time::UnixTime,
};

use crate::{
    b64,
    kind::{Suite, TrustLevel},
    problem::Problem,
    secret::SecretText,
    text,
};

/// The state of a device: what the screens of [W §9] show.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusView {
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its state ([W §6]).
    #[serde(with = "text")]
    pub state: ProvisioningState,
    /// Its status ([I §3.3]).
    #[serde(with = "text")]
    pub status: ProvisioningStatus,
    /// The indicator ([W §9.1]).
    #[serde(default, with = "text::option")]
    pub indicator: Option<Indicator>,
    /// What the screen says.
    #[serde(deserialize_with = "crate::text::words")]
    pub message: String,
    /// Whether a configuration is in force.
    pub is_provisioned: bool,
    /// The pairing code, while a window is open.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::secret::code_option"
    )]
    pub pairing_code: Option<SecretText>,
    /// Seconds until it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<u64>,
    /// Where it listens for a typed code, `address:port`, while a window is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<SocketAddr>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Box<Problem>>,
    /// The station, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub server_url: Option<ServerUrl>,
    /// The certificate in words ([W §9.2]).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::word_option"
    )]
    pub certificate_status: Option<String>,
    /// The label in force.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// The bed in force.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// A manual configuration that waits for its migration ([W §14]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual_configuration: Option<ManualView>,
    /// Whether the screen is to blink, so that people see which monitor a station has claimed.
    #[serde(default)]
    pub blinking: bool,
    /// A station that waits for somebody to confirm it (D8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<ConfirmationView>,
    /// On what ground the station of the configuration in force was believed (D8).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub station_trust: Option<TrustLevel>,
    /// How many statements about dead certificates wait for their station.
    #[serde(default)]
    pub retirements_waiting: u64,
    /// Whether a factory reset is under way.
    #[serde(default)]
    pub erasing: bool,
    /// The link to the station.
    pub link: LinkView,
}

/// A station that no anchor vouches for, before somebody confirms it (D8). It says of itself what is
/// here; only the words are certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmationView {
    /// Who it says it is.
    #[serde(with = "text")]
    pub station_id: StationId,
    /// What it calls itself.
    #[serde(with = "text")]
    pub station_name: StationName,
    /// The bed that the device is to stand at.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// The label that the device is to carry.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// The four words that it must show too.
    #[serde(deserialize_with = "crate::text::words")]
    pub words: String,
    /// Seconds until it is too late.
    pub seconds_left: u64,
}

/// The anchors of a device: the authorities whose stations it believes (D8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchorsView {
    /// Each of them.
    pub anchors: Vec<AnchorView>,
}

/// One anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchorView {
    /// SHA-256 of the certificate.
    #[serde(with = "text")]
    pub fingerprint: Thumbprint,
    /// The site that it speaks for.
    #[serde(with = "text")]
    pub site: SiteId,
    /// Until when its certificate is valid.
    #[serde(with = "text")]
    pub not_after: UnixTime,
}

/// The local operators of a device, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorsView {
    /// Each of them.
    pub operators: Vec<OperatorView>,
}

/// A local operator, without what authenticates them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorView {
    /// The account.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// What it may do.
    #[serde(with = "text")]
    pub role: Role,
    /// Whether it has to wait because of wrong PINs.
    pub is_locked: bool,
}

/// A manual configuration on the device ([W §14]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManualView {
    /// What the screen says.
    #[serde(deserialize_with = "crate::text::words")]
    pub message: String,
    /// The server in it; none if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub manual_server_url: Option<ServerUrl>,
    /// Whether an operator has begun to migrate it.
    pub migrating: bool,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
}

/// The QR code of an open window. It is a secret as long as the window lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QrView {
    /// What the image encodes, byte for byte.
    pub content: SecretText,
    /// The pairing code for people.
    #[serde(deserialize_with = "crate::secret::code")]
    pub pairing_code: SecretText,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub timestamp: Option<UnixTime>,
    /// When the code expires.
    #[serde(with = "text")]
    pub expires_at: UnixTime,
    /// The image as PNG.
    #[serde(with = "b64::url")]
    pub png: Vec<u8>,
    /// The image as SVG.
    pub svg: SecretText,
    /// The image for a terminal.
    pub terminal: SecretText,
}

/// Who a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityView {
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its serial number.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// Its firmware.
    #[serde(with = "text")]
    pub firmware_version: FirmwareVersion,
    /// The kind of its identity key.
    pub suite: Suite,
    /// The thumbprint of its identity key.
    #[serde(with = "text")]
    pub identity_key: Thumbprint,
    /// Its address, as far as it knows.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub ip_address: Option<DeviceAddress>,
}

/// The link to the station ([W §9.2]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkView {
    /// Whether the last heartbeat was answered.
    pub connected: bool,
    /// The station.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub server_url: Option<ServerUrl>,
    /// When a heartbeat was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub last_connected: Option<UnixTime>,
    /// Seconds since the link came up.
    pub uptime_seconds: u64,
    /// Bytes sent in this run.
    pub bytes_sent: u64,
    /// Errors in this run.
    pub errors: u64,
    /// Until when the certificate is valid.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub certificate_not_after: Option<UnixTime>,
}

/// The six signals of [I §2.1], without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum EventView {
    /// A new QR code is shown.
    QrCodeGenerated {},
    /// The QR code has expired.
    QrCodeExpired {},
    /// A configuration arrived.
    ConfigurationReceived {
        /// SHA-256 of its exact signed bytes.
        #[serde(default, with = "text::hash_option")]
        configuration_hash: Option<[u8; 32]>,
    },
    /// The new configuration is in force.
    ProvisioningCompleted {
        /// The station.
        #[serde(with = "text")]
        server_url: ServerUrl,
        /// The label.
        #[serde(default, with = "text::option")]
        device_label: Option<DeviceLabel>,
    },
    /// Provisioning failed.
    ProvisioningFailed {
        /// Why.
        error: Box<Problem>,
    },
    /// The status changed.
    StatusChanged {
        /// The new status.
        #[serde(with = "text")]
        status: ProvisioningStatus,
    },
}

/// One step of a courier who carries files (D7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CourierView {
    /// The file that was taken from the folder.
    #[serde(deserialize_with = "crate::text::word")]
    pub taken: String,
    /// The file with the device's answer.
    #[serde(deserialize_with = "crate::text::word")]
    pub written: String,
}
