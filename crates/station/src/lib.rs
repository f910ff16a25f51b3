//! The Central Station's use-cases: registry, operators, pairing, certificate authority.
//!
//! This crate decides; it does not speak HTTP, SQL or TLS, and it reads no clock, no random
//! generator and no environment. Everything it needs from the outside is a trait in [`ports`].

pub mod ca;
mod error;
mod events;
mod policy;
pub mod ports;
mod station;

pub use error::StationError;
pub use events::StationEvent;
pub use policy::{
    DefaultSettings, DeviceTrust, KeyProtectionDemand, OwnAddress, StationPolicy, StationProfile,
};
