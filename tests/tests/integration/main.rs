//! [W §13.2]: whole flows over real sockets, real certificates and real databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "a panic in a helper of a test is its report"
)]

mod backup;
mod batches;
mod clocks;
mod connection;
mod end_of_life;
mod factory;
mod keys;
mod listener;
mod mdns;
mod migration;
mod new_identity;
mod postgres;
mod power;
mod programs;
mod provisioning;
mod proximity;
mod recovery;
mod renewal;
mod reprovisioning;
mod routes;
mod support;
mod typed;
