//! Time and randomness of the device, for the ports of its simulated station.
#![expect(clippy::disallowed_types, reason = "the one place where its randomness comes in")]

use std::sync::Arc;

use async_trait::async_trait;
use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};
use zmon_provisioning::ports;
use zmon_station::ports::{Clock, Entropy};

/// The device's clock. A station issues by the wall clock, so a device that has none lends its floor, and
/// before it has that its build date.
pub(super) struct DeviceClock {
    pub(super) clock: Arc<dyn ports::Clock>,
    pub(super) built_at: UnixTime,
}

#[async_trait]
impl Clock for DeviceClock {
    fn now(&self) -> Now {
        let now = self.clock.now();
        let wall = self.clock.tls_time().unwrap_or(self.built_at);
        // What is kept of a session has its times in milliseconds.
        let millis = now.millis.or(Some(wall.unix().saturating_mul(1000)));
        Now { wall: Some(wall), quality: ClockQuality::Synced, millis, ..now }
    }

    async fn sleep_until(&self, deadline: Tick) {
        self.clock.sleep_until(deadline).await;
    }
}

/// The operating system's generator. If it fails there is no safe way on: the process ends.
pub(super) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn generator(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(UnwrapErr(SysRng))
    }
}
