use super::*;

#[test]
fn sha256_matches_fips_180_4() {
    assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    assert_eq!(sha256_parts(&[b"a", b"", b"bc"]), sha256(b"abc"));
}

#[test]
fn length_prefix_is_big_endian() {
    assert_eq!(length_prefix(&[0; 258]), [0, 0, 1, 2]);
}
