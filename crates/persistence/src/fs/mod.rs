//! A private directory and the only ways this crate touches files in it.

mod directory;
mod file;

pub use directory::PrivateDir;
pub use file::{Protection, read_file};
