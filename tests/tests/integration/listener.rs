//! The device's provisioning listener is open with a window and closed without (D17): port scans.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{DeviceOptions, Peer, SimulatedDevice, TestStation};

/// A device with an address of its own, so that every open port on it is the device's.
async fn alone(address: [u8; 4]) -> (TestStation, SimulatedDevice) {
    let station = TestStation::start().await;
    let options = DeviceOptions { address: IpAddr::from(address), ..DeviceOptions::new(&station) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    (station, device)
}

async fn scan(address: [u8; 4]) -> Vec<u16> {
    Peer::scan(IpAddr::from(address), IpAddr::from([127, 99, 99, 99])).await
}

#[tokio::test]
async fn a_port_scan_finds_nothing_before_and_after_a_pairing() {
    const ADDRESS: [u8; 4] = [127, 77, 0, 1];
    let (station, device) = alone(ADDRESS).await;
    assert!(scan(ADDRESS).await.is_empty(), "before");

    let qr = device.open_window().await;
    let open = device.listener().await;
    assert_eq!(open.ip(), IpAddr::from(ADDRESS));
    assert_eq!(scan(ADDRESS).await, [open.port()], "exactly the port in the token");

    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    Peer::until_closed(open).await;
    assert!(scan(ADDRESS).await.is_empty(), "after");
}

async fn window(device: &SimulatedDevice) -> SocketAddr {
    device.enter().await;
    let open = device.listener().await;
    assert!(Peer::is_open(open).await);
    open
}

#[tokio::test]
async fn the_listener_closes_when_the_window_expires() {
    let (station, device) = alone([127, 77, 0, 2]).await;
    let open = window(&device).await;
    station.clock().advance(limits::WINDOW.default + Duration::from_millis(1));
    device.until_state(ProvisioningState::Error).await;
    Peer::until_closed(open).await;
}

#[tokio::test]
async fn the_listener_closes_when_the_window_is_cancelled_and_when_the_device_stops() {
    let (_station, mut device) = alone([127, 77, 0, 3]).await;
    let open = window(&device).await;
    device.service().exit_provisioning_mode(None).await.unwrap();
    Peer::until_closed(open).await;

    let open = window(&device).await;
    device.stop().await;
    assert!(!Peer::is_open(open).await, "a device that has stopped has no port");
    device.start().await.unwrap();
    assert!(!Peer::is_open(open).await, "nor has one that has started");
    assert_eq!(device.state(), ProvisioningState::NotProvisioned);
}

#[tokio::test]
async fn the_listener_closes_when_a_pairing_fails() {
    let (station, device) = alone([127, 77, 0, 4]).await;
    let qr = device.open_window().await;
    let open = device.listener().await;
    device.faults().order(zmon_testkit::Step::Test, zmon_testkit::Kind::Tamper);
    station.pair(&qr).await.unwrap_err();
    device.until_state(ProvisioningState::Error).await;
    Peer::until_closed(open).await;
}
