//! The machines of device and station in virtual time, with real keys, certificates and envelopes.
//!
//! One binary: the modules share the test bed of `common`.

#[cfg(test)]
mod common;

#[cfg(test)]
#[path = "protocol/flow.rs"]
mod flow;
