//! One pairing from the station's point of view ([W §11.3], D7, D11, D13).

mod common;

use common::{FakeDevice, Fault, World, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_station::PairOutcome;
use zmon_station::ports::{CertificateState, SessionPhase};
use zmon_wire::strict;

#[tokio::test(start_paused = true)]
async fn one_call_pairs_a_registered_device() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;

    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();

    let PairOutcome::Paired(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!(answer.configuration.server_url.as_str(), "https://monitoring.hospital.com:8443");
    assert!(answer.configuration.client_private_key.is_none());
    let (serial, document) = device.installed.lock().unwrap().pop().unwrap();
    let certificates = world.store.certificates();
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0].serial, serial);
    assert_eq!(certificates[0].state, CertificateState::Current);
    assert_eq!(certificates[0].config_version, document.config_version);
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
    let json = String::from_utf8(strict::to_vec(&answer).unwrap()).unwrap();
    let keys: Vec<_> = json.split('"').skip(1).step_by(2).filter(|k| k.len() < 20).collect();
    assert!(keys.starts_with(&["success", "configuration", "serverUrl"]), "{keys:?}");
}
