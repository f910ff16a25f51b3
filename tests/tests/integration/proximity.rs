//! A device without an anchor over real sockets (D8): four words, and a person who compares them.

use core::time::Duration;
use std::sync::Arc;

use zmon_crypto::x509::trust_level_of;
use zmon_crypto::{Anchor, Suite};
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::Confirmation;
use zmon_provisioning::ports::AnchorStore;
use zmon_provisioning::{AnchorImport, IProvisioningService};
use zmon_station::StationPolicy;
use zmon_station::ports::CertificateState;
use zmon_testkit::{DeviceOptions, SimulatedDevice, StationOptions, TestStation, wait};
use zmon_wire::carry::{Reply, Return};
use zmon_wire::kind::{TrustLevel, V1};

const DAY: Duration = Duration::from_secs(86_400);

fn near(policy: &mut StationPolicy) {
    policy.session.station_trust = vec![TrustLevel::Anchored, TrustLevel::Proximity];
    policy.certificate_lifetime = DAY;
    policy.recovery = true;
}

async fn stand(suite: Suite) -> (TestStation, SimulatedDevice) {
    let options = StationOptions { policy: near, ..StationOptions::default() };
    let station = TestStation::start_with(options).await;
    let options =
        DeviceOptions { suite, proximity: true, recovery: true, ..DeviceOptions::new(&station) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    (station, device)
}

/// Pairs as far as it goes without a person; both screens show the same.
async fn begun(station: &TestStation, device: &SimulatedDevice) -> (SessionId, Confirmation) {
    let pending = station.technician().begin(&device.open_window().await).await.unwrap();
    let view = device.until("a station to confirm", |view| view.confirmation.is_some()).await;
    let shown = view.confirmation.unwrap();
    assert_eq!(pending.words.unwrap(), shown.words.join(" "));
    assert_eq!(view.state, ProvisioningState::Pairing);
    assert!(device.store().load().await.unwrap().slot_b.is_none(), "nothing is staged");
    (pending.session_id, shown)
}

async fn confirm(device: &SimulatedDevice, shown: &Confirmation) {
    let proof = device.technician().await;
    device.service().confirm_station(proof, &shown.words.join(" ")).await.unwrap();
}

/// Whether the log has a row of this event whose details say this.
async fn told(rows: &[zmon_provisioning::ports::AuditRow], event: EventType, what: &str) -> bool {
    rows.iter().any(|row| row.event == event && format!("{:?}", row.detail).contains(what))
}

#[tokio::test]
async fn an_operator_confirms_the_station_by_four_words() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        let (station, mut device) = stand(suite).await;
        let (session, shown) = begun(&station, &device).await;
        // A person takes longer than a delivery: the station asks again.
        station.clock().advance(limits::DELIVERY_TIMEOUT.default);
        confirm(&device, &shown).await;
        let technician = station.technician();
        // The pauses between deliveries pass, the end of the session does not.
        let pauses = limits::DELIVERY_TIMEOUT.default;
        station.clock().hurry(pauses, technician.finished(session)).await.unwrap();
        station.clock().hurry(DAY / 24, device.until_connected()).await;
        assert_eq!(device.view().station_trust, Some(TrustLevel::Proximity));

        // The level stands in the certificate, the registry and both logs.
        let current = station.certificates(&device, CertificateState::Current).await;
        assert_eq!(
            trust_level_of(&current.first().unwrap().der).unwrap(),
            Some(TrustLevel::Proximity)
        );
        let listed = station.technician().devices().await.unwrap();
        assert_eq!(listed.devices.first().unwrap().trust_level, Some(TrustLevel::Proximity));
        assert!(told(&device.audit().await, EventType::StationConfirmed, shown.words[0]).await);
        let log = format!("{:?}", station.audit().await);
        assert!(log.contains("proximity"), "{log}");

        renews_and_recovers(&station, &mut device).await;
        device.audit_verified().await;
        station.audit_verified().await;
    }
}

/// Without an anchor and without a person, by the key that the device has pinned.
async fn renews_and_recovers(station: &TestStation, device: &mut SimulatedDevice) {
    let serial = |device: &SimulatedDevice| {
        let store = device.store().clone();
        async move { store.load().await.unwrap().slot_a.unwrap().serial }
    };
    let first = serial(device).await;
    device.service().renew_certificate(device.technician().await).await.unwrap();
    let other = || async { (serial(device).await != first).then_some(()) };
    station.clock().hurry(DAY / 24, wait::eventually("a renewal", other)).await;
    let second = serial(device).await;
    device.stop().await;
    station.clock().advance(DAY * 2);
    device.start().await.unwrap();
    let other = || async { (serial(device).await != second).then_some(()) };
    station.clock().hurry(DAY / 24, wait::eventually("a recovery", other)).await;
    station.clock().hurry(DAY / 24, device.until_connected()).await;
    assert_eq!(device.view().station_trust, Some(TrustLevel::Proximity));
}

#[tokio::test]
async fn whoever_refuses_installs_nothing_and_the_station_learns_why() {
    let (station, device) = stand(Suite::P256).await;
    let (session, shown) = begun(&station, &device).await;
    // Other words than these are refused, and the pairing lives.
    let proof = device.technician().await;
    let other = device.service().confirm_station(proof, "zoo zoo zoo zoo").await.unwrap_err();
    assert_eq!(other.code, ErrorCode::WordsMismatch);
    assert_eq!(device.view().confirmation, Some(shown));
    device.service().refuse_station(None).await.unwrap();
    let technician = station.technician();
    let refused = station.clock().hurry(DAY / 24, technician.finished(session)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ProximityRefused);
    ended(&station, &device, ErrorCode::ProximityRefused).await;
}

#[tokio::test]
async fn if_nobody_comes_nothing_is_installed() {
    let (station, device) = stand(Suite::P256).await;
    let (session, _) = begun(&station, &device).await;
    let technician = station.technician();
    let ending = async {
        device.until_state(ProvisioningState::Error).await;
        technician.finished(session).await
    };
    let refused = station.clock().hurry(DAY / 24, ending).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ProximityTimedOut);
    ended(&station, &device, ErrorCode::ProximityTimedOut).await;
}

async fn ended(station: &TestStation, device: &SimulatedDevice, code: ErrorCode) {
    let slots = device.store().load().await.unwrap();
    assert!(slots.slot_a.is_none() && slots.slot_b.is_none());
    assert!(device.has_refused(code).await && station.has_refused(code).await);
    for state in [CertificateState::Current, CertificateState::Pending] {
        assert!(station.certificates(device, state).await.is_empty(), "{state}");
    }
    device.audit_verified().await;
    station.audit_verified().await;
}

/// Waits until a person at the device is asked, and holds the words against the station's.
async fn asked(station: &TestStation, device: &SimulatedDevice, session: SessionId) {
    let view = device.until("a station to confirm", |view| view.confirmation.is_some()).await;
    let shown = view.confirmation.unwrap();
    let pending = station.technician().pending(session).await.unwrap();
    assert_eq!(pending.words.unwrap(), shown.words.join(" "));
    let boot = device.store().load().await.unwrap();
    assert!(boot.slot_b.is_none(), "nothing is staged");
    confirm(device, &shown).await;
}

#[tokio::test]
async fn the_four_words_are_the_same_whoever_carries_the_messages() {
    let (station, device) = stand(Suite::P256).await;
    let tablet = station.technician();
    let qr = device.open_window().await;
    let session = tablet.pair_by(&qr, Route::Courier).await.unwrap().session_id;
    let bring = |message| {
        let endpoint = device.service().endpoint();
        async move { endpoint.carried(Route::Courier, message).await }
    };
    let give = |reply: Reply| Return { v: V1::default(), session_id: session, reply };
    let hello = tablet.courier(session).await.unwrap().message.unwrap();
    let identity = bring(hello).await.unwrap();
    tablet.courier_return(session, &give(identity)).await.unwrap();
    let envelope = tablet.courier(session).await.unwrap().message.unwrap();
    let (status, ()) = tokio::join!(bring(envelope), asked(&station, &device, session));
    // The device has committed: what the courier takes back is news no more.
    drop(tablet.courier_return(session, &give(status.unwrap())).await);
    tablet.finished(session).await.unwrap();
    device.until_connected().await;
    assert_eq!(device.view().station_trust, Some(TrustLevel::Proximity));
    let events = device.events().await;
    assert!(events.contains(&(EventType::StationConfirmed, None)));
    station.audit_verified().await;
    device.audit_verified().await;
}

#[tokio::test]
async fn a_device_without_an_anchor_asks_the_station_that_its_slot_pins() {
    let options = StationOptions { policy: near, ..StationOptions::default() };
    let station = TestStation::start_with(options).await;
    let options = DeviceOptions {
        proximity: true,
        pull: Some((None, Duration::from_millis(20))),
        ..DeviceOptions::new(&station)
    };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    // It has nobody to ask yet: the first pairing comes by push.
    let (session, shown) = begun(&station, &device).await;
    confirm(&device, &shown).await;
    let pauses = limits::DELIVERY_TIMEOUT.default;
    station.clock().hurry(pauses, station.technician().finished(session)).await.unwrap();
    station.clock().hurry(DAY / 24, device.until_connected()).await;

    let qr = device.open_window().await;
    let session = station.technician().pair_by(&qr, Route::Pull).await.unwrap().session_id;
    asked(&station, &device, session).await;
    station.technician().finished(session).await.unwrap();
    let rows = station.audit().await;
    let claimed = rows.iter().rfind(|row| row.event == EventType::SessionClaimed).unwrap();
    assert!(claimed.detail.contains(&("route".to_owned(), "pull".to_owned())), "{claimed:?}");
    station.audit_verified().await;
    device.audit_verified().await;
}

/// Anchors in memory: the disk is the program's.
struct Nowhere;

#[async_trait::async_trait]
impl AnchorStore for Nowhere {
    async fn add(&self, _: &Anchor) -> Result<(), ErrorReport> {
        Ok(())
    }
}

#[tokio::test]
async fn an_imported_anchor_ends_proximity_and_the_next_pairing_needs_no_words() {
    let (station, device) = stand(Suite::P256).await;
    let (session, shown) = begun(&station, &device).await;
    confirm(&device, &shown).await;
    let technician = station.technician();
    let pauses = limits::DELIVERY_TIMEOUT.default;
    station.clock().hurry(pauses, technician.finished(session)).await.unwrap();
    station.clock().hurry(DAY / 24, device.until_connected()).await;

    let anchor = station.anchor();
    let import = AnchorImport {
        certificate: anchor.ca_der().to_vec(),
        site: anchor.site_id().clone(),
        fingerprint: anchor.fingerprint(),
    };
    let administrator = device.administrator().await;
    device.service().import_anchor(administrator, import, Arc::new(Nowhere)).await.unwrap();
    station.pair(&device.open_window().await).await.unwrap();
    let view = device.until_state(ProvisioningState::Provisioned).await;
    assert_eq!((view.confirmation, view.station_trust), (None, Some(TrustLevel::Anchored)));
    device.audit_verified().await;
}

#[tokio::test]
async fn a_typed_code_and_a_station_that_does_not_allow_it_are_refused() {
    let (station, device) = stand(Suite::P256).await;
    let qr = device.open_window().await;
    let at = device.listener().await;
    let place = (qr.ip_address, core::num::NonZeroU16::new(at.port()).unwrap());
    let technician = station.technician();
    let typed = technician.pair_typed(device.id(), qr.pairing_code.expose(), Some(place));
    let refused = station.clock().hurry(Duration::from_secs(3), typed).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    assert!(!device.view().is_provisioned);

    let station = TestStation::start().await;
    let options = DeviceOptions { proximity: true, ..DeviceOptions::new(&station) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    let refused = station.pair(&device.open_window().await).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ProximityNotAllowed);
    assert!(!device.view().is_provisioned);
}
