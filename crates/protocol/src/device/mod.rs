//! The device's machine: [W §6]'s eight states and Deprovisioned as one machine (D12).
//!
//! | file | holds |
//! |---|---|
//! | `input`, `output`, `profile`, `slot`, `snapshot` | the public shapes |
//! | `machine`, `step`, `state`, `table` | dispatch, a step in the making, the states, their table |
//! | `command`, `listener`, `timer` | operators, the listener, time |
//! | `window`, `hello`, `claim`, `junk` | codes and tokens, who may claim, what strangers send |
//! | `pake` | the typed code: tries, runs, and the claim at their end |
//! | `apply`, `configuration` | an envelope, and what is inside |
//! | `testing`, `doubt`, `outcome` | test, commit, and the question after it |
//! | `renew` | a new certificate without a window (D23) |
//! | `end`, `restore` | how sessions end, and what a restart makes of them |
//! | `boot` | what a record's writes make of storage |
//! | `retire`, `erase`, `migrate` | the end of a configuration, of everything, of a manual one |

mod apply;
mod blink;
mod boot;
mod claim;
mod command;
mod configuration;
mod confirm;
mod doubt;
mod end;
mod erase;
mod hello;
mod input;
mod junk;
mod listener;
mod machine;
mod migrate;
mod outcome;
mod output;
mod pake;
mod profile;
mod renew;
mod restore;
mod retire;
mod signer;
mod slot;
mod snapshot;
mod state;
mod step;
mod table;
mod testing;
mod timer;
mod window;

pub use input::{DeviceInput, LinkError, Pulled};
pub use machine::DeviceMachine;
pub use output::{
    DeviceAction, DeviceEvent, DeviceRecord, DeviceReply, DeviceTransition, DeviceWrite,
};
pub use profile::{BootState, DeviceContext, DeviceProfile, StationTrust};
pub use retire::Retirement;
pub use slot::{LinkCredentials, Slot, SlotSummary};
pub use snapshot::{Confirmation, DeviceSnapshot};
pub use table::{InputKind, StateKind, successors, transition_table};
