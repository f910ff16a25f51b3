//! A real station and real devices in a line of a test, with virtual time and ordered faults.
//!
//! ```no_run
//! # #[tokio::main] async fn main() {
//! use zmon_testkit::{SimulatedDevice, TestStation};
//!
//! let station = TestStation::start().await;
//! let device = SimulatedDevice::new(&station).await;
//! station.register(&device).await;
//! device.enter().await;
//! station.pair(&device.qr().await).await.expect("paired");
//! device.until_connected().await;
//! # }
//! ```
//!
//! Nothing is mocked but time, randomness and, where a test orders it, luck: certificates,
//! databases, TLS 1.3 sockets and the state machines are those that ship.
//!
//! | part | what it is for |
//! |---|---|
//! | [`TestStation`] | a station on ephemeral ports of `127.0.0.1`; stops, crashes, restarts |
//! | [`SimulatedDevice`] | a device with its directory; enters, shows its code, restarts, loses power |
//! | [`StationProgram`] | the shipped `mock-central-station` as one process or several, for `kill -9` |
//! | [`DeviceProgram`] | the shipped `device` program as a process, for `kill -9` |
//! | [`Stored`] | what a device's directory holds while nobody runs there |
//! | [`Operator`] | an operator's tablet: HTTPS with a bearer token |
//! | [`Relay`] | a wire between two of them that a test can cut, or a balancer before several |
//! | [`Peer`] | whoever else connects: arbitrary bytes to any listener |
//! | [`TestDatabase`] | a database of PostgreSQL, if the station is to keep its memory there |
//! | [`TestClock`] | time that stands still until a test moves it |
//! | [`Faults`] | what goes wrong, at which step, how often |
//! | [`wait`] | bounded waiting on events, never on time |
//! | [`disk`] | modes, secrets and SQL behind the back of a store |
//!
//! Every part of one test draws its randomness from one [`Seed`], printed when the test fails; set
//! `ZMON_SEED` to it to draw the same codes, tokens and keys again. ECDSA signatures under
//! certificates stay random: the certificate library takes no generator.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a harness: what cannot be set up ends the test with the reason"
)]

mod clock;
mod device;
pub mod disk;
mod fault;
mod faulty;
mod operator;
mod peer;
mod postgres;
mod power;
mod program;
mod relay;
mod seed;
mod station;
mod station_program;
mod stored;
pub mod wait;

pub use clock::{DOUBT, RETRIES, RunningTime, TestClock};
pub use device::{DeviceOptions, PIN, SimulatedDevice};
pub use fault::{Fault, FaultError, Faults, Kind, Order, Orders, Step};
pub use operator::{ApiError, Operator};
pub use peer::Peer;
pub use postgres::{Stall, TestDatabase};
pub use program::{DeviceProgram, binary};
pub use relay::Relay;
pub use seed::Seed;
pub use station::{PASSWORD, StationOptions, TestStation};
pub use station_program::StationProgram;
pub use stored::Stored;

/// A station and a device that is in its registry, not yet paired.
///
/// # Panics
/// When they do not start.
pub async fn registered() -> (TestStation, SimulatedDevice) {
    registered_with(StationOptions::default()).await
}

/// The same with a station that has other options.
///
/// # Panics
/// When they do not start.
pub async fn registered_with(options: StationOptions) -> (TestStation, SimulatedDevice) {
    let station = TestStation::start_with(options).await;
    let device = SimulatedDevice::new(&station).await;
    station.register(&device).await;
    (station, device)
}

/// A station and a device that is provisioned by it and connected.
///
/// # Panics
/// When they do not start, or the pairing fails.
pub async fn paired() -> (TestStation, SimulatedDevice) {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.pair(&qr).await.expect("paired");
    device.until_connected().await;
    (station, device)
}
