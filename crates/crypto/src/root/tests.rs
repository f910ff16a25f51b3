use alloc::format;

use super::*;
use crate::testing::rng;

#[test]
fn every_label_gives_its_own_key() {
    let root = RootSecret::generate(&mut rng(1));
    let keys = labels::ROOT.map(|label| root.derive(label));
    // A label that is not in the list would be in no test and in no vector.
    let of_root = include_str!("../labels.rs").matches("/// Root secret →").count();
    assert_eq!(keys.len(), of_root);
    for (i, a) in keys.iter().enumerate() {
        for b in keys.iter().skip(i + 1) {
            assert!(!a.ct_eq(b));
        }
    }
    for (key, label) in [
        (root.token_key().0, labels::TOKEN),
        (root.code_hash_key().0, labels::CODE_HASH),
        (root.pin_pepper(), labels::PIN),
        (root.slot_key(), labels::SLOT),
        (root.identity_sealing_key(), labels::IDENTITY),
    ] {
        assert!(key.ct_eq(&root.derive(label)));
    }
    let copy = RootSecret::from_secret(root.as_secret().clone());
    assert!(copy.token_key().0.ct_eq(&root.token_key().0));
    assert!(TokenKey::from_secret(root.derive(labels::TOKEN)).0.ct_eq(&root.token_key().0));
    assert!(
        CodeHashKey::from_secret(root.derive(labels::CODE_HASH)).0.ct_eq(&root.code_hash_key().0)
    );
    assert_eq!(
        format!("{root:?}{:?}{:?}", root.token_key(), root.code_hash_key()),
        "[secret]TokenKey([secret])CodeHashKey([secret])"
    );
}

#[test]
fn code_hash_depends_on_code_and_key_not_on_spelling() {
    let key = RootSecret::generate(&mut rng(1)).code_hash_key();
    let other = RootSecret::generate(&mut rng(2)).code_hash_key();
    let code = |text| PairingCode::parse_any(text).unwrap();
    assert_eq!(code_hash(&key, &code("ABC-123-XYZ")), code_hash(&key, &code("abc123xyz")));
    assert_ne!(code_hash(&key, &code("ABC-123-XYZ")), code_hash(&key, &code("7K3-M9P-Q2M")));
    assert_ne!(code_hash(&key, &code("ABC-123-XYZ")), code_hash(&other, &code("ABC-123-XYZ")));
}
