//! The test bed: a device, a station and the network between them, in virtual time.

pub(crate) mod ca;
pub(crate) mod carry;
pub(crate) mod clock;
pub(crate) mod device;
pub(crate) mod forge;
pub(crate) mod liar;
pub(crate) mod pair;
pub(crate) mod station;
pub(crate) mod typed;

pub(crate) use clock::seconds;
pub(crate) use device::{actor, address, administrator, proof, technician};
pub(crate) use forge::Forge;
pub(crate) use pair::{Commit, Pair};
pub(crate) use station::{details, operator};
