//! "Simulate Configuration" ([W §9.3], D20): the device's own machine against a station in this
//! process. Built with the feature `simulate` only, and in force with `device run --simulate` only.
//!
//! Nothing of it is acted: the station is the real one over a database that goes away, it pushes
//! into the device's endpoint, and the device tests its connection over mTLS on loopback. What marks
//! it is its authority: every certificate says *simulated*, and real devices and stations refuse it.

mod dialer;
mod order;
mod runtime;
mod station;

pub(crate) use station::Simulation;
