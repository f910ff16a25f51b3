//! Writes `docs/vectors` anew after an intended change of the protocol, keeping the keys.
//!
//! `cargo run -p zmon-crypto --features rsa --example write_vectors`
#![expect(dead_code, reason = "the modules also serve the tests that read the vectors back")]
#![expect(clippy::unwrap_used, reason = "a panic is the report")]
#![expect(clippy::unwrap_in_result, reason = "a panic is the report")]
#![expect(clippy::indexing_slicing, reason = "a panic is the report")]
#![expect(unreachable_pub, reason = "an example has no public interface")]

#[path = "../tests/it/vectors/after.rs"]
mod after;
#[path = "../tests/it/vectors/build.rs"]
mod build;
#[path = "../tests/it/vectors/files.rs"]
mod files;
#[path = "../tests/it/support.rs"]
mod support;
#[path = "../tests/it/vectors/typed.rs"]
mod typed;

use std::fs;

use build::{Keys, pairing};
use files::{path, suites};
use serde_json::Value;

fn main() {
    for suite in suites() {
        let stored: Value = serde_json::from_slice(&fs::read(path(suite)).unwrap()).unwrap();
        let keys = Keys::from_json(&stored["keys"]);
        let text = serde_json::to_string_pretty(&pairing(suite, &keys)).unwrap();
        fs::write(path(suite), text + "\n").unwrap();
    }
    let text = serde_json::to_string_pretty(&typed::run()).unwrap();
    fs::write(typed::file(), text + "\n").unwrap();
}
