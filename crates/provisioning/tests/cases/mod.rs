//! What the contract suite does not cover: the parts of each service.

mod anchors;
mod clocks;
mod commits;
mod deliveries;
mod end_of_life;
mod interlock;
mod lifecycle;
mod link;
mod mock;
mod operators;
mod payload;
mod qr;
mod renewal;
mod settings;
#[cfg(feature = "simulate")]
mod simulate;
mod text;
