//! Kinds of keys over real sockets: RSA-2048 identities (D5) and client keys made by the station (D6).

use core::time::Duration;

use zmon_crypto::{IdentityKey, Suite, TlsKey, x509};
use zmon_domain::code::CodeFormat;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::Serial;
use zmon_provisioning::IProvisioningService;
use zmon_station::StationPolicy;
use zmon_station::ports::CertificateState;
use zmon_testkit::{DeviceOptions, SimulatedDevice, StationOptions, TestStation, wait};

const DAY: Duration = Duration::from_secs(86_400);

async fn station(policy: fn(&mut StationPolicy)) -> TestStation {
    TestStation::start_with(StationOptions { policy, ..StationOptions::default() }).await
}

async fn device(station: &TestStation, options: DeviceOptions) -> SimulatedDevice {
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    device
}

async fn current(station: &TestStation, device: &SimulatedDevice) -> Serial {
    let agree = || async {
        let current = station.certificates(device, CertificateState::Current).await;
        let slot = device.store().load().await.unwrap().slot_a?;
        current.first().map(|row| row.serial).filter(|serial| *serial == slot.serial)
    };
    wait::eventually("both sides to agree", agree).await
}

/// Another certificate than `old` is in force on both sides.
async fn replaced(station: &TestStation, device: &SimulatedDevice, old: Serial) {
    let new = || async { (current(station, device).await != old).then_some(()) };
    station.clock().hurry(Duration::from_secs(300), wait::eventually("a new one", new)).await;
    station.clock().hurry(Duration::from_secs(60), device.until_connected()).await;
    device.audit_verified().await;
    station.audit_verified().await;
}

/// The key in force is that of the certificate in force.
async fn key_in_force(device: &SimulatedDevice) -> Vec<u8> {
    let slot = device.store().load().await.unwrap().slot_a.unwrap();
    let key = TlsKey::from_pkcs8(slot.client_key.expose()).unwrap();
    let credentials = slot.credentials().unwrap();
    let leaf = credentials.client_chain.first().unwrap();
    assert_eq!(key.public().spki_der(), x509::spki_of(leaf).unwrap());
    slot.client_key.expose().to_vec()
}

fn recovering(policy: &mut StationPolicy) {
    policy.certificate_lifetime = DAY;
    policy.recovery = true;
}

fn making_keys(policy: &mut StationPolicy) {
    recovering(policy);
    policy.session.station_made_keys = true;
}

/// Renewal over the certificate in force, and recovery once it has expired in storage.
async fn renews_and_recovers(station: &TestStation, device: &mut SimulatedDevice) {
    let first = current(station, device).await;
    device.service().renew_certificate(device.technician().await).await.unwrap();
    replaced(station, device, first).await;
    let second = current(station, device).await;
    device.stop().await;
    station.clock().advance(DAY * 2);
    device.start().await.unwrap();
    replaced(station, device, second).await;
}

#[tokio::test]
async fn a_device_with_an_rsa_identity_renews_and_recovers() {
    let station = station(recovering).await;
    let options =
        DeviceOptions { suite: Suite::Rsa2048, recovery: true, ..DeviceOptions::new(&station) };
    let mut device = device(&station, options).await;
    station.pair(&device.open_window().await).await.unwrap();
    device.until_connected().await;
    renews_and_recovers(&station, &mut device).await;
}

#[tokio::test]
async fn a_station_may_take_one_kind_of_identity_only() {
    let station = station(|policy| policy.session.suites = vec![Suite::P256]).await;
    let options = DeviceOptions { suite: Suite::Rsa2048, ..DeviceOptions::new(&station) };
    let device = device(&station, options).await;
    let refused = station.pair(&device.open_window().await).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SuiteUnsupported);
    assert!(station.has_refused(ErrorCode::SuiteUnsupported).await);
    assert!(!device.view().is_provisioned);
}

#[tokio::test]
async fn where_both_sides_allow_it_the_station_makes_the_client_key() {
    for (suite, code_format) in
        [(Suite::P256, CodeFormat::Grouped9), (Suite::Rsa2048, CodeFormat::Short6)]
    {
        let station = station(making_keys).await;
        let options = DeviceOptions {
            suite,
            code_format,
            station_made_keys: true,
            recovery: true,
            ..DeviceOptions::new(&station)
        };
        let mut device = device(&station, options).await;
        let answer = station.pair(&device.open_window().await).await.unwrap();
        device.until_connected().await;
        let key = key_in_force(&device).await;
        let sealed = answer.configuration.client_private_key.unwrap();
        assert!(sealed.expose().len() > key.len(), "ciphertext, and no more");
        renews_and_recovers(&station, &mut device).await;
        assert_ne!(key_in_force(&device).await, key);
        // The key is nowhere on the station's disk, sealed or not but in the answer of `pair`.
        let database = std::fs::read(station.database()).unwrap();
        assert!(!database.windows(key.len()).any(|part| part == key));
    }
}

#[tokio::test]
async fn a_client_key_of_the_station_needs_the_consent_of_both_sides() {
    for (at_device, policy, cause) in [
        (false, making_keys as fn(&mut StationPolicy), ErrorCode::StationKeyNotAllowed),
        (true, recovering, ErrorCode::StationKeyNotOffered),
    ] {
        let station = station(policy).await;
        let options =
            DeviceOptions { station_made_keys: at_device, ..DeviceOptions::new(&station) };
        let device = device(&station, options).await;
        let refused = station.pair(&device.open_window().await).await.unwrap_err();
        assert_eq!(refused.code(), cause);
        assert!(station.has_refused(cause).await);
        assert!(station.certificates(&device, CertificateState::Pending).await.is_empty());
        assert!(!device.view().is_provisioned);
        station.audit_verified().await;
    }
}
