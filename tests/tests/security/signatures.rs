//! [W §13.3] "Configuration signature validation": who may configure a device, and what arrives whole.

use core::time::Duration;

use zmon_crypto::Anchor;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SiteId;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_testkit::{
    DeviceOptions, Kind, SimulatedDevice, StationOptions, Step, TestStation, registered,
};

use crate::common::refused_on_both_sides;

#[tokio::test]
async fn a_tampered_envelope_is_refused_and_not_opened() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.faults().once(Step::Deliver, Kind::Tamper);
    let answer = station.pair(&qr).await;
    let code = ErrorCode::EnvelopeMacInvalid;
    refused_on_both_sides(answer, (&station, code), (&device, code)).await;
    assert_eq!(device.faults().count(Step::Test), 0);
}

#[tokio::test]
async fn an_unanchored_station_is_refused_and_learns_nothing() {
    let (own, device) = registered().await;
    let rogue = TestStation::start_with(StationOptions {
        // Same names, same site, other keys.
        clock: own.clock().clone(),
        ..StationOptions::default()
    })
    .await;
    rogue.register(&device).await;
    let qr = device.open_window().await;
    let answer = rogue.pair(&qr).await;
    let codes = (ErrorCode::ClaimRefused, ErrorCode::StationNotAnchored);
    refused_on_both_sides(answer, (&rogue, codes.0), (&device, codes.1)).await;
    assert_eq!(device.state(), ProvisioningState::ReadyToPair, "the code is not consumed");
    own.pair(&qr).await.expect("the own station still can");
}

#[tokio::test]
async fn a_station_of_another_site_is_refused_although_its_anchor_is_known() {
    let station = TestStation::start().await;
    let ward = SiteId::parse("another-ward").unwrap();
    let anchor = Anchor::parse(station.anchor().ca_der(), ward).unwrap();
    let options = DeviceOptions { anchors: vec![anchor], ..DeviceOptions::new(&station) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    let qr = device.open_window().await;
    let answer = station.pair(&qr).await;
    let codes = (ErrorCode::ClaimRefused, ErrorCode::SiteMismatch);
    refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;
}

#[tokio::test]
async fn a_device_without_anchors_believes_nobody() {
    let station = TestStation::start().await;
    let options = DeviceOptions { anchors: Vec::new(), ..DeviceOptions::new(&station) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    let qr = device.open_window().await;
    let answer = station.pair(&qr).await;
    let codes = (ErrorCode::ClaimRefused, ErrorCode::StationNotAnchored);
    refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;
}

#[tokio::test]
async fn an_expired_signing_certificate_signs_nothing() {
    let (mut station, device) = registered().await;
    station.clock().advance(limits::SIGNING_CERT_MAX.default + Duration::from_secs(1));
    station.log_in_again().await;
    let qr = device.open_window().await;
    let answer = station.pair(&qr).await;
    let codes = (ErrorCode::ClaimRefused, ErrorCode::SigningCertificateExpired);
    refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;
}

#[tokio::test]
async fn a_hello_from_another_time_is_refused() {
    let skew = i64::try_from(limits::CLOCK_SKEW.default.as_secs()).unwrap();
    // What is from the future is refused with the certificate that is not valid yet.
    let cases = [
        (skew, None),
        (skew + 1, Some(ErrorCode::HelloStale)),
        (-skew, None),
        (-skew - 1, Some(ErrorCode::SigningCertificateExpired)),
    ];
    for (step, refused) in cases {
        let station = TestStation::start().await;
        let clock = station.clock().apart();
        clock.step_wall(step);
        let options = DeviceOptions { clock, ..DeviceOptions::new(&station) };
        let device = SimulatedDevice::with(options).await;
        station.register(&device).await;
        let qr = device.open_window().await;
        let answer = station.pair(&qr).await;
        match refused {
            None => drop(answer.unwrap_or_else(|error| panic!("{step}: {error:?}"))),
            Some(code) => {
                let station = (&station, ErrorCode::ClaimRefused);
                refused_on_both_sides(answer, station, (&device, code)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_clone_of_a_registered_device_is_refused_by_the_station() {
    let (station, device) = registered().await;
    let clone = SimulatedDevice::new(&station).await;
    assert_eq!(clone.id(), device.id());
    let qr = clone.open_window().await;
    let refused = station.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceKeyConflict);
    assert!(station.has_refused(ErrorCode::DeviceKeyConflict).await);
    assert!(!clone.view().is_provisioned);

    let stranger = SimulatedDevice::with(DeviceOptions::new(&station).named("ZM-999")).await;
    let refused = station.pair(&stranger.open_window().await).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceUnknown);
}
