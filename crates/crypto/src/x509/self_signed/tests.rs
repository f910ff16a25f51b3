use rustls_pki_types::CertificateDer;
use zmon_domain::time::UnixTime;

use super::*;
use crate::algorithms::Algorithms;
use crate::identity::SoftIdentity;
use crate::testing::{rng, suites};
use crate::x509::leaf::Fields;
use crate::x509::{spki_of, spki_thumbprint};

#[test]
fn the_listener_certificate_is_the_identity_keys() {
    for suite in suites() {
        let mut rng = rng(1);
        let key = SoftIdentity::generate(suite, &mut rng).unwrap();
        let der = self_signed(&key, &mut rng).unwrap();
        assert_eq!(spki_of(&der).unwrap(), key.public().spki_der());
        assert_eq!(spki_thumbprint(&der).unwrap(), key.public().thumbprint());
        let fields = Fields::parse(&CertificateDer::from(der)).unwrap();
        assert!(fields.signs_only() && fields.is_exactly_for(SERVER_AUTH));
        assert!(!fields.is_authority && fields.self_issued && fields.names.is_empty());
        assert_eq!(fields.validity.not_before(), UnixTime::EPOCH);
        assert_eq!(fields.validity.not_after(), UnixTime::parse("9999-12-31T23:59:59Z").unwrap());
    }
}

/// Self-signed in fact: as its own anchor it verifies, which also pins the algorithm identifiers.
#[test]
fn the_signature_is_right() {
    for suite in suites() {
        let mut rng = rng(2);
        let key = SoftIdentity::generate(suite, &mut rng).unwrap();
        let der = CertificateDer::from(self_signed(&key, &mut rng).unwrap());
        let root = webpki::anchor_from_trusted_cert(&der).unwrap();
        let leaf = webpki::EndEntityCert::try_from(&der).unwrap();
        let now = rustls_pki_types::UnixTime::since_unix_epoch(core::time::Duration::from_secs(1));
        leaf.verify_for_usage(
            Algorithms::rustcrypto().all(),
            &[root],
            &[],
            now,
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_| ())
        .unwrap();
    }
}
