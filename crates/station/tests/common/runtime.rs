//! Virtual time and seeded randomness.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{CryptoRng, SeedableRng};
use tokio::time::Instant;
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};
use zmon_station::ports::{Clock, Entropy};

/// Tokio's paused clock as the station's.
pub(crate) struct TestClock {
    start: Instant,
}

impl TestClock {
    /// Starts at [`TestClock::FIRST`].
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// The wall clock of the first instant: 2026-11-23T12:00:00Z.
    pub(crate) fn first() -> UnixTime {
        UnixTime::parse("2026-11-23T12:00:00Z").unwrap()
    }

    /// The wall clock now.
    pub(crate) fn wall(&self) -> UnixTime {
        Self::first() + self.start.elapsed()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        let wall = Self::first() + elapsed;
        Now {
            mono: Tick::new(elapsed),
            wall: Some(wall),
            quality: ClockQuality::Synced,
            millis: Some(wall.unix() * 1000),
        }
    }

    async fn sleep_until(&self, deadline: Tick) {
        tokio::time::sleep_until(self.start + deadline.elapsed()).await;
    }
}

/// Lets virtual time pass, and everything due in it happen.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// One generator after the other, all from one seed.
pub(crate) struct SeededEntropy {
    next: AtomicU64,
}

impl SeededEntropy {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { next: AtomicU64::new(seed << 32) }
    }
}

impl Entropy for SeededEntropy {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(ChaCha20Rng::seed_from_u64(self.next.fetch_add(1, Ordering::SeqCst)))
    }
}
