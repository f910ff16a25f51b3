//! What station and device say to each other in one session, and the signed status of a device.
//!
//! The configuration itself travels as the raw bytes of its envelope (`application/octet-stream`).

use alloc::string::String;

use serde::{Deserialize, Serialize};
use zmon_domain::{error::ErrorCode, ids::SessionId, state::ProvisioningState};

use crate::{b64, kind::V1, text};

/// `POST /api/provisioning/session`: the hello and the proof of having read the QR code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionOpen {
    /// The hello (`zp-hello+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub hello: String,
    /// The claim over its exact bytes.
    #[serde(with = "b64::array")]
    pub claim_mac: [u8; 32],
}

/// The device's answer to a valid claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionAnswer {
    /// The identity document (`zp-identity+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub identity: String,
}

/// The device's answer to a delivered envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryAnswer {
    /// The status (`zp-status+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub status: String,
}

/// Payload of `zp-status+jws`: how the session ended on the device, or that it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusDocument {
    /// Version of the message.
    pub v: V1,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The device's state.
    #[serde(with = "text")]
    pub state: ProvisioningState,
    /// Whether the configuration is in force.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub code: Option<ErrorCode>,
    /// SHA-256 of the exact signed bytes of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::hash_option")]
    pub configuration_hash: Option<[u8; 32]>,
}

impl StatusDocument {
    /// Whether the device is still at work: neither success nor an error.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        !self.success && self.code.is_none()
    }
}
