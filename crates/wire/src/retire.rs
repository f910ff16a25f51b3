//! A device's last words about certificates that it has given up (D21).

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use zmon_domain::{
    error::FieldError,
    ids::{DeviceId, Serial},
};

use crate::{
    kind::{True, V1},
    text,
};

/// Payload of `zp-retire+jws`: these certificates of mine are dead, their keys destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetireStatement {
    /// Version of the message.
    pub v: V1,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The serial numbers, all of one station.
    #[serde(with = "text::list")]
    pub serials: Vec<Serial>,
    /// Why.
    #[serde(with = "text")]
    pub reason: RetireReason,
    /// Rises with every statement of the device.
    pub counter: u64,
}

/// `POST /api/provisioning/retire`: the statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetireRequest {
    /// The statement (`zp-retire+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub statement: String,
}

/// The certificates are revoked: now, or since an earlier delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetireAnswer {
    /// Always `true`.
    pub success: True,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The counter of the statement.
    pub counter: u64,
}

/// Why a device has given its certificates up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetireReason {
    /// An administrator removed the configuration.
    Deprovisioned,
    /// An administrator erased the device.
    FactoryReset,
}

impl RetireReason {
    /// The word on the wire: `deprovisioned` or `factory_reset`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deprovisioned => "deprovisioned",
            Self::FactoryReset => "factory_reset",
        }
    }
}

impl FromStr for RetireReason {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        match text {
            "deprovisioned" => Ok(Self::Deprovisioned),
            "factory_reset" => Ok(Self::FactoryReset),
            _ => Err(FieldError::new("reason", "must be deprovisioned or factory_reset")),
        }
    }
}

impl fmt::Display for RetireReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
