//! What the tests of this crate share.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub(crate) mod device;
pub(crate) mod runtime;
pub(crate) mod store;
pub(crate) mod world;

pub(crate) use device::{FakeDevice, Fault};
pub(crate) use runtime::pass;
pub(crate) use world::{World, administrator, operator, technician};
