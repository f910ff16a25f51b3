//! The client-certificate profile (D8): what passes, and each single deviation that does not.

use crate::support::{
    Ca, DAY, NOW, anchor, at, ca_params, client_params, config_signing, empty_key_purposes,
    intermediate, issue, last_ca, rng, root, trust, unknown_extension, uris,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, SanType, SubjectPublicKeyInfo,
};
use zmon_crypto::x509::{
    AnchorSet, CertificateChain, ClientCertificate, ClientExpectation, Fault, OID_TRUST_LEVEL_ARCS,
    trust_level_of, verify_client_chain,
};
use zmon_crypto::{Algorithms, IdentityKey, TlsKey};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

struct Clients {
    ca: Ca,
    anchors: AnchorSet,
    key: TlsKey,
    device_id: DeviceId,
}

impl Clients {
    fn new() -> Self {
        Self::below(root(ca_params("clients", vec![ExtendedKeyUsagePurpose::ClientAuth])))
    }

    fn below(ca: Ca) -> Self {
        let site = root(ca_params("root", vec![]));
        Self {
            ca,
            anchors: AnchorSet::from_anchors([anchor(&site, "SITE-A")]).unwrap(),
            key: TlsKey::generate(&mut rng(1)).unwrap(),
            device_id: DeviceId::parse("MON-1").unwrap(),
        }
    }

    fn check(
        &self,
        leaf: Vec<u8>,
        ca_chain: Vec<Vec<u8>>,
        now: Option<UnixTime>,
    ) -> Result<ClientCertificate, Fault> {
        let expected = ClientExpectation {
            device_id: &self.device_id,
            public_key: self.key.public(),
            anchors: &self.anchors,
            trust: TrustLevel::Anchored,
        };
        verify_client_chain(
            &CertificateChain::from_der([leaf]).unwrap(),
            &CertificateChain::from_der(ca_chain).unwrap(),
            &expected,
            now,
            &Algorithms::rustcrypto(),
        )
        .map_err(|error| error.fault())
    }

    fn leaf(&self, params: &CertificateParams) -> Vec<u8> {
        issue(params, self.key.public(), &self.ca)
    }

    fn own(&self) -> Vec<Vec<u8>> {
        vec![self.ca.der().to_vec()]
    }

    fn with(&self, change: impl FnOnce(&mut CertificateParams)) -> Result<(), Fault> {
        let mut params = client_params();
        change(&mut params);
        self.check(self.leaf(&params), self.own(), Some(at(NOW))).map(|_| ())
    }
}

#[test]
fn the_right_certificate_passes() {
    let clients = Clients::new();
    let good = clients.check(clients.leaf(&client_params()), clients.own(), Some(at(NOW))).unwrap();
    assert_eq!(good.serial().to_string(), "5a01");
    assert_eq!((good.not_before(), good.not_after()), (at(NOW - DAY), at(NOW + 89 * DAY)));
    assert_eq!(good.path_validity().not_before(), at(NOW - DAY));
    assert!(good.verified_at(at(NOW)).is_ok());
    let late = good.verified_at(at(NOW + 90 * DAY)).unwrap_err();
    assert_eq!(late.code(), ErrorCode::CertificateExpired);
}

#[test]
fn the_chain_of_a_configuration_carries_its_own_ca() {
    let clients = Clients::new();
    let chain =
        CertificateChain::from_der([clients.leaf(&client_params()), clients.ca.der().to_vec()])
            .unwrap();
    let expected = ClientExpectation {
        device_id: &clients.device_id,
        public_key: clients.key.public(),
        anchors: &clients.anchors,
        trust: TrustLevel::Anchored,
    };
    let issuers = chain.issuer_chain().unwrap();
    let result = verify_client_chain(&chain, &issuers, &expected, None, &Algorithms::rustcrypto());
    assert!(result.is_ok());
}

#[test]
fn other_names_are_refused() {
    let clients = Clients::new();
    for (names, fault) in [
        (&["urn:zp:device:MON-2"][..], Fault::Device),
        (&["urn:zp:device:mon-1"], Fault::Device),
        (&["urn:zp:device:"], Fault::Device),
        (&[], Fault::Names),
        (&["urn:zp:device:MON-1", "urn:zp:device:MON-1"], Fault::Names),
        (&["urn:zp:station:MON-1"], Fault::Names),
        (&["https://MON-1"], Fault::Names),
    ] {
        assert_eq!(clients.with(|p| p.subject_alt_names = uris(names)), Err(fault), "{names:?}");
    }
}

#[test]
fn another_trust_level_is_refused_and_so_is_none() {
    let clients = Clients::new();
    assert_eq!(clients.with(|p| p.custom_extensions.clear()), Err(Fault::TrustLevel));
    for (level, fault) in
        [(TrustLevel::Proximity, Fault::TrustLevel), (TrustLevel::Simulated, Fault::Simulated)]
    {
        let with = |p: &mut CertificateParams| p.custom_extensions = vec![trust(level)];
        assert_eq!(clients.with(with), Err(fault), "{level}");
        let mut params = client_params();
        with(&mut params);
        assert_eq!(trust_level_of(&clients.leaf(&params)), Ok(Some(level)));
    }
    let twice = vec![trust(TrustLevel::Anchored); 2];
    let word = |text: &str| {
        let der = [&[0x0c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        CustomExtension::from_oid_content(OID_TRUST_LEVEL_ARCS, der)
    };
    let raw = CustomExtension::from_oid_content(OID_TRUST_LEVEL_ARCS, b"anchored".to_vec());
    for wrong in [twice, vec![word("Anchored")], vec![word("")], vec![raw]] {
        assert_eq!(clients.with(|p| p.custom_extensions = wrong), Err(Fault::Malformed));
    }
    assert_eq!(trust_level_of(clients.ca.der()), Ok(None));
}

#[test]
fn the_subject_is_no_identity() {
    // T24: the common name says another device, the SAN decides.
    let clients = Clients::new();
    let verdict = clients.with(|p| p.distinguished_name.push(rcgen::DnType::CommonName, "MON-2"));
    assert_eq!(verdict, Ok(()));
}

#[test]
fn another_key_is_refused() {
    let clients = Clients::new();
    let other = TlsKey::generate(&mut rng(2)).unwrap();
    let leaf = issue(&client_params(), other.public(), &clients.ca);
    let verdict = clients.check(leaf, clients.own(), Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::Key);
}

#[test]
fn other_purposes_are_refused() {
    let clients = Clients::new();
    for list in [
        vec![],
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::Any],
        vec![config_signing()],
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::Any],
        vec![ExtendedKeyUsagePurpose::ClientAuth, config_signing()],
    ] {
        let verdict = clients.with(|p| p.extended_key_usages = list.clone());
        assert_eq!(verdict, Err(Fault::ExtendedKeyUsage), "{list:?}");
    }
}

#[test]
fn authorities_and_their_usages_are_refused() {
    let clients = Clients::new();
    let verdict = clients.with(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(verdict, Err(Fault::IsAuthority));
    for usage in [
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign],
        vec![KeyUsagePurpose::KeyAgreement],
    ] {
        let verdict = clients.with(|p| p.key_usages = usage.clone());
        assert_eq!(verdict, Err(Fault::KeyUsage), "{usage:?}");
    }
    assert_eq!(clients.with(|p| p.key_usages = vec![]), Ok(()));
}

#[test]
fn validity_is_checked_with_and_without_a_clock() {
    let clients = Clients::new();
    let leaf = clients.leaf(&client_params());
    for (now, expected) in [
        (NOW - DAY - 1, Err(Fault::NotYetValid)),
        (NOW - DAY, Ok(())),
        (NOW + 89 * DAY, Ok(())),
        (NOW + 89 * DAY + 1, Err(Fault::Expired)),
    ] {
        let verdict = clients.check(leaf.clone(), clients.own(), Some(at(now))).map(|_| ());
        assert_eq!(verdict, expected);
    }
    let without_clock = clients.check(leaf, clients.own(), None).unwrap();
    assert!(without_clock.verified_at(at(NOW - DAY - 1)).is_err());
}

#[test]
fn an_expired_client_ca_is_refused() {
    let mut params = ca_params("clients", vec![ExtendedKeyUsagePurpose::ClientAuth]);
    params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + DAY).unwrap();
    let clients = Clients::below(root(params));
    let leaf = clients.leaf(&client_params());
    let verdict = clients.check(leaf, clients.own(), Some(at(NOW + 2 * DAY))).unwrap_err();
    assert_eq!(verdict, Fault::Expired);
}

#[test]
fn another_ca_of_the_same_name_is_refused() {
    let clients = Clients::new();
    let twin = root(ca_params("clients", vec![ExtendedKeyUsagePurpose::ClientAuth]));
    let leaf = issue(&client_params(), clients.key.public(), &twin);
    let verdict = clients.check(leaf, clients.own(), Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::Signature);
    let stranger = root(ca_params("stranger", vec![]));
    let leaf = issue(&client_params(), clients.key.public(), &stranger);
    let verdict = clients.check(leaf, clients.own(), Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::NotAnchored);
}

#[test]
fn an_anchor_is_never_the_client_ca() {
    let site = root(ca_params("root", vec![]));
    let mut clients = Clients::below(site);
    let set = AnchorSet::from_anchors([anchor(&clients.ca, "SITE-A")]).unwrap();
    clients.anchors = set;
    let leaf = clients.leaf(&client_params());
    let verdict = clients.check(leaf, clients.own(), Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::IssuerIsAnchor);
}

#[test]
fn a_chained_client_ca_must_be_limited_to_clients() {
    let site = root(ca_params("root", vec![]));
    for (purposes, expected) in [
        (vec![ExtendedKeyUsagePurpose::ClientAuth], Ok(())),
        (vec![], Err(Fault::IssuerUsage)),
        (vec![ExtendedKeyUsagePurpose::ClientAuth, config_signing()], Err(Fault::IssuerUsage)),
        (
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::Any],
            Err(Fault::IssuerUsage),
        ),
        (vec![ExtendedKeyUsagePurpose::ServerAuth], Err(Fault::ExtendedKeyUsage)),
    ] {
        let mut clients = Clients::below(intermediate(ca_params("clients", purposes), &site));
        clients.anchors = AnchorSet::from_anchors([anchor(&site, "SITE-A")]).unwrap();
        let ca_chain = vec![clients.ca.der().to_vec(), site.der().to_vec()];
        let leaf = clients.leaf(&client_params());
        let verdict = clients.check(leaf, ca_chain, Some(at(NOW))).map(|_| ());
        assert_eq!(verdict, expected);
    }
}

#[test]
fn a_self_signed_client_ca_without_usages_is_taken() {
    let clients = Clients::below(root(ca_params("clients", vec![])));
    let leaf = clients.leaf(&client_params());
    assert!(clients.check(leaf, clients.own(), Some(at(NOW))).is_ok());
}

#[test]
fn a_leaf_as_its_own_ca_and_junk_are_refused() {
    let clients = Clients::new();
    let leaf = clients.leaf(&client_params());
    let verdict = clients.check(leaf.clone(), vec![leaf.clone()], Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::Path);
    let verdict = clients.check(leaf, vec![b"junk".to_vec()], Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::Malformed);
    let verdict = clients.check(b"junk".to_vec(), clients.own(), Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::Malformed);
}

#[test]
fn a_name_with_nul_or_a_lookalike_is_another_name() {
    let clients = Clients::new();
    for name in [
        "urn:zp:device:MON-1\0",
        "urn:zp:device:MON-1\0.elsewhere",
        "urn:zp:device:\0MON-1",
        "urn:zp:device:MON-1 ",
        "urn:zp:device:MON%2D1",
        "urn:zp:device:MON-1/",
        "URN:ZP:DEVICE:MON-1",
        "urn:zp:device:MON-1?x",
    ] {
        let verdict = clients.with(|p| p.subject_alt_names = uris(&[name]));
        assert!(matches!(verdict, Err(Fault::Device | Fault::Names)), "{name:?}: {verdict:?}");
    }
    let dns = SanType::DnsName("MON-1".try_into().unwrap());
    let verdict = clients.with(|p| p.subject_alt_names.push(dns.clone()));
    assert_eq!(verdict, Err(Fault::Names));
}

#[test]
fn extensions_that_must_be_understood_or_say_nothing_are_refused() {
    let clients = Clients::new();
    let with = |extension: CustomExtension| clients.with(|p| p.custom_extensions.push(extension));
    assert_eq!(with(unknown_extension(false)), Ok(()));
    assert_eq!(with(unknown_extension(true)), Err(Fault::Malformed));
    let verdict = clients.with(|p| {
        p.extended_key_usages.clear();
        p.custom_extensions.push(empty_key_purposes());
    });
    assert_eq!(verdict, Err(Fault::ExtendedKeyUsage));
}

#[test]
fn constraints_of_the_client_ca_hold() {
    // The hospital allows its CA leaves only; a CA below it makes no difference.
    let site = last_ca("root");
    let clients = Clients::below(intermediate(
        ca_params("clients", vec![ExtendedKeyUsagePurpose::ClientAuth]),
        &site,
    ));
    let leaf = clients.leaf(&client_params());
    let chain = vec![clients.ca.der().to_vec(), site.der().to_vec()];
    assert_eq!(clients.check(leaf, chain, Some(at(NOW))).unwrap_err(), Fault::Path);

    let mut params = ca_params("clients", vec![ExtendedKeyUsagePurpose::ClientAuth]);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("hospital.example".into())],
        excluded_subtrees: vec![],
    });
    let clients = Clients::below(root(params));
    let outside = SanType::DnsName("elsewhere.example".try_into().unwrap());
    let verdict = clients.with(|p| p.subject_alt_names.push(outside.clone()));
    assert_eq!(verdict, Err(Fault::Path));
}

#[test]
fn a_weak_key_is_refused() {
    let clients = Clients::new();
    let weak = include_bytes!("../fixtures/rsa1024-ca.der");
    let spki = zmon_crypto::x509::spki_of(weak).unwrap();
    let spki = SubjectPublicKeyInfo::from_der(&spki).unwrap();
    let leaf = client_params().signed_by(&spki, &clients.ca).unwrap().der().to_vec();
    assert_eq!(clients.check(leaf, clients.own(), Some(at(NOW))).unwrap_err(), Fault::Key);
}
