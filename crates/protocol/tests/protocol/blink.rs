//! Which of ten monitors is it? Only the station that has claimed one has it blink, for a while, and
//! whatever happens then the pairing goes on.

use core::num::NonZeroU32;

use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::limits;
use zmon_domain::role::{Actor, Role};
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_protocol::station::{Blink, SessionInput, SessionMachine, SessionPhase, StationAction};
use zmon_wire::blink::BlinkRequest;
use zmon_wire::carry::Message;

use crate::common::carry::Trip;
use crate::common::{Pair, details, operator, seconds};

/// Claimed by a scan; `pair` is awaited.
fn claimed(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.enter();
    assert_eq!(pair.scan(), SessionPhase::Identified);
    pair
}

/// The operator asks, and everything that follows.
fn ask(pair: &mut Pair) -> Result<(), ErrorCode> {
    let now = pair.now();
    let input = SessionInput::Blink { operator: operator() };
    let answer = pair.station.input(&now, input).map_err(|refusal| refusal.report.code);
    pair.settle();
    answer
}

/// A request that the network has lost.
fn lost(pair: &mut Pair) -> BlinkRequest {
    let now = pair.now();
    pair.station.input(&now, SessionInput::Blink { operator: operator() }).unwrap();
    let action = pair.station.actions.pop_front();
    let Some(StationAction::Blink { request, .. }) = action else { panic!("{action:?}") };
    let failed = SessionInput::BlinkFailed(ErrorCode::DeviceUnreachable);
    pair.station.input(&now, failed).unwrap();
    request
}

fn confirm(pair: &mut Pair) {
    let now = pair.now();
    let (operator, details) = (operator(), details("ICU-3B"));
    pair.station.input(&now, SessionInput::Pair { operator, details }).unwrap();
    pair.settle();
}

fn rows(pair: &Pair) -> [usize; 2] {
    let of = |rows: &[zmon_domain::audit::AuditEvent]| {
        rows.iter().filter(|row| row.event == EventType::MonitorBlinked && row.success).count()
    };
    [of(&pair.device.audit), of(&pair.station.audit)]
}

fn tell(pair: &mut Pair, request: BlinkRequest) -> Result<DeviceReply, ErrorCode> {
    let BlinkRequest { session_id, number, mac } = request;
    pair.tell(DeviceInput::Blink { session_id, number, mac }).map_err(|report| report.code)
}

fn blink(pair: &Pair) -> Option<Blink> {
    pair.station.machine.as_ref().and_then(SessionMachine::blink)
}

#[test]
fn the_claimed_monitor_blinks_for_its_time_and_pairs_all_the_same() {
    let mut pair = claimed(900);
    assert!(!pair.snapshot().blinking);
    ask(&mut pair).unwrap();
    assert!(pair.snapshot().blinking);
    let until = pair.now().mono + limits::BLINK.default;
    assert_eq!(blink(&pair), Some(Blink::Until(until)));
    assert_eq!(rows(&pair), [1, 1]);
    let row = pair.device.audit.last().unwrap();
    assert_eq!((row.event, &row.actor), (EventType::MonitorBlinked, &Actor::Peer));
    let row = pair.station.audit.last().unwrap();
    assert_eq!(row.actor, Actor::Operator { id: operator(), role: Role::Technician });

    pair.pass(limits::BLINK.default - seconds(1));
    assert!(pair.snapshot().blinking);
    pair.pass(seconds(1));
    assert!(!pair.snapshot().blinking, "the machine's own timer ends it");
    assert_eq!(pair.device.machine.state(), ProvisioningState::Pairing);

    ask(&mut pair).unwrap();
    assert!(pair.snapshot().blinking, "and again");
    assert_eq!(rows(&pair), [2, 2]);
    confirm(&mut pair);
    assert_eq!(pair.phase(), SessionPhase::Paired);
    assert!(!pair.snapshot().blinking, "over with the configuration");
}

#[test]
fn asking_while_it_blinks_changes_nothing_on_either_side() {
    let mut pair = claimed(901);
    for _ in 0..5 {
        ask(&mut pair).unwrap();
        pair.pass(seconds(1));
    }
    assert_eq!(rows(&pair), [1, 1]);
    let first = pair.last_blink.clone().unwrap();
    assert_eq!(first.number, NonZeroU32::MIN);
    // The same request comes again: the same blink, and what is left of it.
    assert_eq!(tell(&mut pair, first.clone()), Ok(DeviceReply::Blinking { seconds: 1 }));
    pair.pass(seconds(1));
    assert_eq!(tell(&mut pair, first.clone()), Ok(DeviceReply::Blinking { seconds: 0 }));
    assert!(!pair.snapshot().blinking, "a recorded request shows nothing");
    ask(&mut pair).unwrap();
    assert_eq!(tell(&mut pair, first), Err(ErrorCode::BlinkRefused), "an earlier one");
    assert_eq!(rows(&pair), [2, 2]);
}

#[test]
fn a_station_that_hurries_prolongs_nothing() {
    let mut pair = claimed(909);
    let [first, second, third] = [(); 3].map(|()| lost(&mut pair));
    assert_eq!(tell(&mut pair, first), Ok(DeviceReply::Blinking { seconds: 6 }));
    pair.pass(seconds(5));
    assert_eq!(tell(&mut pair, second), Ok(DeviceReply::Blinking { seconds: 1 }));
    pair.pass(seconds(1));
    assert!(!pair.snapshot().blinking);
    assert_eq!(rows(&pair), [1, 3]);
    assert_eq!(tell(&mut pair, third), Ok(DeviceReply::Blinking { seconds: 6 }));
    assert_eq!(rows(&pair), [2, 3]);
}

#[test]
fn nobody_without_the_session_makes_a_monitor_blink() {
    let mut pair = claimed(902);
    ask(&mut pair).unwrap();
    pair.pass(limits::BLINK.default);
    let good = pair.last_blink.clone().unwrap();
    let next = NonZeroU32::new(2).unwrap();
    let before = rows(&pair);

    let renumbered = BlinkRequest { number: next, ..good.clone() };
    assert_eq!(tell(&mut pair, renumbered), Err(ErrorCode::BlinkRefused));
    let row = pair.device.audit.last().unwrap();
    assert_eq!((row.event, row.error), (EventType::MonitorBlinked, Some(ErrorCode::BlinkRefused)));
    let guessed = BlinkRequest { mac: [0; 32], ..good.clone() };
    assert_eq!(tell(&mut pair, guessed), Err(ErrorCode::BlinkRefused));
    // Of another session: what a stranger gets, whatever the cause.
    let mut other = claimed(903);
    ask(&mut other).unwrap();
    let foreign = other.last_blink.clone().unwrap();
    assert_eq!(tell(&mut pair, foreign.clone()), Err(ErrorCode::ClaimRefused));
    let by = |request: &BlinkRequest| {
        let BlinkRequest { session_id, number, mac } = *request;
        DeviceInput::By(Route::Pull, Box::new(DeviceInput::Blink { session_id, number, mac }))
    };
    let fetched = pair.tell(by(&foreign)).unwrap_err();
    assert_eq!(fetched.code, ErrorCode::SessionUnknown, "what it has fetched has its name");
    assert!(!pair.snapshot().blinking);
    assert_eq!(rows(&pair), before);

    // Once a configuration is here, nobody looks for the monitor any more.
    confirm(&mut pair);
    assert_eq!(tell(&mut pair, good), Err(ErrorCode::ClaimRefused));
}

#[test]
fn a_configuration_that_waits_for_a_person_is_not_hidden_by_a_blink() {
    let mut pair = Pair::new(904);
    pair.by_proximity();
    pair.enter();
    pair.scan();
    ask(&mut pair).unwrap();
    let good = pair.last_blink.clone().unwrap();
    pair.pass(limits::BLINK.default);
    confirm(&mut pair);
    assert!(pair.snapshot().confirmation.is_some());
    assert_eq!(tell(&mut pair, good), Err(ErrorCode::StateConflict));
    assert!(!pair.snapshot().blinking);
}

#[test]
fn a_device_that_polls_blinks_when_it_comes() {
    let mut pair = Pair::new(905);
    pair.enter();
    pair.station.delivery = Route::Pull;
    pair.station.polls = true;
    pair.scan();
    pair.trip(Route::Pull, Trip::Whole);
    assert_eq!((pair.phase(), pair.message()), (SessionPhase::Identified, None));
    ask(&mut pair).unwrap();
    assert!(matches!(pair.message(), Some(Message::Blink(_))), "it waits");
    assert_eq!(blink(&pair), Some(Blink::Asked));
    ask(&mut pair).unwrap();
    let courier = pair.fetch_message(Route::Courier).unwrap_err();
    assert_eq!(courier.report.code, ErrorCode::StateConflict, "nobody carries it by hand");
    pair.trip(Route::Pull, Trip::Twice);
    assert!(pair.snapshot().blinking);
    assert_eq!((pair.message(), rows(&pair)), (None, [1, 1]));
    confirm(&mut pair);
    pair.trip(Route::Pull, Trip::Whole);
    assert_eq!(pair.phase(), SessionPhase::Paired);
}

#[test]
fn where_only_a_courier_goes_and_after_pair_there_is_nothing_to_ask_for() {
    let mut pair = Pair::new(906);
    pair.enter();
    assert_eq!(pair.snapshot().session_id, None);
    pair.station.delivery = Route::Courier;
    pair.scan();
    assert_eq!(ask(&mut pair), Err(ErrorCode::StateConflict), "not claimed yet");
    pair.trip(Route::Courier, Trip::Whole);
    assert_eq!(pair.phase(), SessionPhase::Identified);
    assert_eq!(ask(&mut pair), Err(ErrorCode::StateConflict), "a courier is too slow");

    let mut pair = claimed(907);
    let now = pair.now();
    let other = SessionInput::Blink { operator: OperatorId::parse("otto").unwrap() };
    let refusal = pair.station.input(&now, other).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::SessionReserved, "nobody else's");
    confirm(&mut pair);
    assert_eq!(ask(&mut pair), Err(ErrorCode::StateConflict));
    assert_eq!(rows(&pair), [0, 0]);
}

#[test]
fn what_the_device_refuses_is_told_and_may_be_asked_again() {
    let mut pair = claimed(908);
    let _lost = lost(&mut pair);
    let now = pair.now();
    assert_eq!(blink(&pair), Some(Blink::Failed(ErrorCode::DeviceUnreachable)));
    let row = pair.station.audit.last().unwrap();
    assert_eq!(row.error, Some(ErrorCode::DeviceUnreachable));
    // An answer that comes late is of a blink that nobody waits for.
    pair.station.input(&now, SessionInput::Blinked(6)).unwrap();
    assert_eq!(blink(&pair), Some(Blink::Failed(ErrorCode::DeviceUnreachable)));
    ask(&mut pair).unwrap();
    assert!(pair.snapshot().blinking);
    assert_eq!(pair.last_blink.as_ref().unwrap().number.get(), 2);
}
