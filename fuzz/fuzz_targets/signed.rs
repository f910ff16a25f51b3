//! Signed objects (RFC 7515) and tokens: none that was not signed here is ever taken.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::pake::Share;
use zmon_crypto::token::PairingToken;
use zmon_crypto::{Algorithms, IdentityKey, IdentityPublic, SoftIdentity, Suite};

fuzz_target!(|data: &[u8]| {
    static KEY: OnceLock<IdentityPublic> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let key = SoftIdentity::generate(Suite::P256, &mut ChaCha20Rng::seed_from_u64(1));
        key.expect("a key").public().clone()
    });
    if let Ok(jws) = Unverified::parse(data) {
        let _ = (jws.claimed_typ(), jws.has_x5c(), jws.payload_unverified().len());
        if let Ok(chain) = jws.x5c() {
            assert!(chain.iter().count() > 0);
        }
        let verified = jws.verify_with(Typ::Hello, key, &Algorithms::rustcrypto());
        assert!(verified.is_err(), "nobody has signed this");
    }
    if let Ok(token) = PairingToken::parse(data) {
        assert_eq!(token.as_bytes().as_slice(), data);
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = PairingToken::parse_base64url(text);
    }
    if let Ok(share) = data.try_into()
        && let Ok(share) = Share::parse(share)
    {
        assert_eq!(share.as_bytes().as_slice(), data);
    }
});
