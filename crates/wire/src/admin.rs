//! The station's API for logging in and for administration.

use alloc::{string::String, vec::Vec};
use core::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    address::DeviceAddress,
    ids::{
        BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, OperatorId, Serial, StationId,
        Thumbprint,
    },
    role::Role,
    time::UnixTime,
};

use crate::{
    fleet::{DeviceStanding, LinkView},
    kind::{Obstacle, True, TrustLevel},
    secret::SecretText,
    text,
};

/// `POST /api/auth/login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginRequest {
    /// The account.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// Its password.
    #[serde(deserialize_with = "crate::secret::password")]
    pub password: SecretText,
}

/// A bearer token for the requests that follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginAnswer {
    /// The token.
    #[serde(deserialize_with = "crate::secret::token")]
    pub token: SecretText,
    /// The account's role.
    #[serde(with = "text")]
    pub role: Role,
    /// Until when the token counts.
    #[serde(with = "text")]
    pub expires_at: UnixTime,
    /// The password was made for the account: the token opens nothing but its change.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub must_change_password: bool,
}

/// `POST /api/operators/self/password`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordRequest {
    /// The present password.
    #[serde(deserialize_with = "crate::secret::password")]
    pub password: SecretText,
    /// The one that takes its place.
    #[serde(deserialize_with = "crate::secret::password")]
    pub new_password: SecretText,
}

/// `POST /api/operators`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorRequest {
    /// The new account.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// Its role.
    #[serde(with = "text")]
    pub role: Role,
    /// Its password; without one, the station makes one that opens nothing but its own change.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::secret::password_option"
    )]
    pub password: Option<SecretText>,
}

/// The answer to a change that has nothing else to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Done {
    /// Always true.
    pub success: True,
}

/// The answer to `POST /api/registry/import`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportAnswer {
    /// Always true.
    pub success: True,
    /// Devices that are new.
    pub added: u32,
    /// Devices whose settings changed.
    pub changed: u32,
    /// Devices that were known as they are.
    pub unchanged: u32,
}

/// The answer to `POST /api/registry/devices/{deviceId}/rekey`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RekeyAnswer {
    /// Always true.
    pub success: True,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The thumbprint of its identity key from now on.
    #[serde(with = "text")]
    pub identity_key: Thumbprint,
    /// How many certificates of the old key were revoked.
    pub revoked: u32,
}

/// The answer to `POST /api/registry/devices/{deviceId}/enrolment`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolmentAnswer {
    /// Always true.
    pub success: True,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// What the device shows as the password of `simpleenroll` (RFC 7030 §3.2.3), to be shown this one time.
    #[serde(deserialize_with = "crate::secret::token")]
    pub credential: SecretText,
    /// Until when it counts.
    #[serde(with = "text")]
    pub expires_at: UnixTime,
}

/// One device of `GET /api/registry/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceRow {
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its serial number.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// The thumbprint of its identity key.
    #[serde(with = "text")]
    pub identity_key: Thumbprint,
    /// What kind of device it is, where its manifest said so.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub model: Option<DeviceModel>,
    /// Where it listens for a typed code.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub ip_address: Option<DeviceAddress>,
    /// The port of its listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Its bed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// Whether it may be paired.
    pub status: DeviceStanding,
    /// Whether a certificate of it is current.
    pub provisioned: bool,
    /// The serial number of its current certificate.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub certificate: Option<Serial>,
    /// Until when that certificate is valid.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub certificate_not_after: Option<UnixTime>,
    /// On what ground the device believed this station when it got that certificate (D8).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub trust_level: Option<TrustLevel>,
    /// When it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub last_seen: Option<UnixTime>,
    /// Its link then, in this run of the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkView>,
}

/// The answer of `GET /api/registry/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceList {
    /// One page of the devices, ordered by id.
    pub devices: Vec<DeviceRow>,
    /// How many there are on all pages.
    pub total: u64,
}

/// The answer to `POST /api/certificates/{serial}/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeAnswer {
    /// Always true.
    pub success: True,
    /// The certificate.
    #[serde(with = "text")]
    pub serial: Serial,
    /// Its device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Whether it had been revoked before.
    pub already_revoked: bool,
}

/// The answer of `GET /api/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// The station.
    #[serde(with = "text")]
    pub station_id: StationId,
    /// Whether it takes pairings.
    pub ready: bool,
    /// Its software.
    #[serde(deserialize_with = "crate::text::word")]
    pub version: String,
}

/// The answer of `GET /api/ready`: 200 when it is, else 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Readiness {
    /// Whether this process takes pairings.
    pub ready: bool,
    /// What is in the way, if anything is.
    #[serde(with = "text::list")]
    pub reasons: Vec<Obstacle>,
}

/// The answer of `GET /api/device/test`: the peer's certificate opens at least this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestAnswer {
    /// Always true.
    pub success: True,
    /// The device that the certificate names.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The station's time.
    #[serde(with = "text")]
    pub time: UnixTime,
}
