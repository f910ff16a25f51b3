//! Sessions outlive the process that began them: another one goes on, and the old one stops (D11).

#[cfg(test)]
mod common;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{FakeDevice, Fault, World, pass, technician};
use zmon_crypto::{SecretBytes, Suite};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BedId, SessionId};
use zmon_domain::limits;
use zmon_domain::route::Route;
use zmon_station::PairOutcome;
use zmon_station::ports::*;
use zmon_wire::carry::Message;
use zmon_wire::pair::{PairAnswer, PairRequest};

const LEASE: Duration = limits::SESSION_LEASE.default;

#[cfg(test)]
async fn world(device: &Arc<FakeDevice>) -> World {
    let world = World::new().await;
    world.know(&[device]).await;
    world
}

/// Begins a pairing at a station and leaves it to itself for a while.
#[cfg(test)]
async fn begin(world: &World, request: PairRequest, time: Duration) -> SessionId {
    let station = Arc::clone(&world.station);
    drop(tokio::spawn(async move { station.pair(&technician(), request).await }));
    pass(time).await;
    world.store.sessions()[0].id
}

/// The answer of the one session, at whatever station.
#[cfg(test)]
async fn paired(world: &World, id: &SessionId) -> PairAnswer {
    for _ in 0..120 {
        match world.station.pair_result(&technician(), id).await.unwrap() {
            PairOutcome::Paired(answer) => return *answer,
            PairOutcome::Pending(_) => pass(Duration::from_secs(1)).await,
        }
    }
    panic!("the session never ends: {:?}", world.store.sessions());
}

/// One session, one certificate, one end, and no secret left.
#[cfg(test)]
fn once(world: &World, device: &FakeDevice) {
    let sessions = world.store.sessions();
    assert_eq!(sessions.len(), 1, "it is the same session");
    assert_eq!(sessions[0].phase, SessionPhase::Paired);
    assert!(!sessions[0].reserved);
    let certificates = world.store.certificates();
    assert_eq!(certificates.len(), 1, "and the same certificate");
    assert_eq!(certificates[0].state, CertificateState::Current);
    let installed = device.installed.lock().unwrap();
    assert!(installed.iter().all(|(serial, _)| *serial == certificates[0].serial));
    for event in
        [EventType::SessionClaimed, EventType::CertificateIssued, EventType::PairingSucceeded]
    {
        assert_eq!(world.store.count(event), 1, "{event}");
    }
    assert!(world.store.tables().states.is_empty(), "nothing is kept of what has ended");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_being_dialled_is_dialled_again() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    device.misbehave(Fault::Unreachable);
    let id = begin(&old, device.pair_request(), Duration::from_millis(100)).await;
    assert_eq!(old.store.sessions()[0].phase, SessionPhase::Dialling);

    device.misbehave(Fault::None);
    let new = old.beside("main").await;
    paired(&new, &id).await;
    once(&new, &device);
    let row = &new.store.sessions()[0];
    assert_eq!((row.epoch, row.owner.clone()), (2, Some(Default::default())));
    let rows = new.store.audit_events();
    let taken = rows.iter().find(|row| row.event == EventType::SessionTakenOver).unwrap();
    assert_eq!(taken.session, Some(id));
    let facts = [("epoch", "2"), ("instance", "main"), ("from", "main"), ("phase", "dialling")];
    assert_eq!(taken.detail, facts.map(|(name, value)| (name, value.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn pair_follows_a_scan_over_a_restart() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    let tess = technician();
    let scan = old.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();

    let new = old.restart().await;
    let again = new.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    assert_eq!(again, scan, "the same scan is the same session");
    let mut request = device.pair_request();
    request.session_id = Some(scan.session_id);
    request.bed_id = Some(BedId::parse("ICU-3B").unwrap());
    let outcome = new.station.pair(&tess, request).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    once(&new, &device);
    let (_, document) = device.installed.lock().unwrap().pop().unwrap();
    assert_eq!(document.bed_id.unwrap().as_str(), "ICU-3B");
    assert_eq!(device.opens.load(Ordering::SeqCst), 2, "claimed, and claimed again to deliver");
}

/// A device refuses an earlier blink than the last one.
#[tokio::test(start_paused = true)]
async fn a_claimed_device_blinks_after_a_restart_too() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    let tess = technician();
    let scan = old.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let id = scan.session_id;
    assert_eq!(old.station.blink(&tess, &id).await.unwrap().seconds, 6);
    pass(Duration::from_secs(2)).await;
    let new = old.restart().await;
    assert_eq!(new.station.blink(&tess, &id).await.unwrap().seconds, 4, "what is left of it");
    pass(Duration::from_secs(4)).await;

    // The process ends while the device is asked.
    device.misbehave(Fault::SlowBlink);
    let station = Arc::clone(&new.station);
    let asked = tokio::spawn(async move { station.blink(&technician(), &id).await });
    pass(Duration::from_secs(1)).await;
    let last = new.restart().await;
    assert!(asked.await.unwrap().is_err());
    assert_eq!(last.station.blink(&tess, &id).await.unwrap().seconds, 6);
    assert_eq!(device.blinks.lock().unwrap().clone(), [1, 3]);

    device.misbehave(Fault::None);
    let request = PairRequest { session_id: Some(id), ..device.pair_request() };
    let outcome = last.station.pair(&tess, request).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    once(&last, &device);
}

#[tokio::test(start_paused = true)]
async fn another_code_is_not_that_of_the_session_after_a_restart_either() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    let tess = technician();
    let scan = old.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let new = old.restart().await;
    let other = FakeDevice::new(2, Suite::P256);
    let request = PairRequest {
        session_id: Some(scan.session_id),
        device_id: device.id.clone(),
        ..other.pair_request()
    };
    let refused = new.station.pair(&tess, request).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidPairingCode);
}

#[tokio::test(start_paused = true)]
async fn the_promised_time_for_pair_goes_on_over_a_restart() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    let tess = technician();
    let _scan = old.station.scan(&tess, device.scan_request()).await.unwrap();
    pass(Duration::from_secs(70)).await;
    let new = old.beside("main").await;
    pass(Duration::from_secs(49)).await;
    assert_eq!(new.store.sessions()[0].phase, SessionPhase::Identified);
    pass(Duration::from_secs(2)).await;
    assert_eq!(new.store.sessions()[0].phase, SessionPhase::Released);
    assert!(new.store.tables().states.is_empty());
}

#[cfg(test)]
mod stuck {
    use super::*;

    /// Signs nothing, and remembers what it was asked for.
    #[derive(Default)]
    pub(super) struct Stuck(pub(super) Mutex<Vec<ClientCertificateOrder>>);

    #[async_trait]
    impl CertificateIssuer for Stuck {
        async fn issue(
            &self,
            order: &ClientCertificateOrder,
        ) -> Result<IssuedCertificate, IssueError> {
            self.0.lock().unwrap().push(order.clone());
            std::future::pending().await
        }

        async fn revocation_list(&self, order: &CrlOrder) -> Result<Vec<u8>, IssueError> {
            crate::common::world::ca().issuer().unwrap().revocation_list(order).await
        }

        fn authorities(&self) -> Vec<Vec<u8>> {
            crate::common::world::ca().issuer().unwrap().authorities()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_was_being_signed_is_the_same_one() {
    let device = FakeDevice::new(1, Suite::P256);
    let first = world(&device).await;
    let stuck = Arc::new(stuck::Stuck::default());
    let issuer = Arc::clone(&stuck);
    let old = first.beside_with("main", |parts| parts.issuer = issuer).await;
    let id = begin(&old, device.pair_request(), Duration::from_secs(1)).await;
    assert_eq!(old.store.sessions()[0].phase, SessionPhase::Issuing);

    pass(Duration::from_secs(100)).await;
    let new = old.beside("main").await;
    paired(&new, &id).await;
    once(&new, &device);
    let order = stuck.0.lock().unwrap().pop().unwrap();
    let made = &new.store.certificates()[0];
    assert_eq!((made.serial, made.not_before), (order.serial, order.not_before));
    assert_eq!(made.not_after, order.not_after);
}

#[tokio::test(start_paused = true)]
async fn an_envelope_that_was_on_its_way_is_sent_again() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        let device = FakeDevice::new(1, suite);
        let old = world(&device).await;
        device.misbehave(Fault::SlowDelivery);
        let id = begin(&old, device.pair_request(), Duration::from_secs(1)).await;
        assert_eq!(old.store.sessions()[0].phase, SessionPhase::Delivering);

        device.misbehave(Fault::None);
        let new = old.beside("main").await;
        paired(&new, &id).await;
        once(&new, &device);
        assert_eq!(device.deliveries.load(Ordering::SeqCst), 2);
        // The slow answer reaches nobody, and changes nothing.
        pass(Duration::from_secs(60)).await;
        once(&new, &device);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_while_nobody_runs_the_session_ends_it_with_its_answer() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    device.misbehave(Fault::HangsAfterCommit);
    let mut request = device.pair_request();
    request.bed_id = Some(BedId::parse("ICU-3B").unwrap());
    let id = begin(&old, request, Duration::from_secs(1)).await;
    // The machine that runs it knows of the commit; the one that is kept does not.
    assert_eq!(old.store.certificates()[0].state, CertificateState::Current);
    assert_eq!(old.store.sessions()[0].phase, SessionPhase::Delivering);

    device.misbehave(Fault::LosesAnswer);
    let new = old.beside("main").await;
    let answer = paired(&new, &id).await;
    once(&new, &device);
    let (_, document) = device.installed.lock().unwrap().pop().unwrap();
    assert_eq!(answer.configuration.client_certificate, document.client_certificate);
    let placed = new.store.device(&device.id).await.unwrap().unwrap();
    assert_eq!(placed.bed.unwrap().as_str(), "ICU-3B", "it is assigned what was asked for");
}

#[tokio::test(start_paused = true)]
async fn an_abort_while_nobody_runs_the_session_fails_it() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    device.misbehave(Fault::DiesBeforeCommit);
    let id = begin(&old, device.pair_request(), Duration::from_millis(100)).await;
    let row = old.store.certificates().pop().unwrap();
    old.station.stop().await.unwrap();
    let _aborted = device.ask(&row.session, &row.serial).await.unwrap();
    assert_eq!(old.store.sessions()[0].phase, SessionPhase::Delivering, "its next owner ends it");

    let new = old.beside("main").await;
    pass(Duration::from_secs(1)).await;
    let failed = new.station.pair_result(&technician(), &id).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::CommitAborted);
    assert!(new.store.tables().states.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_a_courier_waits_on() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    device.misbehave(Fault::DiesBeforeCommit);
    let id = begin(&old, device.pair_request(), Duration::from_secs(10)).await;
    assert_eq!(old.store.sessions()[0].phase, SessionPhase::AwaitingCommit);
    let tess = technician();
    let before = old.station.courier_message(&tess, &id).await.unwrap();

    let new = old.restart().await;
    let after = new.station.courier_message(&tess, &id).await.unwrap();
    assert_eq!(after, before);
    let Some(Message::Configuration { envelope }) = after.message else { panic!("{after:?}") };
    device.misbehave(Fault::None);
    let status = device.answer_configuration(envelope).await.unwrap();
    assert!(!status.is_empty());
    paired(&new, &id).await;
    once(&new, &device);
}

#[tokio::test(start_paused = true)]
async fn a_typed_code_that_was_confirmed_is_confirmed_again() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    device.misbehave(Fault::LosesConfirmation);
    let request = device.typed_request(&device.code());
    let id = begin(&old, request, Duration::from_millis(100)).await;
    assert_eq!(old.store.sessions()[0].phase, SessionPhase::Dialling);

    device.misbehave(Fault::None);
    let new = old.beside("main").await;
    paired(&new, &id).await;
    once(&new, &device);
    assert_eq!(new.store.count(EventType::TypedTryStarted), 1, "no second try is spent");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_goes_on_where_it_was() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    let _paired = old.station.pair(&technician(), device.pair_request()).await.unwrap();
    let serial = old.store.certificates()[0].serial;
    let key = &device.identity;
    let method = zmon_wire::kind::Method::Renewal;
    let pull = device.signed_pull(method, &serial, None, key);
    let source = [127, 0, 0, 1].into();
    let answer = old.station.renew(source, &serial, pull.as_bytes()).await.unwrap();
    let fetch = device.answer_pull(&answer);

    let new = old.restart().await;
    let envelope = new.station.renew_identity(&serial, fetch.clone()).await.unwrap();
    let (session, next, _) = device.take(&envelope);
    let newer = new.restart().await;
    let again = newer.station.renew_identity(&serial, fetch).await.unwrap();
    assert_eq!(again, envelope, "the same envelope after another restart");
    device.commit(&session, &next).await.unwrap();
    pass(Duration::from_secs(1)).await;
    assert_eq!(newer.store.certificates().len(), 2);
    let row = newer.store.tables().sessions[&session].clone();
    assert_eq!(row.phase, SessionPhase::Paired);
}

#[tokio::test(start_paused = true)]
async fn a_driver_whose_epoch_was_taken_stops_without_effect() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    let scan = old.station.scan(&technician(), device.scan_request()).await.unwrap();
    assert!(scan.scanned().is_some());
    let new = old.beside("main").await;
    new.station.stop().await.unwrap();

    // The old one releases the reservation whose time is over; it is not its own any more.
    let before = new.store.audit_events().len();
    pass(Duration::from_secs(130)).await;
    assert_eq!(new.store.audit_events().len(), before, "nothing is written");
    let row = &new.store.sessions()[0];
    assert_eq!((row.phase, row.epoch), (SessionPhase::Identified, 2));

    let last = new.beside("main").await;
    pass(Duration::from_secs(1)).await;
    let row = &last.store.sessions()[0];
    assert_eq!((row.phase, row.epoch), (SessionPhase::Released, 3));
    assert!(last.store.tables().states.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_sealed_by_another_program_or_key_is_released_by_name() {
    for damage in [&b""[..], b"\x09", b"\x01\x00", &[1; 90]] {
        let device = FakeDevice::new(1, Suite::P256);
        let old = world(&device).await;
        let tess = technician();
        let scan = old.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
        let broken = SessionState::new(SecretBytes::copy_from(damage));
        old.store.put(|tables| drop(tables.states.insert(scan.session_id, broken))).await;
        let new = old.beside("main").await;
        let row = &new.store.sessions()[0];
        assert_eq!((row.phase, row.reserved), (SessionPhase::Released, false));
        assert_eq!((row.owner.clone(), row.epoch), (None, 2));
        assert!(new.store.tables().states.is_empty());
        let lost = new.store.audit_events();
        let lost = lost.iter().find(|row| row.event == EventType::SessionTakenOver).unwrap();
        assert!(lost.detail.contains(&("phase", "lost".to_owned())));
        // The device shows another code, and is paired as ever.
        device.open_window();
        let outcome = new.station.pair(&tess, device.pair_request()).await.unwrap();
        assert!(matches!(outcome, PairOutcome::Paired(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_process_cannot_read_is_left_to_others_until_its_time_is_over() {
    for comes_back in [true, false] {
        let device = FakeDevice::new(1, Suite::P256);
        let main = world(&device).await;
        let tess = technician();
        let scan = main.station.scan(&tess, device.scan_request()).await.unwrap();
        let id = scan.scanned().unwrap().session_id;
        main.station.stop().await.unwrap();
        let kept = main.store.tables().states[&id].clone();
        let unreadable = SessionState::new(SecretBytes::copy_from(b"\x09"));
        main.store.put(|tables| drop(tables.states.insert(id, unreadable))).await;

        let north = main.beside("north").await;
        pass(LEASE).await;
        north.station.round().await.unwrap();
        let row = &north.store.sessions()[0];
        assert_eq!((row.phase, row.epoch, row.reserved), (SessionPhase::Identified, 1, true));
        assert!(north.store.tables().states.contains_key(&id));
        if comes_back {
            main.store.put(|tables| drop(tables.states.insert(id, kept))).await;
            let main = north.beside("main").await;
            let request = PairRequest { session_id: Some(id), ..device.pair_request() };
            let outcome = main.station.pair(&tess, request).await.unwrap();
            assert!(matches!(outcome, PairOutcome::Paired(_)));
            once(&main, &device);
        } else {
            pass(limits::SESSION_LIFETIME.default).await;
            north.station.round().await.unwrap();
            let row = &north.store.sessions()[0];
            assert_eq!((row.phase, row.reserved), (SessionPhase::Released, false));
            assert!(north.store.tables().states.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_keeps_others_away_and_one_that_is_not_does_not() {
    let device = FakeDevice::new(1, Suite::P256);
    let main = world(&device).await;
    let tess = technician();
    let scan = main.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let north = main.beside("north").await;
    for _ in 0..6 {
        main.station.round().await.unwrap();
        north.station.round().await.unwrap();
        pass(LEASE / 3).await;
    }
    let owner = |world: &World| world.store.sessions()[0].owner.clone().unwrap().to_string();
    assert_eq!(owner(&north), "main");

    // Nobody renews it any more.
    pass(LEASE).await;
    north.station.round().await.unwrap();
    assert_eq!(owner(&north), "north");
    let mut request = device.pair_request();
    request.session_id = Some(scan.session_id);
    let outcome = north.station.pair(&tess, request).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    once(&north, &device);
    // The old owner learns it at the latest in its next round.
    main.station.round().await.unwrap();
    let outcome = main.station.pair_result(&tess, &scan.session_id).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)), "from the record");
}

#[tokio::test(start_paused = true)]
async fn a_station_that_stops_in_order_lets_its_sessions_go_at_once() {
    let device = FakeDevice::new(1, Suite::P256);
    let main = world(&device).await;
    let tess = technician();
    let _scan = main.station.scan(&tess, device.scan_request()).await.unwrap();
    let north = main.beside("north").await;
    north.station.round().await.unwrap();
    assert_eq!(north.store.sessions()[0].epoch, 1);
    main.station.stop().await.unwrap();
    north.station.round().await.unwrap();
    let row = &north.store.sessions()[0];
    assert_eq!((row.epoch, row.owner.clone().unwrap().to_string()), (2, "north".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_message_for_a_device_that_fetches_is_the_same_after_a_restart() {
    let device = FakeDevice::new(1, Suite::P256);
    let old = world(&device).await;
    let mut request = device.pair_request();
    request.delivery = Some(Route::Courier);
    let id = begin(&old, request, Duration::from_secs(1)).await;
    let tess = technician();
    let before = old.station.courier_message(&tess, &id).await.unwrap();
    let new = old.restart().await;
    assert_eq!(new.station.courier_message(&tess, &id).await.unwrap(), before);
    assert_eq!(new.store.count(EventType::MessageFetched), 1, "one row, however often");
}
