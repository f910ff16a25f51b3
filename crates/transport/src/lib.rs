//! TLS listeners and clients of device and Central Station.
//!
//! | module | what | who composes it |
//! |---|---|---|
//! | [`provider`] | ring or aws-lc, handed in by the binary | all |
//! | [`tls`] | TLS 1.3 configurations, pins, live revocation, no resumption (D17) | all |
//! | [`server`] | one accept loop with bounds for every listener | device, station |
//! | [`paths`] | every path of the HTTP interfaces | all |
//! | `contract` | what each of them takes and answers, as data | device, station |
//! | [`client`] | one small HTTP client, one connection as a value | device, station, `zmon` |
//! | `device_listener` | the device's provisioning listener (feature `device`) | device |
//! | `station_link` | device to station over mTLS (feature `device`) | device |
//! | `screen` | plain HTTP on loopback for the device's own screen (feature `device`) | device |
//! | `control` | the device's local control socket and its client | device, `zmon` |
//! | `station_api` | operators' and devices' HTTP interfaces (feature `station`) | station |
//! | `courier` | an operator's machine to device, pinned | courier |
//! | `dialer` | station to device, pinned to the token (feature `station`) | station |
//!
//! # Composing a device
//!
//! `TlsContext::new(provider.tls, clock)`, then `TlsListener::new(&tls, keys, &rng, Bind::…)` and
//! `TlsStationLink::new(tls)` go into `DeviceParts`; `ControlServer::start(path, ControlParts::new(…))`
//! serves the running service, `screen::serve(address, router)` its page.
//!
//! # Composing a station
//!
//! `BoundListeners::bind(Binds::new(…))` first: `serverUrl` may need its port. Then the `Station` with
//! `TlsDeviceDialer::new(tls)`, `station.start()`, and
//! `bound.serve(&station, &tls, &ServerCredentials::new(chain, key)?, &[client_ca])`, whose
//! `StationListeners` also keep the revocation list in force up to date.
//!
//! # What it does not do
//!
//! Nothing here decides about a pairing. Handlers parse, call one use-case and write its answer;
//! whoever has not proved anything yet learns nothing from the answer (D24).

pub mod client;
pub mod control;
pub mod courier;
#[cfg(feature = "mdns")]
pub mod discovery;
pub mod paths;
pub mod provider;
pub mod server;
pub mod tls;

#[cfg(any(feature = "device", feature = "station"))]
pub mod contract;
#[cfg(any(feature = "device", feature = "station"))]
mod problem;

#[cfg(feature = "device")]
pub mod device_listener;
#[cfg(feature = "station")]
pub mod dialer;
#[cfg(feature = "station")]
mod est;
#[cfg(feature = "device")]
pub mod screen;
#[cfg(feature = "station")]
pub mod station_api;
#[cfg(feature = "device")]
pub mod station_link;
