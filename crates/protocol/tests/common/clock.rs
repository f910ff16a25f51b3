//! Time that only moves when a test moves it.

use core::time::Duration;

use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};

/// 2026-01-01T00:00:00Z
pub(crate) const START: i64 = 1_767_225_600;

#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) elapsed: Duration,
    pub(crate) quality: ClockQuality,
    /// What the wall clock shows at `elapsed` = 0; none without a clock.
    pub(crate) epoch: Option<i64>,
}

impl Clock {
    pub(crate) const fn new() -> Self {
        Self { elapsed: Duration::ZERO, quality: ClockQuality::Synced, epoch: Some(START) }
    }

    pub(crate) fn now(&self) -> Now {
        let seconds = i64::try_from(self.elapsed.as_secs()).unwrap();
        let wall = self.epoch.and_then(|epoch| UnixTime::from_unix(epoch + seconds));
        Now {
            mono: Tick::new(self.elapsed),
            wall,
            quality: self.quality,
            millis: wall.map(|wall| wall.unix() * 1000),
        }
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.elapsed += duration;
    }

    /// Jumps to `tick`, never backwards.
    pub(crate) fn jump(&mut self, tick: Tick) {
        self.elapsed = self.elapsed.max(tick.elapsed());
    }
}

pub(crate) fn start() -> UnixTime {
    UnixTime::from_unix(START).unwrap()
}

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
