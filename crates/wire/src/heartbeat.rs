//! The monitoring link: `POST /api/device/heartbeat` ([I §3.2] syncInterval, [W §9.2]).

use alloc::string::String;

use serde::{Deserialize, Serialize};
use zmon_domain::{state::ProvisioningState, time::UnixTime};

use crate::text;

/// A sign of life with the statistics of [W §9.2].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heartbeat {
    /// Counts the heartbeats of this run from 1.
    pub sequence: u64,
    /// Seconds since the link came up.
    pub uptime_seconds: u64,
    /// Bytes sent over the link in this run.
    pub bytes_sent: u64,
    /// Errors of the link in this run.
    pub errors: u64,
    /// The device's state.
    #[serde(with = "text")]
    pub state: ProvisioningState,
    /// A new audit checkpoint (`zp-checkpoint+jws`), for the station to keep.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::jws::compact_option"
    )]
    pub audit_checkpoint: Option<String>,
}

/// The station's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeartbeatAnswer {
    /// The station's time.
    #[serde(with = "text")]
    pub time: UnixTime,
    /// The station's latest configuration version for this device.
    pub config_version: u64,
}
