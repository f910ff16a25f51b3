//! The hash that chains audit rows of one writer (D16).

use crate::hash::{length_prefix, sha256_parts};
use crate::labels;

/// Hash of the row before the first one of a lane.
pub const GENESIS: [u8; 32] = [0; 32];

/// `H("zp1 audit" ‖ lane ‖ u64 seq ‖ prev ‖ L(record))` over the stored bytes of the row.
///
/// `lane` names the writer and contains no NUL byte, so that the high zero byte of `seq` ends it
/// unambiguously. `prev` is the hash of row `seq − 1`, or [`GENESIS`].
#[must_use]
pub fn chain(lane: &str, seq: u64, prev: &[u8; 32], record: &[u8]) -> [u8; 32] {
    sha256_parts(&[
        labels::AUDIT,
        lane.as_bytes(),
        &seq.to_be_bytes(),
        prev,
        &length_prefix(record),
        record,
    ])
}

#[cfg(test)]
mod tests;
