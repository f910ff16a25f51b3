//! Connections per source.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the places each source holds: an IPv4 address, or an IPv6 /64, all of whose addresses any
/// one host of it can take (RFC 8981).
#[derive(Debug)]
pub(super) struct Sources {
    limit: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl Sources {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: Mutex::new(HashMap::new()) })
    }

    /// A place for one connection, or `None` when its source holds all of its own.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = source(address);
        let mut held = self.lock();
        let count = held.entry(source).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { sources: Arc::clone(self), source })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counters have no invariant that a panic elsewhere could break.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.sources.lock();
        if let Some(count) = held.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.source);
            }
        }
    }
}

/// What an address is counted under; an IPv4 address is the same in either notation.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::from([a, b, c, d, 0, 0, 0, 0]).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_per_address_and_given_back() {
        let sources = Sources::new(2);
        let here = IpAddr::from([127, 0, 0, 1]);
        let there = IpAddr::from([127, 0, 0, 2]);
        let first = sources.enter(here).unwrap();
        let _second = sources.enter(here).unwrap();
        assert!(sources.enter(here).is_none());
        let _other = sources.enter(there).unwrap();
        drop(first);
        let _third = sources.enter(here).unwrap();
        assert_eq!(sources.lock().len(), 2);
    }
    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let sources = Sources::new(1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let _first = sources.enter(address("2001:db8:0:1::1")).unwrap();
        assert!(sources.enter(address("2001:db8:0:1:ffff::2")).is_none());
        let _next_network = sources.enter(address("2001:db8:0:2::1")).unwrap();
        let _v4 = sources.enter(address("192.0.2.1")).unwrap();
        assert!(sources.enter(address("::ffff:192.0.2.1")).is_none());
    }
}
