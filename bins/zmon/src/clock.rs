//! Time of this machine, through the one adapter that reads it.

use zmon_domain::time::{ClockQuality, Now};
use zmon_provisioning::{clock::SystemClock, ports::Clock};

/// One reading of both clocks.
pub(crate) fn now() -> Now {
    SystemClock::new(ClockQuality::Synced).now()
}

/// Wall time for certificate checks, in Unix seconds.
pub(crate) fn unix_seconds() -> Option<u64> {
    now().wall.and_then(|time| u64::try_from(time.unix()).ok())
}
