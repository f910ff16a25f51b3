//! The Central Station's use-cases: registry, operators, pairing, certificate authority.
//!
//! This crate decides; it does not speak HTTP, SQL or TLS, and it reads no clock, no random
//! generator and no environment. Everything it needs from the outside is a trait in [`ports`].
//!
//! ```text
//!   operators' API ─┐                     ┌─ ports::StationStore        audit rows + writes, one transaction
//!   devices' API ───┼──► Station ─────────┼─ ports::DeviceDialer        the one connection of a pairing
//!   live views ─────┘     │               ├─ ports::CertificateIssuer   ca::EmbeddedCa, or another authority
//!                         │               └─ ports::{Clock, Entropy}
//!                         └─ one task per running session: commits what
//!                            zmon_protocol::station::SessionMachine proposes, then lets it take effect
//! ```
//!
//! **Composing.** Make keys once with [`ca::CaMaterial::generate`] and the first account with
//! [`bootstrap_administrator`]; then at each start fill [`StationParts`], call [`Station::new`] and
//! [`Station::start`], keep [`Station::run`] running, serve, and end with [`Station::stop`].
//!
//! **Invariants.** No operation without its audit row, in the same transaction. The certificate's
//! row alone decides whether a device is paired. One certificate per session, one current one per
//! device. A certificate's serial number is looked up at every request. A request that goes away
//! leaves no step half done.

pub mod ca;
mod error;
mod events;
mod junk;
mod links;
mod lockout;
mod metrics;
mod password;
mod policy;
pub mod ports;
mod session;
mod station;

pub use error::StationError;
pub use events::StationEvent;
pub use password::Password;
pub use policy::{DefaultSettings, EnrolmentPolicy, OwnAddress, StationPolicy, StationProfile};
pub use station::{
    CertificatesOf, ConfigurationSigner, EnrolmentRight, FilterText, FleetFilter, FleetOrder,
    FleetState, ImportFault, ImportRefusal, NewOperator, OperatorSummary, PairOutcome, Peer,
    ScanOutcome, SessionFeed, SessionProgress, Station, StationParts, bootstrap_administrator,
};
pub use zmon_protocol::station::{DeviceTrust, ServerParameters, StationPolicy as SessionPolicy};
