//! One run: a plan carried out in one thread, in virtual time.

use core::cell::RefCell;
use core::time::Duration;
use std::sync::Once;

use tokio::time::sleep;

use crate::bug::Bug;
use crate::step::Plan;
use crate::watch::{Break, Counts};
use crate::world::World;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The rules that were broken; none in a good run.
    pub breaks: Vec<Break>,
    /// Hash over everything that happened, in order.
    pub trace: [u8; 32],
    /// What happened, as far as it is kept.
    pub lines: Vec<String>,
    /// How often what happened.
    pub counts: Counts,
}

impl Outcome {
    /// The first rule that was broken.
    #[must_use]
    pub fn first(&self) -> Option<&Break> {
        self.breaks.first()
    }
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A panic in a task is a broken rule, not a line on a terminal.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            before(info);
        }));
    });
    PANICS.with_borrow_mut(Vec::clear);
}

/// Carries out a plan, with a bug planted if one is named. The same plan always comes to the same.
///
/// # Panics
/// When the operating system gives no runtime.
#[must_use]
#[expect(clippy::expect_used, reason = "without a runtime there is no run")]
pub fn run(plan: &Plan, bug: Option<Bug>) -> Outcome {
    listen_for_panics();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime starts");
    runtime.block_on(live(plan, bug))
}

async fn live(plan: &Plan, bug: Option<Bug>) -> Outcome {
    let Some(mut world) = World::new(plan, bug).await else {
        let what = "the ward cannot be set up".to_owned();
        let breaks = vec![Break { at: 0, what }];
        return Outcome { breaks, trace: [0; 32], lines: Vec::new(), counts: Counts::default() };
    };
    for (step, pause) in &plan.steps {
        world.act(*step).await;
        sleep(Duration::from_millis(u64::from(*pause))).await;
        report_panics(&world);
        if !world.watch().is_whole() {
            break;
        }
    }
    if world.watch().is_whole() {
        world.recover().await;
        report_panics(&world);
    }
    let watch = world.watch();
    Outcome {
        breaks: watch.breaks(),
        trace: watch.trace(),
        lines: watch.lines(),
        counts: watch.counts(),
    }
}

fn report_panics(world: &World) {
    for panic in PANICS.with_borrow_mut(core::mem::take) {
        world.watch().broke(format!("panic: {panic}"));
    }
}
