//! Stores, keys and clocks in memory: what the adapters under test do not need to be real.

#[cfg(feature = "station")]
mod batches;
#[cfg(feature = "device")]
mod device;
mod station;
#[cfg(feature = "station")]
mod tables;

#[cfg(feature = "device")]
pub(crate) use device::{MemoryKeys, MemoryLog};
#[cfg(feature = "station")]
pub(crate) use station::{MemoryStore, SeededEntropy, StationClock};
