//! The database of two processes goes while devices are being paired, and comes back.

use core::time::Duration;

use tokio::time::sleep;
use zmon_testkit::Seed;

use super::fleet::{Fleet, NAMES};
use super::kill::{Gathered, begin, gather};

/// How many devices, and for how long there is no database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) devices: usize,
    pub(crate) hold: Duration,
}

/// Runs a plan: every device has a technician at the same time.
pub(crate) async fn run(plan: Plan, seed: &Seed) -> Gathered {
    let fleet = Fleet::of(plan.devices, plan.devices, NAMES.len(), seed).await;
    let mut stall = fleet.database.stall("certificates").await;
    let attempts = begin(&fleet, &std::sync::Arc::default());
    // A certificate is signed and cannot be recorded; now nothing can.
    stall.reached().await;
    fleet.database.set_reachable(false).await;
    for host in 0..NAMES.len() {
        fleet.until_ready(host, false).await;
    }
    sleep(plan.hold).await;
    fleet.database.set_reachable(true).await;
    for host in 0..NAMES.len() {
        fleet.until_ready(host, true).await;
    }
    gather(&fleet, attempts).await
}
