//! [W §13.3]: what must be refused, is refused, with its own code on both sides, and changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a panic in a helper of a test is its report"
)]

mod addresses;
mod audit;
mod certificates;
mod common;
mod disk;
mod files;
mod input;
mod one_time_use;
mod operators;
mod pairing_code;
mod revocation;
mod signatures;
mod tools;
mod wycheproof;
