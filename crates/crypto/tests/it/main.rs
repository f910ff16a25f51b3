//! Tests of the public interface: certificate profiles and the published vectors.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no public interface")]

mod client_chain;
mod signing_chain;
mod support;
mod vectors;
