//! What goes wrong, at which step, how often.

mod vocabulary;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use vocabulary::{Fault, FaultError, Kind, Order, Orders, Step};

use crate::power::Power;
use crate::wait;

/// The faults ordered for one station or device. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    orders: Mutex<Orders>,
    /// Every step come to so far, in order.
    trace: watch::Sender<Vec<Step>>,
    /// Counts releases.
    released: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            orders: Mutex::default(),
            trace: watch::Sender::default(),
            released: watch::Sender::default(),
        }))
    }

    /// From now on, until [`Faults::clear`].
    ///
    /// # Panics
    /// For a fault that makes no sense.
    pub fn order(&self, step: Step, kind: Kind) {
        self.push(Order::always(Fault::new(step, kind)));
    }

    /// The next time only.
    ///
    /// # Panics
    /// As [`Faults::order`].
    pub fn once(&self, step: Step, kind: Kind) {
        self.push(Order::after(0, Fault::new(step, kind)));
    }

    /// The time after the next `skip` times, and that one only.
    ///
    /// # Panics
    /// As [`Faults::order`].
    pub fn after(&self, skip: u32, step: Step, kind: Kind) {
        self.push(Order::after(skip, Fault::new(step, kind)));
    }

    /// All is well again; what was held is let go.
    pub fn clear(&self) {
        *self.orders() = Orders::default();
        self.release();
    }

    /// Lets go what [`Kind::Delay`] holds.
    pub fn release(&self) {
        self.0.released.send_modify(|count| *count += 1);
    }

    /// Every step come to so far, in order, with or without a fault.
    #[must_use]
    pub fn trace(&self) -> Vec<Step> {
        self.0.trace.borrow().clone()
    }

    /// How often a step was come to.
    #[must_use]
    pub fn count(&self, step: Step) -> usize {
        self.0.trace.borrow().iter().filter(|come| **come == step).count()
    }

    /// Waits until a step was come to `times` times in all.
    ///
    /// # Panics
    /// As [`wait::within`].
    pub async fn reached(&self, step: Step, times: usize) {
        let what = format!("step {} for the time number {times}", step.as_str());
        let enough = |trace: &Vec<Step>| trace.iter().filter(|s| **s == step).count() >= times;
        wait::until(&what, self.0.trace.subscribe(), enough).await;
    }

    /// As one order of the vocabulary says, `deliver=tamper@2`.
    ///
    /// # Panics
    /// As [`Faults::order`].
    pub fn push(&self, order: Order) {
        assert!(order.fault.makes_sense(), "{order} makes no sense");
        self.orders().push(order);
    }

    /// Comes to a step: waits or dies as ordered, and says what else shall go wrong.
    pub(crate) async fn at(&self, step: Step, power: &Power) -> Option<Kind> {
        let kind = self.orders().due(step);
        let mut released = self.0.released.subscribe();
        self.0.trace.send_modify(|trace| trace.push(step));
        let kind = kind?;
        tracing::warn!(step = step.as_str(), kind = kind.as_str(), "ordered fault");
        match kind {
            Kind::Delay => {
                // The sender lives as long as these faults.
                drop(released.changed().await);
                None
            }
            Kind::Crash => {
                power.cut();
                core::future::pending().await
            }
            Kind::Fail | Kind::Drop | Kind::Tamper | Kind::Truncate => Some(kind),
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_are_counted() {
        let (faults, power) = (Faults::new(), Power::on());
        faults.after(1, Step::Test, Kind::Fail);
        faults.once(Step::Commit, Kind::Drop);
        let mut seen = Vec::new();
        for step in [Step::Test, Step::Test, Step::Test, Step::Commit, Step::Commit] {
            seen.push(faults.at(step, &power).await);
        }
        assert_eq!(seen, [None, Some(Kind::Fail), None, Some(Kind::Drop), None]);
        assert_eq!(faults.count(Step::Test), 3);
        power.cut();
    }
}
