use alloc::format;
use alloc::vec;

use super::*;
use crate::testing::rng;

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", SecretBytes::new(vec![0xab; 3])), "[secret]");
    assert_eq!(format!("{:?}", Secret32::from_bytes([0xab; 32])), "[secret]");
}

#[test]
fn bytes_compare_by_content() {
    let a = SecretBytes::copy_from(b"abc");
    assert!(a.ct_eq(&a.clone()));
    assert!(!a.ct_eq(&SecretBytes::copy_from(b"abd")));
    assert!(!a.ct_eq(&SecretBytes::copy_from(b"ab")));
    assert_eq!((a.len(), a.is_empty()), (3, false));
}

#[test]
fn secret32_takes_exactly_32_bytes() {
    assert!(Secret32::from_slice(&[1; 31]).is_none());
    assert!(Secret32::from_slice(&[1; 33]).is_none());
    let secret = Secret32::from_slice(&[1; 32]).unwrap();
    assert_eq!(secret.expose(), &[1; 32]);
    assert!(secret.ct_eq(&Secret32::from_bytes([1; 32])));
}

#[test]
fn generated_secrets_differ() {
    let mut rng = rng(1);
    assert!(!Secret32::generate(&mut rng).ct_eq(&Secret32::generate(&mut rng)));
}
