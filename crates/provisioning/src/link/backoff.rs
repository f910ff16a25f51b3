//! How long to wait after a failure.

use core::time::Duration;

use rand_core::CryptoRng;
use zmon_domain::limits;

/// Doubling waits from 1 s to 60 s, each shortened by a random part of up to a half, so that a
/// ward of monitors does not return to a restarted station in one instant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts one more failure and draws the wait that follows it.
    pub fn next(&mut self, rng: &mut dyn CryptoRng) -> Duration {
        let full = limits::LINK_BACKOFF_FIRST
            .default
            .saturating_mul(1 << self.failures.min(16))
            .min(limits::LINK_BACKOFF_MAX.default);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        let jitter = f64::from(rng.next_u32()) / f64::from(u32::MAX);
        half + half.mul_f64(jitter)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn waits_double_stay_within_their_half_and_are_capped() {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let mut backoff = Backoff::new();
        for full in [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Duration::from_secs) {
            let wait = backoff.next(&mut rng);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} is not within {full:?}");
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= Duration::from_secs(1));
    }
}
