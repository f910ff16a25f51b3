//! Links `zmon-domain`, `zmon-wire`, `zmon-crypto` and `zmon-protocol` without std and runs a part
//! of each. If one of them (or a dependency) needs std, linking fails and names the culprit.

#![no_std]
#![no_main]

extern crate alloc;

mod check;
mod generator;
mod platform;

/// Exit code 0: every check held; else the number of the first that did not.
#[unsafe(no_mangle)]
extern "C" fn main(_count: i32, _arguments: *const *const u8) -> i32 {
    match check::all() {
        Ok(()) => 0,
        Err(step) => step,
    }
}
