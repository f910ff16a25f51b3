//! The level *simulated* (D20): its certificates count nowhere but with anchors of their own kind.

use rcgen::{CertificateParams, CustomExtension};
use zmon_crypto::x509::{
    Anchor, AnchorError, AnchorSet, CertificateChain, ClientExpectation, Fault,
    OID_TRUST_LEVEL_ARCS, is_simulated, trust_level_extension, trust_level_of, verify_client_chain,
    verify_signing_chain,
};
use zmon_crypto::{Algorithms, IdentityKey, SoftIdentity, Suite};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_wire::kind::TrustLevel;

use crate::support::{
    Ca, NOW, anchor, at, ca_params, client_params, intermediate, issue, rng, root, signing_params,
    site,
};

fn saying(mut params: CertificateParams, level: &[u8]) -> CertificateParams {
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(OID_TRUST_LEVEL_ARCS, level.to_vec())];
    params
}

fn simulated(params: CertificateParams) -> CertificateParams {
    saying(params, &trust_level_extension(TrustLevel::Simulated).unwrap())
}

fn key() -> SoftIdentity {
    SoftIdentity::generate(Suite::P256, &mut rng(1)).unwrap()
}

/// The verdict on a configuration-signing leaf of `ca`.
fn signing(params: &CertificateParams, ca: &Ca, between: &[&Ca], anchors: &AnchorSet) -> Verdict {
    let leaf = issue(params, key().public(), ca);
    let chain = [leaf].into_iter().chain(between.iter().map(|ca| ca.der().to_vec()));
    let chain = CertificateChain::from_der(chain).unwrap();
    let verdict = verify_signing_chain(&chain, anchors, Some(at(NOW)), &Algorithms::rustcrypto());
    verdict.map(drop).map_err(|error| (error.fault(), error.code()))
}

/// The verdict on a client certificate of `ca`.
fn client(params: &CertificateParams, ca: &Ca, anchors: &AnchorSet) -> Verdict {
    let key = key();
    let chain = CertificateChain::from_der([issue(params, key.public(), ca)]).unwrap();
    let ca = CertificateChain::from_der([ca.der().to_vec()]).unwrap();
    let device_id = DeviceId::parse("MON-1").unwrap();
    let trust = if anchors.is_simulated() { TrustLevel::Simulated } else { TrustLevel::Anchored };
    let expected =
        ClientExpectation { device_id: &device_id, public_key: key.public(), anchors, trust };
    let algorithms = Algorithms::rustcrypto();
    verify_client_chain(&chain, &ca, &expected, Some(at(NOW)), &algorithms)
        .map(drop)
        .map_err(|error| (error.fault(), error.code()))
}

type Verdict = Result<(), (Fault, ErrorCode)>;

const REFUSED: Verdict = Err((Fault::Simulated, ErrorCode::SimulatedCertificate));

#[test]
fn real_anchors_accept_no_simulated_certificate_wherever_it_stands() {
    let hospital = root(ca_params("root", vec![]));
    let anchors = AnchorSet::from_anchors([anchor(&hospital, "SITE-A")]).unwrap();
    assert!(!anchors.is_simulated() && !AnchorSet::new().is_simulated());
    assert_eq!(signing(&signing_params(), &hospital, &[], &anchors), Ok(()));
    assert_eq!(signing(&simulated(signing_params()), &hospital, &[], &anchors), REFUSED);

    let between = intermediate(simulated(ca_params("between", vec![])), &hospital);
    assert_eq!(signing(&signing_params(), &between, &[&between], &anchors), REFUSED);

    // A stranger's simulated station is called what it is, not merely unknown.
    let strange = root(simulated(ca_params("strange", vec![])));
    assert_eq!(signing(&simulated(signing_params()), &strange, &[], &anchors), REFUSED);

    let devices = root(ca_params("devices", vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]));
    assert_eq!(client(&client_params(), &devices, &anchors), Ok(()));
    assert_eq!(client(&simulated(client_params()), &devices, &anchors), REFUSED);
    let clients = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let devices = root(simulated(ca_params("devices", clients)));
    assert_eq!(client(&client_params(), &devices, &anchors), REFUSED);
}

#[test]
fn a_simulated_authority_is_no_anchor() {
    let ca = root(simulated(ca_params("root", vec![])));
    assert_eq!(Anchor::parse(ca.der(), site("SITE-A")).unwrap_err(), AnchorError::Simulated);
}

#[test]
fn a_level_is_said_once_and_known_or_the_certificate_is_refused() {
    let hospital = root(ca_params("root", vec![]));
    let level =
        |params: &CertificateParams| trust_level_of(&issue(params, key().public(), &hospital));
    assert_eq!(level(&signing_params()), Ok(None));
    let marked = issue(&simulated(signing_params()), key().public(), &hospital);
    assert_eq!(trust_level_of(&marked), Ok(Some(TrustLevel::Simulated)));
    assert_eq!(is_simulated(&marked), Ok(true));
    for unknown in [
        &b"\x0c\x03any"[..],
        b"\x0c\x09Simulated",
        b"\x16\x09simulated",
        b"\x0c\x09simulated!",
        b"",
    ] {
        assert_eq!(level(&saying(signing_params(), unknown)), Err(Fault::Malformed));
    }
    let mut twice = simulated(signing_params());
    twice.custom_extensions.extend(twice.custom_extensions.clone());
    assert_eq!(level(&twice), Err(Fault::Malformed));
}

#[cfg(feature = "simulate")]
#[test]
fn simulated_anchors_accept_nothing_else() {
    let ca = root(simulated(ca_params("root", vec![])));
    let own = Anchor::parse_simulated(ca.der(), site("SITE-A")).unwrap();
    let mut anchors = AnchorSet::from_anchors([own]).unwrap();
    assert!(anchors.is_simulated());
    assert_eq!(signing(&simulated(signing_params()), &ca, &[], &anchors), Ok(()));
    let unmarked = Err((Fault::NotAnchored, ErrorCode::StationNotAnchored));
    assert_eq!(signing(&signing_params(), &ca, &[], &anchors), unmarked);

    let clients = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let devices = root(simulated(ca_params("devices", clients.clone())));
    assert_eq!(client(&simulated(client_params()), &devices, &anchors), Ok(()));
    let real = root(ca_params("devices", clients));
    let refused = Err((Fault::NotAnchored, ErrorCode::ClientCertificateInvalid));
    assert_eq!(client(&client_params(), &real, &anchors), refused);

    let hospital = root(ca_params("hospital", vec![]));
    let real = Anchor::parse_simulated(hospital.der(), site("SITE-A")).unwrap_err();
    assert_eq!(real, AnchorError::Simulated);
    let mixed = anchors.insert(anchor(&hospital, "SITE-A")).unwrap_err();
    assert_eq!(mixed, AnchorError::Simulated);
}
