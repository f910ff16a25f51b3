//! A device that runs: what it says of its certificate and of its link.

use zmon_domain::time::UnixTime;
use zmon_wire::control::StatusView;

use super::{certificates, finding::Finding, network, place::Place};
use crate::device::Control;

const LINK: &str = "link";

/// Asks a running device over its control socket.
pub(super) async fn look(place: &Place, now: Option<UnixTime>) -> Vec<Finding> {
    let status = match Control::connect(&place.dir).await {
        Ok(mut control) => control.status().await,
        Err(failure) => Err(failure),
    };
    match status {
        Ok(status) => told(&status, now),
        Err(failure) => vec![Finding::failed(LINK, &failure)],
    }
}

fn told(status: &StatusView, now: Option<UnixTime>) -> Vec<Finding> {
    let mut found = vec![linked(status)];
    if let (Some(until), Some(now)) = (status.link.certificate_not_after, now) {
        // When it began is long ago: the device uses it.
        found.push(certificates::left("client certificate", now, until, now));
    }
    if let Some(url) = &status.server_url {
        found.push(network::reach("station", url));
    }
    if status.retirements_waiting > 0 {
        let seen = format!("{} statements wait for their station", status.retirements_waiting);
        let next = "Leave the monitor on the network until zmon device status shows none waiting.";
        found.push(Finding::warning(LINK, seen, next));
    }
    found
}

fn linked(status: &StatusView) -> Finding {
    if !status.is_provisioned {
        return Finding::note(LINK, format!("the device is {}", status.state));
    }
    let link = &status.link;
    if link.connected {
        return Finding::ok(
            LINK,
            format!("heartbeats are answered, for {} s", link.uptime_seconds),
        );
    }
    let last = link.last_connected.map_or("never".to_owned(), |at| at.to_string());
    Finding::problem(
        LINK,
        format!("no heartbeat is answered; last: {last}, {} errors", link.errors),
        "Read the device's log; a certificate that was revoked opens nothing: pair it again.",
    )
}
