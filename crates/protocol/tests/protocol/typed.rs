//! The typed code (D2, T1, T2, T15): tries, runs, and the claim at their end.

use zmon_crypto::pake::PakeError;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{DeviceEvent, DeviceInput, DeviceReply, DeviceWrite, StateKind};
use zmon_protocol::station::{
    DeviceRecord, DeviceTrust, SessionInput, SessionPhase, StationAction, StationEvent,
    StationWrite, TypedTries,
};
use zmon_wire::carry::Message;
use zmon_wire::kind::Method;

use crate::common::typed::{Run, other_code};
use crate::common::{Forge, Pair, actor, forge, operator, seconds};

type Bend = fn(&mut zmon_wire::hello::Hello);

fn ready(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.enter();
    pair
}

fn refused<T: core::fmt::Debug>(answer: Result<T, zmon_domain::error::ErrorReport>) {
    assert_eq!(answer.unwrap_err(), ErrorCode::ClaimRefused.into(), "one answer for every cause");
}

#[test]
fn a_typed_code_pairs_the_device_as_a_scanned_one_does() {
    let mut pair = ready(1);
    let code = pair.code();
    assert_eq!(pair.pair_typed(&code.to_lowercase()), SessionPhase::Paired);
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    assert_eq!(pair.station.current(), pair.link, "one certificate, and it is in use");
    assert_eq!(pair.device.rows(EventType::TypedTryStarted).len(), 1);
    assert_eq!(pair.station.rows(EventType::TypedTryStarted).len(), 1);
    let claimed = pair.device.rows(EventType::PairingCodeValidated);
    assert!(claimed[0].code_hash.is_some());
    let claim = pair.station.writes.iter().find_map(|write| match write {
        StationWrite::Claim { token_id, .. } => Some(*token_id.as_bytes()),
        _ => None,
    });
    assert_eq!(claim.as_ref(), Some(&pair.wire[0].as_slice().try_into().unwrap()), "the window");
    assert_eq!(pair.snapshot().code, None, "the code is gone");
}

#[test]
fn the_try_is_durable_before_the_share_leaves() {
    let mut pair = ready(2);
    let code = pair.code();
    let run = Run::new(&mut pair, &code);
    let input = || DeviceInput::PakeStart { hello: run.hello.clone(), share_p: run.share_p };
    let now = pair.now();
    let transition = pair.device.propose(&now, input());
    assert!(matches!(transition.record.writes[..], [DeviceWrite::SpendTry(_)]));
    assert_eq!(transition.record.audit[0].event, EventType::TypedTryStarted);
    assert!(matches!(transition.reply, Ok(DeviceReply::Share { .. })));
    drop(transition);
    // A store that cannot: nothing was answered, nothing was spent.
    pair.device.audit_down = true;
    assert_eq!(run.start(&mut pair).unwrap_err().code, ErrorCode::AuditUnavailable);
    assert_eq!(pair.device.tries, 0);
    pair.device.audit_down = false;
    for tries in 1..=5 {
        let answer = run.start(&mut pair).unwrap();
        assert_eq!(pair.device.tries, tries, "after its time the same start is a new run");
        assert_eq!(run.start(&mut pair).unwrap(), answer, "the same run");
        assert_eq!(pair.device.tries, tries, "and no other try");
        pair.pass(seconds(31));
    }
    refused(run.start(&mut pair));
    assert_eq!(pair.device.tries, 5);
}

#[test]
fn the_wrong_code_is_told_by_the_station_and_costs_a_try() {
    let mut pair = ready(3);
    let code = pair.code();
    let wrong = other_code(&code);
    for (tries, rule) in [(1, "4 tries are left"), (2, "3 tries are left")] {
        assert_eq!(pair.pair_typed(wrong), SessionPhase::Failed);
        let failed = pair.station.events.iter().rev().find_map(|event| match event {
            StationEvent::Failed(report) => Some(report.clone()),
            _ => None,
        });
        let report = failed.unwrap();
        assert_eq!(report.code, ErrorCode::InvalidPairingCode);
        let detail = report.detail.unwrap();
        assert_eq!(detail.field(), "pairingCode");
        assert!(detail.rule().ends_with(rule), "{}", detail.rule());
        assert_eq!(pair.device.tries, tries);
    }
    assert_eq!(pair.last_confirm, None, "nothing is said after a wrong confirmV");
    assert_eq!(pair.pair_typed(&code), SessionPhase::Paired, "the code was right all along");
}

#[test]
fn five_tries_void_the_window_and_a_new_code_gives_five_more() {
    let mut pair = ready(4);
    let code = pair.code();
    let qr = pair.qr();
    for _ in 0..5 {
        let run = Run::new(&mut pair, other_code(&code));
        run.start(&mut pair).unwrap();
        refused(run.confirm(&mut pair, [0; 32]));
    }
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair, "the state stays");
    let row = pair.device.last();
    assert_eq!(row.event, EventType::PairingCodeExpired);
    assert_eq!(row.error, Some(ErrorCode::TypedTriesExhausted));
    assert!(pair.signals.contains(&DeviceEvent::QrCodeExpired));
    assert!(!pair.device.stored.window_open);
    let snapshot = pair.snapshot();
    assert!(snapshot.code.is_none() && snapshot.qr.is_none());
    // The right code, the QR code of before, and the question: one answer to all of them.
    refused(pair.tell(DeviceInput::AskWindow));
    assert_eq!(pair.pair_typed(&code), SessionPhase::Failed);
    assert_eq!(pair.pair_with(&qr), SessionPhase::Failed);
    pair.tell(DeviceInput::Announce { address: "10.1.50.9".parse().unwrap() }).unwrap();
    pair.tell(DeviceInput::ListenerOpened { port: 4431 }).unwrap();
    assert!(pair.snapshot().qr.is_none(), "a void code is never shown again");
    pair.pass(seconds(60));
    assert!(pair.snapshot().qr.is_none());

    pair.tell(DeviceInput::Regenerate { actor: actor(Role::Technician) }).unwrap();
    pair.station.tries = TypedTries::default();
    assert_ne!(pair.code(), code);
    assert_eq!(pair.device.tries, 0);
    let code = pair.code();
    assert_eq!(pair.pair_typed(&code), SessionPhase::Paired);
}

#[test]
fn the_last_try_may_still_succeed() {
    let mut pair = ready(5);
    let code = pair.code();
    for _ in 0..4 {
        Run::new(&mut pair, other_code(&code)).start(&mut pair).unwrap();
    }
    let last = Run::new(&mut pair, &code);
    let answer = last.start(&mut pair).unwrap();
    let confirm_p = last.confirmation(&answer).unwrap();
    assert!(matches!(last.confirm(&mut pair, confirm_p), Ok(DeviceReply::Identity(_))));
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
}

#[test]
fn a_run_that_nobody_ends_voids_the_window_if_it_was_the_last() {
    let mut pair = ready(6);
    let code = pair.code();
    for _ in 0..4 {
        Run::new(&mut pair, &code).start(&mut pair).unwrap();
        pair.pass(seconds(30));
        assert!(pair.snapshot().code.is_some());
    }
    let last = Run::new(&mut pair, &code);
    let answer = last.start(&mut pair).unwrap();
    pair.pass(seconds(30));
    assert!(pair.snapshot().code.is_none(), "five tries, no confirmation");
    let confirm_p = last.confirmation(&answer).unwrap();
    refused(last.confirm(&mut pair, confirm_p));
}

#[test]
fn strangers_spend_no_try() {
    let mut pair = ready(7);
    let code = pair.code();
    let rows = pair.device.audit.len();
    let run = Run::new(&mut pair, &code);
    // No hello at all, and a hello whose signature is broken.
    let mut broken = run.hello.clone();
    let last = broken.len() - 5;
    broken[last] = if broken[last] == b'A' { b'B' } else { b'A' };
    for hello in [Vec::new(), b"a.b.c".to_vec(), broken] {
        refused(pair.tell(DeviceInput::PakeStart { hello, share_p: run.share_p }));
    }
    // A hello that holds, with a share that is no point.
    refused(pair.tell(DeviceInput::PakeStart { hello: run.hello.clone(), share_p: [7; 65] }));
    assert_eq!(pair.device.last().error, Some(ErrorCode::RequestMalformed));
    // Hellos of anchored stations that are not about this window.
    let bent: [(Bend, ErrorCode); 4] = [
        (|hello| hello.method = Method::Qr, ErrorCode::HelloMalformed),
        (|hello| hello.window_ref = [9; 16], ErrorCode::PairingTokenStale),
        (|hello| hello.device_key16 = [9; 16], ErrorCode::DeviceKeyMismatch),
        (|hello| hello.device_id = "ZM-002".parse().unwrap(), ErrorCode::DeviceMismatch),
    ];
    for (bend, cause) in bent {
        refused(Run::with(&mut pair, &code, bend).start(&mut pair));
        assert_eq!(pair.device.last().error, Some(cause));
    }
    assert_eq!(pair.device.tries, 0);
    assert_eq!(pair.device.rows(EventType::TypedTryStarted).len(), 0);
    assert!(pair.device.audit.len() > rows);
}

#[test]
fn what_begins_by_one_method_does_not_end_by_another() {
    // Begun by the QR code: the typed code comes to nothing, and the other way round.
    let mut pair = ready(8);
    let code = pair.code();
    let run = Run::new(&mut pair, &code);
    let answer = run.start(&mut pair).unwrap();
    let confirm_p = run.confirmation(&answer).unwrap();
    let typed = Run::new(&mut pair, &code);
    let claim = Forge::claim(&mut pair);
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
    refused(run.confirm(&mut pair, confirm_p));
    refused(typed.start(&mut pair));
    refused(pair.tell(DeviceInput::AskWindow));
    // A configuration that speaks of the other method.
    let mut document = claim.document(&mut pair);
    document.method = Method::Typed;
    let envelope = claim.envelope(&mut pair, &document);
    assert!(matches!(claim.deliver(&mut pair, envelope), Ok(DeviceReply::Status(_))));
    let failed = pair.device.rows(EventType::ProvisioningFailed);
    assert_eq!(failed[0].error, Some(ErrorCode::SessionMismatch));

    // A hello of the typed code in a claim by token.
    let mut pair = ready(9);
    let mut hello = forge::hello(&mut pair);
    hello.method = Method::Typed;
    let token = forge::token(&pair);
    let (hello, mac) = forge::claim_of(&mut pair, &hello, &token);
    refused(forge::open(&mut pair, hello, mac));
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}

#[test]
fn a_repeated_confirmation_gets_the_same_document_and_no_other_does() {
    let mut pair = ready(10);
    let code = pair.code();
    let run = Run::new(&mut pair, &code);
    let answer = run.start(&mut pair).unwrap();
    let confirm_p = run.confirmation(&answer).unwrap();
    // Somebody else's confirmation ends nobody's run.
    let stranger = SessionId::from_bytes([1; 16]);
    refused(pair.tell(DeviceInput::PakeConfirm { session_id: stranger, confirm_p: [0; 32] }));
    let first = run.confirm(&mut pair, confirm_p).unwrap();
    assert_eq!(run.confirm(&mut pair, confirm_p).unwrap(), first);
    refused(run.confirm(&mut pair, [0; 32]));
    assert_eq!(pair.device.rows(EventType::PairingCodeValidated).len(), 1);
}

#[test]
fn half_right_and_all_wrong_codes_are_answered_alike() {
    let mut pair = ready(11);
    let code = pair.code();
    // Half of the symbols are right: the check symbol is made to fit.
    let half = (0..32_u8)
        .map(|last| {
            let alphabet = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
            format!("{}-00{}", &code[..7], alphabet[usize::from(last)] as char)
        })
        .find(|text| zmon_domain::code::PairingCode::parse_any(text).is_ok() && *text != code)
        .unwrap();
    let mut answers = Vec::new();
    for typed in [half.as_str(), other_code(&code)] {
        let run = Run::new(&mut pair, typed);
        let answer = run.start(&mut pair).unwrap();
        assert_eq!(run.confirmation(&answer).unwrap_err(), PakeError::Confirmation);
        answers.push(run.confirm(&mut pair, [0x55; 32]).unwrap_err());
        assert_eq!(pair.device.last().error, Some(ErrorCode::InvalidPairingCode));
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_window_that_is_not_open_is_not_named() {
    let mut pair = Pair::new(12);
    refused(pair.tell(DeviceInput::AskWindow));
    pair.enter();
    let code = pair.code();
    let run = Run::new(&mut pair, &code);
    let answer = run.start(&mut pair).unwrap();
    let confirm_p = run.confirmation(&answer).unwrap();
    pair.clock.pass(seconds(601));
    let now = pair.now();
    for input in [
        DeviceInput::AskWindow,
        DeviceInput::PakeStart { hello: run.hello.clone(), share_p: run.share_p },
        DeviceInput::PakeConfirm { session_id: run.session, confirm_p },
    ] {
        refused(pair.device.input(&now, input));
    }
}

#[test]
fn the_station_stops_before_a_try_it_must_not_make() {
    for (tries, code) in [
        (TypedTries { window: 5, hour: 5 }, ErrorCode::TypedTriesExhausted),
        (TypedTries { window: 0, hour: 20 }, ErrorCode::TooManyRequests),
    ] {
        let mut pair = ready(13);
        let typed = pair.code();
        pair.station.tries = tries;
        assert_eq!(pair.pair_typed(&typed), SessionPhase::Failed);
        assert!(pair.station.events.contains(&StationEvent::Failed(code.into())));
        assert_eq!(pair.device.tries, 0);
    }
}

#[test]
fn a_typed_code_needs_a_registered_device() {
    let mut pair = ready(14);
    let code = pair.code();
    pair.station.policy.device_trust = vec![DeviceTrust::Registry, DeviceTrust::Scanned];
    let mut request = pair.station.typed_request(&code, pair.port, None);
    request.device = DeviceRecord::Unknown(pair.device.profile.device_id.clone());
    let now = pair.now();
    let refusal = pair.station.open(&now, request).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::DeviceUnknown);
    assert!(pair.station.actions.is_empty(), "nothing is dialled");
}

#[test]
fn the_question_is_repeated_and_a_run_is_not() {
    let mut pair = ready(15);
    let code = pair.code();
    pair.dials_to_fail = 2;
    assert_eq!(pair.pair_typed(&code), SessionPhase::Dialling);
    pair.pass(seconds(5));
    assert_eq!(pair.phase(), SessionPhase::Paired, "the third question was answered");

    // The answer to a run is lost: the try may be spent, so the station dials no more. Whoever carries
    // the very same start gets the device's answer to it.
    let mut pair = ready(16);
    let code = pair.code();
    let request = pair.station.typed_request(&code, pair.port, None);
    let now = pair.now();
    pair.station.open(&now, request).unwrap();
    pair.station.actions.clear();
    let window_id = crate::common::typed::window(&mut pair);
    let tries = TypedTries::default();
    let input = SessionInput::Window { window_id, tries };
    pair.station.input(&now, input).unwrap();
    assert!(matches!(pair.station.actions.pop_front(), Some(StationAction::StartPake { .. })));
    pair.station.input(&now, SessionInput::DialFailed(ErrorCode::DeviceUnreachable)).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Dialling);
    assert!(pair.station.actions.iter().all(|a| !matches!(a, StationAction::StartPake { .. })));
    let message = pair.station.machine.as_ref().unwrap().message();
    assert!(matches!(message, Some(Message::PakeStart(_))));
    let cancel = SessionInput::Cancel { operator: Some(operator()) };
    pair.station.input(&now, cancel).unwrap();
    // What belongs to another step changes nothing.
    let share = SessionInput::Share { share_v: [4; 65], confirm_v: [0; 32] };
    pair.station.input(&now, share).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Released);
}

#[test]
fn a_lost_confirmation_is_sent_again() {
    let mut pair = ready(18);
    let code = pair.code();
    pair.confirms_to_lose = 2;
    assert_eq!(pair.pair_typed(&code), SessionPhase::Dialling);
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing, "the device has claimed");
    pair.pass(seconds(5));
    assert_eq!(pair.phase(), SessionPhase::Paired, "the third answer arrived");
    assert_eq!(pair.device.rows(EventType::PairingCodeValidated).len(), 1);
    assert_eq!(pair.device.tries, 1);
}

#[test]
fn an_identity_document_before_its_time_is_ignored() {
    let mut pair = ready(17);
    let code = pair.code();
    let request = pair.station.typed_request(&code, pair.port, None);
    let now = pair.now();
    pair.station.open(&now, request).unwrap();
    pair.station.input(&now, SessionInput::Identity(b"a.b.c".to_vec())).unwrap();
    let share = SessionInput::Share { share_v: [4; 65], confirm_v: [0; 32] };
    pair.station.input(&now, share).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Dialling);
    pair.settle();
    assert_eq!(pair.phase(), SessionPhase::Identified);
}
