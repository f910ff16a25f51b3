//! Which of ten monitors is it? While its bed is chosen, the operator has the claimed device blink.
//!
//! The request goes over the session's own connection, or waits for the device's next poll. A courier
//! is too slow for it. It changes nothing on either side but what is seen.

use core::num::NonZeroU32;
use core::time::Duration;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::limits;
use zmon_domain::time::Now;
use zmon_wire::blink::BlinkRequest;

use super::io::{Blink, StationAction, StationWrite};
use super::state::{Core, Identified, State};
use super::step::{Outcome, Step, done};

/// The blinks of a session.
#[derive(Clone, Copy, Default)]
pub(super) struct Blinks {
    /// Number of the last one; 0 before the first.
    pub(super) number: u32,
    /// What is known of it.
    pub(super) last: Option<Blink>,
}

impl Blinks {
    /// One is on its way or seen: another one would show nothing more.
    fn is_under_way(&self, now: &Now) -> bool {
        match self.last {
            Some(Blink::Asked) => true,
            Some(Blink::Until(until)) => now.mono < until,
            Some(Blink::Failed(_)) | None => false,
        }
    }

    fn next(&mut self) {
        self.number = self.number.saturating_add(1);
        self.last = Some(Blink::Asked);
    }
}

/// The operator asks for one. Repeating it while one is under way changes nothing.
pub(super) fn ask(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    operator: &OperatorId,
) -> Outcome {
    if let Some(refusal) = core.refuses(Some(operator)) {
        return (state, Err(refusal));
    }
    let State::Identified(device) = &state else {
        return (state, Err(ErrorCode::StateConflict.into()));
    };
    if !core.pushes && !step.ctx.polls {
        return (state, Err(ErrorCode::StateConflict.into()));
    }
    if core.blinks.is_under_way(step.now) {
        return done(state);
    }
    core.blinks.next();
    let row = AuditEvent::new(EventType::MonitorBlinked, core.actor());
    step.row(core, row);
    if core.pushes
        && let Some((claim, request)) = device.claim.clone().zip(request(core, device))
    {
        step.act(StationAction::Blink { claim, request });
    }
    done(state)
}

/// The connection over which one was asked for is gone, and so is whoever waited for it to be seen.
pub(super) fn lost(core: &mut Core) {
    if core.pushes && core.blinks.last == Some(Blink::Asked) {
        core.blinks.last = None;
    }
}

/// The device's screen blinks.
pub(super) fn shown(core: &mut Core, step: &mut Step<'_>, state: State, seconds: u32) -> Outcome {
    if core.blinks.last == Some(Blink::Asked) {
        let left = Duration::from_secs(seconds.into()).min(limits::BLINK.default);
        core.blinks.last = Some(Blink::Until(step.now.mono + left));
        step.write(StationWrite::Progress { session_id: core.session_id });
    }
    done(state)
}

/// It does not.
pub(super) fn failed(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    code: ErrorCode,
) -> Outcome {
    if core.blinks.last == Some(Blink::Asked) {
        core.blinks.last = Some(Blink::Failed(code));
        step.failure(core, EventType::MonitorBlinked, core.actor(), code);
    }
    done(state)
}

/// The request that waits for the device; none once it has answered.
pub(super) fn request(core: &Core, device: &Identified) -> Option<BlinkRequest> {
    let asked = core.blinks.last == Some(Blink::Asked);
    let number = NonZeroU32::new(core.blinks.number).filter(|_| asked)?;
    let session_id = core.session_id;
    let mac = device.keys.blink_mac(session_id, number);
    Some(BlinkRequest { session_id, number, mac })
}
