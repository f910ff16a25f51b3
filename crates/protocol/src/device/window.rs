//! Windows, codes and tokens (D3, D10).

use alloc::sync::Arc;
use alloc::vec::Vec;

use zmon_crypto::token::{PairingToken, TokenInputs};
use zmon_crypto::{KemKey, code_hash};
use zmon_domain::audit::EventType;
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{TokenId, WindowId};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::route::Route;
use zmon_domain::time::Tick;
use zmon_wire::qr::QrContent;
use zmon_wire::secret::SecretText;

use super::machine::Core;
use super::output::{DeviceAction, DeviceEvent, DeviceWrite};
use super::state::{Minted, Mode, Ready, State, Tokens, Typed, Window};
use super::step::Step;

/// Makes what a window is made of: id, code, kemKey and deadline. Nothing is open yet.
pub(super) fn generate(core: &Core, step: &mut Step<'_>) -> Result<Window, ErrorReport> {
    let profile = step.ctx.profile;
    let suite = step.ctx.identity.public().suite();
    let kem = KemKey::generate(suite, step.rng).map_err(|error| error.code())?;
    // Without any clock the text in the QR code counts from the floor; what binds is `deadline`.
    let wall = step.now.wall.unwrap_or(core.floor);
    Ok(Window {
        id: WindowId::generate(step.rng),
        code: Arc::new(PairingCode::generate(profile.code_format, step.rng)),
        kem,
        deadline: step.now.mono + profile.window(),
        expires_at: wall + profile.window(),
    })
}

/// Opens a window: rows, write, listener. The token follows when the port is known.
pub(super) fn open(core: &mut Core, step: &mut Step<'_>, mode: Mode, window: Window) -> State {
    core.finished = None;
    core.address = Some(mode.address);
    step.out.write(DeviceWrite::OpenWindow(window.id));
    let row = step
        .row(EventType::ProvisioningModeEntered, mode.actor.clone())
        .with("address", mode.address);
    step.out.row(row);
    generated_row(step, mode.actor.clone(), &window);
    step.out.act(DeviceAction::OpenListener);
    State::Ready(alloc::boxed::Box::new(ready(mode, window)))
}

/// Replaces the window by another one while the listener stays open (D10, D11). `actor` is who
/// wanted the new code; the mode stays that of whoever entered it.
pub(super) fn replace(
    step: &mut Step<'_>,
    mode: Mode,
    window: Window,
    port: Option<u16>,
    actor: Actor,
) -> State {
    step.out.write(DeviceWrite::OpenWindow(window.id));
    generated_row(step, actor, &window);
    let mut ready = ready(mode, window);
    if let Some(port) = port {
        show(step, &mut ready, port);
    }
    State::Ready(alloc::boxed::Box::new(ready))
}

/// Mints the next token of the window and shows it. The one shown before stays valid (D10).
///
/// Port 0 comes from no listener; the window then stays without a token. A void code is shown no more.
pub(super) fn show(step: &mut Step<'_>, ready: &mut Ready, port: u16) {
    if ready.is_void() {
        return;
    }
    let Some((current, qr)) = mint(step, &ready.mode, &ready.window, port) else { return };
    let (previous, earlier) = match ready.tokens.take().filter(|old| old.port == port) {
        Some(old) => {
            let mut earlier = old.earlier;
            earlier.extend(old.previous);
            let too_many = earlier.len().saturating_sub(limits::COURIER_TOKENS.default);
            drop(earlier.drain(..too_many));
            (Some(old.current), earlier)
        }
        None => (None, Vec::new()),
    };
    let rotate_at = step.now.mono + step.ctx.profile.rotation();
    ready.port = Some(port);
    ready.tokens = Some(Tokens { port, current, previous, earlier, qr: Arc::new(qr), rotate_at });
    step.out.signal(DeviceEvent::QrCodeGenerated);
}

/// The token with this id, if it is the current or previous one and was shown lately enough. Whoever
/// brings a hello by hand is slower than the rotation: any token of this window will do.
pub(super) fn accepted<'a>(
    step: &Step<'_>,
    tokens: &'a Tokens,
    id: &TokenId,
) -> Option<&'a Arc<PairingToken>> {
    // Two rotations: a timer that came late must not lengthen a token's life.
    let life = step.ctx.profile.rotation() * 2;
    let brought = step.route == Route::Courier;
    let earlier = tokens.earlier.iter().filter(|_| brought);
    [Some(&tokens.current), tokens.previous.as_ref()]
        .into_iter()
        .flatten()
        .chain(earlier)
        .filter(|minted| brought || step.now.mono < minted.at + life)
        .find(|minted| minted.token.id() == *id)
        .map(|minted| &minted.token)
}

/// Whether the window's time is over; 10:00.0 still counts, as the QR code's own `expiresAt` does.
pub(super) fn expired(now: Tick, window: &Window) -> bool {
    now > window.deadline
}

fn ready(mode: Mode, window: Window) -> Ready {
    Ready { mode, window, tokens: None, port: None, typed: Typed::default() }
}

fn generated_row(step: &mut Step<'_>, actor: Actor, window: &Window) {
    let hash = code_hash(step.ctx.code_hash_key, &window.code);
    let row =
        step.row(EventType::PairingCodeGenerated, actor).code_hash(hash).with("window", window.id);
    step.out.row(row);
}

fn mint(
    step: &mut Step<'_>,
    mode: &Mode,
    window: &Window,
    port: u16,
) -> Option<(Minted, QrContent)> {
    let nonce = step.random();
    let profile = step.ctx.profile;
    let inputs = TokenInputs {
        window_id: &window.id,
        port,
        nonce: &nonce,
        thumbprint16: &step.ctx.identity.public().thumbprint().short(),
        device_id: &profile.device_id,
        serial: &profile.serial,
        ip: &mode.address,
        code: &window.code,
        expires_at: window.expires_at,
    };
    let token = PairingToken::mint(step.ctx.token_key, &inputs).ok()?;
    let qr = QrContent {
        device_id: profile.device_id.clone(),
        device_serial: profile.serial.clone(),
        ip_address: mode.address,
        pairing_code: SecretText::new(&window.code.display()),
        pairing_token: SecretText::new(&token.to_base64url()),
        expires_at: window.expires_at,
        firmware_version: profile.firmware.clone(),
    };
    Some((Minted { token: Arc::new(token), at: step.now.mono }, qr))
}
