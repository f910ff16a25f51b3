use alloc::format;
use alloc::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::algorithms::Algorithms;
use crate::identity::{SoftIdentity, Suite};
use crate::testing::{rng, suites};

const PAYLOAD: &[u8] = br#"{"v":1}"#;

fn key(suite: Suite, seed: u8) -> SoftIdentity {
    SoftIdentity::generate(suite, &mut rng(seed)).unwrap()
}

fn chain() -> [CertificateDer<'static>; 1] {
    [CertificateDer::from(b"not parsed here".as_slice())]
}

fn x5c_for(typ: Typ) -> bool {
    typ == Typ::Hello
}

fn signed(typ: Typ, key: &SoftIdentity) -> String {
    let chain = chain();
    let x5c = x5c_for(typ).then_some(&chain[..]);
    sign(typ, x5c, PAYLOAD, key, &mut rng(50)).unwrap()
}

fn verify(jws: &str, typ: Typ, key: &SoftIdentity) -> Result<Verified, JwsError> {
    Unverified::parse(jws.as_bytes())?.verify_with(typ, key.public(), &Algorithms::rustcrypto())
}

/// A JWS with this header text, signed rightly over it.
fn with_header(header: &str, key: &SoftIdentity) -> String {
    let mut out = Base64UrlUnpadded::encode_string(header.as_bytes());
    out.push('.');
    out.push_str(&Base64UrlUnpadded::encode_string(PAYLOAD));
    let signature = key.sign(out.as_bytes(), &mut rng(51)).unwrap();
    out.push('.');
    out + &Base64UrlUnpadded::encode_string(&signature)
}

#[test]
fn every_type_round_trips_in_every_suite() {
    for suite in suites() {
        let key = key(suite, 1);
        for typ in Typ::ALL {
            let jws = signed(typ, &key);
            let unverified = Unverified::parse(jws.as_bytes()).unwrap();
            assert_eq!(unverified.claimed_typ(), Some(typ));
            assert_eq!(unverified.payload_unverified(), PAYLOAD);
            assert_eq!(unverified.has_x5c(), x5c_for(typ));
            let verified = verify(&jws, typ, &key).unwrap();
            assert_eq!((verified.typ(), verified.payload()), (typ, PAYLOAD));
            assert_eq!(Some(verified.signature_part()), jws.rsplit('.').next());
            let _ = verified.proof();
            assert_eq!(verified.into_payload().as_slice(), PAYLOAD);
        }
    }
}

#[test]
fn the_type_matrix_passes_on_its_diagonal_only() {
    let key = key(Suite::P256, 1);
    for made in Typ::ALL {
        let jws = signed(made, &key);
        for asked in Typ::ALL {
            match verify(&jws, asked, &key) {
                Ok(_) => assert_eq!(made, asked),
                Err(error) => {
                    assert_ne!(made, asked);
                    assert_eq!(error, JwsError::Typ);
                }
            }
        }
    }
}

/// Every algorithm a message can name against every key on record (T11).
#[test]
fn the_algorithm_matrix_passes_on_its_diagonal_only() {
    let offered = [
        "ES256", "PS256", "none", "None", "HS256", "RS256", "ES384", "PS384", "EdDSA", "ES256K",
        "es256", "",
    ];
    for suite in suites() {
        let recorded = key(suite, 1);
        for alg in offered {
            for signer in suites() {
                let header = format!(r#"{{"alg":"{alg}","typ":"zp-status+jws"}}"#);
                let signing_key = key(signer, 1);
                let result = verify(&with_header(&header, &signing_key), Typ::Status, &recorded);
                if alg == suite.jws_alg() && signer == suite {
                    assert!(result.is_ok(), "{alg}");
                } else if alg == suite.jws_alg() {
                    assert_eq!(result.unwrap_err(), JwsError::Signature, "{alg} by {signer:?}");
                } else {
                    assert_eq!(result.unwrap_err(), JwsError::Algorithm, "{alg}");
                }
            }
        }
    }
}

#[test]
fn hmac_with_the_public_key_as_secret_is_refused() {
    let key = key(Suite::P256, 1);
    let mut jws = Base64UrlUnpadded::encode_string(br#"{"alg":"HS256","typ":"zp-status+jws"}"#);
    jws.push('.');
    jws.push_str(&Base64UrlUnpadded::encode_string(PAYLOAD));
    let mut secret = crate::Secret32::zeroed();
    secret.expose_mut().copy_from_slice(&key.public().spki_der()[..32]);
    let tag = crate::kdf::hmac(&secret, &[jws.as_bytes()]);
    jws.push('.');
    jws.push_str(&Base64UrlUnpadded::encode_string(&tag));
    assert_eq!(verify(&jws, Typ::Status, &key).unwrap_err(), JwsError::Algorithm);
}

/// T10: a signature is accepted under the recorded key only, whatever key it brings along.
#[test]
fn another_key_is_refused() {
    for suite in suites() {
        let jws = signed(Typ::Status, &key(suite, 1));
        assert_eq!(verify(&jws, Typ::Status, &key(suite, 2)).unwrap_err(), JwsError::Signature);
    }
}

#[test]
fn unknown_and_repeated_header_members_are_refused() {
    let key = key(Suite::P256, 1);
    for header in [
        r#"{"alg":"ES256","typ":"zp-status+jws","crit":["exp"],"exp":1}"#,
        r#"{"alg":"ES256","typ":"zp-status+jws","b64":false}"#,
        r#"{"alg":"ES256","typ":"zp-status+jws","jwk":{}}"#,
        r#"{"alg":"ES256","typ":"zp-status+jws","jku":"https://x"}"#,
        r#"{"alg":"ES256","typ":"zp-status+jws","kid":"1"}"#,
        r#"{"alg":"ES256","typ":"zp-status+jws","typ":"zp-status+jws"}"#,
        r#"{"alg":"ES256","alg":"none","typ":"zp-status+jws"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"typ":"zp-status+jws"}"#,
        r#"{"alg":["ES256"],"typ":"zp-status+jws"}"#,
        r#"[]"#,
        r#""#,
        r#"{"alg":"ES256","typ":"zp-status+jws"} x"#,
    ] {
        assert_eq!(
            verify(&with_header(header, &key), Typ::Status, &key).unwrap_err(),
            JwsError::Header,
            "{header}"
        );
    }
}

#[test]
fn near_misses_of_the_type_are_refused() {
    let key = key(Suite::P256, 1);
    for typ in ["zp-status", "ZP-STATUS+JWS", "application/zp-status+jws", "zp-status+jws ", "JWT"]
    {
        let header = format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#);
        let jws = with_header(&header, &key);
        assert_eq!(verify(&jws, Typ::Status, &key).unwrap_err(), JwsError::Typ, "{typ}");
        assert_eq!(Unverified::parse(jws.as_bytes()).unwrap().claimed_typ(), None);
    }
}

#[test]
fn chains_stand_where_they_belong() {
    let key = key(Suite::P256, 1);
    let chain = chain();
    for typ in Typ::ALL {
        let with = sign(typ, Some(&chain), PAYLOAD, &key, &mut rng(1)).map(|_| ());
        let without = sign(typ, None, PAYLOAD, &key, &mut rng(1)).map(|_| ());
        let expected = match (typ, typ.signer()) {
            (Typ::Hello, _) => (Ok(()), Err(JwsError::Chain)),
            (_, Signer::Station) => (Ok(()), Ok(())),
            (_, Signer::Identity) => (Err(JwsError::Chain), Ok(())),
        };
        assert_eq!((with, without), expected, "{typ:?}");
    }
    let empty = sign(Typ::Config, Some(&[]), PAYLOAD, &key, &mut rng(1));
    assert_eq!(empty.unwrap_err(), JwsError::Chain);
    // The same on the verifier's side, for headers no honest signer makes.
    for (header, typ) in [
        (r#"{"alg":"ES256","typ":"zp-hello+jws"}"#, Typ::Hello),
        (r#"{"alg":"ES256","typ":"zp-ask+jws","x5c":["AAAA"]}"#, Typ::Ask),
    ] {
        let result = verify(&with_header(header, &key), typ, &key);
        assert_eq!(result.unwrap_err(), JwsError::Chain);
    }
}

#[test]
fn the_header_chain_is_read_as_der() {
    let key = key(Suite::P256, 1);
    let jws = signed(Typ::Hello, &key);
    let read = Unverified::parse(jws.as_bytes()).unwrap().x5c().unwrap();
    assert_eq!(read.leaf(), &chain()[0]);
    let jws = signed(Typ::Status, &key);
    assert_eq!(Unverified::parse(jws.as_bytes()).unwrap().x5c().unwrap_err(), JwsError::Chain);
    let header = r#"{"alg":"ES256","typ":"zp-hello+jws","x5c":["*"]}"#;
    let jws = with_header(header, &key);
    let refused = Unverified::parse(jws.as_bytes());
    assert_eq!(refused.err(), Some(JwsError::Header), "another alphabet is no header");
    for x5c in [r#"[]"#, r#"["AAA"]"#] {
        let header = format!(r#"{{"alg":"ES256","typ":"zp-hello+jws","x5c":{x5c}}}"#);
        let jws = with_header(&header, &key);
        assert_eq!(
            Unverified::parse(jws.as_bytes()).unwrap().x5c().unwrap_err(),
            JwsError::Chain,
            "{x5c}"
        );
    }
}

#[test]
fn every_flipped_character_is_refused() {
    for suite in suites() {
        let key = key(suite, 1);
        let jws = signed(Typ::Status, &key);
        for i in 0..jws.len() {
            let mut wrong = jws.clone().into_bytes();
            wrong[i] = if wrong[i] == b'A' { b'B' } else { b'A' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(verify(&wrong, Typ::Status, &key).is_err(), "character {i}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let key = key(Suite::P256, 1);
    let jws = signed(Typ::Status, &key);
    for length in 0..jws.len() {
        assert!(verify(&jws[..length], Typ::Status, &key).is_err(), "length {length}");
    }
}

#[test]
fn other_spellings_of_the_same_bytes_are_refused() {
    let key = key(Suite::P256, 1);
    let jws = signed(Typ::Status, &key);
    for bad in [
        format!("{jws}="),
        format!("{jws}."),
        format!(".{jws}"),
        format!("{jws}.AAAA"),
        format!("{jws}\n"),
        format!(" {jws}"),
        jws.replacen('.', "..", 1),
    ] {
        assert!(verify(&bad, Typ::Status, &key).is_err(), "{bad}");
    }
    assert_eq!(Unverified::parse(b"\xff.a.b").unwrap_err(), JwsError::Malformed);
    assert_eq!(Unverified::parse(b"").unwrap_err(), JwsError::Malformed);
}

/// The last character of a 64-byte signature has four unused bits; none of the 15 other spellings
/// may pass.
#[test]
fn unused_bits_of_base64url_must_be_zero() {
    let key = key(Suite::P256, 1);
    let jws = signed(Typ::Status, &key);
    let last = jws.chars().last().unwrap();
    assert!("AQgw".contains(last), "four bits are unused");
    for c in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']) {
        if c != last {
            let twin = format!("{}{c}", &jws[..jws.len() - 1]);
            assert!(verify(&twin, Typ::Status, &key).is_err(), "{c}");
        }
    }
}

#[test]
fn es256_signatures_have_64_bytes() {
    let key = key(Suite::P256, 1);
    let jws = signed(Typ::Status, &key);
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let raw = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let der = crate::identity::es256_to_der(&raw).unwrap();
    for wrong in [&der[..], &raw[..63], &[&raw[..], &[0]].concat(), &[]] {
        let jws = format!("{signed}.{}", Base64UrlUnpadded::encode_string(wrong));
        assert_eq!(verify(&jws, Typ::Status, &key).unwrap_err(), JwsError::Signature);
    }
}

/// ECDSA is malleable: (r, n − s) verifies too. So a signature is never an identifier.
#[test]
fn malleated_signatures_verify_and_show_why_they_are_no_ids() {
    let key = key(Suite::P256, 1);
    let jws = signed(Typ::Status, &key);
    let (body, signature) = jws.rsplit_once('.').unwrap();
    let raw = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let (r, s) = p256::ecdsa::Signature::from_slice(&raw).unwrap().split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(r, -*s).unwrap().to_bytes();
    let twin = format!("{body}.{}", Base64UrlUnpadded::encode_string(&twin));
    assert_ne!(twin, jws);
    assert!(verify(&twin, Typ::Status, &key).is_ok());
}

#[test]
fn the_size_limit_holds_both_ways() {
    let key = key(Suite::P256, 1);
    let long = alloc::vec![b'x'; 49_200];
    let error = sign(Typ::Status, None, &long, &key, &mut rng(1)).unwrap_err();
    assert_eq!(error, JwsError::TooLarge);
    assert_eq!(Unverified::parse(&[b'A'; 65_537]).unwrap_err(), JwsError::TooLarge);
}

#[cfg(feature = "rsa")]
#[test]
fn a_missing_algorithm_is_unsupported() {
    let key = key(Suite::Rsa2048, 1);
    let jws = signed(Typ::Status, &key);
    let without = Algorithms::new(crate::algorithms::ECDSA_P256_SHA256, None, &[]);
    let result =
        Unverified::parse(jws.as_bytes()).unwrap().verify_with(Typ::Status, key.public(), &without);
    assert_eq!(result.unwrap_err(), JwsError::Unsupported);
}

#[test]
fn a_failing_key_module_is_reported() {
    struct Broken(SoftIdentity);
    impl IdentityKey for Broken {
        fn public(&self) -> &crate::IdentityPublic {
            self.0.public()
        }
        fn sign(&self, _: &[u8], _: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
            Err(KeyError::Signing)
        }
    }
    let error =
        sign(Typ::Status, None, PAYLOAD, &Broken(key(Suite::P256, 1)), &mut rng(1)).unwrap_err();
    assert_eq!(error, JwsError::Signing);
}

#[test]
fn errors_have_codes() {
    for (error, code) in [
        (JwsError::TooLarge, ErrorCode::RequestTooLarge),
        (JwsError::Malformed, ErrorCode::JwsMalformed),
        (JwsError::Header, ErrorCode::JwsMalformed),
        (JwsError::Typ, ErrorCode::JwsMalformed),
        (JwsError::Chain, ErrorCode::JwsMalformed),
        (JwsError::Algorithm, ErrorCode::SignatureInvalid),
        (JwsError::Signature, ErrorCode::SignatureInvalid),
        (JwsError::Unsupported, ErrorCode::SuiteUnsupported),
        (JwsError::Signing, ErrorCode::KeyStoreUnavailable),
    ] {
        assert_eq!(error.code(), code);
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn parsing_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _unused = Unverified::parse(&bytes);
    }

    #[test]
    fn parsing_any_three_parts_never_panics(text in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
        let _unused = Unverified::parse(text.as_bytes());
    }
}
