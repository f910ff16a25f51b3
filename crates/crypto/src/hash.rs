//! SHA-256 and the length prefix `L(x)` used by every transcript of the protocol.

use sha2::{Digest, Sha256};

/// SHA-256 of `bytes` (FIPS 180-4); `H` in the protocol's formulas.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of the concatenation of `parts`, without building it in memory.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The `u32` big-endian length that precedes `x` in `L(x)`.
///
/// Lengths beyond `u32::MAX` saturate. No input of the protocol is longer than 64 KiB, so two
/// inputs can never share a prefix by saturation.
#[must_use]
pub fn length_prefix(x: &[u8]) -> [u8; 4] {
    u32::try_from(x.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests;
