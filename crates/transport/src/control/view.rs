//! What the service knows, as it travels over the socket.

use std::net::SocketAddr;

use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::time::Now;
use zmon_provisioning::link::LinkStatus;
use zmon_provisioning::ports::{AuditReport, AuditRow};
use zmon_provisioning::qr::QrCodeData;
use zmon_provisioning::{ManualView as ManualConfigurationView, ProvisioningEvent, ServiceView};
use zmon_wire::audit::{AuditEntry, AuditPage, AuditVerdict};
use zmon_wire::control::{EventView, IdentityView, LinkView, ManualView, QrView, StatusView};
use zmon_wire::problem::Problem;
use zmon_wire::secret::SecretText;

pub(super) fn status(
    identity: &IdentityView,
    shown: &ServiceView,
    link: &LinkStatus,
    now: &Now,
) -> StatusView {
    let pairing = shown.pairing.as_ref();
    let settings = shown.settings.as_ref();
    StatusView {
        device_id: identity.device_id.clone(),
        state: shown.state,
        status: shown.status,
        indicator: shown.state.indicator(),
        message: shown.state.message().to_owned(),
        is_provisioned: shown.is_provisioned,
        pairing_code: pairing.map(|pairing| SecretText::new(&pairing.code.display())),
        expiration_time: pairing.map(|pairing| pairing.seconds_left(now.mono)),
        listener: pairing
            .and_then(|pairing| pairing.qr.as_ref())
            .map(|qr| SocketAddr::new(qr.address.ip(), qr.port)),
        last_error: shown.last_error.as_ref().map(|error| Box::new(Problem::new(error))),
        server_url: shown.server_url.clone(),
        certificate_status: certificate(shown, now),
        device_label: settings.and_then(|settings| settings.label.clone()),
        bed_id: settings.and_then(|settings| settings.bed.clone()),
        manual_configuration: shown.manual.as_ref().map(manual),
        retirements_waiting: u64::try_from(shown.retirements).unwrap_or(u64::MAX),
        erasing: shown.erasing,
        link: self::link(link),
    }
}

fn manual(shown: &ManualConfigurationView) -> ManualView {
    let found = shown.found.as_ref();
    ManualView {
        message: shown.message().to_owned(),
        manual_server_url: found.ok().map(|found| found.server_url.clone()),
        migrating: shown.migrating,
        problem: found.err().map(|problem| Box::new(Problem::new(problem))),
    }
}

/// Expiry and validity in words ([W §9.2]).
fn certificate(shown: &ServiceView, now: &Now) -> Option<String> {
    let not_after = shown.certificate?.not_after?;
    Some(match now.wall {
        Some(now) if now > not_after => format!("expired on {not_after}"),
        Some(_) => format!("valid until {not_after}"),
        None => format!("valid until {not_after}; the time is not known"),
    })
}

pub(super) fn link(link: &LinkStatus) -> LinkView {
    LinkView {
        connected: link.connected,
        server_url: link.server_url.clone(),
        last_connected: link.last_connected,
        uptime_seconds: link.uptime.as_secs(),
        bytes_sent: link.bytes_sent,
        errors: link.errors,
        certificate_not_after: link.certificate_expires,
    }
}

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

/// A signal; `None` for one this protocol does not know.
pub(super) fn event(event: &ProvisioningEvent) -> Option<EventView> {
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
