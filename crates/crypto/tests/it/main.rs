//! Tests of the public interface: certificate profiles and the published vectors.
#![expect(unreachable_pub, reason = "a test binary has no public interface")]
#![expect(clippy::unwrap_in_result, reason = "a panic in a test is the report")]

#[cfg(test)]
mod client_chain;
#[cfg(test)]
mod factory_chain;
#[cfg(test)]
mod signing_chain;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vectors;
