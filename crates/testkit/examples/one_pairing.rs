#![expect(clippy::print_stdout, reason = "an example shows something")]
//! One pairing, from the QR code to a connected monitor, over real sockets.
//!
//! ```text
//! cargo run -p zmon-testkit --example one_pairing
//! ```

use zmon_testkit::{SimulatedDevice, TestStation};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let station = TestStation::start().await;
    let device = SimulatedDevice::new(&station).await;
    station.register(&device).await;

    device.enter().await;
    let qr = device.qr().await;
    println!("{} shows {} characters of QR code", device.id(), qr.to_json().map_or(0, |q| q.len()));

    match station.pair(&qr).await {
        Ok(answer) => println!("paired; connects to {}", answer.configuration.server_url),
        Err(refused) => println!("refused: {}", refused.problem.detail),
    }
    let link = device.until_connected().await;
    println!("{:?}, link up: {}", device.state(), link.connected);

    for (event, _) in device.events().await {
        println!("  device   {event}");
    }
    println!(
        "audit rows verified: device {}, station {}",
        device.audit_verified().await,
        station.audit_verified().await
    );
}
