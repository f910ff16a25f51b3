//! Who may do what, on the station and at the device ([W §10.1], D22).

use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{PASSWORD, Step, registered};
use zmon_wire::admin::OperatorRequest;
use zmon_wire::secret::SecretText;

#[tokio::test]
async fn nobody_unknown_pairs() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let bad = ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
    for token in bad {
        let refused = station.stranger().with_token(token).pair(&qr).await.unwrap_err();
        assert_eq!((refused.status, refused.code()), (401, ErrorCode::AuthenticationFailed));
    }
    let refused = station.stranger().pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuthenticationFailed);
    assert_eq!(station.faults().count(Step::Dial), 0);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_then_locked() {
    let (station, _device) = registered().await;
    let mut codes = Vec::new();
    for _ in 0..=limits::PIN_BACKOFF_AFTER.default {
        let refused = station.stranger().log_in("tina", "wrong horse battery").await;
        codes.push(refused.err().unwrap().code());
    }
    assert_eq!(codes.first(), Some(&ErrorCode::AuthenticationFailed));
    assert_eq!(codes.last(), Some(&ErrorCode::AuthenticationLocked));
    let locked = station.stranger().log_in("tina", PASSWORD).await.err().unwrap();
    assert_eq!(locked.code(), ErrorCode::AuthenticationLocked, "the right one waits as well");
    station.clock().advance(limits::PIN_BACKOFF_MAX.default);
    station.stranger().log_in("tina", PASSWORD).await.expect("after the back-off");
    station.audit_verified().await;
}

#[tokio::test]
async fn a_login_ends() {
    let (station, device) = registered().await;
    station.clock().advance(limits::LOGIN_LIFETIME.default + core::time::Duration::from_secs(1));
    let qr = device.open_window().await;
    let refused = station.technician().pair(&qr).await.unwrap_err();
    assert_eq!((refused.status, refused.code()), (401, ErrorCode::ProofExpired));
}

#[tokio::test]
async fn roles_are_kept() {
    let (station, device) = registered().await;
    let auditor = OperatorRequest {
        operator: "vera".parse().unwrap(),
        role: Role::Auditor,
        password: Some(SecretText::new(PASSWORD)),
    };
    let refused = station.technician().add_operator(&auditor).await.unwrap_err();
    assert_eq!((refused.status, refused.code()), (403, ErrorCode::NotPermitted));
    station.administrator().add_operator(&auditor).await.unwrap();
    let vera = station.stranger().log_in("vera", PASSWORD).await.unwrap();

    let qr = device.open_window().await;
    assert_eq!(vera.pair(&qr).await.unwrap_err().code(), ErrorCode::NotPermitted);
    assert_eq!(vera.scan(&qr).await.unwrap_err().code(), ErrorCode::NotPermitted);
    assert_eq!(station.faults().count(Step::Dial), 0);
    let row = device.manifest();
    let refused = station.technician().import(&[row]).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);

    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    let serial = device.store().load().await.unwrap().slot_a.unwrap().serial;
    for operator in [station.technician(), &vera] {
        let refused = operator.revoke(&serial).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NotPermitted);
    }
    vera.get_text("/api/audit").await.expect("an auditor reads the log");
    let refused = station.technician().get_text("/api/audit").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    device.until_connected().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn a_proof_of_the_device_ends() {
    let (_station, device) = registered().await;
    let proof = device.technician().await;
    device.clock().advance(limits::PROOF_LIFETIME.default + core::time::Duration::from_millis(1));
    let refused = device.service().enter_provisioning_mode(proof).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ProofExpired);
    assert_eq!(device.state(), ProvisioningState::NotProvisioned);
    assert!(device.has_refused(ErrorCode::ProofExpired).await, "the refusal has its row");
    device.audit_verified().await;
}
