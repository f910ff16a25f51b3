//! The time port: a trait, the operating system's clock and a virtual one.

mod system;
mod virtual_clock;

use async_trait::async_trait;
use zmon_domain::time::{Now, Tick};

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
}
