//! One run of the typed code as a JSON value.

use std::path::PathBuf;

use rand_core::Rng;
use serde_json::{Value, json};
use zmon_crypto::labels;
use zmon_crypto::pake::{PakeInputs, Prover, ROUNDS, Verifier};
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{DeviceId, StationId, WindowId};

use super::build::hex;
use crate::support::rng;

pub fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/typed-code.json")
}

/// The random scalars are the first 64 bytes of seeded generators; the rest follows from the inputs.
pub fn run() -> Value {
    let code = PairingCode::parse_any("ABC-123-XYZ").unwrap();
    let window_id = WindowId::from_bytes(core::array::from_fn(|n| u8::try_from(n).unwrap()));
    let (station_id, device_id) =
        (StationId::parse("CS-1").unwrap(), DeviceId::parse("MON-1").unwrap());
    let hello = "eyJhbGciOiJFUzI1NiJ9.aGVsbG8.c2ln";
    let inputs = PakeInputs {
        code: &code,
        window_id: &window_id,
        hello: hello.as_bytes(),
        station_id: &station_id,
        device_id: &device_id,
    };
    let drawn = |seed| {
        let mut bytes = [0; 64];
        rng(seed).fill_bytes(&mut bytes);
        bytes
    };
    let (prover, share_p) = Prover::start(&inputs, &mut rng(41)).unwrap();
    let (verifier, share_v, confirm_v) = Verifier::start(&inputs, share_p, &mut rng(42)).unwrap();
    let (confirm_p, prk) = prover.finish(hello.as_bytes(), &share_v, &confirm_v).unwrap();
    let (at_verifier, _claimed) = verifier.finish(hello.as_bytes(), &confirm_p).unwrap();
    let mac = prk.claim_mac(hello.as_bytes());
    assert_eq!(mac, at_verifier.claim_mac(hello.as_bytes()), "both sides hold one secret");
    json!({
        "about": "SPAKE2+ (RFC 9383) as the typed code uses it; the MAC stands for prk",
        "code": core::str::from_utf8(code.canonical()).unwrap(),
        "windowId": hex(window_id.as_bytes()),
        "stationId": station_id.as_str(),
        "deviceId": device_id.as_str(),
        "hello": hello,
        "label": core::str::from_utf8(labels::PAKE).unwrap(),
        "rounds": ROUNDS,
        "proverRandom": hex(&drawn(41)),
        "verifierRandom": hex(&drawn(42)),
        "shareP": hex(share_p.as_bytes()),
        "shareV": hex(share_v.as_bytes()),
        "confirmV": hex(&confirm_v),
        "confirmP": hex(&confirm_p),
        "claimMacUnderPrk": hex(&mac),
    })
}
