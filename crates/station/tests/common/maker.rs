//! A maker of devices: an authority that certifies identity keys (D9).

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
};
use time::{Duration, OffsetDateTime};
use zmon_crypto::IdentityKey;
use zmon_crypto::x509::{CertificateChain, FactoryAnchors, URN_DEVICE};

use super::device::FakeDevice;
use super::runtime::TestClock;

/// `id-at-serialNumber`
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

pub(crate) struct Maker(CertifiedIssuer<'static, KeyPair>);

/// What a factory certificate says.
pub(crate) struct Order<'a> {
    pub(crate) id: &'a str,
    pub(crate) serial: &'a str,
    /// Days from the beginning of the tests until it ends.
    pub(crate) days: i64,
}

impl Maker {
    pub(crate) fn new() -> Self {
        let mut params = params("Maker", 3650);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn anchors(&self) -> FactoryAnchors {
        let mut anchors = FactoryAnchors::new();
        anchors.insert(self.0.der()).unwrap();
        anchors
    }

    /// The chain of an honest device.
    pub(crate) fn certify(&self, device: &FakeDevice) -> Vec<String> {
        let order = Order { id: device.id.as_str(), serial: device.serial.as_str(), days: 3650 };
        self.issue(device, &order)
    }

    /// A chain for the device's key that says what it is told.
    pub(crate) fn issue(&self, device: &FakeDevice, order: &Order<'_>) -> Vec<String> {
        let mut params = params("Monitor", order.days);
        let serial = DnType::CustomDnType(SERIAL_NUMBER.to_vec());
        params.distinguished_name.push(serial, order.serial);
        let urn = format!("{URN_DEVICE}{}", order.id);
        params.subject_alt_names = vec![SanType::URI(urn.as_str().try_into().unwrap())];
        let key = SubjectPublicKeyInfo::from_der(device.identity.public().spki_der()).unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        CertificateChain::from_der([leaf.der().to_vec()]).unwrap().to_x5c()
    }
}

fn params(name: &str, days: i64) -> CertificateParams {
    let begun = OffsetDateTime::from_unix_timestamp(TestClock::first().unix()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = begun - Duration::days(1);
    params.not_after = begun + Duration::days(days);
    params
}
