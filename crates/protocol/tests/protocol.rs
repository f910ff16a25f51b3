//! The machines of device and station in virtual time, with real keys, certificates and envelopes.
//!
//! One binary: the modules share the test bed of `common`.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the one variant it is about")]

#[cfg(test)]
mod common;

#[cfg(test)]
#[path = "protocol/blink.rs"]
mod blink;
#[cfg(test)]
#[path = "protocol/certificate.rs"]
mod certificate;
#[cfg(test)]
#[path = "protocol/claim.rs"]
mod claim;
#[cfg(test)]
#[path = "protocol/command.rs"]
mod command;
#[cfg(test)]
#[path = "protocol/configuration.rs"]
mod configuration;
#[cfg(test)]
#[path = "protocol/cross.rs"]
mod cross;
#[cfg(test)]
#[path = "protocol/doubt.rs"]
mod doubt;
#[cfg(test)]
#[path = "protocol/end_of_life.rs"]
mod end_of_life;
#[cfg(test)]
#[path = "protocol/explore/mod.rs"]
mod explore;
#[cfg(test)]
#[path = "protocol/flow.rs"]
mod flow;
#[cfg(test)]
#[path = "protocol/guesses.rs"]
mod guesses;
#[cfg(test)]
#[path = "protocol/identity.rs"]
mod identity;
#[cfg(test)]
#[path = "protocol/junk.rs"]
mod junk;
#[cfg(test)]
#[path = "protocol/model.rs"]
mod model;
#[cfg(test)]
#[path = "protocol/proximity.rs"]
mod proximity;
#[cfg(test)]
#[path = "protocol/recording.rs"]
mod recording;
#[cfg(test)]
#[path = "protocol/reference.rs"]
mod reference;
#[cfg(test)]
#[path = "protocol/renew.rs"]
mod renew;
#[cfg(test)]
#[path = "protocol/retry.rs"]
mod retry;
#[cfg(test)]
#[path = "protocol/routes.rs"]
mod routes;
#[cfg(test)]
#[path = "protocol/signals.rs"]
mod signals;
#[cfg(test)]
#[path = "protocol/snapshot.rs"]
mod snapshot;
#[cfg(test)]
#[path = "protocol/station.rs"]
mod station;
#[cfg(test)]
#[path = "protocol/station_key.rs"]
mod station_key;
#[cfg(test)]
#[path = "protocol/table.rs"]
mod table;
#[cfg(test)]
#[path = "protocol/typed.rs"]
mod typed;
#[cfg(test)]
#[path = "protocol/window.rs"]
mod window;
