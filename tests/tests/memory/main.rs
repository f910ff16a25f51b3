//! What is left in the memory of the shipped device once it is provisioned (T35).

#![expect(clippy::indexing_slicing, reason = "pieces of what was read")]

mod scan;

use scan::{Needle, find};
use zmon_crypto::token::PairingToken;
use zmon_testkit::{DeviceProgram, Seed, StationOptions, TestStation, binary, wait};

/// Until it is provisioned and connected.
async fn connected(device: &DeviceProgram) {
    let link = async {
        while !device.status().await.link.connected {
            tokio::task::yield_now().await;
        }
    };
    wait::within("the link", link).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_pairing_is_left_in_memory() {
    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let options = StationOptions { seed, ..StationOptions::beside_programs() };
    let station = TestStation::start_with(options).await;
    let _time = station.clock().run();
    let mut device = DeviceProgram::init(&station, binary("zmon-device", "device"));
    station.import(device.manifest()).await;
    device.start();

    let qr = device.open_window().await;
    let code = qr.pairing_code.expose().to_owned();
    let text = qr.pairing_token.expose().to_owned();
    let token = PairingToken::parse_base64url(&text).expect("a token");
    let needles = [
        Needle::new("the code as it is shown", code.as_bytes()),
        Needle::new("the code without dashes", code.replace('-', "")),
        Needle::new("the token", token.as_bytes().as_slice()),
        Needle::new("the token as text", text.as_bytes()),
        Needle::new("the configuration", *b"{\"schemaVersion\":"),
        Needle::new("its code", *b"\"pairingCode\":\""),
    ];
    let shown = match find(device.pid(), &needles) {
        Ok(shown) => shown,
        Err(why) => {
            println!("SKIPPED: {} secrets looked for in memory: {why}", needles.len());
            return;
        }
    };
    // The control: what is in use is found.
    for needle in &needles[..3] {
        let there = shown.iter().any(|(name, ..)| *name == needle.name);
        assert!(there, "{} is in use and was not found", needle.name);
    }
    station.pair(&qr).await.expect("paired");
    connected(&device).await;
    let left = find(device.pid(), &needles).expect("as before");
    assert_eq!(left, [], "after the pairing");
}
