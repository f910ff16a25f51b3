//! Following one's own pairing while it runs: for a page that shows each step.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, SessionId};
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::route::Route;
use zmon_domain::time::Now;
use zmon_protocol::station::SessionPhase;

use super::Station;
use super::pairing::failure;
use crate::error::StationError;
use crate::session::SessionView;

/// Where a pairing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionProgress {
    /// The session.
    pub session_id: SessionId,
    /// The device it is about.
    pub device_id: DeviceId,
    /// Where it is.
    pub phase: SessionPhase,
    /// How its messages go to the device at present (D7).
    pub route: Route,
    /// Whether the device has tested its new connection.
    pub tested: bool,
    /// Serial number and firmware, once the device has proved itself to this process.
    pub device: Option<(DeviceSerial, FirmwareVersion)>,
    /// How long `pair` may still be waited for, while it is awaited (D11).
    pub pair_within: Option<Duration>,
    /// The words that somebody compares with those of the device before they confirm this station there (D8).
    pub words: Option<[&'static str; 4]>,
    /// Why it ended without a pairing.
    pub error: Option<ErrorReport>,
}

/// A reader of one session's progress.
#[derive(Debug)]
pub struct SessionFeed {
    session_id: SessionId,
    device_id: DeviceId,
    view: watch::Receiver<SessionView>,
}

impl Station {
    /// The progress of one's own session, running or over.
    ///
    /// # Errors
    /// `session_unknown` for a session that is not this operator's; `not_permitted`, storage errors.
    pub async fn follow(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
    ) -> Result<SessionFeed, StationError> {
        self.authorise(proof, Action::Pair, &self.now()).await?;
        if let Some(handle) = self.running(id).await? {
            if handle.operator.as_ref() != Some(proof.id()) {
                return Err(ErrorCode::SessionUnknown.into());
            }
            let (device_id, view) = (handle.device_id.clone(), handle.watch());
            return Ok(SessionFeed { session_id: *id, device_id, view });
        }
        let row = self.parts.store.session(id).await?;
        let own = row.filter(|row| row.operator.as_ref() == Some(proof.id()));
        let row = own.ok_or(ErrorCode::SessionUnknown)?;
        let device_id = row.device_id.clone();
        let view = self.views_of(row).await?;
        Ok(SessionFeed { session_id: *id, device_id, view })
    }
}

impl SessionFeed {
    /// Where the session is.
    #[must_use]
    pub fn progress(&self, now: &Now) -> SessionProgress {
        let view = self.view.borrow();
        let ended = matches!(view.phase, SessionPhase::Failed | SessionPhase::Released);
        let identified = view.identified.as_ref();
        SessionProgress {
            session_id: self.session_id,
            device_id: self.device_id.clone(),
            phase: view.phase,
            route: view.route,
            tested: view.tested,
            device: identified.map(|device| (device.serial.clone(), device.firmware.clone())),
            pair_within: view.pair_by.map(|until| until.since(now.mono)),
            words: view.words,
            error: ended.then(|| failure(&view).report),
        }
    }

    /// Waits for the next change; `false` when there will be none.
    pub async fn changed(&mut self) -> bool {
        if self.view.borrow().phase.is_final() {
            return false;
        }
        self.view.changed().await.is_ok()
    }
}
