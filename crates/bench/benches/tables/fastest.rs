//! The same operations by the fastest library that is known for each. Nothing else links them here.

use core::hint::black_box;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256 as HPKE;
use rustls::crypto::hpke::Hpke;
use zmon_bench::sample::{Cost, in_turn};

/// Costs of one each, all by `aws-lc-rs`.
pub(crate) struct Fastest {
    /// A new P-256 key.
    pub(crate) generate: Cost,
    /// ECDSA P-256 signature.
    pub(crate) sign: Cost,
    /// ECDSA P-256 verification.
    pub(crate) verify: Cost,
    /// HPKE of 4 KiB in base mode; it has no PSK mode.
    pub(crate) seal: Cost,
    /// The same, opened.
    pub(crate) open: Cost,
    /// RSA-2048 OAEP encryption of 32 bytes.
    pub(crate) wrap: Cost,
    /// The same, decrypted.
    pub(crate) unwrap: Cost,
}

impl Fastest {
    /// Measures all of them.
    pub(crate) fn measure() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let generated = || EcdsaKeyPair::generate(algorithm).expect("a key");
        let key = generated();
        let message = [7; 4096];
        let signature = key.sign(&random, &message).expect("signed");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
        let (kem_public, kem_private) = HPKE.generate_key_pair().expect("a key");
        let seal = || HPKE.seal(&[2; 43], &[1; 34], &message, &kem_public).expect("sealed");
        let (enc, ct) = seal();
        let [generate, sign, verify, seal, open] = in_turn(
            300,
            [
                &mut || {
                    black_box(generated());
                },
                &mut || {
                    black_box(key.sign(&random, &message).expect("signed"));
                },
                &mut || public.verify(&message, signature.as_ref()).expect("verified"),
                &mut || drop(seal()),
                &mut || {
                    drop(HPKE.open(&enc, &[2; 43], &[1; 34], &ct, &kem_private).expect("opened"));
                },
            ],
        );
        let [wrap, unwrap] = oaep();
        Self { generate, sign, verify, seal, open, wrap, unwrap }
    }
}

fn oaep() -> [Cost; 2] {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key");
    let public = OaepPublicEncryptingKey::new(private.public_key()).expect("a key");
    let private = OaepPrivateDecryptingKey::new(private).expect("a key");
    let (hash, label) = (&OAEP_SHA256_MGF1SHA256, Some(&[2; 43][..]));
    let (mut sealed, mut opened) = ([0; 256], [0; 256]);
    let enc = public.encrypt(hash, &[3; 32], &mut sealed, label).expect("wrapped").to_vec();
    let mut again = [0; 256];
    in_turn(
        60,
        [
            &mut || {
                black_box(public.encrypt(hash, &[3; 32], &mut again, label).expect("wrapped"));
            },
            &mut || {
                black_box(private.decrypt(hash, &enc, &mut opened, label).expect("unwrapped"));
            },
        ],
    )
}
