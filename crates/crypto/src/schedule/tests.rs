use alloc::format;

use super::*;

const HELLO: &[u8] = b"hello.jws.bytes";
const IKM: [u8; 51] = [9; 51];

#[test]
fn the_right_mac_claims_the_code() {
    let prk = Prk::from_hello(HELLO, &IKM);
    assert!(prk.verify_claim(HELLO, &prk.claim_mac(HELLO)).is_ok());
}

#[test]
fn every_flipped_bit_of_a_claim_is_refused() {
    let prk = Prk::from_hello(HELLO, &IKM);
    let mac = prk.claim_mac(HELLO);
    for bit in 0..256 {
        let mut wrong = mac;
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(prk.verify_claim(HELLO, &wrong).unwrap_err(), ClaimError);
    }
    assert_eq!(ClaimError.code(), ErrorCode::ClaimMacInvalid);
}

#[test]
fn a_claim_belongs_to_its_hello_and_token() {
    let mac = Prk::from_hello(HELLO, &IKM).claim_mac(HELLO);
    assert!(Prk::from_hello(b"other", &IKM).verify_claim(b"other", &mac).is_err());
    assert!(Prk::from_hello(HELLO, &[8; 51]).verify_claim(HELLO, &mac).is_err());
}

#[test]
fn an_unknown_session_is_refused_even_with_a_mac_under_the_dummy_key() {
    let mac = Prk::from_hello(HELLO, &[0; PairingToken::LEN]).claim_mac(HELLO);
    assert_eq!(refuse_claim(HELLO, &mac), ClaimError);
}

#[test]
fn session_keys_differ_from_each_other_and_by_transcript() {
    let prk = Prk::from_hello(HELLO, &IKM);
    let keys = prk.session(&transcript(HELLO, b"identity"));
    assert!(!keys.mac().ct_eq(keys.psk()) && !keys.psk().ct_eq(keys.key()));
    assert!(!keys.mac().ct_eq(keys.key()));
    let other = prk.session(&transcript(HELLO, b"identitz"));
    assert!(!keys.mac().ct_eq(other.mac()) && !keys.psk().ct_eq(other.psk()));
    assert_eq!(format!("{prk:?}{keys:?}"), "[secret][secret]");
}

#[test]
fn the_transcript_separates_its_parts() {
    assert_ne!(transcript(b"ab", b"c"), transcript(b"a", b"bc"));
    assert_ne!(transcript(b"", b"abc"), transcript(b"abc", b""));
    let t = transcript(b"a", b"b");
    assert_eq!(Transcript::from_bytes(*t.as_bytes()), t);
    assert_eq!(format!("{:?}", Transcript::from_bytes([0xab; 32])).len(), 12 + 64);
}

#[test]
fn words_are_the_first_44_bits() {
    let keys = SessionKeys {
        mac: Secret32::zeroed(),
        psk: Secret32::zeroed(),
        key: Secret32::zeroed(),
        blink: Secret32::zeroed(),
        // 00000000001 00000000010 00000000011 11111111111 0000
        words: [0x00, 0x20, 0x08, 0x01, 0xff, 0xf0],
    };
    assert_eq!(keys.word_indices(), [1, 2, 3, 2047]);
    assert_eq!(keys.words(), ["ability", "able", "about", "zoo"]);
}

#[test]
fn a_blink_is_of_one_session_and_number() {
    let keys = Prk::from_hello(HELLO, &IKM).session(&transcript(HELLO, b"identity"));
    let (session, one) = (SessionId::from_bytes([3; 16]), NonZeroU32::MIN);
    let mac = keys.blink_mac(session, one);
    assert_eq!(keys.verify_blink(session, one, &mac), Ok(()));
    for bit in 0..256 {
        let mut wrong = mac;
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(keys.verify_blink(session, one, &wrong), Err(BlinkError));
    }
    let two = NonZeroU32::new(2).unwrap();
    assert_eq!(keys.verify_blink(session, two, &mac), Err(BlinkError));
    let other = SessionId::from_bytes([4; 16]);
    assert_eq!(keys.verify_blink(other, one, &mac), Err(BlinkError));
    let another = Prk::from_hello(HELLO, &IKM).session(&transcript(HELLO, b"identitz"));
    assert_eq!(another.verify_blink(session, one, &mac), Err(BlinkError));
    assert_eq!(BlinkError.code(), ErrorCode::BlinkRefused);
}
