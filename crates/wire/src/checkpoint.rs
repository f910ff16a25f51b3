//! Audit checkpoints: payload of `zp-checkpoint+jws` (D16).

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zmon_domain::time::UnixTime;

use crate::{kind::V1, text};

/// The heads of every lane of one writer's log at one time, chained to the checkpoint before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// Version of the message.
    pub v: V1,
    /// Counts this writer's checkpoints from 1.
    pub number: u64,
    /// The heads, ordered by lane.
    pub heads: Vec<LaneHead>,
    /// SHA-256 of the checkpoint before it, as its compact JWS; `null` for the first.
    #[serde(default, with = "text::hash_option")]
    pub previous: Option<[u8; 32]>,
    /// When it was made; `null` without a clock.
    #[serde(default, with = "text::option")]
    pub made_at: Option<UnixTime>,
}

/// The last row of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaneHead {
    /// The lane, `device:ZM-001`.
    pub lane: String,
    /// Its last sequence number.
    pub seq: u64,
    /// The hash of that row.
    #[serde(with = "text::hash")]
    pub hash: [u8; 32],
}
