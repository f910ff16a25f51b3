use alloc::format;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::schedule::{Prk, transcript};
use crate::testing::{rng, suites};

const PLAINTEXT: &[u8] = b"header.payload.signature";

struct Session {
    key: KemKey,
    keys: SessionKeys,
    transcript: Transcript,
    session_id: SessionId,
    message_id: MessageId,
}

impl Session {
    fn new(suite: Suite, seed: u8) -> Self {
        let transcript = transcript(b"hello", &[seed]);
        Self {
            key: KemKey::generate(suite, &mut rng(seed)).unwrap(),
            keys: Prk::from_hello(b"hello", &[seed; 51]).session(&transcript),
            transcript,
            session_id: SessionId::from_bytes([seed; 16]),
            message_id: MessageId::from_bytes([seed + 1; 16]),
        }
    }

    fn seal(&self, plaintext: &[u8], seed: u8) -> Result<Vec<u8>, EnvelopeError> {
        let input = SealInput {
            suite: self.key.suite(),
            kem_public: self.key.public(),
            session_id: self.session_id,
            message_id: self.message_id,
            transcript: &self.transcript,
            keys: &self.keys,
        };
        seal(&input, plaintext, &mut rng(seed))
    }

    fn open(&self, bytes: &[u8]) -> Result<SecretBytes, EnvelopeError> {
        let envelope = Envelope::parse(bytes)?;
        let proof = envelope.verify_mac(&self.keys)?;
        envelope.open(proof, &self.key, &self.keys, &self.transcript, &mut rng(99))
    }

    /// Makes the MAC right again after a change, as an attacker who had `kMac` could.
    fn resign(&self, bytes: &mut [u8]) {
        let (body, tag) = bytes.split_last_chunk_mut::<MAC_LEN>().unwrap();
        *tag = kdf::hmac(self.keys.mac(), &[body]);
    }
}

#[test]
fn what_was_sealed_opens() {
    for suite in suites() {
        let session = Session::new(suite, 1);
        for plaintext in [&[][..], PLAINTEXT, &[7; 60_000]] {
            let bytes = session.seal(plaintext, 2).unwrap();
            assert_eq!(session.open(&bytes).unwrap().expose(), plaintext);
            let envelope = Envelope::parse(&bytes).unwrap();
            assert_eq!(envelope.suite(), suite);
            assert_eq!(envelope.session_id(), session.session_id);
            assert_eq!(envelope.message_id(), session.message_id);
            assert!(format!("{envelope:?}").contains("ct_len"));
        }
    }
}

#[test]
fn two_envelopes_never_share_enc_or_ciphertext() {
    for suite in suites() {
        let session = Session::new(suite, 1);
        let (first, second) =
            (session.seal(PLAINTEXT, 2).unwrap(), session.seal(PLAINTEXT, 3).unwrap());
        let (first, second) = (Envelope::parse(&first).unwrap(), Envelope::parse(&second).unwrap());
        assert_ne!(first.enc, second.enc);
        assert_ne!(first.ct, second.ct);
    }
}

#[test]
fn every_flipped_byte_is_refused_by_the_mac_or_the_syntax() {
    for suite in suites() {
        let session = Session::new(suite, 1);
        let bytes = session.seal(PLAINTEXT, 2).unwrap();
        for i in 0..bytes.len() {
            for mask in [1, 0x80, 0xff] {
                let mut wrong = bytes.clone();
                wrong[i] ^= mask;
                let error = session.open(&wrong).unwrap_err();
                assert!(!matches!(error, EnvelopeError::Open), "byte {i} reached the key");
            }
        }
    }
}

#[test]
fn every_flipped_byte_is_refused_even_under_a_right_mac() {
    for suite in suites() {
        let session = Session::new(suite, 1);
        let bytes = session.seal(PLAINTEXT, 2).unwrap();
        // One byte of each field is enough for RSA: a private operation each.
        let step = if suite == Suite::Rsa2048 { 37 } else { 1 };
        for i in (0..bytes.len() - MAC_LEN).step_by(step) {
            let mut wrong = bytes.clone();
            wrong[i] ^= 1;
            session.resign(&mut wrong);
            assert!(session.open(&wrong).is_err(), "byte {i}");
        }
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for suite in suites() {
        let session = Session::new(suite, 1);
        let bytes = session.seal(PLAINTEXT, 2).unwrap();
        for length in 0..bytes.len() {
            let mut cut = bytes[..length].to_vec();
            assert!(session.open(&cut).is_err(), "length {length}");
            if length > MAC_LEN {
                session.resign(&mut cut);
                assert!(session.open(&cut).is_err(), "length {length}, MAC repaired");
            }
        }
        let mut long = bytes.clone();
        long.push(0);
        assert!(session.open(&long).is_err());
        session.resign(&mut long);
        assert_eq!(session.open(&long).unwrap_err(), EnvelopeError::Malformed);
    }
}

#[test]
fn another_sessions_keys_do_not_open() {
    for suite in suites() {
        let (a, b) = (Session::new(suite, 1), Session::new(suite, 5));
        let bytes = a.seal(PLAINTEXT, 2).unwrap();
        assert_eq!(b.open(&bytes).unwrap_err(), EnvelopeError::Mac);
        let open = |key: &KemKey, keys: &SessionKeys, transcript: &Transcript| {
            let envelope = Envelope::parse(&bytes).unwrap();
            let proof = envelope.verify_mac(&a.keys).unwrap();
            envelope.open(proof, key, keys, transcript, &mut rng(9)).map(|_| ())
        };
        assert_eq!(open(&a.key, &a.keys, &a.transcript), Ok(()));
        assert_eq!(open(&b.key, &a.keys, &a.transcript), Err(EnvelopeError::Open), "device");
        assert_eq!(open(&a.key, &b.keys, &a.transcript), Err(EnvelopeError::Open), "psk");
        assert_eq!(open(&a.key, &a.keys, &b.transcript), Err(EnvelopeError::Open), "T");
    }
}

#[test]
fn a_changed_header_does_not_open_under_a_right_mac() {
    for suite in suites() {
        let session = Session::new(suite, 1);
        let bytes = session.seal(PLAINTEXT, 2).unwrap();
        for field in [2..18, 18..34] {
            let mut wrong = bytes.clone();
            wrong[field].fill(0xee);
            session.resign(&mut wrong);
            assert_eq!(session.open(&wrong).unwrap_err(), EnvelopeError::Open);
        }
    }
}

#[test]
fn a_proof_opens_only_the_envelope_it_was_made_for() {
    let session = Session::new(Suite::P256, 1);
    let (first, second) = (session.seal(PLAINTEXT, 2).unwrap(), session.seal(b"other", 3).unwrap());
    let (first, second) = (Envelope::parse(&first).unwrap(), Envelope::parse(&second).unwrap());
    let proof = first.verify_mac(&session.keys).unwrap();
    let result = second.open(proof, &session.key, &session.keys, &session.transcript, &mut rng(9));
    assert_eq!(result.unwrap_err(), EnvelopeError::Evidence);
}

#[cfg(feature = "rsa")]
#[test]
fn suites_cannot_be_swapped() {
    let (p256, rsa) = (Session::new(Suite::P256, 1), Session::new(Suite::Rsa2048, 1));
    for (session, other) in [(&p256, &rsa), (&rsa, &p256)] {
        let bytes = session.seal(PLAINTEXT, 2).unwrap();
        let mut swapped = bytes.clone();
        swapped[1] = 3 - swapped[1];
        session.resign(&mut swapped);
        assert_eq!(session.open(&swapped).unwrap_err(), EnvelopeError::Malformed);
        let envelope = Envelope::parse(&bytes).unwrap();
        let proof = envelope.verify_mac(&session.keys).unwrap();
        let result =
            envelope.open(proof, &other.key, &session.keys, &session.transcript, &mut rng(9));
        assert_eq!(result.unwrap_err(), EnvelopeError::Suite);
        let input = SealInput {
            suite: other.key.suite(),
            kem_public: session.key.public(),
            session_id: session.session_id,
            message_id: session.message_id,
            transcript: &session.transcript,
            keys: &session.keys,
        };
        assert_eq!(seal(&input, PLAINTEXT, &mut rng(2)).unwrap_err(), EnvelopeError::Suite);
    }
}

#[test]
fn unknown_versions_and_suites_are_refused() {
    let session = Session::new(Suite::P256, 1);
    let bytes = session.seal(PLAINTEXT, 2).unwrap();
    for (at, value, expected) in [
        (0, 0, EnvelopeError::Version),
        (0, 2, EnvelopeError::Version),
        (1, 0, EnvelopeError::Suite),
        (1, 3, EnvelopeError::Suite),
    ] {
        let mut wrong = bytes.clone();
        wrong[at] = value;
        session.resign(&mut wrong);
        assert_eq!(session.open(&wrong).unwrap_err(), expected);
    }
}

#[test]
fn the_size_limit_is_exact() {
    let session = Session::new(Suite::P256, 1);
    let overhead = session.seal(&[], 2).unwrap().len();
    let longest = limits::BODY_MAX.default - overhead;
    let bytes = session.seal(&vec![0; longest], 2).unwrap();
    assert_eq!(bytes.len(), 65_536);
    assert_eq!(session.open(&bytes).unwrap().len(), longest);
    assert_eq!(session.seal(&vec![0; longest + 1], 2).unwrap_err(), EnvelopeError::TooLarge);
    assert_eq!(Envelope::parse(&[0; 65_537]).unwrap_err(), EnvelopeError::TooLarge);
    assert_eq!(Envelope::parse(&[0; 65_536]).unwrap_err(), EnvelopeError::Malformed);
}

#[test]
fn a_point_off_the_curve_as_enc_does_not_open() {
    let session = Session::new(Suite::P256, 1);
    let bytes = session.seal(PLAINTEXT, 2).unwrap();
    for enc in [[0; 65], [4; 65], [0xff; 65]] {
        let mut wrong = bytes.clone();
        wrong[HEADER_LEN + 4..][..65].copy_from_slice(&enc);
        session.resign(&mut wrong);
        assert_eq!(session.open(&wrong).unwrap_err(), EnvelopeError::Open);
    }
}

#[test]
fn errors_have_codes() {
    for (error, code) in [
        (EnvelopeError::TooLarge, ErrorCode::RequestTooLarge),
        (EnvelopeError::Malformed, ErrorCode::EnvelopeMalformed),
        (EnvelopeError::Version, ErrorCode::EnvelopeMalformed),
        (EnvelopeError::Suite, ErrorCode::SuiteUnsupported),
        (EnvelopeError::Mac, ErrorCode::EnvelopeMacInvalid),
        (EnvelopeError::Open, ErrorCode::EnvelopeOpenFailed),
        (EnvelopeError::Evidence, ErrorCode::Internal),
        (EnvelopeError::Seal, ErrorCode::Internal),
    ] {
        assert_eq!(error.code(), code);
    }
}

proptest! {
    #[test]
    fn parsing_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn parsing_a_plausible_header_never_panics(
        suite in 0_u8..4,
        enc_len in any::<u32>(),
        tail in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut bytes = vec![1, suite];
        bytes.extend_from_slice(&[0; 32]);
        bytes.extend_from_slice(&enc_len.to_be_bytes());
        bytes.extend_from_slice(&tail);
        let _ = Envelope::parse(&bytes);
    }
}
