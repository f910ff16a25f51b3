//! Time and randomness of the operating system, for the station's ports.

#![expect(clippy::disallowed_types, reason = "this adapter is where randomness enters")]
#![expect(clippy::disallowed_methods, reason = "this adapter is where time enters")]

use core::time::Duration;

use async_trait::async_trait;
use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use rustix::time::{ClockId, clock_gettime};
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};
use zmon_station::ports::{Clock, Entropy};

/// The system clocks of a host whose time service keeps them right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = read(ClockId::Realtime);
        Now {
            mono: Tick::new(read(ClockId::Boottime)),
            wall: i64::try_from(wall.as_secs()).ok().and_then(UnixTime::from_unix),
            quality: ClockQuality::Synced,
            millis: i64::try_from(wall.as_millis()).ok(),
        }
    }

    async fn sleep_until(&self, deadline: Tick) {
        tokio::time::sleep(deadline.since(Tick::new(read(ClockId::Boottime)))).await;
    }
}

/// The operating system's generator. If it fails there is no safe way on: the process ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(UnwrapErr(SysRng))
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
