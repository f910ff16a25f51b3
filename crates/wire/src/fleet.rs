//! What the station's console looks at: links, certificates, operators, policy, figures.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zmon_domain::{
    address::{Network, ServerUrl},
    ids::{
        BedId, DeviceId, DeviceLabel, OperatorId, Serial, SessionId, SiteId, StationId, StationName,
    },
    role::Role,
    route::Route,
    settings::{Language, MeasurementUnit, SyncInterval},
    state::ProvisioningState,
    time::UnixTime,
};

use crate::{
    kind::{Suite, True, TrustLevel},
    secret::SecretText,
    text,
};

/// Whether a registered device may be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceStanding {
    /// In service.
    Active,
    /// Taken out of service.
    Decommissioned,
}

/// A device's link as its latest heartbeat told ([W §9.2]); of this run of the station.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkView {
    /// Whether it is alive: not too many heartbeats are missing.
    pub connected: bool,
    /// Whole seconds since the latest heartbeat. A page's clock may be wrong, so this is no instant.
    pub seconds_ago: u64,
    /// Whole seconds for which the device had been connected then.
    pub uptime_seconds: u64,
    /// Bytes it had sent over the link.
    pub bytes_sent: u64,
    /// Errors it had seen on the link.
    pub errors: u64,
    /// Its state then.
    #[serde(with = "text")]
    pub state: ProvisioningState,
}

/// `POST /api/registry/devices/{deviceId}/place`: where a device stands from now on. What is left out is
/// nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlaceRequest {
    /// Its bed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub bed_id: Option<BedId>,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_label: Option<DeviceLabel>,
}

/// Where a certificate stands (D13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateStanding {
    /// Issued, not yet committed to.
    Pending,
    /// The device's one certificate.
    Current,
    /// Replaced, and accepted until its successor is used.
    Superseded,
    /// Refused for ever.
    Revoked,
}

impl CertificateStanding {
    /// The name in messages and queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
        }
    }
}

/// Why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationCause {
    /// Nobody committed to it.
    Aborted,
    /// Its successor is in use.
    Superseded,
    /// An administrator said so.
    Administrator,
    /// Its key is or may be known to others.
    KeyCompromise,
    /// Its device was taken out of service or has given it up.
    Decommissioned,
}

/// One certificate of `GET /api/certificates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateView {
    /// Its serial number.
    #[serde(with = "text")]
    pub serial: Serial,
    /// Whose it is.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The pairing or renewal it was issued in.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// Where it stands.
    pub state: CertificateStanding,
    /// When it was issued.
    #[serde(with = "text")]
    pub issued_at: UnixTime,
    /// First second of validity.
    #[serde(with = "text")]
    pub not_before: UnixTime,
    /// Last second of validity.
    #[serde(with = "text")]
    pub not_after: UnixTime,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub revoked_at: Option<UnixTime>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RevocationCause>,
}

/// How many current certificates end on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpiryDay {
    /// Whole days from now; negative for those that have ended.
    pub day: i32,
    /// How many.
    pub certificates: u32,
}

/// The answer of `GET /api/certificates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateList {
    /// One page: the soonest to end first, revoked ones by the latest revocation.
    pub certificates: Vec<CertificateView>,
    /// How many there are on all pages.
    pub total: u64,
    /// When current certificates end, by day.
    pub expiry: Vec<ExpiryDay>,
}

/// `POST /api/certificates/{serial}/revoke`; without a body, `administrator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeRequest {
    /// Why.
    #[serde(default)]
    pub reason: RevokeReason,
}

/// Why an administrator revokes a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevokeReason {
    /// A decision.
    #[default]
    Administrator,
    /// The key is or may be known to others.
    KeyCompromise,
}

/// One account of `GET /api/operators`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorView {
    /// The account.
    #[serde(with = "text")]
    pub operator: OperatorId,
    /// What it may do.
    #[serde(with = "text")]
    pub role: Role,
    /// Whether it is barred from logging in.
    pub disabled: bool,
    /// Whether its password was made for it and has not been changed yet.
    pub one_time: bool,
    /// When it was made.
    #[serde(with = "text")]
    pub created_at: UnixTime,
}

/// The answer of `GET /api/operators`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorList {
    /// Every account, by name.
    pub operators: Vec<OperatorView>,
}

/// The answer to `POST /api/operators` and to `POST /api/operators/{operator}/one-time-password`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorAnswer {
    /// Always true.
    pub success: True,
    /// The password that was made for the account, to be shown this one time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::secret::password_option"
    )]
    pub one_time_password: Option<SecretText>,
}

/// `POST /api/operators/{operator}/access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessRequest {
    /// Whether the account is barred from logging in.
    pub disabled: bool,
}

/// The answer of `GET /api/overview`: figures at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overview {
    /// The station's time.
    #[serde(with = "text")]
    pub time: UnixTime,
    /// Since when this run of the station counts.
    #[serde(with = "text")]
    pub since: UnixTime,
    /// Devices in service.
    pub active: u64,
    /// Those with a current certificate.
    pub provisioned: u64,
    /// Those whose link is alive.
    pub connected: u64,
    /// Current certificates that end within 30 days.
    pub expiring: u64,
    /// Current certificates that have ended.
    pub expired: u64,
    /// Pairings and renewals under way.
    pub open_sessions: u64,
    /// Pairings of operators that succeeded in the last 24 hours.
    pub paired_last_day: u64,
    /// Refusals of unknown callers in this run.
    pub junk_refused: u64,
}

/// The answer of `GET /api/policy`: what this station is and allows. Seconds are whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyView {
    /// The station.
    #[serde(with = "text")]
    pub station_id: StationId,
    /// The name people see.
    #[serde(with = "text")]
    pub station_name: StationName,
    /// Its site.
    #[serde(with = "text")]
    pub site_id: SiteId,
    /// Where provisioned devices connect.
    #[serde(with = "text")]
    pub server_url: ServerUrl,
    /// Its software.
    #[serde(deserialize_with = "crate::text::word")]
    pub version: String,
    /// The ways a pairing's messages may take (D7).
    #[serde(with = "text::list")]
    pub routes: Vec<Route>,
    /// On what grounds devices are believed (D9): `registry`, `factory`, `scanned`.
    #[serde(deserialize_with = "crate::text::word_list")]
    pub device_trust: Vec<String>,
    /// On what grounds devices may believe this station (D8).
    #[serde(with = "text::list")]
    pub trust_levels: Vec<TrustLevel>,
    /// Types of identity keys that are taken (D5).
    pub suites: Vec<Suite>,
    /// Only devices whose keys live in hardware (D19).
    pub require_hardware_keys: bool,
    /// Whether the station makes the client keys of devices that allow it (D6).
    pub station_made_keys: bool,
    /// Whether a device may replace an expired certificate by itself (D23).
    pub recovery: bool,
    /// By what right a device may fetch a certificate by EST (D26): `certificate`, `credential`; none at all.
    #[serde(deserialize_with = "crate::text::word_list")]
    pub enrolment: Vec<String>,
    /// Where devices may be dialled (D18).
    #[serde(with = "text::list")]
    pub networks: Vec<Network>,
    /// The lowest port they may be dialled at.
    pub first_port: u16,
    /// The highest.
    pub last_port: u16,
    /// How long a device certificate is valid.
    pub certificate_seconds: u64,
    /// How long a revocation list is valid.
    pub crl_seconds: u64,
    /// How long a certificate may stay pending (D13).
    pub pending_seconds: u64,
    /// How long a session lasts (D11).
    pub session_seconds: u64,
    /// How long a claim at the scan waits for `pair` (D11).
    pub claim_seconds: u64,
    /// How long a login lasts.
    pub login_seconds: u64,
    /// Heartbeat interval of devices whose registry row says nothing.
    #[serde(with = "text::sync_interval")]
    pub sync_interval: SyncInterval,
    /// Their units.
    #[serde(with = "text")]
    pub measurement_unit: MeasurementUnit,
    /// Their language.
    #[serde(with = "text")]
    pub language: Language,
}
