//! The typed code over real sockets (D2): a device whose screen no camera reaches.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use zmon_crypto::Suite;
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::EventType;
use zmon_domain::code::CodeFormat;
use zmon_domain::error::ErrorCode;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_station::ports::CertificateState;
use zmon_testkit::{DeviceOptions, Kind, SimulatedDevice, Step, TestStation, registered};

const WRONG: &str = "000-000-00R";

/// What the operator reads besides the code: where the device listens.
async fn place(device: &SimulatedDevice) -> (DeviceAddress, NonZeroU16) {
    let listener: SocketAddr = device.listener().await;
    let address = DeviceAddress::from_ip(listener.ip()).unwrap();
    (address, NonZeroU16::new(listener.port()).unwrap())
}

#[tokio::test]
async fn a_device_without_a_camera_is_paired_by_its_code() {
    for (suite, code_format) in
        [(Suite::P256, CodeFormat::Grouped9), (Suite::Rsa2048, CodeFormat::Short6)]
    {
        let station = TestStation::start().await;
        let mut options = DeviceOptions::new(&station);
        options.suite = suite;
        options.code_format = code_format;
        let device = SimulatedDevice::with(options).await;
        station.register(&device).await;
        let code = device.open_window().await.pairing_code;
        let place = place(&device).await;
        let typed = code.expose().to_ascii_lowercase();
        let answer =
            station.technician().pair_typed(device.id(), &typed, Some(place)).await.unwrap();
        assert_eq!(answer.configuration.server_url.port(), station.devices().port());
        device.until_connected().await;
        assert_eq!(device.state(), ProvisioningState::Provisioned);
        assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
        for events in [device.events().await, station.events().await] {
            let tries = events.iter().filter(|(event, _)| *event == EventType::TypedTryStarted);
            assert_eq!(tries.count(), 1);
        }
        device.audit_verified().await;
        station.audit_verified().await;
    }
}

#[tokio::test]
async fn the_registry_may_know_where_a_device_listens() {
    let (station, device) = registered().await;
    let code = device.open_window().await.pairing_code;
    let (address, port) = place(&device).await;
    let mut row = device.manifest();
    (row.ip_address, row.port) = (Some(address), Some(port));
    let imported = station.administrator().import(&[row]).await.unwrap();
    assert_eq!(imported.changed, 1);
    let listed = station.administrator().devices().await.unwrap().devices;
    assert_eq!((listed[0].ip_address, listed[0].port), (Some(address), Some(port)));
    station.technician().pair_typed(device.id(), code.expose(), None).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn wrong_codes_void_the_window_and_a_regenerated_one_pairs() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let place = place(&device).await;
    for _ in 0..5 {
        let refused = station.technician().pair_typed(device.id(), WRONG, Some(place)).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidPairingCode);
    }
    let refused =
        station.technician().pair_typed(device.id(), qr.pairing_code.expose(), Some(place)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::TypedTriesExhausted);
    // The fifth run has not been ended by anybody: it ends by time, and the window with it.
    device.clock().advance(zmon_domain::limits::TYPED_RUN.default);
    device.until("no code", |view| view.pairing.as_ref().is_none_or(|p| p.qr.is_none())).await;
    assert_eq!(device.state(), ProvisioningState::ReadyToPair);
    assert!(device.has_refused(ErrorCode::TypedTriesExhausted).await);
    assert_eq!(station.pair(&qr).await.unwrap_err().code(), ErrorCode::ClaimRefused);

    device.service().generate_pairing_code().await.unwrap();
    let code = device.qr().await.pairing_code;
    station.technician().pair_typed(device.id(), code.expose(), Some(place)).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_run_is_not_asked_for_again() {
    let (station, device) = registered().await;
    let code = device.open_window().await.pairing_code;
    let place = place(&device).await;
    station.faults().once(Step::Session, Kind::Drop);
    let lost = station.technician().pair_typed(device.id(), code.expose(), Some(place)).await;
    assert_eq!(lost.unwrap_err().code(), ErrorCode::DeviceUnreachable);
    let tries = |events: Vec<(EventType, Option<ErrorCode>)>| {
        events.iter().filter(|(event, _)| *event == EventType::TypedTryStarted).count()
    };
    assert_eq!(tries(device.events().await), 1, "one run, although its answer was lost");
    station.technician().pair_typed(device.id(), code.expose(), Some(place)).await.unwrap();
    assert_eq!(tries(device.events().await), 2);
    device.until_connected().await;
}
