use super::*;

/// RFC 5869, appendix A.1.
#[test]
fn hkdf_matches_rfc_5869() {
    let salt = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let prk = extract(&salt, &[0x0b; 22]);
    assert_eq!(
        prk.expose()[..8],
        [0x07, 0x77, 0x09, 0x36, 0x2c, 0x2e, 0x32, 0xdf],
        "PRK of test case 1"
    );
    let info = [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9];
    let mut okm = [0; 42];
    expand_into(&prk, &[&info[..4], &info[4..]], &mut okm);
    assert_eq!(okm[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
    assert_eq!(okm[32..], [0x34, 0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65]);
    assert_eq!(expand(&prk, &[&info]).expose()[..], okm[..32]);
}

#[test]
fn hmac_matches_a_plain_hmac_and_rejects_changes() {
    let key = Secret32::from_bytes([7; 32]);
    let mut reference = Hmac::<Sha256>::new_from_slice(key.expose()).unwrap();
    reference.update(b"ab");
    reference.update(b"c");
    let expected: [u8; 32] = reference.finalize().into_bytes().into();
    assert_eq!(hmac(&key, &[b"a", b"bc"]), expected);
    assert!(hmac_matches(&key, &[b"abc"], &expected));
    assert!(!hmac_matches(&key, &[b"abd"], &expected));
    assert!(!hmac_matches(&Secret32::from_bytes([8; 32]), &[b"abc"], &expected));
    assert!(!hmac_matches(&key, &[b"abc"], &[]));
}
