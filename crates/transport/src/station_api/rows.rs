//! Rows of the audit log as they travel.

use zmon_domain::error::ErrorCode;
use zmon_station::ports::{AuditReport, AuditRow};
use zmon_wire::audit::{AuditEntry, AuditPage, AuditVerdict};

/// One page; a full one names where the next begins.
pub(super) fn page(rows: Vec<AuditRow>, limit: u32) -> AuditPage {
    let full = u32::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let next = rows.last().map(|row| row.sequence).filter(|_| full);
    AuditPage { rows: rows.into_iter().map(entry).collect(), next }
}

/// What verifying found, in words.
pub(super) fn verdict(report: &AuditReport) -> AuditVerdict {
    AuditVerdict {
        intact: report.damage.is_none(),
        rows: report.rows,
        checkpoints: report.checkpoints,
        finding: report
            .damage
            .as_ref()
            .map(|damage| format!("{} row {}: {}", damage.lane, damage.sequence, damage.rule)),
    }
}

fn entry(row: AuditRow) -> AuditEntry {
    AuditEntry {
        lane: row.lane,
        seq: row.sequence,
        timestamp: row.timestamp_ms,
        event_type: row.event,
        device_id: row.device_id,
        session_id: row.session,
        actor: row.actor,
        success: row.success,
        code: row.error,
        error_message: row.error.map(ErrorCode::message).map(str::to_owned),
        pairing_code: None,
        configuration_hash: row.configuration_hash,
        detail: row.detail.into_iter().collect(),
        hash: row.hash,
    }
}
