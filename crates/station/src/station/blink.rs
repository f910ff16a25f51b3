//! Which of ten monitors is it? The operator who has claimed one has its screen blink.

use std::sync::Arc;

use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::role::{Action, OperatorProof};
use zmon_protocol::station::{Blink, SessionPhase};
use zmon_wire::blink::Blinking;
use zmon_wire::kind::True;

use super::Station;
use crate::error::StationError;
use crate::session::{Command, SessionView};

impl Station {
    /// `POST /api/provisioning/pair/{sessionId}/blink`: the screen of the claimed device blinks, while
    /// `pair` is awaited. Waits for the device, which may have to poll first. Asking again while it blinks
    /// changes nothing.
    ///
    /// # Errors
    /// `not_permitted`; `session_unknown` for a session that is not this operator's or has ended;
    /// `state_conflict` before the device is claimed, after `pair`, and where only a courier reaches it;
    /// `device_unreachable`, what the device refused with, storage errors.
    pub async fn blink(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
    ) -> Result<Blinking, StationError> {
        self.authorise(proof, Action::Pair, &self.now()).await?;
        let session = self.running_of(proof, id).await?;
        session.ask(|done| Command::Blink(proof.id().clone(), done)).await?;
        let until = self.now().mono + limits::BLINK_WAIT.default;
        let view = tokio::select! {
            biased;
            view = session.wait_for(is_settled) => view,
            () = self.parts.clock.sleep_until(until) => session.view(),
        };
        match view.blink {
            Some(Blink::Until(until)) => {
                let left = until.since(self.now().mono).as_millis().div_ceil(1_000);
                let seconds = u32::try_from(left).unwrap_or(u32::MAX);
                Ok(Blinking { success: True, seconds })
            }
            Some(Blink::Failed(code)) => Err(code.into()),
            Some(Blink::Asked) | None if view.phase == SessionPhase::Identified => {
                Err(ErrorCode::DeviceUnreachable.into())
            }
            // Somebody was faster: the bed is chosen, or the session has ended.
            Some(Blink::Asked) | None => Err(ErrorCode::StateConflict.into()),
        }
    }
}

fn is_settled(view: &SessionView) -> bool {
    view.blink != Some(Blink::Asked) || view.phase != SessionPhase::Identified
}
