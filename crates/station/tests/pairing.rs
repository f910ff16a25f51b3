//! Pairings that succeed, from the station's point of view ([W §11.3], D7, D11, D13).

#[cfg(test)]
mod common;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{FakeDevice, Fault, World, administrator, operator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BedId, DeviceLabel};
use zmon_domain::role::Role;
use zmon_station::ports::{CertificateState, SessionPhase};
use zmon_station::{FleetFilter, PairOutcome, StationEvent};
use zmon_wire::pair::PairRequest;
use zmon_wire::{manifest, strict};

#[tokio::test(start_paused = true)]
async fn one_call_pairs_a_registered_device() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;

    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();

    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let (serial, document) = device.installed.lock().unwrap().pop().unwrap();
    let certificates = world.store.certificates();
    assert_eq!(certificates.len(), 1);
    assert_eq!((certificates[0].serial, certificates[0].config_version), (serial, 1));
    assert_eq!(document.config_version, 1);
    assert_eq!(certificates[0].state, CertificateState::Current);
    assert_eq!(world.store.sessions()[0].phase, SessionPhase::Paired);
    assert!(!world.store.sessions()[0].reserved);
    let order: Vec<_> = world.store.audit_events().iter().map(|row| row.event).collect();
    let expected = [
        EventType::Started,
        EventType::CrlPublished,
        EventType::RegistryImported,
        EventType::SessionOpened,
        EventType::SessionClaimed,
        EventType::CertificateIssued,
        EventType::ConfigurationDelivered,
        EventType::ConnectionTested,
        EventType::CommitConfirmed,
        EventType::PairingSucceeded,
    ];
    assert_eq!(order, expected);
}

#[tokio::test(start_paused = true)]
async fn the_answer_has_exactly_the_members_of_the_document() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let PairOutcome::Paired(answer) = outcome else { panic!("{outcome:?}") };

    let json: serde_json::Value =
        serde_json::from_slice(&strict::to_vec(&answer).unwrap()).unwrap();

    let keys = |value: &serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(keys(&json), set(&["success", "configuration"]));
    let configuration = &json["configuration"];
    let names =
        ["serverUrl", "caCertificate", "clientCertificate", "clientPrivateKey", "signature"];
    assert_eq!(keys(configuration), set(&names));
    assert_eq!(configuration["serverUrl"], "https://monitoring.hospital.com:8443");
    assert!(configuration["clientPrivateKey"].is_null());
    let (_, document) = device.installed.lock().unwrap().pop().unwrap();
    assert_eq!(configuration["clientCertificate"], document.client_certificate.as_str());
    assert_eq!(configuration["caCertificate"], document.ca_certificate.as_str());
}

#[tokio::test(start_paused = true)]
async fn an_rsa_device_is_paired_too() {
    let world = World::new().await;
    let device = FakeDevice::new(2, Suite::Rsa2048);
    world.know(&[&device]).await;
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
}

#[tokio::test(start_paused = true)]
async fn a_scan_claims_at_once_and_pair_goes_on() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();

    let scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);
    assert_eq!(scan.device_serial, device.serial);
    assert_eq!(scan.firmware_version.as_str(), "1.2.3");
    assert_eq!(scan.reserved_until, world.clock.wall() + Duration::from_secs(120));

    let mut request = device.pair_request();
    request.session_id = Some(scan.session_id);
    request.pairing_token = None;
    request.ip_address = None;
    request.bed_id = Some(BedId::parse("ICU-3B").unwrap());
    request.device_label = Some(DeviceLabel::parse("ICU-MON-04").unwrap());
    let outcome = world.station.pair(&tess, request).await.unwrap();

    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let (_, document) = device.installed.lock().unwrap().pop().unwrap();
    assert_eq!(document.bed_id.unwrap().as_str(), "ICU-3B");
    assert_eq!(document.device_label.unwrap().as_str(), "ICU-MON-04");
    let page = zmon_station::ports::Page { offset: 0, limit: 10 };
    let listed = world
        .station
        .fleet(&administrator(), &FleetFilter::default(), page)
        .await
        .unwrap()
        .devices
        .pop()
        .unwrap();
    assert_eq!(listed.bed_id.unwrap().as_str(), "ICU-3B");
    assert!(listed.provisioned);
}

#[tokio::test(start_paused = true)]
async fn the_three_members_of_the_document_go_with_a_scan_or_the_registrys_address() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();
    let three = || PairRequest { ip_address: None, ..device.pair_request() };

    let alone = world.station.pair(&tess, three()).await.unwrap_err();
    assert_eq!(alone.code(), ErrorCode::RequestMalformed);
    assert_eq!(alone.report.detail.unwrap().field(), "ipAddress");

    let _scan = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let outcome = world.station.pair(&tess, three()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);

    let device = FakeDevice::new(2, Suite::P256);
    world.plug(&device);
    let mut row = device.manifest_row();
    row.ip_address = Some(device.address);
    let manifest = manifest::to_lines(&[row]).unwrap();
    world.station.import(&administrator(), &manifest).await.unwrap();
    let three = PairRequest { ip_address: None, ..device.pair_request() };
    let outcome = world.station.pair(&tess, three).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_scan_is_the_same_session() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();
    let first = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    let second = world.station.scan(&tess, device.scan_request()).await.unwrap().scanned().unwrap();
    assert_eq!(first, second);
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_never_mints_twice() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let tess = technician();

    let copies = (0..8).map(|_| {
        let (station, tess, request) = (world.station.clone(), tess.clone(), device.pair_request());
        tokio::spawn(async move { station.pair(&tess, request).await })
    });
    let mut signatures = BTreeSet::new();
    for copy in copies.collect::<Vec<_>>() {
        let outcome = copy.await.unwrap().unwrap();
        let PairOutcome::Paired(answer) = outcome else { panic!("{outcome:?}") };
        signatures.insert(answer.configuration.signature);
    }
    // An answer that was lost is still there for the session.
    let late =
        PairRequest { session_id: Some(world.store.sessions()[0].id), ..device.pair_request() };
    let late = world.station.pair(&tess, late).await.unwrap();
    let PairOutcome::Paired(answer) = late else { panic!("{late:?}") };
    signatures.insert(answer.configuration.signature);

    assert_eq!(signatures.len(), 1);
    assert_eq!(world.store.certificates().len(), 1);
    assert_eq!(device.opens.load(Ordering::SeqCst), 1);
    assert_eq!(device.deliveries.load(Ordering::SeqCst), 1);
    assert_eq!(world.store.count(EventType::CertificateIssued), 1);
    assert_eq!(world.store.count(EventType::PairingSucceeded), 1);
}

#[tokio::test(start_paused = true)]
async fn another_wish_for_the_same_session_is_a_conflict() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::SlowDelivery);
    world.know(&[&device]).await;
    let tess = technician();
    let first = world.station.pair(&tess, device.pair_request()).await.unwrap();
    assert!(matches!(first, PairOutcome::Pending(_)));

    let mut other = device.pair_request();
    other.bed_id = Some(BedId::parse("ICU-9").unwrap());
    let error = world.station.pair(&tess, other).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::IdempotencyConflict);
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_is_pending_and_paired_later() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::SlowDelivery);
    world.know(&[&device]).await;
    let tess = technician();

    let outcome = world.station.pair(&tess, device.pair_request()).await.unwrap();
    let PairOutcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    assert_eq!(pending.delivery, zmon_domain::route::Route::Push);
    assert_eq!(pending.events_url, format!("/api/provisioning/pair/{}", pending.session_id));
    let id = pending.session_id;
    let again = world.station.pair_result(&tess, &id).await.unwrap();
    assert!(matches!(again, PairOutcome::Pending(_)));
    for other in [operator("tom", Role::Technician), administrator()] {
        let error = world.station.pair_result(&other, &id).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SessionUnknown);
    }

    pass(Duration::from_secs(30)).await;
    let done = world.station.pair_result(&tess, &id).await.unwrap();
    assert!(matches!(done, PairOutcome::Paired(_)));
    let error = world.station.pair_result(&administrator(), &id).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_delivery_does_not_undo_a_commit() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::LosesAnswer);
    world.know(&[&device]).await;
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    assert_eq!(world.store.certificates()[0].state, CertificateState::Current);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_device_is_paired_where_the_policy_trusts_the_scan() {
    use zmon_station::DeviceTrust;
    let world = World::with(|policy| {
        policy.session.device_trust = vec![DeviceTrust::Registry, DeviceTrust::Scanned]
    })
    .await;
    let device = FakeDevice::new(1, Suite::P256);
    world.plug(&device);
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    let page = zmon_station::ports::Page { offset: 0, limit: 10 };
    let listed =
        world.station.fleet(&administrator(), &FleetFilter::default(), page).await.unwrap().devices;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].device_serial, device.serial);
}

#[tokio::test(start_paused = true)]
async fn live_views_see_the_pairing_go_by() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let mut events = world.station.events();
    let _paired = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let mut phases = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let StationEvent::Session { phase, .. } = event {
            phases.push(phase);
        }
    }
    let expected = [
        SessionPhase::Dialling,
        SessionPhase::Issuing,
        SessionPhase::Delivering,
        SessionPhase::Paired,
    ];
    assert_eq!(phases, expected);
}

#[tokio::test(start_paused = true)]
async fn the_device_s_checkpoint_is_kept() {
    use zmon_station::ports::StationStore;
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let _paired = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert_eq!(world.store.peer_checkpoint(&device.id).await.unwrap(), None, "it has shown none");

    device.open_window();
    let shown = Some(device.checkpoint(7, 1));
    device.show_log(shown.clone());
    let _paired = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert_eq!(world.store.peer_checkpoint(&device.id).await.unwrap(), shown);
}

#[tokio::test(start_paused = true)]
async fn a_device_killed_while_its_commit_is_written_does_not_hold_the_session() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    device.misbehave(Fault::DiesBeforeCommit);
    world.know(&[&device]).await;
    let (station, request) = (world.station.clone(), device.pair_request());
    let pairing = tokio::spawn(async move { station.pair(&technician(), request).await });
    // Its connection has broken, the next attempt is not due, and its commit arrives.
    pass(Duration::from_millis(100)).await;
    let row = world.store.certificates().pop().unwrap();
    device.commit(&row.session, &row.serial).await.unwrap();
    assert!(matches!(pairing.await.unwrap().unwrap(), PairOutcome::Paired(_)));
    assert_eq!(device.deliveries.load(Ordering::SeqCst), 1);
    assert!(!world.store.sessions()[0].reserved);
}

#[tokio::test(start_paused = true)]
async fn a_new_window_of_a_committed_device_is_paired_by_whoever_scans_it() {
    for second in [technician(), operator("tom", Role::Technician)] {
        let world = World::new().await;
        let device = FakeDevice::new(1, Suite::P256);
        device.misbehave(Fault::HangsAfterCommit);
        world.know(&[&device]).await;
        let (station, request) = (world.station.clone(), device.pair_request());
        let first = tokio::spawn(async move { station.pair(&technician(), request).await });
        pass(Duration::from_secs(1)).await;
        let serial = world.store.certificates()[0].serial;

        // Switched off and on, it shows another code.
        device.misbehave(Fault::None);
        device.open_window();
        let outcome = world.station.pair(&second, device.pair_request()).await.unwrap();
        assert!(matches!(outcome, PairOutcome::Paired(_)));
        assert!(matches!(first.await.unwrap().unwrap(), PairOutcome::Paired(_)));
        for row in world.store.certificates() {
            let superseded = row.serial == serial;
            let expected = [CertificateState::Current, CertificateState::Superseded];
            assert_eq!(row.state, expected[usize::from(superseded)]);
        }
        assert_eq!(world.store.count(EventType::PairingSucceeded), 2);
    }
}
