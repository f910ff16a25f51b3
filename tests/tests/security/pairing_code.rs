//! [W §13.3] "Pairing code expiration enforcement", and what else makes a code or token worthless.

use core::time::Duration;

use zmon_crypto::token::PairingToken;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::{CodeVerdict, IProvisioningService};
use zmon_testkit::{
    Peer, SimulatedDevice, StationOptions, Step, TestStation, registered, registered_with,
};
use zmon_wire::b64;
use zmon_wire::qr::QrContent;
use zmon_wire::secret::SecretText;

use crate::common::{nothing_installed, refused_on_both_sides};

const TOKEN: usize = PairingToken::LEN;

/// The code with one bit of byte `at` of the token changed.
fn with_token_bit(qr: &QrContent, at: usize) -> QrContent {
    let mut token = b64::decode_url(qr.pairing_token.expose()).unwrap();
    token[at] ^= 1;
    QrContent { pairing_token: SecretText::from_string(b64::encode_url(&token)), ..qr.clone() }
}

/// Lets time pass in steps, so that every rotation happens when it is due.
async fn pass(device: &SimulatedDevice, mut time: Duration) {
    let step = limits::ROTATION.default;
    while time > step {
        let before = device.qr().await;
        device.clock().advance(step);
        time -= step;
        device
            .until("a redrawn QR code", |view| {
                let qr = view.pairing.as_ref().and_then(|pairing| pairing.qr.as_ref());
                qr.is_some_and(|qr| !qr.content.contains(before.pairing_token.expose()))
            })
            .await;
    }
    device.clock().advance(time);
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    // A bit of the nonce, and a bit of the MAC; version, port and thumbprint lead elsewhere.
    for at in [5, TOKEN - 1] {
        let (station, device) = registered().await;
        let qr = device.open_window().await;
        let answer = station.pair(&with_token_bit(&qr, at)).await;
        let codes = (ErrorCode::ClaimRefused, ErrorCode::PairingTokenStale);
        refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;
        assert_eq!(device.state(), ProvisioningState::ReadyToPair);
        station.pair(&qr).await.expect("the right token is still good");
    }
}

#[tokio::test]
async fn a_token_that_names_another_key_never_leaves_the_station() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let rows = device.audit().await.len();
    let refused = station.pair(&with_token_bit(&qr, 20)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceKeyConflict, "the registry knows the key");
    assert!(station.has_refused(ErrorCode::DeviceKeyConflict).await);
    assert_eq!(station.faults().count(Step::Dial), 0);
    assert_eq!(device.audit().await.len(), rows);
    nothing_installed(&station, &device).await;
}

#[tokio::test]
async fn a_truncated_token_never_leaves_the_station() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    for length in [0, 1, 67] {
        let mut short = qr.clone();
        short.pairing_token = SecretText::new(&qr.pairing_token.expose()[..length]);
        let refused = station.pair(&short).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::PairingTokenMalformed, "{length}");
    }
    assert_eq!(station.faults().count(Step::Dial), 0);
    nothing_installed(&station, &device).await;
}

#[tokio::test]
async fn a_token_of_61_seconds_ago_is_refused_and_one_of_59_is_not() {
    let (station, device) = registered().await;
    let old = device.open_window().await;
    pass(&device, Duration::from_secs(61)).await;
    let codes = (ErrorCode::ClaimRefused, ErrorCode::PairingTokenStale);
    let answer = station.pair(&old).await;
    refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;

    let (station, device) = registered().await;
    let old = device.open_window().await;
    pass(&device, Duration::from_secs(59)).await;
    assert_ne!(device.qr().await.pairing_token.expose(), old.pairing_token.expose());
    // Not a moment may pass.
    station.technician().pair(&old).await.expect("the token before is accepted");
}

#[tokio::test]
async fn a_late_timer_does_not_lengthen_the_life_of_a_token() {
    let (station, device) = registered().await;
    let old = device.open_window().await;
    // One jump: no rotation could happen on time.
    device.clock().advance(Duration::from_secs(61));
    let codes = (ErrorCode::ClaimRefused, ErrorCode::PairingTokenStale);
    let answer = station.pair(&old).await;
    refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;
}

#[tokio::test]
async fn a_code_is_good_to_the_last_moment_of_its_window() {
    let (station, device) = registered().await;
    device.enter().await;
    pass(&device, limits::WINDOW.default - Duration::from_millis(1)).await;
    let qr = device.qr().await;
    station.technician().pair(&qr).await.expect("9:59.999 is inside");
}

#[tokio::test]
async fn an_expired_window_is_refused() {
    let (station, device) = registered_with(StationOptions::impatient()).await;
    let qr = device.open_window().await;
    let listener = device.listener().await;
    device.clock().advance(limits::WINDOW.default + Duration::from_millis(1));
    let view = device.until_state(ProvisioningState::Error).await;
    assert_eq!(view.last_error.unwrap().code, ErrorCode::PairingCodeExpired);
    Peer::until_closed(listener).await;
    let answer = station.pair(&qr).await;
    let codes = (ErrorCode::DeviceUnreachable, ErrorCode::PairingCodeExpired);
    refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;
    let typed = qr.pairing_code.expose();
    assert_eq!(device.service().validate_pairing_code(typed), CodeVerdict::Expired);

    let qr = device.open_window().await;
    station.pair(&qr).await.expect("a new window is a new code");
}

#[tokio::test]
async fn a_regenerated_code_makes_the_old_picture_worthless() {
    let (station, device) = registered().await;
    let old = device.open_window().await;
    device.service().generate_pairing_code().await.unwrap();
    let codes = (ErrorCode::ClaimRefused, ErrorCode::PairingTokenStale);
    let answer = station.pair(&old).await;
    refused_on_both_sides(answer, (&station, codes.0), (&device, codes.1)).await;
    station.pair(&device.qr().await).await.expect("the new one is good");
}

#[tokio::test]
async fn the_right_token_with_a_wrong_code_is_refused_by_the_device() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let wrong = QrContent { pairing_code: SecretText::new("ABC-123-XYZ"), ..qr };
    let answer = station.pair(&wrong).await;
    let code = ErrorCode::PairingCodeMismatch;
    refused_on_both_sides(answer, (&station, code), (&device, code)).await;
    assert_eq!(device.state(), ProvisioningState::Error, "the session is over");
}

#[tokio::test]
async fn a_mistyped_code_is_told_before_anything_is_sent() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    for (typed, code) in [
        ("ABC-123-XYA", ErrorCode::PairingCodeTypo),
        ("ABC-123-XY", ErrorCode::PairingCodeMalformed),
        ("ABC-123-XYU", ErrorCode::PairingCodeMalformed),
        ("", ErrorCode::PairingCodeMalformed),
    ] {
        let wrong = QrContent { pairing_code: SecretText::new(typed), ..qr.clone() };
        let refused = station.pair(&wrong).await.unwrap_err();
        assert_eq!(refused.code(), code, "{typed}");
    }
    assert_eq!(station.faults().count(Step::Dial), 0);
    station.pair(&qr).await.expect("a typo costs nothing");
}

#[tokio::test]
async fn a_typed_code_that_leads_nowhere_is_sent_nowhere() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let rows = device.audit().await.len();
    let refused = typed(&station, &qr).await;
    assert_eq!(refused, ErrorCode::RequestMalformed, "nobody said where the device listens");
    assert_eq!(station.faults().count(Step::Dial), 0);
    assert_eq!(device.audit().await.len(), rows, "nothing derived from the code was sent");
}

async fn typed(station: &TestStation, qr: &QrContent) -> ErrorCode {
    let body = format!(
        r#"{{"deviceId":"{}","pairingCode":"{}"}}"#,
        qr.device_id,
        qr.pairing_code.expose()
    );
    let answer = station.technician().post_json("/api/provisioning/pair", body).await;
    answer.unwrap_err().code()
}
