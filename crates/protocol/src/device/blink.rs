//! Which of ten monitors is it? The station that has claimed this one has its screen blink.
//!
//! Only the session's own station can: the request carries a MAC by a key of the session. It changes
//! nothing but what is seen, and nothing once the configuration is here.

use alloc::boxed::Box;
use core::num::NonZeroU32;

use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::route::Route;
use zmon_domain::time::{Now, Tick};

use super::claim::uniform;
use super::machine::Core;
use super::output::DeviceReply;
use super::state::{Begun, Pairing, State};
use super::step::{Outcome, Step};

/// The blinks of one session.
#[derive(Clone, Default)]
pub(super) struct Blinks {
    /// Number of the last one; 0 before the first.
    last: u32,
    /// Until when the screen blinks.
    until: Option<Tick>,
}

impl Blinks {
    /// When the screen is to be quiet again.
    pub(super) const fn due(&self) -> Option<Tick> {
        self.until
    }

    /// Is it over?
    pub(super) fn expire(&mut self, now: &Now) {
        self.until = self.until.filter(|until| now.mono < *until);
    }

    /// Whether the screen blinks now.
    pub(super) fn shows(&self, now: &Now) -> bool {
        self.until.is_some_and(|until| now.mono < until)
    }

    /// Whole seconds that are left, rounded up so that a screen that blinks never says 0.
    fn seconds(&self, now: &Now) -> u32 {
        let left = self.until.map(|until| until.since(now.mono)).unwrap_or_default();
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

/// A station asks for a blink.
pub(super) fn ask(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    session: SessionId,
    number: NonZeroU32,
    mac: &[u8; 32],
) -> Outcome {
    match state {
        State::Pairing(pairing) if pairing.claim.session_id == session => {
            blink(core, step, pairing, number, mac)
        }
        // Its id is known to a session's own peer only: this is a stranger, or late.
        State::Pairing(_)
        | State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Ready(_)
        | State::Configuring(_)
        | State::Validating(_) => {
            core.junk.count(step, ErrorCode::SessionUnknown);
            let reply = if step.route == Route::Push {
                uniform()
            } else {
                Err(ErrorCode::SessionUnknown.into())
            };
            (state, reply)
        }
    }
}

fn blink(
    core: &mut Core,
    step: &mut Step<'_>,
    mut pairing: Box<Pairing>,
    number: NonZeroU32,
    mac: &[u8; 32],
) -> Outcome {
    let session = pairing.claim.session_id;
    if let Err(code) = check(&pairing, number, mac) {
        let row = step
            .failure(EventType::MonitorBlinked, Actor::Peer, code)
            .session(session)
            .with("route", step.route);
        core.junk.refusal(step, row, code);
        return (State::Pairing(pairing), Err(code.into()));
    }
    let blinks = &mut pairing.blinks;
    blinks.expire(step.now);
    let is_new = number.get() > blinks.last;
    blinks.last = number.get();
    // One that comes while the screen blinks is answered, and prolongs nothing.
    if is_new && blinks.until.is_none() {
        blinks.until = Some(step.now.mono + limits::BLINK.default);
        let row = step
            .row(EventType::MonitorBlinked, Actor::Peer)
            .session(session)
            .with("station", &pairing.claim.station_id)
            .with("route", step.route);
        step.out.row(row);
    }
    let seconds = pairing.blinks.seconds(step.now);
    (State::Pairing(pairing), Ok(DeviceReply::Blinking { seconds }))
}

/// The session's own station asks, not for an earlier blink, and no configuration has come.
fn check(pairing: &Pairing, number: NonZeroU32, mac: &[u8; 32]) -> Result<(), ErrorCode> {
    let claim = &pairing.claim;
    claim.keys.verify_blink(claim.session_id, number, mac).map_err(|error| error.code())?;
    if number.get() < pairing.blinks.last {
        return Err(ErrorCode::BlinkRefused);
    }
    match claim.begun {
        Begun::Window(_) if pairing.opens == 0 => Ok(()),
        // Nobody chooses a bed any more, or nobody ever did.
        Begun::Window(_) | Begun::Pull { .. } => Err(ErrorCode::StateConflict),
    }
}
