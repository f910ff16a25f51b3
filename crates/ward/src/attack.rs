//! Attackers: what they have recorded, stolen or bent, sent where it might do harm.

use std::sync::Arc;

use zmon_domain::ids::SessionId;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::PullMethod;
use zmon_protocol::device::LinkCredentials;
use zmon_provisioning::ports::StationLink;
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::kind::V1;
use zmon_wire::outcome::CommitRequest;

use crate::chance::Chance;
use crate::life::Life;
use crate::net::Taped;
use crate::node::Lan;
use crate::world::World;

impl World {
    /// Sends something recorded once more.
    pub(crate) fn replay(&self, index: usize, bent: bool) {
        let Some(mut message) = self.lan.tape.any() else { return };
        if bent {
            bend(&mut message, &self.chance);
        }
        self.watch().count(|counts| counts.attacks += 1);
        let (lan, source) = (Arc::clone(&self.lan), self.device(index).map(|d| d.address().ip()));
        drop(tokio::spawn(async move {
            let name = name(&message);
            let taken = send(&lan, index, message, source).await;
            if let Some(taken) = taken {
                let verdict = if taken { "taken" } else { "refused" };
                lan.watch.note(&format!("attacker sends {name} to {index}: {verdict}"));
            }
        }));
    }

    /// A thief has the keys of a revoked certificate.
    pub(crate) fn thief(&self) {
        let stolen = self.lan.stolen();
        let of = |credentials: &LinkCredentials| self.lan.pki.admit(credentials).ok();
        let revoked: Vec<_> = stolen
            .into_iter()
            .filter(|credentials| of(credentials).is_some_and(|s| self.watch().is_revoked(&s)))
            .collect();
        let at = self.chance.index(revoked.len());
        let (Some(credentials), Some(device)) = (revoked.get(at).cloned(), self.devices.first())
        else {
            return;
        };
        let Some(serial) = of(&credentials) else { return };
        let Some(running) = self.lan.station() else { return };
        self.watch().count(|counts| counts.attacks += 1);
        let link = device.link(&self.lan, &Life::default(), &running.clock);
        let session_id = SessionId::from_bytes([7; 16]);
        let request = CommitRequest { v: V1::default(), session_id, serial, nonce: [7; 32] };
        drop(tokio::spawn(async move {
            // The watch sees what the station makes of each.
            let _tested = link.test(&credentials).await;
            drop(link.heartbeat(&credentials, &beat()).await);
            drop(link.commit(&credentials, &request).await);
            drop(link.pull(&credentials, PullMethod::Renewal, "a.b.c").await);
        }));
    }
}

fn beat() -> Heartbeat {
    Heartbeat {
        sequence: 1,
        uptime_seconds: 1,
        bytes_sent: 0,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    }
}

/// Whether it was taken; none where nobody listens.
async fn send(
    lan: &Lan,
    index: usize,
    message: Taped,
    source: Option<core::net::IpAddr>,
) -> Option<bool> {
    let device = || lan.endpoint(index);
    let station = || lan.station().map(|running| running.station);
    Some(match message {
        Taped::Open(open) => device()?.session(open).await.is_ok(),
        Taped::PakeStart(start) => device()?.pake_start(start).await.is_ok(),
        Taped::PakeConfirm(confirm) => device()?.pake_confirm(confirm).await.is_ok(),
        Taped::Envelope(envelope) => device()?.configuration(envelope).await.is_ok(),
        Taped::Ask(ask) => station()?.outcome(ask.as_bytes()).await.is_ok(),
        Taped::Recover(pull) => station()?.recover(source?, pull.as_bytes()).await.is_ok(),
        Taped::Fetch(request) => station()?.recover_identity(request).await.is_ok(),
        Taped::Retire(statement) => station()?.retire(source?, statement.as_bytes()).await.is_ok(),
    })
}

fn name(message: &Taped) -> &'static str {
    match message {
        Taped::Open(_) => "a claim",
        Taped::PakeStart(_) => "a run",
        Taped::PakeConfirm(_) => "the end of a run",
        Taped::Envelope(_) => "an envelope",
        Taped::Ask(_) => "a question",
        Taped::Recover(_) => "a recovery",
        Taped::Fetch(_) => "an identity document",
        Taped::Retire(_) => "a statement",
    }
}

/// Changes one byte.
fn bend(message: &mut Taped, chance: &Chance) {
    match message {
        Taped::Open(open) => bend_text(&mut open.hello, chance),
        Taped::PakeStart(start) => bend_bytes(&mut start.share_p, chance),
        Taped::PakeConfirm(confirm) => bend_bytes(&mut confirm.confirm_p, chance),
        Taped::Envelope(envelope) => bend_bytes(envelope, chance),
        Taped::Ask(text) | Taped::Recover(text) | Taped::Retire(text) => bend_text(text, chance),
        Taped::Fetch(request) => bend_text(&mut request.identity, chance),
    }
}

fn bend_bytes(bytes: &mut [u8], chance: &Chance) {
    let at = chance.index(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << chance.below(8);
    }
}

/// Compact JWS are ASCII: another letter of the same alphabet.
fn bend_text(text: &mut String, chance: &Chance) {
    let at = chance.index(text.len());
    let bent = text.chars().enumerate().map(|(place, letter)| match (place == at, letter) {
        (true, 'A') => 'B',
        (true, _) => 'A',
        (false, letter) => letter,
    });
    *text = bent.collect();
}
