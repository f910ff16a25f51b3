//! Sans-IO state machines of the two ends of a pairing.
//!
//! [`device::DeviceMachine`] is the bedside monitor ([W §6], [I §6]); [`station::SessionMachine`] is the
//! Central Station's side of one session. Neither reads a clock, draws randomness, opens a socket or
//! touches a disk: time comes in as `Now`, randomness as a `CryptoRng`, and everything that has to happen
//! in the world leaves as data.
//!
//! ```text
//!   input ──► machine.clone().handle(ctx, &now, rng, input) ──► transition
//!                                                               ├─ record   1. committed in ONE transaction
//!                                                               ├─ next     2. then it becomes the machine
//!                                                               ├─ actions  3. then they run, in order
//!                                                               └─ reply    4. then the caller is answered
//! ```
//!
//! **A transition is a value.** Nothing has happened until its driver has committed `record`; if that
//! commit fails, the driver drops the transition and keeps the machine it had. So there is no operation
//! without its audit row (D16), and no half-taken step after a crash. An empty record needs no commit.
//!
//! States own only what is valid in them and are consumed by transitions. Evidence that `zmon-crypto`
//! hands out (`CodeClaimed`, `MacVerified`, `SignatureVerified`, `ChainVerified`) is needed to build the
//! states behind the checks, so a skipped check does not compile.
//!
//! `poll_timeout` names the next instant at which the machine wants its `Timeout` input. An instant that
//! has passed means *now*. After a failed commit the driver retries with a back-off of its own.
#![no_std]

extern crate alloc;

pub mod checkpoint;
mod convert;
pub mod device;
mod pull;
pub mod station;

pub use pull::PullMethod;
