//! A station without an anchor: an operator at the device compares four words and confirms it, before
//! anything is staged (D8).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_domain::role::{Action, Actor, OperatorProof};

use super::configuration::Opened;
use super::machine::Core;
use super::output::DeviceReply;
use super::signer::Permit;
use super::state::{Claim, Offer, Pairing, State};
use super::step::{Outcome, Step, done};
use super::{apply, end};

/// Somebody who may has compared the words and said yes. Only [`confirm`] makes it.
#[derive(Clone, Copy)]
pub(super) struct StationConfirmed(());

/// Every check has passed but the one that a person makes: the configuration waits in memory.
pub(super) fn offer(
    step: &mut Step<'_>,
    mut pairing: Box<Pairing>,
    envelope_hash: [u8; 32],
    opened: Opened,
) -> Outcome {
    apply::received(step, &pairing, &opened);
    let until = pairing.claim.deadline.min(step.now.mono + limits::CONFIRMATION.default);
    pairing.offer = Some(Box::new(Offer { opened, envelope_hash, until }));
    (State::Pairing(pairing), Ok(DeviceReply::Pending))
}

/// An operator confirms the station. The words that they have read must be this session's.
pub(super) fn confirm(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
    words: &str,
) -> Outcome {
    let actor = match proof.authorise(Action::ConfirmStation, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse(state, proof.actor(), Action::ConfirmStation, code),
    };
    let mut pairing = match waiting(state) {
        Ok(pairing) => pairing,
        Err(state) => {
            let code = ErrorCode::StateConflict;
            return step.refuse(*state, actor, Action::ConfirmStation, code);
        }
    };
    if !are_words_of(&pairing.claim, words) {
        let row = AuditEvent::failed(EventType::StationConfirmed, actor, ErrorCode::WordsMismatch);
        step.out.row(about(step, row, &pairing));
        return (State::Pairing(pairing), Err(ErrorCode::WordsMismatch.into()));
    }
    let Some(offer) = pairing.offer.take() else { return done(State::Pairing(pairing)) };
    let row = AuditEvent::new(EventType::StationConfirmed, actor)
        .with("words", pairing.claim.keys.words().join(" "));
    let row = about(step, row, &pairing).with("certificate", pairing.claim.signer.fingerprint());
    let row = match &offer.opened.loaded.settings.bed {
        Some(bed) => row.with("bed", bed),
        None => row,
    };
    step.out.row(row);
    let permit = Permit::Confirmed { _proof: StationConfirmed(()) };
    let Offer { opened, envelope_hash, .. } = *offer;
    let (state, _pending) = apply::stage(core, step, *pairing, envelope_hash, opened, permit);
    done(state)
}

/// Whoever is at the device refuses the station: the session is over. It needs no PIN, as any
/// cancelling.
pub(super) fn refuse(core: &mut Core, step: &mut Step<'_>, state: State, actor: Actor) -> Outcome {
    match waiting(state) {
        Ok(pairing) => done(ended(core, step, pairing, actor, ErrorCode::ProximityRefused)),
        Err(state) => step.refuse(*state, actor, Action::Cancel, ErrorCode::StateConflict),
    }
}

/// Nobody came in time.
pub(super) fn expire(core: &mut Core, step: &mut Step<'_>, pairing: Box<Pairing>) -> State {
    ended(core, step, pairing, Actor::System, ErrorCode::ProximityTimedOut)
}

fn ended(
    core: &mut Core,
    step: &mut Step<'_>,
    pairing: Box<Pairing>,
    actor: Actor,
    code: ErrorCode,
) -> State {
    let row = AuditEvent::failed(EventType::StationConfirmed, actor, code);
    step.out.row(about(step, row, &pairing));
    end::fail(core, step, State::Pairing(pairing), ErrorReport::from(code))
}

/// The session whose station waits to be confirmed.
fn waiting(state: State) -> Result<Box<Pairing>, Box<State>> {
    match state {
        State::Pairing(pairing) if pairing.offer.is_some() => Ok(pairing),
        State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Ready(_)
        | State::Pairing(_)
        | State::Configuring(_)
        | State::Validating(_) => Err(Box::new(state)),
    }
}

fn about(step: &Step<'_>, row: AuditEvent, pairing: &Pairing) -> AuditEvent {
    let claim = &pairing.claim;
    row.device(&step.ctx.profile.device_id)
        .session(claim.session_id)
        .with("station", &claim.station_id)
        .with("stationName", &claim.station_name)
}

/// Compared as people type: any case, any space between.
fn are_words_of(claim: &Claim, typed: &str) -> bool {
    let typed: Vec<String> = typed.split_whitespace().map(str::to_ascii_lowercase).collect();
    typed == claim.keys.words()
}
