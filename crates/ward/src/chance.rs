//! Luck, all of it from one seed.

use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zmon_crypto::sha256;

use crate::lock;

/// A stream of decisions. Clones share it.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<ChaCha20Rng>>);

impl Chance {
    /// The stream `name` of a seed: what one part draws does not shift what another gets.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        Self(Arc::new(Mutex::new(generator(seed, name))))
    }

    /// A number below `bound`; 0 where that is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        lock(&self.0).next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// As [`Chance::below`], for lists.
    #[must_use]
    pub fn index(&self, len: usize) -> usize {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(len)).unwrap_or(0)
    }

    /// Whether something of this probability happens, in percent.
    #[must_use]
    pub fn happens(&self, percent: u8) -> bool {
        percent > 0 && self.below(100) < u64::from(percent)
    }

    /// A new generator for keys, codes and tokens.
    #[must_use]
    pub fn generator(&self) -> ChaCha20Rng {
        let mut seed = [0; 32];
        lock(&self.0).fill_bytes(&mut seed);
        ChaCha20Rng::from_seed(seed)
    }
}

impl core::fmt::Debug for Chance {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Chance")
    }
}

fn generator(seed: u64, name: &str) -> ChaCha20Rng {
    let text = format!("{seed}/{name}");
    ChaCha20Rng::from_seed(sha256(text.as_bytes()))
}
