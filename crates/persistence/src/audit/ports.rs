//! Rows and findings in the words of the two ports.

use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::ids::{DeviceId, OperatorId, SessionId};
use zmon_domain::role::Actor;
#[cfg(feature = "device")]
use zmon_provisioning::ports as device;
#[cfg(feature = "station")]
use zmon_station::ports as station;

use super::read::StoredRow;
use super::verify::Verification;
use crate::error::{PersistenceError, Result};
use crate::hex;

/// The members of a row that both ports have, parsed.
struct Parsed {
    event: EventType,
    device_id: Option<DeviceId>,
    session: Option<SessionId>,
    error: Option<ErrorCode>,
    code_hash: Option<[u8; 32]>,
    configuration_hash: Option<[u8; 32]>,
}

impl StoredRow {
    /// The row for the device's port.
    #[cfg(feature = "device")]
    pub(crate) fn to_device_row(&self) -> Result<device::AuditRow> {
        let parsed = self.parse()?;
        let record = &self.record;
        let mut row =
            device::AuditRow::new(self.seq, self.lane.clone(), parsed.event, record.success);
        row.timestamp = record.timestamp;
        row.device_id = parsed.device_id;
        row.session = parsed.session;
        row.actor = self.actor()?;
        row.error = parsed.error;
        row.code_hash = parsed.code_hash;
        row.configuration_hash = parsed.configuration_hash;
        row.detail.clone_from(&record.detail);
        row.hash = self.hash;
        Ok(row)
    }

    /// The row for the station's port.
    #[cfg(feature = "station")]
    pub(crate) fn to_station_row(&self) -> Result<station::AuditRow> {
        let parsed = self.parse()?;
        let record = &self.record;
        Ok(station::AuditRow {
            lane: self.lane.clone(),
            sequence: self.seq,
            timestamp_ms: record.timestamp.unwrap_or(0),
            event: parsed.event,
            device_id: parsed.device_id,
            session: parsed.session,
            actor: self.actor()?,
            success: record.success,
            error: parsed.error,
            configuration_hash: parsed.configuration_hash,
            detail: record.detail.clone(),
            hash: self.hash,
        })
    }

    fn actor(&self) -> Result<Actor> {
        let record = &self.record;
        let damaged =
            || PersistenceError::corrupt(format!("audit row {}: nobody did it", self.seq));
        match (record.actor.as_str(), record.actor.strip_prefix("operator:"), &record.role) {
            ("local", _, None) => Ok(Actor::Local),
            ("system", _, None) => Ok(Actor::System),
            ("peer", _, None) => Ok(Actor::Peer),
            (_, Some(id), Some(role)) => Ok(Actor::Operator {
                id: OperatorId::parse(id).map_err(|_| damaged())?,
                role: role.parse().map_err(|_| damaged())?,
            }),
            _ => Err(damaged()),
        }
    }

    fn parse(&self) -> Result<Parsed> {
        let record = &self.record;
        let damaged = |error: FieldError| {
            PersistenceError::corrupt(format!("audit row {}: {error}", self.seq))
        };
        let hash = |text: &Option<String>| -> Result<Option<[u8; 32]>> {
            let Some(text) = text else { return Ok(None) };
            let context = || format!("audit row {}: a hash is malformed", self.seq);
            hex::decode32(text).map(Some).ok_or_else(|| PersistenceError::corrupt(context()))
        };
        Ok(Parsed {
            event: record.event.parse().map_err(damaged)?,
            device_id: record
                .device_id
                .as_deref()
                .map(DeviceId::parse)
                .transpose()
                .map_err(damaged)?,
            session: record
                .session
                .as_deref()
                .map(SessionId::parse)
                .transpose()
                .map_err(damaged)?,
            error: record.error.as_deref().map(str::parse).transpose().map_err(damaged)?,
            code_hash: hash(&record.code_hash)?,
            configuration_hash: hash(&record.configuration_hash)?,
        })
    }
}

#[cfg(feature = "device")]
impl From<Verification> for device::AuditReport {
    fn from(found: Verification) -> Self {
        let checkpoints = count(found.checkpoints);
        let lanes = found.lanes.into_iter().map(|lane| device::LaneReport {
            lane: lane.lane,
            rows: lane.rows,
            head: lane.head,
            broken_at: lane.damage.map(|damage| (damage.sequence, damage.rule.to_owned())),
        });
        Self { lanes: lanes.collect(), checkpoints }
    }
}

#[cfg(feature = "station")]
impl From<Verification> for station::AuditReport {
    fn from(found: Verification) -> Self {
        let damage = found.damage().map(|(lane, damage)| station::AuditDamage {
            lane: lane.to_owned(),
            sequence: damage.sequence,
            rule: damage.rule,
        });
        Self {
            rows: found.rows(),
            checkpoints: count(found.checkpoints),
            heads: found.lanes.into_iter().map(|lane| (lane.lane, lane.rows, lane.head)).collect(),
            damage,
        }
    }
}

fn count(checkpoints: usize) -> u64 {
    u64::try_from(checkpoints).unwrap_or(u64::MAX)
}
