use alloc::vec::Vec;

use super::*;
use crate::identity::{SoftIdentity, TlsKey};
use crate::testing::rng;

fn device() -> DeviceId {
    DeviceId::parse("MON-1").unwrap()
}

fn request() -> (TlsKey, Vec<u8>) {
    let mut rng = rng(1);
    let key = TlsKey::generate(&mut rng).unwrap();
    let der = create(&key, &device(), &mut rng).unwrap();
    (key, der)
}

#[test]
fn a_request_yields_its_key() {
    let (key, der) = request();
    let read = verify(&der, &Algorithms::rustcrypto()).unwrap();
    assert_eq!(read.public_key(), key.public());
    assert_eq!(read.spki_der(), key.public().spki_der());
}

#[test]
fn every_flipped_byte_is_refused() {
    let (_, der) = request();
    for i in 0..der.len() {
        let mut wrong = der.clone();
        wrong[i] ^= 1;
        assert!(verify(&wrong, &Algorithms::rustcrypto()).is_err(), "byte {i}");
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let (_, mut der) = request();
    for length in 0..der.len() {
        assert!(verify(&der[..length], &Algorithms::rustcrypto()).is_err(), "length {length}");
    }
    der.push(0);
    assert_eq!(verify(&der, &Algorithms::rustcrypto()).unwrap_err(), CsrError::Malformed);
    assert_eq!(
        verify(&[0x30; MAX_LEN + 1], &Algorithms::rustcrypto()).unwrap_err(),
        CsrError::Malformed
    );
}

/// A request for somebody else's key: the attacker signs with his own (no proof of possession).
#[test]
fn a_request_for_another_key_is_refused() {
    struct Liar(TlsKey, TlsKey);
    impl IdentityKey for Liar {
        fn public(&self) -> &IdentityPublic {
            self.0.public()
        }
        fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
            self.1.sign(message, rng)
        }
    }
    let mut rng = rng(2);
    let liar = Liar(TlsKey::generate(&mut rng).unwrap(), TlsKey::generate(&mut rng).unwrap());
    let der = create(&liar, &device(), &mut rng).unwrap();
    assert_eq!(verify(&der, &Algorithms::rustcrypto()).unwrap_err(), CsrError::Signature);
    assert_eq!(CsrError::Signature.code(), ErrorCode::CsrInvalid);
}

#[cfg(feature = "rsa")]
#[test]
fn an_rsa_request_is_refused() {
    let mut rng = rng(3);
    let key = SoftIdentity::generate(Suite::Rsa2048, &mut rng).unwrap();
    let der = create(&key, &device(), &mut rng).unwrap();
    assert_eq!(verify(&der, &Algorithms::rustcrypto()).unwrap_err(), CsrError::Key);
}

#[cfg(not(feature = "rsa"))]
#[test]
fn a_soft_identity_can_request_too() {
    let mut rng = rng(3);
    let key = SoftIdentity::generate(Suite::P256, &mut rng).unwrap();
    let der = create(&key, &device(), &mut rng).unwrap();
    assert!(verify(&der, &Algorithms::rustcrypto()).is_ok());
}
