//! Renewal and recovery (D23): a new certificate without a window, slot A living on until the end.

use core::time::Duration;

use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::x509::{ValidityWindow, validity_of};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode as C;
use zmon_domain::ids::Serial;
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_domain::time::{ClockQuality, UnixTime};
use zmon_protocol::PullMethod;
use zmon_protocol::device::{DeviceAction, DeviceInput, LinkError, Pulled, StateKind};
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::kind::Method;
use zmon_wire::pull::Pull;
use zmon_wire::strict;

use crate::common::ca::TestCa;
use crate::common::clock::start;
use crate::common::{Commit, Pair, administrator, proof, seconds, technician};

const DAY: Duration = Duration::from_secs(86_400);
const LOST: LinkError = LinkError::Network(C::StationUnreachable);

fn serial(pair: &Pair) -> Serial {
    pair.device.stored.slot_a.as_ref().expect("slot A lives").serial
}

fn validity(pair: &Pair) -> ValidityWindow {
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    validity_of(&slot.credentials().unwrap().client_chain[0]).unwrap()
}

fn wall(pair: &Pair) -> UnixTime {
    pair.station_now().wall.unwrap()
}

/// The station's signing certificate is renewed, as it is every few weeks.
fn renew_signer(pair: &mut Pair) {
    let order = pair.station.ca.order("cs-1", wall(pair));
    pair.station.ca.use_signer(&order);
}

/// Lets time pass until the device asks, or `most` is over.
fn until_asked(pair: &mut Pair, most: Duration) -> bool {
    let end = pair.clock.elapsed + most;
    let before = asked(pair);
    while asked(pair) == before && pair.clock.elapsed < end {
        pair.step();
    }
    asked(pair) > before
}

fn asked(pair: &Pair) -> usize {
    pair.device.rows(E::RenewalStarted).len()
}

/// A device whose certificate has expired, the station's signer renewed.
fn expired(seed: u64, recovery: bool) -> Pair {
    let mut pair = Pair::provisioned(seed);
    pair.device.profile.recovery = recovery;
    pair.restart().unwrap();
    let late = validity(&pair).not_after().since(start()) + DAY;
    // In storage: switched off all the time.
    pair.clock.elapsed = late;
    renew_signer(&mut pair);
    pair.restart().unwrap();
    pair
}

/// What must hold after every attempt: one slot, the link on it, and the station says the same.
fn assert_whole(pair: &Pair) {
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    assert!(pair.device.stored.slot_b.is_none());
    assert_eq!(pair.link, Some(serial(pair)));
    assert_eq!(pair.station.current(), Some(serial(pair)));
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life_give_or_take_five_percent() {
    let mut seen = Vec::new();
    for seed in 200..212 {
        let mut pair = Pair::provisioned(seed);
        let window = validity(&pair);
        pair.pulls.push_back(LOST);
        assert!(until_asked(&mut pair, DAY * 80));
        let after = wall(&pair).since(window.not_before());
        let share = after.as_secs_f64() / window.duration().as_secs_f64();
        // One look late at most.
        assert!((2.0 / 3.0 - 0.05..=2.0 / 3.0 + 0.051).contains(&share), "{share}");
        seen.push(after);
    }
    seen.sort_unstable();
    let spread = *seen.last().unwrap() - *seen.first().unwrap();
    assert!(spread > DAY, "a ward does not renew in step: {spread:?}");
}

#[test]
fn a_renewal_is_a_session_without_a_window_and_swaps_the_slots() {
    let mut pair = Pair::provisioned(220);
    let old = serial(&pair);
    let from = pair.device.audit.len();
    renew_signer(&mut pair);
    pair.renew();
    assert_whole(&pair);
    let new = serial(&pair);
    assert_ne!(old, new);
    assert_eq!(pair.station.certificates[&old].state, CertificateState::Superseded);
    assert_eq!(pair.phase(), SessionPhase::Paired);
    assert_eq!(
        pair.trace,
        [
            "Pull",
            "Fetch",
            "TestConnection",
            "SendCommit",
            "AnswerDelivery",
            "CloseListener",
            "StopLink",
            "StartLink"
        ]
    );
    let rows: Vec<_> = pair.device.audit[from..].iter().map(|row| row.event).collect();
    assert_eq!(
        rows,
        [
            E::RenewalStarted,
            E::SessionClaimed,
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
    // No code was shown, none is in the configuration, and the settings stay.
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    let document = ConfigurationDocument::parse(slot.configuration.expose()).unwrap();
    assert!(document.pairing_code.is_none());
    assert_eq!(document.method, Method::Renewal);
    // The next one is planned from the new certificate.
    assert!(!until_asked(&mut pair, DAY * 50));
}

#[test]
fn slot_a_and_its_link_live_through_every_phase() {
    let mut pair = Pair::provisioned(221);
    let old = serial(&pair);
    let now = pair.now();
    let input = |pair: &mut Pair, input| pair.device.input(&now, input).unwrap();
    input(&mut pair, DeviceInput::Renew { proof: technician(&now) });
    assert_eq!(pair.device.machine.state(), ProvisioningState::Provisioned);
    let Some(DeviceAction::Pull { method, pull, .. }) = pair.device.actions.pop_front() else {
        panic!("a renewal asks");
    };
    assert_eq!(method, PullMethod::Renewal);
    let pulled = pair.station.pull(&now, method, pull.as_bytes()).unwrap();
    input(&mut pair, DeviceInput::Pulled(Ok(pulled)));
    let phase = ProvisioningState::Reprovisioning(ReprovisioningPhase::Pairing);
    assert_eq!(pair.device.machine.state(), phase);
    assert!(pair.device.machine.is_provisioned());
    assert!(pair.snapshot().code.is_none());
    assert_eq!((pair.link, serial(&pair)), (Some(old), old));
    pair.settle();
    assert_whole(&pair);
}

#[test]
fn a_renewal_that_fails_keeps_slot_a_and_comes_back_later_and_later() {
    let mut pair = Pair::provisioned(222);
    let old = serial(&pair);
    pair.pulls.extend([LOST; 12]);
    pair.renew();
    let mut waits = Vec::new();
    for _ in 0..11 {
        let before = pair.clock.elapsed;
        assert!(until_asked(&mut pair, DAY));
        waits.push(pair.clock.elapsed - before);
        assert_whole(&pair);
        assert_eq!(serial(&pair), old);
        assert_eq!(pair.snapshot().last_error.unwrap().code, C::StationUnreachable);
    }
    let (first, most) = (limits::RENEWAL_RETRY_FIRST.default, limits::RENEWAL_RETRY_MAX.default);
    for (n, wait) in (0..).zip(&waits) {
        let full = (first * 2_u32.pow(n)).min(most);
        assert!(*wait >= full / 2 && *wait <= full, "{n}: {wait:?} of {full:?}");
    }
    assert_eq!(pair.device.rows(E::RenewalFailed).len(), 12);
    // It gets through at last, and the error is gone.
    assert!(until_asked(&mut pair, DAY));
    assert_whole(&pair);
    assert_ne!(serial(&pair), old);
    assert!(pair.snapshot().last_error.is_none());
}

#[test]
fn whatever_fails_after_the_hello_leaves_slot_a() {
    let refused = LinkError::Refused(C::ConnectionRefusedByStation);
    let spoilers: [fn(&mut Pair); 5] = [
        |pair| pair.fetches.push_back(LOST),
        |pair| pair.tamper = Some(|envelope| *envelope.last_mut().unwrap() ^= 1),
        |pair| pair.tamper = Some(|envelope| envelope.truncate(20)),
        |pair| pair.tamper = Some(|envelope| envelope[3] ^= 1),
        |pair| pair.tests.push_back(Err(LinkError::Refused(C::InterlockActive))),
    ];
    for spoil in spoilers {
        let mut pair = Pair::provisioned(223);
        let old = serial(&pair);
        spoil(&mut pair);
        pair.renew();
        assert_whole(&pair);
        assert_eq!(serial(&pair), old);
        assert!(pair.snapshot().last_error.is_some());
        // The next attempt ends what the last one left at the station.
        pair.tamper = None;
        assert!(until_asked(&mut pair, DAY));
        assert_whole(&pair);
        assert_ne!(serial(&pair), old);
    }
    // A commit whose answers are lost, and one that never arrived.
    for (fate, swapped) in [(Commit::AnswerLost, true), (Commit::RequestLost, false)] {
        let mut pair = Pair::provisioned(224);
        let old = serial(&pair);
        pair.commits.extend([fate; 3]);
        pair.renew();
        pair.step();
        pair.step();
        assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
        assert!(pair.device.stored.slot_b.is_some(), "both slots stay");
        assert_eq!(pair.link, Some(old), "the device works on A");
        pair.pass(seconds(20));
        assert_whole(&pair);
        assert_eq!(serial(&pair) != old, swapped, "{fate:?}");
    }
    let mut pair = Pair::provisioned(225);
    pair.pulls.push_back(refused);
    pair.renew();
    assert_eq!(pair.snapshot().last_error.unwrap().code, C::ConnectionRefusedByStation);
}

#[test]
fn the_power_may_fail_after_any_commit_of_a_renewal() {
    let mut commits = 0;
    loop {
        let mut pair = Pair::provisioned(226);
        let old = serial(&pair);
        let begun = pair.device.commits.len();
        pair.power_fails_at = Some(begun + commits + 1);
        pair.renew();
        let made = pair.device.commits.len() - begun;
        if made <= commits {
            assert_eq!(commits, 5, "pull, hello, slot B, commit, flip");
            return;
        }
        pair.restart().unwrap();
        pair.pass(seconds(60));
        assert_whole(&pair);
        // Once the commit has reached the station, the device ends on the new one.
        let swapped = pair.station.rows(E::CommitConfirmed).len() == 2;
        assert_eq!(serial(&pair) != old, swapped, "after {made} commits");
        commits += 1;
    }
}

#[test]
fn a_renewal_that_falls_due_leaves_an_open_window_alone() {
    let mut pair = Pair::provisioned(227);
    pair.pulls.push_back(LOST);
    assert!(until_asked(&mut pair, DAY * 80));
    // It is overdue now; the next attempt would come within a minute.
    pair.reprovision();
    pair.pass(seconds(599));
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
    assert_eq!(asked(&pair), 1);
    assert_eq!(pair.snapshot().expires_in, Some(seconds(1)));
    pair.pass(seconds(2));
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert_eq!(asked(&pair), 2, "it waited for the window to end");
    // An answer that comes after a window was opened is nobody's.
    let mut pair = Pair::provisioned(228);
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Renew { proof: technician(&now) }).unwrap();
    let Some(DeviceAction::Pull { method, pull, .. }) = pair.device.actions.pop_front() else {
        panic!("a renewal asks");
    };
    let pulled = pair.station.pull(&now, method, pull.as_bytes()).unwrap();
    pair.reprovision();
    pair.tell(DeviceInput::Pulled(Ok(pulled))).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}

#[test]
fn who_may_ask_for_a_renewal_and_when() {
    let mut pair = Pair::new(229);
    let now = pair.now();
    let refused = pair.tell(DeviceInput::Renew { proof: technician(&now) }).unwrap_err();
    assert_eq!(refused.code, C::StateConflict);
    let mut pair = Pair::provisioned(229);
    let auditor = proof(Role::Auditor, now.mono + seconds(60));
    let refused = pair.tell(DeviceInput::Renew { proof: auditor }).unwrap_err();
    assert_eq!(refused.code, C::NotPermitted);
    assert_eq!(pair.device.last().event, E::OperationRefused);
    pair.device.input(&now, DeviceInput::Renew { proof: administrator(&now) }).unwrap();
    let again = pair.device.input(&now, DeviceInput::Renew { proof: technician(&now) });
    assert_eq!(again.unwrap_err().code, C::StateConflict, "one at a time");
    // The driver owes an answer; without one the attempt ends by time.
    pair.device.actions.clear();
    pair.pass(limits::DELIVERY_TIMEOUT.default);
    assert_eq!(pair.device.rows(E::RenewalFailed)[0].error, Some(C::Timeout));
}

#[test]
fn a_hello_must_answer_this_very_pull() {
    /// Asks, lets `answer` make the station's answer, and gives the code of the failure.
    fn refused(seed: u64, answer: impl FnOnce(&mut Pair, PullMethod, &[u8]) -> Pulled) -> C {
        let mut pair = Pair::provisioned(seed);
        let now = pair.now();
        pair.device.input(&now, DeviceInput::Renew { proof: technician(&now) }).unwrap();
        let Some(DeviceAction::Pull { method, pull, .. }) = pair.device.actions.pop_front() else {
            panic!("a renewal asks");
        };
        let pulled = answer(&mut pair, method, pull.as_bytes());
        pair.device.input(&now, DeviceInput::Pulled(Ok(pulled))).unwrap();
        assert_whole(&pair);
        let row = pair.device.last();
        assert_eq!(row.event, E::RenewalFailed);
        row.error.unwrap()
    }
    let junk = refused(230, |pair, method, pull| {
        let now = pair.now();
        Pulled { hello: b"a.b.c".to_vec(), ..pair.station.pull(&now, method, pull).unwrap() }
    });
    assert_eq!(junk, C::HelloMalformed);
    let stale = refused(231, |pair, method, pull| {
        let now = pair.now();
        // The answer to a pull of before: signed, current, and not ours.
        let mut other = pair.device.rng.clone();
        let jws = Unverified::parse(pull).unwrap();
        let mut document: Pull = strict::parse(jws.payload_unverified(), 65_536).unwrap();
        document.nonce = [9; 32];
        let payload = strict::to_vec(&document).unwrap();
        let identity = &pair.device.identity;
        let old = zmon_crypto::jws::sign(Typ::Pull, None, &payload, identity, &mut other).unwrap();
        pair.station.pull(&now, method, old.as_bytes()).unwrap()
    });
    assert_eq!(stale, C::SessionMismatch);
    let elsewhere = refused(232, |pair, method, pull| {
        let now = pair.now();
        let order = pair.station.ca.order("cs-2", now.wall.unwrap());
        pair.station.ca.use_signer(&order);
        pair.station.id = zmon_domain::ids::StationId::parse("cs-2").unwrap();
        pair.station.pull(&now, method, pull).unwrap()
    });
    assert_eq!(elsewhere, C::SigningProfileViolation, "another station of the same site");
    let unanchored = refused(233, |pair, method, pull| {
        let now = pair.now();
        pair.station.ca = TestCa::new("north", "cs-1", start());
        pair.station.pull(&now, method, pull).unwrap()
    });
    assert_eq!(unanchored, C::StationNotAnchored);
}

#[test]
fn the_secret_beside_the_hello_keys_the_envelope() {
    let mut pair = Pair::provisioned(234);
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Renew { proof: technician(&now) }).unwrap();
    let Some(DeviceAction::Pull { method, pull, .. }) = pair.device.actions.pop_front() else {
        panic!("a renewal asks");
    };
    let mut pulled = pair.station.pull(&now, method, pull.as_bytes()).unwrap();
    pulled.ikm = zmon_crypto::Secret32::from_bytes([1; 32]);
    pair.tell(DeviceInput::Pulled(Ok(pulled))).unwrap();
    assert_whole(&pair);
    assert_eq!(pair.snapshot().last_error.unwrap().code, C::EnvelopeMacInvalid);
}

#[test]
fn without_a_clock_the_time_that_has_passed_counts() {
    let mut pair = Pair::provisioned(235);
    (pair.clock.quality, pair.clock.epoch) = (ClockQuality::None, None);
    pair.pulls.push_back(LOST);
    assert!(!until_asked(&mut pair, DAY * 54));
    assert!(until_asked(&mut pair, DAY * 12));
}

#[test]
fn an_expired_certificate_is_recovered_where_both_sides_allow_it() {
    let mut pair = expired(240, true);
    let old = serial(&pair);
    assert!(until_asked(&mut pair, seconds(120)));
    let (method, first) = pair.last_pull.clone().unwrap();
    assert_eq!(method, PullMethod::Recovery);
    assert_whole(&pair);
    assert_ne!(serial(&pair), old);
    assert_eq!((pair.device.stored.recovery_counter, pair.station.counter), (1, 1));
    let row = pair.device.rows(E::RenewalStarted)[0];
    assert!(row.detail.contains(&("counter", "1".into())), "{row:?}");
    // The same request again is refused: by its counter, and the certificate is no longer current.
    let now = pair.station_now();
    let replay = pair.station.pull(&now, method, &first).unwrap_err();
    assert_eq!(replay.code, C::StateConflict);
    pair.station.certificates.get_mut(&old).unwrap().state = CertificateState::Current;
    let replay = pair.station.pull(&now, method, &first).unwrap_err();
    assert_eq!(replay.code, C::RecoveryReplayed);
}

#[test]
fn the_counter_is_durable_before_it_is_sent() {
    let mut pair = expired(241, true);
    let begun = pair.device.commits.len();
    pair.power_fails_at = Some(begun + 1);
    pair.pass(seconds(61));
    assert_eq!(pair.device.commits.last().unwrap(), &[E::RenewalStarted]);
    assert_eq!(pair.device.stored.recovery_counter, 1);
    assert!(pair.last_pull.is_none(), "the power failed before it left");
    pair.restart().unwrap();
    assert!(until_asked(&mut pair, seconds(120)));
    assert_eq!(pair.device.stored.recovery_counter, 2);
    assert_whole(&pair);
}

#[test]
fn recovery_is_off_unless_configured() {
    let mut pair = expired(242, false);
    let old = serial(&pair);
    pair.pass(DAY);
    assert!(pair.last_pull.is_none(), "nothing was sent");
    assert_eq!(asked(&pair), 0);
    assert_eq!(pair.snapshot().last_error.unwrap().code, C::CertificateExpired);
    let failures = pair.device.rows(E::RenewalFailed);
    assert!(
        failures.len() < 20 && failures.iter().all(|row| row.error == Some(C::CertificateExpired))
    );
    assert_eq!(serial(&pair), old);
    assert_eq!(pair.device.stored.recovery_counter, 0);
}

#[test]
fn the_station_recovers_only_what_has_expired_and_is_current() {
    let mut pair = expired(243, true);
    let old = serial(&pair);
    // Its own clock decides, not the device's.
    pair.station.not_after.insert(old, wall(&pair) + DAY);
    assert!(until_asked(&mut pair, seconds(120)));
    assert_eq!(pair.snapshot().last_error.unwrap().code, C::CertificateNotExpired);
    pair.station.not_after.insert(old, wall(&pair) - DAY);
    for (state, code) in [
        (CertificateState::Revoked, C::CertificateRevoked),
        (CertificateState::Superseded, C::StateConflict),
        (CertificateState::Pending, C::StateConflict),
    ] {
        pair.station.certificates.get_mut(&old).unwrap().state = state;
        assert!(until_asked(&mut pair, DAY));
        assert_eq!(pair.snapshot().last_error.unwrap().code, code);
    }
    pair.station.certificates.get_mut(&old).unwrap().state = CertificateState::Current;
    pair.station.registry.as_mut().unwrap().decommissioned = true;
    assert!(until_asked(&mut pair, DAY));
    assert_eq!(pair.snapshot().last_error.unwrap().code, C::DeviceDecommissioned);
    pair.station.registry.as_mut().unwrap().decommissioned = false;
    assert!(until_asked(&mut pair, DAY));
    assert_whole(&pair);
    assert_ne!(serial(&pair), old);
    let counters: Vec<_> =
        pair.device.rows(E::RenewalStarted).iter().map(|row| row.detail.last().cloned()).collect();
    assert_eq!(counters.len(), 6);
    assert!(counters.is_sorted(), "{counters:?}");
}

#[test]
fn a_device_without_a_clock_recovers_once_its_station_says_expired() {
    let mut pair = expired(244, true);
    (pair.clock.quality, pair.clock.epoch) = (ClockQuality::None, None);
    pair.device.stored.floor = Some(start());
    pair.restart().unwrap();
    // It cannot know; it asks for a renewal, and the station's listener refuses its certificate.
    let old = serial(&pair);
    pair.pulls.push_back(LinkError::Certificate(C::CertificateExpired));
    pair.renew();
    assert_eq!(pair.last_pull.as_ref().unwrap().0, PullMethod::Renewal);
    assert!(until_asked(&mut pair, seconds(120)));
    assert_eq!(pair.last_pull.as_ref().unwrap().0, PullMethod::Recovery);
    assert_whole(&pair);
    assert_ne!(serial(&pair), old);
}

#[test]
fn a_link_refused_as_expired_starts_the_recovery_of_a_device_without_a_clock() {
    let mut pair = expired(245, true);
    (pair.clock.quality, pair.clock.epoch) = (ClockQuality::None, None);
    pair.device.stored.floor = Some(start());
    pair.restart().unwrap();
    assert!(!until_asked(&mut pair, DAY), "by itself it does not know");
    let (old, not_after) = (serial(&pair), validity(&pair).not_after());
    // What is said of another slot's certificate says nothing about this one.
    pair.tell(DeviceInput::LinkExpired { not_after: not_after + DAY }).unwrap();
    assert_eq!(asked(&pair), 0);
    // What fails has its own pause: the next refused heartbeats start nothing.
    pair.pulls.push_back(LOST);
    for _ in 0..3 {
        pair.tell(DeviceInput::LinkExpired { not_after }).unwrap();
        assert_eq!((asked(&pair), serial(&pair)), (1, old));
    }
    assert!(until_asked(&mut pair, seconds(120)));
    assert_eq!(pair.last_pull.as_ref().unwrap().0, PullMethod::Recovery);
    assert_eq!(pair.snapshot().last_error, None);
    assert_whole(&pair);
    assert_ne!(serial(&pair), old);
}

#[test]
fn a_window_over_an_unanswered_pull_is_no_failed_renewal() {
    let mut pair = Pair::provisioned(61);
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Renew { proof: technician(&now) }).unwrap();
    assert!(matches!(pair.device.actions.pop_front(), Some(DeviceAction::Pull { .. })));
    pair.reprovision();
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
    pair.tell(DeviceInput::Exit { actor: zmon_domain::role::Actor::Local }).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert!(!until_asked(&mut pair, DAY), "it is not due for weeks");
}
