//! The station's pairing API ([W §11.3], D7, D11).

use alloc::string::String;
use core::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    address::{DeviceAddress, ServerUrl},
    ids::{BedId, DeviceId, DeviceLabel, DeviceSerial, FirmwareVersion, SessionId},
    route::Route,
    time::UnixTime,
};

use crate::{
    kind::{False, True},
    pem::PemBase64,
    secret::SecretText,
    text,
};

/// `POST /api/provisioning/sessions`: what the tablet scanned; the seven members of the QR code fit as
/// they are. Without the token it is the typed code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanRequest {
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_serial: Option<DeviceSerial>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub ip_address: Option<DeviceAddress>,
    /// The pairing code.
    #[serde(deserialize_with = "crate::secret::code")]
    pub pairing_code: SecretText,
    /// The pairing token; absent for the typed code.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::secret::token_option"
    )]
    pub pairing_token: Option<SecretText>,
    /// The port of the device's listener, for the typed code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// When the code expires.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub expires_at: Option<UnixTime>,
    /// The device's firmware.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub firmware_version: Option<FirmwareVersion>,
    /// How the messages are to go; the station finds a way by itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub delivery: Option<Route>,
}

/// The answer to a scan: the device is claimed and reserved for this operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanAnswer {
    /// Always true.
    pub success: True,
    /// The session, for `pair`.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The device, as it proved itself.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its serial number.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// Its firmware.
    #[serde(with = "text")]
    pub firmware_version: FirmwareVersion,
    /// Until when `pair` must follow.
    #[serde(with = "text")]
    pub reserved_until: UnixTime,
}

/// `POST /api/provisioning/pair`: the three members of [W §11.3], and what may come along.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairRequest {
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The pairing code.
    #[serde(deserialize_with = "crate::secret::code")]
    pub pairing_code: SecretText,
    /// The pairing token; absent for the typed code and where `sessionId` names a claimed session.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::secret::token_option"
    )]
    pub pairing_token: Option<SecretText>,
    /// The session of an earlier scan.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub session_id: Option<SessionId>,
    /// The device's serial number.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_serial: Option<DeviceSerial>,
    /// Where the device is.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub ip_address: Option<DeviceAddress>,
    /// The port of the device's listener, for the typed code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// The bed to configure.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// The label to configure.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// How the messages are to go; the station finds a way by itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub delivery: Option<Route>,
}

/// The answer of [W §11.3], with exactly its members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairAnswer {
    /// Always true.
    pub success: True,
    /// The public part of the configuration.
    pub configuration: PairedConfiguration,
}

/// The configuration in the answer: public certificates and ciphertext only (D7).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairedConfiguration {
    /// The station's URL.
    #[serde(with = "text")]
    pub server_url: ServerUrl,
    /// The CA.
    pub ca_certificate: PemBase64,
    /// The device's certificate.
    pub client_certificate: PemBase64,
    /// `null` when the device made its own key; else the sealed key (D6).
    #[serde(default, deserialize_with = "crate::secret::key_option")]
    pub client_private_key: Option<SecretText>,
    /// The third part of the configuration's JWS (D4).
    #[serde(deserialize_with = "crate::text::words")]
    pub signature: String,
}

/// 202: the device has not answered yet; the 200 follows at `GET /api/provisioning/pair/{sessionId}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairPending {
    /// Always false.
    pub success: False,
    /// Always true.
    pub pending: True,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The route that the messages take.
    #[serde(with = "text")]
    pub delivery: Route,
    /// Where progress can be read.
    #[serde(deserialize_with = "crate::text::words")]
    pub events_url: String,
    /// The four words that the screen of the device must show too, before anybody confirms this station
    /// there (D8); only where somebody has to.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::words_option"
    )]
    pub words: Option<String>,
}
