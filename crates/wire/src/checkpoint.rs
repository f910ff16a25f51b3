//! Audit checkpoints: payload of `zp-checkpoint+jws` (D16).

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{kind::V1, text};

/// The heads of every lane of one writer's log at one time, chained to the checkpoint before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// The heads, ordered by lane.
    pub heads: Vec<LaneHead>,
    /// SHA-256 of the checkpoint before it, as its compact JWS; `null` for the first.
    #[serde(default, with = "text::hash_option")]
    pub previous: Option<[u8; 32]>,
    /// Rows in all lanes.
    pub rows: u64,
    /// When it was made, Unix milliseconds UTC; `null` without a clock.
    pub timestamp: Option<i64>,
    /// Version of the message.
    pub v: V1,
}

/// The last row of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaneHead {
    /// The hash of that row.
    #[serde(with = "text::hash")]
    pub hash: [u8; 32],
    /// The lane, `device:ZM-001`.
    #[serde(deserialize_with = "crate::text::words")]
    pub lane: String,
    /// Its last sequence number.
    pub seq: u64,
}
