use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::root::RootSecret;
use crate::testing::rng;

struct Owned {
    window_id: WindowId,
    port: u16,
    nonce: [u8; 16],
    thumbprint16: [u8; 16],
    device_id: DeviceId,
    serial: DeviceSerial,
    ip: DeviceAddress,
    code: PairingCode,
    expires_at: UnixTime,
}

impl Owned {
    fn new() -> Self {
        Self {
            window_id: WindowId::from_bytes([1; 16]),
            port: 8443,
            nonce: [2; 16],
            thumbprint16: [3; 16],
            device_id: DeviceId::parse("MON-1").unwrap(),
            serial: DeviceSerial::parse("SN-1").unwrap(),
            ip: DeviceAddress::parse("10.0.0.7").unwrap(),
            code: PairingCode::parse_any("ABC-123-XYZ").unwrap(),
            expires_at: UnixTime::parse("2026-11-23T12:00:00Z").unwrap(),
        }
    }

    fn inputs(&self) -> TokenInputs<'_> {
        TokenInputs {
            window_id: &self.window_id,
            port: self.port,
            nonce: &self.nonce,
            thumbprint16: &self.thumbprint16,
            device_id: &self.device_id,
            serial: &self.serial,
            ip: &self.ip,
            code: &self.code,
            expires_at: self.expires_at,
        }
    }
}

fn key(seed: u8) -> TokenKey {
    RootSecret::generate(&mut rng(seed)).token_key()
}

fn token() -> PairingToken {
    PairingToken::mint(&key(1), &Owned::new().inputs()).unwrap()
}

#[test]
fn the_layout_is_version_port_nonce_thumbprint_mac() {
    let token = token();
    let bytes = token.as_bytes();
    assert_eq!(bytes[0], 1);
    assert_eq!(bytes[1..3], 8443_u16.to_be_bytes());
    assert_eq!(bytes[3..19], [2; 16]);
    assert_eq!(bytes[19..35], [3; 16]);
    assert_eq!((token.port(), token.thumbprint16()), (8443, [3; 16]));
    assert_eq!(format!("{token:?}"), "[secret]");
}

#[test]
fn the_text_has_68_characters_and_reads_back() {
    let token = token();
    let text = token.to_base64url();
    assert_eq!(text.len(), PairingToken::TEXT_LEN);
    let again = PairingToken::parse_base64url(&text).unwrap();
    assert!(again.ct_eq(&token));
    assert_eq!(again.id(), token.id());
}

#[test]
fn a_token_verifies_for_its_inputs_only() {
    let token = token();
    let verify = |change: fn(&mut Owned)| {
        let mut owned = Owned::new();
        change(&mut owned);
        token.verify(&key(1), &owned.inputs())
    };
    assert_eq!(verify(|_| ()), Ok(()));
    let changes: [fn(&mut Owned); 9] = [
        |o| o.window_id = WindowId::from_bytes([9; 16]),
        |o| o.port = 8444,
        |o| o.nonce[0] ^= 1,
        |o| o.thumbprint16[15] ^= 1,
        |o| o.device_id = DeviceId::parse("MON-2").unwrap(),
        |o| o.serial = DeviceSerial::parse("SN-2").unwrap(),
        |o| o.ip = DeviceAddress::parse("10.0.0.8").unwrap(),
        |o| o.code = PairingCode::parse_any("7K3-M9P-Q2M").unwrap(),
        |o| o.expires_at = UnixTime::parse("2026-11-23T12:00:01Z").unwrap(),
    ];
    for change in changes {
        assert_eq!(verify(change), Err(TokenError::Mac));
    }
    assert_eq!(token.verify(&key(2), &Owned::new().inputs()), Err(TokenError::Mac));
}

#[test]
fn length_prefixes_keep_neighbours_apart() {
    let mut a = Owned::new();
    let mut b = Owned::new();
    a.device_id = DeviceId::parse("MON-1S").unwrap();
    a.serial = DeviceSerial::parse("N-1").unwrap();
    b.device_id = DeviceId::parse("MON-1").unwrap();
    b.serial = DeviceSerial::parse("SN-1").unwrap();
    let mint = |owned: &Owned| PairingToken::mint(&key(1), &owned.inputs()).unwrap();
    assert!(!mint(&a).ct_eq(&mint(&b)));
}

#[test]
fn every_flipped_bit_makes_another_token() {
    let token = token();
    for bit in 0..PairingToken::LEN * 8 {
        let mut bytes = *token.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = PairingToken::parse(&bytes) {
            assert!(!other.ct_eq(&token));
            assert_ne!(other.id(), token.id());
            assert_eq!(other.verify(&key(1), &Owned::new().inputs()), Err(TokenError::Mac));
        } else {
            assert!(bit < 8, "only the version byte makes a token unreadable");
        }
    }
}

#[test]
fn malformed_tokens_are_refused() {
    let bytes = *token().as_bytes();
    for length in (0..PairingToken::LEN).chain([52, 64]) {
        let mut cut: Vec<u8> = bytes.to_vec();
        cut.resize(length, 0);
        assert_eq!(PairingToken::parse(&cut).unwrap_err(), TokenError::Length);
    }
    let mut version = bytes;
    version[0] = 2;
    assert_eq!(PairingToken::parse(&version).unwrap_err(), TokenError::Version);
    let mut port = bytes;
    port[1] = 0;
    port[2] = 0;
    assert_eq!(PairingToken::parse(&port).unwrap_err(), TokenError::Port);
    let mut owned = Owned::new();
    owned.port = 0;
    assert_eq!(PairingToken::mint(&key(1), &owned.inputs()).unwrap_err(), TokenError::Port);
    assert_eq!(TokenError::Port.code(), ErrorCode::PairingTokenMalformed);
    assert_eq!(TokenError::Mac.code(), ErrorCode::PairingTokenInvalid);
}

#[test]
fn malformed_texts_are_refused() {
    let text = token().to_base64url();
    for bad in [
        "",
        &text[..67],
        &format!("{}A", &*text),
        &format!("{}=", &text[..67]),
        &format!("{}+", &text[..67]),
        &format!("{}/", &text[..67]),
        &format!(" {}", &text[..67]),
        &format!("{}\u{e9}", &text[..66]),
    ] {
        assert_eq!(PairingToken::parse_base64url(bad).unwrap_err(), TokenError::Encoding, "{bad}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics_and_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(token) = PairingToken::parse(&bytes) {
            prop_assert_eq!(&token.as_bytes()[..], &bytes[..]);
            let again = PairingToken::parse_base64url(&token.to_base64url()).unwrap();
            prop_assert!(again.ct_eq(&token));
        }
    }

    #[test]
    fn parsing_any_text_never_panics(text in ".{0,80}") {
        let _unused = PairingToken::parse_base64url(&text);
    }
}
