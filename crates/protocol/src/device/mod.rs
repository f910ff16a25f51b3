//! The device's machine: [W §6]'s eight states and Deprovisioned as one machine (D12).

mod input;
mod machine;
mod output;
mod profile;
mod slot;
mod snapshot;

pub use input::{DeviceInput, LinkError};
pub use machine::DeviceMachine;
pub use output::{
    DeviceAction, DeviceEvent, DeviceRecord, DeviceReply, DeviceTransition, DeviceWrite,
};
pub use profile::{BootState, DeviceContext, DeviceProfile, StationTrust};
pub use slot::{LinkCredentials, Slot, SlotSummary};
pub use snapshot::DeviceSnapshot;
