//! The device's machine past authentication: whatever a station that is believed may sign and seal.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the test bed serves more than this")]

#[path = "../../crates/protocol/tests/common/mod.rs"]
mod common;

use std::cell::RefCell;

use common::{Forge, Pair, forge};
use libfuzzer_sys::fuzz_target;
use zmon_crypto::jws::Typ;
use zmon_domain::state::ProvisioningState;
use zmon_fuzz::choice;
use zmon_protocol::device::DeviceInput;
use zmon_wire::strict;

thread_local! {
    /// A device that shows a code: made once, its machine put back for each input.
    static READY: RefCell<Option<Pair>> = const { RefCell::new(None) };
}

fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = choice(data, 6) else { return };
    READY.with_borrow_mut(|ready| {
        // One that has gone on is another device for the next input.
        let mut pair = ready.take().filter(showing).unwrap_or_else(fresh);
        go(&mut pair, which, body);
        let state = pair.device.machine.state();
        assert_ne!(state, ProvisioningState::Provisioned, "by what no station has made");
        *ready = Some(pair);
    });
});

fn fresh() -> Pair {
    let mut pair = Pair::new(1);
    pair.enter();
    pair
}

fn showing(pair: &Pair) -> bool {
    pair.device.audit.len() < 1_000 && pair.snapshot().qr.is_some()
}

fn go(pair: &mut Pair, which: usize, body: &[u8]) {
    match which {
        // A hello, rightly signed, and its claim.
        0 => {
            let hello = forge::sign(pair, Typ::Hello, None, body);
            let token = forge::token(pair);
            let claim_mac = zmon_crypto::schedule::Prk::from_token(&hello, &token).claim_mac(&hello);
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
        // An honest configuration with one member of another value.
        4 => {
            let session = Forge::claim(pair);
            let document = session.document(pair);
            let payload = strict::to_vec(&document).expect("JSON");
            let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&payload) else { return };
            let Some((member, text)) = choice(body, value.as_object().map_or(1, |o| o.len())) else { return };
            let Ok(other) = serde_json::from_slice::<serde_json::Value>(text) else { return };
            let Some(slot) = value.as_object_mut().and_then(|o| o.values_mut().nth(member)) else { return };
            if *slot == other {
                return;
            }
            *slot = other;
            let free = ["syncInterval", "bedId", "deviceLabel", "measurementUnit", "language", "serverUrl"];
            let name = value.as_object().and_then(|o| o.keys().nth(member).cloned()).unwrap_or_default();
            let signed = forge::sign(pair, Typ::Config, None, value.to_string().as_bytes());
            let envelope = session.seal(pair, &signed);
            let answer = session.deliver(pair, envelope);
            // What a station may choose, it may choose: such a device is provisioned, and not looked at again.
            if free.contains(&name.as_str()) || answer.is_err() {
                *pair = fresh();
            }
        }
        // A run of a typed code.
        _ => {
            let hello = forge::sign(pair, Typ::Hello, None, body);
            drop(pair.tell(DeviceInput::PakeStart { hello, share_p: [4; 65] }));
        }
    }
}
