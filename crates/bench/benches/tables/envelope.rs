//! Seal and open, beside the same operations of the crates below `zmon-crypto`.

#![expect(clippy::disallowed_types, reason = "a benchmark is a program")]

use core::hint::black_box;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use getrandom::SysRng;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256;
use hpke::{Kem, OpModeR, OpModeS, PskBundle};
use rand_core::UnwrapErr;
use rsa::Oaep;
use sha2::{Digest, Sha256};
use zmon_bench::sample::{Cost, in_turn};
use zmon_bench::table::{Part, Row};
use zmon_crypto::envelope::{Envelope, SealInput, seal};
use zmon_crypto::schedule::{Prk, SessionKeys, Transcript, transcript};
use zmon_crypto::{KemKey, SecretBytes, Suite};
use zmon_domain::ids::{MessageId, SessionId};

use crate::fastest::Fastest;

/// About what a configuration JWS has.
const LENGTH: usize = 4096;
const HEADER: [u8; 34] = [1; 34];
const INFO: [u8; 43] = [2; 43];
const PSK: [u8; 32] = [3; 32];

type Hpke = DhP256HkdfSha256;

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Seal and open of suite 1, then of suite 2.
pub(crate) fn rows(fastest: &Fastest) -> [Row; 4] {
    let [seal, open] = suite_1(&Ours::new(Suite::P256), fastest);
    let [wrap, unwrap] = suite_2(&Ours::new(Suite::Rsa2048), fastest);
    [seal, open, wrap, unwrap]
}

fn suite_1(ours: &Ours, fastest: &Fastest) -> [Row; 2] {
    let (private, public) = Hpke::gen_keypair_with_rng(&mut rng());
    let bundle = || PskBundle::new(&PSK, b"0123456789abcdef").expect("a PSK");
    let plain = [7; LENGTH];
    let sealed = || {
        hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, Hpke>(
            &OpModeS::Psk(bundle()),
            &public,
            &INFO,
            &plain,
            &HEADER,
            &mut rng(),
        )
        .expect("sealed")
    };
    let (enc, ct) = sealed();
    let envelope = ours.seal();
    let [seal, open, hpke_seal, hpke_open, mac] = in_turn(
        400,
        [
            &mut || drop(ours.seal()),
            &mut || drop(ours.open(&envelope)),
            &mut || drop(sealed()),
            &mut || {
                let opened = hpke::single_shot_open::<AesGcm256, HkdfSha256, Hpke>(
                    &OpModeR::Psk(bundle()),
                    &private,
                    &enc,
                    &INFO,
                    &ct,
                    &HEADER,
                );
                drop(opened.expect("opened"));
            },
            &mut || {
                black_box(tag(&ct));
            },
        ],
    );
    [
        Row {
            what: "seal 4 KiB, P-256".to_owned(),
            cost: seal,
            linked: vec![("`hpke` seal", 1, hpke_seal), ("`hmac`", 1, mac)],
            fastest: by("`aws-lc-rs`, base mode", fastest.seal),
            ..Row::default()
        },
        Row {
            what: "open 4 KiB, P-256".to_owned(),
            cost: open,
            linked: vec![("`hpke` open", 1, hpke_open), ("`hmac`", 1, mac)],
            fastest: by("`aws-lc-rs`, base mode", fastest.open),
            ..Row::default()
        },
    ]
}

fn suite_2(ours: &Ours, fastest: &Fastest) -> [Row; 2] {
    let key = rsa::PrivateKey::new(&mut rng(), 2048).expect("a key");
    let public = key.as_public_key();
    let label = || Oaep::<Sha256>::new_with_label(&INFO[..]);
    let plain = [7; LENGTH];
    let wrap = || public.encrypt(&mut rng(), label(), &PSK).expect("wrapped");
    let enc = wrap();
    let ct = cipher(&enc).0.encrypt(&cipher(&enc).1, payload(&plain)).expect("sealed");
    let envelope = ours.seal();
    let [seal, open, wrapped, unwrapped, gcm_seal, gcm_open, mac] = in_turn(
        60,
        [
            &mut || drop(ours.seal()),
            &mut || drop(ours.open(&envelope)),
            &mut || drop(wrap()),
            &mut || drop(key.decrypt_blinded(&mut rng(), label(), &enc).expect("unwrapped")),
            &mut || {
                let (cipher, nonce) = cipher(&enc);
                drop(cipher.encrypt(&nonce, payload(&plain)).expect("sealed"));
            },
            &mut || {
                let (cipher, nonce) = cipher(&enc);
                drop(cipher.decrypt(&nonce, payload(&ct)).expect("opened"));
            },
            &mut || {
                black_box(tag(&ct));
            },
        ],
    );
    [
        Row {
            what: "seal 4 KiB, RSA-2048".to_owned(),
            cost: seal,
            linked: vec![
                ("`rsa` OAEP encrypt", 1, wrapped),
                ("`hkdf` + `aes-gcm`", 1, gcm_seal),
                ("`hmac`", 1, mac),
            ],
            fastest: by("`aws-lc-rs`, OAEP", fastest.wrap),
            ..Row::default()
        },
        Row {
            what: "open 4 KiB, RSA-2048".to_owned(),
            cost: open,
            linked: vec![
                ("`rsa` OAEP decrypt", 1, unwrapped),
                ("`hkdf` + `aes-gcm`", 1, gcm_open),
                ("`hmac`", 1, mac),
            ],
            fastest: by("`aws-lc-rs`, OAEP", fastest.unwrap),
            ..Row::default()
        },
    ]
}

fn by(whose: &'static str, cost: Cost) -> Vec<Part> {
    vec![(whose, 1, cost)]
}

fn payload(msg: &[u8]) -> Payload<'_, '_> {
    Payload { msg, aad: &HEADER }
}

/// Key and nonce of suite 2.
fn cipher(enc: &[u8]) -> (Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>) {
    let info = [&b"zp1 rsa"[..], &PSK, &Sha256::digest(enc)].concat();
    let mut out = [0; 44];
    Hkdf::<Sha256>::new(Some(&PSK), &PSK).expand(&info, &mut out).expect("44 bytes");
    let (key, nonce) = out.split_at(32);
    let cipher = Aes256Gcm::new_from_slice(key).expect("32 bytes");
    (cipher, Nonce::try_from(nonce).expect("12 bytes"))
}

fn tag(ct: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&PSK).expect("any length");
    mac.update(&HEADER);
    mac.update(ct);
    mac.finalize().into_bytes().into()
}

/// One session of `zmon-crypto`.
struct Ours {
    suite: Suite,
    kem: KemKey,
    transcript: Transcript,
    keys: SessionKeys,
}

impl Ours {
    fn new(suite: Suite) -> Self {
        let transcript = transcript(b"hello", b"identity");
        let keys = Prk::from_hello(b"hello", &[9; 51]).session(&transcript);
        let kem = KemKey::generate(suite, &mut rng()).expect("a key");
        Self { suite, kem, transcript, keys }
    }

    fn seal(&self) -> Vec<u8> {
        let input = SealInput {
            suite: self.suite,
            kem_public: self.kem.public(),
            session_id: SessionId::generate(&mut rng()),
            message_id: MessageId::generate(&mut rng()),
            transcript: &self.transcript,
            keys: &self.keys,
        };
        seal(&input, &[7; LENGTH], &mut rng()).expect("sealed")
    }

    fn open(&self, envelope: &[u8]) -> SecretBytes {
        let envelope = Envelope::parse(envelope).expect("an envelope");
        let proof = envelope.verify_mac(&self.keys).expect("the MAC holds");
        let opened = envelope.open(proof, &self.kem, &self.keys, &self.transcript, &mut rng());
        opened.expect("opened")
    }
}
