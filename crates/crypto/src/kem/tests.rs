use alloc::format;

use super::*;
use crate::identity::SoftIdentity;
use crate::testing::{rng, suites};

#[test]
fn public_keys_travel_as_spki() {
    for suite in suites() {
        let key = KemKey::generate(suite, &mut rng(1)).unwrap();
        let again = KemPublic::parse(&key.public().to_bytes()).unwrap();
        assert_eq!(&again, key.public());
        assert_eq!((key.suite(), again.suite()), (suite, suite));
        assert!(format!("{key:?}").ends_with("[secret])"));
        assert!(format!("{again:?}").starts_with("KemPublic("));
    }
}

#[test]
fn a_stored_key_has_the_same_public_half() {
    for suite in suites() {
        let stored = SoftIdentity::generate(suite, &mut rng(2)).unwrap().to_pkcs8().unwrap();
        let key = KemKey::from_pkcs8(stored.expose()).unwrap();
        let again = KemKey::from_pkcs8(stored.expose()).unwrap();
        assert_eq!(key.public(), again.public());
    }
    assert_eq!(KemKey::from_pkcs8(b"junk").unwrap_err(), KeyError::Malformed);
}

#[test]
fn malformed_public_keys_are_refused() {
    let spki = KemKey::generate(Suite::P256, &mut rng(3)).unwrap().public().to_bytes();
    for length in 0..spki.len() {
        assert!(KemPublic::parse(&spki[..length]).is_err());
    }
}

#[cfg(not(feature = "rsa"))]
#[test]
fn suite_2_needs_its_feature() {
    assert_eq!(KemKey::generate(Suite::Rsa2048, &mut rng(1)).unwrap_err(), KeyError::Unsupported);
}
