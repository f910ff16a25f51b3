//! What goes wrong, at which step, how often.

use core::fmt;
use core::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::power::Power;
use crate::wait;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on a command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// A step of a device's life at which something can go wrong.
    Step {
        /// Station: reaching the device.
        Dial = "dial",
        /// Station: the hello on its way to the device.
        Session = "session",
        /// Station: the identity document on its way back.
        Identity = "identity",
        /// Station: issuing the certificate.
        Issue = "issue",
        /// Station: the sealed configuration on its way to the device, and the status back.
        Deliver = "deliver",
        /// Device: the connection test.
        Test = "test",
        /// Device: the commit.
        Commit = "commit",
        /// Device: the question about the outcome.
        Outcome = "outcome",
        /// Device: asking for a new certificate.
        Pull = "pull",
        /// Device: fetching the sealed configuration.
        Fetch = "fetch",
        /// Device: a statement about dead certificates.
        Retire = "retire",
        /// Device: a heartbeat.
        Heartbeat = "heartbeat",
        /// Device: a transaction of its database.
        Store = "store",
    }
}

words! {
    /// How a step goes wrong.
    Kind {
        /// It fails at once; nothing is sent.
        Fail = "fail",
        /// It is done, and its answer is lost. At [`Step::Store`]: the device dies after it.
        Drop = "drop",
        /// It waits until [`Faults::release`].
        Delay = "delay",
        /// One bit of what is sent, or answered, is another. At [`Step::Test`],
        /// [`Step::Retire`] and [`Step::Heartbeat`]: another server answers.
        Tamper = "tamper",
        /// Only half of what is sent arrives.
        Truncate = "truncate",
        /// The process dies when it comes there.
        Crash = "crash",
    }
}

/// One fault: a step and what happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub step: Step,
    /// What.
    pub kind: Kind,
}

impl Fault {
    /// A fault.
    #[must_use]
    pub const fn new(step: Step, kind: Kind) -> Self {
        Self { step, kind }
    }

    /// Whether the step has something to lose, change or cut.
    #[must_use]
    pub const fn makes_sense(self) -> bool {
        match self.kind {
            Kind::Fail | Kind::Delay | Kind::Crash => true,
            Kind::Drop => !matches!(self.step, Step::Dial | Step::Identity),
            Kind::Tamper => !matches!(self.step, Step::Dial | Step::Store),
            Kind::Truncate => matches!(self.step, Step::Session | Step::Identity | Step::Deliver),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.step.as_str(), self.kind.as_str())
    }
}

/// Text that is no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultError;

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be STEP=KIND, as deliver=tamper")
    }
}

impl std::error::Error for FaultError {}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (step, kind) = text.split_once('=').ok_or(FaultError)?;
        let step = Step::ALL.iter().find(|known| known.as_str() == step).ok_or(FaultError)?;
        let kind = Kind::ALL.iter().find(|known| known.as_str() == kind).ok_or(FaultError)?;
        Some(Self::new(*step, *kind)).filter(|fault| fault.makes_sense()).ok_or(FaultError)
    }
}

/// The faults ordered for one station or device. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    orders: Mutex<Vec<Order>>,
    /// Every step come to so far, in order.
    trace: watch::Sender<Vec<Step>>,
    /// Counts releases.
    released: watch::Sender<u64>,
}

struct Order {
    fault: Fault,
    skip: u32,
    times: Option<u32>,
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
        self.push(step, kind, 0, None);
    }

    /// The next time only.
    ///
    /// # Panics
    /// As [`Faults::order`].
    pub fn once(&self, step: Step, kind: Kind) {
        self.push(step, kind, 0, Some(1));
    }

    /// The time after the next `skip` times, and that one only.
    ///
    /// # Panics
    /// As [`Faults::order`].
    pub fn after(&self, skip: u32, step: Step, kind: Kind) {
        self.push(step, kind, skip, Some(1));
    }

    /// All is well again; what was held is let go.
    pub fn clear(&self) {
        self.orders().clear();
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

    fn push(&self, step: Step, kind: Kind, skip: u32, times: Option<u32>) {
        let fault = Fault::new(step, kind);
        assert!(fault.makes_sense(), "{fault} makes no sense");
        self.orders().push(Order { fault, skip, times });
    }

    /// Comes to a step: waits or dies as ordered, and says what else shall go wrong.
    pub(crate) async fn at(&self, step: Step, power: &Power) -> Option<Kind> {
        let kind = self.due(step);
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

    fn due(&self, step: Step) -> Option<Kind> {
        let mut orders = self.orders();
        let mut due = None;
        for order in orders.iter_mut().filter(|order| order.fault.step == step) {
            if order.skip > 0 {
                order.skip -= 1;
            } else if due.is_none() && order.times != Some(0) {
                order.times = order.times.map(|times| times - 1);
                due = Some(order.fault.kind);
            }
        }
        orders.retain(|order| order.times != Some(0));
        due
    }

    fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sensible_fault_reads_back() {
        for step in Step::ALL {
            for kind in Kind::ALL {
                let fault = Fault::new(*step, *kind);
                let read = fault.to_string().parse::<Fault>();
                assert_eq!(read.ok(), fault.makes_sense().then_some(fault), "{fault}");
            }
        }
        for text in ["", "dial", "dial=", "=fail", "dial=Fail", "dial=tamper", "dial=fail=x"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

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
