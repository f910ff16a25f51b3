//! Who may claim the window: every check of a hello, its cause in the log, and one answer (D8, D14, D24).

use rcgen::KeyUsagePurpose;
use zmon_crypto::jws::Typ;
use zmon_crypto::schedule::Prk;
use zmon_crypto::x509::{AnchorSet, OID_CONFIG_SIGNING_ARCS};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, SiteId, StationId};
use zmon_domain::role::Actor;
use zmon_domain::time::{ClockQuality, UnixTime};
use zmon_protocol::device::{DeviceInput, DeviceReply, LinkError, StateKind};
use zmon_protocol::station::{SessionInput, SessionPhase};
use zmon_wire::hello::Hello;
use zmon_wire::kind::Method;
use zmon_wire::strict;

use crate::common::ca::{SigningOrder, TestCa};
use crate::common::clock::start;
use crate::common::forge::{self, claim_of, open};
use crate::common::{Forge, Pair, details, operator, seconds};

fn window() -> Pair {
    let mut pair = Pair::new(21);
    pair.enter();
    pair
}

/// The claim is refused: uniform to the peer, precise in the log, nothing changed.
fn refused(pair: &mut Pair, hello: Vec<u8>, mac: [u8; 32], cause: ErrorCode) {
    let rows = pair.device.audit.len();
    let report = open(pair, hello, mac).unwrap_err();
    assert_eq!(report, ErrorCode::ClaimRefused.into(), "one answer for every cause");
    assert_eq!(pair.device.audit.len(), rows + 1, "{cause}");
    let row = pair.device.last();
    assert_eq!((row.event, row.error), (E::ClaimRefused, Some(cause)));
    assert_eq!(row.actor, Actor::Peer);
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}

fn refused_hello(cause: ErrorCode, bend: impl FnOnce(&mut Hello)) {
    let mut pair = window();
    let token = forge::token(&pair);
    let mut hello = forge::hello(&mut pair);
    bend(&mut hello);
    let (bytes, mac) = claim_of(&mut pair, &hello, &token);
    refused(&mut pair, bytes, mac, cause);
    assert_eq!(pair.device.last().session, Some(hello.session_id), "{cause}");
    assert_eq!(pair.pair(), SessionPhase::Paired, "an honest claim still works after {cause}");
}

#[test]
fn names_that_do_not_fit_are_refused_by_their_own_cause() {
    refused_hello(ErrorCode::PairingTokenStale, |hello| hello.window_ref = [9; 16]);
    refused_hello(ErrorCode::DeviceKeyMismatch, |hello| hello.device_key16 = [9; 16]);
    refused_hello(ErrorCode::DeviceMismatch, |hello| {
        hello.device_id = DeviceId::parse("ZM-002").unwrap();
    });
    refused_hello(ErrorCode::SiteMismatch, |hello| {
        hello.site_id = SiteId::parse("south").unwrap();
    });
    refused_hello(ErrorCode::SigningProfileViolation, |hello| {
        hello.station_id = StationId::parse("cs-2").unwrap();
    });
    for method in [Method::Typed, Method::Renewal, Method::Recovery] {
        refused_hello(ErrorCode::HelloMalformed, |hello| hello.method = method);
    }
}

#[test]
fn a_hello_of_another_time_is_stale() {
    for iat in [start() - seconds(301), start() + seconds(301)] {
        refused_hello(ErrorCode::HelloStale, |hello| hello.iat = iat);
    }
    for iat in [start() - seconds(300), start() + seconds(300)] {
        let mut pair = window();
        let token = forge::token(&pair);
        let mut hello = forge::hello(&mut pair);
        hello.iat = iat;
        let (bytes, mac) = claim_of(&mut pair, &hello, &token);
        assert!(open(&mut pair, bytes, mac).is_ok());
    }
}

#[test]
fn a_claim_needs_the_token() {
    let mut pair = window();
    let token = forge::token(&pair);
    let hello = forge::hello(&mut pair);
    let (bytes, mac) = claim_of(&mut pair, &hello, &token);
    for index in [0, 15, 31] {
        let mut bent = mac;
        bent[index] ^= 1;
        refused(&mut pair, bytes.clone(), bent, ErrorCode::ClaimMacInvalid);
    }
    refused(&mut pair, bytes.clone(), [0; 32], ErrorCode::ClaimMacInvalid);
    // Another device's token, although the hello names ours.
    let mut other = Pair::new(22);
    other.enter();
    let foreign = forge::token(&other);
    let forged = Prk::from_token(&bytes, &foreign).claim_mac(&bytes);
    refused(&mut pair, bytes.clone(), forged, ErrorCode::ClaimMacInvalid);
    assert!(open(&mut pair, bytes, mac).is_ok());
}

#[test]
fn a_station_without_our_anchor_is_refused() {
    let mut pair = window();
    let rogue = TestCa::new("north", "cs-1", start());
    let payload = strict::to_vec(&forge::hello(&mut pair)).unwrap();
    let key = (&rogue.signer as _, rogue.signing_chain.as_slice());
    let bytes = forge::sign(&mut pair, Typ::Hello, Some(key), &payload);
    let mac = Prk::from_token(&bytes, &forge::token(&pair)).claim_mac(&bytes);
    refused(&mut pair, bytes, mac, ErrorCode::StationNotAnchored);
}

#[test]
fn a_device_without_anchors_takes_no_station() {
    let mut pair = window();
    pair.device.anchors = AnchorSet::new();
    let (token, hello) = (forge::token(&pair), forge::hello(&mut pair));
    let (bytes, mac) = claim_of(&mut pair, &hello, &token);
    refused(&mut pair, bytes, mac, ErrorCode::StationNotAnchored);
}

/// Signs an honest hello below the right anchor, with a certificate made to this order.
fn signed_with(pair: &mut Pair, bend: impl FnOnce(&mut SigningOrder)) -> (Vec<u8>, [u8; 32]) {
    let mut order = pair.station.ca.order("cs-1", start());
    bend(&mut order);
    let (signer, chain) = pair.station.ca.signer(&order);
    let payload = strict::to_vec(&forge::hello(pair)).unwrap();
    let bytes = forge::sign(pair, Typ::Hello, Some((&signer, &chain)), &payload);
    let mac = Prk::from_token(&bytes, &forge::token(pair)).claim_mac(&bytes);
    (bytes, mac)
}

#[test]
fn the_profile_of_the_signing_certificate_is_exact() {
    type Bend = fn(&mut SigningOrder);
    let day = |n: u64| seconds(n * 86_400);
    let profile: [(Bend, ErrorCode); 8] = [
        (|order| order.is_ca = true, ErrorCode::SigningProfileViolation),
        (
            |order| order.purpose = vec![1, 3, 6, 1, 5, 5, 7, 3, 2],
            ErrorCode::SigningProfileViolation,
        ),
        (
            |order| order.usages.push(KeyUsagePurpose::KeyEncipherment),
            ErrorCode::SigningProfileViolation,
        ),
        (|order| order.usages.clear(), ErrorCode::SigningProfileViolation),
        (
            |order| order.not_after = order.not_before + seconds(91 * 86_400),
            ErrorCode::SigningProfileViolation,
        ),
        (|order| order.site = "south".into(), ErrorCode::SiteMismatch),
        (|order| order.not_after = start() - seconds(1), ErrorCode::SigningCertificateExpired),
        (|order| order.not_before = start() + seconds(10), ErrorCode::SigningCertificateExpired),
    ];
    for (bend, cause) in profile {
        let mut pair = window();
        let (bytes, mac) = signed_with(&mut pair, bend);
        refused(&mut pair, bytes, mac, cause);
    }
    let mut pair = window();
    let (bytes, mac) = signed_with(&mut pair, |order| {
        order.purpose = OID_CONFIG_SIGNING_ARCS.to_vec();
        order.not_after = order.not_before + day(90);
    });
    assert!(open(&mut pair, bytes, mac).is_ok(), "the longest permitted life");
}

#[test]
fn an_older_signing_certificate_is_a_roll_back() {
    let mut pair = Pair::new(23);
    let mut order = pair.station.ca.order("cs-1", start());
    order.not_before = start() - seconds(60);
    pair.station.ca.use_signer(&order);
    pair.enter();
    assert_eq!(pair.pair(), SessionPhase::Paired);
    assert_eq!(pair.device.stored.site_not_before.len(), 1);

    pair.reprovision();
    let (bytes, mac) = signed_with(&mut pair, |order| order.not_before = start() - seconds(61));
    refused(&mut pair, bytes, mac, ErrorCode::SigningCertificateRolledBack);
    // The memory survives a restart.
    pair.restart().unwrap();
    pair.reprovision();
    let (bytes, mac) = signed_with(&mut pair, |order| order.not_before = start() - seconds(61));
    refused(&mut pair, bytes, mac, ErrorCode::SigningCertificateRolledBack);
    assert_eq!(pair.pair(), SessionPhase::Paired, "the same certificate again is fine");
}

#[test]
fn bent_signatures_and_types_are_refused() {
    let mut pair = window();
    let (token, hello) = (forge::token(&pair), forge::hello(&mut pair));
    let payload = strict::to_vec(&hello).unwrap();
    let bytes = forge::sign(&mut pair, Typ::Config, None, &payload);
    let mac = Prk::from_token(&bytes, &token).claim_mac(&bytes);
    refused(&mut pair, bytes, mac, ErrorCode::JwsMalformed);

    let (mut bytes, _) = claim_of(&mut pair, &hello, &token);
    let index = bytes.len() - 20;
    bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
    let mac = Prk::from_token(&bytes, &token).claim_mac(&bytes);
    refused(&mut pair, bytes, mac, ErrorCode::SignatureInvalid);

    let mut text = String::from_utf8(payload).unwrap();
    text.insert_str(1, "\"admin\":true,");
    let bytes = forge::sign(&mut pair, Typ::Hello, None, text.as_bytes());
    let mac = Prk::from_token(&bytes, &token).claim_mac(&bytes);
    refused(&mut pair, bytes, mac, ErrorCode::HelloMalformed);
}

#[test]
fn the_same_request_gets_the_same_identity_document() {
    let mut pair = window();
    let claimed = Forge::claim(&mut pair);
    let commits = pair.device.commits.len();
    let first = open(&mut pair, claimed.hello_jws.clone(), claimed.mac).unwrap();
    let second = open(&mut pair, claimed.hello_jws.clone(), claimed.mac).unwrap();
    assert_eq!(first, second);
    assert!(matches!(first, DeviceReply::Identity(_)));
    assert_eq!(pair.device.commits.len(), commits, "and costs nothing");
    assert_eq!(pair.device.rows(E::PairingCodeValidated).len(), 1, "the code is consumed once");
}

#[test]
fn another_session_finds_the_window_busy() {
    let mut pair = window();
    let (token, hello) = (forge::token(&pair), forge::hello(&mut pair));
    let other = claim_of(&mut pair, &hello, &token);
    let claimed = Forge::claim(&mut pair);
    for _ in 0..2 {
        let report = open(&mut pair, other.0.clone(), other.1).unwrap_err();
        assert_eq!(report, ErrorCode::ClaimRefused.into());
        assert_eq!(pair.device.last().error, Some(ErrorCode::SessionBusy));
    }
    // The same hello with another MAC is another request too.
    let report = open(&mut pair, claimed.hello_jws.clone(), [1; 32]).unwrap_err();
    assert_eq!(report, ErrorCode::ClaimRefused.into());
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
    let document = claimed.document(&mut pair);
    let envelope = claimed.envelope(&mut pair, &document);
    claimed.deliver(&mut pair, envelope).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned, "the first one goes on");
}

#[test]
fn a_code_is_accepted_once() {
    let mut pair = window();
    let (token, hello) = (forge::token(&pair), forge::hello(&mut pair));
    let claim = claim_of(&mut pair, &hello, &token);
    assert!(open(&mut pair, claim.0.clone(), claim.1).is_ok());
    pair.pass(seconds(150));
    refused(&mut pair, claim.0, claim.1, ErrorCode::PairingTokenStale);
}

#[test]
fn without_a_clock_the_signed_time_counts_above_the_floor() {
    for quality in [ClockQuality::None, ClockQuality::Signed] {
        let mut pair = window();
        pair.clock.quality = quality;
        pair.clock.epoch = (quality == ClockQuality::Signed).then_some(0);
        let token = forge::token(&pair);
        let mut hello = forge::hello(&mut pair);
        hello.iat = start() + seconds(86_400 * 30);
        let (bytes, mac) = claim_of(&mut pair, &hello, &token);
        assert!(open(&mut pair, bytes, mac).is_ok(), "{quality:?}: inside every validity");
        assert_eq!(pair.device.stored.floor, Some(hello.iat), "and raises the floor");

        // Later nothing below the floor is taken.
        pair.pass(seconds(150));
        let token = forge::token(&pair);
        let mut hello = forge::hello(&mut pair);
        hello.iat = start() + seconds(86_400 * 29);
        let (bytes, mac) = claim_of(&mut pair, &hello, &token);
        refused(&mut pair, bytes, mac, ErrorCode::HelloStale);
    }
}

#[test]
fn without_a_clock_the_signed_time_must_lie_inside_the_chain() {
    let mut pair = window();
    pair.clock.quality = ClockQuality::None;
    pair.clock.epoch = None;
    for (iat, cause) in [
        (start() + seconds(86_400 * 60), ErrorCode::SigningCertificateExpired),
        (start() - seconds(86_400 * 2), ErrorCode::SigningCertificateExpired),
        (UnixTime::EPOCH, ErrorCode::SigningCertificateExpired),
    ] {
        let token = forge::token(&pair);
        let mut hello = forge::hello(&mut pair);
        hello.iat = iat;
        let (bytes, mac) = claim_of(&mut pair, &hello, &token);
        refused(&mut pair, bytes, mac, cause);
    }
    assert_eq!(pair.device.stored.floor, None, "no poison from a refused hello");
}

#[test]
fn a_new_device_without_a_clock_believes_no_time_before_its_build() {
    let mut pair = window();
    pair.clock.quality = ClockQuality::None;
    pair.clock.epoch = None;
    // The signing certificate ran out before this firmware was built, and its key leaked.
    let mut order = pair.station.ca.order("cs-1", start());
    order.not_after = start() + seconds(86_400 * 10);
    pair.station.ca.use_signer(&order);
    let built = start() + seconds(86_400 * 20);
    pair.device.profile.built_at = built;
    pair.restart().unwrap();
    pair.enter();
    for (iat, cause) in [
        (start(), ErrorCode::HelloStale),
        (built - seconds(1), ErrorCode::HelloStale),
        (built, ErrorCode::SigningCertificateExpired),
    ] {
        let token = forge::token(&pair);
        let mut hello = forge::hello(&mut pair);
        hello.iat = iat;
        let (bytes, mac) = claim_of(&mut pair, &hello, &token);
        refused(&mut pair, bytes, mac, cause);
    }
    assert_eq!(pair.device.stored.floor, None);
}

#[test]
fn the_later_of_build_date_and_trusted_time_is_the_floor() {
    for (built, seen, floor) in [(0, 5, 5), (9, 5, 9), (9, 9, 9)] {
        let mut pair = Pair::new(21);
        pair.device.profile.built_at = start() + seconds(built);
        pair.device.stored.floor = Some(start() + seconds(seen));
        pair.restart().unwrap();
        assert_eq!(pair.device.machine.trusted_floor(), start() + seconds(floor));
    }
}

#[test]
fn a_synchronised_clock_raises_the_floor_to_itself() {
    let mut pair = window();
    let token = forge::token(&pair);
    let mut hello = forge::hello(&mut pair);
    hello.iat = start() + seconds(200);
    let (bytes, mac) = claim_of(&mut pair, &hello, &token);
    assert!(open(&mut pair, bytes, mac).is_ok());
    assert_eq!(pair.device.stored.floor, Some(start()));
}

#[test]
fn a_closed_device_claims_nothing() {
    let mut pair = window();
    let (token, hello) = (forge::token(&pair), forge::hello(&mut pair));
    let (bytes, mac) = claim_of(&mut pair, &hello, &token);
    let mut idle = Pair::new(24);
    let rows = idle.device.audit.len();
    assert_eq!(open(&mut idle, bytes, mac).unwrap_err(), ErrorCode::ClaimRefused.into());
    assert_eq!(idle.device.audit.len(), rows, "counted, not written");
    assert!(idle.device.machine.poll_timeout().is_some());
}

#[test]
fn the_same_hello_gets_the_same_answer_while_the_session_stands() {
    let mut pair = window();
    pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
    pair.scan();
    let (bytes, mac) = pair.last_session.clone().unwrap();
    let first = open(&mut pair, bytes.clone(), mac).unwrap();
    assert!(matches!(first, DeviceReply::Identity(_)));
    let now = pair.now();
    let input = SessionInput::Pair { operator: operator(), details: details("ICU-3B") };
    pair.station.input(&now, input).unwrap();
    pair.settle();
    assert_eq!(pair.device.machine.kind(), StateKind::Validating);
    let rows = pair.device.audit.len();
    // The connection broke after the envelope: the station dials, and says both again.
    assert_eq!(open(&mut pair, bytes.clone(), mac).unwrap(), first);
    let envelope = pair.last_envelope.clone().unwrap();
    let again = pair.tell(DeviceInput::Configuration { envelope });
    assert_eq!(again.unwrap(), DeviceReply::Pending);
    assert_eq!(pair.device.audit.len(), rows, "nothing happened twice");
    let mut other = mac;
    other[0] ^= 1;
    let refused = open(&mut pair, bytes.clone(), other).unwrap_err();
    assert_eq!(refused, ErrorCode::ClaimRefused.into());
    assert_eq!(pair.device.last().error, Some(ErrorCode::SessionBusy));
    // With its end the answer is gone.
    pair.pass(seconds(5));
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert_eq!(open(&mut pair, bytes, mac).unwrap_err(), ErrorCode::ClaimRefused.into());
}
