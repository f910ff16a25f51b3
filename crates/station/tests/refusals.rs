//! Pairings that are refused: each with its code, its row, and nothing installed (D9, D11, D18, D24).

#[cfg(test)]
mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{FakeDevice, Fault, World, administrator, operator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, Side};
use zmon_domain::ids::DeviceId;
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_station::ports::{CertificateState, SessionPhase};
use zmon_station::{DeviceTrust, OwnAddress, PairOutcome, StationEvent};
use zmon_wire::pair::PairRequest;
use zmon_wire::secret::SecretText;

/// Pairs, expects a refusal with this code, its row, and no certificate left in use.
#[cfg(test)]
async fn refuse(world: &World, device: &FakeDevice, expected: ErrorCode) {
    let error = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
    assert_eq!(error.code(), expected);
    let rows = world.store.audit_events();
    let row = rows.iter().rfind(|row| row.event == EventType::PairingFailed);
    assert_eq!(row.and_then(|row| row.error), Some(expected), "{rows:?}");
    assert!(world.store.sessions().iter().all(|row| !row.reserved));
    for row in world.store.certificates() {
        assert_eq!(row.state, CertificateState::Revoked);
    }
    assert!(device.installed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_device_nobody_registered_is_refused_undialled() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.plug(&device);
    refuse(&world, &device, ErrorCode::DeviceUnknown).await;
    assert_eq!(world.lan.dialled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_decommissioned_device_is_refused() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    world.station.decommission(&administrator(), &device.id).await.unwrap();
    refuse(&world, &device, ErrorCode::DeviceDecommissioned).await;
    assert_eq!(world.lan.dialled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_known_device_under_another_key_is_refused_and_alarmed() {
    for trust in [DeviceTrust::Registry, DeviceTrust::Scanned] {
        let world = World::with(|policy| policy.session.device_trust = vec![trust]).await;
        let device = FakeDevice::new(1, Suite::P256);
        world.know(&[&device]).await;
        let impostor = device.impostor(9);
        world.plug(&impostor);
        let mut events = world.station.events();
        refuse(&world, &impostor, ErrorCode::DeviceKeyConflict).await;
        let alarmed = std::iter::from_fn(|| events.try_recv().ok())
            .any(|event| matches!(event, StationEvent::Alarm { .. }));
        assert!(alarmed);
        assert_eq!(world.store.count(EventType::DeviceKeyConflict), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_serial_number_under_another_id_and_key_is_refused_and_alarmed() {
    let world = World::with(|policy| {
        policy.session.device_trust = vec![DeviceTrust::Registry, DeviceTrust::Scanned]
    })
    .await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let stranger = FakeDevice::new(2, Suite::P256);
    let mut stranger = std::sync::Arc::into_inner(stranger).unwrap();
    stranger.serial = device.serial.clone();
    let stranger = std::sync::Arc::new(stranger);
    world.plug(&stranger);
    refuse(&world, &stranger, ErrorCode::DeviceKeyConflict).await;
    assert_eq!(world.store.count(EventType::DeviceKeyConflict), 1);
}

#[tokio::test(start_paused = true)]
async fn an_auditor_may_not_pair() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let auditor = operator("aud", Role::Auditor);
    let scan = world.station.scan(&auditor, device.scan_request()).await.unwrap_err();
    let pair = world.station.pair(&auditor, device.pair_request()).await.unwrap_err();
    assert_eq!((scan.code(), pair.code()), (ErrorCode::NotPermitted, ErrorCode::NotPermitted));
    assert_eq!(world.store.count(EventType::OperationRefused), 2);
    assert_eq!(world.lan.dialled(), []);
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_the_first_wins_and_the_second_learns_who() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let (tess, tom) = (technician(), operator("tom", Role::Technician));
    let scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();

    let error = world.station.scan(&tom, device.scan_request()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionReserved);
    assert_eq!(error.holder.unwrap(), *tess.id());
    let mut request = device.pair_request();
    request.session_id = Some(scan.session_id);
    let error = world.station.pair(&tom, request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionUnknown);

    let outcome = world.station.pair(&tess, device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn of_many_operators_at_the_same_instant_exactly_one_wins() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let copies = (0..16).map(|n| {
        let (station, request) = (world.station.clone(), device.pair_request());
        let who = operator(&format!("op{n}"), Role::Technician);
        tokio::spawn(async move { station.pair(&who, request).await })
    });
    let mut paired = 0;
    for copy in copies.collect::<Vec<_>>() {
        match copy.await.unwrap() {
            Ok(PairOutcome::Paired(_)) => paired += 1,
            Ok(pending) => panic!("{pending:?}"),
            Err(error) => assert!(matches!(
                error.code(),
                ErrorCode::SessionReserved | ErrorCode::PairingCodeConsumed
            )),
        }
    }
    assert_eq!(paired, 1);
    assert_eq!(world.store.certificates().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_used_token_is_consumed_for_everybody_else() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let old = device.pair_request();
    let scan = device.scan_request();
    let _paired = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let session = world.store.sessions()[0].id;
    device.open_window();
    let three = PairRequest { ip_address: None, ..old.clone() };
    let (tess, tom) = (technician(), operator("tom", Role::Technician));
    // Everybody is refused; whose session it was learns where the answer lies.
    for (who, named) in [(&tess, Some(session)), (&tom, None)] {
        let scanned = world.station.scan(who, scan.clone()).await.unwrap_err();
        let paired = world.station.pair(who, old.clone()).await.unwrap_err();
        let by_three = world.station.pair(who, three.clone()).await.unwrap_err();
        for error in [scanned, paired, by_three] {
            assert_eq!(error.code(), ErrorCode::PairingCodeConsumed);
            assert_eq!(error.session, named);
        }
    }
    let rows = world.store.audit_events();
    let refused: Vec<_> =
        rows.iter().filter(|row| row.error == Some(ErrorCode::PairingCodeConsumed)).collect();
    assert_eq!(refused.len(), 6, "each with its row");
    for row in refused {
        assert!(row.detail.contains(&("claimedBy", session.to_string())), "{row:?}");
    }
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);
    assert_eq!(world.store.certificates().len(), 1);
    assert!(matches!(
        world.station.pair_result(&tess, &session).await.unwrap(),
        PairOutcome::Paired(_)
    ));
    let error = world.station.pair_result(&tom, &session).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_device_taken_out_of_service_during_a_pairing_gets_no_certificate() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();
    let scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    world.station.decommission(&administrator(), &device.id).await.unwrap();
    let request = PairRequest { session_id: Some(scan.session_id), ..device.pair_request() };
    let error = world.station.pair(&tess, request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeviceDecommissioned);
    assert_eq!(world.store.certificates(), []);
    assert_eq!(device.deliveries.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_device_whose_audit_log_was_set_back_is_refused_and_alarmed() {
    use zmon_station::ports::StationStore;
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let shown = device.checkpoint(7, 1);
    device.show_log(Some(shown.clone()));
    let _paired = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let stranger = FakeDevice::new(2, Suite::P256);
    for (log, code) in [
        (Some(device.checkpoint(6, 1)), ErrorCode::AuditRolledBack),
        (Some(device.checkpoint(7, 2)), ErrorCode::AuditRolledBack),
        (None, ErrorCode::AuditRolledBack),
        (Some(stranger.checkpoint(9, 1)), ErrorCode::AuditCheckpointInvalid),
        (Some("no.checkpoint.atall".to_owned()), ErrorCode::AuditCheckpointInvalid),
        (Some("junk".to_owned()), ErrorCode::IdentityInvalid),
    ] {
        device.open_window();
        device.show_log(log);
        let mut events = world.station.events();
        let error = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
        assert_eq!(error.code(), code);
        let rows = world.store.audit_events();
        let row = rows.iter().rfind(|row| row.event == EventType::IdentityRefused).unwrap();
        assert_eq!(row.error, Some(code));
        let alarmed = std::iter::from_fn(|| events.try_recv().ok())
            .any(|event| matches!(event, StationEvent::Alarm { .. }));
        assert_eq!(alarmed, code == ErrorCode::AuditRolledBack);
    }
    assert_eq!(world.store.certificates().len(), 1);
    assert_eq!(world.store.peer_checkpoint(&device.id).await.unwrap(), Some(shown));
    // One that goes on is welcome.
    device.open_window();
    device.show_log(Some(device.checkpoint(9, 3)));
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn an_administrator_lets_a_device_begin_a_new_audit_log() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    device.show_log(Some(device.checkpoint(7, 1)));
    let _paired = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    // The disk died: the log begins anew.
    device.open_window();
    device.show_log(Some(device.checkpoint(2, 4)));
    let lost = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
    assert_eq!(lost.code(), ErrorCode::AuditRolledBack);

    let refused = world.station.accept_audit_log(&technician(), &device.id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    let nobody = DeviceId::parse("ZM-999").unwrap();
    let unknown = world.station.accept_audit_log(&administrator(), &nobody).await.unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::DeviceUnknown);
    world.station.accept_audit_log(&administrator(), &device.id).await.unwrap();
    let rows = world.store.audit_events();
    let accepted = rows.iter().filter(|row| row.event == EventType::AuditRestartAccepted);
    let seen: Vec<_> = accepted.map(|row| (row.device_id.clone(), row.error)).collect();
    let expected =
        [(Some(nobody), Some(ErrorCode::DeviceUnknown)), (Some(device.id.clone()), None)];
    assert_eq!(seen, expected);

    device.open_window();
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    // Once: from here on the new log counts.
    device.open_window();
    device.show_log(Some(device.checkpoint(1, 5)));
    let again = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::AuditRolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_failed_pairing_uses_its_token_up() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::RefusesConfiguration);
    world.know(&[&device]).await;
    refuse(&world, &device, ErrorCode::SiteMismatch).await;
    device.misbehave(Fault::None);
    refuse(&world, &device, ErrorCode::PairingCodeConsumed).await;
    device.open_window();
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_stale_token_is_refused_by_the_device() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let old = device.pair_request();
    device.open_window();
    let error = world.station.pair(&technician(), old).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ClaimRefused);
    assert_eq!(device.opens.load(Ordering::SeqCst), 1, "a refusal is not tried again");
    // The refused token was not used up at the station, and the device is free.
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn addresses_outside_the_networks_are_refused_undialled() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    for address in ["10.1.51.1", "127.0.0.1", "169.254.169.254", "8.8.8.8", "::1", "fe80::1"] {
        let mut request = device.pair_request();
        request.ip_address = Some(DeviceAddress::parse(address).unwrap());
        let error = world.station.pair(&technician(), request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::AddressNotPermitted, "{address}");
    }
    assert_eq!(world.lan.dialled(), []);
}

#[tokio::test(start_paused = true)]
async fn the_station_s_own_addresses_are_refused_undialled() {
    let device = FakeDevice::new(1, Suite::P256);
    for port in [None, Some(device.port())] {
        let own = OwnAddress { ip: device.address.ip(), port };
        let world = World::with(|policy| policy.own_addresses = vec![own]).await;
        world.know(&[&device]).await;
        refuse(&world, &device, ErrorCode::AddressNotPermitted).await;
        assert_eq!(world.lan.dialled(), []);
    }
    let other = OwnAddress { ip: device.address.ip(), port: Some(8443) };
    let world = World::with(|policy| policy.own_addresses = vec![other]).await;
    world.know(&[&device]).await;
    assert!(world.station.pair(&technician(), device.pair_request()).await.is_ok());
}

/// An answer that offers a courier, without the session's id.
fn strip(outcome: PairOutcome) -> String {
    match outcome {
        PairOutcome::Pending(pending) if pending.delivery == Route::Courier => {
            format!("{pending:?}").replace(&pending.session_id.to_string(), "")
        }
        PairOutcome::Pending(_) | PairOutcome::Paired(_) => String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_and_a_wrong_key_read_the_same_and_are_tried_three_times() {
    let mut texts = Vec::new();
    for wrong_pin in [false, true] {
        let world = World::new().await;
        let device = FakeDevice::new(1, Suite::P256);
        world.know(&[&device]).await;
        if wrong_pin {
            let mut other = std::sync::Arc::into_inner(FakeDevice::new(77, Suite::P256)).unwrap();
            other.address = device.address;
            let request = device.pair_request();
            // Another machine at the device's place: same address and port, another key.
            let other = other.at(device.port());
            world.plug(&other);
            texts.push(strip(world.station.pair(&technician(), request).await.unwrap()));
        } else {
            device.misbehave(Fault::Unreachable);
            let request = device.pair_request();
            texts.push(strip(world.station.pair(&technician(), request).await.unwrap()));
        }
        assert_eq!(world.lan.dialled().len(), 3);
        let rows = world.store.audit_events();
        let row = rows.iter().rfind(|row| row.event == EventType::RouteOffered).unwrap();
        assert_eq!(row.error, Some(ErrorCode::DeviceUnreachable));
        let cause = if wrong_pin { "wrong pin" } else { "ordered by the test" };
        assert!(row.detail.contains(&("cause", cause.to_owned())), "{row:?}");
    }
    assert!(!texts[0].is_empty(), "a courier is offered");
    assert_eq!(texts[0], texts[1]);
}

#[tokio::test(start_paused = true)]
async fn an_identity_document_that_proves_nothing_is_refused() {
    for (fault, code) in [
        (Fault::WrongNonce, ErrorCode::SessionMismatch),
        (Fault::WrongSignature, ErrorCode::IdentityInvalid),
        (Fault::WrongId, ErrorCode::DeviceMismatch),
        (Fault::WrongCsr, ErrorCode::CsrInvalid),
    ] {
        let world = World::new().await;
        let device = FakeDevice::new(1, Suite::P256);
        device.misbehave(fault);
        world.know(&[&device]).await;
        refuse(&world, &device, code).await;
        assert_eq!(world.store.count(EventType::IdentityRefused), 1, "{fault:?}");
        assert_eq!(world.store.certificates(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn suites_and_key_protection_are_the_policy_s() {
    let world = World::with(|policy| policy.session.suites = vec![Suite::P256]).await;
    let rsa = FakeDevice::new(2, Suite::Rsa2048);
    world.know(&[&rsa]).await;
    refuse(&world, &rsa, ErrorCode::SuiteUnsupported).await;

    let world = World::with(|policy| policy.session.require_hardware_keys = true).await;
    let file = FakeDevice::new(1, Suite::P256);
    world.know(&[&file]).await;
    refuse(&world, &file, ErrorCode::IdentityInvalid).await;
}

#[tokio::test(start_paused = true)]
async fn a_typed_code_needs_to_know_where_the_device_listens() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let typed = PairRequest { pairing_token: None, ..device.pair_request() };
    let nowhere = PairRequest { ip_address: None, ..typed.clone() };
    for (request, field) in [(typed, "port"), (nowhere, "ipAddress")] {
        let error = world.station.pair(&technician(), request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::RequestMalformed);
        assert_eq!(error.report.detail.unwrap().field(), field);
    }
    assert_eq!(world.lan.dialled(), []);
}

#[tokio::test(start_paused = true)]
async fn malformed_codes_and_tokens_are_named() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    let pair = async |code: Option<&str>, token: Option<&str>| {
        let mut request = device.pair_request();
        if let Some(code) = code {
            request.pairing_code = SecretText::new(code);
        }
        if let Some(token) = token {
            request.pairing_token = Some(SecretText::new(token));
        }
        world.station.pair(&technician(), request).await.unwrap_err().code()
    };
    assert_eq!(pair(Some("ABC-123-XY"), None).await, ErrorCode::PairingCodeMalformed);
    assert_eq!(pair(Some("ABC-123-XYA"), None).await, ErrorCode::PairingCodeTypo);
    assert_eq!(pair(None, Some("AAAA")).await, ErrorCode::PairingTokenMalformed);
}

#[tokio::test(start_paused = true)]
async fn another_code_or_token_does_not_go_on_with_a_session() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();
    let scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let other = FakeDevice::new(2, Suite::P256).pair_request();
    for (code, token) in [
        (other.pairing_code.clone(), None),
        (device.pair_request().pairing_code, other.pairing_token),
    ] {
        let request = PairRequest {
            session_id: Some(scan.session_id),
            pairing_code: code,
            pairing_token: token,
            ..device.pair_request()
        };
        let error = world.station.pair(&tess, request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidPairingCode);
    }
    let request = PairRequest {
        session_id: Some(scan.session_id),
        device_id: zmon_domain::ids::DeviceId::parse("ZM-002").unwrap(),
        ..device.pair_request()
    };
    let error = world.station.pair(&tess, request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_devices_full_disk_is_not_the_stations() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::FullDisk);
    world.know(&[&device]).await;
    refuse(&world, &device, ErrorCode::DeviceFailed).await;
    assert_eq!(ErrorCode::DeviceFailed.side(), Side::Device);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_claims_success_without_a_commit_is_not_paired() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::LiesAboutSuccess);
    world.know(&[&device]).await;
    refuse(&world, &device, ErrorCode::ConnectionTestFailed).await;
    assert_eq!(world.store.count(EventType::PairingSucceeded), 0);
}

#[tokio::test(start_paused = true)]
async fn without_an_audit_row_nothing_happens() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    world.store.fail_commits(true);
    let error = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
    assert_eq!((error.code(), error.report.side()), (ErrorCode::AuditUnavailable, Side::Station));
    assert_eq!(world.lan.dialled(), []);
    world.store.fail_commits(false);
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_a_store_that_fails_a_request() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();
    let _scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    world.store.fail_commits(true);
    let error = world.station.pair(&tess, device.pair_request()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AuditUnavailable);
    world.store.fail_commits(false);
    let outcome = world.station.pair(&tess, device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_during_a_session_ends_it_without_effect() {
    for event in [EventType::SessionClaimed, EventType::CertificateIssued] {
        let world = World::new().await;
        let device = FakeDevice::new(1, Suite::P256);
        world.know(&[&device]).await;
        world.store.fail_on(Some(event));
        let error = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::StorageUnavailable, "{event}");
        assert_eq!(world.store.certificates(), []);
        assert_eq!(device.deliveries.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_recovers_in_time_costs_nothing() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    world.store.fail_on(Some(EventType::CertificateIssued));
    let (station, request) = (world.station.clone(), device.pair_request());
    let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
    pass(Duration::from_secs(1)).await;
    assert_eq!(device.deliveries.load(Ordering::SeqCst), 0, "nothing leaves before its row");
    world.store.fail_on(None);
    assert!(matches!(pairing.await.unwrap().unwrap(), PairOutcome::Paired(_)));
    assert_eq!(world.store.count(EventType::CertificateIssued), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_nobody_pairs_is_released() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let scan =
        world.station.scan(&technician(), device.scan_request()).await.unwrap().scanned().unwrap();
    pass(Duration::from_secs(119)).await;
    assert_eq!(world.store.sessions()[0].phase, SessionPhase::Identified);
    pass(Duration::from_secs(2)).await;
    let row = &world.store.sessions()[0];
    assert_eq!((row.phase, row.reserved), (SessionPhase::Released, false));
    let mut request = device.pair_request();
    request.session_id = Some(scan.session_id);
    let error = world.station.pair(&technician(), request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionExpired);
    assert_eq!(world.store.count(EventType::SessionReleased), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_code_of_the_same_device_replaces_the_operator_s_session() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();
    let first = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    device.open_window();
    let second = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    assert_ne!(first.session_id, second.session_id);
    let phases: Vec<_> =
        world.store.sessions().iter().map(|row| (row.id, row.phase, row.reserved)).collect();
    assert!(phases.contains(&(first.session_id, SessionPhase::Released, false)));
    assert!(phases.contains(&(second.session_id, SessionPhase::Identified, true)));
}

#[tokio::test(start_paused = true)]
async fn an_operator_gives_up_and_an_administrator_may_for_them() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let (tess, tom) = (technician(), operator("tom", Role::Technician));
    let scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let error = world.station.cancel(&tom, &scan.session_id).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotPermitted);
    world.station.cancel(&administrator(), &scan.session_id).await.unwrap();
    assert_eq!(world.store.sessions()[0].phase, SessionPhase::Released);
    let row =
        world.store.audit_events().into_iter().find(|r| r.event == EventType::PairingCancelled);
    assert_eq!(row.unwrap().actor, administrator().actor());

    device.open_window();
    let scan = world.station.scan(&tom, device.scan_request()).await.unwrap().scanned().unwrap();
    world.station.cancel(&tom, &scan.session_id).await.unwrap();
    let error = world.station.cancel(&tom, &scan.session_id).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_task_was_lost_goes_on_when_the_store_is_back() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    world.store.fail_on(Some(EventType::SessionClaimed));
    let error = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StorageUnavailable);
    world.store.fail_on(None);
    assert!(world.store.sessions()[0].reserved);
    let tom = operator("tom", Role::Technician);
    let error = world.station.pair(&tom, device.pair_request()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionReserved);
    pass(Duration::from_secs(5)).await;
    let row = &world.store.sessions()[0];
    assert_eq!((row.phase, row.reserved), (SessionPhase::Paired, false));
    let outcome = world.station.pair_result(&technician(), &row.id).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn an_expired_reservation_gives_way_to_the_next_operator() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    world.store.fail_on(Some(EventType::SessionClaimed));
    let _lost = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
    world.store.fail_on(None);
    pass(Duration::from_secs(901)).await;
    device.open_window();
    let tom = operator("tom", Role::Technician);
    let outcome = world.station.pair(&tom, device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let phases: Vec<_> = world.store.sessions().iter().map(|row| row.phase).collect();
    assert!(phases.contains(&SessionPhase::Released) && phases.contains(&SessionPhase::Paired));
    let rows = world.store.audit_events();
    let row = rows.iter().find(|row| row.event == EventType::SessionReleased).unwrap();
    assert_eq!(row.error, Some(ErrorCode::SessionExpired));
}

#[tokio::test(start_paused = true)]
async fn while_a_device_may_commit_nobody_else_starts_over_with_it() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::DiesBeforeCommit);
    world.know(&[&device]).await;
    let _pending = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    pass(Duration::from_secs(1000)).await;
    device.open_window();
    device.misbehave(Fault::None);
    let tom = operator("tom", Role::Technician);
    let error = world.station.pair(&tom, device.pair_request()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionReserved);
    // Its own operator may: the certificate nobody committed to is aborted first.
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let mut states: Vec<_> =
        world.store.certificates().iter().map(|row| row.state.as_str()).collect();
    states.sort_unstable();
    assert_eq!(states, ["current", "revoked"]);
}

#[tokio::test(start_paused = true)]
async fn settings_a_station_cannot_keep_are_refused_by_name() {
    use common::world::parts;
    let make = |change: fn(&mut zmon_station::StationPolicy)| {
        let clock = std::sync::Arc::new(common::runtime::TestClock::new());
        let dialer = std::sync::Arc::new(common::world::Lan::default());
        let mut parts = parts(&std::sync::Arc::default(), dialer, &clock, 1);
        change(&mut parts.policy);
        let error = zmon_station::Station::new(parts).err().unwrap();
        assert_eq!(error.code(), ErrorCode::SettingsInvalid);
        error.report.detail.unwrap().field().to_owned()
    };
    assert_eq!(make(|policy| policy.certificate_lifetime = Duration::ZERO), "certLifetime");
}

/// A self-signed authority that says it is a simulated station's.
#[cfg(test)]
fn simulated_authority() -> Vec<u8> {
    use rcgen::{CertificateParams, CustomExtension, KeyPair};
    use zmon_crypto::x509::{OID_TRUST_LEVEL_ARCS, trust_level_extension};
    let mut params = CertificateParams::default();
    let level = trust_level_extension(zmon_wire::kind::TrustLevel::Simulated).unwrap();
    params.custom_extensions = vec![CustomExtension::from_oid_content(OID_TRUST_LEVEL_ARCS, level)];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_simulated_station_make_no_real_one() {
    let clock = std::sync::Arc::new(common::runtime::TestClock::new());
    let dialer = std::sync::Arc::new(common::world::Lan::default());
    let mut parts = common::world::parts(&std::sync::Arc::default(), dialer, &clock, 1);
    // One among real ones is refused in every build.
    parts.signer.chain.push(simulated_authority());
    let error = zmon_station::Station::new(parts).err().unwrap();
    assert_eq!(error.code(), ErrorCode::SimulatedCertificate);
}
