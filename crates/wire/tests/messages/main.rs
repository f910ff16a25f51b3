//! The wire form of every message, and what happens when it is spoiled.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is its report")]

mod bad_input;
mod golden;
mod json_cases;
mod list;
