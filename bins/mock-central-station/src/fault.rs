//! Faults that a harness orders: `STEP=KIND` on the command line.

use std::{fmt, str::FromStr};

/// A step of a device's life, on the station's side, that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reaching the device.
    Dial,
    /// The hello and the device's answer.
    Session,
    /// Issuing the device certificate.
    Issue,
    /// The sealed configuration and the device's status.
    Deliver,
    /// The device's connection test.
    Test,
    /// The device's commit.
    Commit,
    /// A heartbeat of the device.
    Heartbeat,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Dial,
        Self::Session,
        Self::Issue,
        Self::Deliver,
        Self::Test,
        Self::Commit,
        Self::Heartbeat,
    ];

    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::Session => "session",
            Self::Issue => "issue",
            Self::Deliver => "deliver",
            Self::Test => "test",
            Self::Commit => "commit",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing is sent, or what was sent is not looked at: the step fails at once.
    Fail,
    /// It is sent and done, and the answer is lost.
    Drop,
    /// One bit of what the station sends is flipped.
    Tamper,
    /// Only the first half is sent.
    Truncate,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Fail, Self::Drop, Self::Tamper, Self::Truncate];

    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Drop => "drop",
            Self::Tamper => "tamper",
            Self::Truncate => "truncate",
        }
    }
}

/// One ordered fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub step: Step,
    /// What.
    pub kind: Kind,
}

impl Fault {
    /// Whether the step has something to lose, flip or cut.
    const fn makes_sense(self) -> bool {
        match self.kind {
            Kind::Fail => true,
            Kind::Drop => !matches!(self.step, Step::Dial | Step::Issue),
            // Nobody signs the answers to a test and a heartbeat; TLS protects them.
            Kind::Tamper => matches!(self.step, Step::Session | Step::Deliver | Step::Commit),
            Kind::Truncate => matches!(self.step, Step::Session | Step::Deliver),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.step.as_str(), self.kind.as_str())
    }
}

/// Why a fault could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "STEP=fail for dial, session, issue, deliver, test, commit, heartbeat; =drop for all but dial and \
     issue; =tamper for session, deliver, commit; =truncate for session, deliver"
)]
pub struct FaultError;

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (step, kind) = text.split_once('=').ok_or(FaultError)?;
        let step = Step::ALL.into_iter().find(|known| known.as_str() == step);
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
        match (step, kind) {
            (Some(step), Some(kind)) => {
                let fault = Self { step, kind };
                if fault.makes_sense() { Ok(fault) } else { Err(FaultError) }
            }
            _ => Err(FaultError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sensible_fault_reads_back() {
        let mut known = 0;
        for step in Step::ALL {
            for kind in Kind::ALL {
                let fault = Fault { step, kind };
                let read = fault.to_string().parse::<Fault>();
                assert_eq!(read.is_ok(), fault.makes_sense(), "{fault}");
                known += usize::from(read == Ok(fault));
            }
        }
        assert_eq!(known, 17);
    }

    #[test]
    fn other_words_are_refused() {
        for text in
            ["", "dial", "dial=", "=fail", "dial=Fail", "dial=tamper", "x=fail", "dial=fail=x"]
        {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
