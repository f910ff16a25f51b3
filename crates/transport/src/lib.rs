//! TLS listeners and clients of device and Central Station.
//!
//! | module | what | who composes it |
//! |---|---|---|
//! | [`provider`] | ring or aws-lc, handed in by the binary | all |
//! | [`tls`] | TLS 1.3 configurations, pins, live revocation, no resumption (D17) | all |
//! | [`server`] | one accept loop with bounds for every listener | device, station |
//! | [`client`] | one small HTTP client, one connection as a value | device, station, `zmon` |
//! | `device_listener` | the device's provisioning listener (feature `device`) | device |
//! | `station_link` | device to station over mTLS (feature `device`) | device |
//! | `control` | the device's local control socket and its client | device, `zmon` |
//! | `station_api` | operators' and devices' HTTP interfaces (feature `station`) | station |
//! | `dialer` | station to device, pinned to the token (feature `station`) | station |
//!
//! Nothing here decides about a pairing. Handlers parse, call one use-case and write its answer;
//! whoever has not proved anything yet learns nothing from the answer (D24).

pub mod client;
pub mod control;
pub mod provider;
pub mod server;
pub mod tls;

mod paths;
mod problem;

pub use paths::OUTCOME_ALPN;

#[cfg(feature = "device")]
pub mod device_listener;
#[cfg(feature = "station")]
pub mod dialer;
#[cfg(feature = "station")]
pub mod station_api;
#[cfg(feature = "device")]
pub mod station_link;
