//! The device's machine past authentication: whatever a station that is believed may sign and seal.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the test bed serves more than this")]

#[path = "../../crates/protocol/tests/common/mod.rs"]
mod common;

use common::{Forge, Pair, forge};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use zmon_crypto::jws::Typ;
use zmon_domain::state::ProvisioningState;
use zmon_fuzz::choice;
use zmon_protocol::device::DeviceInput;
use zmon_wire::strict;

/// What a station decides, whatever it decides.
const FREE: [&str; 6] =
    ["syncInterval", "bedId", "deviceLabel", "measurementUnit", "language", "serverUrl"];

fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = choice(data, 6) else { return };
    let mut pair = Pair::new(1);
    pair.enter();
    if go(&mut pair, which, body) {
        return;
    }
    let state = pair.device.machine.state();
    assert_ne!(state, ProvisioningState::Provisioned, "by what no station has made");
});

/// Does it; whether the device may be provisioned by it.
fn go(pair: &mut Pair, which: usize, body: &[u8]) -> bool {
    match which {
        // A hello, rightly signed, and its claim.
        0 => {
            let hello = forge::sign(pair, Typ::Hello, None, body);
            let token = forge::token(pair);
            let claim_mac =
                zmon_crypto::schedule::Prk::from_token(&hello, &token).claim_mac(&hello);
            drop(forge::open(pair, hello, claim_mac));
        }
        // A configuration, rightly signed and sealed.
        1 => {
            let session = Forge::claim(pair);
            let signed = forge::sign(pair, Typ::Config, None, body);
            let envelope = session.seal(pair, &signed);
            drop(session.deliver(pair, envelope));
        }
        // Anything, rightly sealed.
        2 => {
            let session = Forge::claim(pair);
            let envelope = session.seal(pair, body);
            drop(session.deliver(pair, envelope));
        }
        // An envelope.
        3 => {
            drop(Forge::claim(pair));
            drop(pair.tell(DeviceInput::Configuration { envelope: body.to_vec() }));
        }
        // An honest configuration with one member of another value; some a station may choose.
        4 => {
            let session = Forge::claim(pair);
            let document = session.document(pair);
            let payload = strict::to_vec(&document).expect("JSON");
            let Ok(mut value) = serde_json::from_slice::<Value>(&payload) else { return false };
            let Some(members) = value.as_object_mut() else { return false };
            let Some((member, text)) = choice(body, members.len()) else { return false };
            let Ok(other) = serde_json::from_slice::<Value>(text) else { return false };
            let Some((name, slot)) = members.iter_mut().nth(member) else { return false };
            let free = FREE.contains(&name.as_str()) || *slot == other;
            *slot = other;
            let signed = forge::sign(pair, Typ::Config, None, value.to_string().as_bytes());
            let envelope = session.seal(pair, &signed);
            drop(session.deliver(pair, envelope));
            return free;
        }
        // A run of a typed code.
        _ => {
            let hello = forge::sign(pair, Typ::Hello, None, body);
            drop(pair.tell(DeviceInput::PakeStart { hello, share_p: [4; 65] }));
        }
    }
    false
}
