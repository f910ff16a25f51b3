//! Commit and outcome: the station's record alone decides (D13).

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use zmon_domain::{
    error::FieldError,
    ids::{DeviceId, Serial, SessionId},
};

use crate::{b64, kind::V1, text};

/// `POST /api/device/commit`, over the new certificate: asks the station to make it current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitRequest {
    /// Version of the message.
    pub v: V1,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The serial number of the new certificate.
    #[serde(with = "text")]
    pub serial: Serial,
    /// Fresh random bytes that the outcome repeats.
    #[serde(with = "b64::array")]
    pub nonce: [u8; 32],
}

/// Payload of `zp-ask+jws`: a device in doubt asks what became of its commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutcomeAsk {
    /// Version of the message.
    pub v: V1,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Fresh random bytes that the outcome repeats.
    #[serde(with = "b64::array")]
    pub nonce: [u8; 32],
    /// The serial number of the certificate in doubt.
    #[serde(with = "text")]
    pub serial: Serial,
}

/// `POST /api/provisioning/outcome`: the signed question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutcomeRequest {
    /// The question (`zp-ask+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub ask: String,
}

/// The answer to a commit and to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutcomeAnswer {
    /// The outcome (`zp-outcome+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub outcome: String,
}

/// Payload of `zp-outcome+jws`: what the station's record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outcome {
    /// Version of the message.
    pub v: V1,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The serial number of the certificate.
    #[serde(with = "text")]
    pub serial: Serial,
    /// The nonce of the commit or question.
    #[serde(with = "b64::array")]
    pub nonce: [u8; 32],
    /// Which it was.
    #[serde(with = "text")]
    pub result: OutcomeResult,
}

/// The two outcomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeResult {
    /// The new certificate is current.
    Committed,
    /// The new certificate is dropped; the old one stays.
    Aborted,
}

impl OutcomeResult {
    /// The word on the wire: `committed` or `aborted`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        }
    }
}

impl FromStr for OutcomeResult {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        match text {
            "committed" => Ok(Self::Committed),
            "aborted" => Ok(Self::Aborted),
            _ => Err(FieldError::new("result", "must be committed or aborted")),
        }
    }
}

impl fmt::Display for OutcomeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
