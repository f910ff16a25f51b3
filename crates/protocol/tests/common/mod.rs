//! The test bed: a device, a station and the network between them, in virtual time.

pub mod ca;
pub mod clock;
pub mod device;
pub mod forge;
pub mod pair;
pub mod station;

pub use clock::seconds;
pub use device::{actor, address, administrator, proof, technician};
pub use forge::Forge;
pub use pair::{Commit, Pair};
pub use station::{details, operator};
