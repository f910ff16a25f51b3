//! The listener's answers, and the address the QR code names.

use zmon_domain::address::DeviceAddress;
use zmon_domain::error::ErrorCode;

use super::end;
use super::machine::Core;
use super::output::{DeviceAction, DeviceEvent, DeviceReply};
use super::state::State;
use super::step::{Outcome, Step, done};
use super::window;

/// The listener is open: the first token is minted. A listener nobody waits for is closed again.
pub(super) fn opened(step: &mut Step<'_>, state: State, port: u16) -> Outcome {
    match state {
        State::Ready(mut ready) => {
            window::show(step, &mut ready, port);
            done(State::Ready(ready))
        }
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            step.out.act(DeviceAction::CloseListener);
            done(state)
        }
        State::Pairing(_) | State::Configuring(_) | State::Validating(_) => done(state),
    }
}

/// Without a listener no station can come: the window ends. A staged configuration needs none.
pub(super) fn failed(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    match state {
        State::Ready(_) | State::Pairing(_) => {
            done(end::fail(core, step, state, ErrorCode::ListenerFailed.into()))
        }
        State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Configuring(_)
        | State::Validating(_) => done(state),
    }
}

/// The QR code shall name `address`: another one gives a new token, the same one shows it again.
pub(super) fn announce(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    address: DeviceAddress,
) -> Outcome {
    match state {
        State::Ready(mut ready) => {
            let changed = ready.mode.address != address;
            ready.mode.address = address;
            core.address = Some(address);
            match ready.tokens.as_ref().map(|tokens| tokens.port) {
                Some(port) if changed => window::show(step, &mut ready, port),
                Some(_) => step.out.signal(DeviceEvent::QrCodeGenerated),
                None => {}
            }
            (State::Ready(ready), Ok(DeviceReply::None))
        }
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            (state, Err(ErrorCode::NotInProvisioningMode.into()))
        }
        State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            (state, Err(ErrorCode::StateConflict.into()))
        }
    }
}
