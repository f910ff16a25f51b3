//! Pull and courier (D7): devices that the station cannot or may not dial.

use std::sync::Arc;
use std::time::Duration;

use crate::common::poller::{Poller, answer};
use crate::common::{FakeDevice, Fault, World, administrator, operator, pass, technician};
use zmon_crypto::{IdentityKey, Suite};
use zmon_domain::address::{Network, NetworkPolicy};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::role::{OperatorProof, Role};
use zmon_domain::route::Route;
use zmon_station::ports::CertificateState;
use zmon_station::{DeviceTrust, PairOutcome, ScanOutcome};
use zmon_wire::carry::{Reply, Return};
use zmon_wire::kind::V1;
use zmon_wire::pair::{PairPending, PairRequest};
use zmon_wire::session::DeliveryAnswer;

/// A ward that the station may not dial into.
async fn behind_a_wall() -> World {
    World::with(|policy| {
        let networks = vec![Network::parse("10.9.0.0/16").unwrap()];
        policy.session.networks = NetworkPolicy { networks, ports: 40_000..=50_000 };
    })
    .await
}

fn pending(outcome: PairOutcome) -> PairPending {
    let PairOutcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    pending
}

/// Carries by hand until the session has ended.
async fn carry(world: &World, who: &OperatorProof, id: SessionId, device: &FakeDevice) -> usize {
    let mut carried = 0;
    loop {
        match world.station.courier_message(who, &id).await {
            Ok(next) => {
                assert_eq!(next.device_key16, device.identity.public().thumbprint().short());
                assert_eq!((next.ip_address, next.port.get()), (device.address, device.port()));
                let reply = answer(device, next.message.expect("a message waits")).await;
                let answer = Return { v: V1::default(), session_id: id, reply };
                carried += 1;
                // A device that has committed ends the session before its status is back.
                if let Err(error) = world.station.courier_return(who, &id, answer).await {
                    assert_eq!(error.code(), ErrorCode::SessionUnknown);
                }
            }
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::SessionUnknown, "it has ended");
                return carried;
            }
        }
    }
}

fn one_certificate(world: &World, device: &FakeDevice) {
    let certificates = world.store.certificates();
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0].state, CertificateState::Current);
    assert_eq!(device.installed.lock().unwrap()[0].0, certificates[0].serial);
}

/// Every row of the pairing names its route.
fn named(world: &World, route: Route) {
    let rows = world.store.audit_events();
    for event in [
        EventType::SessionOpened,
        EventType::MessageFetched,
        EventType::SessionClaimed,
        EventType::CertificateIssued,
        EventType::PairingSucceeded,
    ] {
        let row = rows.iter().find(|row| row.event == event).unwrap();
        assert!(row.detail.contains(&("route", route.to_string())), "{row:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_behind_a_wall_comes_for_its_messages_by_both_methods() {
    for (typed, messages) in [(false, 2), (true, 4)] {
        let world = behind_a_wall().await;
        let device = FakeDevice::new(1, Suite::P256);
        world.know(&[&device]).await;
        let mut poller = Poller::new(&world, &device);
        // The first poll gets a challenge, the second meets it.
        assert_eq!((poller.poll().await, poller.poll().await), (None, None));
        let request =
            if typed { device.typed_request(&device.code()) } else { device.pair_request() };
        let station = Arc::clone(&world.station);
        let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
        pass(Duration::from_millis(1)).await;
        assert_eq!(poller.serve().await, messages);
        let outcome = pairing.await.unwrap().unwrap();
        assert!(matches!(outcome, PairOutcome::Paired(_)), "{outcome:?}");
        assert_eq!(world.lan.dialled(), [], "nobody was dialled");
        one_certificate(&world, &device);
        named(&world, Route::Pull);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_recent_poll_an_address_outside_is_refused_as_ever() {
    let world = behind_a_wall().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let refused = async |request: PairRequest| {
        world.station.pair(&technician(), request).await.unwrap_err().code()
    };
    assert_eq!(refused(device.pair_request()).await, ErrorCode::AddressNotPermitted);
    let mut poller = Poller::new(&world, &device);
    assert_eq!(poller.poll().await, None);
    assert_eq!(refused(device.pair_request()).await, ErrorCode::AddressNotPermitted, "unproved");
    assert_eq!(poller.poll().await, None);
    pass(Duration::from_secs(60)).await;
    assert_eq!(refused(device.pair_request()).await, ErrorCode::AddressNotPermitted, "long ago");
    assert_eq!(world.lan.dialled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_polls_is_dialled_once_before_it_is_waited_for() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    device.misbehave(Fault::Unreachable);
    let mut poller = Poller::new(&world, &device);
    assert_eq!((poller.poll().await, poller.poll().await), (None, None));
    let tess = technician();
    let scan = world.station.scan(&tess, device.scan_request());
    let served = async {
        pass(Duration::from_millis(10)).await;
        device.misbehave(Fault::None);
        poller.serve().await
    };
    let (scanned, served) = tokio::join!(scan, served);
    assert_eq!((world.lan.dialled().len(), served), (1, 1));
    let scanned = scanned.unwrap().scanned().expect("the device has answered");
    let request = PairRequest { session_id: Some(scanned.session_id), ..device.pair_request() };
    let station = Arc::clone(&world.station);
    let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
    pass(Duration::from_millis(10)).await;
    assert_eq!(poller.serve().await, 1);
    assert!(matches!(pairing.await.unwrap().unwrap(), PairOutcome::Paired(_)));
    one_certificate(&world, &device);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_proves_nothing_is_worth_nothing() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let refused =
        async |poll: String| world.station.poll(poll.as_bytes()).await.unwrap_err().code();
    assert_eq!(refused("no poll".to_owned()).await, ErrorCode::JwsMalformed);
    // A known id under another key, and a key that nobody knows.
    let impostor = device.impostor(2);
    let stranger = FakeDevice::new(3, Suite::P256);
    assert_eq!(
        refused(Poller::new(&world, &impostor).signed()).await,
        ErrorCode::DeviceKeyConflict
    );
    assert_eq!(refused(Poller::new(&world, &stranger).signed()).await, ErrorCode::DeviceUnknown);
    // The device's key named, another one signs.
    let named = Poller::new(&world, &device).signed();
    let (head, tail) = named.rsplit_once('.').unwrap();
    let other = Poller::new(&world, &stranger).signed();
    let foreign = format!("{head}.{}", other.rsplit_once('.').unwrap().1);
    assert_ne!(tail, other.rsplit_once('.').unwrap().1);
    assert_eq!(refused(foreign).await, ErrorCode::SignatureInvalid);

    // A recorded poll: it meets no challenge, gets no message, and stays out of the device's way.
    let mut poller = Poller::new(&world, &device);
    assert_eq!(poller.poll().await, None);
    let recorded = poller.signed();
    assert_eq!(poller.poll().await, None);
    let request = PairRequest { delivery: Some(Route::Pull), ..device.pair_request() };
    let station = Arc::clone(&world.station);
    let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
    pass(Duration::from_millis(1)).await;
    for _ in 0..3 {
        let answer = world.station.poll(recorded.as_bytes()).await.unwrap();
        assert_eq!((answer.fresh, answer.carriage), (false, None));
    }
    assert_eq!(poller.serve().await, 2);
    assert!(matches!(pairing.await.unwrap().unwrap(), PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_scanned_device_may_poll_once_its_key_has_been_seen() {
    let world = World::with(|policy| {
        policy.session.device_trust = vec![DeviceTrust::Registry, DeviceTrust::Scanned]
    })
    .await;
    let device = FakeDevice::new(1, Suite::P256);
    world.plug(&device);
    let mut poller = Poller::new(&world, &device);
    let unknown = world.station.poll(poller.signed().as_bytes()).await.unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::DeviceUnknown);
    device.misbehave(Fault::Unreachable);
    let waits = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert_eq!(pending(waits).delivery, Route::Courier, "nobody knew that it polls");
    device.misbehave(Fault::None);
    assert_eq!(poller.poll().await, None);
    assert_eq!(poller.serve().await, 2);
    one_certificate(&world, &device);
}

#[tokio::test(start_paused = true)]
async fn a_typed_code_needs_no_address_where_nobody_dials() {
    for said in [None, Some(Route::Pull)] {
        let world = World::new().await;
        let device = FakeDevice::new(1, Suite::P256);
        world.know(&[&device]).await;
        let typed = |delivery| PairRequest {
            ip_address: None,
            port: None,
            delivery,
            ..device.typed_request(&device.code())
        };
        // Somebody would have to dial, or to go there.
        for delivery in [None, Some(Route::Push), Some(Route::Courier)] {
            let refused = world.station.pair(&technician(), typed(delivery)).await.unwrap_err();
            assert_eq!(refused.report.detail.unwrap().field(), "ipAddress", "{delivery:?}");
        }
        let mut poller = Poller::new(&world, &device);
        assert_eq!((poller.poll().await, poller.poll().await), (None, None));
        let (station, request) = (Arc::clone(&world.station), typed(said));
        let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
        pass(Duration::from_millis(1)).await;
        let session = world.store.sessions()[0].id;
        let courier = world.station.courier_message(&technician(), &session).await.unwrap_err();
        assert_eq!(courier.code(), ErrorCode::StateConflict, "nobody knows where to go");
        assert_eq!(poller.serve().await, 4);
        assert!(matches!(pairing.await.unwrap().unwrap(), PairOutcome::Paired(_)));
        assert_eq!(world.lan.dialled(), []);
        let rows = world.store.audit_events();
        let opened = rows.iter().find(|row| row.event == EventType::SessionOpened).unwrap();
        assert!(opened.detail.iter().all(|(name, _)| *name != "address"), "{opened:?}");
        one_certificate(&world, &device);
    }
}

#[tokio::test(start_paused = true)]
async fn a_courier_carries_both_methods_where_nobody_may_dial() {
    for (typed, messages) in [(false, 2), (true, 4)] {
        let world = behind_a_wall().await;
        let device = FakeDevice::new(1, Suite::P256);
        world.know(&[&device]).await;
        let request =
            if typed { device.typed_request(&device.code()) } else { device.pair_request() };
        let request = PairRequest { delivery: Some(Route::Courier), ..request };
        let waits = pending(world.station.pair(&technician(), request).await.unwrap());
        assert_eq!(waits.delivery, Route::Courier);
        assert_eq!(carry(&world, &technician(), waits.session_id, &device).await, messages);
        let result = world.station.pair_result(&technician(), &waits.session_id).await.unwrap();
        assert!(matches!(result, PairOutcome::Paired(_)), "{result:?}");
        assert_eq!(world.lan.dialled(), []);
        one_certificate(&world, &device);
        named(&world, Route::Courier);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_nobody_answers_waits_for_a_courier_too() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    device.misbehave(Fault::Unreachable);
    let scanned = world.station.scan(&technician(), device.scan_request()).await.unwrap();
    let ScanOutcome::Pending(waits) = scanned else { panic!("{scanned:?}") };
    assert_eq!((waits.delivery, world.lan.dialled().len()), (Route::Courier, 3));
    device.misbehave(Fault::None);
    let next = world.station.courier_message(&technician(), &waits.session_id).await.unwrap();
    let reply = answer(&device, next.message.unwrap()).await;
    let back = Return { v: V1::default(), session_id: waits.session_id, reply };
    world.station.courier_return(&technician(), &waits.session_id, back).await.unwrap();
    // Claimed; `pair` has not come, and there is nothing to carry.
    let idle = world.station.courier_message(&technician(), &waits.session_id).await.unwrap();
    assert_eq!(idle.message, None);
    let request = PairRequest { session_id: Some(waits.session_id), ..device.pair_request() };
    let station = Arc::clone(&world.station);
    let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
    pass(Duration::from_millis(10)).await;
    assert_eq!(carry(&world, &technician(), waits.session_id, &device).await, 1);
    drop(pairing.await.unwrap().unwrap());
    one_certificate(&world, &device);
}

#[tokio::test(start_paused = true)]
async fn what_a_courier_must_not_do_is_refused_with_its_row() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let request = PairRequest { delivery: Some(Route::Courier), ..device.pair_request() };
    let id = pending(world.station.pair(&technician(), request).await.unwrap()).session_id;
    let message = async |who: OperatorProof| world.station.courier_message(&who, &id).await;
    let other = operator("tom", Role::Technician);
    assert_eq!(message(other.clone()).await.unwrap_err().code(), ErrorCode::SessionUnknown);
    let auditor = operator("vera", Role::Auditor);
    assert_eq!(message(auditor).await.unwrap_err().code(), ErrorCode::NotPermitted);
    assert_eq!(message(administrator()).await.unwrap_err().code(), ErrorCode::SessionUnknown);

    let next = message(technician()).await.unwrap().message.unwrap();
    let again = message(technician()).await.unwrap().message.unwrap();
    assert_eq!(next, again, "the same bytes");
    let reply = answer(&device, next).await;
    let back =
        |session_id, reply: &Reply| Return { v: V1::default(), session_id, reply: reply.clone() };
    let refused = async |who: OperatorProof, answer: Return| {
        world.station.courier_return(&who, &id, answer).await.unwrap_err().code()
    };
    let elsewhere = SessionId::from_bytes([9; 16]);
    assert_eq!(refused(other, back(id, &reply)).await, ErrorCode::SessionUnknown);
    let mismatch = refused(technician(), back(elsewhere, &reply)).await;
    assert_eq!(mismatch, ErrorCode::SessionMismatch);
    let status = Reply::Status(DeliveryAnswer { status: "e30.e30.e30".to_owned() });
    assert_eq!(refused(technician(), back(id, &status)).await, ErrorCode::StateConflict);
    let rows = world.store.audit_events();
    let rows = rows.iter().filter(|row| row.event == EventType::ReplyRefused);
    let codes: Vec<_> = rows.map(|row| row.error.unwrap()).collect();
    assert_eq!(codes, [ErrorCode::SessionMismatch, ErrorCode::StateConflict]);
    // Nothing was lost.
    world.station.courier_return(&technician(), &id, back(id, &reply)).await.unwrap();
    assert_eq!(carry(&world, &technician(), id, &device).await, 1);
    one_certificate(&world, &device);
}

#[tokio::test(start_paused = true)]
async fn a_carried_session_ends_in_time_and_frees_the_device() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let request = PairRequest { delivery: Some(Route::Courier), ..device.pair_request() };
    let id = pending(world.station.pair(&technician(), request).await.unwrap()).session_id;
    pass(Duration::from_secs(901)).await;
    let ended = world.station.pair_result(&technician(), &id).await.unwrap_err();
    assert_eq!(ended.code(), ErrorCode::SessionExpired);
    // The token was never claimed: the same code pairs now, by whoever comes.
    let outcome = world.station.pair(&administrator(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    one_certificate(&world, &device);
}
