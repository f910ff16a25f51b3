//! A configuration arrives: the order of §3's last lines, from size and syntax to slot B.

use alloc::boxed::Box;

use zmon_crypto::envelope::{Envelope, HEADER_LEN};
use zmon_crypto::sha256;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::route::Route;

use super::claim::uniform;
use super::configuration::{self, Opened};
use super::machine::Core;
use super::output::{DeviceEvent, DeviceReply, DeviceWrite};
use super::signer::{Permit, Standing};
use super::slot::Slot;
use super::state::{Begun, Configuring, Evidence, Pairing, Staged, State};
use super::step::{Outcome, Step};
use super::{confirm, end};

/// An envelope arrived.
pub(super) fn receive(core: &mut Core, step: &mut Step<'_>, state: State, bytes: &[u8]) -> Outcome {
    match state {
        State::Pairing(pairing) => deliver(core, step, pairing, bytes),
        State::Configuring(_) | State::Validating(_) => {
            let session = state.staged().map(|staged| staged.slot.slot.session_id);
            if session.is_none_or(|session| !speaks_of(bytes, session)) {
                return stranger(core, step, state, ErrorCode::SessionUnknown);
            }
            let taken = state.staged().and_then(|staged| staged.envelope_hash);
            if taken == Some(sha256(bytes)) {
                return (state, Ok(DeviceReply::Pending));
            }
            let report = ErrorCode::StateConflict.into();
            refused(core, step, session, EventType::ConfigurationRefused, &report);
            (state, Err(report))
        }
        State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Ready(_) => again(core, step, state, bytes),
    }
}

/// No session runs: the very envelope of the last one gets its answer again, nothing else does.
fn again(core: &mut Core, step: &mut Step<'_>, state: State, bytes: &[u8]) -> Outcome {
    let Some(finished) = core.finished.clone() else {
        return stranger(core, step, state, ErrorCode::SessionUnknown);
    };
    if finished.envelope_hash != sha256(bytes) {
        return stranger(core, step, state, ErrorCode::SessionUnknown);
    }
    let report = ErrorReport::from(ErrorCode::ConfigurationReplayed);
    let session = Some(finished.session_id);
    refused(core, step, session, EventType::ConfigurationReplayed, &report);
    (state, Ok(DeviceReply::Status(finished.status)))
}

/// A peer that does not know the session's id gets the uniform answer and is only counted. What the
/// device has fetched, or a person has brought, is refused by its name.
fn stranger(core: &mut Core, step: &mut Step<'_>, state: State, code: ErrorCode) -> Outcome {
    if step.route != Route::Push {
        let report = code.into();
        refused(core, step, None, EventType::ConfigurationRefused, &report);
        return (state, Err(report));
    }
    core.junk.count(step, code);
    (state, uniform())
}

fn refused(
    core: &mut Core,
    step: &mut Step<'_>,
    session: Option<SessionId>,
    event: EventType,
    report: &ErrorReport,
) {
    let mut row = step.failure(event, Actor::Peer, report.code).with("route", step.route);
    row.session = session;
    core.junk.refusal(step, row, report.code);
}

/// A configuration handed over at the device itself was refused before it was opened; only a row.
pub(super) fn refused_here(step: &mut Step<'_>, state: State, report: ErrorReport) -> Outcome {
    let mut row = step.failure(EventType::ConfigurationRefused, Actor::Local, report.code);
    if let Some(detail) = &report.detail {
        row = row.with("field", detail.field()).with("rule", detail.rule());
    }
    step.out.row(row);
    (state, Err(report))
}

/// Whether the header of these bytes names the session. Its id is known to its own peer only: it
/// was said nowhere but inside TLS.
fn speaks_of(bytes: &[u8], session: SessionId) -> bool {
    bytes.get(2..18).is_some_and(|id| id == session.as_bytes().as_slice())
        && bytes.len() > HEADER_LEN
}

fn deliver(core: &mut Core, step: &mut Step<'_>, pairing: Box<Pairing>, bytes: &[u8]) -> Outcome {
    let session = pairing.claim.session_id;
    if !speaks_of(bytes, session) {
        return stranger(core, step, State::Pairing(pairing), ErrorCode::SessionUnknown);
    }
    if let Some(offer) = &pairing.offer {
        if offer.envelope_hash == sha256(bytes) {
            return (State::Pairing(pairing), Ok(DeviceReply::Pending));
        }
        let report = ErrorCode::StateConflict.into();
        refused(core, step, Some(session), EventType::ConfigurationRefused, &report);
        return (State::Pairing(pairing), Err(report));
    }
    let survives = |core: &mut Core, step: &mut Step<'_>, pairing, code: ErrorCode| {
        let report = ErrorReport::from(code);
        refused(core, step, Some(session), EventType::ConfigurationRefused, &report);
        (State::Pairing(pairing), Err(report))
    };
    if step.now.mono >= pairing.claim.deadline {
        return survives(core, step, pairing, ErrorCode::SessionExpired);
    }
    let envelope = match Envelope::parse(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return survives(core, step, pairing, error.code()),
    };
    let proof = match envelope.verify_mac(&pairing.claim.keys) {
        Ok(proof) => proof,
        Err(error) => return survives(core, step, pairing, error.code()),
    };
    // From here on the session's own peer speaks: `pair` has come, the claim is not released.
    let mut pairing = pairing;
    pairing.release_at = None;
    pairing.opens = pairing.opens.saturating_add(1);
    let claim = &pairing.claim;
    let key = &claim.kem;
    let opened = envelope.open(proof, key, &claim.keys, &claim.transcript, step.rng);
    let plaintext = match opened {
        Ok(plaintext) => plaintext,
        Err(error) if pairing.opens < limits::OPENS_PER_SESSION.default => {
            return survives(core, step, pairing, error.code());
        }
        Err(_) => return end_session(core, step, pairing, bytes, ErrorCode::TooManyOpens.into()),
    };
    let opened = match configuration::check(core, step, &pairing.claim, plaintext.expose()) {
        Ok(opened) => opened,
        Err(report) => return end_session(core, step, pairing, bytes, report),
    };
    let hash = sha256(bytes);
    let permit = match (opened.standing, &pairing.claim.begun) {
        (Standing::Anchored(proof), _) => Permit::Anchored { _proof: proof },
        (Standing::Shown(proof), Begun::Pull { .. }) => Permit::Pinned { _proof: proof },
        (Standing::Shown(_), Begun::Window(_)) => {
            return confirm::offer(step, pairing, hash, opened);
        }
    };
    received(step, &pairing, &opened);
    stage(core, step, *pairing, hash, opened, permit)
}

/// Refused for good: the session is over.
fn end_session(
    core: &mut Core,
    step: &mut Step<'_>,
    pairing: Box<Pairing>,
    bytes: &[u8],
    report: ErrorReport,
) -> Outcome {
    let row = step
        .failure(EventType::ConfigurationRefused, Actor::Peer, report.code)
        .session(pairing.claim.session_id)
        .with("route", claim_route(step, &pairing));
    step.out.row(row);
    let hash = sha256(bytes);
    let state = end::fail_with(core, step, State::Pairing(pairing), report.clone(), Some(hash));
    let reply = match &core.finished {
        Some(finished) if finished.envelope_hash == hash => {
            Ok(DeviceReply::Status(finished.status.clone()))
        }
        Some(_) | None => Err(report),
    };
    (state, reply)
}

/// A genuine configuration has come: its row and its signal.
pub(super) fn received(step: &mut Step<'_>, pairing: &Pairing, opened: &Opened) {
    let row = row(step, EventType::ConfigurationReceived, opened);
    let row = row.with("route", claim_route(step, pairing));
    step.out.row(row);
    let loaded = &opened.loaded;
    step.out.signal(DeviceEvent::ConfigurationReceived {
        configuration_hash: loaded.slot.configuration_hash,
        server_url: loaded.credentials.server_url.clone(),
        device_label: loaded.settings.label.clone(),
    });
}

fn row(step: &Step<'_>, event: EventType, opened: &Opened) -> AuditEvent {
    let slot = &opened.loaded.slot;
    step.row(event, Actor::Peer)
        .session(slot.session_id)
        .configuration_hash(slot.configuration_hash)
        .with("serial", slot.serial)
}

/// Everything holds and the station is believed: slot B, and its test begins at once.
pub(super) fn stage(
    core: &mut Core,
    step: &mut Step<'_>,
    pairing: Pairing,
    envelope_hash: [u8; 32],
    opened: Opened,
    permit: Permit,
) -> Outcome {
    let applied = row(step, EventType::ConfigurationApplied, &opened);
    step.out.row(applied);
    let Opened { loaded, slot, proofs, station_log, .. } = opened;
    core.generation = slot.generation;
    if let Some(code) = station_log {
        let row = step.failure(EventType::CheckpointReceived, Actor::Peer, code);
        step.out.row(row.session(slot.session_id));
    }
    step.out.write(DeviceWrite::StageB(Slot::clone(&slot)));
    let claim = pairing.claim;
    let opening = claim.begun.opening().cloned();
    let staged = Staged {
        origin: claim.begun.into_origin(),
        _evidence: Evidence::Checked { _proofs: proofs, _permit: permit },
        opening,
        envelope_hash: Some(envelope_hash),
        deadline: Some(claim.deadline),
        station_name: Some(claim.station_name),
        site_id: Some(claim.signer.site_id().clone()),
        slot: loaded,
    };
    (State::Configuring(Box::new(Configuring { staged })), Ok(DeviceReply::Pending))
}

/// How the configuration came; a renewal's is fetched.
const fn claim_route(step: &Step<'_>, pairing: &Pairing) -> Route {
    match pairing.claim.begun {
        Begun::Window(_) => step.route,
        Begun::Pull { .. } => Route::Pull,
    }
}
