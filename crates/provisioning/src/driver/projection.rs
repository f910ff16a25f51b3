//! What screens and callers see of the machine.

use std::sync::Arc;

use zmon_domain::code::PairingCode;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::Now;
use zmon_protocol::device::{DeviceMachine, DeviceSnapshot};

use super::Driver;
use crate::service::{ManualView, PairingView, QrView, ServiceView};

impl Driver {
    /// Makes `next` the machine and shows it. Called after the commit, before any action.
    pub(super) fn install(&mut self, next: DeviceMachine, now: &Now) {
        self.machine = next;
        let snapshot = self.machine.snapshot(now);
        let pairing = self.pairing(&snapshot, now);
        let shown = pairing.as_ref().map(|pairing| (&pairing.code, pairing.deadline));
        self.shared.ledger().follow(shown, snapshot.session_id);
        let manual = ManualView::new(self.shared.manual(), snapshot.migrating);
        // What was set by hand stays in force until a signed configuration replaces it ([W §14]).
        let laid_down =
            manual.as_ref().and_then(|manual| Some(manual.found.as_ref().ok()?.settings.clone()));
        let view = ServiceView {
            state: snapshot.state,
            status: snapshot.status,
            pairing,
            last_error: snapshot.last_error,
            is_provisioned: snapshot.is_provisioned,
            server_url: snapshot.active.as_ref().map(|active| active.server_url.clone()),
            certificate: self.shared.candidates.certificate(),
            station_trust: snapshot.active.as_ref().and_then(|active| active.trust),
            in_doubt: snapshot.in_doubt,
            blinking: snapshot.blinking,
            confirmation: snapshot.confirmation,
            settings: snapshot.active.map(|active| active.settings).or(laid_down),
            manual,
            retirements: snapshot.retirements,
            erasing: snapshot.erasing,
            awaits_restart: snapshot.awaits_restart,
        };
        self.shared.show(view);
    }

    /// After the actions: nobody waits for a session that is over.
    pub(super) fn settle(&mut self, now: &Now) {
        let snapshot = self.machine.snapshot(now);
        self.waiting.follow(snapshot.session_id);
        if !window_is_open(snapshot.state) {
            self.gate.set_overridden(false);
        }
        if snapshot.session_id.is_none() {
            self.shared.candidates.stage(None);
        }
        self.shared.show_certificate(self.shared.candidates.certificate());
    }

    fn pairing(&self, snapshot: &DeviceSnapshot, now: &Now) -> Option<PairingView> {
        let code = snapshot.code.as_ref()?;
        let code = PairingCode::parse(code, self.parts.profile.code_format).ok()?;
        let mut view = PairingView::new(code, now.mono + snapshot.expires_in?);
        view.qr = snapshot.qr.as_ref().zip(snapshot.port).and_then(|(qr, port)| {
            let content = qr.to_json();
            Some(QrView {
                content: Arc::new(content.ok()?),
                address: qr.ip_address,
                port,
                timestamp: qr.expires_at - self.parts.profile.window(),
                expires_at: qr.expires_at,
            })
        });
        Some(view)
    }
}

/// Whether there is a window or session that an exit would end.
pub(super) fn window_is_open(state: ProvisioningState) -> bool {
    match state {
        ProvisioningState::ReadyToPair
        | ProvisioningState::Pairing
        | ProvisioningState::Configuring
        | ProvisioningState::Validating
        | ProvisioningState::Reprovisioning(_) => true,
        ProvisioningState::NotProvisioned
        | ProvisioningState::Provisioned
        | ProvisioningState::Error
        | ProvisioningState::Deprovisioned => false,
    }
}
