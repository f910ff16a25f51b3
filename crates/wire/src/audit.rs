//! Rows of the audit log as they are shown and exported (D16).

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zmon_domain::{
    audit::EventType,
    error::ErrorCode,
    ids::{DeviceId, SessionId},
    role::Actor,
};

use crate::text;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditEntry {
    /// The writer.
    #[serde(deserialize_with = "crate::text::words")]
    pub lane: String,
    /// Its sequence number in the lane, from 1.
    pub seq: u64,
    /// Milliseconds since the epoch, UTC ([W §12.1]); zero without a clock.
    pub timestamp: i64,
    /// What happened.
    #[serde(with = "text")]
    pub event_type: EventType,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub device_id: Option<DeviceId>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub session_id: Option<SessionId>,
    /// Who did it: `local`, `system`, `peer` or `role:operator`.
    #[serde(with = "text")]
    pub actor: Actor,
    /// Whether it succeeded.
    pub success: bool,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub code: Option<ErrorCode>,
    /// The code's message.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::words_option"
    )]
    pub error_message: Option<String>,
    /// Keyed hash of the pairing code.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::hash_option")]
    pub pairing_code: Option<[u8; 32]>,
    /// SHA-256 of the exact signed bytes of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::hash_option")]
    pub configuration_hash: Option<[u8; 32]>,
    /// Further public facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
    /// The row's hash in the chain.
    #[serde(with = "text::hash")]
    pub hash: [u8; 32],
}

/// One page of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditPage {
    /// The rows, oldest first.
    pub rows: Vec<AuditEntry>,
    /// What to pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What verifying the log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditVerdict {
    /// Whether every chain and checkpoint holds.
    pub intact: bool,
    /// Rows that were read.
    pub rows: u64,
    /// Checkpoints that were read.
    pub checkpoints: u64,
    /// The first finding, in words.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::text::words_option"
    )]
    pub finding: Option<String>,
}
