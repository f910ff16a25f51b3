//! Who answered: nonce, ids, registry, key, request (D9).

use alloc::boxed::Box;
use alloc::sync::Arc;

use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::schedule::transcript;
use zmon_crypto::x509::csr;
use zmon_crypto::{IdentityPublic, KemPublic, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::kind::{KeyProtection, TrustLevel};
use zmon_wire::strict;

use super::context::{DeviceRecord, RegistryEntry, SessionContext};
use super::io::{StationEvent, StationWrite};
use super::state::{ClientKey, Core, Dialling, Ground, Identified, Newcomer, State};
use super::step::{Outcome, Step, done};
use super::{end, issue, vouch};
use crate::checkpoint::{self, Standing};
use crate::convert::wire_suite;

/// The device's answer to the claim.
pub(super) fn identity(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    bytes: &[u8],
) -> Outcome {
    let dialling = match state {
        State::Dialling(dialling) if dialling.call.claim().is_some() => dialling,
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => return again(core, state, bytes),
    };
    let verified = verify(step, core, &dialling, bytes);
    let (mut device, document, standing, ground) = match verified {
        Ok(verified) => verified,
        Err(code) => {
            if code == ErrorCode::DeviceKeyConflict {
                end::alarm(core, step);
            } else if code == ErrorCode::AuditRolledBack {
                step.events.push(StationEvent::Alarm(code.into()));
            }
            step.failure(core, EventType::IdentityRefused, Actor::Peer, code);
            return done(end::fail(core, step, State::Dialling(dialling), code.into()));
        }
    };
    step.write(StationWrite::Claim { session_id: core.session_id, token_id: core.token_id });
    let checkpoint = document.audit_checkpoint.filter(|_| standing == Standing::Newer);
    let device_id = core.device_id.clone();
    match (&core.record, checkpoint) {
        (DeviceRecord::Unknown(_), checkpoint) => {
            let entry = RegistryEntry {
                device_id,
                serial: document.device_serial.clone(),
                identity_key: device.public.thumbprint(),
                decommissioned: false,
            };
            device.newcomer = Some(Box::new(Newcomer { entry, checkpoint, ground }));
        }
        (DeviceRecord::Known(_), Some(checkpoint)) => {
            step.write(StationWrite::PeerCheckpoint { device_id, checkpoint });
        }
        (DeviceRecord::Known(_), None) => {}
    }
    let row = AuditEvent::new(EventType::SessionClaimed, Actor::Peer)
        .with("deviceSerial", &document.device_serial)
        .with("firmwareVersion", &document.firmware_version)
        .with("keyProtection", document.key_protection)
        .with("clockQuality", document.clock_quality)
        .with("stationTrust", document.station_trust);
    step.row(core, ground.on(row));
    step.events.push(StationEvent::Identified {
        identity_key: device.public.thumbprint(),
        device_serial: document.device_serial,
        firmware_version: document.firmware_version,
    });
    if core.details.is_some() {
        return done(issue::begin(core, step, Box::new(device)));
    }
    done(State::Identified(Box::new(device)))
}

/// The same document again is the same answer; a device that fetches may send it twice.
fn again(core: &Core, state: State, bytes: &[u8]) -> Outcome {
    let known = state.device().is_some_and(|device| *device.document == *bytes);
    if core.operator.is_some() || known {
        return done(state);
    }
    (state, Err(ErrorCode::StateConflict.into()))
}

/// The registry holds id, serial number or key in another row: refused and alarmed.
pub(super) fn conflict(core: &mut Core, step: &mut Step<'_>, state: State) -> Outcome {
    match state {
        State::Dialling(_) | State::Identified(_) | State::Issuing(_) => {
            end::alarm(core, step);
            let code = ErrorCode::DeviceKeyConflict;
            step.failure(core, EventType::IdentityRefused, Actor::Peer, code);
            done(end::fail(core, step, state, code.into()))
        }
        State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => done(state),
    }
}

fn verify(
    step: &Step<'_>,
    core: &Core,
    dialling: &Dialling,
    bytes: &[u8],
) -> Result<(Identified, IdentityDocument, Standing, Ground), ErrorCode> {
    let ctx = step.ctx;
    let jws = Unverified::parse(bytes).map_err(|_| ErrorCode::IdentityInvalid)?;
    // Read before it is verified, only to find the key; the registry vouches for that key below.
    let claimed: IdentityDocument =
        strict::parse(jws.payload_unverified(), limits::BODY_MAX.default)
            .map_err(|_| ErrorCode::IdentityInvalid)?;
    let public = IdentityPublic::parse(&claimed.identity_key).map_err(|error| error.code())?;
    check_key(core, &public)?;
    let verified = jws
        .verify_with(Typ::Identity, &public, ctx.algorithms)
        .map_err(|_| ErrorCode::IdentityInvalid)?;
    let (hello, prk) = dialling.call.claim().ok_or(ErrorCode::Internal)?;
    // `claimed` was parsed from the very bytes that are verified now.
    let document = claimed;
    if document.session_id != core.session_id || document.hello_hash != sha256(hello.as_bytes()) {
        return Err(ErrorCode::SessionMismatch);
    }
    check_device(core, &document)?;
    check_policy(ctx, &public, &document)?;
    let ground = vouch::ground(step, core, &public, &document)?;
    let standing = check_log(ctx, &public, &document)?;
    let kem = KemPublic::parse(&document.kem_key).map_err(|error| error.code())?;
    if kem.suite() != public.suite() {
        return Err(ErrorCode::SuiteUnsupported);
    }
    let client = client_key(ctx, &public, &document)?;
    let transcript = transcript(hello.as_bytes(), bytes);
    let device = Identified {
        keys: Arc::new(prk.session(&transcript)),
        serial: document.device_serial.clone(),
        firmware: document.firmware_version.clone(),
        hello: Arc::clone(hello),
        document: Arc::from(bytes),
        claim: dialling.call.to_claim(core.session_id),
        _signature: verified.proof(),
        public,
        kem,
        client,
        newcomer: None,
        trust: document.station_trust,
        transcript,
    };
    Ok((device, document, standing, ground))
}

/// The requested key, or none yet where the station makes it; both sides must mean the same (D6).
fn client_key(
    ctx: &SessionContext<'_>,
    public: &IdentityPublic,
    document: &IdentityDocument,
) -> Result<ClientKey, ErrorCode> {
    let request = match (&document.csr, ctx.policy.station_made_keys) {
        (Some(request), false) => request,
        (None, true) => return Ok(ClientKey::Made(None)),
        (Some(_), true) => return Err(ErrorCode::StationKeyNotAllowed),
        (None, false) => return Err(ErrorCode::StationKeyNotOffered),
    };
    let csr = csr::verify(request, ctx.algorithms).map_err(|error| error.code())?;
    if csr.public_key() == public || csr.spki_der() == document.kem_key.as_slice() {
        return Err(ErrorCode::CsrInvalid);
    }
    Ok(ClientKey::Requested(csr))
}

/// The registry's key, or at least the one in the scanned token and in TLS.
fn check_key(core: &Core, public: &IdentityPublic) -> Result<(), ErrorCode> {
    if core.key16.is_some_and(|scanned| public.thumbprint().short() != scanned) {
        return Err(ErrorCode::DeviceKeyMismatch);
    }
    match &core.record {
        DeviceRecord::Known(entry) if entry.identity_key != public.thumbprint() => {
            Err(ErrorCode::DeviceKeyConflict)
        }
        DeviceRecord::Known(_) | DeviceRecord::Unknown(_) => Ok(()),
    }
}

fn check_device(core: &Core, document: &IdentityDocument) -> Result<(), ErrorCode> {
    let expected = match &core.record {
        DeviceRecord::Known(entry) => Some(&entry.serial),
        DeviceRecord::Unknown(_) => core.scanned_serial.as_ref(),
    };
    if document.device_id != core.device_id
        || expected.is_some_and(|serial| *serial != document.device_serial)
    {
        return Err(ErrorCode::DeviceMismatch);
    }
    Ok(())
}

/// A device that has shown its log once keeps showing one that goes on from there.
fn check_log(
    ctx: &SessionContext<'_>,
    public: &IdentityPublic,
    document: &IdentityDocument,
) -> Result<Standing, ErrorCode> {
    match (&document.audit_checkpoint, ctx.peer_checkpoint) {
        (Some(checkpoint), kept) => checkpoint::verify(checkpoint, public, kept, ctx.algorithms),
        (None, None) => Ok(Standing::Known),
        (None, Some(_)) => Err(ErrorCode::AuditRolledBack),
    }
}

fn check_policy(
    ctx: &SessionContext<'_>,
    public: &IdentityPublic,
    document: &IdentityDocument,
) -> Result<(), ErrorCode> {
    if document.suite != wire_suite(public.suite()) || !ctx.policy.suites.contains(&public.suite())
    {
        return Err(ErrorCode::SuiteUnsupported);
    }
    if !ctx.policy.station_trust.contains(&document.station_trust) {
        return Err(match document.station_trust {
            TrustLevel::Anchored => ErrorCode::StationNotAnchored,
            TrustLevel::Proximity => ErrorCode::ProximityNotAllowed,
            TrustLevel::Simulated => ErrorCode::SimulationUnavailable,
        });
    }
    match document.key_protection {
        KeyProtection::File if ctx.policy.require_hardware_keys => Err(ErrorCode::IdentityInvalid),
        KeyProtection::File | KeyProtection::Hardware => Ok(()),
    }
}
