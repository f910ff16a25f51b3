//! What is counted, how much of it is wanted, and what makes an old figure say nothing about new code.

/// How much of a row is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// So many cases in all runs together.
    Cases(u64),
    /// Of all cases of the newest code, at least so many of a hundred.
    Percent(u64),
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Its name in the ledger.
    pub name: &'static str,
    /// What is done, so that the number reads after it.
    pub what: &'static str,
    /// What holds in every case; a case where it does not is a failure.
    pub holds: &'static str,
    /// How much of it is wanted.
    pub target: Target,
    /// The crates and programs (their folders) that the row is about.
    pub about: &'static [&'static str],
    /// The command, to which its arguments are added.
    pub command: &'static str,
    /// What of it the gate does each time.
    pub gate: &'static str,
}

const MACHINES: [&str; 4] = ["crates/domain", "crates/wire", "crates/crypto", "crates/protocol"];

/// What the shipped device is made of.
const DEVICE: [&str; 9] = [
    MACHINES[0],
    MACHINES[1],
    MACHINES[2],
    MACHINES[3],
    "crates/provisioning",
    "crates/persistence",
    "crates/transport",
    "bins/device",
    "migrations/device",
];

/// Codes that sixteen redeem at once.
pub const REDEMPTIONS: Row = Row {
    name: "redemptions",
    what: "codes, each redeemed by 16 at once",
    holds: "one of the sixteen is accepted, the others get one and the same answer",
    target: Target::Cases(100_000),
    about: &[
        MACHINES[0],
        MACHINES[1],
        MACHINES[2],
        MACHINES[3],
        "crates/provisioning",
        "crates/persistence",
        "migrations/device",
    ],
    command: "cargo run --release -p zmon-tests --example redemptions --",
    gate: "50 codes",
};

/// Programs killed while they apply a configuration.
pub const KILLS: Row = Row {
    name: "kills",
    what: "`kill -9` of the shipped device at any instant of applying",
    holds: "wholly old or wholly new, and the device says which; it starts again and is connected",
    target: Target::Cases(10_000),
    about: &DEVICE,
    command: "cargo build -p zmon-device && cargo run -p zmon-tests --example kill_device --",
    gate: "23 kills",
};

/// Disks as they are after the power went.
pub const POWER_LOSS: Row = Row {
    name: "power-loss",
    what: "images of a disk after the power went, made from recorded writes",
    holds: "the device opens it, is wholly old or wholly new, its log verifies, nothing acknowledged is lost",
    target: Target::Cases(50_000),
    about: &DEVICE,
    command: "cargo build -p zmon-device && cargo run -p zmon-tests --example power_loss --",
    gate: "1,000 images",
};

/// The first, second … call of each kind in each flow fails.
pub const FAULTS: Row = Row {
    name: "faults",
    what: "runs in which the Nth call of one kind of a thread is the last, or fails",
    holds: "no half state: the flow ends or goes on after a start, device and station agree, and the log of who was hit verifies",
    target: Target::Cases(5_000),
    about: &[
        MACHINES[0],
        MACHINES[1],
        MACHINES[2],
        MACHINES[3],
        "crates/provisioning",
        "crates/persistence",
        "crates/transport",
        "crates/station",
        "bins/device",
        "bins/mock-central-station",
        "migrations",
    ],
    command: "cargo build --bins && cargo run -p zmon-tests --example crash_matrix --",
    gate: "each sync of every flow of the device and of three of the station, each write of a re-provisioning",
};

/// Whole wards.
pub const WARD: Row = Row {
    name: "ward",
    what: "simulated wards: devices, station, network, clocks, disks, attackers",
    holds: "every invariant after every step; the same seed is the same run",
    target: Target::Cases(1_000_000),
    about: &[
        MACHINES[0],
        MACHINES[1],
        MACHINES[2],
        MACHINES[3],
        "crates/provisioning",
        "crates/station",
        "crates/ward",
    ],
    command: "cargo run --release -p zmon-ward --example ward --",
    gate: "fixed seeds, the kept ones, and fresh ones for as long as the gate has",
};

/// Inputs of all fuzz targets.
pub const FUZZ: Row = Row {
    name: "fuzz",
    what: "inputs to parsers and machines, summed over all targets",
    holds: "no panic; what is accepted is written back the same",
    target: Target::Cases(100_000_000),
    about: &MACHINES,
    command: "cargo run --release -p zmon-tests --example fuzz --",
    gate: "every file of the corpus, and fresh inputs for each target",
};

/// Configurations that reach another device.
pub const CROSS_DELIVERIES: Row = Row {
    name: "cross-deliveries",
    what: "configurations of one device brought to another of a thousand",
    holds: "refused before it is opened; the device still takes its own",
    target: Target::Cases(999_000),
    about: &MACHINES,
    command: "cargo run --release -p zmon-protocol --example cross_deliveries --",
    gate: "10,000 cross-deliveries",
};

/// Guesses at a typed code.
pub const GUESSES: Row = Row {
    name: "guesses",
    what: "guesses at typed codes, 5,000 a window, with restarts: five with a code, then what spends no try",
    holds: "at most five are counted in a window, the rest is refused before any curve is touched, none \
            is accepted, and an honest pairing by QR code goes through",
    target: Target::Cases(5_000_000),
    about: &MACHINES,
    command: "cargo run --release -p zmon-protocol --example guesses --",
    gate: "20,000 guesses",
};

/// Mutants of the code that its tests notice.
pub const MUTANTS: Row = Row {
    name: "mutants",
    what: "mutants of protocol, crypto glue and validators that a test notices",
    holds: "a test fails; survivors belong into `docs/reliability/mutants.md`",
    target: Target::Percent(95),
    about: &MACHINES,
    command: "cargo run -p zmon-tests --example mutants --",
    gate: "none: hours",
};

/// Every row, in the table's order.
pub const ROWS: [&Row; 9] = [
    &REDEMPTIONS,
    &KILLS,
    &POWER_LOSS,
    &FAULTS,
    &WARD,
    &FUZZ,
    &CROSS_DELIVERIES,
    &GUESSES,
    &MUTANTS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::root;

    #[test]
    fn names_are_unique_and_folders_exist() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        for row in ROWS {
            assert!(!row.about.is_empty(), "{}", row.name);
            for folder in row.about {
                assert!(root().join(folder).is_dir(), "{}: {folder}", row.name);
            }
        }
    }
}
