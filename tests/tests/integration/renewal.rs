//! Renewal and recovery over real sockets (D23): a new certificate without a window, the old link up
//! until the new one is proven.

use core::time::Duration;

use zmon_crypto::jws::{self, Typ};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::PullMethod;
use zmon_protocol::device::LinkError;
use zmon_provisioning::IProvisioningService;
use zmon_provisioning::ports::StationLink;
use zmon_station::StationPolicy;
use zmon_station::ports::CertificateState;
use zmon_testkit::{
    DOUBT, DeviceOptions, Kind, Seed, SimulatedDevice, StationOptions, Step, TestStation, paired,
    wait,
};
use zmon_transport::station_link::TlsStationLink;
use zmon_wire::kind::V1;
use zmon_wire::pull::Pull;
use zmon_wire::strict;

const DAY: Duration = Duration::from_secs(86_400);
/// Transactions of one renewal: pull, hello, slot B, commit sent, flip.
const TRANSACTIONS: u32 = 5;

/// The serial number of the certificate that both sides call the one in force, once they do.
async fn agreed(station: &TestStation, device: &SimulatedDevice) -> Serial {
    let agree = || async {
        let current = station.certificates(device, CertificateState::Current).await;
        let boot = device.store().load().await.unwrap();
        let [current] = current.as_slice() else { return None };
        let whole = boot.slot_b.is_none()
            && device.state() == ProvisioningState::Provisioned
            && boot.slot_a.is_some_and(|slot| slot.serial == current.serial);
        whole.then_some(current.serial)
    };
    wait::eventually("both sides to agree", agree).await
}

/// Waits until another certificate than `old` is in force on both sides, and `old` is revoked.
async fn replaced(station: &TestStation, device: &SimulatedDevice, old: Serial) -> Serial {
    let revoked = || async {
        let revoked = station.certificates(device, CertificateState::Revoked).await;
        revoked.iter().any(|row| row.serial == old).then_some(())
    };
    wait::eventually("the old certificate's end", revoked).await;
    let new = agreed(station, device).await;
    assert_ne!(new, old);
    new
}

async fn audited(station: &TestStation, device: &SimulatedDevice) {
    device.audit_verified().await;
    station.audit_verified().await;
}

/// A station that gives certificates of one day.
fn short_lived(policy: &mut StationPolicy) {
    policy.certificate_lifetime = DAY;
}

fn recovering(policy: &mut StationPolicy) {
    short_lived(policy);
    policy.recovery = true;
}

/// A paired device whose certificate expires while it is in storage, switched off.
async fn stored(policy: fn(&mut StationPolicy), recovery: bool) -> (TestStation, SimulatedDevice) {
    let options = StationOptions { policy, ..StationOptions::default() };
    let station = TestStation::start_with(options).await;
    let device = DeviceOptions { recovery, ..DeviceOptions::new(&station) };
    let mut device = SimulatedDevice::with(device).await;
    station.register(&device).await;
    station.pair(&device.open_window().await).await.unwrap();
    device.until_connected().await;
    device.stop().await;
    station.clock().advance(DAY * 2);
    (station, device)
}

/// What the device would send, signed by its identity key.
async fn pull(device: &SimulatedDevice, method: PullMethod, counter: Option<u64>) -> String {
    let serial = device.store().load().await.unwrap().slot_a.unwrap().serial;
    signed(device, device.id().clone(), serial, method, counter)
}

fn signed(
    device: &SimulatedDevice,
    device_id: DeviceId,
    serial: Serial,
    method: PullMethod,
    counter: Option<u64>,
) -> String {
    let (v, method) = (V1::default(), method.method());
    let document = Pull { v, device_id, method, serial, nonce: [7; 32], counter };
    let payload = strict::to_vec(&document).unwrap();
    let mut rng = Seed::new(7).rng();
    jws::sign(Typ::Pull, None, &payload, device.keys().identity(), &mut rng).unwrap()
}

#[tokio::test]
async fn a_renewal_under_a_steady_heartbeat_swaps_the_certificate() {
    let (station, device) = paired().await;
    let old = agreed(&station, &device).await;
    let settings = device.view().settings;
    for round in 1..4 {
        let beats = device.faults().count(Step::Heartbeat);
        let before = agreed(&station, &device).await;
        let proof = device.technician().await;
        device.service().renew_certificate(proof).await.unwrap();
        assert!(device.view().is_provisioned, "round {round}");
        // The first heartbeat over the new certificate retires the old one.
        replaced(&station, &device, before).await;
        let beat = device.faults().reached(Step::Heartbeat, beats + 3);
        station.clock().hurry(limits::SYNC_INTERVAL.default * 3, beat).await;
    }
    let link = device.until_connected().await;
    assert_eq!(link.errors, 0, "no heartbeat was lost");
    assert_eq!(device.view().settings, settings);
    assert_ne!(agreed(&station, &device).await, old);
    let events: Vec<_> = device.events().await.into_iter().map(|(event, _)| event).collect();
    for event in [EventType::RenewalStarted, EventType::CertificateSuperseded] {
        assert!(events.contains(&event), "{event}");
    }
    assert!(!station.events().await.iter().any(|(_, error)| error.is_some()));
    audited(&station, &device).await;
}

#[tokio::test]
async fn a_reprovisioning_under_a_steady_heartbeat_loses_none() {
    let (station, device) = paired().await;
    let old = agreed(&station, &device).await;
    let steady = async |what: &str| {
        let beats = device.faults().count(Step::Heartbeat);
        let beat = device.faults().reached(Step::Heartbeat, beats + 2);
        station.clock().hurry(limits::SYNC_INTERVAL.default * 3, beat).await;
        let link = device.until_connected().await;
        assert_eq!(link.errors, 0, "{what}");
    };
    let qr = device.open_window().await;
    steady("a window is open").await;
    let scanned = station.technician().scan(&qr).await.unwrap();
    steady("a station has claimed it").await;
    let revoked = station.certificates(&device, CertificateState::Revoked).await;
    assert!(revoked.is_empty(), "the old certificate is revoked after, not before");
    station.technician().pair_scanned(&qr, scanned.session_id).await.unwrap();
    replaced(&station, &device, old).await;
    steady("the new certificate is in force").await;
    audited(&station, &device).await;
}

#[tokio::test]
async fn a_renewal_falls_due_by_itself() {
    let (station, device) = paired().await;
    let old = agreed(&station, &device).await;
    station.clock().advance(DAY * 65);
    // Revocation list and clock come round first; the device comes back until it is through.
    let renewed = replaced(&station, &device, old);
    station.clock().hurry(Duration::from_secs(600), renewed).await;
    device.until_connected().await;
    audited(&station, &device).await;
}

#[tokio::test]
async fn a_renewal_that_fails_keeps_the_old_certificate_at_work_and_comes_back() {
    for (step, kind) in [
        (Step::Pull, Kind::Fail),
        (Step::Pull, Kind::Drop),
        (Step::Pull, Kind::Tamper),
        (Step::Fetch, Kind::Fail),
        (Step::Fetch, Kind::Drop),
        (Step::Fetch, Kind::Tamper),
        (Step::Test, Kind::Fail),
        (Step::Test, Kind::Tamper),
        (Step::Commit, Kind::Drop),
    ] {
        let (station, device) = paired().await;
        let old = agreed(&station, &device).await;
        device.faults().order(step, kind);
        let proof = device.technician().await;
        device.service().renew_certificate(proof).await.unwrap();
        let failed = device
            .until("a failure, or doubt", |view| view.last_error.is_some() || step == Step::Commit);
        station.clock().hurry(Duration::from_secs(3), failed).await;
        device.faults().clear();
        if step != Step::Commit {
            device.service().test_connection().await.unwrap();
        }
        let renewed = replaced(&station, &device, old);
        station.clock().hurry(Duration::from_secs(120), renewed).await;
        assert!(device.view().last_error.is_none(), "{step:?} {kind:?}");
        audited(&station, &device).await;
    }
}

#[tokio::test]
async fn a_renewal_survives_a_power_cut_at_every_transaction() {
    for kind in [Kind::Crash, Kind::Drop] {
        for number in 0..TRANSACTIONS {
            let (station, mut device) = paired().await;
            let old = agreed(&station, &device).await;
            device.faults().after(number, Step::Store, kind);
            let proof = device.technician().await;
            let service = std::sync::Arc::clone(device.service());
            let renewing = tokio::spawn(async move { service.renew_certificate(proof).await });
            device.until_crashed().await;
            renewing.abort();
            device.faults().clear();
            device.start().await.unwrap();
            let rest = agreed(&station, &device);
            let now = station.clock().hurry(DOUBT, rest).await;
            let durable = number + u32::from(kind == Kind::Drop);
            assert!(durable > 3 || now == old, "{kind:?} {number}: never committed");
            assert!(number < 4 || now != old, "{kind:?} {number}: the station has committed");
            station.clock().hurry(DOUBT, device.until_connected()).await;
            audited(&station, &device).await;
        }
    }
}

#[tokio::test]
async fn an_operator_at_the_device_comes_before_its_renewal() {
    let (station, device) = paired().await;
    let old = agreed(&station, &device).await;
    // A renewal that stops half way keeps the device reserved at the station.
    device.faults().order(Step::Fetch, Kind::Drop);
    let proof = device.technician().await;
    device.service().renew_certificate(proof).await.unwrap();
    device.until("a failure", |view| view.last_error.is_some()).await;
    device.faults().clear();
    station.pair(&device.open_window().await).await.unwrap();
    replaced(&station, &device, old).await;
    // And a renewal waits while an operator has the device.
    let qr = device.open_window().await;
    station.technician().scan(&qr).await.unwrap();
    let link = TlsStationLink::new(device.tls());
    let request = pull(&device, PullMethod::Renewal, None).await;
    let credentials = device.credentials().await;
    let refused = link.pull(&credentials, PullMethod::Renewal, &request).await.unwrap_err();
    assert_eq!(refused, LinkError::Refused(ErrorCode::SessionReserved));
    audited(&station, &device).await;
}

#[tokio::test]
async fn an_expired_certificate_is_recovered_where_both_sides_allow_it() {
    let (station, mut device) = stored(recovering, true).await;
    device.start().await.unwrap();
    let before = device.store().load().await.unwrap().slot_a.unwrap().serial;
    let recovered = replaced(&station, &device, before);
    station.clock().hurry(Duration::from_secs(300), recovered).await;
    station.clock().hurry(Duration::from_secs(60), device.until_connected()).await;
    assert_eq!(device.store().load().await.unwrap().recovery_counter, 1);
    let rows = station.audit().await;
    let opened = rows.iter().rev().find(|row| row.event == EventType::SessionOpened).unwrap();
    for fact in [("method", "recovery"), ("counter", "1")] {
        let stored = opened.detail.iter().any(|(n, v)| (n.as_str(), v.as_str()) == fact);
        assert!(stored, "{:?}", opened.detail);
    }
    audited(&station, &device).await;
}

#[tokio::test]
async fn recovery_is_refused_unless_everything_is_right() {
    let (station, mut device) = stored(recovering, false).await;
    device.start().await.unwrap();
    // The device does not ask by itself: it is off there.
    let off = device.until("the refusal", |view| view.last_error.is_some());
    let view = station.clock().hurry(Duration::from_secs(90), off).await;
    assert_eq!(view.last_error.unwrap().code, ErrorCode::CertificateExpired);
    assert_eq!(device.faults().count(Step::Pull), 0);

    let link = TlsStationLink::new(device.tls());
    let credentials = device.credentials().await;
    let ask = async |request: &str| {
        let answer = link.pull(&credentials, PullMethod::Recovery, request).await;
        answer.map(drop).map_err(LinkError::code)
    };
    // Whoever cannot sign learns nothing, whatever is wrong.
    let stranger = SimulatedDevice::with(DeviceOptions::new(&station).named("ZM-666")).await;
    let serial = device.store().load().await.unwrap().slot_a.unwrap().serial;
    let forged = signed(&stranger, device.id().clone(), serial, PullMethod::Recovery, Some(1));
    let nowhere = Serial::from_bytes(&[0x7f; 8]).unwrap();
    let unknown = signed(&device, device.id().clone(), nowhere, PullMethod::Recovery, Some(1));
    let uncounted = pull(&device, PullMethod::Recovery, None).await;
    for request in [&forged, &unknown, &uncounted, "junk"] {
        assert_eq!(ask(request).await, Err(ErrorCode::SignatureInvalid));
    }
    // A renewal of an expired certificate does not even get through the handshake.
    let renewal = pull(&device, PullMethod::Renewal, None).await;
    let refused = link.pull(&credentials, PullMethod::Renewal, &renewal).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::CertificateExpired));
    // Signed by the device, but of the wrong kind, or for another device.
    assert_eq!(ask(&renewal).await, Err(ErrorCode::SessionMismatch));
    let other = signed(&device, stranger.id().clone(), serial, PullMethod::Recovery, Some(1));
    assert_eq!(ask(&other).await, Err(ErrorCode::DeviceMismatch));
    // Each counter counts once, and no lower one after it.
    let request = pull(&device, PullMethod::Recovery, Some(5)).await;
    assert_eq!(ask(&request).await, Ok(()));
    for counter in [5, 4] {
        let replay = pull(&device, PullMethod::Recovery, Some(counter)).await;
        assert_eq!(ask(&replay).await, Err(ErrorCode::RecoveryReplayed));
    }
    assert_eq!(ask(&request).await, Err(ErrorCode::RecoveryReplayed));
    let refused = (EventType::RenewalFailed, Some(ErrorCode::RecoveryReplayed));
    assert!(station.events().await.contains(&refused));
    audited(&station, &device).await;
}

#[tokio::test]
async fn recovery_is_off_at_the_station_by_default_and_never_for_a_valid_certificate() {
    let (station, mut device) = stored(short_lived, true).await;
    device.start().await.unwrap();
    let refused = device.until("the refusal", |view| view.last_error.is_some());
    let view = station.clock().hurry(Duration::from_secs(90), refused).await;
    assert_eq!(view.last_error.unwrap().code, ErrorCode::RecoveryUnavailable);
    let rows = station.events().await;
    assert!(rows.contains(&(EventType::RenewalFailed, Some(ErrorCode::RecoveryUnavailable))));
    audited(&station, &device).await;

    let options = StationOptions { policy: recovering, ..StationOptions::default() };
    let station = TestStation::start_with(options).await;
    let device = SimulatedDevice::new(&station).await;
    station.register(&device).await;
    station.pair(&device.open_window().await).await.unwrap();
    let request = pull(&device, PullMethod::Recovery, Some(1)).await;
    let credentials = device.credentials().await;
    let link = TlsStationLink::new(device.tls());
    let refused = link.pull(&credentials, PullMethod::Recovery, &request).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CertificateNotExpired);
}
