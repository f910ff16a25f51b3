//! Model check: device × station × attacker, every order of events up to a bound (D11, D13).
//!
//! The model is the product: the machines and the decisions of this crate run inside it with real keys,
//! and a state is told from another by what decides its future ([`view`]), so that worlds that differ in
//! random numbers only are one. The attacker loses, delays, reorders and replays every message, claims
//! with a token it has seen, forges answers, and cuts the power of either side; timers fire in any
//! order, because each party has its own clock. What is modelled is the network, the store and the
//! driver between them.

pub(crate) mod bed;
mod step;
mod view;
pub(crate) mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use stateright::{Checker, Expectation, Model, Property};
use zmon_protocol::device::StateKind;
use zmon_protocol::station::CertificateState;

use bed::{Bed, Plant};
use step::Step;
use world::{Bounds, Call, Stage, World};

/// The worlds of one bed, from a factory-fresh device on.
pub(crate) struct Explored {
    bed: Arc<Bed>,
    bounds: Bounds,
}

impl Explored {
    pub(crate) fn new(plant: Plant, bounds: Bounds) -> Self {
        Self { bed: Arc::new(Bed::new(plant)), bounds }
    }
}

impl Model for Explored {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.bed, self.bounds)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        // What is broken need not be explored further.
        if world.broken.is_none() {
            world.steps(steps);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        world.after(step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no step breaks a rule", |_, world: &World| world.broken.is_none()),
            Property::always("at most one certificate is current", |_, world: &World| {
                let current =
                    world.certificates.iter().filter(|v| v.state == CertificateState::Current);
                current.count() <= 1
            }),
            Property::always("never neither slot", |_, world: &World| {
                !world.was_provisioned || world.disk.slot_a.is_some()
            }),
            Property::always("slot A was committed and is not revoked", |_, world: &World| {
                world.active().is_none_or(|number| {
                    let view = &world.certificates[number];
                    view.committed && view.state != CertificateState::Revoked
                })
            }),
            Property::always("nothing is applied without a claim", |_, world: &World| {
                let slots = world.disk.slot_a.iter();
                slots.chain(world.disk.slot_b.iter().map(|(slot, _)| slot)).all(|slot| {
                    let session = world.session(&slot.session_id);
                    world.claims.iter().any(|(_, by)| Some(*by) == session)
                })
            }),
            Property::always("a code is consumed at most once", |_, world: &World| {
                (0..world.windows.len())
                    .all(|window| world.claims.iter().filter(|(w, _)| *w == window).count() <= 1)
            }),
            Property::always("out of doubt, both sides agree", |_, world: &World| world.agrees()),
            Property::always("doubt ends as the station recorded", |_, world: &World| {
                world.kind() != StateKind::InDoubt || world.settles()
            }),
            Property::sometimes("provisioned a second time", |_, world: &World| {
                world.kind() == StateKind::Provisioned
                    && world.certificates.iter().filter(|view| view.committed).count() == 2
            }),
            Property::sometimes("a doubt that ends aborted", |_, world: &World| {
                world.outcomes.values().any(|spoken| !spoken.committed)
            }),
            Property::sometimes("a doubt whose commit has counted", |_, world: &World| {
                world.kind() == StateKind::InDoubt
                    && world.calls.keys().any(|call| matches!(call, Call::Ask(_)))
                    && world.certificates.iter().any(|view| view.committed)
            }),
        ]
    }
}

impl World {
    /// The certificate of slot A.
    fn active(&self) -> Option<usize> {
        self.disk.slot_a.as_ref().and_then(|slot| self.certificate(&slot.serial))
    }

    /// What the device works with is what the station has on record, unless the device asks itself.
    fn agrees(&self) -> bool {
        let current =
            self.certificates.iter().position(|view| view.state == CertificateState::Current);
        self.kind() == StateKind::InDoubt || self.active() == current
    }

    /// Once messages arrive and timers fire, doubt ends: committed or aborted, as the record says.
    fn settles(&self) -> bool {
        const ENOUGH: usize = 40;
        let mut world = self.clone();
        for _ in 0..ENOUGH {
            let ready = |pending: &world::Pending| match pending.stage {
                Stage::Sent => Some(false),
                Stage::Answered(_) => Some(true),
                Stage::Held => None,
            };
            let next = world.calls.iter().find_map(|(call, p)| ready(p).map(|back| (*call, back)));
            let step = match next {
                Some((call, false)) => Step::Serve(call),
                Some((call, true)) => Step::Return(call),
                None if world.kind() == StateKind::InDoubt => {
                    world.left.timers = 1;
                    Step::WakeDevice
                }
                None => break,
            };
            let Some(after) = world.after(step) else { return false };
            world = after;
            if world.kind() != StateKind::InDoubt {
                break;
            }
        }
        world.kind() != StateKind::InDoubt && world.broken.is_none() && world.agrees()
    }
}

/// Checks every world within the bounds, says how many there were, and returns which of the things that
/// should be possible were met.
///
/// # Panics
/// With the path to the first world in which something does not hold.
pub(crate) fn explore(bounds: Bounds, threads: usize) -> BTreeSet<&'static str> {
    let checker = Explored::new(Plant::None, bounds).checker().threads(threads).spawn_bfs().join();
    println!(
        "{} worlds, {} steps, at most {} deep, within {bounds:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    let mut met = BTreeSet::new();
    for property in checker.model().properties() {
        match property.expectation {
            Expectation::Sometimes => {
                met.extend(checker.discovery(property.name).map(|_| property.name))
            }
            _ => checker.assert_no_discovery(property.name),
        }
    }
    met
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    use super::view::View;
    use super::*;

    /// Two worlds that look alike have the same future, whatever was drawn at random in them.
    #[test]
    fn what_is_hidden_decides_nothing() {
        let bounds = Bounds { windows: 2, sessions: 2, faults: 2, crashes: 2, timers: 4 };
        let model = Explored::new(Plant::None, bounds);
        let mut rng = ChaCha20Rng::seed_from_u64(0xb15);
        let mut known: HashMap<(View, Step), Option<View>> = HashMap::new();
        let mut met_again = 0;
        for _ in 0..300 {
            let mut world = model.init_states().remove(0);
            world.rng = ChaCha20Rng::seed_from_u64(rng.next_u64());
            loop {
                let mut steps = Vec::new();
                model.actions(&world, &mut steps);
                let Some(pick) = rng.next_u64().checked_rem(steps.len() as u64) else { break };
                let step = steps[usize::try_from(pick).unwrap()];
                let next = model.next_state(&world, step);
                let (from, to) = (world.view(), next.as_ref().map(World::view));
                if let Some(before) = known.insert((from.clone(), step), to.clone()) {
                    assert_eq!(before, to, "{step:?} from {from:?}");
                    met_again += 1;
                }
                world = next.unwrap_or(world);
                // Forgeries may be tried for ever.
                if rng.next_u64() % 64 == 0 {
                    break;
                }
            }
        }
        println!("{} futures, {met_again} of them met again", known.len());
        assert!(met_again > known.len() / 4);
    }

    /// What runs with every change; the example `explore` of this crate goes further. Each is exhaustive.
    const BOUNDS: [Bounds; 4] = [
        // Two pairings, one after the other or at once, and whatever the attacker does once.
        Bounds { windows: 2, sessions: 2, faults: 1, crashes: 0, timers: 0 },
        // The same with a power cut on either side.
        Bounds { windows: 2, sessions: 2, faults: 0, crashes: 1, timers: 0 },
        // One pairing in which more goes wrong: lost answers, a power cut, and the doubt that follows.
        Bounds { windows: 1, sessions: 1, faults: 2, crashes: 1, timers: 1 },
        // Two who scan the same screen.
        Bounds { windows: 1, sessions: 2, faults: 1, crashes: 0, timers: 1 },
    ];

    #[test]
    fn every_world_within_the_bounds_keeps_every_promise() {
        let met: BTreeSet<_> = BOUNDS.into_iter().flat_map(|bounds| explore(bounds, 2)).collect();
        let possible = Explored::new(Plant::None, BOUNDS[0]).properties();
        let possible = possible.into_iter().filter(|p| p.expectation == Expectation::Sometimes);
        assert_eq!(met, possible.map(|property| property.name).collect());
    }

    const ONE: Bounds = Bounds { windows: 1, sessions: 1, faults: 0, crashes: 0, timers: 0 };

    /// The property that a planted bug must break, within bounds that leave room for it.
    fn found(plant: Plant, bounds: Bounds, property: &'static str) {
        let finish = stateright::HasDiscoveries::AnyOf([property].into());
        let checker = Explored::new(plant, bounds).checker().finish_when(finish).spawn_bfs();
        let checker = checker.join();
        let path = checker.discovery(property);
        let path = path.unwrap_or_else(|| panic!("{plant:?} is not found"));
        println!("{plant:?}: {:?}", path.into_actions());
    }

    #[test]
    fn a_flip_before_the_proof_is_found() {
        found(Plant::FlipBeforeProof, ONE, "slot A was committed and is not revoked");
    }

    #[test]
    fn a_forgotten_revocation_is_found() {
        let two = Bounds { windows: 2, sessions: 2, ..ONE };
        found(Plant::ForgetRevoke, two, "at most one certificate is current");
    }

    #[test]
    fn a_code_that_can_be_claimed_twice_is_found() {
        let two = Bounds { sessions: 2, ..ONE };
        found(Plant::DoubleClaim, two, "a code is consumed at most once");
    }

    #[test]
    fn a_slot_given_up_in_silence_is_found() {
        let doubt = Bounds { faults: 1, crashes: 1, timers: 1, ..ONE };
        found(Plant::SilenceMeansNo, doubt, "out of doubt, both sides agree");
    }

    #[test]
    fn an_abort_that_was_not_written_down_is_found() {
        let doubt = Bounds { faults: 1, crashes: 1, timers: 1, ..ONE };
        found(Plant::ForgetAbort, doubt, "out of doubt, both sides agree");
    }
}
