//! Every input in every state, held against the transition table; and the table against its document.

use std::collections::BTreeSet;

use zmon_crypto::Secret32;
use zmon_crypto::jws::Typ;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{OverrideReason, SessionId};
use zmon_domain::role::{Actor, Role};
use zmon_protocol::device::{
    DeviceAction, DeviceInput, DeviceReply, DeviceWrite, InputKind, LinkError, Pulled, StateKind,
    successors, transition_table,
};
use zmon_wire::kind::V1;
use zmon_wire::outcome::{Outcome, OutcomeResult};
use zmon_wire::strict;

use crate::common::typed::Run;
use crate::common::{
    Forge, Pair, actor, address, administrator, forge, proof, seconds, technician,
};

/// Where a fixture's device comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Fresh,
    Provisioned,
    Deprovisioned,
}

/// A device in one state, and what an honest peer could send it there.
struct Fixture {
    pair: Pair,
    honest: Vec<DeviceInput>,
}

fn base(origin: Origin) -> Pair {
    match origin {
        Origin::Fresh => Pair::new(91),
        Origin::Provisioned => Pair::provisioned(91),
        Origin::Deprovisioned => {
            let mut pair = Pair::provisioned(91);
            let proof = administrator(&pair.now());
            pair.tell(DeviceInput::Deprovision { proof }).unwrap();
            pair
        }
    }
}

fn window(origin: Origin) -> Pair {
    let mut pair = base(origin);
    if origin == Origin::Provisioned {
        pair.reprovision()
    } else {
        pair.enter()
    }
    pair
}

fn fixture(kind: StateKind, origin: Origin) -> Option<Fixture> {
    let mut honest = Vec::new();
    let pair = match kind {
        StateKind::NotProvisioned if origin == Origin::Fresh => base(origin),
        StateKind::Deprovisioned if origin == Origin::Deprovisioned => base(origin),
        StateKind::Provisioned if origin == Origin::Provisioned => base(origin),
        StateKind::NotProvisioned | StateKind::Deprovisioned | StateKind::Provisioned => {
            return None;
        }
        StateKind::Error if origin == Origin::Provisioned => return None,
        StateKind::Error => {
            let mut pair = window(origin);
            pair.pass(seconds(601));
            pair
        }
        StateKind::ReadyToPair => {
            let mut pair = window(origin);
            let (token, hello) = (forge::token(&pair), forge::hello(&mut pair));
            let (hello, claim_mac) = forge::claim_of(&mut pair, &hello, &token);
            honest.push(DeviceInput::SessionOpen { hello, claim_mac });
            pair
        }
        StateKind::Pairing => {
            let mut pair = window(origin);
            let forge = Forge::claim(&mut pair);
            let document = forge.document(&mut pair);
            let envelope = forge.envelope(&mut pair, &document);
            honest.push(DeviceInput::Configuration { envelope });
            let envelope = forge.seal(&mut pair, b"not a configuration");
            honest.push(DeviceInput::Configuration { envelope });
            pair
        }
        StateKind::Configuring => staged(origin, &mut honest),
        StateKind::Validating => {
            let mut pair = staged(origin, &mut honest);
            let now = pair.now();
            pair.device.input(&now, DeviceInput::Timeout).unwrap();
            pair
        }
        StateKind::InDoubt => in_doubt(origin, &mut honest, false),
        _ => panic!("the test does not know {kind:?}"),
    };
    assert_eq!(pair.device.machine.kind(), kind);
    Some(Fixture { pair, honest })
}

/// Slot B is staged and nothing has run yet.
fn staged(origin: Origin, honest: &mut Vec<DeviceInput>) -> Pair {
    let mut pair = window(origin);
    let forge = Forge::claim(&mut pair);
    let document = forge.document(&mut pair);
    let envelope = forge.envelope(&mut pair, &document);
    let now = pair.now();
    let input = DeviceInput::Configuration { envelope: envelope.clone() };
    assert_eq!(pair.device.input(&now, input).unwrap(), DeviceReply::Pending);
    honest.push(DeviceInput::Configuration { envelope });
    pair.device.actions.clear();
    pair
}

/// Commit is marked sent; with `ask` the device has gone over to asking.
fn in_doubt(origin: Origin, honest: &mut Vec<DeviceInput>, ask: bool) -> Pair {
    let mut pair = staged(origin, honest);
    let mut now = pair.now();
    pair.device.input(&now, DeviceInput::Timeout).unwrap();
    pair.device.input(&now, DeviceInput::Tested(Ok(()))).unwrap();
    let lost = || DeviceInput::CommitAnswered(Err(LinkError::Network(ErrorCode::Timeout)));
    let mut outcome = None;
    while outcome.is_none() {
        let actions: Vec<_> = pair.device.actions.drain(..).collect();
        for action in actions {
            match action {
                DeviceAction::SendCommit { .. } if ask => {
                    pair.device.input(&now, lost()).unwrap();
                }
                DeviceAction::SendCommit { request, .. } => {
                    outcome = Some((request.session_id, request.serial, request.nonce));
                }
                DeviceAction::AskOutcome { ask, .. } => {
                    let jws = zmon_crypto::jws::Unverified::parse(ask.as_bytes()).unwrap();
                    let ask: zmon_wire::outcome::OutcomeAsk =
                        strict::parse(jws.payload_unverified(), 65_536).unwrap();
                    outcome = Some((ask.session_id, ask.serial, ask.nonce));
                }
                _ => {}
            }
        }
        if outcome.is_none() {
            pair.clock.jump(pair.device.machine.poll_timeout().unwrap());
            now = pair.now();
            pair.device.input(&now, DeviceInput::Timeout).unwrap();
        }
    }
    let (session_id, serial, nonce) = outcome.unwrap();
    for result in [OutcomeResult::Committed, OutcomeResult::Aborted] {
        let outcome = Outcome {
            v: V1::default(),
            session_id,
            device_id: pair.device.profile.device_id.clone(),
            serial,
            nonce,
            result,
        };
        let payload = strict::to_vec(&outcome).unwrap();
        let signed = forge::sign(&mut pair, Typ::Outcome, None, &payload);
        honest.push(if ask {
            DeviceInput::OutcomeAnswered(Ok(signed))
        } else {
            DeviceInput::CommitAnswered(Ok(signed))
        });
    }
    pair
}

/// A run of the typed code is under way; the right confirmation and a wrong one.
fn typed(origin: Origin) -> Fixture {
    let mut pair = window(origin);
    let code = pair.code();
    let run = Run::new(&mut pair, &code);
    let (hello, share_p, session_id) = (run.hello.clone(), run.share_p, run.session);
    let answer = run.start(&mut pair).unwrap();
    let confirm_p = run.confirmation(&answer).unwrap();
    let honest = vec![
        DeviceInput::PakeStart { hello, share_p },
        DeviceInput::PakeConfirm { session_id, confirm_p: [0; 32] },
        DeviceInput::PakeConfirm { session_id, confirm_p },
    ];
    Fixture { pair, honest }
}

/// No anchor, and a configuration whose station waits to be confirmed.
fn unconfirmed(origin: Origin) -> Fixture {
    let mut pair = base(origin);
    pair.by_proximity();
    if origin == Origin::Provisioned {
        pair.reprovision();
    } else {
        pair.enter();
    }
    let forge = Forge::claim(&mut pair);
    let document = forge.document(&mut pair);
    let envelope = forge.envelope(&mut pair, &document);
    let now = pair.now();
    let input = DeviceInput::Configuration { envelope: envelope.clone() };
    assert_eq!(pair.device.input(&now, input).unwrap(), DeviceReply::Pending);
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
    let other = forge.envelope(&mut pair, &document);
    let honest = [envelope, other].map(|envelope| DeviceInput::Configuration { envelope });
    Fixture { pair, honest: honest.into() }
}

/// The station was asked for a new certificate; with `answered` the session has begun.
fn renewing(answered: bool) -> Fixture {
    let mut pair = base(Origin::Provisioned);
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Renew { proof: technician(&now) }).unwrap();
    let Some(DeviceAction::Pull { method, pull, .. }) = pair.device.actions.pop_front() else {
        panic!("a renewal asks");
    };
    let pulled = pair.station.pull(&now, method, pull.as_bytes()).unwrap();
    if !answered {
        return Fixture { pair, honest: vec![DeviceInput::Pulled(Ok(pulled))] };
    }
    pair.device.input(&now, DeviceInput::Pulled(Ok(pulled))).unwrap();
    let Some(DeviceAction::Fetch { request, .. }) = pair.device.actions.pop_front() else {
        panic!("a hello is answered");
    };
    let envelope = pair.fetch(request.identity.into_bytes()).unwrap();
    Fixture { pair, honest: vec![DeviceInput::Fetched(Ok(envelope))] }
}

/// Every input with content that makes sense somewhere, and with junk.
fn inputs(pair: &Pair) -> Vec<DeviceInput> {
    let now = pair.now();
    let lost = LinkError::Network(ErrorCode::Timeout);
    let no = LinkError::Refused(ErrorCode::ConnectionRefusedByStation);
    let bad = LinkError::Certificate(ErrorCode::ServerPinMismatch);
    let auditor = || proof(Role::Auditor, now.mono + seconds(60));
    vec![
        DeviceInput::Enter { proof: technician(&now), address: address() },
        DeviceInput::Enter { proof: auditor(), address: address() },
        DeviceInput::EnterRefused { actor: Actor::System, code: ErrorCode::InterlockActive },
        DeviceInput::OverrideInterlock { proof: administrator(&now), reason: reason() },
        DeviceInput::OverrideInterlock { proof: technician(&now), reason: reason() },
        DeviceInput::ListenerOpened { port: 4431 },
        DeviceInput::ListenerOpened { port: 0 },
        DeviceInput::ListenerFailed,
        DeviceInput::Announce { address: address() },
        DeviceInput::Announce { address: "10.1.50.9".parse().unwrap() },
        DeviceInput::Regenerate { actor: Actor::Local },
        DeviceInput::Exit { actor: actor(Role::Technician) },
        DeviceInput::Retry { proof: technician(&now) },
        DeviceInput::Retry { proof: auditor() },
        DeviceInput::Reset { proof: technician(&now) },
        DeviceInput::Reset { proof: auditor() },
        DeviceInput::Deprovision { proof: administrator(&now) },
        DeviceInput::Deprovision { proof: technician(&now) },
        DeviceInput::Reprovision { proof: technician(&now), address: address() },
        DeviceInput::Reprovision { proof: auditor(), address: address() },
        DeviceInput::FactoryReset {
            proof: administrator(&now),
            confirmation: "ZM-001".into(),
            new_identity: false,
        },
        DeviceInput::FactoryReset {
            proof: administrator(&now),
            confirmation: "ZM-002".into(),
            new_identity: false,
        },
        DeviceInput::FactoryReset {
            proof: technician(&now),
            confirmation: "ZM-001".into(),
            new_identity: false,
        },
        DeviceInput::Erased(Ok(())),
        DeviceInput::Erased(Err(ErrorCode::StorageUnavailable)),
        DeviceInput::RetireAnswered { counter: 1, result: Ok(()) },
        DeviceInput::RetireAnswered { counter: 1, result: Err(no) },
        DeviceInput::Migrate { proof: technician(&now), address: address() },
        DeviceInput::Migrate { proof: auditor(), address: address() },
        DeviceInput::PostponeMigration { proof: technician(&now) },
        DeviceInput::PostponeMigration { proof: auditor() },
        DeviceInput::MigrationRefused {
            actor: actor(Role::Technician),
            code: ErrorCode::ManualConfigurationInvalid,
        },
        DeviceInput::LinkProven,
        DeviceInput::LinkExpired { not_after: crate::common::clock::start() },
        DeviceInput::ManualRemoved(Ok(())),
        DeviceInput::ManualRemoved(Err(ErrorCode::StorageUnavailable)),
        DeviceInput::Renew { proof: technician(&now) },
        DeviceInput::Renew { proof: auditor() },
        DeviceInput::Pulled(Ok(Pulled { hello: Vec::new(), ikm: Secret32::from_bytes([0; 32]) })),
        DeviceInput::Pulled(Err(lost)),
        DeviceInput::Fetched(Ok(vec![1; 200])),
        DeviceInput::Fetched(Err(no)),
        DeviceInput::SessionOpen { hello: Vec::new(), claim_mac: [0; 32] },
        DeviceInput::SessionOpen { hello: b"a.b.c".to_vec(), claim_mac: [0; 32] },
        DeviceInput::AskWindow,
        DeviceInput::PakeStart { hello: Vec::new(), share_p: [0; 65] },
        DeviceInput::PakeStart { hello: b"a.b.c".to_vec(), share_p: [4; 65] },
        DeviceInput::PakeConfirm { session_id: SessionId::from_bytes([0; 16]), confirm_p: [0; 32] },
        DeviceInput::Blink {
            session_id: SessionId::from_bytes([0; 16]),
            number: core::num::NonZeroU32::MIN,
            mac: [0; 32],
        },
        DeviceInput::ConfirmStation { proof: technician(&now), words: pair.words() },
        DeviceInput::ConfirmStation { proof: technician(&now), words: "a b c d".into() },
        DeviceInput::ConfirmStation { proof: auditor(), words: pair.words() },
        DeviceInput::RefuseStation { actor: Actor::Local },
        DeviceInput::Configuration { envelope: Vec::new() },
        DeviceInput::Configuration { envelope: vec![1; 200] },
        DeviceInput::ConfigurationRefused { report: ErrorCode::InvalidPairingCode.into() },
        DeviceInput::Junk { code: ErrorCode::RequestMalformed },
        DeviceInput::Tested(Ok(())),
        DeviceInput::Tested(Err(lost)),
        DeviceInput::Tested(Err(no)),
        DeviceInput::Tested(Err(bad)),
        DeviceInput::CommitAnswered(Ok(Vec::new())),
        DeviceInput::CommitAnswered(Ok(b"junk".to_vec())),
        DeviceInput::CommitAnswered(Err(lost)),
        DeviceInput::CommitAnswered(Err(no)),
        DeviceInput::OutcomeAnswered(Ok(b"junk".to_vec())),
        DeviceInput::OutcomeAnswered(Err(bad)),
        DeviceInput::Timeout,
    ]
}

fn reason() -> OverrideReason {
    OverrideReason::parse("no patient").unwrap()
}

type Edge = (StateKind, InputKind, StateKind);

/// Proposes one input; checks the transition against the table and the law of audit.
fn probe(fixture: &mut Fixture, clock: crate::common::clock::Clock, input: DeviceInput) -> Edge {
    let kind = input.kind();
    let before = fixture.pair.device.machine.kind();
    let status = fixture.pair.device.machine.status();
    let transition = fixture.pair.device.propose(&clock.now(), input);
    let after = transition.next.kind();
    assert!(
        after == before || successors(before, kind).contains(&after),
        "{before:?} --{kind:?}--> {after:?} is not in the table"
    );
    let record = &transition.record;
    assert!(record.writes.is_empty() || !record.audit.is_empty(), "{before:?} {kind:?}");
    if before == StateKind::InDoubt && after == StateKind::InDoubt {
        let of_a_wiped_slot =
            |write: &DeviceWrite| matches!(write, DeviceWrite::RetireDelivered(_));
        assert!(record.writes.iter().all(of_a_wiped_slot), "doubt writes nothing: {kind:?}");
    }
    let told = transition.events().any(|event| {
        matches!(event, zmon_protocol::device::DeviceEvent::StatusChanged(to) if *to == transition.next.status())
    });
    assert_eq!(told, transition.next.status() != status, "{before:?} {kind:?}");
    (before, kind, after)
}

fn all_edges() -> BTreeSet<Edge> {
    let mut seen = BTreeSet::new();
    for origin in [Origin::Fresh, Origin::Provisioned, Origin::Deprovisioned] {
        let asking = {
            let mut honest = Vec::new();
            let pair = in_doubt(origin, &mut honest, true);
            Fixture { pair, honest }
        };
        let fixtures = StateKind::ALL.iter().filter_map(|kind| fixture(*kind, origin));
        let renewing = [renewing(false), renewing(true)].into_iter();
        let renewing = renewing.filter(|_| origin == Origin::Provisioned);
        let more = [asking, typed(origin), unconfirmed(origin)];
        for mut fixture in fixtures.chain(more).chain(renewing) {
            let honest = core::mem::take(&mut fixture.honest);
            let clock = fixture.pair.clock;
            for input in inputs(&fixture.pair).into_iter().chain(honest) {
                seen.insert(probe(&mut fixture, clock, input));
            }
            // The same inputs long after every deadline.
            for hours in [1, 48] {
                let mut late = clock;
                late.pass(seconds(3600 * hours));
                let pair = &mut fixture.pair;
                let now = core::mem::replace(&mut pair.clock, late);
                let inputs = inputs(pair);
                pair.clock = now;
                for input in inputs {
                    seen.insert(probe(&mut fixture, late, input));
                }
            }
            // A claim that nothing followed, and a retry after a failure.
            let mut idle = clock;
            idle.pass(seconds(150));
            seen.insert(probe(&mut fixture, idle, DeviceInput::Timeout));
        }
    }
    // Retry from `Provisioned` needs a failure before.
    let mut pair = Pair::provisioned(92);
    pair.reprovision();
    pair.pass(seconds(601));
    let (clock, proof) = (pair.clock, technician(&pair.now()));
    let mut failed = Fixture { pair, honest: Vec::new() };
    seen.insert(probe(&mut failed, clock, DeviceInput::Retry { proof }));
    seen
}

#[test]
fn every_input_in_every_state_is_in_the_table_and_every_cell_is_reached() {
    let seen = all_edges();
    for state in StateKind::ALL {
        for input in InputKind::ALL {
            let reached = seen.iter().any(|(from, by, _)| from == state && by == input);
            assert!(reached, "{state:?} never got {input:?}");
            for to in successors(*state, *input) {
                assert!(
                    seen.contains(&(*state, *input, *to)),
                    "the table promises {state:?} --{input:?}--> {to:?}"
                );
            }
        }
    }
}

#[test]
fn the_document_is_the_code() {
    let document = include_str!("../../STATES.md");
    assert_eq!(document, transition_table(), "render STATES.md anew from transition_table()");
}

#[test]
fn only_a_signed_answer_or_the_end_of_everything_leads_out_of_doubt() {
    for input in InputKind::ALL {
        let out = successors(StateKind::InDoubt, *input);
        let leads = matches!(
            input,
            InputKind::CommitAnswered | InputKind::OutcomeAnswered | InputKind::FactoryReset
        );
        assert_eq!(!out.is_empty(), leads, "{input:?}");
    }
}
