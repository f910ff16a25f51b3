//! The device of Z Monitor provisioning for programs in C and C++: what a product with a screen of its
//! own, e.g. in Qt, links.
//!
//! JSON in, JSON out, one callback; `include/zmon.h` is the contract, `docs/ffi.md` explains it. The
//! functions that C calls are in [`door`], and nothing else of this crate is for others.
//!
//! It is the one crate with `unsafe`, in three modules: `door` has the names that C links, `memory` reads
//! and writes what pointers of the caller point to, `signals` blocks a signal in the threads of this
//! library. Handles are numbers, not pointers, so that one that was closed is refused.

pub mod door;

mod events;
mod handles;
mod host;
mod live;
mod memory;
mod methods;
mod outcome;
mod properties;
mod signals;
