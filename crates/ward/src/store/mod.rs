//! Stores in memory that keep the promises of the ports, over any [`Medium`](crate::Medium).

mod batches;
mod device;
mod registry;
mod station;
mod tables;

pub(crate) use device::DeviceHook;
pub use device::{DeviceMemory, MemoryDeviceStore};
pub use station::{Hook, MemoryStationStore, Witness};
pub use tables::{Tables, Try};
