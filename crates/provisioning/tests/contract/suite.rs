//! The checks. Each makes its own subject and drives it through the trait alone.

use core::time::Duration;

use crate::common::pass;
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_domain::role::Role;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus, ReprovisioningPhase};
use zmon_domain::time::UnixTime;
use zmon_provisioning::{
    CodeVerdict, IProvisioningService, ProvisioningEvent, ProvisioningPayload, ProvisioningResult,
};

use super::{Behaviour, Subject};
use crate::common::{drain, proof, settle};

type Made = Box<dyn Subject>;

fn technician(subject: &Made) -> zmon_domain::role::OperatorProof {
    proof(Role::Technician, subject.clock())
}

/// A subject with an open window.
async fn entered(make: &impl AsyncFn(Behaviour) -> Made, behaviour: Behaviour) -> Made {
    let subject = make(behaviour).await;
    subject.service().enter_provisioning_mode(technician(&subject)).await.unwrap();
    subject
}

async fn shown(service: &dyn IProvisioningService) -> String {
    service.generate_qr_code().await.unwrap().pairing_code().display().to_string()
}

/// Applies the subject's payload with the code on the screen.
async fn apply(subject: &Made) -> ProvisioningResult {
    let code = shown(subject.service()).await;
    let payload = subject.payload().await;
    subject.service().apply_configuration(&payload, &code).await
}

async fn provisioned(make: &impl AsyncFn(Behaviour) -> Made) -> Made {
    let subject = entered(make, Behaviour::Good).await;
    let result = apply(&subject).await;
    assert!(result.is_success(), "{result:?}");
    subject
}

pub(crate) async fn a_fresh_device_is_unprovisioned_and_refuses_what_needs_a_window(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = make(Behaviour::Good).await;
    let service = subject.service();
    assert_eq!(service.get_status(), ProvisioningStatus::Unprovisioned);
    assert_eq!(service.state(), ProvisioningState::NotProvisioned);
    assert_eq!(service.device_id().as_str(), "ZM-001");
    let closed = ErrorCode::NotInProvisioningMode;
    let address = DeviceAddress::parse("10.1.50.104").unwrap();
    let id = service.device_id().clone();
    let qr = service.generate_provisioning_qr_code(&id, address).await;
    assert_eq!(qr.unwrap_err().code(), closed);
    assert_eq!(service.generate_qr_code().await.unwrap_err().code(), closed);
    assert_eq!(service.generate_pairing_code().await.unwrap_err().code(), closed);
    assert_eq!(service.exit_provisioning_mode(None).await.unwrap_err().code(), closed);
    let untested = service.test_connection().await.unwrap_err();
    assert_eq!(untested.code(), ErrorCode::StateConflict);
    assert!(service.receive_configuration(b"").await.is_err());
    let not_there = service.renew_certificate(technician(&subject)).await.unwrap_err();
    assert_eq!(not_there.code(), ErrorCode::StateConflict);
    let not_there = service.reprovision_device(technician(&subject)).await.unwrap_err();
    assert_eq!(not_there.code(), ErrorCode::StateConflict);
    let not_failed = service.retry(technician(&subject)).await.unwrap_err();
    assert_eq!(not_failed.code(), ErrorCode::StateConflict);
}

pub(crate) async fn entering_opens_a_window_and_signals_in_order(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = make(Behaviour::Good).await;
    let mut events = subject.service().events();
    subject.service().enter_provisioning_mode(technician(&subject)).await.unwrap();
    settle().await;
    let expected =
        ["statusChanged(UNPROVISIONED)", "statusChanged(READY_TO_PAIR)", "qrCodeGenerated"];
    assert_eq!(drain(&mut events), expected);
    assert_eq!(subject.service().state(), ProvisioningState::ReadyToPair);
}

pub(crate) async fn only_a_live_proof_of_the_right_role_opens_a_window(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = make(Behaviour::Good).await;
    let service = subject.service();
    let auditor = proof(Role::Auditor, subject.clock());
    let refused = service.enter_provisioning_mode(auditor).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    let old = technician(&subject);
    pass(Duration::from_secs(61)).await;
    let refused = service.enter_provisioning_mode(old).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ProofExpired);
    assert_eq!(service.get_status(), ProvisioningStatus::Unprovisioned);
}

pub(crate) async fn a_second_window_is_refused(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let before = shown(subject.service()).await;
    let again = subject.service().enter_provisioning_mode(technician(&subject)).await;
    assert_eq!(again.unwrap_err().code(), ErrorCode::AlreadyInProvisioningMode);
    assert_eq!(shown(subject.service()).await, before);
}

pub(crate) async fn the_qr_code_announces_the_address_asked_for(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let address = DeviceAddress::parse("10.1.50.104").unwrap();
    let id = service.device_id().clone();
    let qr = service.generate_provisioning_qr_code(&id, address).await.unwrap();
    assert_eq!(qr.ip_address(), &address);
    assert!(qr.qr_code_content().contains(r#""ipAddress":"10.1.50.104""#));
    assert_eq!(qr.device_id(), &id);
    assert_eq!(qr.serial_number().as_str(), "SN-2024-001234");
    let now = subject.clock().now().wall.unwrap();
    assert_eq!(qr.timestamp(), now);
    assert_eq!(qr.expires_at(), now + Duration::from_secs(600));
    assert_eq!(qr.seconds_until_expiry(now), 600);
    assert_eq!(service.generate_qr_code().await.unwrap().ip_address(), &address);
}

pub(crate) async fn another_devices_qr_code_is_refused(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let other = DeviceId::parse("ZM-002").unwrap();
    let address = DeviceAddress::parse("10.1.50.104").unwrap();
    let refused = subject.service().generate_provisioning_qr_code(&other, address).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::DeviceMismatch);
}

pub(crate) async fn the_qr_code_is_redrawn_every_thirty_seconds_with_the_same_code(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let first = service.generate_qr_code().await.unwrap();
    let mut events = service.events();
    pass(Duration::from_secs(29)).await;
    assert_eq!(drain(&mut events), ["statusChanged(READY_TO_PAIR)"]);
    pass(Duration::from_secs(2)).await;
    assert_eq!(drain(&mut events), ["qrCodeGenerated"]);
    let second = service.generate_qr_code().await.unwrap();
    assert!(first.pairing_code() == second.pairing_code());
    assert_eq!(first.expires_at(), second.expires_at());
    assert_ne!(first.qr_code_content(), second.qr_code_content());
    pass(Duration::from_secs(60)).await;
    assert_eq!(drain(&mut events), ["qrCodeGenerated", "qrCodeGenerated"]);
}

pub(crate) async fn a_new_pairing_code_voids_the_old_one(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let old = shown(service).await;
    let mut events = service.events();
    let new = service.generate_pairing_code().await.unwrap();
    assert_eq!(drain(&mut events), ["statusChanged(READY_TO_PAIR)", "qrCodeGenerated"]);
    assert_ne!(*new.display(), old);
    assert_eq!(*new.display(), shown(service).await);
    assert_eq!(service.validate_pairing_code(&old), CodeVerdict::Expired);
    assert_eq!(service.validate_pairing_code(&new.display()), CodeVerdict::Ok);
}

pub(crate) async fn codes_are_judged_locally(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let code = shown(service).await;
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Ok);
    assert_eq!(service.validate_pairing_code(&code.to_lowercase()), CodeVerdict::Ok);
    assert_eq!(service.validate_pairing_code(&code.replace('-', " ")), CodeVerdict::Ok);
    for malformed in ["", "ABC", "ABC-123-XYZ-1", "ÄBC-123-XYZ", "UBC-123-XYZ", "ABC_123_XYZ"] {
        assert_eq!(service.validate_pairing_code(malformed), CodeVerdict::Format, "{malformed}");
    }
    assert_eq!(service.validate_pairing_code("ABC-123-XYY"), CodeVerdict::Typo);
    assert_eq!(service.validate_pairing_code("ABC-123-XYZ"), CodeVerdict::Unknown);
    let payload = subject.payload().await;
    assert!(service.apply_configuration(&payload, &code).await.is_success());
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Consumed);
}

pub(crate) async fn a_window_runs_out_after_ten_minutes(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let code = shown(service).await;
    pass(Duration::from_millis(599_900)).await;
    assert_eq!(service.get_status(), ProvisioningStatus::ReadyToPair);
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Ok);
    let mut events = service.events();
    pass(Duration::from_millis(200)).await;
    let expected = [
        "statusChanged(READY_TO_PAIR)",
        "qrCodeExpired",
        "provisioningFailed",
        "statusChanged(PROVISIONING_FAILED)",
    ];
    assert_eq!(drain(&mut events), expected);
    assert_eq!(service.state(), ProvisioningState::Error);
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Expired);
    let error = service.view().borrow().last_error.clone().unwrap();
    assert_eq!(error.code(), ErrorCode::PairingCodeExpired);
    assert!(service.generate_qr_code().await.is_err());
}

pub(crate) async fn exit_voids_the_window(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let code = shown(service).await;
    let mut events = service.events();
    service.exit_provisioning_mode(Some(&technician(&subject))).await.unwrap();
    let expected = ["statusChanged(READY_TO_PAIR)", "statusChanged(UNPROVISIONED)"];
    assert_eq!(drain(&mut events), expected);
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Expired);
    assert!(service.generate_qr_code().await.is_err());
    pass(Duration::from_secs(700)).await;
    assert_eq!(drain(&mut events), [""; 0]);
}

pub(crate) async fn a_good_configuration_provisions_and_signals_in_order(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let mut events = service.events();
    let result = apply(&subject).await;
    assert!(result.is_success(), "{result:?}");
    assert!(result.server_url.is_some() && result.device_label.is_some());
    settle().await;
    let expected = [
        "statusChanged(READY_TO_PAIR)",
        "configurationReceived",
        "statusChanged(PAIRING_RECEIVED)",
        "provisioningCompleted",
        "statusChanged(PROVISIONED)",
    ];
    assert_eq!(drain(&mut events), expected);
    assert_eq!(service.get_status(), ProvisioningStatus::Provisioned);
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    let view = service.view().borrow().clone();
    assert!(view.is_provisioned && view.pairing.is_none() && view.last_error.is_none());
    assert_eq!(view.server_url, result.server_url);
    assert_eq!(view.settings.unwrap().label, result.device_label);
    assert!(view.certificate.unwrap().not_after.is_some());
    // The code is spent: what was applied cannot be applied again.
    let payload = ProvisioningPayload::from_envelope(b"again".to_vec());
    let again = service.apply_configuration(&payload, "ABC-123-XYZ").await;
    assert!(!again.is_success());
    assert_eq!(service.get_status(), ProvisioningStatus::Provisioned);
}

pub(crate) async fn a_configuration_can_be_received_and_then_awaited(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let payload = subject.payload().await;
    let bytes = payload.envelope().unwrap_or(b"mock envelope").to_vec();
    let verified = service.receive_configuration(&bytes).await.unwrap();
    // It is being applied already.
    assert_ne!(service.get_status(), ProvisioningStatus::ReadyToPair);
    let result = service.apply_provisioning_config(verified).await;
    assert!(result.is_success(), "{result:?}");
    assert_eq!(service.get_status(), ProvisioningStatus::Provisioned);
}

pub(crate) async fn a_bad_configuration_fails_and_signals_in_order(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = entered(make, Behaviour::Refused).await;
    let service = subject.service();
    let mut events = service.events();
    let result = apply(&subject).await;
    let refused = ErrorCode::ConnectionRefusedByStation;
    assert_eq!(result.error.unwrap().code(), refused);
    assert_eq!(result.server_url, None);
    settle().await;
    let expected = [
        "statusChanged(READY_TO_PAIR)",
        "configurationReceived",
        "statusChanged(PAIRING_RECEIVED)",
        "provisioningFailed",
        "statusChanged(PROVISIONING_FAILED)",
    ];
    assert_eq!(drain(&mut events), expected);
    assert_eq!(service.state(), ProvisioningState::Error);
    let view = service.view().borrow().clone();
    assert_eq!(view.last_error.unwrap().code(), refused);
    assert!(!view.is_provisioned && view.settings.is_none());
}

pub(crate) async fn a_wrong_code_changes_nothing(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let mut events = service.events();
    let plain = ProvisioningPayload::mock(service.device_id(), "", UnixTime::EPOCH);
    for (code, expected) in [
        ("ABC-123-XYZ", ErrorCode::InvalidPairingCode),
        ("ABC-123-XYY", ErrorCode::PairingCodeTypo),
        ("nonsense", ErrorCode::PairingCodeMalformed),
    ] {
        let result = service.apply_configuration(&plain, code).await;
        assert_eq!(result.error.unwrap().code(), expected);
    }
    assert_eq!(drain(&mut events), ["statusChanged(READY_TO_PAIR)"]);
}

pub(crate) async fn a_payload_for_another_device_changes_nothing(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let code = shown(service).await;
    let now = subject.clock().now().wall.unwrap();
    let other = ProvisioningPayload::mock(&DeviceId::parse("ZM-002").unwrap(), &code, now);
    let result = service.apply_configuration(&other, &code).await;
    assert_eq!(result.error.unwrap().code(), ErrorCode::DeviceMismatch);
    let empty = ProvisioningPayload::from_envelope(Vec::new());
    assert!(!empty.is_valid());
    let result = service.apply_configuration(&empty, &code).await;
    assert_eq!(result.error.unwrap().code(), ErrorCode::ConfigurationMalformed);
    assert_eq!(service.validate_pairing_code(&code), CodeVerdict::Ok);
}

pub(crate) async fn an_expired_payload_changes_nothing(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let code = shown(service).await;
    let now = subject.clock().now().wall.unwrap();
    let made = now - Duration::from_secs(3601);
    let old = ProvisioningPayload::mock(service.device_id(), &code, made);
    assert!(old.is_valid() && old.is_expired(now));
    assert!(!old.is_expired(made + Duration::from_secs(3600)));
    let result = service.apply_configuration(&old, &code).await;
    assert_eq!(result.error.unwrap().code(), ErrorCode::ConfigurationExpired);
    assert_eq!(service.get_status(), ProvisioningStatus::ReadyToPair);
}

pub(crate) async fn retry_and_reset_leave_the_error(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Refused).await;
    let service = subject.service();
    assert!(!apply(&subject).await.is_success());
    service.retry(technician(&subject)).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::ReadyToPair);
    assert!(service.view().borrow().last_error.is_none());
    assert!(!apply(&subject).await.is_success());
    assert_eq!(service.state(), ProvisioningState::Error);
    service.reset(technician(&subject)).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::NotProvisioned);
    assert!(service.view().borrow().last_error.is_none());
}

pub(crate) async fn reprovisioning_keeps_the_device_provisioned(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = provisioned(make).await;
    let service = subject.service();
    let enter = service.enter_provisioning_mode(technician(&subject)).await;
    assert_eq!(enter.unwrap_err().code(), ErrorCode::StateConflict);
    service.reprovision_device(technician(&subject)).await.unwrap();
    let ready = ProvisioningState::Reprovisioning(ReprovisioningPhase::ReadyToPair);
    assert_eq!(service.state(), ready);
    assert_eq!(service.get_status(), ProvisioningStatus::ReadyToPair);
    assert!(service.view().borrow().is_provisioned);
    service.exit_provisioning_mode(Some(&technician(&subject))).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    let mut events = service.events();
    service.reprovision_device(technician(&subject)).await.unwrap();
    assert!(apply(&subject).await.is_success());
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    settle().await;
    let expected = [
        "statusChanged(PROVISIONED)",
        "statusChanged(READY_TO_PAIR)",
        "qrCodeGenerated",
        "configurationReceived",
        "statusChanged(PAIRING_RECEIVED)",
        "provisioningCompleted",
        "statusChanged(PROVISIONED)",
    ];
    assert_eq!(drain(&mut events), expected);
    service.reprovision_device(technician(&subject)).await.unwrap();
    pass(Duration::from_secs(601)).await;
    // A failed re-provisioning goes back to what works (D12).
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    let error = service.view().borrow().last_error.clone().unwrap();
    assert_eq!(error.code(), ErrorCode::PairingCodeExpired);
}

pub(crate) async fn deprovisioning_needs_an_administrator(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = provisioned(make).await;
    let service = subject.service();
    let refused = service.deprovision_device(technician(&subject)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    assert_eq!(service.get_status(), ProvisioningStatus::Provisioned);
    let administrator = proof(Role::Administrator, subject.clock());
    service.deprovision_device(administrator.clone()).await.unwrap();
    settle().await;
    assert_eq!(service.get_status(), ProvisioningStatus::Deprovisioned);
    let view = service.view().borrow().clone();
    assert!(!view.is_provisioned && view.settings.is_none() && view.server_url.is_none());
    assert!(!service.link().borrow().connected);
    let again = service.deprovision_device(administrator).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::StateConflict);
    // It can be provisioned again.
    service.enter_provisioning_mode(technician(&subject)).await.unwrap();
    assert!(apply(&subject).await.is_success());
}

pub(crate) async fn a_factory_reset_needs_an_administrator_and_the_identifier(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = provisioned(make).await;
    let service = subject.service();
    let administrator = || proof(Role::Administrator, subject.clock());
    for (who, typed, code) in [
        (technician(&subject), "ZM-001", ErrorCode::NotPermitted),
        (administrator(), "", ErrorCode::ConfirmationMismatch),
        (administrator(), "zm-001", ErrorCode::ConfirmationMismatch),
    ] {
        assert_eq!(service.factory_reset(who, typed).await.unwrap_err().code(), code);
        assert_eq!(service.get_status(), ProvisioningStatus::Provisioned);
    }
    service.factory_reset(administrator(), "ZM-001").await.unwrap();
    settle().await;
    assert_eq!(service.get_status(), ProvisioningStatus::Unprovisioned);
    let view = service.view().borrow().clone();
    assert!(!view.is_provisioned && !view.erasing && view.settings.is_none());
    assert!(!service.link().borrow().connected);
    let missing = ErrorCode::ManualConfigurationMissing;
    let refused = service.migrate(technician(&subject)).await.unwrap_err();
    assert_eq!(refused.code(), missing);
    let refused = service.postpone_migration(technician(&subject)).await.unwrap_err();
    assert_eq!(refused.code(), missing);
    service.enter_provisioning_mode(technician(&subject)).await.unwrap();
    assert!(apply(&subject).await.is_success());
}

pub(crate) async fn a_dropped_future_leaves_no_half_state(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let code = shown(service).await;
    let payload = subject.payload().await;
    {
        let apply = service.apply_configuration(&payload, &code);
        tokio::select! {
            biased;
            result = apply => panic!("finished at once: {result:?}"),
            () = core::future::ready(()) => {}
        }
    }
    pass(Duration::from_secs(5)).await;
    let status = service.get_status();
    // Wholly begun and finished, or not begun at all.
    let whole = [ProvisioningStatus::Provisioned, ProvisioningStatus::ReadyToPair];
    assert!(whole.contains(&status), "{status}");
}

pub(crate) async fn late_subscribers_get_the_status_first(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = provisioned(make).await;
    let mut events = subject.service().events();
    let first = events.next().await.unwrap();
    assert_eq!(first, ProvisioningEvent::StatusChanged(ProvisioningStatus::Provisioned));
    assert_eq!(events.try_next(), None);
}

pub(crate) async fn simulation_needs_its_feature(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let payload = ProvisioningPayload::mock(service.device_id(), "", UnixTime::EPOCH);
    let result = service.simulate_provisioning(&payload).await;
    if !cfg!(feature = "simulate") {
        assert_eq!(result.error.unwrap().code(), ErrorCode::SimulationUnavailable);
        assert_eq!(service.get_status(), ProvisioningStatus::ReadyToPair);
    }
}

pub(crate) async fn the_view_is_whole(make: &impl AsyncFn(Behaviour) -> Made) {
    let subject = entered(make, Behaviour::Good).await;
    let service = subject.service();
    let view = service.view().borrow().clone();
    assert_eq!(view.status, view.state.status());
    let pairing = view.pairing.clone().unwrap();
    assert_eq!(pairing.seconds_left(subject.clock().now().mono), 600);
    assert_eq!(*pairing.code.display(), shown(service).await);
    let qr = pairing.qr.unwrap();
    let drawn = service.generate_qr_code().await.unwrap();
    assert_eq!(qr.content.as_str(), drawn.qr_code_content());
    let code = shown(service).await;
    let printed = format!("{view:?} {drawn:?} {:?}", service.view());
    assert!(!printed.contains(&code), "a debug print shows the code");
}

pub(crate) async fn the_connection_can_be_tested_once_provisioned(
    make: &impl AsyncFn(Behaviour) -> Made,
) {
    let subject = provisioned(make).await;
    subject.service().test_connection().await.unwrap();
    pass(Duration::from_secs(1)).await;
    let link = subject.service().link().borrow().clone();
    assert!(link.connected);
    assert_eq!(link.server_url, subject.service().view().borrow().server_url);
    assert!(link.last_connected.is_some());
}
