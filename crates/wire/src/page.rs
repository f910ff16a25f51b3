//! The station's page for tablets: who is logged in, and how a pairing goes on.

use alloc::string::String;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    ids::{DeviceId, DeviceSerial, FirmwareVersion, OperatorId, SessionId, StationId, StationName},
    role::Role,
    route::Route,
};

use crate::{problem::Problem, text};

/// The answer of `GET` and `POST /api/auth/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageView {
    /// The station.
    #[serde(with = "text")]
    pub station_id: StationId,
    /// The name people see.
    #[serde(with = "text")]
    pub station_name: StationName,
    /// Who is logged in; nobody without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<PageLogin>,
    /// Whether the browser came with a login that counts no more.
    pub ended: bool,
    /// Whether its login opens nothing before the password has been changed (D22).
    pub must_change_password: bool,
}

/// A login that lives in a cookie, so that no script of the page ever holds its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageLogin {
    /// The account.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// Its role.
    #[serde(with = "text")]
    pub role: Role,
}

/// The `session` event of `GET /api/provisioning/pair/{sessionId}/events`: the whole state each time,
/// so that a page that was away needs nothing of before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Where it is.
    pub phase: ProgressPhase,
    /// How its messages go to the device at present (D7).
    #[serde(with = "text")]
    pub delivery: Route,
    /// Whether the device has tested its new connection.
    pub tested: bool,
    /// Its serial number, once it has proved itself in this process.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_serial: Option<DeviceSerial>,
    /// Its firmware, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub firmware_version: Option<FirmwareVersion>,
    /// Whole seconds that are left for `pair`, while it is awaited. A tablet's clock may be wrong, so
    /// this is no instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// The four words that the screen of the device must show too, before anybody confirms this station
    /// there (D8); only where somebody has to.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::words_option"
    )]
    pub words: Option<String>,
    /// Why it ended without a pairing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProgressPhase {
    /// The station calls the device.
    Dialling,
    /// The device is claimed and has proved who it is.
    Identified,
    /// Its certificate is being made.
    Issuing,
    /// Its configuration is on the way, or being tried by the device.
    Delivering,
    /// The device has it and has not decided yet.
    AwaitingCommit,
    /// Paired.
    Paired,
    /// Failed.
    Failed,
    /// Given up, by somebody or by time.
    Released,
}

/// The answer of `GET /trust/ca.json`: what a tablet is to trust, to be compared by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustView {
    /// The name people see.
    #[serde(with = "text")]
    pub station_name: StationName,
    /// SHA-256 of the CA certificate's DER.
    #[serde(with = "text::hash")]
    pub fingerprint: [u8; 32],
}
