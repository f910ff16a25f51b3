//! Devices that no manifest names, with a certificate of their maker, over real sockets (D9).

use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType,
    SubjectPublicKeyInfo, date_time_ymd,
};
use zmon_crypto::CertificateChain;
use zmon_crypto::Suite;
use zmon_crypto::x509::URN_DEVICE;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::DeviceProfile;
use zmon_station::ports::CertificateState;
use zmon_station::{DeviceTrust, StationPolicy};
use zmon_testkit::{DeviceOptions, SimulatedDevice, StationOptions, TestStation};

type Maker = CertifiedIssuer<'static, KeyPair>;

static MAKER: LazyLock<Maker> = LazyLock::new(maker);

/// A maker whose authority is valid in the virtual time of the tests.
fn maker() -> Maker {
    let mut params = valid();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn valid() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}

fn certify(maker: &Maker, profile: &DeviceProfile, key: &[u8]) -> CertificateChain {
    let mut params = valid();
    let urn = format!("{URN_DEVICE}{}", profile.device_id);
    params.subject_alt_names = vec![SanType::URI(urn.as_str().try_into().unwrap())];
    let key = SubjectPublicKeyInfo::from_der(key).unwrap();
    let leaf = params.signed_by(&key, maker).unwrap();
    CertificateChain::from_der([leaf.der().to_vec()]).unwrap()
}

fn trusts_the_maker(policy: &mut StationPolicy) {
    policy.session.device_trust.push(DeviceTrust::Factory);
    policy.session.factory_anchors.insert(MAKER.der()).unwrap();
}

async fn stand(suite: Suite) -> (TestStation, SimulatedDevice) {
    let options = StationOptions { policy: trusts_the_maker, ..StationOptions::default() };
    let station = TestStation::start_with(options).await;
    let device = SimulatedDevice::with(DeviceOptions { suite, ..DeviceOptions::new(&station) });
    let device = device.await;
    (station, device)
}

#[tokio::test]
async fn a_device_of_a_known_maker_is_paired_without_a_manifest() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        let (station, mut device) = stand(suite).await;
        let qr = device.open_window().await;
        let refused = station.pair(&qr).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::FactoryChainMissing);
        assert!(station.technician().devices().await.unwrap().devices.is_empty());

        device.lay_down_factory_chain(|profile, key| certify(&MAKER, profile, key)).await;
        let qr = device.open_window().await;
        station.pair(&qr).await.unwrap();
        device.until_state(ProvisioningState::Provisioned).await;
        device.until_connected().await;
        let listed = station.technician().devices().await.unwrap();
        assert_eq!(&listed.devices.first().unwrap().device_id, device.id());
        assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
        let events = station.events().await;
        assert!(events.contains(&(EventType::DeviceRegistered, None)));
        station.audit_verified().await;
        device.audit_verified().await;
    }
}

#[tokio::test]
async fn a_device_of_another_maker_is_refused_and_stays_usable() {
    let (station, mut device) = stand(Suite::P256).await;
    device.lay_down_factory_chain(|profile, key| certify(&maker(), profile, key)).await;
    let qr = device.open_window().await;
    let refused = station.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::FactoryChainInvalid);
    assert!(station.has_refused(ErrorCode::FactoryChainInvalid).await);
    assert!(station.technician().devices().await.unwrap().devices.is_empty());

    station.register(&device).await;
    device.restart().await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
}
