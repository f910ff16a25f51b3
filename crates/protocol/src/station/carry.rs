//! The routes besides push (D7): the device comes for its messages, or a courier does.
//!
//! Nothing is made anew when the route changes: the state holds the message, and whoever carries it gets
//! the same bytes. What comes back is the same input that a dialled device's answer is.

use alloc::string::String;

use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Actor;
use zmon_domain::route::Route;
use zmon_wire::carry::Message;
use zmon_wire::pake::{PakeConfirm, PakeStart};
use zmon_wire::session::SessionOpen;

use super::io::StationAction;
use super::state::{Call, Core, State};
use super::step::{Outcome, Step, done};
use super::{blink, dial};

/// The message that waits for whoever carries it; none while the station dials by itself, is at work,
/// or has nothing more to say.
pub(super) fn message(core: &Core, state: &State) -> Option<Message> {
    if core.pushes || core.operator.is_none() {
        return None;
    }
    match state {
        State::Dialling(dialling) => match &dialling.call {
            Call::Claim { hello, claim_mac, .. } => Some(Message::Session(SessionOpen {
                hello: String::from(&**hello),
                claim_mac: *claim_mac,
            })),
            Call::Window => Some(Message::Window {}),
            Call::Start { hello, share_p, .. } => Some(Message::PakeStart(PakeStart {
                hello: String::from(&**hello),
                share_p: *share_p.as_bytes(),
            })),
            Call::Confirm { confirm_p, .. } => Some(Message::PakeConfirm(PakeConfirm {
                session_id: core.session_id,
                confirm_p: *confirm_p,
            })),
            Call::Offered { .. } => None,
        },
        State::AwaitingCommit(awaiting) => {
            Some(Message::Configuration { envelope: awaiting.issued.envelope.to_vec() })
        }
        State::Identified(device) => blink::request(core, device).map(Message::Blink),
        State::Issuing(_)
        | State::Delivering(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => None,
    }
}

/// The network fails: from here on nobody is dialled, and the messages wait for another route.
pub(super) fn offer(core: &mut Core, step: &mut Step<'_>, code: ErrorCode) {
    core.pushes = false;
    core.route = if step.ctx.polls { Route::Pull } else { Route::Courier };
    step.failure(core, EventType::RouteOffered, Actor::System, code);
    step.act(StationAction::Hangup);
}

/// Somebody takes the message that waits: one row for each message and route, however often.
pub(super) fn fetched(core: &mut Core, step: &mut Step<'_>, state: State, route: Route) -> Outcome {
    // Nobody watches the screen while a courier walks.
    let waiting = message(core, &state)
        .filter(|message| route == Route::Pull || !matches!(message, Message::Blink(_)));
    let Some(message) = waiting else {
        return (state, Err(ErrorCode::StateConflict.into()));
    };
    core.route = route;
    let taken = (route, message.name());
    if core.fetched != Some(taken) {
        core.fetched = Some(taken);
        let actor = match route {
            Route::Push | Route::Pull => Actor::Peer,
            Route::Courier => core.actor(),
        };
        let row = AuditEvent::new(EventType::MessageFetched, actor).with("message", message.name());
        step.row(core, row);
    }
    done(state)
}

/// The operator tries again what nobody has carried yet: the device is dialled once more, with the same
/// hello. What has got further goes on where it is.
pub(super) fn again(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    address: DeviceAddress,
) -> Outcome {
    let mut dialling = match state {
        State::Dialling(dialling) if !core.pushes && core.operator.is_some() => dialling,
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => return done(state),
    };
    match &dialling.call {
        Call::Claim { .. } | Call::Window => {}
        // A run stands in the middle: its connection is gone, and another run is another session.
        Call::Start { .. } | Call::Confirm { .. } | Call::Offered { .. } => {
            return done(State::Dialling(dialling));
        }
    }
    let Some(target) = &mut core.target else { return done(State::Dialling(dialling)) };
    if let Err(error) = step.ctx.policy.networks.permits(address, target.port) {
        let code = error.code();
        let row = AuditEvent::failed(EventType::RouteOffered, core.actor(), code);
        step.row(core, row.with("address", address));
        return (State::Dialling(dialling), Err(code.into()));
    }
    target.address = address;
    core.pushes = true;
    core.route = Route::Push;
    let row = AuditEvent::new(EventType::RouteOffered, core.actor()).with("address", address);
    step.row(core, row);
    (dialling.attempt, dialling.retry_at) = (1, None);
    dial::send(core, step, &dialling);
    done(State::Dialling(dialling))
}

/// What was brought back does not hold: a row, and the session is as it was.
pub(super) fn refused(core: &Core, step: &mut Step<'_>, state: State, code: ErrorCode) -> Outcome {
    step.failure(core, EventType::ReplyRefused, Actor::Peer, code);
    (state, Err(code.into()))
}
