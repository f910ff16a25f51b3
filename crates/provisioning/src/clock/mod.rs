//! The time port: a trait, the operating system's clock and a virtual one.

mod system;
mod virtual_clock;

use async_trait::async_trait;
use zmon_domain::time::{Now, Tick, UnixTime};

pub use system::SystemClock;
pub use virtual_clock::VirtualClock;

/// Time as the driver samples it: once per event.
///
/// **A monotonic clock that stops during suspend** stretches the ten minutes of a window while the
/// monitor sleeps. **A wall clock claimed [`Synced`](zmon_domain::time::ClockQuality::Synced) that
/// is not** makes fresh configurations look expired and expired ones fresh (D14); say `None` when
/// in doubt.
#[async_trait]
pub trait Clock: Send + Sync {
    /// One sample of both clocks.
    fn now(&self) -> Now;

    /// Returns once the monotonic clock has reached `deadline`; at once if it has. Dropping the
    /// future cancels the wait.
    async fn sleep_until(&self, deadline: Tick);

    /// Told by the driver at start, and once a later trusted time is durable: no time before
    /// `floor` is now (D14). It never changes what [`now`](Self::now) says. A clock that is always
    /// set has no use for it.
    fn raise_floor(&self, floor: UnixTime) {
        let _ = floor;
    }

    /// The time to check the certificates of a TLS peer at: the wall clock, else the floor.
    fn tls_time(&self) -> Option<UnixTime> {
        self.now().wall
    }
}
