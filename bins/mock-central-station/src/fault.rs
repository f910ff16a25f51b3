//! Faults that a harness orders on the command line: what of the vocabulary a station can do.

use std::{fmt, str::FromStr};

use crate::vocabulary::{Kind, Order, Step};

/// An order that this program carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered(pub(crate) Order);

impl Ordered {
    const fn is_possible(order: Order) -> bool {
        let fault = order.fault;
        match fault.kind {
            // Nobody signs the answers to these; TLS protects them, and a station has one key.
            Kind::Tamper => !matches!(fault.step, Step::Test | Step::Retire | Step::Heartbeat),
            Kind::Fail | Kind::Drop | Kind::Truncate => !matches!(fault.step, Step::Store),
            // `--delay-ms` waits, a signal ends the program.
            Kind::Delay | Kind::Crash => false,
        }
    }
}

/// Why a fault could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "STEP=fail for dial, session, identity, issue, deliver, test, commit, outcome, pull, fetch, retire, \
     heartbeat; =drop for all but dial and identity; =tamper for all but dial, test, retire and heartbeat; \
     =truncate for session, identity and deliver; @N: the N-th time only"
)]
pub struct OrderError;

impl FromStr for Ordered {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        let order: Order = text.parse().map_err(|_| OrderError)?;
        if Self::is_possible(order) { Ok(Self(order)) } else { Err(OrderError) }
    }
}

impl fmt::Display for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::vocabulary::Fault;

    /// Every fault this program can be asked for, as on the command line.
    pub(crate) fn possible() -> Vec<String> {
        let all = Step::ALL
            .iter()
            .flat_map(|step| Kind::ALL.iter().map(|kind| Fault::new(*step, *kind).to_string()));
        all.filter(|word| word.parse::<Ordered>().is_ok()).collect()
    }

    #[test]
    fn what_a_station_can_do_reads_back_and_the_rest_is_refused_by_name() {
        assert_eq!(possible().len(), 33);
        for text in [
            "",
            "dial",
            "dial=tamper",
            "store=fail",
            "test=tamper",
            "test=delay",
            "commit=crash",
            "test=fail@0",
        ] {
            let refused = text.parse::<Ordered>().unwrap_err().to_string();
            assert!(refused.contains("tamper for all but dial"), "{text}");
        }
    }
}
