//! The embedded authority: profiles, values, revocation lists (D8).

#[cfg(test)]
mod common;

use common::runtime::TestClock;
use common::world::{anchors, ca, ca_params, site};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use std::time::Duration;
use webpki::{CertRevocationList, EndEntityCert, KeyUsage};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage as KeyUsageExtension,
    KeyUsages, SubjectAltName, SubjectKeyIdentifier,
};
use zmon_crypto::jws::{self, Typ, Unverified};
use zmon_crypto::x509::{
    self, Anchor, AnchorError, CertificateChain, ClientExpectation, Fault, OID_CONFIG_SIGNING,
};
use zmon_crypto::{Algorithms, IdentityKey, IdentityPublic, SoftIdentity, Suite};
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::time::UnixTime;
use zmon_station::ca::{CaError, CaKey, CaMaterial, CaParts, random_serial};
use zmon_station::ports::{
    CertificateIssuer, ClientCertificateOrder, CrlOrder, IssueError, RevocationReason,
    RevocationRow,
};
use zmon_wire::kind::TrustLevel;

const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// What a profile says, read by another library than the one that wrote it.
#[cfg(test)]
#[derive(Debug, PartialEq, Eq)]
struct Profile {
    authority: bool,
    path_length: Option<u8>,
    key_usage: KeyUsageExtension,
    purposes: Vec<String>,
    names: Vec<String>,
    days: u64,
}

#[cfg(test)]
fn read(der: &[u8]) -> (Certificate, Profile) {
    let certificate = Certificate::from_der(der).unwrap();
    let tbs = certificate.tbs_certificate();
    let (_, basic) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    let (critical, key_usage) = tbs.get_extension::<KeyUsageExtension>().unwrap().unwrap();
    assert!(critical);
    let purposes = tbs.get_extension::<ExtendedKeyUsage>().unwrap();
    let names = tbs.get_extension::<SubjectAltName>().unwrap();
    let (_, subject_key) = tbs.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
    assert!(!subject_key.0.as_bytes().is_empty());
    let serial = tbs.serial_number().as_bytes();
    assert!(serial.len() == 16 && serial[0] & 0x80 == 0, "a positive number of 128 bits");
    let validity = tbs.validity();
    let lasts = validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration();
    let name = |name: &GeneralName| {
        if let GeneralName::UniformResourceIdentifier(uri) = name {
            uri.to_string()
        } else if let GeneralName::DnsName(dns) = name {
            dns.to_string()
        } else if let GeneralName::IpAddress(ip) = name {
            format!("{:?}", ip.as_bytes())
        } else {
            panic!("{name:?}")
        }
    };
    let profile = Profile {
        authority: basic.ca,
        path_length: basic.path_len_constraint,
        key_usage,
        purposes: purposes.into_iter().flat_map(|(_, p)| p.0).map(|oid| oid.to_string()).collect(),
        names: names.iter().flat_map(|(_, n)| n.0.iter()).map(name).collect(),
        days: lasts.as_secs() / 86_400,
    };
    (certificate, profile)
}

#[cfg(test)]
fn device_id() -> DeviceId {
    DeviceId::parse("ZM-001").unwrap()
}

/// A device certificate for a fresh key.
#[cfg(test)]
async fn device_certificate(serial: Serial) -> (SoftIdentity, Vec<Vec<u8>>) {
    let key = SoftIdentity::generate(Suite::P256, &mut ChaCha20Rng::seed_from_u64(3)).unwrap();
    let order = order(&key, serial);
    let issued = ca().issuer().unwrap().issue(&order).await.unwrap();
    assert_eq!(issued.der, issued.chain[0]);
    (key, issued.chain)
}

#[cfg(test)]
fn order(key: &SoftIdentity, serial: Serial) -> ClientCertificateOrder {
    ClientCertificateOrder {
        spki: key.public().spki_der().to_vec(),
        device_id: device_id(),
        serial,
        not_before: TestClock::first(),
        not_after: TestClock::first() + Duration::from_secs(90 * 86_400),
        trust: TrustLevel::Proximity,
    }
}

#[cfg(test)]
fn serial(n: u64) -> Serial {
    random_serial(&mut ChaCha20Rng::seed_from_u64(n))
}

#[cfg(test)]
fn uris(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_anchor_signs_certificates_and_nothing_else() {
    let ca = ca();
    let (certificate, profile) = read(ca.anchor_der());
    let expected = Profile {
        authority: true,
        path_length: Some(0),
        key_usage: KeyUsageExtension(KeyUsages::KeyCertSign.into()),
        purposes: vec![],
        names: uris(&["urn:zp:site:st-mary"]),
        days: 3653,
    };
    assert_eq!(profile, expected);
    assert_eq!(certificate.tbs_certificate().issuer(), certificate.tbs_certificate().subject());
}

#[test]
fn the_signing_leaf_has_exactly_its_profile_and_verifies_for_its_site() {
    let signer = ca().signer().unwrap();
    let (certificate, profile) = read(&signer.chain[0]);
    let expected = Profile {
        authority: false,
        path_length: None,
        key_usage: KeyUsageExtension(KeyUsages::DigitalSignature.into()),
        purposes: uris(&[OID_CONFIG_SIGNING]),
        names: uris(&["urn:zp:station:CS-1", "urn:zp:site:st-mary"]),
        days: 90,
    };
    assert_eq!(profile, expected);
    let issuer = certificate.tbs_certificate().get_extension::<AuthorityKeyIdentifier>().unwrap();
    assert!(issuer.is_some_and(|(_, id)| id.key_identifier.is_some()));

    let chain = CertificateChain::from_der(signer.chain.clone()).unwrap();
    let algorithms = Algorithms::rustcrypto();
    let now = Some(TestClock::first());
    let verified = x509::verify_signing_chain(&chain, &anchors(), now, &algorithms).unwrap();
    assert_eq!(verified.station_id().as_str(), "CS-1");
    assert_eq!(verified.site_id(), &site());
    assert_eq!(verified.public_key(), signer.key.public());
    let late = Some(TestClock::first() + Duration::from_secs(90 * 86_400));
    let error = x509::verify_signing_chain(&chain, &anchors(), late, &algorithms).unwrap_err();
    assert_eq!(error.fault(), Fault::Expired);
}

#[test]
fn the_server_leaf_names_host_and_address() {
    let ca = ca();
    let (_, profile) = read(&ca.server_chain()[0]);
    let expected = Profile {
        authority: false,
        path_length: None,
        key_usage: KeyUsageExtension(KeyUsages::DigitalSignature.into()),
        purposes: uris(&[SERVER_AUTH]),
        names: uris(&["monitoring.hospital.com", "[127, 0, 0, 1]"]),
        days: 365,
    };
    assert_eq!(profile, expected);
    let anchor = CertificateDer::from(ca.anchor_der());
    let roots = [webpki::anchor_from_trusted_cert(&anchor).unwrap()];
    let leaf = CertificateDer::from(ca.server_chain()[0].clone());
    let leaf = EndEntityCert::try_from(&leaf).unwrap();
    let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
        TestClock::first().unix() as u64,
    ));
    let algorithms = Algorithms::rustcrypto();
    let verify = |usage| {
        leaf.verify_for_usage(algorithms.all(), &roots, &[], time, usage, None, None).is_ok()
    };
    assert!(verify(KeyUsage::server_auth()));
    assert!(!verify(KeyUsage::client_auth()));
    for name in ["monitoring.hospital.com", "127.0.0.1"] {
        let name = rustls_pki_types::ServerName::try_from(name).unwrap();
        assert!(leaf.verify_is_valid_for_subject_name(&name).is_ok());
    }
    let other = rustls_pki_types::ServerName::try_from("hospital.com").unwrap();
    assert!(leaf.verify_is_valid_for_subject_name(&other).is_err());
}

#[test]
fn the_client_ca_is_limited_to_clients_and_can_be_no_anchor() {
    let ca = ca();
    let (_, profile) = read(ca.client_ca_der());
    let expected = Profile {
        authority: true,
        path_length: Some(0),
        key_usage: KeyUsageExtension(KeyUsages::KeyCertSign | KeyUsages::CRLSign),
        purposes: uris(&[CLIENT_AUTH]),
        names: vec![],
        days: 3653,
    };
    assert_eq!(profile, expected);
    let refused = Anchor::parse(ca.client_ca_der(), site()).unwrap_err();
    assert_eq!(refused, AnchorError::OtherPurpose);
}

#[tokio::test]
async fn a_device_certificate_has_exactly_its_profile_and_verifies() {
    let number = serial(1);
    let (key, chain) = device_certificate(number).await;
    let (certificate, profile) = read(&chain[0]);
    let expected = Profile {
        authority: false,
        path_length: None,
        key_usage: KeyUsageExtension(KeyUsages::DigitalSignature.into()),
        purposes: uris(&[CLIENT_AUTH]),
        names: uris(&["urn:zp:device:ZM-001"]),
        days: 90,
    };
    assert_eq!(profile, expected);
    let subject = certificate.tbs_certificate().subject().to_string();
    assert_eq!(subject, "CN=ZM-001");
    let chain = CertificateChain::from_der(chain).unwrap();
    let other = SoftIdentity::generate(Suite::P256, &mut ChaCha20Rng::seed_from_u64(4)).unwrap();
    let stranger = DeviceId::parse("ZM-002").unwrap();
    let verify = |device_id: &DeviceId, public_key: &IdentityPublic| {
        let expected = ClientExpectation {
            device_id,
            public_key,
            anchors: &anchors(),
            trust: TrustLevel::Proximity,
        };
        let issuers = chain.issuer_chain().unwrap();
        let now = Some(TestClock::first());
        x509::verify_client_chain(&chain, &issuers, &expected, now, &Algorithms::rustcrypto())
    };
    assert_eq!(*verify(&device_id(), key.public()).unwrap().serial(), number);
    assert_eq!(x509::trust_level_of(chain.leaf()).unwrap(), Some(TrustLevel::Proximity));
    assert_eq!(verify(&stranger, key.public()).unwrap_err().fault(), Fault::Device);
    assert_eq!(verify(&device_id(), other.public()).unwrap_err().fault(), Fault::Key);
}

#[tokio::test]
async fn a_device_certificate_can_never_sign_a_configuration() {
    let (key, chain) = device_certificate(serial(1)).await;
    let payload = br#"{"deviceId":"ZM-002"}"#;
    let x5c: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let forged = jws::sign(Typ::Config, Some(&x5c), payload, &key, &mut rng).unwrap();
    let algorithms = Algorithms::rustcrypto();
    let now = Some(TestClock::first());
    let chain = Unverified::parse(forged.as_bytes()).unwrap().x5c().unwrap();
    let error = x509::verify_signing_chain(&chain, &anchors(), now, &algorithms).unwrap_err();
    assert_eq!(error.fault(), Fault::ExtendedKeyUsage);
    // Not even with the anchor's own leaf, the TLS server's.
    let server = CertificateChain::from_der(ca().server_chain()).unwrap();
    let error = x509::verify_signing_chain(&server, &anchors(), now, &algorithms).unwrap_err();
    assert_eq!(error.fault(), Fault::ExtendedKeyUsage);
}

#[tokio::test]
async fn orders_that_break_the_profile_are_refused() {
    let issuer = ca().issuer().unwrap();
    let key = SoftIdentity::generate(Suite::P256, &mut ChaCha20Rng::seed_from_u64(3)).unwrap();
    let good = order(&key, serial(1));
    let short = Serial::from_bytes(&[0x7f; 7]).unwrap();
    for bad in [
        ClientCertificateOrder { serial: short, ..good.clone() },
        ClientCertificateOrder { not_after: good.not_before, ..good.clone() },
        ClientCertificateOrder { spki: vec![0x30, 0], ..good.clone() },
    ] {
        assert!(matches!(issuer.issue(&bad).await, Err(IssueError::Order { .. })));
    }
    let crl = |number, next: UnixTime| CrlOrder {
        number,
        this_update: TestClock::first(),
        next_update: next,
        revoked: vec![],
    };
    for bad in [crl(0, TestClock::first() + Duration::from_secs(1)), crl(1, TestClock::first())] {
        assert!(matches!(issuer.revocation_list(&bad).await, Err(IssueError::Order { .. })));
    }
    assert_eq!(issuer.authorities(), [ca().client_ca_der().to_vec()]);
}

#[tokio::test]
async fn a_revocation_list_stops_exactly_the_listed_certificates() {
    let (revoked, kept) = (serial(1), serial(2));
    let first = TestClock::first();
    let order = CrlOrder {
        number: 7,
        this_update: first,
        next_update: first + Duration::from_secs(3600),
        revoked: RevocationReason::ALL
            .into_iter()
            .enumerate()
            .map(|(n, reason)| RevocationRow {
                serial: if n == 0 { revoked } else { serial(100 + n as u64) },
                revoked_at: first,
                reason,
            })
            .collect(),
    };
    let ca = ca();
    let der = ca.issuer().unwrap().revocation_list(&order).await.unwrap();
    let der = CertificateRevocationListDer::from(der);
    let owned = webpki::BorrowedCertRevocationList::from_der(&der).unwrap().to_owned().unwrap();
    let list = CertRevocationList::from(owned);
    let lists = [&list];
    let options = webpki::RevocationOptionsBuilder::new(&lists).unwrap().build();

    let authority = CertificateDer::from(ca.client_ca_der());
    let roots = [webpki::anchor_from_trusted_cert(&authority).unwrap()];
    let time =
        rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(first.unix() as u64 + 60));
    for (number, expected) in [(revoked, Err(webpki::Error::CertRevoked)), (kept, Ok(()))] {
        let (_, chain) = device_certificate(number).await;
        let leaf = CertificateDer::from(chain[0].clone());
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let result = leaf.verify_for_usage(
            Algorithms::rustcrypto().all(),
            &roots,
            &[],
            time,
            KeyUsage::client_auth(),
            Some(options),
            None,
        );
        assert_eq!(result.map(|_| ()), expected);
    }
}

#[test]
fn values_are_written_and_read_back() {
    let parts = ca().to_parts().unwrap();
    let again = CaMaterial::from_parts(&parts).unwrap();
    assert_eq!(again.anchor_der(), ca().anchor_der());
    assert_eq!(again.server_chain(), ca().server_chain());
    assert!(again.server_key().ct_eq(&ca().server_key()));
    assert_eq!(again.signer().unwrap().key.public(), ca().signer().unwrap().key.public());
    assert_eq!(again.audit_signer().unwrap().public(), ca().audit_signer().unwrap().public());
    assert!(again.anchor_pem().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(format!("{parts:?}{again:?}").contains("[secret]"));
}

#[test]
fn a_new_station_s_log_begins_with_its_keys() {
    let rows = ca().audit_rows().unwrap();
    let keys: Vec<_> = rows.iter().map(|row| row.detail[0].1.as_str()).collect();
    assert_eq!(keys, ["anchor", "client CA", "signing", "server", "audit"]);
    let signer = ca().signer().unwrap().key.public().thumbprint().to_string();
    assert_eq!(rows[2].detail[1], ("thumbprint", signer));
}

#[test]
fn parts_that_do_not_belong_together_are_refused_by_name() {
    let parts = ca().to_parts().unwrap();
    let refuse = |change: fn(&mut CaParts)| {
        let mut parts = parts.clone();
        change(&mut parts);
        CaMaterial::from_parts(&parts).unwrap_err()
    };
    assert_eq!(
        refuse(|p| p.signing_key = CaKey::File(p.server_key.clone())),
        CaError::Mismatch("signing")
    );
    assert_eq!(
        refuse(|p| p.client_ca_key = CaKey::File(p.audit_key.clone())),
        CaError::Mismatch("client CA")
    );
    let truncated = refuse(|p| p.server_certificate.truncate(100));
    assert_eq!(truncated, CaError::Certificate("server"));
    let two = refuse(|p| p.anchor_certificate.push_str(&p.server_certificate.clone()));
    assert_eq!(two, CaError::Certificate("anchor"));
    let junk = refuse(|p| p.audit_key = zmon_crypto::SecretBytes::copy_from(b"junk"));
    assert_eq!(junk, CaError::Key("audit"));
    assert_eq!(refuse(|p| p.anchor_key = Some(p.audit_key.clone())), CaError::Mismatch("anchor"));
}

#[test]
fn leaves_are_renewed_with_the_anchor_s_key_only() {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let later = TestClock::first() + Duration::from_secs(80 * 86_400);
    let mut without = ca().without_anchor_key();
    let refused = without.renew_signing(&ca_params(), &mut rng, later).unwrap_err();
    assert_eq!(refused, CaError::AnchorKeyAbsent);
    assert!(without.to_parts().unwrap().anchor_key.is_none());

    let mut with = ca();
    with.renew_signing(&ca_params(), &mut rng, later).unwrap();
    with.renew_server(&ca_params(), &mut rng, later).unwrap();
    assert_ne!(with.server_chain(), ca().server_chain());
    let chain = CertificateChain::from_der(with.signer().unwrap().chain).unwrap();
    let now = Some(later + Duration::from_secs(30 * 86_400));
    let algorithms = Algorithms::rustcrypto();
    let renewed = x509::verify_signing_chain(&chain, &anchors(), now, &algorithms).unwrap();
    assert_ne!(renewed.public_key(), ca().signer().unwrap().key.public());
}

#[test]
fn keys_and_numbers_come_from_the_injected_generator() {
    let make = |seed| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        CaMaterial::generate(&ca_params(), &mut rng, TestClock::first()).unwrap()
    };
    let (one, same, other) = (make(1), make(1), make(2));
    assert!(one.server_key().ct_eq(&same.server_key()));
    assert!(!one.server_key().ct_eq(&other.server_key()));
    let body = |ca: &CaMaterial| {
        let certificate = Certificate::from_der(ca.anchor_der()).unwrap();
        certificate.tbs_certificate().to_der().unwrap()
    };
    assert_eq!(body(&one), body(&same));
    assert_ne!(body(&one), body(&other));
}

#[test]
fn a_station_without_a_name_gets_no_server_certificate() {
    let mut params = ca_params();
    params.server_names.clear();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let refused = CaMaterial::generate(&params, &mut rng, TestClock::first()).unwrap_err();
    assert!(matches!(refused, CaError::Name(_)));
}

#[test]
fn serial_numbers_do_not_repeat_and_stay_positive() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10_000 {
        let serial = random_serial(&mut rng);
        assert_eq!(serial.as_bytes().len(), 16);
        assert!(serial.as_bytes()[0] & 0x80 == 0);
        assert!(seen.insert(serial));
    }
}
