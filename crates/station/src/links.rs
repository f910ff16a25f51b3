//! The latest heartbeat of each device ([W §9.2]): in memory and bounded. Monitoring waits for no
//! database and no audit log.

use core::time::Duration;
use std::collections::BTreeMap;

use zmon_domain::ids::DeviceId;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::{Tick, UnixTime};
use zmon_wire::heartbeat::Heartbeat;

/// What a device said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// When, by the wall.
    pub(crate) at: UnixTime,
    /// When, by the clock that never jumps.
    pub(crate) heard: Tick,
    pub(crate) uptime_seconds: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) errors: u64,
    pub(crate) state: ProvisioningState,
    /// Its certificate was revoked since: it may say no more.
    cut: bool,
}

impl Link {
    pub(crate) fn new(at: UnixTime, heard: Tick, said: &Heartbeat) -> Self {
        Self {
            at,
            heard,
            uptime_seconds: said.uptime_seconds,
            bytes_sent: said.bytes_sent,
            errors: said.errors,
            state: said.state,
            cut: false,
        }
    }

    /// Whether a device that speaks every `interval` is still there.
    pub(crate) fn is_alive(&self, interval: Duration, now: Tick) -> bool {
        !self.cut && now.since(self.heard) <= interval * limits::LINK_MISSED.default
    }
}

/// The links of this run.
#[derive(Debug, Default)]
pub(crate) struct Links(BTreeMap<DeviceId, Link>);

impl Links {
    /// Keeps a heartbeat; with too many devices, the one that has been silent longest is forgotten.
    pub(crate) fn hear(&mut self, device: DeviceId, link: Link) {
        if self.0.len() >= limits::LINKS_KEPT.default && !self.0.contains_key(&device) {
            let longest = self.0.iter().min_by_key(|(_, link)| link.heard);
            if let Some(silent) = longest.map(|(id, _)| id.clone()) {
                self.0.remove(&silent);
            }
        }
        self.0.insert(device, link);
    }

    /// The device may say no more.
    pub(crate) fn cut(&mut self, device: &DeviceId) {
        if let Some(link) = self.0.get_mut(device) {
            link.cut = true;
        }
    }

    /// How many devices that speak every `interval` are still there.
    pub(crate) fn alive(&self, interval: Duration, now: Tick) -> u64 {
        let alive = self.0.values().filter(|link| link.is_alive(interval, now));
        alive.fold(0, |count, _| count + 1)
    }

    pub(crate) fn get(&self, device: &DeviceId) -> Option<Link> {
        self.0.get(device).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> DeviceId {
        DeviceId::parse(&format!("ZM-{n}")).unwrap()
    }

    fn link(seconds: u64) -> Link {
        let heard = Tick::new(Duration::from_secs(seconds));
        let said = Heartbeat {
            sequence: 1,
            uptime_seconds: seconds,
            bytes_sent: 0,
            errors: 0,
            state: ProvisioningState::Provisioned,
            audit_checkpoint: None,
        };
        Link::new(UnixTime::EPOCH, heard, &said)
    }

    #[test]
    fn three_missed_heartbeats_are_a_silent_device() {
        let (link, interval) = (link(100), Duration::from_secs(10));
        for (now, alive) in [(100, true), (130, true), (131, false), (90, true)] {
            let now = Tick::new(Duration::from_secs(now));
            assert_eq!(link.is_alive(interval, now), alive, "{now:?}");
        }
    }

    #[test]
    fn a_cut_link_is_silent_until_the_next_heartbeat_and_still_remembered() {
        let mut links = Links::default();
        links.cut(&id(1));
        links.hear(id(1), link(5));
        links.cut(&id(1));
        let cut = links.get(&id(1)).unwrap();
        assert!(!cut.is_alive(Duration::from_secs(10), Tick::new(Duration::from_secs(5))));
        assert_eq!(cut.at, UnixTime::EPOCH);
        links.hear(id(1), link(6));
        let back = links.get(&id(1)).unwrap();
        assert!(back.is_alive(Duration::from_secs(10), Tick::new(Duration::from_secs(6))));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_longest_silence() {
        let (mut links, most) = (Links::default(), limits::LINKS_KEPT.default);
        for n in 0..most {
            links.hear(id(n), link(if n == 7 { 1 } else { 10 }));
        }
        links.hear(id(3), link(11));
        assert!(links.get(&id(7)).is_some(), "a known device takes nobody's place");
        links.hear(id(most), link(12));
        assert_eq!((links.0.len(), links.get(&id(7))), (most, None));
        assert!(links.get(&id(most)).is_some());
    }
}
