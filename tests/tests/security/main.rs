//! [W §13.3]: what must be refused, is refused, with its own code on both sides, and changes nothing.

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
