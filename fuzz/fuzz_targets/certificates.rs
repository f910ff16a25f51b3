//! Certificates, requests and keys as DER and PEM (RFC 5280, RFC 2986).
#![no_main]

use libfuzzer_sys::fuzz_target;
use zmon_crypto::x509::{
    Anchor, CertificateChain, csr, is_simulated, spki_of, trust_level_of, validity_of,
};
use zmon_crypto::{Algorithms, IdentityPublic, KemPublic};
use zmon_domain::ids::SiteId;

fuzz_target!(|data: &[u8]| {
    let _ = (spki_of(data), validity_of(data), is_simulated(data), trust_level_of(data));
    if let Ok(chain) = CertificateChain::from_der([data.to_vec()]) {
        let again = CertificateChain::from_pem(chain.to_pem().as_bytes());
        assert!(again.is_ok_and(|again| again.leaf() == chain.leaf()), "as PEM and back");
    }
    if let Ok(chain) = CertificateChain::from_pem(data) {
        let again = CertificateChain::from_base64_pem(&chain.to_base64_pem());
        assert!(again.is_ok_and(|again| again.leaf() == chain.leaf()), "in base64 and back");
    }
    let _ = Anchor::parse(data, SiteId::parse("north").expect("a site"));
    if let Ok(key) = csr::verify(data, &Algorithms::rustcrypto()) {
        assert!(IdentityPublic::parse(key.spki_der()).is_ok(), "the key of a request is a key");
    }
    if let Ok(key) = IdentityPublic::parse(data) {
        assert_eq!(key.spki_der(), data);
    }
    if let Ok(key) = KemPublic::parse(data) {
        assert_eq!(key.to_bytes(), data);
    }
});
