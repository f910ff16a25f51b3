//! Value types, states, roles, errors and limits of Z Monitor provisioning.
//!
//! This is the bottom layer: every other crate speaks in these types. A value that exists is valid:
//! text enters through `parse`/`FromStr`, which answer a [`error::FieldError`] naming the field and
//! the rule and never the value. Nothing here reads a clock, a random generator or the
//! environment, and nothing here is serialisable; JSON is the business of `zmon-wire`.
//!
//! | module | holds |
//! |---|---|
//! | [`limits`] | every default, range and unit: the only home of the numbers |
//! | [`ids`] | identifiers, names, thumbprints |
//! | [`time`] | monotonic and wall-clock time, and what expiry means |
//! | [`code`] | the pairing code that people read and type |
//! | [`state`] | the states of a device, and the two views of them |
//! | [`error`] | every error a person or a peer can be shown |
//! | [`role`] | roles, the permission table, the proof of an operator |
//! | [`route`] | how a message of a pairing gets to the other side |
//! | [`address`] | device addresses, server URLs, network policy |
//! | [`settings`] | what the station configures on the monitor besides its identity |
//! | [`batch`] | where a batch of pairings and its items stand |
//! | [`audit`] | event types and events of the audit log |
//! | [`hex`] | hexadecimal text |
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod address;
pub mod audit;
pub mod batch;
pub mod code;
pub mod error;
pub mod hex;
pub mod ids;
pub mod limits;
pub mod role;
pub mod route;
pub mod settings;
pub mod state;
pub mod time;
