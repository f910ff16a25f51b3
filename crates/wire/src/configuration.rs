//! The configuration: payload of `zp-config+jws`, a superset of [W §5] and [I §3.2].

mod payload;

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use zmon_domain::{
    address::ServerUrl,
    ids::{BedId, DeviceId, DeviceLabel, DeviceSerial, SessionId, StationId, Thumbprint},
    limits,
    settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval},
    time::{UnixTime, is_expired},
};

pub use self::payload::ProvisioningPayload;
use crate::{
    b64,
    kind::{Method, Suite, V1},
    pem::PemBase64,
    secret::SecretText,
    strict::{self, WireError, WireErrorKind},
    text,
};

/// Everything a device needs to work with its station.
///
/// Unknown members are ignored, so that newer stations can add some, unless `crit` names them: then the
/// device must understand them or refuse. Its signature is the third part of the JWS around it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationDocument {
    /// Version of the schema.
    pub schema_version: V1,
    /// The station's URL.
    #[serde(with = "text")]
    pub server_url: ServerUrl,
    /// Interval of the heartbeat, in seconds.
    #[serde(with = "text::sync_interval")]
    pub sync_interval: SyncInterval,
    /// The CA that the server's certificate leads to. Never an anchor (D8).
    pub ca_certificate: PemBase64,
    /// The device's client certificate with its chain.
    pub client_certificate: PemBase64,
    /// `null` when the device made its own key (the default); else the sealed key (D6).
    #[serde(default, deserialize_with = "crate::secret::key_option")]
    pub client_private_key: Option<SecretText>,
    /// The server's certificate, whose key the device pins; `null` for no pin.
    #[serde(default)]
    pub server_certificate: Option<PemBase64>,
    /// The device it is made for.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The pairing code of the session, compared in constant time; `null` for renewal and recovery.
    #[serde(default, deserialize_with = "crate::secret::code_option")]
    pub pairing_code: Option<SecretText>,
    /// The bed.
    #[serde(default, with = "text::option")]
    pub bed_id: Option<BedId>,
    /// The label on the screen.
    #[serde(default, with = "text::option")]
    pub device_label: Option<DeviceLabel>,
    /// Units on the screen.
    #[serde(with = "text")]
    pub measurement_unit: MeasurementUnit,
    /// Language of the screen.
    #[serde(with = "text")]
    pub language: Language,
    /// When it was made.
    #[serde(with = "text")]
    pub timestamp: UnixTime,
    /// Until when it may be applied.
    #[serde(with = "text")]
    pub expires_at: UnixTime,
    /// T, the hash of hello and identity document.
    #[serde(with = "b64::array")]
    pub session: [u8; 32],
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The station.
    #[serde(with = "text")]
    pub station_id: StationId,
    /// The device's serial number.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// The full thumbprint of the device's identity key.
    #[serde(with = "text")]
    pub device_key: Thumbprint,
    /// The suite of the session.
    pub suite: Suite,
    /// The method of the session.
    pub method: Method,
    /// Counts the station's configurations for this device.
    pub config_version: u64,
    /// The station's latest audit checkpoint (`zp-checkpoint+jws`), for the device to keep.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::jws::compact_option"
    )]
    pub audit_checkpoint: Option<String>,
    /// Names of members that must be understood.
    #[serde(default, deserialize_with = "crate::text::word_list")]
    pub crit: Vec<String>,
}

impl ConfigurationDocument {
    /// The members that this software understands, in their order.
    pub const MEMBERS: [&'static str; 25] = [
        "schemaVersion",
        "serverUrl",
        "syncInterval",
        "caCertificate",
        "clientCertificate",
        "clientPrivateKey",
        "serverCertificate",
        "deviceId",
        "pairingCode",
        "bedId",
        "deviceLabel",
        "measurementUnit",
        "language",
        "timestamp",
        "expiresAt",
        "session",
        "sessionId",
        "stationId",
        "deviceSerial",
        "deviceKey",
        "suite",
        "method",
        "configVersion",
        "auditCheckpoint",
        "crit",
    ];

    /// Reads the exact bytes that were signed.
    ///
    /// # Errors
    /// A [`WireError`] naming the member and the rule; of kind [`WireErrorKind::Critical`] when `crit`
    /// names a member that is not understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let document: Self = strict::parse(bytes, limits::BODY_MAX.default)?;
        let unknown = document.crit.iter().find(|name| !Self::MEMBERS.contains(&name.as_str()));
        match unknown {
            Some(name) => Err(WireError::new(
                WireErrorKind::Critical,
                "is critical and not understood by this software",
            )
            .within(name)),
            None => Ok(document),
        }
    }

    /// The JSON bytes to be signed, wiped on drop because they hold the pairing code.
    ///
    /// # Errors
    /// Never for a document of this type; see [`strict::to_vec`].
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        strict::to_secret(self, limits::BODY_MAX.default)
    }

    /// Whether its time has passed ([I §3.2]).
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        is_expired(now, self.expires_at)
    }

    /// The settings that reach the monitor.
    #[must_use]
    pub fn settings(&self) -> DeviceSettings {
        DeviceSettings {
            label: self.device_label.clone(),
            bed: self.bed_id.clone(),
            unit: self.measurement_unit,
            language: self.language,
            sync_interval: self.sync_interval,
        }
    }
}
