//! Helpers of the unit tests.

use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::identity::Suite;

/// The same numbers for the same seed, on every machine.
pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// The suites of this build.
pub(crate) fn suites() -> Vec<Suite> {
    [Suite::P256, Suite::Rsa2048].into_iter().filter(|suite| suite.is_supported()).collect()
}
