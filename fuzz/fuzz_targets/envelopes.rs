//! Envelopes: none that was not sealed here has a right MAC.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use zmon_crypto::envelope::Envelope;
use zmon_crypto::schedule::{Prk, SessionKeys, transcript};

fuzz_target!(|data: &[u8]| {
    static KEYS: OnceLock<SessionKeys> = OnceLock::new();
    let keys =
        KEYS.get_or_init(|| Prk::from_hello(b"hello", &[7; 51]).session(&transcript(b"a", b"b")));
    if let Ok(envelope) = Envelope::parse(data) {
        let _ = (envelope.suite(), envelope.session_id(), envelope.message_id());
        assert!(envelope.verify_mac(keys).is_err(), "nobody has sealed this");
    }
});
