//! How a session ends: failed, cancelled, or completed.

use alloc::string::String;

use zmon_crypto::jws::{self, Typ};
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_domain::role::Actor;
use zmon_domain::state::ProvisioningState;
use zmon_wire::kind::V1;
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use super::machine::Core;
use super::output::{DeviceAction, DeviceEvent, DeviceWrite};
use super::state::{Finished, Origin, Provisioned, Staged, State};
use super::step::Step;

/// What a running session leaves to clean up.
struct Remains {
    origin: Origin,
    session_id: Option<SessionId>,
    /// The envelope that was taken, and the hash of its configuration.
    taken: Option<([u8; 32], [u8; 32])>,
    staged: bool,
}

/// Ends the session with a failure: slot B dropped, listener closed, delivery answered.
///
/// The caller has made sure that no commit is in doubt. Without a session the state stays.
pub(super) fn fail(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    report: ErrorReport,
) -> State {
    fail_with(core, step, state, report, None)
}

/// As [`fail`], for an envelope that was refused for good before it was staged.
pub(super) fn fail_with(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    report: ErrorReport,
    envelope_hash: Option<[u8; 32]>,
) -> State {
    let remains = match dismantle(state) {
        Ok(remains) => remains,
        Err(state) => return *state,
    };
    let mut row = step.failure(EventType::ProvisioningFailed, Actor::System, report.code);
    row.session = remains.session_id;
    row.configuration_hash = remains.taken.map(|(_, configuration)| configuration);
    if let Some(detail) = &report.detail {
        row = row.with("field", detail.field()).with("rule", detail.rule());
    }
    step.out.row(row);
    close(core, step, &remains, envelope_hash, report.code);
    step.out.signal(DeviceEvent::ProvisioningFailed(report.clone()));
    remains.origin.failed(report)
}

/// Ends the session on an operator's wish: back to where it came from, with a row of this event.
pub(super) fn cancel(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    actor: Actor,
    event: EventType,
) -> State {
    let remains = match dismantle(state) {
        Ok(remains) => remains,
        Err(state) => return *state,
    };
    let mut row = step.row(event, actor);
    row.session = remains.session_id;
    step.out.row(row);
    close(core, step, &remains, None, ErrorCode::Cancelled);
    remains.origin.settle(None)
}

/// The station's record says committed: slot B becomes slot A (D13).
pub(super) fn complete(core: &mut Core, step: &mut Step<'_>, staged: Staged) -> State {
    let Staged { origin, slot, envelope_hash, .. } = staged;
    let session = slot.slot.session_id;
    let hash = slot.slot.configuration_hash;
    if let Some(old) = origin.active() {
        let row = step
            .row(EventType::CertificateSuperseded, Actor::System)
            .session(session)
            .with("serial", old.slot.serial);
        step.out.row(row);
    }
    let row = step
        .row(EventType::CertificateInstalled, Actor::System)
        .session(session)
        .configuration_hash(hash)
        .with("serial", slot.slot.serial)
        .with("stationTrust", slot.trust.map_or("unknown", |trust| trust.as_str()));
    step.out.row(row);
    let row = step
        .row(EventType::ProvisioningCompleted, Actor::System)
        .session(session)
        .configuration_hash(hash)
        .with("serverUrl", &slot.credentials.server_url);
    step.out.row(row);
    step.out.write(DeviceWrite::Flip);
    step.out.write(DeviceWrite::CloseWindow);
    if let Some(envelope) = envelope_hash {
        let status =
            remember(core, step, session, envelope, ProvisioningState::Provisioned, Ok(hash));
        answer(step, session, status);
    }
    step.out.act(DeviceAction::CloseListener);
    if origin.active().is_some() {
        step.out.act(DeviceAction::StopLink);
    }
    step.out.act(DeviceAction::StartLink(slot.credentials.clone()));
    step.out.signal(DeviceEvent::ProvisioningCompleted {
        configuration_hash: hash,
        server_url: slot.credentials.server_url.clone(),
        device_label: slot.settings.label.clone(),
    });
    State::Provisioned(Provisioned { active: slot, last_error: None, asking: None })
}

/// Cleans up. `refused` is the envelope whose sender gets the status as its reply.
fn close(
    core: &mut Core,
    step: &mut Step<'_>,
    remains: &Remains,
    refused: Option<[u8; 32]>,
    code: ErrorCode,
) {
    if remains.staged {
        step.out.write(DeviceWrite::DropB);
    }
    step.out.write(DeviceWrite::CloseWindow);
    let state = match &remains.origin {
        Origin::Unprovisioned(_) => ProvisioningState::Error,
        Origin::Active(_) => ProvisioningState::Provisioned,
    };
    let taken = remains.taken.map(|(envelope, _)| envelope);
    if let (Some(session), Some(envelope)) = (remains.session_id, refused.or(taken)) {
        let status = remember(core, step, session, envelope, state, Err(code));
        if taken.is_some() {
            answer(step, session, status);
        }
    }
    step.out.act(DeviceAction::CloseListener);
}

/// Completes the delivery that waits.
fn answer(step: &mut Step<'_>, session_id: SessionId, status: Option<String>) {
    if let Some(status) = status {
        step.out.act(DeviceAction::AnswerDelivery { session_id, status });
    }
}

/// Signs the status of a session that ends and keeps it for the same envelope.
///
/// If the key does not sign, the delivery runs into its own bound; the end of the session stands.
fn remember(
    core: &mut Core,
    step: &mut Step<'_>,
    session_id: SessionId,
    envelope_hash: [u8; 32],
    state: ProvisioningState,
    result: Result<[u8; 32], ErrorCode>,
) -> Option<String> {
    let status = sign_status(step, session_id, state, result)?;
    core.finished = Some(Finished { session_id, envelope_hash, status: status.clone() });
    Some(status)
}

fn sign_status(
    step: &mut Step<'_>,
    session_id: SessionId,
    state: ProvisioningState,
    result: Result<[u8; 32], ErrorCode>,
) -> Option<String> {
    let document = StatusDocument {
        v: V1::default(),
        session_id,
        state,
        success: result.is_ok(),
        code: result.err(),
        configuration_hash: result.ok(),
    };
    let payload = strict::to_vec(&document).ok()?;
    jws::sign(Typ::Status, None, &payload, step.ctx.identity, step.rng).ok()
}

/// Takes a running session apart; a state without one comes back.
fn dismantle(state: State) -> Result<Remains, alloc::boxed::Box<State>> {
    let staged = |staged: Staged| Remains {
        session_id: Some(staged.slot.slot.session_id),
        taken: staged.envelope_hash.map(|hash| (hash, staged.slot.slot.configuration_hash)),
        origin: staged.origin,
        staged: true,
    };
    match state {
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            Err(alloc::boxed::Box::new(state))
        }
        State::Ready(ready) => {
            Ok(Remains { origin: ready.mode.origin, session_id: None, taken: None, staged: false })
        }
        State::Pairing(pairing) => Ok(Remains {
            origin: pairing.claim.begun.into_origin(),
            session_id: Some(pairing.claim.session_id),
            // What waits for an operator has been taken, and its delivery waits with it.
            taken: pairing
                .offer
                .map(|offer| (offer.envelope_hash, offer.opened.loaded.slot.configuration_hash)),
            staged: false,
        }),
        State::Configuring(configuring) => Ok(staged(configuring.staged)),
        State::Validating(validating) => Ok(staged(validating.staged)),
    }
}
