//! Tests of the services, the driver and the link, with every port in memory and in virtual time.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod common;
#[cfg(test)]
mod contract;
