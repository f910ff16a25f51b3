//! The scan, or the device's own request: who may work on which device, where it is, and the hello
//! (D9, D11, D18, D23).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls_pki_types::CertificateDer;
use zmon_crypto::Secret32;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::schedule::Prk;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::route::Route;
use zmon_wire::hello::Hello;
use zmon_wire::kind::{Method, V1};
use zmon_wire::strict;

use super::blink::Blinks;
use super::context::{DeviceRecord, OpenRequest, Opening, PullOrder, SessionContext};
use super::io::{Refusal, SessionTransition, StationAction, StationEvent, StationWrite, Target};
use super::state::{Call, Core, Dialling, Failed, State};
use super::step::Step;
use super::{dial, end};

/// Starts a session, or refuses it with a row.
pub(super) fn open(mut step: Step<'_>, request: OpenRequest) -> SessionTransition {
    let now = step.now.mono;
    let policy = step.ctx.policy;
    let OpenRequest { opening, code, pair, reservation, .. } = request;
    let device_id = match &request.device {
        DeviceRecord::Known(entry) => entry.device_id.clone(),
        DeviceRecord::Unknown(id) => id.clone(),
    };
    let thumbprint16 = match (&opening, &request.device) {
        (Opening::Scanned(token), _) => token.thumbprint16(),
        // The registry says which key must answer there.
        (Opening::Typed { .. }, DeviceRecord::Known(entry)) => entry.identity_key.short(),
        // Without a key to expect the device is not dialled; `check` refuses it.
        (Opening::Typed { .. }, DeviceRecord::Unknown(_)) => [0; 16],
    };
    let place = request.address.zip(opening.port());
    let core = Core {
        session_id: request.session_id,
        device_id,
        operator: Some((request.operator, request.role)),
        record: request.device,
        scanned_serial: request.scanned_serial,
        method: match &opening {
            Opening::Scanned(_) => Method::Qr,
            Opening::Typed { .. } => Method::Typed,
        },
        token_id: opening.reference(&request.session_id),
        target: place.map(|(address, port)| Target { address, port, thumbprint16 }),
        key16: Some(thumbprint16),
        pushes: request.delivery == Route::Push,
        route: request.delivery,
        fetched: None,
        blinks: Blinks::default(),
        code: Some(Arc::new(code)),
        details: pair,
        pair_by: now + policy.claim_without_pair,
        deadline: now + policy.session_lifetime,
    };
    if let Some(held) = reservation {
        let report = ErrorReport::from(ErrorCode::SessionReserved);
        let refusal = Refusal { report, holder: Some(held.operator) };
        return refused(step, core, refusal);
    }
    if let Err(code) = check(step.ctx, &core) {
        return refused(step, core, code.into());
    }
    let call = match call(&mut step, &core, &opening) {
        Ok(call) => call,
        Err(code) => return refused(step, core, code.into()),
    };
    reserve(&core, &mut step);
    let row = AuditEvent::new(EventType::SessionOpened, core.actor());
    let row = match place {
        Some((address, port)) => row.with("address", address).with("port", port),
        None => row,
    };
    let row = row.with("method", core.method.number());
    let row = match &opening {
        Opening::Scanned(_) => row.with("token", core.token_id),
        Opening::Typed { .. } => row,
    };
    step.row(&core, row);
    let dialling = Dialling { call, attempt: 1, retry_at: None };
    dial::send(&core, &mut step, &dialling);
    step.finish(None, core, State::Dialling(Box::new(dialling)), Ok(()))
}

/// Starts a session that the device asked for by itself, or refuses it with a row (D23).
pub(super) fn pull(mut step: Step<'_>, order: PullOrder) -> SessionTransition {
    let PullOrder { session_id, device, reservation, pull_id, method, .. } = order;
    let core = Core {
        session_id,
        device_id: device.device_id.clone(),
        operator: None,
        method: method.method(),
        record: DeviceRecord::Known(device),
        scanned_serial: None,
        token_id: pull_id,
        target: None,
        key16: None,
        pushes: false,
        route: Route::Pull,
        fetched: None,
        blinks: Blinks::default(),
        code: None,
        details: Some(order.details),
        pair_by: step.now.mono,
        // The device answers at once, or has gone.
        deadline: step.now.mono + step.ctx.policy.claim_without_pair,
    };
    if reservation.is_some() {
        return refused(step, core, ErrorCode::SessionReserved.into());
    }
    if let Err(code) = check(step.ctx, &core) {
        return refused(step, core, code.into());
    }
    let hello = match sign_hello(&mut step, &core) {
        Ok(signed) => signed,
        Err(code) => return refused(step, core, code.into()),
    };
    let ikm = Secret32::generate(step.rng);
    let prk = Prk::from_hello(hello.as_bytes(), ikm.expose());
    reserve(&core, &mut step);
    let mut row = AuditEvent::new(EventType::SessionOpened, core.actor())
        .with("method", method)
        .with("serial", order.serial)
        .with("pull", core.token_id);
    if let Some(counter) = order.counter {
        row = row.with("counter", counter);
    }
    step.row(&core, row);
    let call = Call::Offered { hello: Arc::from(hello.as_str()), prk };
    let dialling = Dialling { call, attempt: 1, retry_at: None };
    step.act(StationAction::Offer { hello, ikm });
    step.finish(None, core, State::Dialling(Box::new(dialling)), Ok(()))
}

fn reserve(core: &Core, step: &mut Step<'_>) {
    step.write(StationWrite::Reserve {
        session_id: core.session_id,
        device_id: core.device_id.clone(),
        operator: core.operator.as_ref().map(|(id, _)| id.clone()),
        token_id: core.token_id,
    });
}

/// Nothing is reserved, nothing dialled; a row says why. A foreign key for a known device is an alarm.
fn refused(mut step: Step<'_>, core: Core, refusal: Refusal) -> SessionTransition {
    let code = refusal.report.code;
    if code == ErrorCode::DeviceKeyConflict {
        end::alarm(&core, &mut step);
    }
    let mut row = AuditEvent::failed(EventType::PairingFailed, core.actor(), code);
    if let Some(target) = &core.target {
        row = row.with("address", target.address);
    }
    step.row(&core, row);
    step.events.push(StationEvent::Failed(refusal.report.clone()));
    let state = State::Failed(Box::new(Failed { report: refusal.report.clone() }));
    // No session row: the session never began.
    let phase = state.phase();
    step.finish(Some(phase), core, state, Err(refusal))
}

fn check(ctx: &SessionContext<'_>, core: &Core) -> Result<(), ErrorCode> {
    match &core.record {
        DeviceRecord::Known(entry) => {
            if entry.decommissioned {
                return Err(ErrorCode::DeviceDecommissioned);
            }
            if core.key16.is_some_and(|scanned| entry.identity_key.short() != scanned) {
                return Err(ErrorCode::DeviceKeyConflict);
            }
            if core.scanned_serial.as_ref().is_some_and(|scanned| *scanned != entry.serial) {
                return Err(ErrorCode::DeviceMismatch);
            }
        }
        // A typed code says nothing about the key behind an address (D9).
        DeviceRecord::Unknown(_) => {
            if core.method != Method::Qr || !ctx.policy.takes_unregistered() {
                return Err(ErrorCode::DeviceUnknown);
            }
        }
    }
    match &core.target {
        // Nobody is dialled on another route, wherever the device says it is.
        Some(Target { address, port, .. }) if core.pushes => {
            ctx.policy.networks.permits(*address, *port).map_err(|error| error.code())
        }
        None if core.pushes => Err(ErrorCode::AddressNotPermitted),
        Some(_) | None => Ok(()),
    }
}

/// The first word to the device.
fn call(step: &mut Step<'_>, core: &Core, opening: &Opening) -> Result<Call, ErrorCode> {
    let token = match opening {
        Opening::Scanned(token) => token,
        Opening::Typed { .. } => return Ok(Call::Window),
    };
    let hello = sign_hello(step, core)?;
    let prk = Prk::from_token(hello.as_bytes(), token);
    let claim_mac = prk.claim_mac(hello.as_bytes());
    Ok(Call::Claim { hello: Arc::from(hello), claim_mac, prk })
}

/// The hello of this session: who, which device, which token, window or pull.
pub(super) fn sign_hello(step: &mut Step<'_>, core: &Core) -> Result<String, ErrorCode> {
    let device_key16 = match (core.key16, &core.record) {
        (Some(key16), _) => key16,
        (None, DeviceRecord::Known(entry)) => entry.identity_key.short(),
        (None, DeviceRecord::Unknown(_)) => return Err(ErrorCode::DeviceUnknown),
    };
    let mut station_nonce = [0; 32];
    step.rng.fill_bytes(&mut station_nonce);
    let hello = Hello {
        v: V1::default(),
        session_id: core.session_id,
        station_id: step.ctx.station_id.clone(),
        station_name: step.ctx.name.clone(),
        site_id: step.ctx.site_id.clone(),
        method: core.method,
        device_id: core.device_id.clone(),
        window_ref: *core.token_id.as_bytes(),
        device_key16,
        station_nonce,
        iat: step.wall()?,
    };
    let payload = strict::to_vec(&hello).map_err(|_| ErrorCode::Internal)?;
    sign(step, Typ::Hello, &payload)
}

/// Signs with the configuration-signing key, its chain in the header.
pub(super) fn sign(step: &mut Step<'_>, typ: Typ, payload: &[u8]) -> Result<String, ErrorCode> {
    sign_with(step.ctx, step.rng, typ, payload)
}

/// As [`sign`], without a step.
pub(super) fn sign_with(
    ctx: &SessionContext<'_>,
    rng: &mut dyn rand_core::CryptoRng,
    typ: Typ,
    payload: &[u8],
) -> Result<String, ErrorCode> {
    let chain: Vec<_> =
        ctx.signing_chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    jws::sign(typ, Some(&chain), payload, ctx.signer, rng).map_err(|error| error.code())
}
