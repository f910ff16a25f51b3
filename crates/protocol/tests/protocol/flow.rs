//! One pairing from start to end, and a second one over it ([W §2.1], [W §8], D13).

use zmon_crypto::{IdentityKey, Suite};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::{Actor, Role};
use zmon_domain::settings::SyncInterval;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus, ReprovisioningPhase};
use zmon_protocol::device::{DeviceInput, LinkError};
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_wire::configuration::ConfigurationDocument;

use crate::common::{Pair, actor, address, details, technician};
use crate::signals::names;

fn first_pairing(suite: Suite) -> Pair {
    let mut pair = Pair::with_suite(1, suite);
    assert_eq!(pair.device.machine.state(), ProvisioningState::NotProvisioned);
    pair.enter();
    assert_eq!(pair.device.machine.state(), ProvisioningState::ReadyToPair);
    assert_eq!(pair.pair(), SessionPhase::Paired);
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    pair
}

#[test]
fn a_pairing_takes_five_commits_with_their_rows() {
    let pair = first_pairing(Suite::P256);
    let expected: [&[E]; 5] = [
        &[E::ProvisioningModeEntered, E::PairingCodeGenerated],
        &[E::PairingCodeValidated],
        &[E::ConfigurationReceived, E::ConfigurationApplied],
        &[E::ConnectionTested, E::CommitSent],
        &[E::CommitConfirmed, E::CertificateInstalled, E::ProvisioningCompleted],
    ];
    assert_eq!(pair.device.commits, expected);
    let entered = &pair.device.audit[0];
    assert_eq!(entered.actor, actor(Role::Technician));
    assert!(entered.detail.contains(&("address", address().to_string())));
    let generated = &pair.device.audit[1];
    let validated = &pair.device.audit[2];
    assert!(generated.code_hash.is_some());
    assert_eq!(generated.code_hash, validated.code_hash);
    assert_eq!(validated.actor, Actor::Peer);
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    for row in &pair.device.audit[2..] {
        assert_eq!(row.session, Some(slot.session_id), "{row:?}");
        assert!(row.success, "{row:?}");
    }
    assert_eq!(pair.device.last().configuration_hash, Some(slot.configuration_hash));
}

#[test]
fn signals_come_in_one_order() {
    let pair = first_pairing(Suite::P256);
    assert_eq!(
        names(&pair.signals),
        [
            "statusChanged READY_TO_PAIR",
            "qrCodeGenerated",
            "configurationReceived",
            "statusChanged PAIRING_RECEIVED",
            "provisioningCompleted",
            "statusChanged PROVISIONED",
        ]
    );
}

#[test]
fn effects_come_in_one_order_and_the_listener_closes() {
    let pair = first_pairing(Suite::P256);
    assert_eq!(
        pair.trace,
        [
            "OpenListener",
            "TestConnection",
            "SendCommit",
            "AnswerDelivery",
            "CloseListener",
            "StartLink"
        ]
    );
    assert!(!pair.listening);
    assert_eq!(pair.link, pair.device.stored.slot_a.as_ref().map(|slot| slot.serial));
}

#[test]
fn nothing_of_the_session_stays_and_the_slot_is_whole() {
    let pair = first_pairing(Suite::P256);
    let snapshot = pair.snapshot();
    assert!(snapshot.code.is_none() && snapshot.qr.is_none() && snapshot.expires_in.is_none());
    assert!(snapshot.is_provisioned && snapshot.last_error.is_none());
    let active = snapshot.active.unwrap();
    assert_eq!(active.server_url.as_str(), "https://10.1.1.1:8443");
    assert_eq!(active.settings, details("ICU-3B").settings);
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    assert_eq!(slot.settings().unwrap(), active.settings);
    let credentials = slot.credentials().unwrap();
    assert_eq!(credentials.client_chain.len(), 2);
    assert!(credentials.server_pin.is_some());
    assert!(pair.device.stored.slot_b.is_none() && !pair.device.stored.window_open);
    // Nothing waits but the next look at whether a renewal is due.
    let look = pair.now().mono + limits::RENEWAL_LOOK.default;
    assert_eq!(pair.device.machine.poll_timeout(), Some(look));
}

#[test]
fn the_station_records_the_same_pairing() {
    let pair = first_pairing(Suite::P256);
    let events: Vec<_> = pair.station.audit.iter().map(|row| row.event).collect();
    assert_eq!(
        events,
        [
            E::SessionOpened,
            E::SessionClaimed,
            E::CertificateIssued,
            E::ConfigurationDelivered,
            E::CommitConfirmed,
            E::PairingSucceeded,
        ]
    );
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    assert_eq!(pair.station.current().as_ref(), Some(&slot.serial));
    let succeeded = pair.station.rows(E::PairingSucceeded)[0];
    assert_eq!(succeeded.configuration_hash, Some(slot.configuration_hash));
    assert_eq!(pair.station.reservation, None);
    let answer = pair.station.machine.as_ref().unwrap().answer().unwrap();
    assert_eq!(answer.configuration.server_url.as_str(), "https://10.1.1.1:8443");
    assert!(answer.configuration.client_private_key.is_none());
    assert_eq!(answer.configuration.signature.len(), 86);
}

#[test]
fn a_configuration_lives_an_hour_and_says_what_it_is_for() {
    let pair = first_pairing(Suite::P256);
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    let document = ConfigurationDocument::parse(slot.configuration.expose()).unwrap();
    assert_eq!(document.timestamp, pair.now().wall.unwrap());
    assert_eq!(document.expires_at, document.timestamp + limits::PAYLOAD_LIFETIME.default);
    assert_eq!(document.sync_interval, SyncInterval::default());
    assert_eq!(document.device_id, pair.device.profile.device_id);
    assert_eq!(document.device_serial, pair.device.profile.serial);
    assert_eq!(document.device_key, pair.device.identity.public().thumbprint());
    assert_eq!(document.bed_id, details("ICU-3B").settings.bed);
    assert!(document.client_private_key.is_none() && document.server_certificate.is_some());
    let code = document.pairing_code.as_ref().unwrap();
    assert_eq!(code.expose().len(), "ABC-123-XYZ".len());
}

#[test]
fn rsa_identities_pair_the_same_way() {
    let pair = first_pairing(Suite::Rsa2048);
    assert_eq!(pair.device.commits.len(), 5);
}

#[test]
fn a_reprovisioning_keeps_the_old_slot_until_the_new_one_is_committed() {
    let mut pair = Pair::provisioned(2);
    let old = pair.device.stored.slot_a.clone().unwrap();
    let from = pair.device.audit.len();
    pair.reprovision();
    assert_eq!(
        pair.device.machine.state(),
        ProvisioningState::Reprovisioning(ReprovisioningPhase::ReadyToPair)
    );
    assert!(pair.device.machine.is_provisioned());
    assert_eq!(pair.link.as_ref(), Some(&old.serial), "the link goes on");
    assert_eq!(pair.pair(), SessionPhase::Paired);
    let new = pair.device.stored.slot_a.clone().unwrap();
    assert_ne!(new.serial, old.serial);
    assert!(new.generation > old.generation);
    assert_eq!(pair.station.certificates[&old.serial].state, CertificateState::Superseded);
    assert_eq!(pair.station.certificates[&new.serial].state, CertificateState::Current);
    let log: Vec<_> = pair.device.log_since(from).into_iter().map(|(event, _)| event).collect();
    assert_eq!(
        log,
        [
            E::ReprovisioningStarted,
            E::ProvisioningModeEntered,
            E::PairingCodeGenerated,
            E::PairingCodeValidated,
            E::ConfigurationReceived,
            E::ConfigurationApplied,
            E::ConnectionTested,
            E::CommitSent,
            E::CommitConfirmed,
            E::CertificateSuperseded,
            E::CertificateInstalled,
            E::ProvisioningCompleted,
        ]
    );
    assert_eq!(
        pair.trace,
        [
            "OpenListener",
            "TestConnection",
            "SendCommit",
            "AnswerDelivery",
            "CloseListener",
            "StopLink",
            "StartLink"
        ]
    );
    assert_eq!(
        names(&pair.signals),
        [
            "statusChanged READY_TO_PAIR",
            "qrCodeGenerated",
            "configurationReceived",
            "statusChanged PAIRING_RECEIVED",
            "provisioningCompleted",
            "statusChanged PROVISIONED",
        ]
    );
}

#[test]
fn a_failed_reprovisioning_leaves_the_old_slot_at_work() {
    let mut pair = Pair::provisioned(3);
    let old = pair.device.stored.slot_a.clone().unwrap();
    pair.reprovision();
    pair.tests.push_back(Err(LinkError::Refused(ErrorCode::ConnectionRefusedByStation)));
    assert_eq!(pair.pair(), SessionPhase::Failed);
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    assert_eq!(pair.device.machine.status(), ProvisioningStatus::Provisioned);
    let snapshot = pair.snapshot();
    assert_eq!(snapshot.last_error.unwrap().code, ErrorCode::ConnectionRefusedByStation);
    assert_eq!(pair.device.stored.slot_a.as_ref().unwrap().serial, old.serial);
    assert_eq!(pair.link.as_ref(), Some(&old.serial));
    assert_eq!(
        names(&pair.signals).last().unwrap(),
        "statusChanged PROVISIONED",
        "the failure is told, then the status"
    );
    assert!(
        names(&pair.signals).contains(&"provisioningFailed connection_refused_by_station".into())
    );
    // The error can be dismissed, and tried again.
    let proof = technician(&pair.now());
    pair.tell(DeviceInput::Retry { proof }).unwrap();
    assert_eq!(pair.pair(), SessionPhase::Paired);
    assert!(pair.snapshot().last_error.is_none());
}

#[test]
fn every_event_of_the_document_is_reached() {
    let mut pair = Pair::provisioned(4);
    pair.reprovision();
    pair.tests.push_back(Err(LinkError::Certificate(ErrorCode::ServerPinMismatch)));
    pair.pair();
    for event in E::PROVISIONING {
        assert!(!pair.device.rows(*event).is_empty(), "{event} was never written");
    }
}

#[test]
fn without_an_audit_row_there_is_no_operation() {
    let mut pair = Pair::new(5);
    pair.device.audit_down = true;
    let (now, proof) = (pair.now(), technician(&pair.now()));
    let input = DeviceInput::Enter { proof, address: address() };
    let refused = pair.device.input(&now, input).unwrap_err();
    assert_eq!(refused.code, ErrorCode::AuditUnavailable);
    assert_eq!(pair.device.machine.state(), ProvisioningState::NotProvisioned);
    assert!(pair.device.actions.is_empty(), "no listener");

    pair.device.audit_down = false;
    pair.enter();
    pair.device.audit_down = true;
    pair.pair();
    assert_eq!(
        pair.device.machine.state(),
        ProvisioningState::ReadyToPair,
        "the code is not consumed"
    );
    pair.device.audit_down = false;
    assert_eq!(pair.pair(), SessionPhase::Paired, "and it goes on afterwards");
}
