//! What a factory certificate opens, and what it does not.

use std::sync::Arc;

use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_station::ports::{CertificateState, StationStore};
use zmon_station::{DeviceTrust, PairOutcome, StationEvent};
use zmon_wire::pair::PairRequest;

use crate::common::maker::{Maker, Order};
use crate::common::poller::Poller;
use crate::common::{FakeDevice, Fault, World, pass, technician};

const BOTH: [DeviceTrust; 2] = [DeviceTrust::Registry, DeviceTrust::Factory];

/// A station that believes one maker besides its registry.
async fn stand(grounds: &[DeviceTrust]) -> (World, Maker) {
    let maker = Maker::new();
    let world = World::with(|policy| {
        policy.session.device_trust = grounds.to_vec();
        policy.session.factory_anchors = maker.anchors();
    })
    .await;
    (world, maker)
}

/// A device that the registry does not know, with this chain.
fn newcomer(
    world: &World,
    chain: impl FnOnce(&FakeDevice) -> Option<Vec<String>>,
) -> Arc<FakeDevice> {
    let device = FakeDevice::new(1, Suite::P256);
    device.show_factory_chain(chain(&device));
    world.plug(&device);
    device
}

async fn pair(world: &World, device: &FakeDevice) -> Result<PairOutcome, ErrorCode> {
    let paired = world.station.pair(&technician(), device.pair_request()).await;
    paired.map_err(|error| error.code())
}

async fn scan(world: &World, device: &FakeDevice) -> Result<SessionId, ErrorCode> {
    let scanned = world.station.scan(&technician(), device.scan_request()).await;
    scanned.map(|outcome| outcome.scanned().unwrap().session_id).map_err(|error| error.code())
}

/// Nothing is left of it but rows.
async fn nothing_is_left(world: &World, device: &FakeDevice) {
    assert_eq!(world.store.device(&device.id).await.unwrap(), None);
    assert_eq!(world.store.peer_checkpoint(&device.id).await.unwrap(), None);
    assert_eq!(world.store.count(EventType::DeviceRegistered), 0);
    assert!(world.store.certificates().is_empty());
    assert!(device.installed.lock().unwrap().is_empty());
}

/// The detail of a row's member.
fn detail(world: &World, event: EventType, name: &str) -> Option<String> {
    let rows = world.store.audit_events();
    let row = rows.iter().find(|row| row.event == event)?;
    row.detail.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
}

#[tokio::test(start_paused = true)]
async fn a_device_that_its_maker_vouches_for_is_registered_with_its_certificate() {
    let (world, maker) = stand(&BOTH).await;
    let device = newcomer(&world, |device| Some(maker.certify(device)));
    device.show_log(Some(device.checkpoint(7, 1)));
    let session = scan(&world, &device).await.unwrap();
    // A scan is no pairing: nothing is known of it yet.
    nothing_is_left(&world, &device).await;

    let request = PairRequest { session_id: Some(session), ..device.pair_request() };
    let outcome = world.station.pair(&technician(), request).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let row = world.store.device(&device.id).await.unwrap().unwrap();
    assert_eq!((row.id, row.serial), (device.id.clone(), device.serial.clone()));
    assert_eq!(row.identity, device.manifest_row().identity_key);
    assert!(world.store.peer_checkpoint(&device.id).await.unwrap().is_some());
    assert_eq!(world.store.certificates()[0].state, CertificateState::Current);
    for event in [EventType::SessionClaimed, EventType::DeviceRegistered] {
        assert_eq!(detail(&world, event, "deviceTrust").as_deref(), Some("factory"), "{event}");
        assert!(detail(&world, event, "factoryCertificate").is_some(), "{event}");
    }

    // From now on the registry knows it, whatever it shows.
    device.show_factory_chain(None);
    device.open_window();
    assert!(matches!(pair(&world, &device).await, Ok(PairOutcome::Paired(_))));
    assert_eq!(world.store.count(EventType::DeviceRegistered), 1);
}

#[tokio::test(start_paused = true)]
async fn registration_and_certificate_are_one_transaction() {
    let (world, maker) = stand(&BOTH).await;
    let device = newcomer(&world, |device| Some(maker.certify(device)));
    world.store.fail_on(Some(EventType::CertificateIssued));
    assert_eq!(pair(&world, &device).await.unwrap_err(), ErrorCode::StorageUnavailable);
    nothing_is_left(&world, &device).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_maker_does_not_say_is_refused_by_its_code() {
    type Chain = fn(&Maker, &FakeDevice) -> Option<Vec<String>>;
    fn order(device: &FakeDevice) -> Order<'_> {
        Order { id: device.id.as_str(), serial: device.serial.as_str(), days: 1 }
    }
    let cases: [(Chain, ErrorCode); 7] = [
        (|_, _| None, ErrorCode::FactoryChainMissing),
        (|_, device| Some(Maker::new().certify(device)), ErrorCode::FactoryChainInvalid),
        (|_, _| Some(vec!["AAAA".to_owned()]), ErrorCode::FactoryChainInvalid),
        (
            |maker, device| Some(maker.issue(device, &Order { days: 0, ..order(device) })),
            ErrorCode::FactoryCertificateExpired,
        ),
        (
            |maker, device| Some(maker.issue(device, &Order { id: "ZM-002", ..order(device) })),
            ErrorCode::FactoryDeviceMismatch,
        ),
        (
            |maker, device| Some(maker.issue(device, &Order { serial: "SN-2", ..order(device) })),
            ErrorCode::FactoryDeviceMismatch,
        ),
        (|maker, device| Some(maker.certify(&device.impostor(9))), ErrorCode::FactoryKeyMismatch),
    ];
    for (chain, code) in cases {
        let (world, maker) = stand(&BOTH).await;
        let device = newcomer(&world, |device| chain(&maker, device));
        pass(core::time::Duration::from_secs(1)).await;
        assert_eq!(pair(&world, &device).await.unwrap_err(), code);
        let rows = world.store.audit_events();
        let refused = rows.iter().find(|row| row.event == EventType::IdentityRefused).unwrap();
        assert_eq!(refused.error, Some(code));
        nothing_is_left(&world, &device).await;
        assert!(world.store.sessions().iter().all(|row| !row.reserved), "{code}");

        // The device is usable: once it is registered, it is paired.
        device.open_window();
        world.know(&[&device]).await;
        assert!(matches!(pair(&world, &device).await, Ok(PairOutcome::Paired(_))), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_maker_does_not_vouch_against_the_registry() {
    let (world, maker) = stand(&BOTH).await;
    let known = FakeDevice::new(1, Suite::P256);
    world.know(&[&known]).await;
    // The same id under another key, and the same serial number under another id.
    let twin = known.impostor(9);
    twin.show_factory_chain(Some(maker.certify(&twin)));
    let mut stranger = Arc::into_inner(FakeDevice::new(2, Suite::P256)).unwrap();
    stranger.serial = known.serial.clone();
    let stranger = Arc::new(stranger);
    stranger.show_factory_chain(Some(maker.certify(&stranger)));
    for (nth, device) in (1..).zip([twin, stranger]) {
        world.plug(&device);
        let mut events = world.station.events();
        // At the scan: nobody has to confirm a bed first.
        assert_eq!(scan(&world, &device).await.unwrap_err(), ErrorCode::DeviceKeyConflict);
        let alarmed = std::iter::from_fn(|| events.try_recv().ok())
            .any(|event| matches!(event, StationEvent::Alarm { .. }));
        assert!(alarmed);
        assert_eq!(world.store.count(EventType::DeviceKeyConflict), nth);
    }
    assert!(world.store.certificates().is_empty());
    assert_eq!(world.store.count(EventType::DeviceRegistered), 0);
}

#[tokio::test(start_paused = true)]
async fn without_the_policy_a_chain_opens_nothing() {
    let (world, maker) = stand(&[DeviceTrust::Registry]).await;
    let device = newcomer(&world, |device| Some(maker.certify(device)));
    assert_eq!(pair(&world, &device).await.unwrap_err(), ErrorCode::DeviceUnknown);
    assert_eq!(world.lan.dialled(), []);
    let (world, maker) = stand(&BOTH).await;
    let device = newcomer(&world, |device| Some(maker.certify(device)));
    // A typed code says nothing about the key behind an address.
    let request = device.typed_request(&device.code());
    let typed = world.station.pair(&technician(), request).await.unwrap_err();
    assert_eq!(typed.code(), ErrorCode::DeviceUnknown);
    assert_eq!(world.lan.dialled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_station_may_ask_registered_devices_for_their_maker_too() {
    let (world, maker) = stand(&[DeviceTrust::Factory]).await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    assert_eq!(pair(&world, &device).await.unwrap_err(), ErrorCode::FactoryChainMissing);
    device.open_window();
    device.show_factory_chain(Some(maker.certify(&device)));
    assert!(matches!(pair(&world, &device).await, Ok(PairOutcome::Paired(_))));
    assert_eq!(detail(&world, EventType::DeviceRegistered, "deviceTrust"), None);
}

#[tokio::test(start_paused = true)]
async fn where_a_scan_is_enough_a_wrong_chain_is_refused_all_the_same() {
    let grounds = [DeviceTrust::Registry, DeviceTrust::Factory, DeviceTrust::Scanned];
    let (world, _) = stand(&grounds).await;
    let device = newcomer(&world, |device| Some(Maker::new().certify(device)));
    assert_eq!(pair(&world, &device).await.unwrap_err(), ErrorCode::FactoryChainInvalid);
    for ground in ["scanned", "factory"] {
        let (world, maker) = stand(&grounds).await;
        let device =
            newcomer(&world, |device| (ground == "factory").then(|| maker.certify(device)));
        assert!(matches!(pair(&world, &device).await, Ok(PairOutcome::Paired(_))));
        let said = detail(&world, EventType::DeviceRegistered, "deviceTrust");
        assert_eq!(said.as_deref(), Some(ground));
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_its_maker_vouches_for_may_poll_once_its_key_has_been_seen() {
    let (world, maker) = stand(&BOTH).await;
    let device = newcomer(&world, |device| Some(maker.certify(device)));
    device.misbehave(Fault::Unreachable);
    let waits = pair(&world, &device).await.unwrap();
    assert!(matches!(waits, PairOutcome::Pending(_)));
    device.misbehave(Fault::None);
    let mut poller = Poller::new(&world, &device);
    assert_eq!(poller.poll().await, None);
    assert_eq!(poller.serve().await, 2);
    assert!(world.store.device(&device.id).await.unwrap().is_some());
}
