//! The vectors of `docs/vectors`: recomputed here, and by an independent Python script there.
//!
//! Keys are inputs and stay as they are in the files. Everything else follows from them and from
//! seeded random numbers, so that a change of any byte of the protocol shows as a difference.
//! After an intended change write the files anew:
//! `cargo run -p zmon-crypto --features rsa --example write_vectors`.

mod after;
mod build;
mod files;
mod typed;

use std::fs;

use serde_json::Value;
use zmon_crypto::Suite;
use zmon_crypto::envelope::Envelope;
use zmon_crypto::envelope::client_key::{self, Binding};
use zmon_crypto::schedule::{Prk, transcript};
use zmon_crypto::{IdentityKey, KemKey, PairingToken, TlsKey};

use crate::support::rng;
use build::{Keys, hex, pairing, unhex};
use files::{path, suites};

fn stored(suite: Suite) -> Value {
    serde_json::from_slice(&fs::read(path(suite)).unwrap()).unwrap()
}

#[test]
fn the_published_vectors_are_what_the_code_computes() {
    for suite in suites() {
        let stored = stored(suite);
        let computed = pairing(suite, &Keys::from_json(&stored["keys"]));
        for (section, value) in stored.as_object().unwrap() {
            assert_eq!(&computed[section], value, "{suite:?}, section {section}");
        }
        assert_eq!(computed, stored, "{suite:?}");
    }
}

#[test]
fn the_published_run_of_a_typed_code_is_what_the_code_computes() {
    let stored: Value = serde_json::from_slice(&fs::read(typed::file()).unwrap()).unwrap();
    assert_eq!(typed::run(), stored);
}

/// Needs none of the random numbers: opens the stored bytes with the stored keys, and those of a
/// pairing with new ones.
#[test]
fn the_published_envelopes_open() {
    for stored in suites()
        .flat_map(|suite| [stored(suite), pairing(suite, &Keys::generate(suite, &mut rng(60)))])
    {
        let text =
            |section: &str, member: &str| stored[section][member].as_str().unwrap().to_owned();
        let hello = text("hello", "jws");
        let t = transcript(hello.as_bytes(), text("identity", "jws").as_bytes());
        assert_eq!(hex(t.as_bytes()), text("session", "transcript"));
        let token = PairingToken::parse_base64url(&text("token", "text")).unwrap();
        let prk = Prk::from_token(hello.as_bytes(), &token);
        assert_eq!(hex(&prk.claim_mac(hello.as_bytes())), text("claim", "claimMac"));
        let keys = prk.session(&t);
        let bytes = unhex(&stored["envelope"]["bytes"]);
        let envelope = Envelope::parse(&bytes).unwrap();
        let proof = envelope.verify_mac(&keys).unwrap();
        let kem = KemKey::from_pkcs8(&unhex(&stored["keys"]["kem"])).unwrap();
        let plaintext = envelope.open(proof, &kem, &keys, &t, &mut rng(1)).unwrap();
        assert_eq!(plaintext.expose(), text("configuration", "jws").as_bytes());
        let leaf = unhex(&stored["certificates"]["client"][0]);
        let session_id = envelope.session_id();
        let binding = Binding { session_id, transcript: &t, keys: &keys, certificate: &leaf };
        let sealed = unhex(&stored["clientKey"]["sealed"]);
        let opened = client_key::open(&binding, &kem, &sealed, &mut rng(1)).unwrap();
        let tls = TlsKey::from_pkcs8(&unhex(&stored["keys"]["tls"])).unwrap();
        assert_eq!(opened.public(), tls.public());
    }
}
