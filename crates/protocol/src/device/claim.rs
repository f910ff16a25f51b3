//! A claim consumes the code: window `open → claimed(session)` (D11).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zmon_crypto::jws::{self, Typ};
use zmon_crypto::schedule::transcript;
use zmon_crypto::x509::{CertificateChain, csr};
use zmon_crypto::{KemKey, TlsKey, code_hash, sha256};
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::route::Route;
use zmon_domain::time::{Tick, UnixTime};
use zmon_wire::identity::IdentityDocument;
use zmon_wire::kind::V1;
use zmon_wire::strict;

use super::blink::Blinks;
use super::hello::{self, Checked, Refused, Verified};
use super::machine::Core;
use super::output::{DeviceReply, DeviceWrite};
use super::signer::Signer;
use super::state::{Begun, Claim, Claimed, Opening, Pairing, Ready, State, Window};
use super::step::{Outcome, Step};
use super::window;
use crate::convert::wire_suite;

/// A `SessionOpen` arrived. Whatever is wrong with it, the peer gets one answer (D24).
pub(super) fn open(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    hello: &[u8],
    mac: &[u8; 32],
) -> Outcome {
    match state {
        State::Ready(ready) => claim(core, step, ready, hello, mac),
        // A station whose connection broke dials again.
        State::Pairing(_) | State::Configuring(_) | State::Validating(_) => {
            repeated(core, step, state, request_hash(hello, mac))
        }
        State::NotProvisioned | State::Deprovisioned | State::Provisioned(_) | State::Error(_) => {
            (state, closed(core, step, ErrorCode::NotInProvisioningMode))
        }
    }
}

/// A claim while a session stands: the very one that began it gets its answer again, no other does.
pub(super) fn repeated(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    request_hash: [u8; 32],
) -> Outcome {
    match state.opening().filter(|opening| opening.request_hash == request_hash) {
        Some(opening) => {
            let identity = String::from(&*opening.identity);
            (state, Ok(DeviceReply::Identity(identity)))
        }
        None => busy(core, step, state),
    }
}

/// The one answer before a valid claim.
pub(super) fn uniform() -> Result<DeviceReply, ErrorReport> {
    Err(ErrorCode::ClaimRefused.into())
}

/// Another session holds the window.
pub(super) fn busy(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    let code = ErrorCode::SessionBusy;
    (state, deny(core, step, Refused { code, session: None, junk: false }))
}

/// Refuses a claim. Whoever brings it by hand stands at the device and is told why.
pub(super) fn deny(
    core: &mut Core,
    step: &mut Step<'_>,
    mut reason: Refused,
) -> Result<DeviceReply, ErrorReport> {
    let code = reason.code;
    if step.route == Route::Courier {
        reason.junk = false;
        refused(core, step, reason);
        return Err(code.into());
    }
    refused(core, step, reason);
    uniform()
}

/// Nothing is open that could be claimed.
pub(super) fn closed(
    core: &mut Core,
    step: &mut Step<'_>,
    code: ErrorCode,
) -> Result<DeviceReply, ErrorReport> {
    deny(core, step, Refused { code, session: None, junk: true })
}

/// Writes a refusal down, or counts it.
pub(super) fn refused(core: &mut Core, step: &mut Step<'_>, refused: Refused) {
    if refused.junk {
        return core.junk.count(step, refused.code);
    }
    let row = step.failure(EventType::ClaimRefused, Actor::Peer, refused.code);
    let mut row = row.with("route", step.route);
    row.session = refused.session;
    core.junk.refusal(step, row, refused.code);
}

fn claim(
    core: &mut Core,
    step: &mut Step<'_>,
    ready: Box<Ready>,
    bytes: &[u8],
    mac: &[u8; 32],
) -> Outcome {
    let Some(tokens) = &ready.tokens else {
        let denied = closed(core, step, ErrorCode::NotInProvisioningMode);
        return (State::Ready(ready), denied);
    };
    if window::expired(step.now.mono, &ready.window) {
        let code = ErrorCode::PairingCodeExpired;
        let denied = deny(core, step, Refused { code, session: None, junk: false });
        return (State::Ready(ready), denied);
    }
    let verified = match hello::verify(core, step, tokens, bytes, mac) {
        Ok(verified) => verified,
        Err(reason) => {
            let denied = deny(core, step, reason);
            return (State::Ready(ready), denied);
        }
    };
    consume(core, step, ready, verified, bytes, request_hash(bytes, mac))
}

/// The claim is valid, by token or by code: the window is consumed, the identity document answers.
pub(super) fn consume(
    core: &mut Core,
    step: &mut Step<'_>,
    ready: Box<Ready>,
    verified: Verified,
    bytes: &[u8],
    request_hash: [u8; 32],
) -> Outcome {
    let Some(port) = ready.port else {
        let denied = closed(core, step, ErrorCode::NotInProvisioningMode);
        return (State::Ready(ready), denied);
    };
    let session_id = verified.checked.hello.session_id;
    let (tls, identity) = match identify(step, &ready.window.kem, session_id, bytes) {
        Ok(made) => made,
        Err(code) => {
            let denied = deny(core, step, Refused { code, session: None, junk: false });
            return (State::Ready(ready), denied);
        }
    };
    let Ready { mode, window, .. } = *ready;
    let Verified { checked, prk, claimed } = verified;
    record(core, step, &window, &checked);
    let transcript = transcript(bytes, identity.as_bytes());
    let Checked { hello, signer, .. } = checked;
    let now = step.now.mono;
    let claimed = Claimed {
        method: hello.method,
        mode,
        port,
        code: window.code,
        opening: Opening { request_hash, identity: Arc::from(identity.as_str()) },
        _claimed: Arc::new(claimed),
    };
    let claim = Claim {
        begun: Begun::Window(Box::new(claimed)),
        kem: window.kem,
        session_id: hello.session_id,
        station_id: hello.station_id,
        station_name: hello.station_name,
        signer,
        keys: Arc::new(prk.session(&transcript)),
        transcript,
        tls: tls.map(Arc::new),
        deadline: now + limits::SESSION_LIFETIME.default,
    };
    // A person who carries files takes longer than that.
    let release_at = (step.route != Route::Courier).then(|| release_at(now));
    let blinks = Blinks::default();
    let pairing = Pairing { claim, opens: 0, release_at, blinks, offer: None };
    let state = State::Pairing(Box::new(pairing));
    (state, Ok(DeviceReply::Identity(identity)))
}

/// The station releases its side after [`limits::CLAIM_WITHOUT_PAIR`]; a `pair` in the last moment
/// still gets its delivery through.
fn release_at(now: Tick) -> Tick {
    now + limits::CLAIM_WITHOUT_PAIR.default + limits::CLAIM_GRACE.default
}

/// The rows and writes of a valid claim: they are durable before the identity document leaves.
fn record(core: &mut Core, step: &mut Step<'_>, window: &Window, checked: &Checked) {
    let Checked { hello, signer, .. } = checked;
    let row = step
        .row(EventType::PairingCodeValidated, Actor::Peer)
        .session(hello.session_id)
        .code_hash(code_hash(step.ctx.code_hash_key, &window.code))
        .with("station", &hello.station_id)
        .with("certificate", signer.fingerprint())
        .with("stationTrust", step.ctx.profile.trust.level())
        .with("route", step.route);
    step.out.row(row);
    step.out.write(DeviceWrite::ClaimWindow(window.id, hello.session_id));
    remember(core, step, signer, hello.iat);
}

/// What a hello of an anchored station teaches about its site and about time (D14).
pub(super) fn remember(core: &mut Core, step: &mut Step<'_>, signer: &Signer, iat: UnixTime) {
    if signer.is_anchored() {
        remember_site(core, step, signer);
    }
    let trusted = hello::trusted_time(step.now, signer, iat);
    if let Some(trusted) = trusted.filter(|trusted| core.floor < *trusted) {
        core.floor = trusted;
        core.floor_at = step.now.mono;
        step.out.write(DeviceWrite::RaiseFloor(trusted));
    }
}

fn remember_site(core: &mut Core, step: &mut Step<'_>, signer: &Signer) {
    let (site, begun) = (signer.site_id(), signer.not_before());
    match core.sites.iter_mut().find(|(known, _)| known == site) {
        Some((_, latest)) if begun <= *latest => {}
        Some((_, latest)) => {
            *latest = begun;
            step.out.write(DeviceWrite::RememberSite(site.clone(), begun));
        }
        None => {
            core.sites.push((site.clone(), begun));
            step.out.write(DeviceWrite::RememberSite(site.clone(), begun));
        }
    }
}

/// Makes the signed identity document and, unless the station does (D6), the session's TLS key.
pub(super) fn identify(
    step: &mut Step<'_>,
    kem: &KemKey,
    session_id: SessionId,
    hello: &[u8],
) -> Result<(Option<TlsKey>, String), ErrorCode> {
    let profile = step.ctx.profile;
    let public = step.ctx.identity.public();
    let (tls, csr) = if profile.station_made_keys { (None, None) } else { request(step)? };
    let document = IdentityDocument {
        v: V1::default(),
        session_id,
        hello_hash: sha256(hello),
        device_id: profile.device_id.clone(),
        device_serial: profile.serial.clone(),
        firmware_version: profile.firmware.clone(),
        suite: wire_suite(public.suite()),
        identity_key: public.spki_der().to_vec(),
        kem_key: kem.public().to_bytes(),
        csr,
        device_nonce: step.random(),
        key_protection: profile.key_protection,
        clock_quality: step.now.quality,
        audit_checkpoint: step.ctx.checkpoint.map(String::from),
        factory_chain: profile.factory_chain.as_ref().map(CertificateChain::to_x5c),
        station_trust: profile.trust.level(),
    };
    let payload = strict::to_vec(&document).map_err(|_| ErrorCode::Internal)?;
    let signed = jws::sign(Typ::Identity, None, &payload, step.ctx.identity, step.rng)
        .map_err(|error| error.code())?;
    Ok((tls, signed))
}

/// A fresh TLS key and the request for its certificate.
fn request(step: &mut Step<'_>) -> Result<(Option<TlsKey>, Option<Vec<u8>>), ErrorCode> {
    let tls = TlsKey::generate(step.rng).map_err(|error| error.code())?;
    let csr = csr::create(&tls, &step.ctx.profile.device_id, step.rng);
    Ok((Some(tls), Some(csr.map_err(|error| error.code())?)))
}

/// SHA-256 over hello and MAC. The MAC has a fixed length, so the join is unambiguous.
fn request_hash(hello: &[u8], mac: &[u8; 32]) -> [u8; 32] {
    let mut request = hello.to_vec();
    request.extend_from_slice(mac);
    sha256(&request)
}
