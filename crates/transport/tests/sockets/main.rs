//! Transport over real sockets on 127.0.0.x: one test binary, one module per subject.

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

#[cfg(all(test, feature = "device"))]
mod control;
#[cfg(all(test, feature = "device", feature = "station"))]
mod listener;
#[cfg(all(test, feature = "device", feature = "station"))]
mod operators;
#[cfg(all(test, feature = "device", feature = "station"))]
mod pairing;
#[cfg(all(test, feature = "device", feature = "station"))]
mod peers;
#[cfg(all(test, feature = "device", feature = "station"))]
mod world;
