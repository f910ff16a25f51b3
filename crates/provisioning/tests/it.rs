//! Tests of the services, the driver and the link, with every port in memory and in virtual time.

#![expect(clippy::unwrap_in_result, reason = "a panic is the report of a failing test")]

#[cfg(test)]
mod cases;
#[cfg(test)]
mod common;
#[cfg(test)]
mod contract;
