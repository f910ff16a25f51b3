//! The typed code at the station (D2, T2, T15): where the device is, tries, and methods kept apart.

#[cfg(test)]
mod common;

use std::num::NonZeroU16;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{FakeDevice, Fault, World, administrator, operator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_station::{OwnAddress, PairOutcome, StationError};
use zmon_wire::manifest;
use zmon_wire::pair::{PairRequest, ScanRequest};
use zmon_wire::secret::SecretText;

const WRONG: &str = "000-000-00R";

#[cfg(test)]
async fn typed(
    world: &World,
    device: &FakeDevice,
    code: &str,
) -> Result<PairOutcome, StationError> {
    world.station.pair(&technician(), device.typed_request(code)).await
}

#[tokio::test(start_paused = true)]
async fn a_typed_code_pairs_a_registered_device() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        let world = World::new().await;
        let device = FakeDevice::new(1, suite);
        world.know(&[&device]).await;
        let outcome = typed(&world, &device, &device.code()).await.unwrap();
        assert!(matches!(outcome, PairOutcome::Paired(_)));
        assert_eq!(device.installed.lock().unwrap().len(), 1);
        assert_eq!(world.store.certificates().len(), 1);
        assert_eq!(world.store.count(EventType::TypedTryStarted), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_registry_says_where_a_device_listens() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    let mut row = device.manifest_row();
    row.ip_address = Some(device.address);
    row.port = NonZeroU16::new(device.port());
    world.station.import(&administrator(), &manifest::to_lines(&[row]).unwrap()).await.unwrap();
    world.plug(&device);
    let three =
        PairRequest { ip_address: None, port: None, ..device.typed_request(&device.code()) };
    let outcome = world.station.pair(&technician(), three).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_typed_code_may_claim_first_and_pair_later() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let code = device.code();
    let scan = ScanRequest {
        pairing_token: None,
        port: NonZeroU16::new(device.port()),
        ..device.scan_request()
    };
    let scanned = world.station.scan(&technician(), scan.clone()).await.unwrap().scanned().unwrap();
    assert_eq!(
        world.station.scan(&technician(), scan).await.unwrap().scanned().unwrap(),
        scanned,
        "the same session"
    );
    let other = PairRequest { session_id: Some(scanned.session_id), ..device.pair_request() };
    let refused = world.station.pair(&technician(), other).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidPairingCode, "a token is another method");
    let request =
        PairRequest { session_id: Some(scanned.session_id), ..device.typed_request(&code) };
    let outcome = world.station.pair(&technician(), request).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_code_says_how_many_tries_are_left_until_none_is() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    for left in [
        "4 tries are left",
        "3 tries are left",
        "2 tries are left",
        "1 try is left",
        "no try is left",
    ] {
        let refused = typed(&world, &device, WRONG).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidPairingCode);
        let detail = refused.report.detail.unwrap();
        assert!(detail.rule().ends_with(left), "{}", detail.rule());
    }
    let refused = typed(&world, &device, &device.code()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TypedTriesExhausted);
    assert_eq!(device.opens.load(Ordering::SeqCst), 5, "the sixth never reached the device");
    assert!(world.store.sessions().iter().all(|row| !row.reserved));
    // A new code at the device is a new window with tries of its own.
    device.open_window();
    let outcome = typed(&world, &device, &device.code()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_typo_costs_no_try() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let refused = typed(&world, &device, "ABC-123-XYA").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PairingCodeTypo);
    assert_eq!(refused.report.detail.unwrap().field(), "pairingCode");
    assert_eq!(world.lan.dialled(), []);
    assert_eq!(world.store.count(EventType::TypedTryStarted), 0);
}

#[tokio::test(start_paused = true)]
async fn an_operator_has_twenty_failures_an_hour_and_pairings_do_not_count() {
    let world = World::new().await;
    let devices: Vec<_> = (1..=6).map(|n| FakeDevice::new(n, Suite::P256)).collect();
    world.know(&devices.iter().collect::<Vec<_>>()).await;
    let outcome = typed(&world, &devices[5], &devices[5].code()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    for device in &devices[..4] {
        for _ in 0..5 {
            let refused = typed(&world, device, WRONG).await.unwrap_err();
            assert_eq!(refused.code(), ErrorCode::InvalidPairingCode);
        }
    }
    let code = devices[4].code();
    let refused = typed(&world, &devices[4], &code).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TooManyRequests);
    assert_eq!(devices[4].opens.load(Ordering::SeqCst), 0);
    // A restart forgets nothing.
    let world = world.restart().await;
    let refused = typed(&world, &devices[4], &code).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TooManyRequests);
    // Another operator is not concerned, and an hour later nobody is.
    let tom = operator("tom", Role::Technician);
    let refused = world.station.pair(&tom, devices[4].typed_request(WRONG)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidPairingCode);
    pass(Duration::from_secs(3601)).await;
    let outcome = typed(&world, &devices[4], &code).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_cannot_be_written_down_is_not_made() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    world.store.fail_on(Some(EventType::TypedTryStarted));
    let refused = typed(&world, &device, &device.code()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StorageUnavailable);
    assert_eq!(device.opens.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_begun_by_one_method_is_not_ended_by_the_other() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();
    let scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let refused = typed(&world, &device, &device.code()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StateConflict);
    // The scan is as it was.
    let request = PairRequest { session_id: Some(scan.session_id), ..device.pair_request() };
    let outcome = world.station.pair(&tess, request).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_typed_address_is_bound_to_the_policy_and_the_registered_key() {
    let own = "10.1.50.7".parse().unwrap();
    let world = World::with(|policy| {
        policy.own_addresses.push(OwnAddress { ip: own, port: None });
    })
    .await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let at = |ip: &str, port| PairRequest {
        ip_address: Some(ip.parse().unwrap()),
        port: NonZeroU16::new(port),
        ..device.typed_request(WRONG)
    };
    for request in [at("10.9.9.9", 40_001), at("10.1.50.1", 22), at("10.1.50.7", 40_001)] {
        let refused = world.station.pair(&technician(), request).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::AddressNotPermitted);
    }
    assert_eq!(world.lan.dialled(), []);
    // Somebody else listens there: the key is not the registered one.
    let other = FakeDevice::new(2, Suite::P256);
    world.plug(&other);
    let request = at("10.1.50.2", other.port());
    let outcome = world.station.pair(&technician(), request).await.unwrap();
    let PairOutcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    assert_eq!(pending.delivery, Route::Courier);
    assert_eq!(other.opens.load(Ordering::SeqCst), 0);
    let stranger = PairRequest { device_id: other.id.clone(), ..at("10.1.50.2", other.port()) };
    let refused = world.station.pair(&technician(), stranger).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_refuses_a_run_is_not_asked_again() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    device.misbehave(Fault::RefusesClaim);
    let refused = typed(&world, &device, &device.code()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);
    let request = PairRequest {
        pairing_code: SecretText::new(&device.code()),
        ..device.typed_request(WRONG)
    };
    device.misbehave(Fault::Unreachable);
    let outcome = world.station.pair(&technician(), request).await.unwrap();
    let PairOutcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    assert_eq!(pending.delivery, Route::Courier);
    assert_eq!(world.lan.dialled().len(), 1 + 3, "three questions, none of which is a try");
}
