//! The configuration-signing profile (D8): what passes, and each single deviation that does not.

use crate::support::{
    Ca, DAY, NOW, anchor, at, ca_params, config_signing, empty_key_purposes, intermediate, issue,
    last_ca, params, rng, root, signing_params, site, unknown_extension, uris,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use zmon_crypto::x509::{
    Anchor, AnchorError, AnchorSet, CertificateChain, Fault, SigningCertificate,
    verify_signing_chain,
};
use zmon_crypto::{Algorithms, IdentityKey, IdentityPublic, SoftIdentity, Suite};
use zmon_domain::error::ErrorCode;
use zmon_domain::time::UnixTime;

struct Site {
    ca: Ca,
    anchors: AnchorSet,
    key: SoftIdentity,
}

impl Site {
    fn new() -> Self {
        let ca = root(ca_params("root", vec![]));
        let anchors = AnchorSet::from_anchors([anchor(&ca, "SITE-A")]).unwrap();
        let key = SoftIdentity::generate(Suite::P256, &mut rng(1)).unwrap();
        Self { ca, anchors, key }
    }

    fn leaf(&self, params: &CertificateParams) -> Vec<u8> {
        issue(params, self.key.public(), &self.ca)
    }

    fn check(
        &self,
        chain: Vec<Vec<u8>>,
        now: Option<UnixTime>,
    ) -> Result<SigningCertificate, Fault> {
        let chain = CertificateChain::from_der(chain).unwrap();
        verify_signing_chain(&chain, &self.anchors, now, &Algorithms::rustcrypto())
            .map_err(|error| error.fault())
    }

    /// The verdict on a leaf that differs from the right one by `change`.
    fn with(&self, change: impl FnOnce(&mut CertificateParams)) -> Result<(), Fault> {
        let mut params = signing_params();
        change(&mut params);
        self.check(vec![self.leaf(&params)], Some(at(NOW))).map(|_| ())
    }
}

#[test]
fn the_right_certificate_passes_and_says_who_it_is() {
    let site = Site::new();
    let good = site.check(vec![site.leaf(&signing_params())], Some(at(NOW))).unwrap();
    assert_eq!(good.station_id().as_str(), "CS-1");
    assert_eq!(good.site_id().as_str(), "SITE-A");
    assert_eq!(good.public_key(), site.key.public());
    assert_eq!((good.not_before(), good.not_after()), (at(NOW - DAY), at(NOW + 89 * DAY)));
    assert_eq!(good.path_validity().not_after(), at(NOW + 89 * DAY));
    assert!(good.verified_at(at(NOW)).is_ok());
    assert!(!good.fingerprint().to_string().is_empty());
}

#[test]
fn names_stand_in_any_order_but_exactly_once() {
    let site = Site::new();
    let names = |names: &'static [&'static str]| site.with(|p| p.subject_alt_names = uris(names));
    assert_eq!(names(&["urn:zp:site:SITE-A", "urn:zp:station:CS-1"]), Ok(()));
    for wrong in [
        &[][..],
        &["urn:zp:station:CS-1"],
        &["urn:zp:site:SITE-A"],
        &["urn:zp:station:CS-1", "urn:zp:station:CS-2"],
        &["urn:zp:site:SITE-A", "urn:zp:site:SITE-A"],
        &["urn:zp:station:CS-1", "urn:zp:site:SITE-A", "urn:zp:site:SITE-A"],
        &["urn:zp:station:CS-1", "urn:zp:site:SITE-A", "https://example.org"],
        &["urn:zp:station:", "urn:zp:site:SITE-A"],
        &["urn:zp:station:a b", "urn:zp:site:SITE-A"],
        &["URN:zp:station:CS-1", "urn:zp:site:SITE-A"],
        &["urn:zp:device:CS-1", "urn:zp:site:SITE-A"],
    ] {
        assert_eq!(names(wrong), Err(Fault::Names), "{wrong:?}");
    }
    let dns = site.with(|p| p.subject_alt_names.push(SanType::DnsName("a.b".try_into().unwrap())));
    assert_eq!(dns, Err(Fault::Names));
}

#[test]
fn another_site_is_refused() {
    let site = Site::new();
    let verdict =
        site.with(|p| p.subject_alt_names = uris(&["urn:zp:station:CS-1", "urn:zp:site:SITE-B"]));
    assert_eq!(verdict, Err(Fault::Site));
}

#[test]
fn each_anchor_speaks_for_its_own_site_only() {
    let mut site = Site::new();
    let other = root(ca_params("other root", vec![]));
    site.anchors.insert(anchor(&other, "SITE-B")).unwrap();
    assert_eq!(site.anchors.len(), 2);
    let leaf = issue(&signing_params(), site.key.public(), &other);
    assert_eq!(site.check(vec![leaf], Some(at(NOW))).unwrap_err(), Fault::Site);
    let mut params = signing_params();
    params.subject_alt_names = uris(&["urn:zp:station:CS-1", "urn:zp:site:SITE-B"]);
    let leaf = issue(&params, site.key.public(), &other);
    assert_eq!(site.check(vec![leaf], Some(at(NOW))).unwrap().site_id().as_str(), "SITE-B");
}

#[test]
fn other_purposes_are_refused() {
    let site = Site::new();
    let purposes = |list: Vec<ExtendedKeyUsagePurpose>| site.with(|p| p.extended_key_usages = list);
    assert_eq!(purposes(vec![config_signing()]), Ok(()));
    for list in [
        vec![ExtendedKeyUsagePurpose::ClientAuth],
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::Any],
        vec![ExtendedKeyUsagePurpose::CodeSigning],
        vec![],
        vec![config_signing(), ExtendedKeyUsagePurpose::ClientAuth],
        vec![config_signing(), ExtendedKeyUsagePurpose::Any],
        vec![config_signing(), config_signing()],
        vec![ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 58888, 1])],
        vec![ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 58888, 1, 1, 1])],
    ] {
        assert_eq!(purposes(list.clone()), Err(Fault::ExtendedKeyUsage), "{list:?}");
    }
}

#[test]
fn other_key_usages_are_refused() {
    let site = Site::new();
    for list in [
        vec![],
        vec![KeyUsagePurpose::KeyAgreement],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment],
    ] {
        let verdict = site.with(|p| p.key_usages = list.clone());
        assert_eq!(verdict, Err(Fault::KeyUsage), "{list:?}");
    }
}

#[test]
fn a_ca_is_no_leaf() {
    let site = Site::new();
    for is_ca in [BasicConstraints::Unconstrained, BasicConstraints::Constrained(0)] {
        assert_eq!(site.with(|p| p.is_ca = IsCa::Ca(is_ca)), Err(Fault::IsAuthority));
    }
    // The anchor presented as its own leaf.
    let own = site.ca.der().to_vec();
    assert!(site.check(vec![own], Some(at(NOW))).is_err());
}

#[test]
fn leaves_without_basic_constraints_are_not_cas() {
    assert_eq!(Site::new().with(|p| p.is_ca = IsCa::NoCa), Ok(()));
}

#[test]
fn validity_ends_are_inclusive() {
    let site = Site::new();
    let leaf = site.leaf(&signing_params());
    for (now, expected) in [
        (NOW - DAY - 1, Err(Fault::NotYetValid)),
        (NOW - DAY, Ok(())),
        (NOW + 89 * DAY, Ok(())),
        (NOW + 89 * DAY + 1, Err(Fault::Expired)),
    ] {
        let verdict = site.check(vec![leaf.clone()], Some(at(now))).map(|_| ());
        assert_eq!(verdict, expected);
    }
}

#[test]
fn ninety_days_are_the_longest() {
    let site = Site::new();
    let days = |extra: i64| {
        let mut params = params("station", NOW - DAY, NOW + 89 * DAY + extra);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![config_signing()];
        params.subject_alt_names = signing_params().subject_alt_names;
        site.check(vec![site.leaf(&params)], Some(at(NOW))).map(|_| ())
    };
    assert_eq!(days(0), Ok(()));
    assert_eq!(days(1), Err(Fault::LifetimeTooLong));
    assert_eq!(days(DAY), Err(Fault::LifetimeTooLong));
}

#[test]
fn without_a_clock_the_bounds_are_reported_and_checked_later() {
    let site = Site::new();
    let good = site.check(vec![site.leaf(&signing_params())], None).unwrap();
    assert!(good.verified_at(at(NOW)).is_ok());
    let late = good.verified_at(at(NOW + 89 * DAY + 1)).unwrap_err();
    assert_eq!(late.code(), ErrorCode::SigningCertificateExpired);
    let early = good.verified_at(at(NOW - DAY - 1)).unwrap_err();
    assert_eq!(early.fault(), Fault::NotYetValid);
}

#[test]
fn an_expired_anchor_vouches_for_nobody() {
    let mut params = ca_params("root", vec![]);
    params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + 2 * DAY).unwrap();
    let ca = root(params);
    let anchors = AnchorSet::from_anchors([anchor(&ca, "SITE-A")]).unwrap();
    let key = SoftIdentity::generate(Suite::P256, &mut rng(1)).unwrap();
    let site = Site { ca, anchors, key };
    let leaf = vec![site.leaf(&signing_params())];
    assert!(site.check(leaf.clone(), Some(at(NOW + 2 * DAY))).is_ok());
    assert_eq!(site.check(leaf.clone(), Some(at(NOW + 3 * DAY))).unwrap_err(), Fault::Expired);
    let without_clock = site.check(leaf, None).unwrap();
    assert_eq!(without_clock.path_validity().not_after(), at(NOW + 2 * DAY));
    assert!(without_clock.verified_at(at(NOW + 3 * DAY)).is_err());
}

#[test]
fn stations_without_an_anchor_are_refused() {
    let site = Site::new();
    // Same names, another key: what a rogue station would make.
    let rogue = root(ca_params("root", vec![]));
    let leaf = issue(&signing_params(), site.key.public(), &rogue);
    let verdict = site.check(vec![leaf.clone()], Some(at(NOW))).unwrap_err();
    assert_eq!(verdict, Fault::Signature);
    let chain = vec![leaf, rogue.der().to_vec()];
    assert!(site.check(chain, Some(at(NOW))).is_err());
    let stranger = root(ca_params("stranger", vec![]));
    let leaf = issue(&signing_params(), site.key.public(), &stranger);
    assert_eq!(site.check(vec![leaf], Some(at(NOW))).unwrap_err(), Fault::NotAnchored);
}

#[test]
fn a_self_signed_station_and_an_empty_anchor_set_are_refused() {
    let site = Site::new();
    let own = signing_params().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let der = own.der().to_vec();
    assert_eq!(site.check(vec![der], Some(at(NOW))).unwrap_err(), Fault::NotAnchored);
    let chain = CertificateChain::from_der([site.leaf(&signing_params())]).unwrap();
    let error =
        verify_signing_chain(&chain, &AnchorSet::new(), Some(at(NOW)), &Algorithms::rustcrypto())
            .unwrap_err();
    assert_eq!(error.code(), ErrorCode::StationNotAnchored);
    assert!(AnchorSet::new().is_empty());
}

#[test]
fn intermediates_work_and_may_be_limited_to_the_purpose() {
    let site = Site::new();
    for (purposes, expected) in [
        (vec![], Ok(())),
        (vec![config_signing()], Ok(())),
        (vec![config_signing(), ExtendedKeyUsagePurpose::ServerAuth], Ok(())),
        (vec![ExtendedKeyUsagePurpose::ClientAuth], Err(Fault::ExtendedKeyUsage)),
        (vec![ExtendedKeyUsagePurpose::Any], Err(Fault::ExtendedKeyUsage)),
    ] {
        let middle = intermediate(ca_params("middle", purposes), &site.ca);
        let leaf = issue(&signing_params(), site.key.public(), &middle);
        let verdict = site.check(vec![leaf, middle.der().to_vec()], Some(at(NOW))).map(|_| ());
        assert_eq!(verdict, expected);
    }
}

/// A client CA below the anchor that signs a certificate with our OID: the attack D8 names.
#[test]
fn a_client_ca_cannot_make_signing_certificates() {
    let site = Site::new();
    let client_ca =
        intermediate(ca_params("clients", vec![ExtendedKeyUsagePurpose::ClientAuth]), &site.ca);
    let leaf = issue(&signing_params(), site.key.public(), &client_ca);
    let verdict = site.check(vec![leaf, client_ca.der().to_vec()], Some(at(NOW)));
    assert_eq!(verdict.unwrap_err(), Fault::ExtendedKeyUsage);
}

#[test]
fn an_expired_intermediate_is_refused_and_narrows_the_bounds() {
    let site = Site::new();
    let mut params = ca_params("middle", vec![]);
    params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + DAY).unwrap();
    let middle = intermediate(params, &site.ca);
    let leaf = issue(&signing_params(), site.key.public(), &middle);
    let chain = vec![leaf, middle.der().to_vec()];
    let good = site.check(chain.clone(), Some(at(NOW))).unwrap();
    assert_eq!(good.path_validity().not_after(), at(NOW + DAY));
    assert_eq!(site.check(chain.clone(), Some(at(NOW + 2 * DAY))).unwrap_err(), Fault::Expired);
    let without_clock = site.check(chain, None).unwrap();
    assert!(without_clock.verified_at(at(NOW + 2 * DAY)).is_err());
}

#[test]
fn a_missing_intermediate_is_refused() {
    let site = Site::new();
    let middle = intermediate(ca_params("middle", vec![]), &site.ca);
    let leaf = issue(&signing_params(), site.key.public(), &middle);
    assert_eq!(site.check(vec![leaf], Some(at(NOW))).unwrap_err(), Fault::NotAnchored);
}

#[test]
fn only_p256_leaves_sign_configurations() {
    let site = Site::new();
    let p384 = include_bytes!("../fixtures/p384.spki.der");
    let spki = rcgen::SubjectPublicKeyInfo::from_der(p384).unwrap();
    let leaf = signing_params().signed_by(&spki, &site.ca).unwrap().der().to_vec();
    assert_eq!(site.check(vec![leaf], Some(at(NOW))).unwrap_err(), Fault::KeyType);
    #[cfg(feature = "rsa")]
    {
        let rsa = SoftIdentity::generate(Suite::Rsa2048, &mut rng(2)).unwrap();
        let leaf = issue(&signing_params(), rsa.public(), &site.ca);
        assert_eq!(site.check(vec![leaf], Some(at(NOW))).unwrap_err(), Fault::KeyType);
    }
}

#[test]
fn every_flipped_byte_of_a_leaf_is_refused() {
    let site = Site::new();
    let leaf = site.leaf(&signing_params());
    for i in 0..leaf.len() {
        let mut wrong = leaf.clone();
        wrong[i] ^= 1;
        assert!(site.check(vec![wrong], Some(at(NOW))).is_err(), "byte {i}");
    }
    for length in 0..leaf.len() {
        assert!(site.check(vec![leaf[..length].to_vec()], Some(at(NOW))).is_err());
    }
}

/// SHA-1 signatures and RSA-1024 authorities (M12): made once with OpenSSL, leaves
/// valid from 2026-11-23 for 80 days.
#[test]
fn weak_signatures_on_the_path_are_refused() {
    for (ca, leaf) in [
        (
            &include_bytes!("../fixtures/sha1-ca.der")[..],
            &include_bytes!("../fixtures/sha1-leaf.der")[..],
        ),
        (
            include_bytes!("../fixtures/rsa1024-ca.der"),
            include_bytes!("../fixtures/rsa1024-leaf.der"),
        ),
    ] {
        let anchors =
            AnchorSet::from_anchors([Anchor::parse(ca, site("SITE-A")).unwrap()]).unwrap();
        let chain = CertificateChain::from_der([leaf.to_vec()]).unwrap();
        for now in [None, Some(at(NOW + 10 * DAY))] {
            let error =
                verify_signing_chain(&chain, &anchors, now, &Algorithms::rustcrypto()).unwrap_err();
            assert_eq!(error.fault(), Fault::Signature);
        }
    }
}

#[test]
fn what_cannot_be_an_anchor_is_refused() {
    let parse = |der: &[u8]| Anchor::parse(der, site("SITE-A")).unwrap_err();
    assert_eq!(parse(b"junk"), AnchorError::Malformed);
    let own = Site::new();
    assert_eq!(parse(&own.leaf(&signing_params())), AnchorError::NotAuthority);
    let mut cannot_sign = ca_params("root", vec![]);
    cannot_sign.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = rcgen::KeyPair::generate().unwrap();
    let cannot_sign = cannot_sign.self_signed(&key).unwrap();
    assert_eq!(parse(cannot_sign.der()), AnchorError::NotAuthority);
    let clients = root(ca_params("clients", vec![ExtendedKeyUsagePurpose::ClientAuth]));
    assert_eq!(parse(clients.der()), AnchorError::OtherPurpose);
    let good = anchor(&own.ca, "SITE-A");
    assert_eq!(good.ca_der(), own.ca.der().as_ref());
    assert_eq!(good.fingerprint().as_bytes(), &zmon_crypto::sha256(own.ca.der()));
    assert_eq!(good.validity().not_before(), at(NOW - 1000 * DAY));
    let twice = AnchorSet::from_anchors([good.clone(), anchor(&own.ca, "SITE-B")]);
    assert_eq!(twice.unwrap_err(), AnchorError::Duplicate);
    let set = AnchorSet::from_anchors([good]).unwrap();
    assert_eq!(set.iter().next().unwrap().site_id(), &site("SITE-A"));
    let spki = zmon_crypto::x509::spki_of(own.ca.der()).unwrap();
    assert!(set.holds_key(&spki) && !set.holds_key(b"x"));
}

#[test]
fn the_recorded_key_verifies_the_stations_messages() {
    use zmon_crypto::jws::{Typ, Unverified, sign};
    let site = Site::new();
    let chain = CertificateChain::from_der([site.leaf(&signing_params())]).unwrap();
    let jws = sign(Typ::Hello, Some(&chain.to_der_list()), b"{}", &site.key, &mut rng(7)).unwrap();
    let unverified = Unverified::parse(jws.as_bytes()).unwrap();
    let presented = unverified.x5c().unwrap();
    let station =
        verify_signing_chain(&presented, &site.anchors, Some(at(NOW)), &Algorithms::rustcrypto())
            .unwrap();
    let record: IdentityPublic = station.public_key().clone();
    assert!(unverified.verify_with(Typ::Hello, &record, &Algorithms::rustcrypto()).is_ok());
}

#[test]
fn a_name_with_nul_is_another_name() {
    let site = Site::new();
    for (names, fault) in [
        (["urn:zp:station:CS-1\0", "urn:zp:site:SITE-A"], Fault::Names),
        (["urn:zp:station:CS-1", "urn:zp:site:SITE-A\0.elsewhere"], Fault::Names),
        (["urn:zp:station:CS-1", "urn:zp:site:SITE-A "], Fault::Names),
    ] {
        let verdict = site.with(|p| p.subject_alt_names = uris(&names));
        assert_eq!(verdict, Err(fault), "{names:?}");
    }
}

#[test]
fn extensions_that_must_be_understood_or_say_nothing_are_refused() {
    let site = Site::new();
    assert_eq!(site.with(|p| p.custom_extensions.push(unknown_extension(false))), Ok(()));
    let critical = site.with(|p| p.custom_extensions.push(unknown_extension(true)));
    assert_eq!(critical, Err(Fault::Malformed));
    let empty = site.with(|p| {
        p.extended_key_usages.clear();
        p.custom_extensions.push(empty_key_purposes());
    });
    assert_eq!(empty, Err(Fault::ExtendedKeyUsage));
}

#[test]
fn an_anchor_that_ends_its_paths_vouches_for_no_intermediate() {
    let mut site = Site::new();
    site.ca = last_ca("last");
    site.anchors = AnchorSet::from_anchors([anchor(&site.ca, "SITE-A")]).unwrap();
    let middle = intermediate(ca_params("middle", vec![]), &site.ca);
    let leaf = issue(&signing_params(), site.key.public(), &middle);
    let verdict = site.check(vec![leaf, middle.der().to_vec()], Some(at(NOW)));
    assert_eq!(verdict.unwrap_err(), Fault::Path);
}
