//! What every refusal has in common.

use zmon_domain::error::ErrorCode;
use zmon_station::ports::CertificateState;
use zmon_testkit::{ApiError, SimulatedDevice, TestStation};
use zmon_wire::pair::PairAnswer;

/// Nothing was installed and no certificate counts; both audit chains verify.
pub(crate) async fn nothing_installed(station: &TestStation, device: &SimulatedDevice) {
    let boot = device.store().load().await.unwrap();
    assert!(boot.slot_a.is_none() && boot.slot_b.is_none(), "nothing is installed");
    assert!(!device.view().is_provisioned);
    assert!(station.certificates(device, CertificateState::Current).await.is_empty());
    device.audit_verified().await;
    station.audit_verified().await;
}

/// A pairing was refused: by this code to the operator and in the station's audit log, by that code
/// in the device's.
pub(crate) async fn refused_on_both_sides(
    answer: Result<PairAnswer, ApiError>,
    station: (&TestStation, ErrorCode),
    device: (&SimulatedDevice, ErrorCode),
) {
    let refused = answer.expect_err("the pairing is refused");
    assert_eq!(refused.code(), station.1, "{refused:?}");
    assert_eq!(refused.status, station.1.http_status());
    assert!(station.0.has_refused(station.1).await, "{:?}", station.0.events().await);
    assert!(device.0.has_refused(device.1).await, "{:?}", device.0.events().await);
    nothing_installed(station.0, device.0).await;
}
