//! A clock that moves only with the runtime's time.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};

use super::Clock;

/// Virtual time for tests and for the mock: under tokio's paused time it advances exactly as the
/// test says, and hours pass in microseconds. Clones share one clock.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    origin: Instant,
    wall: Arc<Mutex<Wall>>,
}

#[derive(Debug, Clone, Copy)]
struct Wall {
    at_origin: i64,
    quality: ClockQuality,
    floor: Option<UnixTime>,
}

impl VirtualClock {
    /// Monotonic time starts at zero, the wall clock at `start` (Unix seconds), synced.
    #[must_use]
    pub fn starting_at(start: i64) -> Self {
        let wall = Wall { at_origin: start, quality: ClockQuality::Synced, floor: None };
        Self { origin: Instant::now(), wall: Arc::new(Mutex::new(wall)) }
    }

    /// Steps the wall clock by `seconds` (negative: backwards); monotonic time does not notice.
    pub fn step_wall(&self, seconds: i64) {
        let mut wall = self.lock();
        wall.at_origin = wall.at_origin.saturating_add(seconds);
    }

    /// Changes what the clock claims to know; `None` takes the wall clock away.
    pub fn set_quality(&self, quality: ClockQuality) {
        self.lock().quality = quality;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wall> {
        self.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.origin)
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let Wall { at_origin, quality, .. } = *self.lock();
        let elapsed = self.elapsed();
        let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
        let millis = i64::from(elapsed.subsec_millis());
        let unix = at_origin.saturating_add(seconds);
        let known = quality != ClockQuality::None;
        Now {
            mono: Tick::new(elapsed),
            wall: UnixTime::from_unix(unix).filter(|_| known),
            quality,
            millis: known.then(|| unix.saturating_mul(1000).saturating_add(millis)),
        }
    }

    async fn sleep_until(&self, deadline: Tick) {
        match self.origin.checked_add(deadline.elapsed()) {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }

    fn raise_floor(&self, floor: UnixTime) {
        let mut wall = self.lock();
        wall.floor = wall.floor.max(Some(floor));
    }

    fn tls_time(&self) -> Option<UnixTime> {
        self.now().wall.or_else(|| self.lock().floor)
    }
}
