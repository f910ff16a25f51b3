//! The Central Station's use-cases: registry, operators, pairing, certificate authority.
//!
//! This crate decides; it does not speak HTTP, SQL or TLS, and it reads no clock, no random
//! generator and no environment. Everything it needs from the outside is a trait in [`ports`].

pub mod ca;
mod error;
mod events;
mod junk;
mod lockout;
mod password;
mod policy;
pub mod ports;
mod session;
mod station;

pub use error::StationError;
pub use events::StationEvent;
pub use password::Password;
pub use policy::{DefaultSettings, OwnAddress, StationPolicy, StationProfile};
pub use station::{
    ConfigurationSigner, ImportFault, ImportRefusal, NewOperator, OperatorSummary, PairOutcome,
    Peer, Station, StationParts, bootstrap_administrator,
};
pub use zmon_protocol::station::{DeviceTrust, ServerParameters, StationPolicy as SessionPolicy};
