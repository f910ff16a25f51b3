//! How often a device is given a certificate by EST (D26).

use core::time::Duration;
use std::collections::BTreeMap;

use zmon_domain::ids::DeviceId;
use zmon_domain::limits;
use zmon_domain::time::Tick;

/// How long a certificate counts against the next one.
const HOUR: Duration = Duration::from_secs(3600);

/// When which device was given certificates, as far as it counts still.
#[derive(Default)]
pub(in crate::station) struct Enrolments(BTreeMap<DeviceId, Vec<Tick>>);

impl Enrolments {
    /// How long a device has to wait for its next certificate; none, and it counts from now on.
    pub(super) fn take(&mut self, device: &DeviceId, now: Tick) -> Option<Duration> {
        let recent = |at: &Tick| now.since(*at) < HOUR;
        self.0.retain(|_, times| {
            times.retain(recent);
            !times.is_empty()
        });
        let times = self.0.entry(device.clone()).or_default();
        if times.len() >= usize::from(limits::ENROLMENTS_HOURLY.default)
            && let Some(first) = times.first()
        {
            return Some(HOUR.saturating_sub(now.since(*first)));
        }
        times.push(now);
        None
    }

    /// What was taken at this time and led to no certificate counts no more.
    pub(super) fn give_back(&mut self, device: &DeviceId, taken: Tick) {
        let Some(times) = self.0.get_mut(device) else { return };
        if let Some(index) = times.iter().rposition(|at| *at == taken) {
            times.remove(index);
        }
    }
}
