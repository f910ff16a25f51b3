//! What the service knows, as it travels over the socket.

use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_provisioning::ProvisioningEvent;
use zmon_provisioning::ports::{AuditReport, AuditRow};
use zmon_provisioning::qr::QrCodeData;
use zmon_wire::audit::{AuditEntry, AuditPage, AuditVerdict};
use zmon_wire::control::{EventView, QrView};
use zmon_wire::problem::Problem;
use zmon_wire::secret::SecretText;

pub(super) fn qr(data: &QrCodeData) -> Result<QrView, ErrorReport> {
    let drawing = |error| {
        tracing::error!(%error, "the QR code could not be drawn");
        ErrorReport::from(ErrorCode::Internal)
    };
    Ok(QrView {
        content: SecretText::new(data.qr_code_content()),
        pairing_code: SecretText::new(&data.pairing_code().display()),
        timestamp: Some(data.timestamp()),
        expires_at: data.expires_at(),
        png: data.qr_code_image().to_vec(),
        svg: SecretText::new(&data.svg().map_err(drawing)?),
        terminal: SecretText::new(&data.terminal().map_err(drawing)?),
    })
}

/// A signal as it travels; `None` for one this protocol does not know.
pub fn event(event: &ProvisioningEvent) -> Option<EventView> {
    Some(match event {
        ProvisioningEvent::QrCodeGenerated { .. } => EventView::QrCodeGenerated {},
        ProvisioningEvent::QrCodeExpired => EventView::QrCodeExpired {},
        ProvisioningEvent::ConfigurationReceived { configuration_hash } => {
            EventView::ConfigurationReceived { configuration_hash: Some(*configuration_hash) }
        }
        ProvisioningEvent::ProvisioningCompleted(result) => EventView::ProvisioningCompleted {
            server_url: result.server_url.clone()?,
            device_label: result.device_label.clone(),
        },
        ProvisioningEvent::ProvisioningFailed(error) => {
            EventView::ProvisioningFailed { error: Box::new(Problem::new(error)) }
        }
        ProvisioningEvent::StatusChanged(status) => EventView::StatusChanged { status: *status },
        _ => return None,
    })
}

pub(super) fn verdict(report: &AuditReport) -> AuditVerdict {
    let finding = report.lanes.iter().find_map(|lane| {
        let (sequence, reason) = lane.broken_at.as_ref()?;
        Some(format!("{} row {sequence}: {reason}", lane.lane))
    });
    AuditVerdict {
        intact: report.is_intact(),
        rows: report.rows(),
        checkpoints: report.checkpoints,
        finding,
    }
}

/// One page; a full one names where the next begins.
pub(super) fn log(rows: Vec<AuditRow>, limit: u32) -> AuditPage {
    let full = u32::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let next = rows.last().map(|row| row.sequence).filter(|_| full);
    AuditPage { rows: rows.into_iter().map(entry).collect(), next }
}

fn entry(row: AuditRow) -> AuditEntry {
    AuditEntry {
        lane: row.lane,
        seq: row.sequence,
        timestamp: row.timestamp.unwrap_or(0),
        event_type: row.event,
        device_id: row.device_id,
        session_id: row.session,
        actor: row.actor,
        success: row.success,
        code: row.error,
        error_message: row.error.map(ErrorCode::message).map(str::to_owned),
        pairing_code: row.code_hash,
        configuration_hash: row.configuration_hash,
        detail: row.detail.into_iter().collect(),
        hash: row.hash,
    }
}
