//! One number from which everything random of a test comes.

use core::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::CryptoRng;
use zmon_provisioning::ports::SharedRng;
use zmon_station::ports::Entropy;

/// Where a failing test's seed is given back.
const VARIABLE: &str = "ZMON_SEED";

/// The seed of a test: streams of ChaCha20 for as many parts as there are, each with a number of
/// its own. Clones share the numbering.
#[derive(Clone)]
pub struct Seed {
    number: u64,
    streams: Arc<AtomicU64>,
}

impl Seed {
    /// This seed.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self { number, streams: Arc::default() }
    }

    /// The seed in `ZMON_SEED`, else one of the operating system's.
    #[must_use]
    pub fn from_environment() -> Self {
        #[expect(clippy::disallowed_methods, reason = "how a failed test is run again")]
        let given = std::env::var(VARIABLE);
        match given {
            Ok(text) => Self::new(text.parse().expect("ZMON_SEED is a whole number")),
            Err(_) => Self::new(getrandom::u64().expect("the operating system has randomness")),
        }
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A generator that shares nothing with any other of this seed.
    #[must_use]
    pub fn rng(&self) -> ChaCha20Rng {
        let mut rng = ChaCha20Rng::seed_from_u64(self.number);
        rng.set_stream(self.streams.fetch_add(1, Ordering::Relaxed));
        rng
    }

    /// The same for a device's ports.
    #[must_use]
    pub fn shared_rng(&self) -> SharedRng {
        SharedRng::new(self.rng())
    }

    /// Prints the seed if the test is failing. Stations and devices call it when they go.
    pub(crate) fn tell_if_failing(&self) {
        if std::thread::panicking() {
            eprintln!("zmon-testkit: run again with {VARIABLE}={}", self.number);
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({})", self.number)
    }
}

impl Entropy for Seed {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(self.rng())
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_streams_differ() {
        let (one, two) = (Seed::new(7), Seed::new(7));
        let draw = |seed: &Seed| (seed.rng().next_u64(), seed.rng().next_u64());
        let drawn = draw(&one);
        assert_eq!(drawn, draw(&two));
        assert_ne!(drawn.0, drawn.1);
        assert_ne!(draw(&Seed::new(8)), drawn);
    }
}
