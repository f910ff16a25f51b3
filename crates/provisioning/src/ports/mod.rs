//! Ports: what the driver needs from the world, as traits.
//!
//! Each trait says what a false answer costs, because an adapter is trusted: the machine of
//! `zmon-protocol` proves the pairing, but it can only be as durable, as timely and as secret as
//! the adapters beneath it. Adapters live in `zmon-persistence`, `zmon-transport` and the binaries;
//! in-memory ones in this crate's tests and in `zmon-testkit`.
//!
//! | port | job |
//! |---|---|
//! | [`DeviceStore`] | slots and audit log in one transaction (D13, D16) |
//! | [`Listener`], [`DeviceEndpoint`] | the device's TLS listener and what it calls (D17) |
//! | [`StationLink`] | mTLS calls to the station: test, commit, outcome, heartbeat, retire |
//! | [`Authenticator`], [`OperatorAccounts`] | local operators (D22) |
//! | [`KeyStore`] | identity key, root secret, slot secrets (D19) |
//! | [`SettingsManager`] | label, bed, unit, language as other parts of the monitor see them |
//! | [`ClinicalInterlock`] | may this be done to this patient's monitor now (D22) |
//! | [`ClinicalData`], [`LocalOperators`], [`ManualConfiguration`] | what only a factory reset, or a migration, ends (D21) |
//! | [`Clock`], [`SharedRng`] | time and randomness |

mod accounts;
mod anchors;
mod authenticator;
mod interlock;
mod key_store;
mod listener;
mod local_data;
mod settings;
mod station_link;
mod store;

pub use accounts::OperatorAccounts;
pub use anchors::AnchorStore;
pub use authenticator::{Authenticator, Pin};
pub use interlock::{AlwaysClear, ClinicalInterlock, Moment};
pub use key_store::{KeyStore, KeyStoreError};
pub(crate) use listener::dispatch;
pub use listener::{DeviceEndpoint, ListenError, Listener};
pub use local_data::{
    ClinicalData, LocalData, LocalOperators, ManualConfiguration, ManualSettings,
};
pub use settings::SettingsManager;
pub use station_link::StationLink;
pub use store::{AuditPage, AuditReport, AuditRow, DeviceStore, LaneReport, StoreError};

pub use crate::clock::Clock;
pub use crate::rng::SharedRng;
