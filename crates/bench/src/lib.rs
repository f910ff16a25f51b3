//! What a benchmark of this workspace is made of: a stopwatch, a sampler, a table.
//!
//! The benchmark itself is `benches/tables`:
//!
//! ```text
//! cargo build --release --bins && cargo bench -p zmon-bench
//! ```
//!
//! It prints tables and judges nothing but the limits of [I §8] and the project's own targets; it
//! is no test, because time on a busy machine proves nothing. Each row stands beside the sum of the
//! primitives that are actually linked, measured in turn with it, so that whatever slows one
//! slows the other and the ratio holds.
//!
//! A sampler of medians instead of a benchmark framework: rows and their primitives have to be
//! measured alternately, a pairing needs a device that was never paired before each sample, and the
//! CPU time of the whole process counts as much as the wall clock.

pub mod process;
pub mod sample;
pub mod table;
pub mod welch;
