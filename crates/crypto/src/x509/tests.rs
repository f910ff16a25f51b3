use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;

use base64ct::{Base64, Encoding};
use zmon_domain::error::ErrorCode;
use zmon_domain::time::UnixTime;

use super::*;
use crate::identity::{SoftIdentity, Suite};
use crate::testing::rng;

fn certificate(seed: u8) -> Vec<u8> {
    let mut rng = rng(seed);
    let key = SoftIdentity::generate(Suite::P256, &mut rng).unwrap();
    self_signed(&key, &mut rng).unwrap()
}

#[test]
fn chains_read_back_from_every_form() {
    let chain = CertificateChain::from_der([certificate(1), certificate(2)]).unwrap();
    assert_eq!(chain.iter().count(), 2);
    assert_eq!(CertificateChain::from_pem(chain.to_pem().as_bytes()).unwrap(), chain);
    assert_eq!(CertificateChain::from_base64_pem(&chain.to_base64_pem()).unwrap(), chain);
    assert_eq!(CertificateChain::from_base64_pem(&chain.to_pem()).unwrap(), chain);
    let x5c: Vec<_> = chain.iter().map(|der| Base64::encode_string(der)).collect();
    assert_eq!(CertificateChain::from_x5c(&x5c).unwrap(), chain);
    let issuers = chain.issuer_chain().unwrap();
    assert_eq!((issuers.leaf(), issuers.issuers().len()), (&chain.issuers()[0], 0));
    assert!(issuers.issuer_chain().is_none());
    assert_eq!(chain.to_der_list().len(), 2);
    let longest = chain.to_pem().lines().map(str::len).max();
    assert_eq!(longest, Some(64));
}

#[test]
fn malformed_chains_are_refused() {
    let pem = CertificateChain::from_der([certificate(1)]).unwrap().to_pem();
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for bad in [
        String::new(),
        "junk".to_string(),
        Base64::encode_string(b"junk"),
        pem.replace("-----END CERTIFICATE-----", ""),
        pem.replacen("MI", "**", 1),
        format!("{pem}{key}"),
        pem.repeat(MAX_CERTIFICATES + 1),
        "A".repeat(65_540),
        format!("-----BEGIN{}", "x".repeat(65_540)),
    ] {
        assert_eq!(CertificateChain::from_base64_pem(&bad).unwrap_err(), Fault::Malformed);
    }
    assert!(CertificateChain::from_pem(pem.repeat(MAX_CERTIFICATES).as_bytes()).is_ok());
    assert_eq!(CertificateChain::from_der([]).unwrap_err(), Fault::Malformed);
    assert_eq!(
        CertificateChain::from_der(vec![vec![0]; MAX_CERTIFICATES + 1]).unwrap_err(),
        Fault::Malformed
    );
}

#[test]
fn spki_of_junk_is_refused() {
    assert_eq!(spki_of(b"junk").unwrap_err(), Fault::Malformed);
    assert_eq!(spki_thumbprint(&[]).unwrap_err(), Fault::Malformed);
}

#[test]
fn the_oid_is_the_same_in_both_spellings() {
    let text: Vec<_> = OID_CONFIG_SIGNING_ARCS.iter().map(ToString::to_string).collect();
    assert_eq!(text.join("."), OID_CONFIG_SIGNING);
    assert_eq!(CONFIG_SIGNING.to_string(), OID_CONFIG_SIGNING);
}

#[test]
fn validity_includes_both_ends() {
    let at = |seconds| UnixTime::from_unix(seconds).unwrap();
    let window = ValidityWindow::new(at(10), at(20));
    for (time, expected) in
        [(9, Err(Fault::NotYetValid)), (10, Ok(())), (20, Ok(())), (21, Err(Fault::Expired))]
    {
        assert_eq!(window.check(at(time)), expected);
    }
    let other = window.intersect(ValidityWindow::new(at(15), at(30)));
    assert_eq!((other.not_before(), other.not_after()), (at(15), at(20)));
    let empty = window.intersect(ValidityWindow::new(at(25), at(30)));
    assert!(empty.check(at(22)).is_err() && empty.duration().is_zero());
}

#[test]
fn every_fault_has_a_code_for_every_role() {
    use CertificateRole::{Client, ConfigSigning};
    for (role, fault, code) in [
        (ConfigSigning, Fault::NotAnchored, ErrorCode::StationNotAnchored),
        (ConfigSigning, Fault::Signature, ErrorCode::StationNotAnchored),
        (ConfigSigning, Fault::Site, ErrorCode::SiteMismatch),
        (ConfigSigning, Fault::Expired, ErrorCode::SigningCertificateExpired),
        (ConfigSigning, Fault::NotYetValid, ErrorCode::SigningCertificateExpired),
        (ConfigSigning, Fault::Names, ErrorCode::SigningProfileViolation),
        (Client, Fault::Key, ErrorCode::ClientKeyMismatch),
        (Client, Fault::Expired, ErrorCode::CertificateExpired),
        (Client, Fault::NotYetValid, ErrorCode::CertificateExpired),
        (Client, Fault::NotAnchored, ErrorCode::ClientCertificateInvalid),
        (Client, Fault::IssuerIsAnchor, ErrorCode::ClientCertificateInvalid),
    ] {
        let error = CertificateError::new(role, fault);
        assert_eq!((error.code(), error.role(), error.fault()), (code, role, fault));
        assert_eq!(error.to_string(), fault.to_string());
    }
}
