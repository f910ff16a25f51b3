//! The life of a certificate, and the pure answers to commit and ask (D13).

use proptest::prelude::*;
use zmon_crypto::jws::{Typ, Unverified, sign};
use zmon_crypto::{IdentityKey, SoftIdentity, Suite};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_protocol::station::outcome::{self, CertificateView, Change};
use zmon_protocol::station::{
    CertificateEvent as Event, CertificateState as State, CertificateUse,
};
use zmon_wire::kind::V1;
use zmon_wire::outcome::{CommitRequest, Outcome, OutcomeAsk, OutcomeResult};
use zmon_wire::strict;

use crate::common::Pair;

const EVENTS: [Event; 5] =
    [Event::Committed, Event::Replaced, Event::SuccessorUsed, Event::Revoked, Event::Aborted];

#[test]
fn the_life_of_a_certificate_is_this_table() {
    let mut table = Vec::new();
    for state in State::ALL {
        for event in EVENTS {
            if let Ok(next) = state.after(event) {
                table.push((state, event, next));
            }
        }
    }
    use Event::{Aborted, Committed, Replaced, Revoked as Revoke, SuccessorUsed};
    use State::{Current, Pending, Revoked, Superseded};
    assert_eq!(
        table,
        [
            (Pending, Committed, Current),
            (Pending, Revoke, Revoked),
            (Pending, Aborted, Revoked),
            (Current, Committed, Current),
            (Current, Replaced, Superseded),
            (Current, Revoke, Revoked),
            (Superseded, Replaced, Superseded),
            (Superseded, SuccessorUsed, Revoked),
            (Superseded, Revoke, Revoked),
            (Revoked, Replaced, Revoked),
            (Revoked, SuccessorUsed, Revoked),
            (Revoked, Revoke, Revoked),
            (Revoked, Aborted, Revoked),
        ]
    );
    let conflict = State::Revoked.after(Event::Committed).unwrap_err();
    assert_eq!(conflict.to_string(), "a revoked certificate cannot be Committed");
}

#[test]
fn what_a_certificate_opens() {
    use CertificateUse::{Commit, Ordinary, Test};
    let opens = |state: State| [Test, Commit, Ordinary].map(|purpose| state.permits(purpose));
    assert_eq!(opens(State::Pending), [true, true, false]);
    assert_eq!(opens(State::Current), [true, true, true]);
    assert_eq!(opens(State::Superseded), [false, false, true]);
    assert_eq!(opens(State::Revoked), [false, false, false]);
    for state in State::ALL {
        assert_eq!(State::parse(&state.to_string()), Some(state));
    }
    assert_eq!(State::parse("aborted"), None);
}

proptest! {
    #[test]
    fn revoked_is_for_ever(events in prop::collection::vec(0..EVENTS.len(), 0..20)) {
        let mut state = State::Pending;
        let mut revoked = false;
        for event in events {
            state = state.after(EVENTS[event]).unwrap_or(state);
            revoked |= state == State::Revoked;
            prop_assert!(!revoked || state == State::Revoked);
        }
    }
}

struct Bed {
    pair: Pair,
    key: SoftIdentity,
}

fn bed() -> Bed {
    let mut pair = Pair::new(111);
    let key = SoftIdentity::generate(Suite::P256, &mut pair.device.rng).unwrap();
    Bed { pair, key }
}

fn view(state: State, committed: bool) -> CertificateView {
    CertificateView {
        serial: Serial::from_bytes(&[7]).unwrap(),
        device_id: DeviceId::parse("ZM-001").unwrap(),
        session_id: SessionId::from_bytes([7; 16]),
        state,
        committed,
    }
}

fn request() -> CommitRequest {
    let view = view(State::Pending, false);
    CommitRequest {
        v: V1::default(),
        session_id: view.session_id,
        serial: view.serial,
        nonce: [3; 32],
    }
}

fn ask() -> OutcomeAsk {
    let view = view(State::Pending, false);
    OutcomeAsk {
        v: V1::default(),
        session_id: view.session_id,
        device_id: view.device_id,
        nonce: [4; 32],
        serial: view.serial,
    }
}

fn read(answer: &str) -> Outcome {
    let jws = Unverified::parse(answer.as_bytes()).unwrap();
    assert_eq!(jws.claimed_typ(), Some(Typ::Outcome));
    assert!(jws.has_x5c());
    strict::parse(jws.payload_unverified(), 65_536).unwrap()
}

#[test]
fn a_commit_makes_current_and_supersedes() {
    let mut bed = bed();
    let old = Serial::from_bytes(&[1]).unwrap();
    let station = &bed.pair.station;
    let mut rng = station.rng.clone();
    let pending = view(State::Pending, false);
    let verdict =
        outcome::commit(&station.context(), &mut rng, &request(), &pending, Some(&old)).unwrap();
    assert_eq!(verdict.change, Change::Commit { supersedes: Some(old) });
    let events: Vec<_> = verdict.audit.iter().map(|row| row.event).collect();
    assert_eq!(events, [E::CommitConfirmed, E::CertificateSuperseded]);
    let outcome = read(&verdict.answer);
    assert_eq!((outcome.result, outcome.nonce), (OutcomeResult::Committed, [3; 32]));
    assert_eq!(outcome.serial, pending.serial);
    let first = outcome::commit(&station.context(), &mut rng, &request(), &pending, None).unwrap();
    assert_eq!(first.change, Change::Commit { supersedes: None });
    bed.pair.station.rng = rng;
}

#[test]
fn what_was_decided_is_only_repeated() {
    let bed = bed();
    let station = &bed.pair.station;
    let mut rng = station.rng.clone();
    for (state, committed, result) in [
        (State::Current, true, OutcomeResult::Committed),
        (State::Superseded, true, OutcomeResult::Committed),
        (State::Revoked, true, OutcomeResult::Committed),
        (State::Revoked, false, OutcomeResult::Aborted),
        (State::Current, false, OutcomeResult::Committed),
    ] {
        let view = view(state, committed);
        let ctx = station.context();
        let by_commit = outcome::commit(&ctx, &mut rng, &request(), &view, None).unwrap();
        let by_ask = outcome::answer(&ctx, &mut rng, &ask(), Some(&view)).unwrap();
        for (verdict, nonce) in [(by_commit, [3; 32]), (by_ask, [4; 32])] {
            assert_eq!((verdict.change, verdict.audit.len()), (Change::None, 0));
            let outcome = read(&verdict.answer);
            assert_eq!((outcome.result, outcome.nonce), (result, nonce), "{state} {committed}");
        }
    }
}

#[test]
fn an_ask_about_a_pending_certificate_aborts_it() {
    let bed = bed();
    let station = &bed.pair.station;
    let mut rng = station.rng.clone();
    let pending = view(State::Pending, false);
    let verdict = outcome::answer(&station.context(), &mut rng, &ask(), Some(&pending)).unwrap();
    assert_eq!(verdict.change, Change::Abort);
    assert_eq!(verdict.audit[0].event, E::CertificateAborted);
    assert_eq!(read(&verdict.answer).result, OutcomeResult::Aborted);
}

#[test]
fn questions_about_other_certificates_are_refused() {
    let bed = bed();
    let station = &bed.pair.station;
    let mut rng = station.rng.clone();
    let ctx = station.context();
    let pending = view(State::Pending, false);
    let mut refused = |request: CommitRequest| {
        outcome::commit(&ctx, &mut rng, &request, &pending, None).unwrap_err().code
    };
    let other = Serial::from_bytes(&[8]).unwrap();
    assert_eq!(refused(CommitRequest { serial: other, ..request() }), ErrorCode::SessionMismatch);
    let session_id = SessionId::from_bytes([8; 16]);
    assert_eq!(refused(CommitRequest { session_id, ..request() }), ErrorCode::SessionMismatch);

    let mut rng = station.rng.clone();
    let mut refused = |ask: OutcomeAsk, view: Option<&CertificateView>| {
        outcome::answer(&ctx, &mut rng, &ask, view).unwrap_err().code
    };
    assert_eq!(refused(ask(), None), ErrorCode::SessionUnknown);
    let device_id = DeviceId::parse("ZM-002").unwrap();
    let stranger = OutcomeAsk { device_id, ..ask() };
    assert_eq!(refused(stranger, Some(&pending)), ErrorCode::DeviceMismatch);
    let moved = OutcomeAsk { session_id, ..ask() };
    assert_eq!(refused(moved, Some(&pending)), ErrorCode::SessionMismatch);
}

#[test]
fn an_ask_is_signed_by_the_identity_key_on_record() {
    let mut bed = bed();
    let payload = strict::to_vec(&ask()).unwrap();
    let rng = &mut bed.pair.device.rng;
    let good = sign(Typ::Ask, None, &payload, &bed.key, rng).unwrap();
    let typ = sign(Typ::Status, None, &payload, &bed.key, rng).unwrap();
    let junk = sign(Typ::Ask, None, b"{}", &bed.key, rng).unwrap();
    let other = SoftIdentity::generate(Suite::P256, rng).unwrap();
    let ctx = bed.pair.station.context();
    let verify = |text: &str, key: &SoftIdentity| {
        outcome::verify_ask(&ctx, text.as_bytes(), key.public()).map_err(|report| report.code)
    };
    assert_eq!(verify(&good, &bed.key), Ok(ask()));
    assert_eq!(verify(&good, &other), Err(ErrorCode::SignatureInvalid));
    assert_eq!(verify(&typ, &bed.key), Err(ErrorCode::JwsMalformed));
    assert_eq!(verify(&junk, &bed.key), Err(ErrorCode::JwsMalformed));
    assert_eq!(verify("junk", &bed.key), Err(ErrorCode::JwsMalformed));
}
