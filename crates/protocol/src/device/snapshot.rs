//! What screens and `get_status` may see of the device machine.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use zeroize::Zeroizing;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{BedId, DeviceLabel, SessionId, StationId, StationName};
use zmon_domain::state::{Indicator, ProvisioningState, ProvisioningStatus};
use zmon_domain::time::{Now, Tick};
use zmon_wire::qr::QrContent;

use super::erase::Erasing;
use super::machine::DeviceMachine;
use super::slot::SlotSummary;
use super::state::{Progress, Staged, State};

/// A moment of the machine. It holds the pairing code while one is shown: keep it off logs.
#[derive(Clone)]
pub struct DeviceSnapshot {
    /// The state ([W §6]).
    pub state: ProvisioningState,
    /// The status ([I §3.3]).
    pub status: ProvisioningStatus,
    /// The indicator ([W §9.1]); none before the first window and after deprovisioning.
    pub indicator: Option<Indicator>,
    /// Whether slot A lives.
    pub is_provisioned: bool,
    /// The pairing code as shown, while a window is open and unclaimed.
    pub code: Option<Zeroizing<String>>,
    /// Content of the QR code, once the listener's port is known.
    pub qr: Option<QrContent>,
    /// The port of the provisioning listener, while a window is open and unclaimed.
    pub port: Option<u16>,
    /// Time left until the code expires, or until the claimed session ends. Never negative.
    pub expires_in: Option<Duration>,
    /// The session that claimed the window.
    pub session_id: Option<SessionId>,
    /// Name of the claiming station, as its verified hello has it.
    pub station_name: Option<StationName>,
    /// Which attempt at the connection test or the commit is running, from 1.
    pub attempt: Option<u8>,
    /// Commit was marked sent and no signed answer has come (D13).
    pub in_doubt: bool,
    /// The screen blinks, so that people see which monitor a station has claimed.
    pub blinking: bool,
    /// A station waits to be confirmed by an operator (D8).
    pub confirmation: Option<Confirmation>,
    /// Why the last pairing failed.
    pub last_error: Option<ErrorReport>,
    /// How many statements about dead certificates wait for their station (D21).
    pub retirements: usize,
    /// A factory reset has begun and not ended.
    pub erasing: bool,
    /// It has ended but for the new identity, which the next start makes.
    pub awaits_restart: bool,
    /// An operator has begun to migrate a manual configuration ([W §14]).
    pub migrating: bool,
    /// The active slot.
    pub active: Option<SlotSummary>,
}

/// What an operator has to see before a station without an anchor is believed (D8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Who the station says it is: nobody vouches for it.
    pub station_id: StationId,
    /// What it calls itself: nobody vouches for that either.
    pub station_name: StationName,
    /// The bed it wants the device to stand at.
    pub bed: Option<BedId>,
    /// The label it wants the device to carry.
    pub label: Option<DeviceLabel>,
    /// The four words that the station must show too.
    pub words: [&'static str; 4],
    /// Until when somebody must confirm.
    pub until: Tick,
}

impl fmt::Debug for DeviceSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSnapshot")
            .field("state", &self.state)
            .field("status", &self.status)
            .field("expires_in", &self.expires_in)
            .field("session_id", &self.session_id)
            .field("attempt", &self.attempt)
            .field("in_doubt", &self.in_doubt)
            .field("blinking", &self.blinking)
            .field("confirmation", &self.confirmation)
            .field("last_error", &self.last_error)
            .field("retirements", &self.retirements)
            .field("erasing", &self.erasing)
            .field("awaits_restart", &self.awaits_restart)
            .field("migrating", &self.migrating)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// Looks at the machine.
pub(super) fn of(machine: &DeviceMachine, now: &Now) -> DeviceSnapshot {
    let state = machine.state.public();
    let mut snapshot = DeviceSnapshot {
        state,
        status: state.status(),
        indicator: state.indicator(),
        is_provisioned: machine.is_provisioned(),
        code: None,
        qr: None,
        port: None,
        expires_in: None,
        session_id: None,
        station_name: None,
        attempt: None,
        in_doubt: false,
        blinking: false,
        confirmation: None,
        last_error: None,
        retirements: machine.core.retire.len(),
        erasing: machine.core.erasing.is_some(),
        awaits_restart: matches!(machine.core.erasing, Some(Erasing::Restart)),
        migrating: machine.core.migration.is_begun(),
        active: machine.state.active().map(|active| active.summary()),
    };
    let left = |deadline: Tick| Some(deadline.since(now.mono));
    match &machine.state {
        State::NotProvisioned | State::Deprovisioned => {}
        State::Provisioned(provisioned) => snapshot.last_error = provisioned.last_error.clone(),
        State::Error(failed) => snapshot.last_error = Some(failed.report.clone()),
        State::Ready(ready) => {
            snapshot.code = (!ready.is_void()).then(|| ready.window.code.display());
            snapshot.qr = ready.tokens.as_ref().map(|tokens| QrContent::clone(&tokens.qr));
            snapshot.port = ready.port;
            snapshot.expires_in = left(ready.window.deadline);
        }
        State::Pairing(pairing) => {
            snapshot.session_id = Some(pairing.claim.session_id);
            snapshot.station_name = Some(pairing.claim.station_name.clone());
            snapshot.expires_in = left(pairing.claim.deadline);
            snapshot.blinking = pairing.blinks.shows(now);
            snapshot.confirmation = pairing.offer.as_ref().map(|offer| Confirmation {
                station_id: pairing.claim.station_id.clone(),
                station_name: pairing.claim.station_name.clone(),
                bed: offer.opened.loaded.settings.bed.clone(),
                label: offer.opened.loaded.settings.label.clone(),
                words: pairing.claim.keys.words(),
                until: offer.until,
            });
        }
        State::Configuring(configuring) => show_staged(&mut snapshot, &configuring.staged, now),
        State::Validating(validating) => {
            show_staged(&mut snapshot, &validating.staged, now);
            snapshot.in_doubt = validating.progress.in_doubt();
            snapshot.attempt = match validating.progress {
                Progress::Testing { attempt } | Progress::Committing { attempt, .. } => {
                    Some(attempt)
                }
                Progress::TestPause { next, .. } | Progress::CommitPause { next, .. } => Some(next),
                Progress::Asking { .. } | Progress::AskPause { .. } => None,
            };
            if snapshot.in_doubt {
                snapshot.expires_in = None;
            }
        }
    }
    snapshot
}

fn show_staged(snapshot: &mut DeviceSnapshot, staged: &Staged, now: &Now) {
    snapshot.session_id = Some(staged.slot.slot.session_id);
    snapshot.station_name.clone_from(&staged.station_name);
    snapshot.expires_in = staged.deadline.map(|deadline| deadline.since(now.mono));
}
