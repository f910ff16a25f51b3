//! The words in which faults are ordered: `STEP=KIND`, `STEP=KIND@N`.
//!
//! One file for two users: the harness in Rust, and the program `mock-central-station`, which links to it
//! because no program may depend on a harness.

use core::fmt;
use core::str::FromStr;

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
        /// Device: a transaction of its database. No station can order it.
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
        /// It waits until it is let go. Of the harness in Rust only.
        Delay = "delay",
        /// One bit of what is sent, or answered, is another. At [`Step::Test`],
        /// [`Step::Retire`] and [`Step::Heartbeat`]: another server answers.
        Tamper = "tamper",
        /// Only half of what is sent arrives.
        Truncate = "truncate",
        /// The process dies when it comes there. Of the harness in Rust only.
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
        f.write_str("must be STEP=KIND, as deliver=tamper, or STEP=KIND@N for the N-th time only")
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

/// A fault and when it happens: every time, or one time only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What goes wrong.
    pub fault: Fault,
    /// How often the step is come to before.
    skip: u32,
    is_once: bool,
}

impl Order {
    /// Every time.
    #[must_use]
    pub const fn always(fault: Fault) -> Self {
        Self { fault, skip: 0, is_once: false }
    }

    /// The time after the next `skip` times, and that one only.
    #[must_use]
    pub const fn after(skip: u32, fault: Fault) -> Self {
        Self { fault, skip, is_once: true }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        if self.is_once { write!(f, "@{}", u64::from(self.skip) + 1) } else { Ok(()) }
    }
}

impl FromStr for Order {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let Some((fault, time)) = text.split_once('@') else {
            return text.parse().map(Self::always);
        };
        let time: u32 = time.parse().map_err(|_| FaultError)?;
        let skip = time.checked_sub(1).ok_or(FaultError)?;
        Ok(Self::after(skip, fault.parse()?))
    }
}

/// Orders that are still to come.
#[derive(Clone, Debug, Default)]
pub struct Orders(Vec<Order>);

impl Orders {
    /// One more.
    pub fn push(&mut self, order: Order) {
        self.0.push(order);
    }

    /// Comes to a step: what goes wrong there this time. Of several the first that is due.
    pub fn due(&mut self, step: Step) -> Option<Kind> {
        let mut due = None;
        self.0.retain_mut(|order| {
            if order.fault.step != step {
                return true;
            }
            if order.skip > 0 {
                order.skip -= 1;
                return true;
            }
            if due.is_some() {
                return true;
            }
            due = Some(order.fault.kind);
            !order.is_once
        });
        due
    }
}

impl FromIterator<Order> for Orders {
    fn from_iter<I: IntoIterator<Item = Order>>(orders: I) -> Self {
        Self(orders.into_iter().collect())
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

    #[test]
    fn an_order_says_which_time() {
        let fault = Fault::new(Step::Test, Kind::Fail);
        for (text, order) in [
            ("test=fail", Order::always(fault)),
            ("test=fail@1", Order::after(0, fault)),
            ("test=fail@3", Order::after(2, fault)),
        ] {
            assert_eq!((text.parse(), order.to_string().as_str()), (Ok(order), text));
        }
        for text in
            ["test=fail@", "test=fail@0", "test=fail@-1", "test=fail@x", "@1", "dial=drop@1"]
        {
            assert!(text.parse::<Order>().is_err(), "{text}");
        }
    }

    #[test]
    fn orders_are_counted_each_for_itself() {
        let words = ["test=fail@2", "commit=drop@1", "test=drop@3", "test=tamper@1"];
        let mut orders: Orders =
            words.into_iter().map(|word| word.parse::<Order>().unwrap()).collect();
        let come = [Step::Test, Step::Test, Step::Commit, Step::Test, Step::Test, Step::Commit];
        let seen = come.map(|step| orders.due(step));
        let first = [Some(Kind::Tamper), Some(Kind::Fail), Some(Kind::Drop), Some(Kind::Drop)];
        assert_eq!((&seen[..4], &seen[4..]), (&first[..], &[None, None][..]));
        orders.push(Order::always(Fault::new(Step::Test, Kind::Fail)));
        assert_eq!([orders.due(Step::Test), orders.due(Step::Test)], [Some(Kind::Fail); 2]);
    }
}
