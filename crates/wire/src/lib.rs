//! Versioned JSON messages and QR content of Z Monitor provisioning.
//!
//! This crate is the only home of message serde. Every message is read through [`strict::parse`]: size,
//! UTF-8, depth, duplicate members and unknown members are checked before a value reaches a field, and
//! every field is parsed into its domain type on the way in. Errors name the member and the rule,
//! never the value. Structs serialise in the order of their fields, so that equal values are equal bytes.
//!
//! | module | holds |
//! |---|---|
//! | [`strict`] | the one way in and out of JSON |
//! | [`b64`], [`text`], [`secret`], [`pem`], [`kind`] | forms of single members |
//! | [`qr`] | the content of the QR code |
//! | [`jws`], [`hello`], [`identity`], [`configuration`], [`session`], [`pake`], [`outcome`], [`pull`], [`retire`], [`checkpoint`] | what is signed, and what carries it |
//! | [`carry`] | the messages of a pairing apart from who carries them |
//! | [`blink`] | which of ten monitors it is |
//! | [`pair`], [`admin`], [`manifest`], [`problem`] | the station's HTTP API |
//! | [`heartbeat`] | the monitoring link |
//! | [`control`], [`audit`], [`ready`] | the local control socket, exported audit rows, the ready line |
//! | [`screen`] | the page on the device's own screen |
//! | [`page`] | the station's page for tablets |
//! | [`mod@batch`], [`csv`] | batches of pairings, and their report as a table |
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod admin;
pub mod audit;
pub mod b64;
pub mod batch;
pub mod blink;
pub mod carry;
pub mod checkpoint;
pub mod configuration;
pub mod control;
pub mod csv;
pub mod fleet;
pub mod heartbeat;
pub mod hello;
pub mod identity;
pub mod jws;
pub mod kind;
pub mod manifest;
pub mod outcome;
pub mod page;
pub mod pair;
pub mod pake;
pub mod pem;
pub mod problem;
pub mod pull;
pub mod qr;
pub mod ready;
pub mod retire;
pub mod screen;
pub mod secret;
pub mod session;
pub mod strict;
pub mod text;
