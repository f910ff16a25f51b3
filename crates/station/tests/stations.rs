//! Two processes of one station on one record (D11): whoever is asked answers for both.

#[cfg(test)]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{FakeDevice, Fault, World, administrator, operator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_protocol::station::CertificateUse;
use zmon_station::PairOutcome;
use zmon_station::ports::*;
use zmon_wire::kind::Obstacle;
use zmon_wire::outcome::OutcomeResult;
use zmon_wire::pair::PairRequest;

/// Two stations that serve, and a registered device that talks to the second one.
#[cfg(test)]
async fn two(device: &Arc<FakeDevice>) -> (World, World) {
    let south = World::new().await;
    south.know(&[device]).await;
    let north = south.beside("north").await;
    for world in [&south, &north] {
        drop(tokio::spawn(Arc::clone(&world.station).run()));
    }
    (south, north)
}

#[cfg(test)]
fn owner(world: &World) -> (String, u64) {
    let row = &world.store.sessions()[0];
    (row.owner.as_ref().unwrap().to_string(), row.epoch)
}

#[cfg(test)]
fn one_current(world: &World) {
    let certificates = world.store.certificates();
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0].state, CertificateState::Current);
    assert!(world.store.tables().states.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_two_technicians_at_two_stations_one_claims_and_the_other_is_told_who() {
    for _ in 0..8 {
        let device = FakeDevice::new(1, Suite::P256);
        let (south, north) = two(&device).await;
        let (tess, tom) = (technician(), operator("tom", Role::Technician));
        let (one, other) = tokio::join!(
            south.station.scan(&tess, device.scan_request()),
            north.station.scan(&tom, device.scan_request()),
        );
        let (winner, loser) = if one.is_ok() { ("tess", other) } else { ("tom", one) };
        let refused = loser.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::SessionReserved);
        assert_eq!(refused.holder.unwrap().as_str(), winner);
        assert_eq!(south.store.count(EventType::SessionClaimed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_scanned_at_one_station_is_paired_at_the_other() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    let tess = technician();
    let scan = south.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    assert_eq!(owner(&south), ("main".to_owned(), 1));

    let again = north.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    assert_eq!(again, scan, "the same scan is the same session, wherever it comes");
    assert_eq!(owner(&south), ("north".to_owned(), 2));
    let request = PairRequest { session_id: Some(scan.session_id), ..device.pair_request() };
    let outcome = south.station.pair(&tess, request).await.unwrap();
    let PairOutcome::Paired(answer) = outcome else { panic!("{outcome:?}") };
    one_current(&south);
    let outcome = north.station.pair_result(&tess, &scan.session_id).await.unwrap();
    let PairOutcome::Paired(there) = outcome else { panic!("{outcome:?}") };
    assert_eq!(there.configuration.signature, answer.configuration.signature);
}

#[tokio::test(start_paused = true)]
async fn a_commit_at_another_station_is_known_to_the_one_that_delivers() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    assert!(Arc::ptr_eq(&device.station(), &north.station), "the device commits there");
    let tess = technician();
    let outcome = south.station.pair(&tess, device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    one_current(&south);
    assert_eq!(owner(&south), ("main".to_owned(), 1));

    // Nobody hears the device's answer to the delivery: the record alone tells.
    device.open_window();
    device.misbehave(Fault::LosesAnswer);
    let outcome = south.station.pair(&tess, device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)), "{outcome:?}");
    assert_eq!(south.store.count(EventType::PairingSucceeded), 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_at_another_station_aborts_what_this_one_delivers() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, _north) = two(&device).await;
    device.misbehave(Fault::SlowDelivery);
    let (station, request) = (Arc::clone(&south.station), device.pair_request());
    let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
    pass(Duration::from_millis(100)).await;
    let row = south.store.certificates().pop().unwrap();
    let result = device.ask(&row.session, &row.serial).await.unwrap();
    assert_eq!(result, OutcomeResult::Aborted);
    let refused = pairing.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CommitAborted);
    assert!(south.store.tables().states.is_empty());
}

#[tokio::test(start_paused = true)]
async fn any_station_says_where_a_session_is_and_nobody_is_disturbed() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    device.misbehave(Fault::SlowDelivery);
    let tess = technician();
    let outcome = south.station.pair(&tess, device.pair_request()).await.unwrap();
    let PairOutcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    let id = pending.session_id;

    let outcome = north.station.pair_result(&tess, &id).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Pending(there) if there == pending));
    let tom = operator("tom", Role::Technician);
    let stranger = north.station.pair_result(&tom, &id).await.unwrap_err();
    assert_eq!(stranger.code(), ErrorCode::SessionUnknown);
    assert_eq!(owner(&south), ("main".to_owned(), 1), "it was only looked at");

    let mut feed = north.station.follow(&tess, &id).await.unwrap();
    assert_eq!(feed.progress(&north.station.now()).phase, SessionPhase::Delivering);
    while feed.changed().await {}
    assert_eq!(feed.progress(&north.station.now()).phase, SessionPhase::Paired);
    one_current(&north);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_one_station_is_not_begun_again_at_the_other() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    device.misbehave(Fault::SlowDelivery);
    let tess = technician();
    let outcome = south.station.pair(&tess, device.pair_request()).await.unwrap();
    let PairOutcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    let request = PairRequest { session_id: Some(pending.session_id), ..device.pair_request() };
    let outcome = north.station.pair(&tess, request).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)), "it waited for the end of it");
    assert_eq!(owner(&south), ("main".to_owned(), 1));
    let delivered = device.deliveries.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(delivered, 1);

    // Where it does not end in time the operator is told to come back.
    device.open_window();
    device.misbehave(Fault::HangsAfterCommit);
    let stuck = FakeDevice::new(2, Suite::P256);
    stuck.misbehave(Fault::SlowDelivery);
    south.know(&[&stuck]).await;
    let station = Arc::clone(&south.station);
    let request = stuck.pair_request();
    drop(tokio::spawn(async move { station.pair(&technician(), request).await }));
    pass(Duration::from_secs(1)).await;
    let refused = north.station.scan(&tess, stuck.scan_request()).await;
    let refused = refused.map(drop).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StateConflict);
    assert!(refused.retry_after.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_courier_may_come_to_any_station() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    let tess = technician();
    let mut request = device.pair_request();
    request.delivery = Some(Route::Courier);
    let outcome = south.station.pair(&tess, request).await.unwrap();
    let PairOutcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    let there = north.station.courier_message(&tess, &pending.session_id).await.unwrap();
    assert!(there.message.is_some());
    assert_eq!(owner(&south), ("north".to_owned(), 2));
    let back = south.station.courier_message(&tess, &pending.session_id).await.unwrap();
    assert_eq!(back, there);
    assert_eq!(owner(&south), ("main".to_owned(), 3));
    // Who is not asked about takes nothing over.
    let tom = operator("tom", Role::Technician);
    let refused = north.station.courier_message(&tom, &pending.session_id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionUnknown);
    assert_eq!(owner(&south), ("main".to_owned(), 3));
}

#[tokio::test(start_paused = true)]
async fn any_station_has_the_claimed_device_blink() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    let tess = technician();
    let scan = south.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let tom = operator("tom", Role::Technician);
    let refused = north.station.blink(&tom, &scan.session_id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionUnknown);
    assert_eq!(owner(&south), ("main".to_owned(), 1), "who is not asked about takes nothing over");
    for (world, number) in [(&south, 1), (&north, 2), (&south, 3)] {
        assert_eq!(world.station.blink(&tess, &scan.session_id).await.unwrap().seconds, 6);
        assert_eq!(device.blinks.lock().unwrap().last(), Some(&number));
        pass(limits::BLINK.default).await;
    }
    assert_eq!(owner(&south), ("main".to_owned(), 3));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_given_up_at_any_station() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    let (tess, tom) = (technician(), operator("tom", Role::Technician));
    let scan = south.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let refused = north.station.cancel(&tom, &scan.session_id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    assert_eq!(owner(&south), ("main".to_owned(), 1));
    north.station.cancel(&administrator(), &scan.session_id).await.unwrap();
    assert_eq!(south.store.sessions()[0].phase, SessionPhase::Released);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_revoked_at_one_station_is_refused_at_every_one_and_its_list_follows() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    let _paired = south.station.pair(&technician(), device.pair_request()).await.unwrap();
    let serial = south.store.certificates()[0].serial;
    let reason = RevocationReason::Administrator;
    north.station.revoke(&administrator(), &serial, reason).await.unwrap();

    let refused = south.station.admit_peer(&serial, CertificateUse::Ordinary).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateRevoked, "at once, by the row");
    let number = |world: &World| world.station.revocation_list().borrow().as_ref().unwrap().number;
    pass(Duration::from_secs(2)).await;
    assert_eq!(number(&south), number(&north), "within a second, by the list");
}

#[tokio::test(start_paused = true)]
async fn a_station_that_has_not_read_for_long_is_not_ready_and_reads_before_it_acts() {
    let device = FakeDevice::new(1, Suite::P256);
    let world = World::new().await;
    world.know(&[&device]).await;
    world.station.follow_record().await.unwrap();
    assert!(world.station.readiness().await.ready);
    pass(limits::RECORD_LAG.default + Duration::from_secs(1)).await;
    let readiness = world.station.readiness().await;
    assert_eq!((readiness.ready, readiness.reasons), (false, vec![Obstacle::Behind]));
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    assert!(world.station.readiness().await.ready);
    pass(Duration::from_secs(40 * 86_400)).await;
    let reasons = world.station.readiness().await.reasons;
    assert!(reasons.contains(&Obstacle::RevocationList));
}

#[tokio::test(start_paused = true)]
async fn a_device_asks_anew_at_another_station_and_what_it_began_is_over() {
    let device = FakeDevice::new(1, Suite::P256);
    let (south, north) = two(&device).await;
    let _paired = south.station.pair(&technician(), device.pair_request()).await.unwrap();
    let serial = south.store.certificates()[0].serial;
    let method = zmon_wire::kind::Method::Renewal;
    let pull = || device.signed_pull(method, &serial, None, &device.identity);
    let source = [127, 0, 0, 1].into();
    let first = south.station.renew(source, &serial, pull().as_bytes()).await.unwrap();
    let second = north.station.renew(source, &serial, pull().as_bytes()).await.unwrap();
    let fetch = device.answer_pull(&first);
    let refused = south.station.renew_identity(&serial, fetch).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionUnknown);
    // And goes on with what it began last, wherever.
    let fetch = device.answer_pull(&second);
    let envelope = south.station.renew_identity(&serial, fetch).await.unwrap();
    let (session, next, _) = device.take(&envelope);
    assert_eq!(device.commit(&session, &next).await.unwrap(), OutcomeResult::Committed);
}
