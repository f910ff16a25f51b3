//! [W §13.3] "One-time use enforcement".

use zmon_crypto::token::PairingToken;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::{CodeVerdict, IProvisioningService};
use zmon_station::ports::CertificateState;
use zmon_testkit::{
    DeviceOptions, SimulatedDevice, StationOptions, Step, TestStation, paired, registered,
};

use crate::common::nothing_installed;

#[tokio::test]
async fn the_same_token_is_refused_the_second_time() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    let serial = station.certificates(&device, CertificateState::Current).await[0].serial;

    for (tablet, own) in [(station.administrator(), false), (station.technician(), true)] {
        for refused in [tablet.pair(&qr).await.err(), tablet.scan(&qr).await.err()] {
            let refused = refused.expect("refused");
            assert_eq!((refused.status, refused.code()), (409, ErrorCode::PairingCodeConsumed));
            assert_eq!(refused.problem.instance.is_some(), own, "whose session it was");
        }
    }
    assert!(station.has_refused(ErrorCode::PairingCodeConsumed).await);
    assert_eq!(station.faults().count(Step::Dial), 1, "the device was not asked again");
    let typed = qr.pairing_code.expose();
    assert_eq!(device.service().validate_pairing_code(typed), CodeVerdict::Consumed);
    let current = station.certificates(&device, CertificateState::Current).await;
    assert_eq!((current.len(), current[0].serial), (1, serial));
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn a_token_whose_pairing_failed_is_used_up_as_well() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.faults().once(Step::Identity, zmon_testkit::Kind::Tamper);
    station.pair(&qr).await.unwrap_err();
    let refused = station.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    assert!(device.has_refused(ErrorCode::SessionBusy).await, "the claim consumed the code");
    nothing_installed(&station, &device).await;
}

#[tokio::test]
async fn two_operators_at_once_get_one_pairing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let (one, two) =
        tokio::join!(station.technician().pair(&qr), station.administrator().pair(&qr));
    device.until_connected().await;
    let (won, lost) = match (one, two) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        other => panic!("{other:?}"),
    };
    drop(won);
    let codes = [ErrorCode::SessionReserved, ErrorCode::PairingCodeConsumed];
    assert!(codes.contains(&lost.code()), "{lost:?}");
    assert_eq!(lost.status, 409);
    assert_eq!(station.faults().count(Step::Issue), 1);
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn a_scanned_device_is_reserved_and_says_for_whom() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let scanned = station.technician().scan(&qr).await.unwrap();
    let second = station.administrator().scan(&qr).await.unwrap_err();
    let codes = [ErrorCode::SessionReserved, ErrorCode::PairingCodeConsumed];
    assert!(codes.contains(&second.code()), "{second:?}");
    let holder = OperatorId::parse("tina").unwrap();
    if second.code() == ErrorCode::SessionReserved {
        assert!(second.problem.detail.contains(holder.as_str()), "{}", second.problem.detail);
    }
    let foreign = station.administrator().pair_scanned(&qr, scanned.session_id).await.unwrap_err();
    assert_eq!(foreign.code(), ErrorCode::SessionUnknown);
    station.technician().pair_scanned(&qr, scanned.session_id).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn two_stations_that_scan_the_same_picture_do_not_share_the_device() {
    let station = TestStation::start().await;
    let other = TestStation::start_with(StationOptions {
        id: "station-2".to_owned(),
        site: "st-jude".to_owned(),
        clock: station.clock().clone(),
        ..StationOptions::default()
    })
    .await;
    let anchors = vec![station.anchor(), other.anchor()];
    let device =
        SimulatedDevice::with(DeviceOptions { anchors, ..DeviceOptions::new(&station) }).await;
    station.register(&device).await;
    other.register(&device).await;
    let qr = device.open_window().await;
    let scanned = station.technician().scan(&qr).await.unwrap();
    let refused = other.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    assert!(device.has_refused(ErrorCode::SessionBusy).await);
    assert!(other.certificates(&device, CertificateState::Current).await.is_empty());

    station.technician().pair_scanned(&qr, scanned.session_id).await.unwrap();
    device.until_connected().await;
    assert_eq!(device.view().server_url.unwrap().port(), station.devices().port());
}

#[tokio::test]
async fn a_claimed_window_shows_no_code() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.technician().scan(&qr).await.unwrap();
    let view = device.until_state(ProvisioningState::Pairing).await;
    assert!(view.pairing.is_none());
    let service = device.service();
    let hidden = service.generate_qr_code().await.unwrap_err();
    assert_eq!(hidden.code, ErrorCode::NotInProvisioningMode);
    let frozen = service.generate_pairing_code().await.unwrap_err();
    assert_eq!(frozen.code, ErrorCode::StateConflict);
}

#[tokio::test]
async fn tokens_never_repeat() {
    let (_station, device) = registered().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let qr = device.open_window().await;
        let token = PairingToken::parse_base64url(qr.pairing_token.expose()).unwrap();
        assert!(seen.insert(*token.id().as_bytes()), "a token came twice");
        let proof = device.technician().await;
        device.service().reset(proof).await.unwrap();
    }
}

#[tokio::test]
async fn a_provisioned_device_answers_no_claim() {
    let (station, device) = paired().await;
    let qr = device.open_window().await;
    let other = TestStation::start().await;
    other.register(&device).await;
    // Not anchored here: refused before anything is claimed, slot A lives on.
    let refused = other.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimRefused);
    assert!(device.has_refused(ErrorCode::StationNotAnchored).await);
    assert!(device.view().is_provisioned);
    station.pair(&qr).await.unwrap();
}
