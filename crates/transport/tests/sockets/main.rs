//! Transport over real sockets on 127.0.0.x: one test binary, one module per subject.
#![cfg_attr(
    feature = "device",
    expect(clippy::unwrap_in_result, reason = "a broken double ends the test; that is the report")
)]

#[cfg(test)]
mod memory;
#[cfg(test)]
mod mutual;
#[cfg(test)]
mod pki;
#[cfg(test)]
mod server;
#[cfg(test)]
mod support;

#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod batches;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod conditions;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod console;
#[cfg(test)]
#[cfg(feature = "device")]
mod control;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod est;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod listener;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod metrics;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod operators;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod page;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod pairing;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod peers;
#[cfg(test)]
#[cfg(feature = "device")]
mod screen;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod strangers;
#[cfg(test)]
#[cfg(all(feature = "device", feature = "station"))]
mod world;
