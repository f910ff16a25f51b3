//! Connections per source address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the places each address holds.
#[derive(Debug)]
pub(super) struct Sources {
    limit: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl Sources {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: Mutex::new(HashMap::new()) })
    }

    /// A place for one connection, or `None` when the address holds all of its own.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut held = self.lock();
        let count = held.entry(address).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { sources: Arc::clone(self), address })
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
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.sources.lock();
        if let Some(count) = held.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.address);
            }
        }
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
}
