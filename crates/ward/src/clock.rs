//! Clocks that are wrong: fast or slow, set back, set forward, not set at all.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::time::Instant;
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};

use crate::life::Life;
use crate::lock;

/// The true time at which every run begins: 2026-11-23T12:00:00Z.
pub(crate) const START: i64 = 1_795_435_200;

/// The clock chip of one machine; it outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dial {
    /// Seconds that the wall clock is ahead of the true time.
    pub(crate) offset: i64,
    /// What is known about it.
    pub(crate) quality: ClockQuality,
    /// How much faster than true time the monotonic clock runs, in millionths.
    pub(crate) rate: i32,
}

impl Default for Dial {
    fn default() -> Self {
        Self { offset: 0, quality: ClockQuality::Synced, rate: 0 }
    }
}

/// A machine's clock during one life of its process: the monotonic one begins at zero.
#[derive(Clone)]
pub(crate) struct NodeClock {
    origin: Instant,
    boot: Duration,
    life: Life,
    dial: Arc<Mutex<Dial>>,
    floor: Arc<Mutex<Option<UnixTime>>>,
}

impl NodeClock {
    /// A clock that starts now; `origin` is the first instant of the run.
    #[must_use]
    pub(crate) fn boot(origin: Instant, dial: Arc<Mutex<Dial>>, life: Life) -> Self {
        Self { origin, boot: origin.elapsed(), life, dial, floor: Arc::default() }
    }

    /// One sample of both clocks.
    #[must_use]
    pub(crate) fn now(&self) -> Now {
        let dial = *lock(&self.dial);
        let elapsed = self.origin.elapsed();
        let millis = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let unix = START.saturating_add(dial.offset).saturating_mul(1000);
        let unix = unix.saturating_add(millis);
        let known = dial.quality != ClockQuality::None;
        Now {
            mono: Tick::new(stretched(elapsed.saturating_sub(self.boot), dial.rate)),
            wall: UnixTime::from_unix(unix.div_euclid(1000)).filter(|_| known),
            quality: dial.quality,
            millis: Some(unix).filter(|_| known),
        }
    }

    /// The time at which TLS peers are checked: the wall clock, else the floor.
    #[must_use]
    pub(crate) fn tls_time(&self) -> Option<UnixTime> {
        self.now().wall.or_else(|| *lock(&self.floor))
    }

    async fn sleep(&self, deadline: Tick) {
        loop {
            self.life.go_on().await;
            let left = deadline.since(self.now().mono);
            if left.is_zero() {
                return;
            }
            // A fast clock is there sooner: it looks again.
            tokio::time::sleep(left.min(left.mul_f64(0.999) + Duration::from_millis(1))).await;
        }
    }
}

/// `time` as a clock of this rate counts it.
fn stretched(time: Duration, rate: i32) -> Duration {
    let part = time.mul_f64(f64::from(rate.unsigned_abs()) / 1e6);
    if rate < 0 { time.saturating_sub(part) } else { time.saturating_add(part) }
}

#[async_trait]
impl zmon_provisioning::ports::Clock for NodeClock {
    fn now(&self) -> Now {
        Self::now(self)
    }

    async fn sleep_until(&self, deadline: Tick) {
        self.sleep(deadline).await;
    }

    fn raise_floor(&self, floor: UnixTime) {
        let mut known = lock(&self.floor);
        *known = (*known).max(Some(floor));
    }

    fn tls_time(&self) -> Option<UnixTime> {
        Self::tls_time(self)
    }
}

#[async_trait]
impl zmon_station::ports::Clock for NodeClock {
    fn now(&self) -> Now {
        Self::now(self)
    }

    async fn sleep_until(&self, deadline: Tick) {
        self.sleep(deadline).await;
    }
}
