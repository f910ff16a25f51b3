//! The bytes of one audit row, and the columns that repeat a part of them.

use serde::{Deserialize, Serialize};
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_domain::role::Actor;
use zmon_domain::time::Now;

use crate::error::{PersistenceError, Result};
use crate::hex;

/// Version of the record format.
const VERSION: u8 = 1;

/// Stands in the view's NOT NULL column when nobody knew which device it was.
const UNKNOWN_DEVICE: &str = "unknown";

/// What one audit row says, stored as canonical JSON: no white space, members in the order of their names (RFC 8785
/// for the strings, integers and booleans it is made of). The hash chain covers exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditRecord {
    /// Who did it: `local`, `system`, `peer` or `operator:ID`.
    pub actor: String,
    /// How good the clock was: `none`, `signed` or `synced` (D14).
    pub clock: String,
    /// Keyed hash of the pairing code, in hexadecimal digits.
    pub code_hash: Option<String>,
    /// SHA-256 of the exact signed bytes of the configuration, in hexadecimal digits.
    pub configuration_hash: Option<String>,
    /// Further public facts, as name and value.
    pub detail: Vec<(String, String)>,
    /// The device it happened to.
    pub device_id: Option<String>,
    /// Why it did not succeed, a stable code.
    pub error: Option<String>,
    /// What happened: the name of an event type.
    pub event: String,
    /// The text of that code.
    pub message: Option<String>,
    /// The operator's role.
    pub role: Option<String>,
    /// The session it happened in.
    pub session: Option<String>,
    /// Whether it succeeded.
    pub success: bool,
    /// Milliseconds since the epoch, UTC; none without a clock.
    pub timestamp: Option<i64>,
    /// Version of this format.
    pub v: u8,
}

/// The columns that repeat members of the record, so that SQL can select by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Projection {
    pub(super) timestamp: i64,
    pub(super) event_type: String,
    pub(super) device_id: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) actor: String,
    pub(super) role: Option<String>,
    pub(super) pairing_code: Option<String>,
    pub(super) success: bool,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    pub(super) configuration_hash: Option<String>,
}

impl AuditRecord {
    /// What `event` looks like when it is written at `now`, about `device` if it names none.
    pub(super) fn new(event: &AuditEvent, device: Option<&DeviceId>, now: &Now) -> Self {
        let (actor, role) = actor(&event.actor);
        Self {
            actor,
            clock: now.quality.as_str().to_owned(),
            code_hash: event.code_hash.as_ref().map(|hash| hex::encode(hash)),
            configuration_hash: event.configuration_hash.as_ref().map(|hash| hex::encode(hash)),
            detail: event
                .detail
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            device_id: event.device_id.as_ref().or(device).map(|id| id.as_str().to_owned()),
            error: event.error.map(|code| code.as_str().to_owned()),
            event: event.event.as_str().to_owned(),
            message: event.error.map(|code| code.message().to_owned()),
            role,
            session: event.session.as_ref().map(ToString::to_string),
            success: event.success,
            timestamp: now.millis,
            v: VERSION,
        }
    }

    /// The canonical bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            let context = "an audit row cannot be written as JSON";
            PersistenceError::caused_by(ErrorCode::Internal, context, error)
        })
    }

    /// Reads stored bytes; anything but the canonical form of a known version is damage.
    pub(super) fn parse(bytes: &[u8]) -> core::result::Result<Self, &'static str> {
        let record: Self =
            serde_json::from_slice(bytes).map_err(|_| "the record is not an audit record")?;
        if record.v != VERSION {
            return Err("the record has an unknown version");
        }
        match record.to_bytes() {
            Ok(canonical) if canonical == bytes => Ok(record),
            _ => Err("the record is not in canonical form"),
        }
    }

    /// The columns this record must stand beside.
    pub(super) fn projection(&self) -> Projection {
        let named = self
            .event
            .parse()
            .is_ok_and(|event: zmon_domain::audit::EventType| event.is_provisioning_event());
        let device_id = match &self.device_id {
            None if named => Some(UNKNOWN_DEVICE.to_owned()),
            other => other.clone(),
        };
        Projection {
            // [W §12.1] has no NULL here; 0 says "no clock", and the record says so too (D14).
            timestamp: self.timestamp.unwrap_or(0),
            event_type: self.event.clone(),
            device_id,
            session_id: self.session.clone(),
            actor: self.actor.clone(),
            role: self.role.clone(),
            pairing_code: self.code_hash.clone(),
            success: self.success,
            error_code: self.error.clone(),
            error_message: self.message.clone(),
            configuration_hash: self.configuration_hash.clone(),
        }
    }
}

fn actor(actor: &Actor) -> (String, Option<String>) {
    match actor {
        Actor::Operator { id, role } => {
            (format!("operator:{}", id.as_str()), Some(role.as_str().to_owned()))
        }
        plain @ (Actor::Local | Actor::System | Actor::Peer) => (plain.to_string(), None),
    }
}
