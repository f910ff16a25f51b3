//! The station's machine past authentication: whatever a device that it has dialled may sign.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the test bed serves more than this")]

#[path = "../../crates/protocol/tests/common/mod.rs"]
mod common;

use common::liar;
use libfuzzer_sys::fuzz_target;
use zmon_crypto::jws::{Typ, sign};
use zmon_fuzz::choice;
use zmon_protocol::station::{SessionInput, SessionPhase};
use zmon_wire::strict;

fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = choice(data, 3) else { return };
    let (mut pair, liar) = liar::dialling();
    let now = pair.now();
    let payload = match which {
        // An identity document of any content.
        0 => body.to_vec(),
        // An honest one with one member of another value.
        1 => {
            let honest = strict::to_vec(&liar.document).expect("JSON");
            let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&honest) else {
                return;
            };
            let members = value.as_object().map_or(1, |object| object.len());
            let Some((member, text)) = choice(body, members) else { return };
            let Ok(other) = serde_json::from_slice(text) else { return };
            let Some(slot) = value.as_object_mut().and_then(|o| o.values_mut().nth(member)) else {
                return;
            };
            *slot = other;
            value.to_string().into_bytes()
        }
        // Nothing that was signed.
        _ => {
            drop(pair.station.input(&now, SessionInput::Identity(body.to_vec())));
            let phase = pair.phase();
            assert_eq!(phase, SessionPhase::Failed, "nobody has signed this");
            return;
        }
    };
    let signed =
        sign(Typ::Identity, None, &payload, &liar.key, &mut pair.device.rng).expect("signed");
    drop(pair.station.input(&now, SessionInput::Identity(signed.into_bytes())));
    assert!(pair.station.certificates.len() <= 1, "one at most");
});
