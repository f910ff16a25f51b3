//! A session that is taken up from its snapshot is the session (D11).

use std::collections::BTreeSet;

use proptest::prelude::*;
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::Now;
use zmon_protocol::device::DeviceInput;
use zmon_protocol::station::{
    Blink, CertificateState, DeviceTrust, SessionInput, SessionMachine, SessionPhase,
    SnapshotError, StationAction,
};

use crate::common::carry::Trip;
use crate::common::{Pair, details, operator, seconds, technician};

/// How a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Scanned,
    Typed,
    Carried(Route),
    CarriedTyped(Route),
    Newcomer,
    StationKey,
    Proximity,
    Renewed,
}

const WAYS: [Way; 10] = [
    Way::Scanned,
    Way::Typed,
    Way::Carried(Route::Pull),
    Way::Carried(Route::Courier),
    Way::CarriedTyped(Route::Pull),
    Way::CarriedTyped(Route::Courier),
    Way::Newcomer,
    Way::StationKey,
    Way::Proximity,
    Way::Renewed,
];

/// What the network does to it.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    dials_to_fail: u8,
    deliveries_to_fail: u8,
    confirms_to_lose: u8,
    blinks_to_fail: u8,
    lose_status: bool,
    /// How often its operator looks for the monitor before `pair`.
    blinks: u8,
    /// `pair` follows the scan so much later.
    pair_after: Option<u64>,
}

/// What everybody sees of a session; certificates and what is hashed over them differ by their signatures.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    phase: SessionPhase,
    device: ProvisioningState,
    rows: Vec<(EventType, Option<ErrorCode>)>,
    device_rows: Vec<(EventType, Option<ErrorCode>)>,
    certificates: Vec<CertificateState>,
    blinks: Vec<Result<Option<Blink>, ErrorCode>>,
    reborn_in: BTreeSet<&'static str>,
}

fn run(seed: u64, suite: Suite, way: Way, weather: Weather, reborn: bool) -> Seen {
    let mut pair = Pair::with_suite(seed, suite);
    pair.station.reborn = reborn;
    match way {
        Way::Newcomer => {
            pair.station.registry = None;
            pair.station.policy.device_trust = vec![DeviceTrust::Registry, DeviceTrust::Scanned];
        }
        Way::StationKey => {
            pair.device.profile.station_made_keys = true;
            pair.station.policy.station_made_keys = true;
        }
        Way::Proximity => pair.by_proximity(),
        Way::Carried(route) | Way::CarriedTyped(route) => pair.station.delivery = route,
        Way::Scanned | Way::Typed | Way::Renewed => {}
    }
    pair.enter();
    if way == Way::Renewed {
        pair.pair();
    }
    pair.dials_to_fail = weather.dials_to_fail;
    pair.deliveries_to_fail = weather.deliveries_to_fail;
    pair.blinks_to_fail = weather.blinks_to_fail;
    pair.confirms_to_lose = weather.confirms_to_lose;
    pair.lose_status = weather.lose_status;
    let mut blinks = Vec::new();
    match way {
        Way::Typed | Way::CarriedTyped(_) => {
            let code = pair.code();
            pair.pair_typed(&code);
        }
        Way::Renewed => pair.renew(),
        _ => match weather.pair_after {
            None => drop(pair.pair()),
            Some(after) => {
                pair.scan();
                blinks.extend((0..weather.blinks).map(|_| look_for(&mut pair, way)));
                pair.pass(seconds(after));
                let (operator, details) = (operator(), details("ICU-3B"));
                let now = pair.now();
                let paired = SessionInput::Pair { operator, details };
                drop(pair.station.input(&now, paired));
                pair.settle();
            }
        },
    }
    if let Way::Carried(route) | Way::CarriedTyped(route) = way {
        for _ in 0..8 {
            pair.trip(route, Trip::Whole);
        }
    }
    if way == Way::Proximity {
        let (proof, words) = (technician(&pair.now()), pair.words());
        drop(pair.tell(DeviceInput::ConfirmStation { proof, words }));
    }
    pair.pass(seconds(2_000));
    let rows = |rows: &[zmon_domain::audit::AuditEvent]| {
        rows.iter().map(|row| (row.event, row.error)).collect()
    };
    Seen {
        phase: pair.phase(),
        device: pair.device.machine.state(),
        rows: rows(&pair.station.audit),
        device_rows: rows(&pair.device.audit),
        certificates: pair.station.certificates.values().map(|view| view.state).collect(),
        blinks,
        reborn_in: core::mem::take(&mut pair.station.reborn_in),
    }
}

/// The operator has the monitor blink, and waits for the end of it.
fn look_for(pair: &mut Pair, way: Way) -> Result<Option<Blink>, ErrorCode> {
    let polls = way == Way::Carried(Route::Pull);
    pair.station.polls = polls;
    if polls {
        pair.trip(Route::Pull, Trip::Whole);
    }
    let asked = blink(pair);
    pair.settle();
    if polls {
        pair.trip(Route::Pull, Trip::Whole);
    }
    let seen = pair.station.machine.as_ref().unwrap().blink();
    pair.pass(limits::BLINK.default);
    asked.map(|()| seen)
}

fn blink(pair: &mut Pair) -> Result<(), ErrorCode> {
    let now = pair.now();
    let asked = pair.station.input(&now, SessionInput::Blink { operator: operator() });
    asked.map_err(|refusal| refusal.report.code)
}

fn same(seed: u64, suite: Suite, way: Way, weather: Weather) -> BTreeSet<&'static str> {
    let plain = run(seed, suite, way, weather, false);
    let mut reborn = run(seed, suite, way, weather, true);
    let phases = core::mem::take(&mut reborn.reborn_in);
    assert_eq!(reborn, plain, "{way:?} {weather:?}");
    phases
}

#[test]
fn every_way_goes_on_in_another_process_and_every_phase_is_taken_up() {
    let mut phases = BTreeSet::new();
    for way in WAYS {
        phases.extend(same(900, Suite::P256, way, Weather::default()));
    }
    let scan = Weather { pair_after: Some(20), ..Weather::default() };
    phases.extend(same(901, Suite::P256, Way::Scanned, scan));
    phases.extend(same(902, Suite::Rsa2048, Way::Scanned, Weather::default()));
    let running = SessionPhase::ALL.into_iter().filter(|phase| !phase.is_final());
    let running: BTreeSet<_> = running.map(SessionPhase::as_str).collect();
    assert_eq!(phases, running);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn in_any_weather_a_session_goes_on_as_if_nothing_had_been(
        seed in 1_000..9_000_u64,
        way in prop::sample::select(WAYS.to_vec()),
        dials_to_fail in 0..4_u8,
        deliveries_to_fail in 0..4_u8,
        confirms_to_lose in 0..3_u8,
        (blinks, blinks_to_fail) in (0..4_u8, 0..3_u8),
        lose_status: bool,
        pair_after in prop::option::of(0..130_u64),
    ) {
        let weather = Weather {
            dials_to_fail,
            deliveries_to_fail,
            confirms_to_lose,
            blinks_to_fail,
            lose_status,
            blinks,
            pair_after,
        };
        same(seed, Suite::P256, way, weather);
    }

    #[test]
    fn no_bytes_panic_and_a_damaged_snapshot_is_no_other_session(
        flip: prop::sample::Index,
        bit in 0..8_u8,
        junk in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut pair = Pair::new(903);
        pair.enter();
        pair.scan();
        blink(&mut pair).unwrap();
        let now = pair.now();
        let snapshot = taken(&pair, &now);
        let mut damaged = snapshot.clone();
        damaged[flip.index(snapshot.len())] ^= 1 << bit;
        // What still reads is a whole session: the seal above it says whose.
        if let Ok(machine) = restored(&pair, &now, &damaged) {
            prop_assert!(machine.snapshot(&now).is_ok());
        }
        prop_assert!(restored(&pair, &now, &junk).is_err());
    }
}

fn taken(pair: &Pair, now: &Now) -> Vec<u8> {
    let machine = pair.station.machine.as_ref().unwrap();
    machine.snapshot(now).unwrap().unwrap().expose().to_vec()
}

fn restored(pair: &Pair, now: &Now, bytes: &[u8]) -> Result<SessionMachine, SnapshotError> {
    SessionMachine::restore(&pair.station.context(), now, bytes)
}

#[test]
fn a_snapshot_is_read_to_its_last_byte_and_no_further() {
    let mut pair = Pair::new(904);
    pair.enter();
    pair.scan();
    blink(&mut pair).unwrap();
    let now = pair.now();
    let snapshot = taken(&pair, &now);
    for length in 0..snapshot.len() {
        assert!(restored(&pair, &now, &snapshot[..length]).is_err(), "{length}");
    }
    let longer = [&snapshot[..], &[0]].concat();
    let refused = restored(&pair, &now, &longer).err().unwrap();
    assert_eq!(refused, SnapshotError::Member("end"));
    assert_eq!(refused.code(), ErrorCode::StorageCorrupt);
    let newer = [&[2], &snapshot[1..]].concat();
    assert_eq!(restored(&pair, &now, &newer).err().unwrap(), SnapshotError::Version(2));
    let timeless = Now { millis: None, ..now };
    let refused = restored(&pair, &timeless, &snapshot).err().unwrap();
    assert_eq!((refused, refused.code()), (SnapshotError::Clock, ErrorCode::Internal));
    let machine = pair.station.machine.as_ref().unwrap();
    assert_eq!(machine.snapshot(&timeless).err(), Some(SnapshotError::Clock));
}

#[test]
fn a_session_that_has_ended_leaves_nothing() {
    let mut pair = Pair::new(905);
    pair.enter();
    pair.pair();
    let machine = pair.station.machine.as_ref().unwrap();
    assert_eq!(machine.phase(), SessionPhase::Paired);
    assert!(machine.snapshot(&pair.now()).unwrap().is_none());
}

/// Time goes on while nobody runs the session, and no clock gives it more than it had.
#[test]
fn deadlines_are_those_of_the_wall() {
    let mut pair = Pair::new(906);
    pair.enter();
    pair.scan();
    let now = pair.now();
    let snapshot = taken(&pair, &now);
    let later = |after: i64| Now { millis: now.millis.map(|at| at + after), ..now };
    let left = |now: &Now| {
        let machine = restored(&pair, now, &snapshot).unwrap();
        machine.poll_timeout().unwrap().since(now.mono)
    };
    assert_eq!(left(&now), seconds(120));
    assert_eq!(left(&later(50_000)), seconds(70));
    assert_eq!(left(&later(500_000)), seconds(0));
    assert_eq!(left(&later(-9_000_000)), seconds(120), "the clock was set back");
}

/// What was under way begins anew, with the same bytes.
#[test]
fn what_was_under_way_is_said_again() {
    let resumed = |pair: &mut Pair| {
        let now = pair.now();
        pair.station.actions.clear();
        pair.station.reborn = true;
        pair.station.input(&now, SessionInput::Resumed).unwrap();
        pair.station.actions.drain(..).collect::<Vec<_>>()
    };
    // The hello is on its way.
    let mut pair = Pair::new(907);
    pair.enter();
    let (qr, now) = (pair.qr(), pair.now());
    let request = pair.station.request(&qr, Some(details("ICU-3B")));
    pair.station.open(&now, request).unwrap();
    let sent = format!("{:?}", pair.station.actions);
    assert!(sent.contains("SendSession"));
    assert_eq!(format!("{:?}", resumed(&mut pair)), sent);

    // The certificate is being signed; then the envelope is on its way.
    pair.settle();
    let mut pair = Pair::new(908);
    pair.enter();
    let (qr, now) = (pair.qr(), pair.now());
    let request = pair.station.request(&qr, Some(details("ICU-3B")));
    pair.station.open(&now, request).unwrap();
    pair.step_until(SessionPhase::Issuing);
    let ordered = format!("{:?}", pair.station.actions);
    assert!(ordered.contains("Issue"));
    assert_eq!(format!("{:?}", resumed(&mut pair)), ordered);

    let mut pair = Pair::new(909);
    pair.enter();
    let (qr, now) = (pair.qr(), pair.now());
    let request = pair.station.request(&qr, Some(details("ICU-3B")));
    pair.station.open(&now, request).unwrap();
    pair.step_until(SessionPhase::Delivering);
    let sent = format!("{:?}", pair.station.actions);
    assert!(sent.contains("Deliver") && sent.contains("Token"));
    assert_eq!(format!("{:?}", resumed(&mut pair)), sent);

    // The monitor blinks, or somebody waits for it to: that may be asked for again.
    for settles in [true, false] {
        let mut pair = Pair::new(913);
        pair.enter();
        pair.scan();
        blink(&mut pair).unwrap();
        assert!(format!("{:?}", pair.station.actions).contains("Blink"));
        if settles {
            pair.settle();
        }
        assert!(resumed(&mut pair).is_empty());
        let last = pair.station.machine.as_ref().unwrap().blink();
        assert_eq!(last.is_some(), settles, "{last:?}");
    }

    // Nothing is under way while `pair` is awaited, or a message waits to be fetched.
    let mut pair = Pair::new(910);
    pair.enter();
    pair.scan();
    assert!(resumed(&mut pair).is_empty());
    let mut pair = Pair::new(911);
    pair.enter();
    pair.station.delivery = Route::Pull;
    pair.pair();
    assert!(resumed(&mut pair).is_empty());
}

/// A device refuses the number of an earlier blink.
#[test]
fn blinks_are_counted_on() {
    for (way, shown) in [(Way::Scanned, 2), (Way::Carried(Route::Pull), 3)] {
        let weather =
            Weather { pair_after: Some(1), blinks: 3, blinks_to_fail: 1, ..Weather::default() };
        let seen = run(914, Suite::P256, way, weather, true);
        let blinked = |(event, _): &&(EventType, _)| *event == EventType::MonitorBlinked;
        let rows: Vec<_> = seen.device_rows.iter().filter(blinked).collect();
        assert_eq!(rows, vec![&(EventType::MonitorBlinked, None); shown], "{way:?}");
        let until = |seen: &&Result<_, _>| matches!(seen, Ok(Some(Blink::Until(_))));
        assert_eq!(seen.blinks.iter().filter(until).count(), shown, "{way:?}");
        assert_eq!(seen.phase, SessionPhase::Paired);
    }
}

/// A message to blink waits for the device's next poll, at whatever station that is.
#[test]
fn a_blink_that_waits_to_be_fetched_waits_on() {
    let mut pair = Pair::new(915);
    pair.enter();
    (pair.station.delivery, pair.station.polls) = (Route::Pull, true);
    pair.scan();
    pair.trip(Route::Pull, Trip::Whole);
    blink(&mut pair).unwrap();
    let waits = pair.message();
    assert!(waits.is_some());
    let now = pair.now();
    pair.station.reborn = true;
    pair.station.input(&now, SessionInput::Resumed).unwrap();
    assert_eq!(pair.message(), waits);
    pair.trip(Route::Pull, Trip::Whole);
    assert!(pair.snapshot().blinking);
}

/// A run of a typed code has spent its try: it is offered to another route, and never begun again.
#[test]
fn a_run_of_a_typed_code_is_not_begun_again() {
    let mut pair = Pair::new(912);
    pair.enter();
    let (code, now) = (pair.code(), pair.now());
    let request = pair.station.typed_request(&code, 4430, Some(details("ICU-3B")));
    pair.station.open(&now, request).unwrap();
    pair.step_until_action(|action| matches!(action, StationAction::StartPake { .. }));
    pair.station.actions.clear();
    let tries = pair.station.tries.window;
    pair.station.reborn = true;
    pair.station.input(&now, SessionInput::Resumed).unwrap();
    let again = |action: &StationAction| matches!(action, StationAction::StartPake { .. });
    assert!(!pair.station.actions.iter().any(again));
    assert_eq!(pair.station.tries.window, tries);
    assert_eq!(pair.station.rows(EventType::RouteOffered).len(), 1);
    assert_eq!(pair.message().unwrap().name(), "pakeStart");
}
