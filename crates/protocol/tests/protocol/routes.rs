//! Three routes, one envelope (D7): whoever carries the messages, in whatever mix, the end is the same.

use proptest::prelude::*;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{DeviceInput, StateKind};
use zmon_protocol::station::{CertificateState, SessionInput, SessionPhase};
use zmon_wire::carry::Message;

use crate::common::carry::Trip;
use crate::common::{Pair, actor, address, operator, seconds};

fn ready(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.enter();
    pair
}

fn carried(seed: u64, route: Route) -> Pair {
    let mut pair = ready(seed);
    pair.station.delivery = route;
    assert_eq!(pair.pair(), SessionPhase::Dialling);
    pair
}

fn rows(pair: &Pair, event: EventType) -> Vec<Vec<(&'static str, String)>> {
    let of = pair.device.audit.iter().chain(&pair.station.audit);
    of.filter(|row| row.event == event && row.success).map(|row| row.detail.clone()).collect()
}

/// One certificate, current on both sides; one claim; one end.
fn paired_once(pair: &Pair) {
    assert_eq!(pair.phase(), SessionPhase::Paired);
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    assert_eq!(pair.station.certificates.len(), 1, "one certificate was made");
    let (serial, view) = pair.station.certificates.first_key_value().unwrap();
    assert_eq!(view.state, CertificateState::Current);
    assert_eq!(pair.link.as_ref(), Some(serial), "and it is the one in use");
    for event in [
        EventType::PairingCodeValidated,
        EventType::SessionClaimed,
        EventType::CertificateIssued,
        EventType::ProvisioningCompleted,
        EventType::PairingSucceeded,
    ] {
        assert_eq!(rows(pair, event).len(), 1, "{event:?}");
    }
}

#[test]
fn each_route_alone_pairs_by_both_methods_and_is_named_in_both_logs() {
    for (seed, route) in [(700, Route::Pull), (701, Route::Courier)] {
        for typed in [false, true] {
            let mut pair = ready(seed + 10 * u64::from(typed));
            pair.station.delivery = route;
            let code = pair.code();
            let begun = if typed { pair.pair_typed(&code) } else { pair.pair() };
            assert_eq!(begun, SessionPhase::Dialling);
            pair.carry(route);
            assert_eq!(pair.phase(), SessionPhase::AwaitingCommit);
            pair.trip(route, Trip::Whole);
            paired_once(&pair);
            let named = ("route", route.to_string());
            for event in [
                EventType::PairingCodeValidated,
                EventType::ConfigurationReceived,
                EventType::SessionClaimed,
                EventType::CertificateIssued,
                EventType::PairingSucceeded,
                EventType::MessageFetched,
            ] {
                for detail in rows(&pair, event) {
                    assert!(detail.contains(&named), "{event:?}: {detail:?}");
                }
            }
            let fetched = rows(&pair, EventType::MessageFetched).len();
            assert_eq!(fetched, if typed { 4 } else { 2 }, "one row for each message");
            assert!(pair.last_session.is_none(), "nobody was dialled");
        }
    }
}

#[test]
fn what_push_could_not_deliver_goes_on_by_another_route() {
    let mut pair = ready(720);
    pair.dials_to_fail = 3;
    pair.pair();
    let hello = pair.last_session.clone().unwrap();
    pair.pass(seconds(3));
    let Some(Message::Session(open)) = pair.message() else { panic!("the hello waits") };
    assert_eq!((open.hello.into_bytes(), open.claim_mac), hello, "the very same hello");
    pair.carry(Route::Courier);
    pair.trip(Route::Pull, Trip::Whole);
    paired_once(&pair);

    // The claim got through, the delivery did not: no second claim, no second certificate.
    let mut pair = ready(721);
    pair.deliveries_to_fail = 3;
    pair.pair();
    pair.pass(seconds(3));
    assert_eq!(pair.phase(), SessionPhase::AwaitingCommit);
    let sent = pair.last_envelope.clone().unwrap();
    let Some(Message::Configuration { envelope }) = pair.message() else { panic!("it waits") };
    assert_eq!(envelope, sent, "the very same envelope");
    pair.trip(Route::Courier, Trip::Whole);
    paired_once(&pair);
}

#[test]
fn an_operator_who_tries_again_has_the_device_dialled_again_with_the_same_hello() {
    let mut pair = ready(735);
    pair.dials_to_fail = 3;
    pair.pair();
    pair.pass(seconds(3));
    let hello = pair.last_session.take().unwrap();
    let now = pair.now();
    let outside = "192.168.7.7".parse().unwrap();
    let refusal = pair.station.input(&now, SessionInput::Again(outside)).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::AddressNotPermitted);
    let row = pair.station.audit.last().unwrap();
    assert_eq!(row.error, Some(ErrorCode::AddressNotPermitted), "with its row");
    assert!(pair.message().is_some(), "the message waits on");
    pair.station.input(&now, SessionInput::Again(address())).unwrap();
    assert_eq!(pair.message(), None);
    pair.settle();
    assert_eq!(pair.last_session, Some(hello));
    paired_once(&pair);

    // A run that has begun goes on where it is: it is not begun twice.
    let mut pair = ready(736);
    pair.station.delivery = Route::Courier;
    let code = pair.code();
    pair.pair_typed(&code);
    pair.trip(Route::Courier, Trip::Whole);
    pair.trip(Route::Courier, Trip::AnswerLost);
    let now = pair.now();
    pair.station.input(&now, SessionInput::Again(address())).unwrap();
    for _ in 0..3 {
        pair.trip(Route::Courier, Trip::Whole);
    }
    assert_eq!(pair.device.tries, 1);
    paired_once(&pair);

    // What has got further is not begun again.
    let mut pair = carried(737, Route::Courier);
    pair.carry(Route::Courier);
    let now = pair.now();
    pair.station.input(&now, SessionInput::Again(address())).unwrap();
    pair.trip(Route::Courier, Trip::Whole);
    paired_once(&pair);
}

#[test]
fn a_device_that_polls_is_dialled_once_and_then_left_to_come() {
    let mut pair = ready(722);
    pair.station.polls = true;
    pair.dials_to_fail = 1;
    pair.pair();
    assert_eq!(pair.station.machine.as_ref().unwrap().route(), Route::Pull);
    assert_eq!(rows(&pair, EventType::SessionClaimed).len(), 0);
    pair.carry(Route::Pull);
    pair.trip(Route::Pull, Trip::Whole);
    paired_once(&pair);

    let mut pair = ready(723);
    pair.station.polls = true;
    pair.deliveries_to_fail = 1;
    pair.pair();
    assert_eq!(pair.station.machine.as_ref().unwrap().route(), Route::Pull);
    pair.trip(Route::Pull, Trip::Whole);
    paired_once(&pair);
}

#[test]
fn a_refusal_of_the_device_ends_a_carried_session_as_it_ends_a_dialled_one() {
    let mut pair = carried(724, Route::Pull);
    // Another code is shown by now.
    pair.tell(DeviceInput::Regenerate { actor: actor(Role::Technician) }).unwrap();
    pair.trip(Route::Pull, Trip::Whole);
    assert_eq!(pair.phase(), SessionPhase::Failed);
    let row = pair.station.audit.last().unwrap();
    assert_eq!(row.error, Some(ErrorCode::ClaimRefused), "the network learns no more");
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}

#[test]
fn an_envelope_the_device_refuses_leaves_no_certificate() {
    let mut pair = carried(725, Route::Courier);
    pair.carry(Route::Courier);
    let Message::Configuration { mut envelope } = pair.fetch_message(Route::Courier).unwrap()
    else {
        panic!("the configuration waits")
    };
    *envelope.last_mut().unwrap() ^= 1;
    let refused = pair.bring(Route::Courier, Message::Configuration { envelope });
    assert_eq!(refused.as_ref().unwrap_err().code, ErrorCode::EnvelopeMacInvalid);
    pair.bring_back(refused);
    assert_eq!(pair.phase(), SessionPhase::Failed);
    let (_, view) = pair.station.certificates.first_key_value().unwrap();
    assert_eq!(view.state, CertificateState::Revoked);
}

#[test]
fn a_courier_with_files_is_slower_than_rotation_and_release() {
    let mut pair = carried(726, Route::Courier);
    // The QR code has been redrawn eight times since it was scanned.
    pair.pass(seconds(250));
    let message = pair.fetch_message(Route::Courier).unwrap();
    let late = pair.bring(Route::Pull, message.clone()).unwrap_err();
    assert_eq!(late.code, ErrorCode::ClaimRefused, "a device's own poll is not that slow");
    let answer = pair.bring(Route::Courier, message);
    assert!(answer.is_ok());
    pair.pass(seconds(200));
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing, "the claim is not released");
    pair.bring_back(answer);
    pair.pass(seconds(200));
    pair.trip(Route::Courier, Trip::Whole);
    paired_once(&pair);

    // Its session ends as every session does.
    let mut pair = carried(727, Route::Courier);
    pair.carry(Route::Courier);
    pair.pass(seconds(901));
    assert_eq!(pair.device.machine.kind(), StateKind::Error);
    assert_eq!(pair.device.last().error, Some(ErrorCode::SessionExpired));
}

#[test]
fn what_a_courier_brings_wrongly_is_refused_by_its_code_with_a_row() {
    // The envelope of another session.
    let mut other = carried(728, Route::Courier);
    other.carry(Route::Courier);
    let foreign = other.message().unwrap();
    let mut pair = carried(729, Route::Courier);
    let refused = |pair: &mut Pair, message: &Message, code| {
        let before = pair.device.machine.kind();
        let report = pair.bring(Route::Courier, message.clone()).unwrap_err();
        assert_eq!(report.code, code);
        let row = pair.device.last();
        assert_eq!(row.error, Some(code), "{:?}", row.event);
        assert!(row.detail.contains(&("route", "courier".to_owned())), "{:?}", row.event);
        assert_eq!(pair.device.machine.kind(), before, "nothing is lost");
    };
    // No session runs yet, then another one does.
    refused(&mut pair, &foreign, ErrorCode::SessionUnknown);
    pair.carry(Route::Courier);
    refused(&mut pair, &foreign, ErrorCode::SessionUnknown);
    // The hello of another window.
    refused(&mut pair, &carried(730, Route::Courier).message().unwrap(), ErrorCode::SessionBusy);
    let own = pair.message().unwrap();
    pair.trip(Route::Courier, Trip::Whole);
    paired_once(&pair);
    // The used envelope gets its answer again.
    assert!(pair.bring(Route::Courier, own).is_ok());
    refused(&mut pair, &foreign, ErrorCode::SessionUnknown);

    // After a power cycle the device knows nothing of the session, and takes a new one.
    let mut pair = carried(731, Route::Courier);
    pair.carry(Route::Courier);
    let stale = pair.message().unwrap();
    pair.restart().unwrap();
    refused(&mut pair, &stale, ErrorCode::SessionUnknown);
    let cancel = SessionInput::Cancel { operator: Some(operator()) };
    let now = pair.now();
    pair.station.input(&now, cancel).unwrap();
    pair.settle();
    pair.station.delivery = Route::Push;
    pair.enter();
    pair.pair();
    assert_eq!(pair.phase(), SessionPhase::Paired);

    // A hello for a device without a window, and one for another device.
    let mut pair = Pair::new(732);
    let hello = carried(732, Route::Courier).message().unwrap();
    refused(&mut pair, &hello, ErrorCode::NotInProvisioningMode);
}

#[test]
fn a_status_that_nobody_signed_changes_nothing() {
    let mut pair = carried(733, Route::Courier);
    pair.carry(Route::Courier);
    let now = pair.now();
    let forged = SessionInput::Delivered(b"no.jws.atall".to_vec());
    let refusal = pair.station.input(&now, forged).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::JwsMalformed);
    assert_eq!(pair.phase(), SessionPhase::AwaitingCommit);
    let row = pair.station.audit.last().unwrap();
    assert_eq!((row.event, row.error), (EventType::ReplyRefused, Some(ErrorCode::JwsMalformed)));
    pair.trip(Route::Courier, Trip::Whole);
    paired_once(&pair);
}

#[test]
fn nothing_waits_while_the_station_dials_and_after_the_end() {
    let mut pair = ready(734);
    pair.dials_to_fail = 1;
    pair.pair();
    assert_eq!(pair.message(), None, "the station tries by itself");
    let refusal = pair.fetch_message(Route::Courier).unwrap_err();
    assert_eq!(refusal.report.code, ErrorCode::StateConflict);
    pair.pass(seconds(1));
    paired_once(&pair);
    assert_eq!(pair.message(), None);
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    typed: bool,
    delivery: Route,
    polls: bool,
    dials: u8,
    deliveries: u8,
}

fn plan() -> impl Strategy<Value = Plan> {
    let route = prop_oneof![Just(Route::Push), Just(Route::Pull), Just(Route::Courier)];
    (any::<bool>(), route, any::<bool>(), 0_u8..4, 0_u8..4).prop_map(
        |(typed, delivery, polls, dials, deliveries)| Plan {
            typed,
            delivery,
            polls,
            dials,
            deliveries,
        },
    )
}

fn trips() -> impl Strategy<Value = Vec<(Route, Trip, u64)>> {
    let route = prop_oneof![Just(Route::Pull), Just(Route::Courier)];
    let fate = prop_oneof![
        4 => Just(Trip::Whole),
        1 => Just(Trip::QuestionLost),
        1 => Just(Trip::AnswerLost),
        1 => Just(Trip::Twice),
    ];
    // A typed code's run lives 30 s: the whole walk stays below that.
    proptest::collection::vec((route, fate, 0_u64..2), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever mix of routes, losses and repetitions: one end state, one claim, one certificate.
    #[test]
    fn every_mix_of_routes_ends_the_same(seed in 0_u64..1000, plan in plan(), trips in trips()) {
        let mut pair = ready(10_000 + seed);
        pair.station.delivery = plan.delivery;
        pair.station.polls = plan.polls;
        pair.dials_to_fail = plan.dials;
        pair.deliveries_to_fail = plan.deliveries;
        let code = pair.code();
        if plan.typed { pair.pair_typed(&code) } else { pair.pair() };
        for (route, fate, pause) in trips {
            pair.trip(route, fate);
            pair.pass(seconds(pause));
        }
        // In the end everything gets through, by whichever way is left.
        pair.pass(seconds(4));
        for _ in 0..8 {
            pair.trip(Route::Courier, Trip::Whole);
        }
        paired_once(&pair);
        prop_assert!(pair.device.tries <= 1 + u8::from(plan.typed));
    }
}
