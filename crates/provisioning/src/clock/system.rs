//! The operating system's clocks: the only place of the libraries that reads them.

use core::time::Duration;

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};

use super::Clock;

/// Longest single timer. Timers of the runtime stop while the machine is suspended, the boot-time
/// clock does not: waking once a second notices a resume within a second.
const SLICE: Duration = Duration::from_secs(1);

/// Monotonic time that counts suspend (`CLOCK_BOOTTIME`) and the wall clock with a quality that
/// the operator of the device vouches for (D14).
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    quality: ClockQuality,
}

impl SystemClock {
    /// `quality` is what is known about the wall clock: `Synced` only where a time service keeps it.
    #[must_use]
    pub const fn new(quality: ClockQuality) -> Self {
        Self { quality }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = since_epoch();
        let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
        let trusted = self.quality != ClockQuality::None;
        Now {
            mono: monotonic(),
            wall: UnixTime::from_unix(seconds).filter(|_| trusted),
            quality: self.quality,
            millis: i64::try_from(wall.as_millis()).ok().filter(|_| trusted),
        }
    }

    async fn sleep_until(&self, deadline: Tick) {
        loop {
            let left = deadline.since(monotonic());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

fn monotonic() -> Tick {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const MONOTONIC: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const MONOTONIC: ClockId = ClockId::Monotonic;
    Tick::new(duration(clock_gettime(MONOTONIC)))
}

fn since_epoch() -> Duration {
    duration(clock_gettime(ClockId::Realtime))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}
