use alloc::vec::Vec;

use super::*;
use crate::identity::{IdentityKey, SoftIdentity, Suite, es256_to_der};
use crate::testing::rng;

fn signed() -> (Vec<u8>, Vec<u8>) {
    let mut rng = rng(1);
    let key = SoftIdentity::generate(Suite::P256, &mut rng).unwrap();
    let signature = key.sign(b"message", &mut rng).unwrap();
    (key.public().key_bits().to_vec(), es256_to_der(&signature).unwrap())
}

#[test]
fn ecdsa_refuses_every_flipped_bit() {
    let (key, signature) = signed();
    assert!(ECDSA_P256_SHA256.verify_signature(&key, b"message", &signature).is_ok());
    for bit in 0..signature.len() * 8 {
        let mut wrong = signature.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(ECDSA_P256_SHA256.verify_signature(&key, b"message", &wrong).is_err());
    }
}

#[test]
fn ecdsa_takes_uncompressed_points_only() {
    let (key, signature) = signed();
    let parity = 2 + (key[64] & 1);
    let compressed: Vec<u8> = [&[parity], &key[1..33]].concat();
    for bits in [&compressed[..], &key[..64], &[], &[0]] {
        assert!(ECDSA_P256_SHA256.verify_signature(bits, b"message", &signature).is_err());
    }
}

#[cfg(feature = "rsa")]
#[test]
fn pss_refuses_weak_keys_and_other_salts() {
    use rsa::pkcs1::EncodeRsaPublicKey;
    use rsa::signature::{RandomizedSigner, SignatureEncoding};

    let mut rng = rng(2);
    let weak = rsa::PrivateKey::new(&mut rng, 1024).unwrap();
    let bits = weak.as_public_key().to_pkcs1_der().unwrap();
    let signature = weak.pss_sign_with_rng::<sha2::Sha256, _>(&mut rng, b"m").unwrap();
    assert!(RSA_PSS_SHA256.verify_signature(bits.as_bytes(), b"m", &signature).is_err());

    let key = rsa::PrivateKey::new(&mut rng, 2048).unwrap();
    let bits = key.as_public_key().to_pkcs1_der().unwrap();
    let signature = key.pss_sign_with_rng::<sha2::Sha256, _>(&mut rng, b"m").unwrap();
    assert!(RSA_PSS_SHA256.verify_signature(bits.as_bytes(), b"m", &signature).is_ok());
    assert!(RSA_PSS_SHA256.verify_signature(b"junk", b"m", &signature).is_err());
    let short = rsa::pss::SigningKey::<sha2::Sha256>::new_with_salt_len(key, 20);
    let signature = short.sign_with_rng(&mut rng, b"m").to_vec();
    assert!(RSA_PSS_SHA256.verify_signature(bits.as_bytes(), b"m", &signature).is_err());
}

#[test]
fn the_portable_set_has_no_weak_algorithm() {
    let set = Algorithms::rustcrypto();
    assert_eq!(set.all().len(), if cfg!(feature = "rsa") { 2 } else { 1 });
    assert_eq!(set.rsa_pss_sha256().is_some(), cfg!(feature = "rsa"));
    for algorithm in set.all() {
        let id = algorithm.signature_alg_id();
        assert!(id == alg_id::ECDSA_SHA256 || id == alg_id::RSA_PSS_SHA256);
    }
    let own = Algorithms::new(ECDSA_P256_SHA256, None, &[]);
    assert!(own.rsa_pss_sha256().is_none() && own.all().is_empty());
}
