//! [W §13.2] "End-to-end provisioning workflow".

use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::code::CodeFormat;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BedId, DeviceLabel};
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_provisioning::{IProvisioningService, ProvisioningEvent};
use zmon_station::ports::CertificateState;
use zmon_testkit::{DeviceOptions, SimulatedDevice, Step, TestStation, registered, wait};

#[tokio::test]
async fn a_device_goes_from_not_provisioned_to_provisioned() {
    let (station, device) = registered().await;
    assert_eq!(device.status(), ProvisioningStatus::Unprovisioned);
    let mut signals = device.service().events();

    let qr = device.open_window().await;
    assert_eq!(device.status(), ProvisioningStatus::ReadyToPair);
    let answer = station.pair(&qr).await.unwrap();
    let view = device.until_state(ProvisioningState::Provisioned).await;
    device.until_connected().await;

    assert_eq!(device.status(), ProvisioningStatus::Provisioned);
    assert_eq!(view.server_url.as_ref(), Some(&answer.configuration.server_url));
    assert_eq!(answer.configuration.server_url.port(), station.devices().port());
    assert!(answer.configuration.client_private_key.is_none(), "the key never left the device");
    assert!(view.pairing.is_none() && view.last_error.is_none());
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);

    let mut seen = Vec::new();
    while let Some(signal) = signals.try_next() {
        seen.push(match signal {
            ProvisioningEvent::StatusChanged(status) => status.as_str(),
            ProvisioningEvent::QrCodeGenerated { .. } => "qrCodeGenerated",
            ProvisioningEvent::ConfigurationReceived { .. } => "configurationReceived",
            ProvisioningEvent::ProvisioningCompleted(_) => "provisioningCompleted",
            other => panic!("{other:?}"),
        });
    }
    let order = [
        "UNPROVISIONED",
        "READY_TO_PAIR",
        "qrCodeGenerated",
        "configurationReceived",
        "PAIRING_RECEIVED",
        "provisioningCompleted",
        "PROVISIONED",
    ];
    assert_eq!(seen, order);
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn the_audit_trails_of_both_sides_tell_the_whole_pairing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;

    let on_device: Vec<_> = device.events().await.into_iter().map(|(event, _)| event).collect();
    let told = [
        EventType::ProvisioningModeEntered,
        EventType::PairingCodeGenerated,
        EventType::PairingCodeValidated,
        EventType::ConfigurationReceived,
        EventType::ConfigurationApplied,
        EventType::ConnectionTested,
        EventType::CommitSent,
        EventType::CommitConfirmed,
        EventType::CertificateInstalled,
        EventType::ProvisioningCompleted,
    ];
    assert_eq!(on_device, told);
    let session = device.audit().await.iter().find_map(|row| row.session).unwrap();
    let on_station = station.audit().await;
    let of_session: Vec<_> =
        on_station.iter().filter(|row| row.session == Some(session)).map(|row| row.event).collect();
    for event in [
        EventType::SessionOpened,
        EventType::SessionClaimed,
        EventType::CertificateIssued,
        EventType::ConnectionTested,
        EventType::PairingSucceeded,
    ] {
        assert!(of_session.contains(&event), "{event} is not among {of_session:?}");
    }
    assert!(on_station.iter().all(|row| row.success), "{on_station:?}");
}

#[tokio::test]
async fn the_tablet_scans_first_and_pairs_with_bed_and_label() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let tablet = station.technician();
    let scanned = tablet.scan(&qr).await.unwrap();
    assert_eq!(&scanned.device_id, device.id());
    device.until_state(ProvisioningState::Pairing).await;
    assert!(device.service().generate_qr_code().await.is_err(), "a claimed code is not shown");

    let again = tablet.scan(&qr).await.unwrap();
    assert_eq!(again.session_id, scanned.session_id, "the same scan is the same session");
    let bed = BedId::parse("ICU-BED-03").unwrap();
    let label = DeviceLabel::parse("Bett 3, Fensterseite").unwrap();
    let answer = tablet
        .pair_scanned_with(&qr, scanned.session_id, Some(bed.clone()), Some(label.clone()))
        .await
        .unwrap();
    device.until_state(ProvisioningState::Provisioned).await;
    let settings = device.service().settings().current().unwrap();
    assert_eq!((settings.bed, settings.label), (Some(bed), Some(label)));

    let repeated = tablet.pair_scanned(&qr, scanned.session_id).await.unwrap();
    assert_eq!(repeated.configuration.signature, answer.configuration.signature);
    let result = tablet.result(scanned.session_id).await.unwrap();
    assert_eq!(result.configuration.signature, answer.configuration.signature);
    assert_eq!(station.faults().count(Step::Issue), 1, "nothing was minted twice");
}

#[tokio::test]
async fn the_same_pairing_asked_many_times_mints_one_certificate() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    // At once: whoever comes second is told the same, or that the code is taken.
    let (one, two) = tokio::join!(station.pair(&qr), station.pair(&qr));
    let answers: Vec<_> = [one, two].into_iter().filter_map(Result::ok).collect();
    device.until_connected().await;
    // Later the token is used up; the refusal says where its own operator finds the answer.
    let used = station.pair(&qr).await.unwrap_err();
    assert_eq!(used.code(), ErrorCode::PairingCodeConsumed);
    let path = used.problem.instance.unwrap();
    let session = path.strip_prefix("/api/provisioning/pair/").unwrap().parse().unwrap();
    let again = station.technician().result(session).await.unwrap();
    assert!(!answers.is_empty());
    for answer in answers {
        assert_eq!(answer.configuration.signature, again.configuration.signature);
    }
    assert_eq!(station.faults().count(Step::Issue), 1);
}

#[tokio::test]
async fn a_device_with_an_rsa_identity_is_paired_by_the_rsa_envelope() {
    let station = TestStation::start().await;
    let options = DeviceOptions { suite: Suite::Rsa2048, ..DeviceOptions::new(&station) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn a_device_that_shows_six_symbols_is_paired() {
    let station = TestStation::start().await;
    let options = DeviceOptions { code_format: CodeFormat::Short6, ..DeviceOptions::new(&station) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    let qr = device.open_window().await;
    assert_eq!(qr.pairing_code.expose().len(), 6);
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn many_devices_are_paired_at_once() {
    let station = TestStation::start().await;
    let mut devices = Vec::new();
    for number in 1..=4 {
        let options = DeviceOptions::new(&station).named(&format!("ZM-{number:03}"));
        let device = SimulatedDevice::with(options).await;
        station.register(&device).await;
        devices.push(device);
    }
    let mut codes = Vec::new();
    for device in &devices {
        codes.push(device.open_window().await);
    }
    let [a, b, c, d] = codes.as_slice() else { panic!("four devices") };
    let paired = tokio::join!(station.pair(a), station.pair(b), station.pair(c), station.pair(d));
    for result in [paired.0, paired.1, paired.2, paired.3] {
        result.unwrap();
    }
    let mut serials = Vec::new();
    for device in &devices {
        device.until_connected().await;
        serials.push(station.certificates(device, CertificateState::Current).await[0].serial);
    }
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), devices.len());
    station.audit_verified().await;
}

#[tokio::test]
async fn two_stations_in_one_test_do_not_meet() {
    let (station, device) = registered().await;
    let other = TestStation::start().await;
    let foreigner = SimulatedDevice::new(&other).await;
    other.register(&foreigner).await;
    let (qr, foreign) = (device.open_window().await, foreigner.open_window().await);
    let (here, there) = tokio::join!(station.pair(&qr), other.pair(&foreign));
    here.unwrap();
    there.unwrap();
    wait::within("both links", async {
        tokio::join!(device.until_connected(), foreigner.until_connected())
    })
    .await;
    assert_ne!(device.view().server_url, foreigner.view().server_url);
}
