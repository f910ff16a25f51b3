//! Wrong clocks over the real driver and real sockets (D14): none is needed, none that is wrong is
//! believed for long, and setting one back brings nothing to life.

use core::time::Duration;

use zmon_domain::error::ErrorCode;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::{ClockQuality, UnixTime};
use zmon_provisioning::{CodeVerdict, IProvisioningService};
use zmon_testkit::{DeviceOptions, SimulatedDevice, TestClock, TestStation};

const DAY: i64 = 86_400;

/// A device whose own clock began at this instant.
async fn device_at(station: &TestStation, year: &str, quality: ClockQuality) -> SimulatedDevice {
    let began = UnixTime::parse(&format!("{year}-02-07T06:28:00Z")).unwrap();
    let clock = TestClock::starting_at(began.unix());
    clock.set_quality(quality);
    let device =
        SimulatedDevice::with(DeviceOptions { clock, ..DeviceOptions::new(station) }).await;
    station.register(&device).await;
    device
}

/// How far the device's clock is ahead of the station's, in seconds.
fn ahead(device: &SimulatedDevice, station: &TestStation) -> i64 {
    device.clock().now().wall.unwrap().unix() - station.clock().now().wall.unwrap().unix()
}

#[tokio::test]
async fn a_device_without_a_clock_is_paired_connects_and_restarts() {
    for year in ["1970", "2038", "2106"] {
        let station = TestStation::start().await;
        let mut device = device_at(&station, year, ClockQuality::None).await;
        station.pair(&device.open_window().await).await.unwrap();
        device.until_connected().await;
        device.restart().await;
        device.until_connected().await;
        assert_eq!(device.state(), ProvisioningState::Provisioned, "{year}");
        device.audit_verified().await;
    }
}

#[tokio::test]
async fn a_wrong_clock_that_claims_to_be_right_is_refused_and_poisons_nothing() {
    for year in ["1970", "2038", "2106"] {
        let station = TestStation::start().await;
        let device = device_at(&station, year, ClockQuality::Synced).await;
        assert!(station.pair(&device.open_window().await).await.is_err(), "{year}");
        assert!(!device.view().is_provisioned, "{year}");

        // Set right, whatever it showed before: the floor was not raised to 2106.
        device.service().exit_provisioning_mode(None).await.unwrap();
        device.clock().step_wall(-ahead(&device, &station));
        station.pair(&device.open_window().await).await.unwrap();
        device.until_connected().await;
    }
}

#[tokio::test]
async fn a_clock_set_back_a_day_brings_nothing_to_life() {
    let station = TestStation::start().await;
    let clock = station.clock().apart();
    let mut device =
        SimulatedDevice::with(DeviceOptions { clock, ..DeviceOptions::new(&station) }).await;
    station.register(&device).await;
    station.pair(&device.open_window().await).await.unwrap();
    device.until_connected().await;
    // A window that runs out, and the code and token that were shown in it.
    let operator = device.administrator().await;
    device.service().reprovision_device(operator.clone()).await.unwrap();
    let old = device.qr().await;
    for clock in [station.clock(), device.clock()] {
        clock.advance(Duration::from_millis(600_001));
    }
    device.until("the window's end", |view| view.pairing.is_none()).await;
    device.clock().step_wall(-DAY);

    let code = old.pairing_code.expose();
    assert_ne!(device.service().validate_pairing_code(code), CodeVerdict::Ok);
    assert!(station.pair(&old).await.is_err(), "the token is dead");
    let expired = device.service().reprovision_device(operator).await.unwrap_err();
    assert_eq!(expired.code, ErrorCode::ProofExpired, "so is who was logged in");

    // A restart reads the day before yesterday off its clock; its floor knows better.
    device.restart().await;
    assert_ne!(device.service().validate_pairing_code(code), CodeVerdict::Ok);
    assert!(station.pair(&old).await.is_err());
    assert_eq!(device.state(), ProvisioningState::Provisioned);
}
