//! A whole ward in one thread: devices, their station, the network between them, clocks, disks and
//! attackers, all from one seed.
//!
//! ```
//! use zmon_ward::{Plan, run};
//!
//! let outcome = run(&Plan::of(1), None);
//! assert_eq!(outcome.first(), None);
//! ```
//!
//! The machines of `zmon-protocol`, the driver of `zmon-provisioning` and the use-cases of
//! `zmon-station` are those that ship, with real cryptography. Simulated is what lies behind their
//! ports:
//!
//! | port | what it does to them |
//! |---|---|
//! | [`MemoryStationStore`], [`MemoryDeviceStore`] on a [`Disk`] | torn, lost and refused writes; power cuts between any two |
//! | network | loss, delay, other order, twice, partitions; all that was said is on a tape |
//! | clocks | fast or slow, set wrong, not set |
//! | certificates' handshakes | pins and chains are checked; no revocation list, so that each request is |
//!
//! A [`Plan`] is a list of steps drawn from a seed; [`run()`] carries it out in virtual time and holds
//! every durable record of both sides against the rules, as soon as it is durable. Then everything is
//! mended, and everybody must settle and pair again. The same plan always gives the same trace;
//! [`shrink()`] cuts a failing one down. A [`Bug`] planted in an adapter shows that the rules bite.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the ports' enums may grow; what a rule does not name is not its matter"
)]

mod act;
mod attack;
mod bug;
mod chance;
mod clock;
mod disk;
mod heal;
mod life;
mod log;
mod net;
mod node;
mod run;
mod shrink;
mod step;
mod store;
mod watch;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use bug::Bug;
pub use chance::Chance;
pub use disk::{Disk, DiskError, Instant, Medium, Mounted, Ram, Seen, Wear};
pub use life::Life;
pub use log::{Log, Row};
pub use net::Line;
pub use run::{Outcome, run};
pub use shrink::shrink;
pub use step::{DEVICES, Node, Plan, STEPS, Step, Timed, Way};
pub use store::{DeviceMemory, Hook, MemoryDeviceStore, MemoryStationStore, Tables, Try, Witness};
pub use watch::{Break, Counts};

/// A lock whose content no panic elsewhere can have broken.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
