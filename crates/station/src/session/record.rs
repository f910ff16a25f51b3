//! The machine's records in the store's words.

use zmon_domain::error::ErrorCode;
use zmon_domain::ids::InstanceName;
use zmon_domain::limits;
use zmon_domain::time::UnixTime;
use zmon_protocol::station::{
    RegistryEntry, SessionPhase, StationPolicy as SessionPolicy, StationRecord as Proposed,
    StationWrite as ProposedWrite,
};

use crate::ports::{
    CertificateRow, DeviceRow, DeviceStatus, SessionRow, StationRecord, StationWrite,
};

/// The epoch of a session's first owner.
pub(crate) const FIRST_EPOCH: u64 = 1;

/// What a reservation row says that the machine does not know.
#[derive(Debug, Clone)]
pub(crate) struct OpenFacts {
    /// The process that runs the session.
    pub(crate) owner: InstanceName,
    /// The wall clock at this step.
    pub(crate) at: UnixTime,
    /// When the reservation ends if nobody ends it.
    pub(crate) expires_at: UnixTime,
    /// When a certificate issued now is aborted if nobody commits to it.
    pub(crate) pending_until: UnixTime,
}

impl OpenFacts {
    /// The deadlines of a step of `owner` at `at`.
    pub(crate) fn at(at: UnixTime, policy: &SessionPolicy, owner: &InstanceName) -> Self {
        Self {
            owner: owner.clone(),
            at,
            expires_at: at + policy.session_lifetime,
            pending_until: at + policy.pending_lifetime,
        }
    }
}

/// Translates a proposed record. `certificate` is the row of the certificate just issued, which the
/// machine knows by serial number only.
///
/// # Errors
/// `internal` when the machine inserts a certificate nobody issued.
pub(crate) fn translate(
    proposed: Proposed,
    facts: &OpenFacts,
    certificate: Option<&CertificateRow>,
) -> Result<StationRecord, ErrorCode> {
    let Proposed { audit, writes } = proposed;
    let mut translated = Vec::with_capacity(writes.len());
    for write in writes {
        // While the device may commit, nobody else may start over with it.
        if let ProposedWrite::InsertPending { session_id, .. } = &write {
            let (session_id, expires_at) = (*session_id, facts.pending_until);
            translated.push(StationWrite::SessionDeadline { session_id, expires_at });
        }
        if let Some(write) = translate_write(write, facts, certificate)? {
            translated.push(write);
        }
    }
    Ok(StationRecord { audit, writes: translated })
}

fn translate_write(
    write: ProposedWrite,
    facts: &OpenFacts,
    certificate: Option<&CertificateRow>,
) -> Result<Option<StationWrite>, ErrorCode> {
    Ok(Some(match write {
        // Its state is kept with every record.
        ProposedWrite::Progress { .. } => return Ok(None),
        ProposedWrite::Reserve { session_id, device_id, operator, token_id } => {
            StationWrite::Reserve(SessionRow {
                id: session_id,
                device_id,
                operator,
                phase: SessionPhase::Dialling,
                reserved: true,
                token_id,
                opened_at: facts.at,
                expires_at: facts.expires_at,
                error: None,
                answer: None,
                owner: Some(facts.owner.clone()),
                epoch: FIRST_EPOCH,
                lease_until: facts.at + limits::SESSION_LEASE.default,
                enrolment: None,
            })
        }
        ProposedWrite::Claim { session_id, token_id } => {
            StationWrite::ClaimToken { session_id, token_id }
        }
        ProposedWrite::PeerCheckpoint { device_id, checkpoint } => {
            StationWrite::PeerCheckpoint { device_id, checkpoint }
        }
        ProposedWrite::SpendTry { session_id, operator, window_id } => {
            StationWrite::SpendTry { session_id, operator, window_id, at: facts.at }
        }
        ProposedWrite::AddDevice(entry) => {
            StationWrite::ImportDevices(vec![device(entry, facts.at)])
        }
        ProposedWrite::InsertPending { serial, session_id, .. } => {
            let row = certificate
                .filter(|row| row.serial == serial && row.session == session_id)
                .ok_or(ErrorCode::Internal)?;
            StationWrite::InsertCertificate(row.clone())
        }
        ProposedWrite::AbortPending { serial } => {
            StationWrite::AbortPending { serial, at: facts.at }
        }
        ProposedWrite::Assign { device_id, settings } => {
            StationWrite::Assign { device_id, settings }
        }
        ProposedWrite::Session { session_id, phase, error } => {
            StationWrite::Session { session_id, phase, error }
        }
        ProposedWrite::Release { session_id, .. } => StationWrite::Release { session_id },
        unknown => {
            tracing::error!(?unknown, "the session machine proposes a write nobody knows");
            return Err(ErrorCode::Internal);
        }
    }))
}

fn device(entry: RegistryEntry, at: UnixTime) -> DeviceRow {
    DeviceRow {
        id: entry.device_id,
        serial: entry.serial,
        identity: entry.identity_key,
        status: if entry.decommissioned {
            DeviceStatus::Decommissioned
        } else {
            DeviceStatus::Active
        },
        model: None,
        address: None,
        port: None,
        bed: None,
        label: None,
        unit: None,
        language: None,
        sync_interval: None,
        registered_at: at,
    }
}
