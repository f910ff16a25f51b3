//! The model check to a bound of one's own: windows, sessions, faults, crashes and timers.
//!
//! ```text
//! cargo run --release -p zmon-protocol --example explore -- 2 2 2 2 2
//! ```
#![allow(dead_code, unused_imports, reason = "the test bed serves more than this")]
#![expect(clippy::print_stdout, reason = "its report")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test bed's report")]
#![expect(clippy::indexing_slicing, reason = "numbers of its own lists")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test bed picks what it is about")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/protocol/explore/mod.rs"]
mod explore;

use explore::world::Bounds;

fn main() {
    let numbers: Result<Vec<u8>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let numbers = numbers.expect("five numbers");
    let [windows, sessions, faults, crashes, timers] = numbers[..] else {
        panic!("windows, sessions, faults, crashes, timers");
    };
    let met = explore::explore(Bounds { windows, sessions, faults, crashes, timers }, 2);
    println!("met: {met:?}");
}
