//! The factory certificate of a device (D9): what passes, and each single deviation that does not.

use crate::support::{
    Ca, DAY, NOW, at, ca_params, client_params, config_signing, intermediate, issue, params, rng,
    root, trust, uris,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa};
use zmon_crypto::x509::{
    AnchorError, CertificateChain, FactoryAnchors, FactoryExpectation, Fault, verify_factory_chain,
};
use zmon_crypto::{Algorithms, IdentityKey, SoftIdentity, Suite};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial};
use zmon_wire::kind::TrustLevel;

/// `id-at-serialNumber`
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];
/// 9999-12-31T23:59:59Z: no well-defined end (RFC 5280 §4.1.2.5).
const FOR_EVER: i64 = 253_402_300_799;

struct Maker {
    ca: Ca,
    anchors: FactoryAnchors,
    key: SoftIdentity,
    device_id: DeviceId,
    serial: DeviceSerial,
}

impl Maker {
    fn new() -> Self {
        Self::of(Suite::P256)
    }

    fn of(suite: Suite) -> Self {
        let ca = root(ca_params("Maker", vec![]));
        let mut anchors = FactoryAnchors::new();
        anchors.insert(ca.der()).unwrap();
        Self {
            ca,
            anchors,
            key: SoftIdentity::generate(suite, &mut rng(1)).unwrap(),
            device_id: DeviceId::parse("MON-1").unwrap(),
            serial: DeviceSerial::parse("SN-77").unwrap(),
        }
    }

    fn leaf(&self, params: &CertificateParams) -> Vec<u8> {
        issue(params, self.key.public(), &self.ca)
    }

    fn check_at(&self, chain: Vec<Vec<u8>>, now: i64) -> Result<(), ErrorCode> {
        let expected = FactoryExpectation {
            device_id: &self.device_id,
            serial: &self.serial,
            public_key: self.key.public(),
        };
        let chain = CertificateChain::from_der(chain).unwrap();
        let algorithms = Algorithms::rustcrypto();
        verify_factory_chain(&chain, &self.anchors, &expected, at(now), &algorithms)
            .map(|good| assert_ne!(good.fingerprint().as_bytes(), &[0; 32]))
            .map_err(|error| error.code())
    }

    fn with(&self, change: impl FnOnce(&mut CertificateParams)) -> Result<(), ErrorCode> {
        let mut params = factory_params();
        change(&mut params);
        self.check_at(vec![self.leaf(&params)], NOW)
    }
}

/// A certificate as makers issue it: no purposes, no end, id and serial number.
fn factory_params() -> CertificateParams {
    let mut params = params("MON", NOW - DAY, FOR_EVER);
    params.is_ca = IsCa::ExplicitNoCa;
    params.subject_alt_names = uris(&["urn:zp:device:MON-1"]);
    serial(&mut params, "SN-77");
    params
}

fn serial(params: &mut CertificateParams, text: &str) {
    params.distinguished_name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), text);
}

#[test]
fn a_maker_vouches_for_either_kind_of_key() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        assert_eq!(Maker::of(suite).with(|_| {}), Ok(()));
    }
    let maker = Maker::new();
    assert_eq!(maker.with(|p| p.extended_key_usages = client_params().extended_key_usages), Ok(()));
    let other = uris(&["https://maker.example/MON-1", "urn:zp:device:MON-1"]);
    assert_eq!(maker.with(|p| p.subject_alt_names = other), Ok(()), "other names are passed over");
}

#[test]
fn one_name_is_enough_and_each_that_is_there_must_be_right() {
    let maker = Maker::new();
    let by_id = |names: &[&str]| {
        let mut params = params("MON", NOW - DAY, FOR_EVER);
        params.subject_alt_names = uris(names);
        maker.check_at(vec![maker.leaf(&params)], NOW)
    };
    let by_serial = |texts: &[&str]| {
        let mut params = params("MON", NOW - DAY, FOR_EVER);
        texts.iter().for_each(|text| serial(&mut params, text));
        maker.check_at(vec![maker.leaf(&params)], NOW)
    };
    assert_eq!((by_id(&["urn:zp:device:MON-1"]), by_serial(&["SN-77"])), (Ok(()), Ok(())));
    let (other, invalid) =
        (Err(ErrorCode::FactoryDeviceMismatch), Err(ErrorCode::FactoryChainInvalid));
    assert_eq!(by_id(&["urn:zp:device:MON-2"]), other);
    assert_eq!(by_id(&["urn:zp:device:mon-1"]), other);
    assert_eq!(by_serial(&["SN-78"]), other);
    assert_eq!(maker.with(|p| p.subject_alt_names = uris(&["urn:zp:device:MON-2"])), other);
    assert_eq!(by_id(&[]), invalid, "it names nobody");
    assert_eq!(by_id(&["urn:zp:station:MON-1"]), invalid);
    assert_eq!(by_id(&["urn:zp:device:MON-1", "urn:zp:device:MON-1"]), invalid);
    assert_eq!(maker.with(|p| serial(p, "SN-78")), other, "a name has one value a type");
}

#[test]
fn another_key_is_refused() {
    let maker = Maker::new();
    let other = SoftIdentity::generate(Suite::P256, &mut rng(2)).unwrap();
    let leaf = issue(&factory_params(), other.public(), &maker.ca);
    assert_eq!(maker.check_at(vec![leaf], NOW), Err(ErrorCode::FactoryKeyMismatch));
}

#[test]
fn other_makers_and_twins_of_the_name_are_refused() {
    let maker = Maker::new();
    for name in ["Maker", "Stranger"] {
        let stranger = root(ca_params(name, vec![]));
        let leaf = issue(&factory_params(), maker.key.public(), &stranger);
        let shown = vec![leaf, stranger.der().to_vec()];
        assert_eq!(maker.check_at(shown, NOW), Err(ErrorCode::FactoryChainInvalid), "{name}");
    }
    let nobody = Maker { anchors: FactoryAnchors::new(), ..Maker::new() };
    assert_eq!(nobody.with(|_| {}), Err(ErrorCode::FactoryChainInvalid));
}

#[test]
fn the_chain_may_have_authorities_between() {
    let maker = Maker::new();
    let works = intermediate(ca_params("Works", vec![]), &maker.ca);
    let leaf = issue(&factory_params(), maker.key.public(), &works);
    assert_eq!(maker.check_at(vec![leaf.clone(), works.der().to_vec()], NOW), Ok(()));
    assert_eq!(maker.check_at(vec![leaf], NOW), Err(ErrorCode::FactoryChainInvalid));
}

#[test]
fn time_counts_for_every_certificate_of_the_path() {
    let expired = Err(ErrorCode::FactoryCertificateExpired);
    let maker = Maker::new();
    let mut params = factory_params();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + DAY).unwrap();
    let chain = vec![maker.leaf(&params)];
    for (now, verdict) in [
        (NOW - DAY - 1, expired),
        (NOW - DAY, Ok(())),
        (NOW + DAY, Ok(())),
        (NOW + DAY + 1, expired),
    ] {
        assert_eq!(maker.check_at(chain.clone(), now), verdict, "{now}");
    }
    // The authority itself ends after 1,000 days.
    let chain = vec![maker.leaf(&factory_params())];
    assert_eq!(maker.check_at(chain.clone(), NOW + 1000 * DAY), Ok(()));
    assert_eq!(maker.check_at(chain, NOW + 1001 * DAY), expired);
}

#[test]
fn certificates_for_other_jobs_are_refused() {
    let maker = Maker::new();
    let invalid = Err(ErrorCode::FactoryChainInvalid);
    let authority = |p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(maker.with(authority), invalid);
    for purpose in [ExtendedKeyUsagePurpose::ServerAuth, config_signing()] {
        assert_eq!(maker.with(|p| p.extended_key_usages = vec![purpose]), invalid);
    }
    let usage = vec![rcgen::KeyUsagePurpose::KeyAgreement];
    assert_eq!(maker.with(|p| p.key_usages = usage), invalid);
    assert_eq!(maker.check_at(vec![b"junk".to_vec()], NOW), invalid);
}

#[test]
fn only_authorities_are_makers_and_each_once() {
    let maker = Maker::new();
    let mut anchors = FactoryAnchors::new();
    assert_eq!(anchors.insert(b"junk"), Err(AnchorError::Malformed));
    let leaf = maker.leaf(&factory_params());
    assert_eq!(anchors.insert(&leaf), Err(AnchorError::NotAuthority));
    let mut simulated = ca_params("Simulated", vec![]);
    simulated.custom_extensions = vec![trust(TrustLevel::Simulated)];
    assert_eq!(anchors.insert(root(simulated).der()), Err(AnchorError::Simulated));
    assert!(anchors.is_empty());
    assert_eq!(anchors.insert(maker.ca.der()), Ok(()));
    assert_eq!(anchors.insert(maker.ca.der()), Err(AnchorError::Duplicate));
    let spki = zmon_crypto::x509::spki_of(maker.ca.der()).unwrap();
    assert!(anchors.holds_key(&spki) && !anchors.holds_key(maker.key.public().spki_der()));
}

#[test]
fn every_fault_has_its_code() {
    let maker = Maker::new();
    let chain = CertificateChain::from_der([maker.leaf(&factory_params())]).unwrap();
    let other = DeviceId::parse("MON-2").unwrap();
    let expected = FactoryExpectation {
        device_id: &other,
        serial: &maker.serial,
        public_key: maker.key.public(),
    };
    let algorithms = Algorithms::rustcrypto();
    let refused = verify_factory_chain(&chain, &maker.anchors, &expected, at(NOW), &algorithms);
    assert_eq!(refused.unwrap_err().fault(), Fault::Device);
}
