//! A device without an anchor (D8): an operator compares four words and confirms its station, or
//! nothing is staged.

use core::time::Duration;

use zmon_crypto::jws::{self, Typ};
use zmon_crypto::x509::{AnchorSet, trust_level_of};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::{ErrorCode as C, ErrorReport};
use zmon_domain::limits;
use zmon_domain::role::{Actor, OperatorProof, Role};
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::ClockQuality;
use zmon_protocol::device::{
    Confirmation, DeviceInput, DeviceReply, DeviceWrite, LinkError, StateKind,
};
use zmon_protocol::station::{SessionInput, SessionPhase, StationAction};
use zmon_wire::kind::{TrustLevel, V1};
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use crate::common::ca::TestCa;
use crate::common::clock::start;
use crate::common::{Commit, Forge, Pair, administrator, proof, seconds, technician};

const DAY: Duration = Duration::from_secs(86_400);

fn open(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.by_proximity();
    pair.enter();
    pair
}

/// Paired as far as it goes without a person.
fn waiting(seed: u64) -> Pair {
    let mut pair = open(seed);
    assert_eq!(pair.pair(), SessionPhase::Delivering);
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
    pair
}

fn confirmed(seed: u64) -> Pair {
    let mut pair = waiting(seed);
    confirm(&mut pair).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
    pair
}

fn shown(pair: &Pair) -> Confirmation {
    pair.snapshot().confirmation.expect("a station waits")
}

fn confirm(pair: &mut Pair) -> Result<DeviceReply, C> {
    let words = pair.words();
    confirm_by(pair, &words)
}

fn tell_words(pair: &mut Pair, proof: OperatorProof) -> Result<DeviceReply, ErrorReport> {
    let words = pair.words();
    pair.tell(DeviceInput::ConfirmStation { proof, words })
}

fn confirm_by(pair: &mut Pair, words: &str) -> Result<DeviceReply, C> {
    let proof = technician(&pair.now());
    let input = DeviceInput::ConfirmStation { proof, words: words.to_owned() };
    pair.tell(input).map_err(|report| report.code)
}

/// The session is over and has left nothing.
fn assert_ended(pair: &Pair, code: C) {
    assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
    assert_eq!(pair.snapshot().last_error.unwrap().code, code);
    assert!(pair.snapshot().confirmation.is_none());
    assert!(pair.device.stored.slot_a.is_none() && pair.device.stored.slot_b.is_none());
    assert_eq!(pair.tested, 0, "nothing was tried with the configuration");
    assert_eq!(pair.phase(), SessionPhase::Failed);
    let failed = pair.station.rows(E::PairingFailed);
    assert_eq!(failed.last().unwrap().error, Some(code), "the station learns it from the device");
    assert!(pair.station.current().is_none());
}

#[test]
fn both_sides_show_the_same_words_and_nothing_is_staged_before_somebody_says_yes() {
    let mut pair = waiting(301);
    let shown = shown(&pair);
    assert_eq!(pair.station.machine.as_ref().unwrap().words(), Some(shown.words));
    assert_eq!(shown.station_id.as_str(), "cs-1");
    assert_eq!(shown.station_name.as_str(), "Central Station North");
    assert_eq!(shown.bed.unwrap().as_str(), "ICU-3B");
    assert_eq!(shown.until, pair.now().mono + limits::CONFIRMATION.default);
    let held = &pair.device.stored;
    assert!(held.slot_b.is_none() && held.slot_a.is_none() && pair.link.is_none());
    assert_eq!((pair.tested, pair.device.rows(E::ConfigurationApplied).len()), (0, 0));
    assert_eq!(pair.device.rows(E::ConfigurationReceived).len(), 1);

    confirm(&mut pair).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
    let row = pair.device.rows(E::StationConfirmed)[0].clone();
    assert!(row.success && row.session.is_some());
    let told = format!("{row:?}");
    assert!(told.contains(&shown.words.join(" ")) && told.contains("ICU-3B"), "{told}");
    assert!(told.contains("cs-1") && told.contains("tess"), "{told}");
    // The level is in the certificate and so wherever the device shows itself.
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    let leaf = &slot.credentials().unwrap().client_chain[0];
    assert_eq!(trust_level_of(leaf).unwrap(), Some(TrustLevel::Proximity));
    assert_eq!(pair.snapshot().active.unwrap().trust, Some(TrustLevel::Proximity));
}

#[test]
fn another_session_has_other_words() {
    let (one, other) = (shown(&waiting(302)), shown(&waiting(303)));
    assert_ne!(one.words, other.words);
    let mut anchored = Pair::new(302);
    anchored.enter();
    assert_eq!(anchored.pair(), SessionPhase::Paired);
    assert!(anchored.station.machine.as_ref().unwrap().words().is_none(), "nobody has to compare");
}

#[test]
fn the_words_must_be_this_session_s() {
    let mut pair = waiting(304);
    let words = shown(&pair).words;
    for wrong in ["", "zoo zoo zoo zoo", &words[..3].join(" "), &words.map(|_| words[0]).join(" ")]
    {
        assert_eq!(confirm_by(&mut pair, wrong), Err(C::WordsMismatch));
        assert_eq!(pair.device.last().event, E::StationConfirmed);
        assert_eq!(pair.device.last().error, Some(C::WordsMismatch));
        assert!(pair.snapshot().confirmation.is_some(), "the session lives");
    }
    let typed = format!("  {} ", words.join("   ")).to_uppercase();
    confirm_by(&mut pair, &typed).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
}

#[test]
fn whoever_stands_at_the_device_may_refuse() {
    let mut pair = waiting(305);
    pair.tell(DeviceInput::RefuseStation { actor: Actor::Local }).unwrap();
    assert_ended(&pair, C::ProximityRefused);
    let row = pair.device.rows(E::StationConfirmed)[0];
    assert_eq!((row.error, &row.actor), (Some(C::ProximityRefused), &Actor::Local));
}

#[test]
fn silence_is_no_consent() {
    let mut pair = waiting(306);
    pair.pass(limits::CONFIRMATION.default - seconds(1));
    assert!(pair.snapshot().confirmation.is_some());
    pair.pass(seconds(1));
    assert_ended(&pair, C::ProximityTimedOut);
    assert_eq!(confirm(&mut pair), Err(C::StateConflict), "too late");
}

#[test]
fn not_everybody_may_confirm() {
    let mut pair = waiting(307);
    let expired = proof(Role::Technician, pair.now().mono);
    pair.pass(seconds(1));
    let now = pair.now();
    let auditor = proof(Role::Auditor, now.mono + seconds(60));
    for (proof, code) in [(auditor, C::NotPermitted), (expired, C::ProofExpired)] {
        let refused = tell_words(&mut pair, proof).unwrap_err();
        assert_eq!(refused.code, code);
        assert_eq!(pair.device.last().event, E::OperationRefused);
        assert!(pair.snapshot().confirmation.is_some());
    }
    let proof = administrator(&now);
    tell_words(&mut pair, proof).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
}

#[test]
fn without_a_station_that_waits_there_is_nothing_to_confirm() {
    let mut pair = open(308);
    assert_eq!(confirm(&mut pair), Err(C::StateConflict));
    let refuse = DeviceInput::RefuseStation { actor: Actor::Local };
    assert_eq!(pair.tell(refuse).unwrap_err().code, C::StateConflict);
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}

#[test]
fn the_station_asks_until_somebody_has_decided() {
    let mut pair = waiting(309);
    let sent = pair.last_envelope.clone();
    // The device's listener gives up the delivery, as it does after a while.
    for _ in 0..5 {
        let status = at_work(&mut pair);
        pair.delivered = false;
        pair.last_envelope = None;
        let now = pair.now();
        pair.station.input(&now, SessionInput::Delivered(status)).unwrap();
        assert_eq!(pair.phase(), SessionPhase::Delivering);
        assert!(pair.last_envelope.is_none(), "not at once");
        pair.pass(seconds(1));
        assert!(pair.delivered, "asked again");
        assert_eq!(pair.last_envelope, sent, "the same bytes");
    }
    pair.tell(DeviceInput::RefuseStation { actor: Actor::Local }).unwrap();
    assert_ended(&pair, C::ProximityRefused);
    // Nobody was there when it said no: the same question gets the same answer.
    let mut pair = waiting(310);
    let status = at_work(&mut pair);
    pair.delivered = false;
    let now = pair.now();
    pair.station.input(&now, SessionInput::Delivered(status)).unwrap();
    pair.device.input(&now, DeviceInput::RefuseStation { actor: Actor::Local }).unwrap();
    pair.pass(seconds(1));
    assert_ended(&pair, C::ProximityRefused);
}

fn at_work(pair: &mut Pair) -> Vec<u8> {
    let status = StatusDocument {
        v: V1::default(),
        session_id: pair.station.machine.as_ref().unwrap().session_id(),
        state: ProvisioningState::Pairing,
        success: false,
        code: None,
        configuration_hash: None,
    };
    let payload = strict::to_vec(&status).unwrap();
    let device = &mut pair.device;
    jws::sign(Typ::Status, None, &payload, &device.identity, &mut device.rng).unwrap().into_bytes()
}

#[test]
fn an_anchored_device_that_is_at_work_is_not_asked_again() {
    let mut pair = Pair::new(311);
    pair.enter();
    pair.tests.extend([Err(LinkError::Network(C::StationUnreachable)); 1]);
    assert_eq!(pair.pair(), SessionPhase::Delivering);
    let status = at_work(&mut pair);
    let now = pair.now();
    pair.station.input(&now, SessionInput::Delivered(status)).unwrap();
    assert_eq!(pair.phase(), SessionPhase::AwaitingCommit);
}

#[test]
fn a_code_that_is_typed_is_refused() {
    let mut pair = open(312);
    let start = DeviceInput::PakeStart { hello: b"a.b.c".to_vec(), share_p: [4; 65] };
    for input in [DeviceInput::AskWindow, start] {
        assert_eq!(
            pair.tell(input).unwrap_err().code,
            C::ClaimRefused,
            "and the peer learns nothing"
        );
    }
    pair.pass(seconds(61));
    let code = C::ProximityNeedsScan;
    assert!(pair.device.audit.iter().any(|row| row.error == Some(code)), "{:?}", pair.device.audit);
    assert_eq!(pair.device.tries, 0, "it cost no try");
    let code = pair.code();
    assert_eq!(pair.pair_typed(&code), SessionPhase::Failed);
}

#[test]
fn who_holds_an_anchor_does_not_trust_by_proximity() {
    let mut pair = Pair::new(313);
    let anchors = pair.device.anchors.clone();
    pair.by_proximity();
    pair.device.anchors = anchors;
    let proof = technician(&pair.now());
    let address = crate::common::address();
    let refused = pair.tell(DeviceInput::Enter { proof, address }).unwrap_err();
    assert_eq!(refused.code, C::ProximityWithAnchor);
    assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
    // One that arrives while the window is open counts from then on.
    let mut pair = open(314);
    pair.device.anchors =
        AnchorSet::from_anchors([TestCa::new("south", "cs-9", start()).anchor()]).unwrap();
    assert_eq!(pair.pair(), SessionPhase::Failed);
    assert!(pair.snapshot().confirmation.is_none());
}

#[test]
fn a_station_pairs_by_proximity_only_where_its_policy_says_so() {
    let mut pair = open(315);
    pair.station.policy.station_trust = vec![TrustLevel::Anchored];
    assert_eq!(pair.pair(), SessionPhase::Failed);
    let refused = pair.station.rows(E::IdentityRefused);
    assert_eq!(refused[0].error, Some(C::ProximityNotAllowed));
    assert!(!pair.station.actions.iter().any(|a| matches!(a, StationAction::Issue { .. })));
}

#[test]
fn a_device_that_has_no_anchor_and_asks_for_one_takes_no_station() {
    let mut pair = open(316);
    pair.device.profile.trust = zmon_protocol::device::StationTrust::Anchored;
    assert_eq!(pair.pair(), SessionPhase::Failed);
    assert!(pair.snapshot().confirmation.is_none());
}

#[test]
fn a_station_that_nobody_vouches_for_teaches_the_device_nothing() {
    let mut pair = Pair::new(317);
    pair.by_proximity();
    pair.clock.quality = ClockQuality::None;
    pair.enter();
    pair.pair();
    assert!(pair.snapshot().confirmation.is_some());
    confirm(&mut pair).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
    assert!(pair.device.stored.site_not_before.is_empty());
    assert!(pair.device.stored.floor.is_none(), "its time is not believed");
}

#[test]
fn the_one_confirmed_is_the_one_of_the_hello() {
    // Another certificate of the same station and site signs the configuration.
    let mut pair = open(318);
    let forge = Forge::claim(&mut pair);
    let document = forge.document(&mut pair);
    let order = pair.station.ca.order("cs-1", start());
    pair.station.ca.use_signer(&order);
    let envelope = forge.envelope(&mut pair, &document);
    let DeviceReply::Status(_) = forge.deliver(&mut pair, envelope).unwrap() else {
        panic!("refused, and the status says so");
    };
    assert_eq!(pair.snapshot().last_error.unwrap().code, C::SigningProfileViolation);
    // A configuration that pins no server leaves nothing to know the station by.
    let mut pair = open(319);
    let forge = Forge::claim(&mut pair);
    let mut document = forge.document(&mut pair);
    document.server_certificate = None;
    let envelope = forge.envelope(&mut pair, &document);
    forge.deliver(&mut pair, envelope).unwrap();
    assert_eq!(pair.snapshot().last_error.unwrap().code, C::ConfigurationMalformed);
}

#[test]
fn while_one_waits_another_configuration_is_refused() {
    let mut pair = open(320);
    let forge = Forge::claim(&mut pair);
    let document = forge.document(&mut pair);
    let envelope = forge.envelope(&mut pair, &document);
    assert_eq!(forge.deliver(&mut pair, envelope.clone()), Ok(DeviceReply::Pending));
    assert_eq!(forge.deliver(&mut pair, envelope), Ok(DeviceReply::Pending));
    let other = forge.envelope(&mut pair, &document);
    assert_eq!(forge.deliver(&mut pair, other).unwrap_err().code, C::StateConflict);
    assert!(pair.snapshot().confirmation.is_some());
}

#[test]
fn it_renews_and_recovers_by_the_key_that_it_has_pinned() {
    let mut pair = confirmed(321);
    pair.device.profile.recovery = true;
    pair.restart().unwrap();
    let first = pair.device.stored.slot_a.as_ref().unwrap().serial;
    let order = pair.station.ca.order("cs-1", start());
    pair.station.ca.use_signer(&order);
    pair.renew();
    let second = pair.device.stored.slot_a.as_ref().unwrap().serial;
    assert_ne!(first, second);
    assert_eq!(pair.device.rows(E::StationConfirmed).len(), 1, "nobody is asked again");
    assert_eq!(pair.snapshot().active.unwrap().trust, Some(TrustLevel::Proximity));
    // Long after its certificate has expired.
    pair.clock.elapsed += DAY * 120;
    let order = pair.station.ca.order("cs-1", pair.station_now().wall.unwrap());
    pair.station.ca.use_signer(&order);
    pair.restart().unwrap();
    pair.pass(DAY);
    assert_ne!(pair.device.stored.slot_a.as_ref().unwrap().serial, second);
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
}

#[test]
fn another_station_does_not_renew_it() {
    let mut pair = confirmed(322);
    let first = pair.device.stored.slot_a.as_ref().unwrap().serial;
    let order = pair.station.ca.order("cs-2", start());
    pair.station.ca.use_signer(&order);
    pair.renew();
    assert_eq!(pair.device.stored.slot_a.as_ref().unwrap().serial, first);
    assert_eq!(pair.device.rows(E::RenewalFailed).len(), 1);
}

#[test]
fn an_outcome_in_doubt_is_resolved_without_an_anchor() {
    for (fate, installed) in [(Commit::AnswerLost, true), (Commit::RequestLost, false)] {
        let mut pair = waiting(323);
        pair.commits.extend([fate; 3]);
        confirm(&mut pair).unwrap();
        pair.step();
        pair.step();
        assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
        pair.pass(seconds(20));
        assert_eq!(pair.device.stored.slot_a.is_some(), installed, "{fate:?}");
        assert_ne!(pair.device.machine.kind(), StateKind::InDoubt);
    }
}

#[test]
fn a_confirmed_station_is_staged_in_one_commit_with_its_row() {
    let mut pair = waiting(324);
    let now = pair.now();
    let input = DeviceInput::ConfirmStation { proof: technician(&now), words: pair.words() };
    let transition = pair.device.propose(&now, input);
    assert_eq!(transition.next.kind(), StateKind::Configuring);
    let rows: Vec<_> = transition.record.audit.iter().map(|row| row.event).collect();
    assert_eq!(rows, [E::StationConfirmed, E::ConfigurationApplied]);
    assert!(matches!(transition.record.writes[..], [DeviceWrite::StageB(_)]));
    // If the store does not take it, nothing has happened.
    pair.device.audit_down = true;
    assert_eq!(confirm(&mut pair), Err(C::AuditUnavailable));
    pair.device.audit_down = false;
    assert!(pair.snapshot().confirmation.is_some());
    confirm(&mut pair).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Paired);
    // The power fails while somebody reads the words: nothing was kept.
    let mut pair = waiting(325);
    pair.restart().unwrap();
    assert!(pair.snapshot().confirmation.is_none());
    assert!(pair.device.stored.slot_b.is_none());
}
