//! The device's store against a model of it: any sequence of records, restarts included.

use proptest::prelude::*;
use zmon_domain::audit::EventType;
use zmon_domain::ids::WindowId;
use zmon_protocol::device::{BootState, DeviceWrite};
use zmon_provisioning::ports::{DeviceStore, SettingsManager};

use crate::common::{Device, Home, at, now, record, session, slot};

#[derive(Debug, Clone, Copy)]
enum Step {
    Open(u8),
    Claim(u8, u8),
    Close,
    Stage(u8),
    Drop,
    Sent(u8),
    Flip,
    Deprovision,
    Floor(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..3_u8).prop_map(Step::Open),
        2 => (0..3_u8, 1..3_u8).prop_map(|(window, by)| Step::Claim(window, by)),
        1 => Just(Step::Close),
        5 => (0..3_u8).prop_map(Step::Stage),
        1 => Just(Step::Drop),
        3 => (1..12_u8).prop_map(Step::Sent),
        4 => Just(Step::Flip),
        1 => Just(Step::Deprovision),
        1 => (0..50_i64).prop_map(Step::Floor),
        3 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..24)
}

/// What the store must remember.
#[derive(Debug, Clone, PartialEq, Default)]
struct Model {
    a: Option<u64>,
    b: Option<(u64, bool)>,
    window: Option<(u8, Option<u8>)>,
    deprovisioned: bool,
    floor: Option<i64>,
    generation: u64,
    rows: usize,
}

impl Model {
    /// The write of a step and the model after it; `None` if the step must be refused.
    fn step(&self, step: Step) -> (DeviceWrite, Option<Self>) {
        let mut next = self.clone();
        next.rows += 1;
        let id = |n| WindowId::from_bytes([n; 16]);
        let (write, allowed) = match step {
            Step::Open(window) => {
                next.window = Some((window, None));
                (DeviceWrite::OpenWindow(id(window)), true)
            }
            Step::Claim(window, by) => {
                let allowed = match self.window {
                    Some((open, claimed)) => open == window && claimed.is_none_or(|c| c == by),
                    None => false,
                };
                next.window = Some((window, Some(by)));
                (DeviceWrite::ClaimWindow(id(window), session(by)), allowed)
            }
            Step::Close => {
                next.window = None;
                (DeviceWrite::CloseWindow, true)
            }
            Step::Stage(ahead) => {
                let generation = self.generation + u64::from(ahead);
                next.b = Some((generation, false));
                next.generation = generation;
                (DeviceWrite::StageB(slot(generation)), ahead > 0)
            }
            Step::Drop => {
                next.b = None;
                (DeviceWrite::DropB, true)
            }
            Step::Sent(by) => {
                next.b = self.b.map(|(generation, _)| (generation, true));
                let allowed = self.b.is_some_and(|(generation, _)| generation == u64::from(by));
                (DeviceWrite::MarkCommitSent(session(by)), allowed)
            }
            Step::Flip => {
                next.a = self.b.map(|(generation, _)| generation);
                next.b = None;
                next.deprovisioned = false;
                (DeviceWrite::Flip, self.b.is_some())
            }
            Step::Deprovision => {
                (next.a, next.b, next.deprovisioned) = (None, None, true);
                (DeviceWrite::Deprovision, true)
            }
            Step::Floor(seconds) => {
                next.floor = next.floor.max(Some(seconds));
                (DeviceWrite::RaiseFloor(at(seconds)), true)
            }
            Step::Restart => unreachable!("a restart writes nothing"),
        };
        // The end of a slot's secret has its row.
        let stored = |model: &Self| [model.a, model.b.map(|b| b.0)];
        let left = stored(&next);
        next.rows +=
            stored(self).iter().flatten().filter(|old| !left.contains(&Some(**old))).count();
        (write, allowed.then_some(next))
    }

    fn assert_is(&self, boot: &BootState, device: &Device) {
        assert_eq!(boot.slot_a.as_ref().map(|slot| slot.generation), self.a);
        let b = boot.slot_b.as_ref().map(|(slot, sent)| (slot.generation, *sent));
        assert_eq!(b, self.b);
        assert_eq!(boot.window_open, self.window.is_some());
        assert_eq!(boot.deprovisioned, self.deprovisioned);
        assert_eq!(boot.floor, self.floor.map(at));
        assert_eq!(boot.generation, self.generation);
        let mut live: Vec<u64> = self.a.into_iter().chain(self.b.map(|b| b.0)).collect();
        live.sort_unstable();
        let mut secrets = device.keys.slot_generations().unwrap();
        secrets.sort_unstable();
        assert_eq!(secrets, live, "one secret per slot and no other");
        let bed = device.store.current().and_then(|settings| settings.bed);
        assert_eq!(bed.map(|bed| bed.to_string()), self.a.map(|a| format!("ICU-{a}")));
    }
}

async fn follow(steps: Vec<Step>) {
    let home = Home::new();
    let mut device = Device::create(&home).await;
    let mut model = Model::default();
    for step in steps {
        if let Step::Restart = step {
            drop(device);
            device = Device::open(&home).await;
        } else {
            let (write, next) = model.step(step);
            let record = record(&[EventType::Started], vec![write]);
            let answer = device.store.commit(&now(), &record).await;
            assert_eq!(answer.is_ok(), next.is_some(), "{step:?}: {answer:?}");
            model = next.unwrap_or(model);
        }
        model.assert_is(&device.store.load().await.unwrap(), &device);
    }
    let report = device.store.verify_audit().await.unwrap();
    assert!(report.is_intact());
    assert_eq!(usize::try_from(report.rows()), Ok(model.rows));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_remembers_exactly_what_it_was_told(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(follow(steps));
    }
}
