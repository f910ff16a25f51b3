//! Answers of a device as people read them.

use std::io;

use serde::Serialize;
use zmon_cli::{Failure, Streams};
use zmon_domain::{
    ids::{BedId, DeviceLabel},
    time::{UnixTime, remaining},
};
use zmon_wire::{
    audit::{AuditEntry, AuditPage},
    control::{
        AnchorView, AnchorsView, ConfirmationView, CourierView, EventView, IdentityView, LinkView,
        OperatorView, OperatorsView, StatusView,
    },
};

/// JSON for programs, or the lines of `text` for people.
///
/// # Errors
/// When the output cannot be written.
pub(super) fn answer<T: Serialize>(
    streams: &mut Streams<'_>,
    value: &T,
    text: fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(value)?);
    }
    let shown: io::Result<()> = text(value).iter().try_for_each(|line| streams.say(line));
    Ok(shown?)
}

pub(super) fn anchors(view: &AnchorsView) -> Vec<String> {
    if view.anchors.is_empty() {
        return vec!["none: an operator confirms the station (proximity)".to_owned()];
    }
    let lines = view.anchors.iter().flat_map(|AnchorView { fingerprint, site, not_after }| {
        [format!("anchor  {fingerprint}"), format!("        {site}, until {not_after}")]
    });
    lines.collect()
}

pub(super) fn status(view: &StatusView) -> Vec<String> {
    let mut lines = vec![
        format!("device   {}", view.device_id),
        format!("state    {} ({})", view.state, view.status),
        format!("message  {}", view.message),
    ];
    if let Some(code) = &view.pairing_code {
        let left = view.expiration_time.unwrap_or(0);
        let left = remaining(core::time::Duration::from_secs(left));
        lines.push(format!("code     {}  {left}", code.expose()));
    }
    if let Some(listener) = &view.listener {
        lines.push(format!("listens  {listener}"));
    }
    if let Some(shown) = &view.confirmation {
        lines.extend(confirmation(shown));
    }
    if let Some(error) = &view.last_error {
        lines.push(format!("error    {}: {}", error.code, error.detail));
        lines.push(format!("next     {}", error.next));
    }
    if let Some(url) = &view.server_url {
        lines.push(format!("server   {url}"));
    }
    if let Some(certificate) = &view.certificate_status {
        lines.push(format!("cert     {certificate}"));
    }
    if let Some(level) = &view.station_trust {
        lines.push(format!("trust    {level}"));
    }
    if let Some(label) = &view.device_label {
        lines.push(format!("label    {label}"));
    }
    if let Some(bed) = &view.bed_id {
        lines.push(format!("bed      {bed}"));
    }
    if let Some(manual) = &view.manual_configuration {
        lines.push(format!("manual   {}", manual.message));
        if let Some(url) = &manual.manual_server_url {
            lines.push(format!("         {url}"));
        }
        if let Some(problem) = &manual.problem {
            lines.push(format!("         {}: {}", problem.code, problem.detail));
            lines.push(format!("next     {}", problem.next));
        }
    }
    if view.retirements_waiting > 0 {
        let waiting = view.retirements_waiting;
        lines.push(format!("retire   {waiting} waiting for their station"));
    }
    if view.erasing {
        lines.push("erasing  a factory reset is under way".to_owned());
    }
    if view.is_provisioned {
        lines.push(format!("link     {}", connected(&view.link)));
    }
    lines
}

/// A station that waits to be confirmed. It says of itself what it likes; the words are certain.
pub(super) fn confirmation(shown: &ConfirmationView) -> Vec<String> {
    let or_none = |value: Option<&str>| value.unwrap_or("-").to_owned();
    let (name, id) = (&shown.station_name, &shown.station_id);
    vec![
        format!("station  {name} ({id}), not verified"),
        format!("for bed  {}", or_none(shown.bed_id.as_ref().map(BedId::as_str))),
        format!("label    {}", or_none(shown.device_label.as_ref().map(DeviceLabel::as_str))),
        format!("words    {}", shown.words),
        format!("         the station must show the same within {} s", shown.seconds_left),
    ]
}

pub(super) fn identity(view: &IdentityView) -> Vec<String> {
    let mut lines = vec![
        format!("device        {}", view.device_id),
        format!("serial        {}", view.device_serial),
        format!("firmware      {}", view.firmware_version),
        format!("identity key  {}", view.identity_key),
    ];
    if let Some(address) = &view.ip_address {
        lines.push(format!("address       {address}"));
    }
    lines
}

pub(super) fn operators(view: &OperatorsView) -> Vec<String> {
    let row = |one: &OperatorView| {
        let locked = if one.is_locked { "  locked" } else { "" };
        format!("{:<13} {}{locked}", one.role, one.operator)
    };
    view.operators.iter().map(row).collect()
}

pub(super) fn link(view: &LinkView) -> Vec<String> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        format!("link            {}", connected(view)),
        format!("server          {}", or_none(view.server_url.as_ref().map(ToString::to_string))),
        format!("last connected  {}", or_none(view.last_connected.map(|time| time.to_string()))),
        format!("uptime          {} s", view.uptime_seconds),
        format!("sent            {} bytes", view.bytes_sent),
        format!("errors          {}", view.errors),
        format!("certificate     {}", until(view.certificate_not_after)),
    ]
}

pub(super) fn log(page: &AuditPage) -> Vec<String> {
    page.rows.iter().map(row).collect()
}

pub(super) fn event(view: &EventView) -> Vec<String> {
    vec![match view {
        EventView::QrCodeGenerated {} => "a new QR code is shown".to_owned(),
        EventView::QrCodeExpired {} => "the QR code has expired".to_owned(),
        EventView::ConfigurationReceived { .. } => "a configuration was received".to_owned(),
        EventView::ProvisioningCompleted { server_url, .. } => {
            format!("provisioned for {server_url}")
        }
        EventView::ProvisioningFailed { error } => {
            format!("failed: {}: {}", error.code, error.detail)
        }
        EventView::StatusChanged { status } => format!("status {status}"),
        _ => "something this program does not know".to_owned(),
    }]
}

/// One audit row: number, time, event, outcome, actor.
pub(crate) fn row(entry: &AuditEntry) -> String {
    let time = UnixTime::from_unix(entry.timestamp.div_euclid(1000));
    let time = time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let outcome = match &entry.code {
        Some(code) => code.as_str(),
        None if entry.success => "ok",
        None => "failed",
    };
    let (seq, event, actor) = (entry.seq, entry.event_type, &entry.actor);
    format!("{seq:>5}  {time}  {event:<28} {outcome}  {actor}")
}

fn connected(view: &LinkView) -> &'static str {
    if view.connected { "connected" } else { "not connected" }
}

fn until(not_after: Option<UnixTime>) -> String {
    not_after.map_or_else(|| "-".to_owned(), |time| format!("valid until {time}"))
}

/// One step of a courier.
pub(super) fn courier(courier: &CourierView) -> Vec<String> {
    vec![
        format!("{} was taken, {} lies beside it", courier.taken, courier.written),
        "  next    carry the folder back to the station".to_owned(),
    ]
}
