//! Commit, doubt, and the signed answer that alone ends it (D13): never neither, never two for ever.

use zmon_crypto::SecretBytes;
use zmon_crypto::jws::Typ;
use zmon_crypto::x509::{self, AnchorSet, CertificateChain};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::role::Role;
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_domain::time::ClockQuality;
use zmon_protocol::device::{DeviceAction, DeviceInput, LinkError, StateKind};
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::kind::V1;
use zmon_wire::outcome::{CommitRequest, Outcome, OutcomeResult};
use zmon_wire::pem::PemBase64;
use zmon_wire::strict;

use crate::common::ca::{SigningOrder, TestCa};
use crate::common::clock::start;
use crate::common::{Commit, Pair, actor, administrator, forge, proof, seconds, technician};

/// A device whose three commits had these fates, asked nothing yet.
fn doubt(commits: [Commit; 3], asks: &[Commit]) -> Pair {
    let mut pair = Pair::provisioned(51);
    pair.reprovision();
    pair.commits.extend(commits);
    pair.asks.extend(asks);
    pair.pair();
    pair
}

fn serials(pair: &Pair) -> (Option<Serial>, Option<Serial>) {
    let stored = &pair.device.stored;
    (
        stored.slot_a.as_ref().map(|slot| slot.serial),
        stored.slot_b.as_ref().map(|(slot, _)| slot.serial),
    )
}

#[test]
fn the_commit_is_repeated_with_one_nonce_and_counts_once() {
    use Commit::{AnswerLost, Delivered, RequestLost};
    let mut pair = doubt([RequestLost, AnswerLost, Delivered], &[]);
    assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
    assert!(pair.snapshot().in_doubt);
    pair.pass(seconds(3));
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert_eq!(pair.phase(), SessionPhase::Paired);
    assert_eq!(pair.asked, 0);
    assert_eq!(pair.station.rows(E::CommitConfirmed).len(), 2, "one per pairing");
    assert_eq!(pair.device.rows(E::CommitSent).len(), 2);
}

#[test]
fn lost_answers_leave_the_device_in_doubt_until_it_hears_committed() {
    use Commit::{AnswerLost, Garbled, RequestLost};
    let mut pair = doubt([AnswerLost; 3], &[RequestLost, AnswerLost, Garbled]);
    let (old, new) = serials(&pair);
    assert!(new.is_some());
    for _ in 0..40 {
        if pair.asked == 3 {
            break;
        }
        pair.step();
        assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
        assert_eq!(serials(&pair), (old, new), "both slots stay");
        assert_eq!(pair.link, old, "the device works on A");
    }
    assert_eq!(pair.asked, 3);
    pair.pass(seconds(120));
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert_eq!(serials(&pair), (new, None));
    assert_eq!(pair.link, new);
    assert_eq!(pair.station.current(), new);
    assert_eq!(pair.phase(), SessionPhase::Paired);
}

#[test]
fn a_commit_that_never_arrived_is_aborted_by_the_ask() {
    let mut pair = doubt([Commit::RequestLost; 3], &[]);
    let (old, new) = serials(&pair);
    pair.pass(seconds(30));
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    assert_eq!(serials(&pair), (old, None));
    assert_eq!(pair.station.current(), old);
    assert_eq!(pair.station.certificates[&new.unwrap()].state, CertificateState::Revoked);
    assert_eq!(pair.snapshot().last_error.unwrap().code, ErrorCode::CommitAborted);
    assert_eq!(pair.device.rows(E::CommitAborted)[0].error, Some(ErrorCode::CommitAborted));
    assert_eq!(pair.station.rows(E::CertificateAborted).len(), 1);
}

#[test]
fn a_commit_that_comes_after_the_abort_is_told_so() {
    let mut pair = Pair::provisioned(52);
    pair.reprovision();
    pair.commits.extend([Commit::RequestLost; 3]);
    pair.pair();
    let request = commit_request(&mut pair);
    pair.pass(seconds(30));
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    let answer = pair.station.commit(&request).unwrap();
    let outcome = outcome(&answer);
    assert_eq!(outcome.result, OutcomeResult::Aborted);
    assert_eq!(outcome.nonce, request.nonce);
}

/// The request the device would send again.
fn commit_request(pair: &mut Pair) -> CommitRequest {
    let at = pair.device.machine.poll_timeout().unwrap();
    let mut clock = pair.clock;
    clock.jump(at);
    let transition = pair.device.propose(&clock.now(), DeviceInput::Timeout);
    let request = transition.actions.into_iter().find_map(|action| match action {
        DeviceAction::SendCommit { request, .. } => Some(request),
        _ => None,
    });
    request.expect("a commit is due")
}

fn outcome(bytes: &[u8]) -> Outcome {
    let jws = zmon_crypto::jws::Unverified::parse(bytes).unwrap();
    strict::parse(jws.payload_unverified(), 65_536).unwrap()
}

#[test]
fn silence_never_drops_a_slot_and_the_asking_backs_off() {
    let mut pair = doubt([Commit::AnswerLost; 3], &[Commit::RequestLost; 400]);
    let slots = serials(&pair);
    pair.pass(seconds(10));
    let first = pair.asked;
    assert!(first >= 1);
    pair.pass(seconds(3 * 3600));
    assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
    assert_eq!(serials(&pair), slots);
    // 60 s and at most a quarter more between two asks.
    assert!((3 * 3600 / 75..=3 * 3600 / 60 + 10).contains(&pair.asked), "{}", pair.asked);
    assert_eq!(pair.device.rows(E::OutcomeAsked).len(), 1, "one row, not one per ask");
    pair.asks.clear();
    pair.pass(seconds(80));
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
}

#[test]
fn restarts_at_every_point_end_with_exactly_one_slot() {
    // (commits lost how, restart) for a first and for a repeated provisioning.
    for fate in [Commit::RequestLost, Commit::AnswerLost] {
        for first in [true, false] {
            let mut pair = if first { Pair::new(53) } else { Pair::provisioned(53) };
            if first {
                pair.enter();
            } else {
                pair.reprovision();
            }
            pair.commits.extend([fate; 3]);
            pair.pair();
            assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
            let (old, new) = serials(&pair);
            pair.restart().unwrap();
            // The ask goes out at once.
            assert_eq!(pair.asked, 1);
            let committed = fate == Commit::AnswerLost;
            let expected = if committed { new } else { old };
            assert_eq!(serials(&pair), (expected, None), "{fate:?} {first}");
            assert_eq!(pair.station.current(), expected);
            assert_eq!(pair.link, expected);
            let state = match (committed, first) {
                (true, _) | (false, false) => ProvisioningState::Provisioned,
                (false, true) => ProvisioningState::Error,
            };
            assert_eq!(pair.device.machine.state(), state);
            assert_eq!(pair.device.rows(E::WindowVoidedByRestart).len(), 1);
        }
    }
}

#[test]
fn a_restart_before_commit_drops_b_with_a_row() {
    for first in [true, false] {
        let mut pair = if first { Pair::new(54) } else { Pair::provisioned(54) };
        if first {
            pair.enter();
        } else {
            pair.reprovision();
        }
        pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
        pair.pair();
        assert_eq!(pair.device.machine.kind(), StateKind::Validating);
        let (old, new) = serials(&pair);
        assert!(new.is_some());
        let from = pair.device.audit.len();
        pair.restart().unwrap();
        assert_eq!(serials(&pair), (old, None));
        assert_eq!(
            pair.device.log_since(from),
            [
                (E::WindowVoidedByRestart, Some(ErrorCode::PairingCodeExpired)),
                (E::ProvisioningFailed, Some(ErrorCode::SessionExpired)),
            ]
        );
        assert_eq!(pair.link, old, "slot A's link starts");
        let kind = if first { StateKind::NotProvisioned } else { StateKind::Provisioned };
        assert_eq!(pair.device.machine.kind(), kind);
    }
}

#[test]
fn a_restart_voids_an_open_and_a_claimed_window() {
    for claim in [false, true] {
        let mut pair = Pair::new(55);
        pair.enter();
        if claim {
            let _claimed = crate::common::Forge::claim(&mut pair);
        }
        let from = pair.device.audit.len();
        pair.restart().unwrap();
        assert_eq!(
            pair.device.log_since(from),
            [(E::WindowVoidedByRestart, Some(ErrorCode::PairingCodeExpired))]
        );
        assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
        assert!(!pair.device.stored.window_open);
        pair.restart().unwrap();
        assert_eq!(pair.device.audit.len(), from + 1, "once");
    }
}

#[test]
fn a_provisioned_device_connects_after_a_restart_without_a_row() {
    let mut pair = Pair::provisioned(56);
    let rows = pair.device.audit.len();
    pair.restart().unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert_eq!(pair.trace, ["StartLink"]);
    assert!(pair.link.is_some());
    assert_eq!(pair.device.audit.len(), rows);
}

#[test]
fn in_doubt_under_re_provisioning_is_publicly_validating() {
    let pair = doubt([Commit::RequestLost; 3], &[]);
    let state = ProvisioningState::Reprovisioning(ReprovisioningPhase::Validating);
    assert_eq!(pair.device.machine.state(), state);
    assert!(pair.device.machine.is_provisioned());
}

#[test]
fn nobody_can_talk_a_device_out_of_doubt() {
    let mut pair = doubt([Commit::RequestLost; 3], &[Commit::RequestLost; 50]);
    let slots = serials(&pair);
    let now = pair.now();
    let commands = [
        DeviceInput::Exit { actor: actor(Role::Administrator) },
        DeviceInput::Reset { proof: administrator(&now) },
        DeviceInput::Deprovision { proof: administrator(&now) },
    ];
    for command in commands {
        let kind = command.kind();
        let refused = pair.tell(command).unwrap_err();
        assert_eq!(refused.code, ErrorCode::StateConflict, "{kind:?}");
        assert_eq!(pair.device.last().event, E::OperationRefused);
    }
    let windows = [
        DeviceInput::Enter { proof: technician(&now), address: crate::common::address() },
        DeviceInput::Retry { proof: technician(&now) },
        DeviceInput::Reprovision { proof: technician(&now), address: crate::common::address() },
    ];
    for command in windows {
        let refused = pair.tell(command).unwrap_err();
        assert_eq!(refused.code, ErrorCode::AlreadyInProvisioningMode);
    }
    pair.tell(DeviceInput::ListenerFailed).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
    assert_eq!(serials(&pair), slots);
    let expired = proof(Role::Administrator, zmon_domain::time::Tick::ZERO);
    pair.clock.pass(seconds(1));
    assert!(pair.tell(DeviceInput::Deprovision { proof: expired }).is_err());
}

/// Brings the device to where it waits for the answer to an ask, and returns the nonce.
fn asking(pair: &mut Pair) -> (SessionId, Serial, [u8; 32]) {
    loop {
        let at = pair.device.machine.poll_timeout().unwrap();
        pair.clock.jump(at);
        let now = pair.now();
        pair.device.input(&now, DeviceInput::Timeout).unwrap();
        let actions: Vec<_> = pair.device.actions.drain(..).collect();
        for action in actions {
            match action {
                DeviceAction::AskOutcome { ask, .. } => {
                    let jws = zmon_crypto::jws::Unverified::parse(ask.as_bytes()).unwrap();
                    let ask: zmon_wire::outcome::OutcomeAsk =
                        strict::parse(jws.payload_unverified(), 65_536).unwrap();
                    return (ask.session_id, ask.serial, ask.nonce);
                }
                DeviceAction::SendCommit { .. } => {
                    let lost = Err(LinkError::Network(ErrorCode::Timeout));
                    pair.device.input(&now, DeviceInput::CommitAnswered(lost)).unwrap();
                }
                _ => {}
            }
        }
    }
}

#[test]
fn only_the_stations_signed_word_over_our_nonce_counts() {
    let mut pair = doubt([Commit::RequestLost; 3], &[]);
    let slots = serials(&pair);
    let (session_id, serial, nonce) = asking(&mut pair);
    let honest = Outcome {
        v: V1::default(),
        session_id,
        device_id: pair.device.profile.device_id.clone(),
        serial,
        nonce,
        result: OutcomeResult::Aborted,
    };
    let payload = |outcome: &Outcome| strict::to_vec(outcome).unwrap();
    let mut lies: Vec<(Vec<u8>, ErrorCode)> = Vec::new();
    lies.push((b"aborted".to_vec(), ErrorCode::JwsMalformed));

    let other = Outcome { nonce: [0; 32], ..honest.clone() };
    lies.push((
        forge::sign(&mut pair, Typ::Outcome, None, &payload(&other)),
        ErrorCode::SessionMismatch,
    ));
    let other = Outcome { session_id: SessionId::from_bytes([1; 16]), ..honest.clone() };
    lies.push((
        forge::sign(&mut pair, Typ::Outcome, None, &payload(&other)),
        ErrorCode::SessionMismatch,
    ));
    let other = Outcome { serial: Serial::from_bytes(&[9]).unwrap(), ..honest.clone() };
    lies.push((
        forge::sign(&mut pair, Typ::Outcome, None, &payload(&other)),
        ErrorCode::SessionMismatch,
    ));
    let other = Outcome { device_id: DeviceId::parse("ZM-002").unwrap(), ..honest.clone() };
    lies.push((
        forge::sign(&mut pair, Typ::Outcome, None, &payload(&other)),
        ErrorCode::DeviceMismatch,
    ));
    lies.push((
        forge::sign(&mut pair, Typ::Config, None, &payload(&honest)),
        ErrorCode::JwsMalformed,
    ));
    lies.push((forge::sign(&mut pair, Typ::Outcome, None, b"{\"v\":1}"), ErrorCode::JwsMalformed));
    let rogue = TestCa::new("north", "cs-1", start());
    let key = (&rogue.signer as _, rogue.signing_chain.as_slice());
    lies.push((
        forge::sign(&mut pair, Typ::Outcome, Some(key), &payload(&honest)),
        ErrorCode::StationNotAnchored,
    ));
    let order = pair.station.ca.order("cs-2", start());
    let (signer, chain) = pair.station.ca.signer(&order);
    lies.push((
        forge::sign(&mut pair, Typ::Outcome, Some((&signer, &chain)), &payload(&honest)),
        ErrorCode::SigningProfileViolation,
    ));
    for (lie, cause) in lies {
        let now = pair.now();
        let transition = pair.device.propose(&now, DeviceInput::OutcomeAnswered(Ok(lie)));
        assert_eq!(transition.next.kind(), StateKind::InDoubt, "{cause}");
        assert!(transition.record.writes.is_empty(), "{cause}");
        assert_eq!(transition.record.audit[0].error, Some(cause));
    }
    assert_eq!(serials(&pair), slots);
    let truth = forge::sign(&mut pair, Typ::Outcome, None, &payload(&honest));
    pair.tell(DeviceInput::OutcomeAnswered(Ok(truth))).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert_eq!(serials(&pair), (slots.0, None));
}

/// What the device says to an abort signed by a certificate of `ca` made to order.
fn judged(
    pair: &mut Pair,
    ca: &TestCa,
    asked: (SessionId, Serial, [u8; 32]),
    bend: impl FnOnce(&mut SigningOrder),
) -> (StateKind, Option<ErrorCode>) {
    let (session_id, serial, nonce) = asked;
    let outcome = Outcome {
        v: V1::default(),
        session_id,
        device_id: pair.device.profile.device_id.clone(),
        serial,
        nonce,
        result: OutcomeResult::Aborted,
    };
    let mut order = ca.order("cs-1", start());
    bend(&mut order);
    let (signer, chain) = ca.signer(&order);
    let payload = strict::to_vec(&outcome).unwrap();
    let answer = forge::sign(pair, Typ::Outcome, Some((&signer, &chain)), &payload);
    let now = pair.now();
    let transition = pair.device.propose(&now, DeviceInput::OutcomeAnswered(Ok(answer)));
    (transition.next.kind(), transition.record.audit[0].error)
}

#[test]
fn the_signer_of_an_outcome_is_held_to_what_held_for_the_hello() {
    const DAY: u64 = 86_400;
    let mut pair = doubt([Commit::RequestLost; 3], &[]);
    let ours = std::mem::replace(&mut pair.station.ca, TestCa::new("north", "cs-1", start()));
    let south = TestCa::new("south", "cs-1", start());
    pair.device.anchors = AnchorSet::from_anchors([ours.anchor(), south.anchor()]).unwrap();
    let refused = |cause| (StateKind::InDoubt, Some(cause));
    let aborted = (StateKind::Provisioned, Some(ErrorCode::CommitAborted));

    let asked = asking(&mut pair);
    let site = refused(ErrorCode::SiteMismatch);
    assert_eq!(judged(&mut pair, &south, asked, |_| {}), site);
    let older = judged(&mut pair, &ours, asked, |it| it.not_before = start() - seconds(DAY + 1));
    assert_eq!(older, refused(ErrorCode::SigningCertificateRolledBack));
    assert_eq!(judged(&mut pair, &ours, asked, |_| {}), aborted);

    // The same from storage alone and without a clock: the floor takes its place.
    pair.clock.quality = ClockQuality::None;
    pair.clock.epoch = None;
    pair.device.stored.floor = Some(start() + seconds(DAY * 20));
    let now = pair.now();
    pair.device.restart(&now).unwrap();
    let asked = asking(&mut pair);
    assert_eq!(judged(&mut pair, &south, asked, |_| {}), site);
    let expired = |it: &mut SigningOrder| it.not_after = start() + seconds(DAY * 19);
    let expired = judged(&mut pair, &ours, asked, expired);
    assert_eq!(expired, refused(ErrorCode::SigningCertificateExpired));
    assert_eq!(judged(&mut pair, &ours, asked, |_| {}), aborted);
    // A station that renewed its certificate since is still heard.
    let renewed = |it: &mut SigningOrder| {
        (it.not_before, it.not_after) = (start() + seconds(DAY * 30), start() + seconds(DAY * 90));
    };
    assert_eq!(judged(&mut pair, &ours, asked, renewed), aborted);
}

#[test]
fn an_answer_that_never_comes_is_asked_for_again() {
    let mut pair = doubt([Commit::RequestLost; 3], &[]);
    let (_, _, first) = asking(&mut pair);
    // The driver never answers.
    let (_, _, second) = asking(&mut pair);
    assert_ne!(first, second, "every ask has its own nonce");
    assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
}

#[test]
fn a_stored_slot_that_cannot_be_read_stops_the_start() {
    let mut pair = Pair::provisioned(57);
    pair.device.stored.slot_a.as_mut().unwrap().configuration = SecretBytes::copy_from(b"{}");
    let rows = pair.device.audit.len();
    let report = pair.restart().unwrap_err();
    assert_eq!(report.code, ErrorCode::StorageCorrupt);
    assert_eq!(pair.device.audit.len(), rows, "nothing is written");
    assert!(pair.device.stored.slot_a.is_some(), "nothing is dropped");
    assert!(pair.trace.is_empty());

    let mut pair = doubt([Commit::RequestLost; 3], &[]);
    pair.device.stored.slot_b.as_mut().unwrap().0.configuration = SecretBytes::new(Vec::new());
    assert_eq!(pair.restart().unwrap_err().code, ErrorCode::StorageCorrupt);
    assert!(pair.device.stored.slot_b.is_some());
}

#[test]
fn a_simulated_slot_stops_the_start_of_a_device_with_real_anchors() {
    let mut pair = Pair::provisioned(58);
    pair.station.ca.trust = zmon_wire::kind::TrustLevel::Simulated;
    let slot = pair.device.stored.slot_a.as_mut().unwrap();
    let mut document = ConfigurationDocument::parse(slot.configuration.expose()).unwrap();
    let old = CertificateChain::from_base64_pem(document.client_certificate.as_str()).unwrap();
    let spki = x509::spki_of(old.leaf()).unwrap();
    let (chain, _) = pair.station.ca.issue(&spki, &document.device_id, start());
    let chain = CertificateChain::from_der(chain).unwrap();
    document.client_certificate = PemBase64::from_pem(&chain.to_pem()).unwrap();
    slot.configuration = SecretBytes::copy_from(&document.to_json().unwrap());

    let rows = pair.device.audit.len();
    let report = pair.restart().unwrap_err();
    assert_eq!(report.code, ErrorCode::SimulatedConfiguration);
    assert_eq!(pair.device.audit.len(), rows, "nothing is written");
    assert!(pair.device.stored.slot_a.is_some(), "nothing is dropped");
    assert!(pair.trace.is_empty(), "no link is started");
}
