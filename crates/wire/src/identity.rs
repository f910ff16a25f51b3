//! The device's answer: payload of `zp-identity+jws` (D5, D9).

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zmon_domain::{
    ids::{DeviceId, DeviceSerial, FirmwareVersion, SessionId},
    time::ClockQuality,
};

use crate::{
    b64,
    kind::{KeyProtection, Suite, TrustLevel, V1},
    text,
};

/// Who the device is, which key the configuration must be sealed to, and the certificate it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityDocument {
    /// Version of the message.
    pub v: V1,
    /// The session of the hello.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// SHA-256 of the hello's exact bytes; binds the answer to the station's nonce.
    #[serde(with = "b64::array")]
    pub hello_hash: [u8; 32],
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its serial number.
    #[serde(with = "text")]
    pub device_serial: DeviceSerial,
    /// Its firmware.
    #[serde(with = "text")]
    pub firmware_version: FirmwareVersion,
    /// The kind of its keys.
    pub suite: Suite,
    /// The identity key: SubjectPublicKeyInfo in DER.
    #[serde(with = "b64::url")]
    pub identity_key: Vec<u8>,
    /// The key of this window that configurations are sealed to.
    #[serde(with = "b64::url")]
    pub kem_key: Vec<u8>,
    /// The certificate request (PKCS#10, DER) of this session's TLS key; `null` where the device takes
    /// its key from the station (D6).
    #[serde(with = "b64::url_option")]
    pub csr: Option<Vec<u8>>,
    /// On what ground the device believes the station (D8).
    #[serde(default, skip_serializing_if = "TrustLevel::is_anchored", with = "text")]
    pub station_trust: TrustLevel,
    /// Fresh random bytes of the device.
    #[serde(with = "b64::array")]
    pub device_nonce: [u8; 32],
    /// Where its keys live.
    #[serde(with = "text")]
    pub key_protection: KeyProtection,
    /// How far it trusts its clock.
    #[serde(with = "text")]
    pub clock_quality: ClockQuality,
    /// Its latest audit checkpoint (`zp-checkpoint+jws`), for the station to keep; `null` before the
    /// first.
    #[serde(default, deserialize_with = "crate::jws::compact_option")]
    pub audit_checkpoint: Option<String>,
    /// The manufacturer's chain, leaf first, each certificate base64 of DER.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::jws::certificates_option"
    )]
    pub factory_chain: Option<Vec<String>>,
}
