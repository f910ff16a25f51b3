//! A new certificate without a window: renewal over slot A, and recovery once it has expired (D23).
//!
//! The device asks, the station answers with its hello; from there on it is a session like any other.
//! Slot A lives on until the station's record says committed (D13).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use zmon_crypto::KemKey;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::schedule::{Prk, pull_id, transcript};
use zmon_crypto::x509::ValidityWindow;
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::time::{Tick, UnixTime};
use zmon_wire::kind::V1;
use zmon_wire::pull::{FetchRequest, Pull};
use zmon_wire::strict;

use super::blink::Blinks;
use super::hello::{self, Checked};
use super::input::{LinkError, Pulled};
use super::machine::Core;
use super::output::{DeviceAction, DeviceEvent, DeviceWrite};
use super::slot::Loaded;
use super::state::{Asking, Begun, Claim, Origin, Pairing, Provisioned, State};
use super::step::{Outcome, Step, done};
use super::{apply, claim, end};
use crate::PullMethod;

/// When the certificate of one slot is renewed.
#[derive(Clone)]
pub(super) struct Renewal {
    /// Which slot; another one is planned anew.
    generation: u64,
    /// From this time on the certificate is to be renewed.
    due: UnixTime,
    /// When to look next; after a failure, when to try again.
    at: Tick,
    /// An attempt has begun and has not ended.
    running: bool,
    failures: u32,
    /// The station has said that the certificate has expired, by link or renewal.
    refused: bool,
}

/// Keeps the plan in step with slot A: a new slot gets its own, an attempt that ended where it began
/// waits before the next one.
pub(super) fn plan(core: &mut Core, step: &mut Step<'_>, state: &State) {
    let State::Provisioned(Provisioned { active, asking: None, .. }) = state else { return };
    let now = step.now.mono;
    match &mut core.renewal {
        Some(renewal) if renewal.generation == active.slot.generation => {
            if core::mem::take(&mut renewal.running) {
                renewal.at = now + pause(step, renewal.failures);
                renewal.failures = renewal.failures.saturating_add(1);
            }
        }
        Some(_) | None => {
            let due = due_at(step, &active.validity);
            let left = due.since(core.trusted(step.now));
            // Overdue, perhaps in a whole ward at once: not all in the same moment.
            let wait = if left.is_zero() {
                spread(step, limits::RENEWAL_RETRY_FIRST.default)
            } else {
                left
            };
            core.renewal = Some(Renewal {
                generation: active.slot.generation,
                due,
                at: now + wait.min(limits::RENEWAL_LOOK.default),
                running: false,
                failures: 0,
                refused: false,
            });
        }
    }
}

/// When a provisioned device wants its `Timeout`. Without a plan: now, to make one.
pub(super) fn next(core: &Core, provisioned: &Provisioned) -> Tick {
    match (&provisioned.asking, &core.renewal) {
        (Some(asking), _) => asking.guard,
        (None, Some(renewal)) if renewal.generation == provisioned.active.slot.generation => {
            renewal.at
        }
        (None, Some(_) | None) => Tick::ZERO,
    }
}

/// Asks when it is time to; gives an unanswered pull up.
pub(super) fn due(core: &mut Core, step: &mut Step<'_>, provisioned: Provisioned) -> State {
    let now = step.now.mono;
    if let Some(asking) = &provisioned.asking {
        // The driver owes an answer; without one the attempt counts as a time-out.
        let late = now >= asking.guard;
        return if late {
            failed(core, step, provisioned, Actor::System, ErrorCode::Timeout)
        } else {
            State::Provisioned(provisioned)
        };
    }
    let trusted = core.trusted(step.now);
    let generation = provisioned.active.slot.generation;
    match &mut core.renewal {
        Some(renewal) if renewal.generation == generation && now >= renewal.at => {
            if renewal.failures > 0 || trusted >= renewal.due {
                return ask(core, step, provisioned, Actor::System);
            }
            let left = renewal.due.since(trusted);
            renewal.at = now + left.min(limits::RENEWAL_LOOK.default);
            State::Provisioned(provisioned)
        }
        Some(_) | None => State::Provisioned(provisioned),
    }
}

/// The link is refused because the certificate has expired, which a device without a clock could not
/// know: that is as good as a refused renewal. What has failed already is tried again in its own time.
pub(super) fn expired(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    not_after: UnixTime,
) -> State {
    let State::Provisioned(provisioned) = state else { return state };
    let generation = provisioned.active.slot.generation;
    match &mut core.renewal {
        Some(renewal)
            if renewal.generation == generation
                && provisioned.active.validity.not_after() == not_after
                && renewal.failures == 0
                && provisioned.asking.is_none() =>
        {
            renewal.refused = true;
            ask(core, step, provisioned, Actor::System)
        }
        Some(_) | None => State::Provisioned(provisioned),
    }
}

/// A window opens over a pull whose answer nobody waits for any longer: that is no failure, and no
/// reason to ask again before the renewal is due.
pub(super) fn give_way(core: &mut Core) {
    if let Some(renewal) = &mut core.renewal {
        renewal.running = false;
    }
}

/// An operator asks for a new certificate, due or not.
pub(super) fn command(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    proof: &OperatorProof,
) -> Outcome {
    let actor = match proof.authorise(Action::Renew, step.now.mono) {
        Ok(actor) => actor,
        Err(code) => return step.refuse(state, proof.actor(), Action::Renew, code),
    };
    match state {
        State::Provisioned(provisioned) if provisioned.asking.is_none() => {
            done(ask(core, step, provisioned, actor))
        }
        State::NotProvisioned
        | State::Deprovisioned
        | State::Provisioned(_)
        | State::Error(_)
        | State::Ready(_)
        | State::Pairing(_)
        | State::Configuring(_)
        | State::Validating(_) => {
            step.refuse(state, actor, Action::Renew, ErrorCode::StateConflict)
        }
    }
}

/// The station answered the pull, or did not. What nobody waits for changes nothing.
pub(super) fn pulled(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    result: Result<Pulled, LinkError>,
) -> Outcome {
    let State::Provisioned(mut provisioned) = state else { return done(state) };
    let Some(asking) = provisioned.asking.take() else {
        return done(State::Provisioned(provisioned));
    };
    let pulled = match result {
        Ok(pulled) => pulled,
        Err(error) => return done(failed(core, step, provisioned, Actor::Peer, error.code())),
    };
    match begin(core, step, &provisioned.active, &asking, &pulled) {
        Ok(state) => done(state),
        Err(code) => done(failed(core, step, provisioned, Actor::Peer, code)),
    }
}

/// The envelope came, or did not: the ordinary path of a configuration. Nobody will send another.
pub(super) fn fetched(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    result: Result<Vec<u8>, LinkError>,
) -> Outcome {
    let pulled = matches!(&state, State::Pairing(pairing)
        if matches!(pairing.claim.begun, Begun::Pull { .. }));
    if !pulled {
        return done(state);
    }
    let (state, refused) = match result {
        Ok(envelope) => {
            let (state, reply) = apply::receive(core, step, state, &envelope);
            (state, reply.err())
        }
        Err(error) => (state, Some(ErrorReport::from(error.code()))),
    };
    match (state, refused) {
        (state @ State::Pairing(_), Some(report)) => done(end::fail(core, step, state, report)),
        (state, _) => done(state),
    }
}

/// Sends the pull. With a recovery its counter is durable before it leaves.
fn ask(core: &mut Core, step: &mut Step<'_>, mut provisioned: Provisioned, actor: Actor) -> State {
    if let Some(renewal) = &mut core.renewal {
        renewal.running = true;
    }
    let Some(method) = method(core, step, &provisioned) else {
        return failed(core, step, provisioned, actor, ErrorCode::CertificateExpired);
    };
    let counter = match method {
        PullMethod::Renewal => None,
        PullMethod::Recovery => Some(core.counter.saturating_add(1)),
    };
    let serial = provisioned.active.slot.serial;
    let document = Pull {
        v: V1::default(),
        device_id: step.ctx.profile.device_id.clone(),
        method: method.method(),
        serial,
        nonce: step.random(),
        counter,
    };
    let signed = strict::to_vec(&document)
        .ok()
        .and_then(|payload| jws::sign(Typ::Pull, None, &payload, step.ctx.identity, step.rng).ok());
    let Some(pull) = signed else {
        return failed(core, step, provisioned, actor, ErrorCode::KeyStoreUnavailable);
    };
    let mut row =
        step.row(EventType::RenewalStarted, actor).with("method", method).with("serial", serial);
    if let Some(counter) = counter {
        core.counter = counter;
        row = row.with("counter", counter);
        step.out.write(DeviceWrite::RaiseCounter(counter));
    }
    step.out.row(row);
    let guard = step.now.mono + limits::DELIVERY_TIMEOUT.default;
    provisioned.asking = Some(Asking { method, pull_id: pull_id(pull.as_bytes()), guard });
    let credentials = provisioned.active.credentials.clone();
    step.out.act(DeviceAction::Pull { credentials, method, pull });
    State::Provisioned(provisioned)
}

/// Renewal, or recovery where the certificate has expired and the device may; none where it may not.
///
/// Without a clock the device may not know that it has: then its station's refusal says so, and the
/// station's own clock decides about the recovery.
fn method(core: &Core, step: &Step<'_>, provisioned: &Provisioned) -> Option<PullMethod> {
    let expired = core.trusted(step.now) > provisioned.active.validity.not_after();
    let refused =
        step.now.synced().is_none() && core.renewal.as_ref().is_some_and(|renewal| renewal.refused);
    match (expired || refused, step.ctx.profile.recovery) {
        (false, _) => Some(PullMethod::Renewal),
        (true, true) => Some(PullMethod::Recovery),
        // Told so by a peer only, it may ask again.
        (true, false) => (!expired).then_some(PullMethod::Renewal),
    }
}

/// The hello holds: the session begins, and the identity document answers it.
fn begin(
    core: &mut Core,
    step: &mut Step<'_>,
    active: &Arc<Loaded>,
    asking: &Asking,
    pulled: &Pulled,
) -> Result<State, ErrorCode> {
    let Checked { hello, signer, .. } = hello::answer(core, step, asking, &pulled.hello)?;
    // Only who provisioned the device renews it.
    if hello.station_id != active.station_id {
        return Err(ErrorCode::SigningProfileViolation);
    }
    let suite = step.ctx.identity.public().suite();
    let kem = KemKey::generate(suite, step.rng).map_err(|error| error.code())?;
    let (tls, identity) = claim::identify(step, &kem, hello.session_id, &pulled.hello)?;
    let row = step
        .row(EventType::SessionClaimed, Actor::Peer)
        .session(hello.session_id)
        .with("method", asking.method)
        .with("station", &hello.station_id)
        .with("certificate", signer.fingerprint())
        .with("stationTrust", step.ctx.profile.trust.level());
    step.out.row(row);
    claim::remember(core, step, &signer, hello.iat);
    let transcript = transcript(&pulled.hello, identity.as_bytes());
    let prk = Prk::from_hello(&pulled.hello, pulled.ikm.expose());
    step.out.act(DeviceAction::Fetch {
        credentials: active.credentials.clone(),
        method: asking.method,
        request: FetchRequest { session_id: hello.session_id, identity: String::from(&*identity) },
    });
    let claim = Claim {
        begun: Begun::Pull { method: asking.method, origin: Origin::Active(Arc::clone(active)) },
        kem,
        session_id: hello.session_id,
        station_id: hello.station_id,
        station_name: hello.station_name,
        signer,
        keys: Arc::new(prk.session(&transcript)),
        transcript,
        tls: tls.map(Arc::new),
        deadline: step.now.mono + limits::SESSION_LIFETIME.default,
    };
    let blinks = Blinks::default();
    let pairing = Pairing { claim, opens: 0, release_at: None, blinks, offer: None };
    Ok(State::Pairing(Box::new(pairing)))
}

/// The attempt ended before a session began: slot A lives on, a row says why.
fn failed(
    core: &mut Core,
    step: &mut Step<'_>,
    mut provisioned: Provisioned,
    actor: Actor,
    code: ErrorCode,
) -> State {
    let serial = provisioned.active.slot.serial;
    let row = step.failure(EventType::RenewalFailed, actor, code).with("serial", serial);
    step.out.row(row);
    step.out.signal(DeviceEvent::ProvisioningFailed(code.into()));
    if let Some(renewal) = &mut core.renewal {
        // A lost connection says nothing about it.
        renewal.refused |= code == ErrorCode::CertificateExpired;
        renewal.refused &= code != ErrorCode::CertificateNotExpired;
    }
    provisioned.asking = None;
    provisioned.last_error = Some(code.into());
    State::Provisioned(provisioned)
}

/// Two thirds of the lifetime, give or take the jitter.
fn due_at(step: &mut Step<'_>, validity: &ValidityWindow) -> UnixTime {
    let lifetime = validity.duration();
    let (part, of) = limits::RENEWAL_POINT;
    let jitter = lifetime / 100 * limits::RENEWAL_JITTER.default;
    let after = (lifetime / of * part).saturating_sub(jitter) + spread(step, jitter * 2);
    validity.not_before() + after
}

/// The pause after a failure: doubling, the second half of it random.
fn pause(step: &mut Step<'_>, failures: u32) -> Duration {
    let full = limits::RENEWAL_RETRY_FIRST
        .default
        .saturating_mul(2_u32.saturating_pow(failures.min(16)))
        .min(limits::RENEWAL_RETRY_MAX.default);
    full / 2 + spread(step, full / 2)
}

/// A random part of `most`, so that a ward does not act in step.
fn spread(step: &mut Step<'_>, most: Duration) -> Duration {
    let random = u16::from_be_bytes(step.random());
    most / u32::from(u16::MAX) * u32::from(random)
}
