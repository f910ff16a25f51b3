//! A snapshot as it travels to screens and tools of the same machine.

use core::net::SocketAddr;

use zmon_domain::ids::DeviceId;
use zmon_domain::time::Now;
use zmon_wire::control::{ConfirmationView, LinkView, ManualView, StatusView};
use zmon_wire::problem::Problem;
use zmon_wire::secret::SecretText;

use super::{CertificateView, Confirmation, ServiceView, view};
use crate::link::LinkStatus;

impl ServiceView {
    /// What the control socket and the screen say of `device`: the same words in both places.
    #[must_use]
    pub fn status_view(&self, device: &DeviceId, link: &LinkStatus, now: &Now) -> StatusView {
        let pairing = self.pairing.as_ref();
        let settings = self.settings.as_ref();
        StatusView {
            device_id: device.clone(),
            state: self.state,
            status: self.status,
            indicator: self.state.indicator(),
            message: self.state.message().to_owned(),
            is_provisioned: self.is_provisioned,
            pairing_code: pairing.map(|pairing| SecretText::new(&pairing.code.display())),
            expiration_time: pairing.map(|pairing| pairing.seconds_left(now.mono)),
            listener: pairing
                .and_then(|pairing| pairing.qr.as_ref())
                .map(|qr| SocketAddr::new(qr.address.ip(), qr.port)),
            last_error: self.last_error.as_ref().map(|error| Box::new(Problem::new(error))),
            server_url: self.server_url.clone(),
            certificate_status: self.certificate.and_then(|held| certificate(held, now)),
            device_label: settings.and_then(|settings| settings.label.clone()),
            bed_id: settings.and_then(|settings| settings.bed.clone()),
            manual_configuration: self.manual.as_ref().map(ManualView::from),
            blinking: self.blinking,
            confirmation: self.confirmation.as_ref().map(|shown| confirmation(shown, now)),
            station_trust: self.station_trust,
            retirements_waiting: u64::try_from(self.retirements).unwrap_or(u64::MAX),
            erasing: self.erasing,
            link: link.into(),
        }
    }
}

impl From<&view::ManualView> for ManualView {
    fn from(shown: &view::ManualView) -> Self {
        let found = shown.found.as_ref();
        Self {
            message: shown.message().to_owned(),
            manual_server_url: found.ok().map(|found| found.server_url.clone()),
            migrating: shown.migrating,
            problem: found.err().map(|problem| Box::new(Problem::new(problem))),
        }
    }
}

fn confirmation(shown: &Confirmation, now: &Now) -> ConfirmationView {
    ConfirmationView {
        station_id: shown.station_id.clone(),
        station_name: shown.station_name.clone(),
        bed_id: shown.bed.clone(),
        device_label: shown.label.clone(),
        words: shown.words.join(" "),
        seconds_left: shown.until.since(now.mono).as_secs(),
    }
}

/// Expiry and validity in words ([W §9.2]).
fn certificate(held: CertificateView, now: &Now) -> Option<String> {
    let not_after = held.not_after?;
    Some(match now.wall {
        Some(now) if now > not_after => format!("expired on {not_after}"),
        Some(now) => {
            let days = not_after.since(now).as_secs() / (24 * 60 * 60);
            format!("valid until {not_after}, {days} days left")
        }
        None => format!("valid until {not_after}; the time is not known"),
    })
}

impl From<&LinkStatus> for LinkView {
    fn from(link: &LinkStatus) -> Self {
        Self {
            connected: link.connected,
            server_url: link.server_url.clone(),
            last_connected: link.last_connected,
            uptime_seconds: link.uptime.as_secs(),
            bytes_sent: link.bytes_sent,
            errors: link.errors,
            certificate_not_after: link.certificate_expires,
        }
    }
}
