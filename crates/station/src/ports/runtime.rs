//! Time and randomness, injected.

use async_trait::async_trait;
use rand_core::CryptoRng;
use zmon_domain::time::{Now, Tick};

/// The station's clock. The system clock adapter is the only place that reads the real one.
#[async_trait]
pub trait Clock: Send + Sync {
    /// One reading of both clocks, taken once per event.
    fn now(&self) -> Now;

    /// Returns when the monotonic clock has reached `deadline`.
    async fn sleep_until(&self, deadline: Tick);
}

/// The station's source of randomness.
///
/// A generator is handed out per use, so that no lock is held while one is in use. Implementations
/// must be cryptographically secure outside tests.
pub trait Entropy: Send + Sync {
    /// A generator that is independent of every other one handed out.
    fn generator(&self) -> Box<dyn CryptoRng + Send>;
}
