use alloc::format;
use alloc::vec::Vec;

use super::*;
use crate::algorithms::Algorithms;
use crate::sha256;
use crate::testing::{rng, suites};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/", $name))
    };
}

#[test]
fn suites_have_their_numbers_and_algorithms() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        assert_eq!(Suite::from_u8(suite.as_u8()), Some(suite));
        let wire = zmon_wire::kind::Suite::from(suite);
        assert_eq!((Suite::from(wire), wire.number()), (suite, suite.as_u8()));
    }
    assert_eq!((Suite::from_u8(0), Suite::from_u8(3)), (None, None));
    assert_eq!(Suite::P256.jws_alg(), "ES256");
    assert_eq!(Suite::Rsa2048.jws_alg(), "PS256");
    assert_eq!(Suite::Rsa2048.is_supported(), cfg!(feature = "rsa"));
}

#[test]
fn keys_survive_pkcs8_and_keep_their_thumbprint() {
    for suite in suites() {
        let key = SoftIdentity::generate(suite, &mut rng(1)).unwrap();
        let again = SoftIdentity::from_pkcs8(key.to_pkcs8().unwrap().expose()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(key.public().suite(), suite);
        let spki = key.public().spki_der();
        assert_eq!(key.public().thumbprint().as_bytes(), &sha256(spki));
        assert_eq!(&IdentityPublic::parse(spki).unwrap(), key.public());
        assert!(format!("{key:?}").ends_with("[secret])"));
    }
}

#[test]
fn signatures_verify_and_do_not_transfer() {
    let algorithms = Algorithms::rustcrypto();
    for suite in suites() {
        let mut rng = rng(2);
        let key = SoftIdentity::generate(suite, &mut rng).unwrap();
        let other = SoftIdentity::generate(suite, &mut rng).unwrap();
        let signature = key.sign(b"message", &mut rng).unwrap();
        let (verifier, signature) = match suite {
            Suite::P256 => {
                assert_eq!(signature.len(), 64);
                (algorithms.ecdsa_p256_sha256(), es256_to_der(&signature).unwrap())
            }
            Suite::Rsa2048 => (algorithms.rsa_pss_sha256().unwrap(), signature),
        };
        let verify = |key: &SoftIdentity, message: &[u8]| {
            verifier.verify_signature(key.public().key_bits(), message, &signature).is_ok()
        };
        assert!(verify(&key, b"message"));
        assert!(!verify(&key, b"messagf"));
        assert!(!verify(&other, b"message"));
    }
}

#[test]
fn keys_of_other_types_are_unsupported() {
    for spki in [
        &fixture!("p192.spki.der")[..],
        fixture!("p384.spki.der"),
        fixture!("ed25519.spki.der"),
        fixture!("p256-explicit.spki.der"),
    ] {
        assert_eq!(IdentityPublic::parse(spki).unwrap_err(), KeyError::Unsupported);
    }
    assert_eq!(
        SoftIdentity::from_pkcs8(fixture!("ed25519.pkcs8.der")).unwrap_err(),
        KeyError::Unsupported
    );
    assert_eq!(
        SoftIdentity::from_pkcs8(fixture!("p384.pkcs8.der")).unwrap_err(),
        KeyError::Malformed
    );
    assert_eq!(SoftIdentity::from_pkcs8(b"junk").unwrap_err(), KeyError::Malformed);
}

#[test]
fn weak_rsa_keys_are_refused() {
    let expected = if cfg!(feature = "rsa") { KeyError::Weak } else { KeyError::Unsupported };
    for spki in [&fixture!("rsa1024.spki.der")[..], fixture!("rsa2048-e3.spki.der")] {
        assert_eq!(IdentityPublic::parse(spki).unwrap_err(), expected);
    }
}

#[cfg(feature = "rsa")]
#[test]
fn rsa_strength_has_both_bounds() {
    use rsa::BoxedUint;
    use rsa::traits::PublicKeyParts;

    let key = rsa::PrivateKey::new(&mut rng(3), 2048).unwrap();
    let strength = |e: u64| {
        // `new_unchecked` lets even exponents reach the check under test.
        let n = key.as_public_key().n().as_ref().clone();
        rsa_key::check_strength(&rsa::PublicKey::new_unchecked(n, BoxedUint::from(e)))
    };
    for e in [3, 65_535, 65_536, 65_538, 1 << 32, (1 << 32) + 1, (1 << 33) - 1] {
        assert_eq!(strength(e), Err(KeyError::Weak), "e = {e}");
    }
    for e in [65_537, 65_539, (1 << 32) - 1] {
        assert_eq!(strength(e), Ok(()), "e = {e}");
    }
}

#[test]
fn only_the_canonical_encoding_is_accepted() {
    assert_eq!(
        IdentityPublic::parse(fixture!("p256-compressed.spki.der")).unwrap_err(),
        KeyError::NotCanonical
    );
    let key = SoftIdentity::generate(Suite::P256, &mut rng(4)).unwrap();
    let good = key.public().spki_der().to_vec();
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(IdentityPublic::parse(&trailing).unwrap_err(), KeyError::Malformed);
    for length in 0..good.len() {
        assert!(IdentityPublic::parse(&good[..length]).is_err(), "length {length}");
    }
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let key = SoftIdentity::generate(Suite::P256, &mut rng(5)).unwrap();
    let mut spki = key.public().spki_der().to_vec();
    *spki.last_mut().unwrap() ^= 1;
    assert_eq!(IdentityPublic::parse(&spki).unwrap_err(), KeyError::Malformed);
    // The point at infinity, one zero byte.
    let infinity: Vec<u8> =
        [&[0x30, 0x19, 0x30, 0x13][..], &spki[4..23], &[0x03, 0x02, 0x00, 0x00]].concat();
    assert_eq!(IdentityPublic::parse(&infinity).unwrap_err(), KeyError::Malformed);
}

#[test]
fn es256_to_der_refuses_what_is_no_signature() {
    for bytes in [&[][..], &[1; 63], &[1; 65], &[0; 64], &[0xff; 64]] {
        assert_eq!(es256_to_der(bytes).unwrap_err(), KeyError::Malformed);
    }
}

#[test]
fn tls_keys_are_p256_only() {
    let mut rng = rng(6);
    let key = TlsKey::generate(&mut rng).unwrap();
    let again = TlsKey::from_pkcs8(key.pkcs8().unwrap().expose()).unwrap();
    assert_eq!(key.public(), again.public());
    assert_eq!(key.sign(b"x", &mut rng).unwrap().len(), 64);
    assert!(format!("{key:?}").ends_with("[secret])"));
    #[cfg(feature = "rsa")]
    {
        let rsa = SoftIdentity::generate(Suite::Rsa2048, &mut rng).unwrap();
        let pkcs8 = rsa.to_pkcs8().unwrap();
        assert_eq!(TlsKey::from_pkcs8(pkcs8.expose()).unwrap_err(), KeyError::SuiteMismatch);
    }
}

#[cfg(not(feature = "rsa"))]
#[test]
fn suite_2_needs_its_feature() {
    assert_eq!(
        SoftIdentity::generate(Suite::Rsa2048, &mut rng(1)).unwrap_err(),
        KeyError::Unsupported
    );
}

#[test]
fn key_errors_have_codes() {
    for (error, code) in [
        (KeyError::Malformed, ErrorCode::IdentityInvalid),
        (KeyError::NotCanonical, ErrorCode::IdentityInvalid),
        (KeyError::Weak, ErrorCode::IdentityInvalid),
        (KeyError::Unsupported, ErrorCode::SuiteUnsupported),
        (KeyError::SuiteMismatch, ErrorCode::SuiteUnsupported),
        (KeyError::Generation, ErrorCode::KeyStoreUnavailable),
        (KeyError::Signing, ErrorCode::KeyStoreUnavailable),
    ] {
        assert_eq!(error.code(), code);
    }
}

/// PKCS#11 wraps the point in an OCTET STRING; the curve is what OpenSSL calls prime256v1.
#[test]
fn a_point_of_pkcs11_is_the_key_and_nothing_else_is() {
    let key = SoftIdentity::generate(Suite::P256, &mut rng(5)).unwrap();
    let point = [&[0x04, 65][..], key.public().key_bits()].concat();
    assert_eq!(&IdentityPublic::from_ec_point(&point).unwrap(), key.public());
    let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    assert_eq!(ec_parameters().unwrap(), curve);
    let bare = key.public().key_bits().to_vec();
    let off = [&[0x04, 65, 0x04][..], &[7; 64]].concat();
    let longer = [&point[..], &[0]].concat();
    for wrong in [bare, off, longer, point[..40].to_vec(), Vec::new()] {
        let refused = IdentityPublic::from_ec_point(&wrong);
        assert_eq!(refused.unwrap_err(), KeyError::Malformed, "{wrong:02x?}");
    }
}
