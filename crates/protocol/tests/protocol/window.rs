//! Windows, codes, tokens and the time they have (D3, D10, D11).

use core::time::Duration;

use zmon_crypto::IdentityKey;
use zmon_crypto::token::PairingToken;
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::{Actor, Role};
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_domain::time::is_expired;
use zmon_protocol::device::{DeviceEvent, DeviceInput, DeviceReply, StateKind};
use zmon_protocol::station::SessionPhase;

use crate::common::forge::{self, claim_of, open};
use crate::common::{Forge, Pair, actor, address, seconds, technician};

fn window() -> Pair {
    let mut pair = Pair::new(11);
    pair.enter();
    pair
}

/// Claims with this token now; the cause in the audit log, if it is refused.
fn try_claim(pair: &mut Pair, token: &PairingToken) -> Result<(), ErrorCode> {
    let mut hello = forge::hello(pair);
    hello.window_ref = *token.id().as_bytes();
    let (bytes, mac) = claim_of(pair, &hello, token);
    match open(pair, bytes, mac) {
        Ok(DeviceReply::Identity(_)) => Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(report) => {
            assert_eq!(report.code, ErrorCode::ClaimRefused, "the peer learns nothing");
            assert_eq!(report.detail, None);
            Err(pair.device.last().error.unwrap())
        }
    }
}

#[test]
fn the_qr_code_says_what_the_documents_want() {
    let mut pair = window();
    let qr = pair.qr();
    let snapshot = pair.snapshot();
    assert_eq!(qr.device_id, pair.device.profile.device_id);
    assert_eq!(qr.ip_address, address());
    assert_eq!(snapshot.code.as_ref().unwrap().as_str(), qr.pairing_code.expose());
    assert_eq!(snapshot.expires_in, Some(seconds(600)));
    let wall = pair.now().wall.unwrap();
    assert_eq!(qr.expires_at, wall + seconds(600));
    let token = forge::token(&pair);
    assert_eq!(token.port(), pair.port);
    assert_eq!(token.thumbprint16(), pair.device.identity.public().thumbprint().short());
    pair.pass(seconds(75));
    assert_eq!(pair.snapshot().expires_in, Some(seconds(525)));
    assert_eq!(pair.qr().expires_at, wall + seconds(600), "code and deadline stay");
    assert_eq!(pair.qr().pairing_code.expose(), qr.pairing_code.expose());
}

#[test]
fn the_token_rotates_every_thirty_seconds_without_a_commit() {
    let mut pair = window();
    let commits = pair.device.commits.len();
    let mut seen = vec![forge::token(&pair).id()];
    for _ in 0..5 {
        pair.pass(Duration::from_millis(29_999));
        assert_eq!(forge::token(&pair).id(), *seen.last().unwrap());
        pair.pass(Duration::from_millis(1));
        assert!(!seen.contains(&forge::token(&pair).id()));
        seen.push(forge::token(&pair).id());
    }
    assert_eq!(pair.device.commits.len(), commits);
    let shown = pair.signals.iter().filter(|s| **s == DeviceEvent::QrCodeGenerated).count();
    assert_eq!(shown, 6);
}

#[test]
fn the_current_and_the_previous_token_are_accepted() {
    let mut pair = window();
    let first = forge::token(&pair);
    pair.pass(seconds(59));
    assert_eq!(try_claim(&mut pair, &first), Ok(()));
}

#[test]
fn a_token_of_sixty_one_seconds_is_stale() {
    let mut pair = window();
    let first = forge::token(&pair);
    pair.pass(seconds(61));
    assert_eq!(try_claim(&mut pair, &first), Err(ErrorCode::PairingTokenStale));
    assert_eq!(pair.device.last().event, E::ClaimRefused);
    let current = forge::token(&pair);
    assert_eq!(try_claim(&mut pair, &current), Ok(()), "the window lives on");
}

#[test]
fn a_late_timer_does_not_lengthen_a_tokens_life() {
    let mut pair = window();
    let first = forge::token(&pair);
    // No timer fires: the device slept.
    pair.clock.pass(seconds(61));
    let mut hello = forge::hello(&mut pair);
    hello.window_ref = *first.id().as_bytes();
    let (hello, claim_mac) = claim_of(&mut pair, &hello, &first);
    let now = pair.now();
    let input = DeviceInput::SessionOpen { hello, claim_mac };
    assert!(pair.device.input(&now, input).is_err());
    assert_eq!(pair.device.last().error, Some(ErrorCode::PairingTokenStale));
}

#[test]
fn a_claim_freezes_rotation_and_hides_the_code() {
    let mut pair = window();
    let _claimed = Forge::claim(&mut pair);
    let snapshot = pair.snapshot();
    assert!(snapshot.code.is_none() && snapshot.qr.is_none());
    assert_eq!(snapshot.state, ProvisioningState::Pairing);
    assert_eq!(snapshot.station_name.unwrap().as_str(), "Central Station North");
    let signals = pair.signals.len();
    pair.pass(seconds(100));
    assert_eq!(pair.signals.len(), signals, "no new QR code");
}

#[test]
fn the_window_ends_at_ten_minutes_exactly() {
    let mut pair = window();
    pair.pass(Duration::from_millis(599_900));
    let token = forge::token(&pair);
    assert!(pair.snapshot().expires_in.unwrap() > Duration::ZERO);
    assert_eq!(try_claim(&mut pair, &token), Ok(()), "9:59.9");

    let mut pair = window();
    pair.pass(Duration::from_millis(599_900));
    let token = forge::token(&pair);
    let hello = forge::hello(&mut pair);
    let (hello, claim_mac) = claim_of(&mut pair, &hello, &token);
    // The claim arrives before the timer does: 10:00.0 still counts, and nothing after it.
    pair.clock.pass(Duration::from_millis(100) + Duration::from_nanos(1));
    let now = pair.now();
    let input = DeviceInput::SessionOpen { hello, claim_mac };
    assert!(pair.device.input(&now, input).is_err());
    assert_eq!(pair.device.last().error, Some(ErrorCode::PairingCodeExpired), "10:00.0");
    pair.settle();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
}

#[test]
fn a_configured_window_ends_when_it_says() {
    for length in [60, 3600] {
        let mut pair = Pair::new(16);
        let profile = pair.device.profile.clone();
        pair.device.profile = profile.with_window(seconds(length)).unwrap();
        pair.enter();
        assert_eq!(pair.snapshot().expires_in, Some(seconds(length)));
        assert_eq!(pair.qr().expires_at, pair.now().wall.unwrap() + seconds(length));
        pair.pass(seconds(length) - Duration::from_millis(100));
        assert_eq!(pair.device.machine.state(), ProvisioningState::ReadyToPair);
        pair.pass(Duration::from_millis(100));
        assert_eq!(pair.device.machine.state(), ProvisioningState::ReadyToPair, "the last instant");
        pair.pass(Duration::from_nanos(1));
        assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
    }
    for length in [59, 3601] {
        let profile = Pair::new(16).device.profile;
        assert_eq!(profile.with_window(seconds(length)).unwrap_err().field(), "window");
    }
}

#[test]
fn an_expired_window_is_told_and_written() {
    let mut pair = window();
    pair.signals.clear();
    pair.trace.clear();
    let from = pair.device.audit.len();
    pair.pass(seconds(601));
    assert_eq!(
        pair.device.log_since(from),
        [
            (E::PairingCodeExpired, Some(ErrorCode::PairingCodeExpired)),
            (E::ProvisioningFailed, Some(ErrorCode::PairingCodeExpired)),
        ]
    );
    let expired = &pair.device.audit[from];
    assert_eq!(expired.detail, [("enteredBy", actor(Role::Technician).to_string())]);
    let tail = &pair.signals[pair.signals.len() - 3..];
    assert_eq!(tail[0], DeviceEvent::QrCodeExpired);
    assert_eq!(tail[1], DeviceEvent::ProvisioningFailed(ErrorCode::PairingCodeExpired.into()));
    assert!(matches!(tail[2], DeviceEvent::StatusChanged(_)));
    assert_eq!(pair.trace, ["CloseListener"]);
    assert!(!pair.device.stored.window_open);
    assert_eq!(pair.snapshot().last_error.unwrap().code, ErrorCode::PairingCodeExpired);
    assert!(is_expired(pair.now().wall.unwrap() + seconds(1), pair.now().wall.unwrap()));
}

#[test]
fn an_expired_window_of_a_provisioned_device_keeps_slot_a() {
    let mut pair = Pair::provisioned(12);
    pair.reprovision();
    let state = ProvisioningState::Reprovisioning(ReprovisioningPhase::ReadyToPair);
    assert_eq!(pair.device.machine.state(), state);
    pair.pass(seconds(601));
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    assert_eq!(pair.snapshot().last_error.unwrap().code, ErrorCode::PairingCodeExpired);
    assert!(pair.device.stored.slot_a.is_some() && pair.link.is_some());
}

#[test]
fn regenerate_voids_code_token_window_and_key() {
    let mut pair = window();
    pair.pass(seconds(300));
    let (token, code) = (forge::token(&pair), pair.qr().pairing_code.expose().to_owned());
    let id = pair.device.window;
    let from = pair.device.audit.len();
    pair.tell(DeviceInput::Regenerate { actor: Actor::Local }).unwrap();
    assert_ne!(pair.device.window, id);
    assert_ne!(pair.qr().pairing_code.expose(), code);
    assert_eq!(pair.snapshot().expires_in, Some(seconds(600)), "a code lives ten minutes [W §4]");
    assert_eq!(
        pair.device.log_since(from),
        [(E::PairingCodeRegenerated, None), (E::PairingCodeGenerated, None)]
    );
    let rows = &pair.device.audit[from..];
    assert!(rows.iter().all(|row| row.actor == Actor::Local), "who asked, not who entered");
    assert!(pair.listening);
    assert_eq!(try_claim(&mut pair, &token), Err(ErrorCode::PairingTokenStale));
    assert_eq!(pair.pair(), SessionPhase::Paired);
}

#[test]
fn the_address_can_be_announced() {
    let mut pair = window();
    let token = forge::token(&pair).id();
    pair.tell(DeviceInput::Announce { address: address() }).unwrap();
    assert_eq!(forge::token(&pair).id(), token, "the same address shows the same code again");
    let other = "10.1.50.105".parse().unwrap();
    pair.tell(DeviceInput::Announce { address: other }).unwrap();
    assert_ne!(forge::token(&pair).id(), token);
    assert_eq!(pair.qr().ip_address, other);
    let _claimed = Forge::claim(&mut pair);
    let refused = pair.tell(DeviceInput::Announce { address: address() }).unwrap_err();
    assert_eq!(refused.code, ErrorCode::StateConflict);
    let mut idle = Pair::new(13);
    let refused = idle.tell(DeviceInput::Announce { address: address() }).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotInProvisioningMode);
}

#[test]
fn without_a_listener_the_window_ends() {
    let mut pair = Pair::new(14);
    let now = pair.now();
    let proof = technician(&now);
    pair.device.input(&now, DeviceInput::Enter { proof, address: address() }).unwrap();
    pair.device.actions.clear();
    assert!(pair.snapshot().qr.is_none(), "no port, no token");
    assert!(pair.snapshot().code.is_some());
    pair.tell(DeviceInput::ListenerFailed).unwrap();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
    assert_eq!(pair.device.last().error, Some(ErrorCode::ListenerFailed));
}

#[test]
fn a_listener_that_comes_too_late_is_closed_and_port_zero_shows_nothing() {
    let mut pair = Pair::new(15);
    pair.tell(DeviceInput::ListenerOpened { port: 4430 }).unwrap();
    assert_eq!(pair.trace, ["CloseListener"]);
    pair.port = 0;
    pair.enter();
    assert!(pair.snapshot().qr.is_none());
}

#[test]
fn a_claim_that_nothing_follows_is_released_with_a_new_code() {
    let mut pair = window();
    let code = pair.qr().pairing_code.expose().to_owned();
    let claimed = Forge::claim(&mut pair);
    pair.pass(seconds(149));
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
    let from = pair.device.audit.len();
    pair.pass(seconds(1));
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
    assert_eq!(
        pair.device.log_since(from),
        [(E::SessionReleased, Some(ErrorCode::SessionExpired)), (E::PairingCodeGenerated, None)]
    );
    assert_ne!(pair.qr().pairing_code.expose(), code);
    // The released session is gone for good.
    let document = claimed.document(&mut pair);
    let envelope = claimed.envelope(&mut pair, &document);
    let refused = claimed.deliver(&mut pair, envelope).unwrap_err();
    assert_eq!(refused.code, ErrorCode::ClaimRefused);
    assert_eq!(pair.pair(), SessionPhase::Paired);
}

#[test]
fn claims_are_not_released_for_ever() {
    let mut pair = window();
    for _ in 0..3 {
        let _claimed = Forge::claim(&mut pair);
        pair.pass(seconds(150));
        assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
    }
    let _claimed = Forge::claim(&mut pair);
    pair.pass(seconds(150));
    assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
    assert_eq!(pair.snapshot().last_error.unwrap().code, ErrorCode::SessionExpired);
}

#[test]
fn both_sides_release_a_scan_without_pair() {
    let mut pair = window();
    assert_eq!(pair.scan(), SessionPhase::Identified);
    pair.pass(seconds(120));
    assert_eq!(pair.phase(), SessionPhase::Released);
    assert_eq!(pair.station.reservation, None);
    pair.pass(seconds(30));
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
    assert_eq!(pair.pair(), SessionPhase::Paired);
}

#[test]
fn a_claimed_session_ends_after_fifteen_minutes() {
    let mut pair = window();
    let claimed = Forge::claim(&mut pair);
    // An envelope that came through the MAC keeps the claim from being released.
    let envelope = claimed.for_another_key().seal(&mut pair, b"x");
    let refused = claimed.deliver(&mut pair, envelope.clone()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::EnvelopeOpenFailed);
    pair.pass(seconds(899));
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
    pair.clock.pass(seconds(1));
    let now = pair.now();
    let late = DeviceInput::Configuration { envelope };
    assert_eq!(pair.device.input(&now, late).unwrap_err().code, ErrorCode::SessionExpired);
    pair.settle();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
    assert_eq!(pair.device.last().error, Some(ErrorCode::SessionExpired));
}
