//! T1: every byte of a typed pairing against a cracker that knows the code is one of a few.
//!
//! The cracker is shown to work first: it breaks two weak protocols that were recorded with the same
//! codes, one that authenticates by an HMAC and one that encrypts under a key made from the code.

use std::collections::BTreeMap;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zmon_domain::code::PairingCode;
use zmon_protocol::station::SessionPhase;
use zmon_wire::b64;

use crate::common::Pair;

/// `2^bits` codes around the known one: the last random symbols vary, the check symbol fits.
fn codes(known: &PairingCode, bits: u32) -> Vec<Vec<u8>> {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let value = |symbol: u8| ALPHABET.iter().position(|own| *own == symbol).unwrap();
    let parsed = |text: &[u8]| PairingCode::parse_any(core::str::from_utf8(text).unwrap());
    (0..1_usize << bits)
        .map(|n| {
            let mut text = known.canonical().to_vec();
            for place in 0..bits.div_ceil(5) as usize {
                let symbol = value(text[7 - place]) ^ ((n >> (5 * place)) & 31);
                text[7 - place] = ALPHABET[symbol];
            }
            let fits = |check: &&u8| {
                let mut text = text.clone();
                text[8] = **check;
                parsed(&text).is_ok()
            };
            let check = ALPHABET.iter().find(fits).copied();
            text[8] = check.expect("one check symbol fits");
            text
        })
        .collect()
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn stretched(code: &[u8], salt: &[u8], label: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), code).expand(label, &mut key).unwrap();
    key
}

/// Where sixteen bytes in a row stand in a recording: tags are often cut.
struct Recording {
    fields: Vec<Vec<u8>>,
    pieces: BTreeMap<[u8; 16], usize>,
}

impl Recording {
    fn new(fields: Vec<Vec<u8>>) -> Self {
        let mut pieces = BTreeMap::new();
        for (field, bytes) in fields.iter().enumerate() {
            for part in bytes.windows(16) {
                pieces.entry(part.try_into().unwrap()).or_insert(field);
            }
        }
        Self { fields, pieces }
    }

    /// Every code of `codes` under which some field is a hash, a MAC or a key made of the others.
    fn crack(&self, codes: &[Vec<u8>]) -> Vec<(usize, Vec<u8>)> {
        let mut hits = Vec::new();
        // Nonces and the window come first: what a key would be salted with.
        let salts: Vec<&[u8]> =
            self.fields.iter().map(Vec::as_slice).filter(|f| f.len() <= 32).take(4).collect();
        for code in codes {
            let mut keys = vec![<[u8; 32]>::from(Sha256::digest(code))];
            for salt in &salts {
                keys.extend([b"".as_slice(), b"psk"].map(|label| stretched(code, salt, label)));
            }
            let mut tags = keys.clone();
            for data in &self.fields {
                tags.push(hmac(code, data));
                tags.push(Sha256::new().chain_update(code).chain_update(data).finalize().into());
                tags.extend(keys.iter().map(|key| hmac(key, data)));
            }
            let hit = tags.iter().find_map(|tag| self.pieces.get(&tag[..16]));
            hits.extend(hit.map(|field| (*field, code.clone())));
        }
        hits
    }
}

/// Runs the attack over a subset of `2^bits` codes.
fn attack(bits: u32) {
    let mut pair = Pair::new(40);
    pair.enter();
    let text = pair.code();
    let code = PairingCode::parse_any(&text).unwrap();
    let codes = codes(&code, bits);
    assert_eq!(codes.len(), 1 << bits);
    assert!(codes.iter().any(|candidate| candidate == code.canonical()), "the code is among them");

    // What a protocol without a PAKE would have left behind.
    let nonce = b"a nonce of the station, 32 bytes".to_vec();
    let by_hmac = vec![nonce.clone(), hmac(code.canonical(), &nonce).to_vec()];
    let psk = stretched(code.canonical(), &nonce, b"psk");
    let by_psk = vec![nonce.clone(), hmac(&psk, &nonce).to_vec()];
    for weak in [&by_hmac, &by_psk] {
        let hits = Recording::new(weak.clone()).crack(&codes);
        assert_eq!(hits, [(1, code.canonical().to_vec())], "the cracker works");
    }

    assert_eq!(pair.pair_typed(&text), SessionPhase::Paired);
    let recording = Recording::new(fields(&pair.wire));
    assert!(
        recording.fields.len() > 20,
        "shares, confirmations, and every member of hello and identity"
    );
    assert_eq!(recording.crack(&codes), [], "nothing in any field is keyed by the code");
}

/// What was said, taken apart: messages, the parts of each JWS, and its members as bytes.
fn fields(wire: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut fields = wire.to_vec();
    let texts = wire.iter().filter_map(|bytes| core::str::from_utf8(bytes).ok());
    for part in texts.flat_map(|text| text.split('.')) {
        let Ok(bytes) = b64::decode_url(part) else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        fields.extend(text.split('"').filter_map(|member| b64::decode_url(member).ok()));
        fields.push(bytes);
    }
    fields.retain(|field| field.len() >= 16);
    fields.sort_by_key(Vec::len);
    fields
}

/// A million codes take minutes:
/// `ZMON_CRACK_BITS=20 cargo test --release -p zmon-protocol recording`
#[test]
fn a_recording_gives_no_code_away() {
    attack(option_env!("ZMON_CRACK_BITS").map_or(12, |bits| bits.parse().unwrap()));
}
