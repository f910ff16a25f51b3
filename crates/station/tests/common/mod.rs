//! What the tests of this crate share.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_in_result, reason = "a broken test double is a failed test")]

pub(crate) mod device;
pub(crate) mod maker;
pub(crate) mod poller;
pub(crate) mod runtime;
pub(crate) mod store;
pub(crate) mod world;

pub(crate) use device::{FakeDevice, Fault};
pub(crate) use runtime::pass;
pub(crate) use world::{World, administrator, operator, technician};
