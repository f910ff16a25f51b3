//! The operating system's clocks: the only place of the libraries that reads them.

#![expect(clippy::disallowed_methods, reason = "this adapter is where time enters")]

use core::sync::atomic::{AtomicI64, Ordering};
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
#[derive(Debug)]
pub struct SystemClock {
    quality: ClockQuality,
    /// Seconds since the epoch; negative while nobody named one.
    floor: AtomicI64,
}

impl SystemClock {
    /// `quality` is what is known about the wall clock: `Synced` only where a time service keeps it.
    #[must_use]
    pub const fn new(quality: ClockQuality) -> Self {
        Self { quality, floor: AtomicI64::new(-1) }
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

    fn raise_floor(&self, floor: UnixTime) {
        self.floor.fetch_max(floor.unix(), Ordering::Relaxed);
    }

    fn tls_time(&self) -> Option<UnixTime> {
        let floor = || UnixTime::from_unix(self.floor.load(Ordering::Relaxed));
        self.now().wall.or_else(floor)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_wall_clock_tls_sees_the_highest_floor() {
        let clock = SystemClock::new(ClockQuality::None);
        assert_eq!(clock.tls_time(), None);
        for (raised, seen) in [(5, 5), (9, 9), (7, 9)] {
            clock.raise_floor(UnixTime::from_unix(raised).unwrap());
            assert_eq!(clock.tls_time(), UnixTime::from_unix(seen));
            assert_eq!(clock.now().wall, None, "a floor is no clock");
        }
    }

    #[test]
    fn a_trusted_wall_clock_is_what_tls_sees() {
        let clock = SystemClock::new(ClockQuality::Synced);
        let last = UnixTime::parse("9999-12-31T23:59:59Z").unwrap();
        clock.raise_floor(last);
        assert!(clock.tls_time().is_some_and(|time| time < last));
    }
}
