use super::*;
use crate::sha256;

#[test]
fn chain_hashes_the_documented_bytes() {
    let mut bytes = alloc::vec::Vec::new();
    bytes.extend_from_slice(b"zp1 audit");
    bytes.extend_from_slice(b"device:MON-1");
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2]);
    bytes.extend_from_slice(&GENESIS);
    bytes.extend_from_slice(&[0, 0, 0, 3]);
    bytes.extend_from_slice(b"row");
    assert_eq!(chain("device:MON-1", 258, &GENESIS, b"row"), sha256(&bytes));
}

#[test]
fn every_input_counts() {
    let base = chain("a", 1, &GENESIS, b"row");
    assert_ne!(base, chain("b", 1, &GENESIS, b"row"));
    assert_ne!(base, chain("a", 2, &GENESIS, b"row"));
    assert_ne!(base, chain("a", 1, &[1; 32], b"row"));
    assert_ne!(base, chain("a", 1, &GENESIS, b"ro"));
}
