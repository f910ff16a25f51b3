//! Random lives of a device against a small model of what must hold in every one of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::{Actor, Role};
use zmon_protocol::device::{DeviceInput, DeviceReply, LinkError, StateKind};

use crate::common::{
    Commit, Forge, Pair, actor, address, administrator, forge, seconds, technician,
};

/// One thing that happens to the device.
#[derive(Clone, Copy, Debug)]
enum Op {
    Enter,
    Reprovision,
    Regenerate,
    Exit,
    Retry,
    Reset,
    Deprovision,
    /// An honest claim, and nothing more.
    Claim,
    /// The last claim again, whatever has happened since.
    ReplayClaim,
    /// A claim with a wrong MAC.
    BadClaim,
    /// The configuration of the last claim.
    Deliver,
    /// The last delivered envelope again.
    ReplayEnvelope,
    /// A bent envelope.
    BadEnvelope,
    /// The whole honest pairing.
    Pair,
    /// The next tests, commits and asks fail this way.
    Network(u8),
    Pass(u16),
    Restart,
    AuditDown(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => Just(Op::Enter),
        6 => Just(Op::Reprovision),
        1 => Just(Op::Regenerate),
        1 => Just(Op::Exit),
        1 => Just(Op::Retry),
        1 => Just(Op::Reset),
        1 => Just(Op::Deprovision),
        4 => Just(Op::Claim),
        2 => Just(Op::ReplayClaim),
        1 => Just(Op::BadClaim),
        8 => Just(Op::Deliver),
        2 => Just(Op::ReplayEnvelope),
        1 => Just(Op::BadEnvelope),
        6 => Just(Op::Pair),
        6 => any::<u8>().prop_map(Op::Network),
        4 => prop_oneof![Just(1_u16), Just(1), Just(31), Just(61), Just(151), Just(601), Just(901)]
            .prop_map(Op::Pass),
        2 => Just(Op::Restart),
        2 => prop_oneof![1 => Just(true), 3 => Just(false)].prop_map(Op::AuditDown),
    ]
}

/// What is remembered beside the device.
struct World {
    pair: Pair,
    forge: Option<Forge>,
    envelope: Option<Vec<u8>>,
    /// Claims that were answered with an identity document for the first time.
    claimed: BTreeSet<[u8; 16]>,
    was_provisioned: bool,
}

impl World {
    fn apply(&mut self, op: Op) {
        let pair = &mut self.pair;
        let now = pair.now();
        match op {
            Op::Enter => {
                let input = DeviceInput::Enter { proof: technician(&now), address: address() };
                drop(pair.tell(input));
            }
            Op::Reprovision => {
                let proof = technician(&now);
                drop(pair.tell(DeviceInput::Reprovision { proof, address: address() }));
            }
            Op::Regenerate => drop(pair.tell(DeviceInput::Regenerate { actor: Actor::Local })),
            Op::Exit => drop(pair.tell(DeviceInput::Exit { actor: actor(Role::Technician) })),
            Op::Retry => drop(pair.tell(DeviceInput::Retry { proof: technician(&now) })),
            Op::Reset => drop(pair.tell(DeviceInput::Reset { proof: technician(&now) })),
            Op::Deprovision => {
                drop(pair.tell(DeviceInput::Deprovision { proof: administrator(&now) }));
            }
            Op::Claim => self.claim(),
            Op::ReplayClaim => self.replay_claim(),
            Op::BadClaim => {
                if pair.snapshot().qr.is_some() {
                    let (token, hello) = (forge::token(pair), forge::hello(pair));
                    let (hello, _) = forge::claim_of(pair, &hello, &token);
                    assert!(forge::open(pair, hello, [3; 32]).is_err());
                }
            }
            Op::Deliver => self.deliver(),
            Op::ReplayEnvelope => self.replay_envelope(),
            Op::BadEnvelope => {
                if let Some(mut envelope) = self.envelope.clone() {
                    let last = envelope.len() - 1;
                    envelope[last] ^= 1;
                    assert!(pair.tell(DeviceInput::Configuration { envelope }).is_err());
                }
            }
            Op::Pair => {
                if pair.snapshot().qr.is_some() && !pair.device.audit_down {
                    pair.station.reservation = None;
                    pair.pair();
                    if let Some((_, session)) = self.pair_session() {
                        self.claimed.insert(session);
                    }
                }
            }
            Op::Network(bits) => {
                let lost = Err(LinkError::Network(ErrorCode::Timeout));
                pair.tests.extend((0..(bits & 3).saturating_sub(1)).map(|_| lost));
                let fates =
                    [Commit::Delivered, Commit::RequestLost, Commit::AnswerLost, Commit::Garbled];
                let fate = |shift: u8| fates[usize::from((bits >> shift) & 3)];
                pair.commits.extend([fate(2); 3]);
                pair.asks.push_back(fate(4));
            }
            Op::Pass(secs) => pair.pass(seconds(u64::from(secs))),
            Op::Restart => {
                if !pair.device.audit_down {
                    pair.restart().unwrap();
                }
            }
            Op::AuditDown(down) => {
                pair.device.audit_down = down;
                pair.settle();
            }
        }
    }

    fn pair_session(&self) -> Option<(u64, [u8; 16])> {
        let machine = self.pair.station.machine.as_ref()?;
        Some((0, *machine.session_id().as_bytes()))
    }

    fn claim(&mut self) {
        let pair = &mut self.pair;
        if pair.snapshot().qr.is_none() || pair.device.audit_down {
            return;
        }
        // A device without a station session: what it asks is answered by the test bed's records.
        let forge = Forge::claim(pair);
        let fresh = self.claimed.insert(*forge.hello.session_id.as_bytes());
        assert!(fresh);
        self.forge = Some(forge);
    }

    fn replay_claim(&mut self) {
        let Some(forge) = &self.forge else { return };
        let claims =
            self.pair.device.rows(zmon_domain::audit::EventType::PairingCodeValidated).len();
        let reply = forge::open(&mut self.pair, forge.hello_jws.clone(), forge.mac);
        // Answered again while its session stands, refused ever after; never claimed twice.
        match reply {
            Ok(DeviceReply::Identity(_)) => {
                let kind = self.pair.device.machine.kind();
                let stands = [
                    StateKind::Pairing,
                    StateKind::Configuring,
                    StateKind::Validating,
                    StateKind::InDoubt,
                ];
                assert!(stands.contains(&kind), "{kind:?}");
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
        let after =
            self.pair.device.rows(zmon_domain::audit::EventType::PairingCodeValidated).len();
        assert_eq!(claims, after, "a code is accepted once");
    }

    fn deliver(&mut self) {
        let Some(forge) = &self.forge else { return };
        let document = forge.document(&mut self.pair);
        let envelope = forge.envelope(&mut self.pair, &document);
        let kind = self.pair.device.machine.kind();
        let generation = self.pair.device.stored.generation;
        let reply = forge.deliver(&mut self.pair, envelope.clone());
        if self.pair.device.stored.generation > generation {
            assert_eq!(kind, StateKind::Pairing, "nothing is applied without a claim");
            assert_eq!(reply, Ok(DeviceReply::Pending));
            self.envelope = Some(envelope);
        }
    }

    fn replay_envelope(&mut self) {
        let Some(envelope) = self.envelope.clone() else { return };
        let before = self.pair.device.stored.generation;
        drop(self.pair.tell(DeviceInput::Configuration { envelope }));
        assert_eq!(self.pair.device.stored.generation, before, "never applied twice");
    }

    fn check(&mut self) {
        let stored = &self.pair.device.stored;
        let kind = self.pair.device.machine.kind();
        if stored.slot_a.is_some() {
            self.was_provisioned = true;
        }
        if stored.deprovisioned {
            self.was_provisioned = false;
        }
        assert!(
            !self.was_provisioned || stored.slot_a.is_some(),
            "never neither slot once it was provisioned"
        );
        assert_eq!(self.pair.device.machine.is_provisioned(), stored.slot_a.is_some());
        let staged =
            matches!(kind, StateKind::Configuring | StateKind::Validating | StateKind::InDoubt);
        assert_eq!(staged, stored.slot_b.is_some(), "{kind:?}");
        let sent = stored.slot_b.as_ref().is_some_and(|(_, sent)| *sent);
        assert_eq!(
            sent,
            kind == StateKind::InDoubt,
            "in doubt keeps B, nothing else does so for ever"
        );
        if let (Some(a), Some((b, _))) = (&stored.slot_a, &stored.slot_b) {
            assert!(b.generation > a.generation);
        }
        for slot in stored.slot_a.iter().chain(stored.slot_b.iter().map(|(slot, _)| slot)) {
            let session = slot.session_id.as_bytes();
            assert!(self.claimed.contains(session), "nothing is applied without a claim");
        }
        // The station's record and the device agree, or the device is in doubt.
        if let (Some(a), false) = (&stored.slot_a, kind == StateKind::InDoubt) {
            let view = &self.pair.station.certificates[&a.serial];
            assert!(view.committed, "slot A was committed by the station");
        }
        assert!(
            !stored.window_open || self.pair.listening || self.pair.device.audit_down || staged
        );
        assert!(
            self.pair.station.current().is_none() || !self.pair.station.certificates.is_empty()
        );
    }
}

/// One life from start to end, every invariant checked after every step; the states it went through.
fn live(seed: u64, ops: Vec<Op>) -> BTreeSet<StateKind> {
    let mut world = World {
        pair: Pair::new(seed),
        forge: None,
        envelope: None,
        claimed: BTreeSet::new(),
        was_provisioned: false,
    };
    let mut visited = BTreeSet::new();
    for op in ops {
        world.apply(op);
        world.check();
        visited.insert(world.pair.device.machine.kind());
    }
    // Whatever has happened: once the world is well again, doubt ends.
    world.pair.device.audit_down = false;
    world.pair.asks.clear();
    world.pair.commits.clear();
    world.pair.settle();
    world.pair.pass(seconds(1000));
    assert_ne!(world.pair.device.machine.kind(), StateKind::InDoubt);
    world.check();
    visited
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn invariants_hold_in_every_life(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        live(seed, ops);
    }
}

#[test]
fn random_lives_come_through_every_lasting_state() {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(op(), 40);
    let mut visited = BTreeSet::new();
    for seed in 0..32 {
        visited.extend(live(seed, strategy.new_tree(&mut runner).unwrap().current()));
    }
    for kind in StateKind::ALL {
        // `Configuring` lasts no time.
        assert!(visited.contains(kind) || *kind == StateKind::Configuring, "{kind:?} never lived");
    }
}
