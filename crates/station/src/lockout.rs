//! Slowing down password guessing without locking anybody else out (THREATS T3).
//!
//! Failures count per *source and account*. A source that guesses an account locks itself out of
//! that account; the account's owner, coming from elsewhere, notices nothing. They also count per
//! *source*, so that made-up account names run into a limit too.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use zmon_domain::ids::OperatorId;
use zmon_domain::limits;
use zmon_domain::time::Tick;

/// The failure that causes the first wait.
const FREE: u32 = limits::PIN_BACKOFF_AFTER.default;
/// The failure over all accounts that causes a source's first wait. Higher, because several people may
/// share an address.
const FREE_OF_SOURCE: u32 = limits::SOURCE_BACKOFF_AFTER.default;
/// The first wait; doubles with each further failure.
const FIRST: Duration = limits::PIN_BACKOFF_FIRST.default;
/// The longest wait.
const LONGEST: Duration = limits::PIN_BACKOFF_MAX.default;
/// An entry that has been quiet for so long starts afresh.
const FORGET: Duration = limits::BACKOFF_FORGET.default;
/// Entries that are remembered. A flood of made-up pairs pushes out the oldest ones; each of those
/// had to be paid for with a password hash.
const CAPACITY: usize = 10_000;

/// Who tried to log in as whom; `None` stands for all accounts together.
type Key = (IpAddr, Option<OperatorId>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last: Tick,
    until: Tick,
}

/// Failed logins, in memory. A restart forgets them.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    entries: HashMap<Key, Entry>,
}

impl Lockout {
    /// How long this source must still wait before it may try this account again.
    pub(crate) fn wait(&self, source: IpAddr, account: &OperatorId, now: Tick) -> Option<Duration> {
        let keys = [key(source, Some(account)), key(source, None)];
        let entries = keys.iter().filter_map(|key| self.entries.get(key));
        let wait = entries.map(|entry| entry.until.since(now)).max()?;
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a failure; returns the wait it causes, if any.
    pub(crate) fn failed(
        &mut self,
        source: IpAddr,
        account: &OperatorId,
        now: Tick,
    ) -> Option<Duration> {
        let of_account = self.count(key(source, Some(account)), FREE, now);
        let of_source = self.count(key(source, None), FREE_OF_SOURCE, now);
        of_account.max(of_source)
    }

    /// Forgets the failures of a source that has logged in.
    pub(crate) fn succeeded(&mut self, source: IpAddr, account: &OperatorId) {
        self.entries.remove(&key(source, Some(account)));
        self.entries.remove(&key(source, None));
    }

    /// Counts a failure; the one numbered `free` and every later one cause a wait.
    fn count(&mut self, key: Key, free: u32, now: Tick) -> Option<Duration> {
        self.make_room(now);
        let fresh = Entry { failures: 0, last: now, until: now };
        let entry = self.entries.entry(key).or_insert(fresh);
        if now.since(entry.last) >= FORGET {
            *entry = fresh;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        let over = entry.failures.checked_sub(free)?;
        let wait = FIRST.saturating_mul(1 << over.min(10)).min(LONGEST);
        entry.until = now + wait;
        Some(wait)
    }

    fn make_room(&mut self, now: Tick) {
        if self.entries.len() < CAPACITY {
            return;
        }
        self.entries.retain(|_, entry| now.since(entry.last) < FORGET || now < entry.until);
        if self.entries.len() < CAPACITY {
            return;
        }
        let mut ages: Vec<Tick> = self.entries.values().map(|entry| entry.last).collect();
        let middle = ages.len() / 2;
        let (_, &mut median, _) = ages.select_nth_unstable(middle);
        self.entries.retain(|_, entry| entry.last > median);
    }
}

/// Sources whose attempt is being answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<BTreeSet<IpAddr>>>);

/// One source's turn; ends when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    source: IpAddr,
}

impl Turns {
    /// Gives the source its turn, unless it has one already.
    pub(crate) fn take(&self, source: IpAddr) -> Option<Turn> {
        let source = network(source);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(source).then(|| Turn { turns: self.clone(), source })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.source);
    }
}

fn key(source: IpAddr, account: Option<&OperatorId>) -> Key {
    (network(source), account.cloned())
}

/// One IPv6 subscriber has a whole /64; it counts as one source.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_lock_only_this_source_and_account() {
        let (here, there): (IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let (ann, bob) = (OperatorId::parse("ann").unwrap(), OperatorId::parse("bob").unwrap());
        let mut lockout = Lockout::default();
        for n in 0..2 {
            assert_eq!(lockout.failed(here, &ann, at(n)), None);
        }
        assert_eq!(lockout.failed(here, &ann, at(4)), Some(FIRST));
        assert_eq!(lockout.wait(here, &ann, at(4)), Some(FIRST));
        assert_eq!(lockout.wait(there, &ann, at(4)), None);
        assert_eq!(lockout.wait(here, &bob, at(4)), None);
        assert_eq!(lockout.wait(here, &ann, at(34)), None);
        assert_eq!(lockout.failed(here, &ann, at(34)), Some(FIRST * 2));
    }

    #[test]
    fn made_up_names_lock_their_source_and_no_other() {
        let (here, there): (IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let name = |n: u64| OperatorId::parse(&format!("u{n}")).unwrap();
        let mut lockout = Lockout::default();
        for n in 1..10 {
            assert_eq!(lockout.failed(here, &name(n), at(n)), None);
        }
        assert_eq!(lockout.failed(here, &name(10), at(10)), Some(FIRST));
        assert_eq!(lockout.wait(here, &name(11), at(10)), Some(FIRST));
        assert_eq!(lockout.wait(there, &name(11), at(10)), None);
        assert_eq!(lockout.failed(here, &name(11), at(40)), Some(FIRST * 2));
        let later = at(40) + FORGET;
        assert_eq!(lockout.failed(here, &name(12), later), None, "a quiet hour is forgiven");
    }

    #[test]
    fn the_wait_grows_to_a_limit() {
        let here = "10.0.0.1".parse().unwrap();
        let ann = OperatorId::parse("ann").unwrap();
        let mut lockout = Lockout::default();
        let waits: Vec<_> = (0..40).map(|n| lockout.failed(here, &ann, at(n))).collect();
        assert_eq!(waits.last(), Some(&Some(LONGEST)));
    }

    #[test]
    fn a_login_forgets_the_failures() {
        let here = "::1".parse().unwrap();
        let ann = OperatorId::parse("ann").unwrap();
        let mut lockout = Lockout::default();
        for n in 0..10 {
            lockout.failed(here, &ann, at(n));
        }
        lockout.succeeded("::2".parse().unwrap(), &ann);
        assert_eq!(lockout.wait(here, &ann, at(10)), None);
    }

    #[test]
    fn a_source_has_one_turn_at_a_time() {
        let turns = Turns::default();
        let (here, there) = ("fe80::1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let turn = turns.take(here).unwrap();
        assert!(turns.take("fe80::2".parse().unwrap()).is_none());
        assert!(turns.take(there).is_some());
        drop(turn);
        assert!(turns.take(here).is_some());
    }

    #[test]
    fn the_memory_is_bounded() {
        let ann = OperatorId::parse("ann").unwrap();
        let mut lockout = Lockout::default();
        for n in 0..3 * u32::try_from(CAPACITY).unwrap() {
            lockout.failed(IpAddr::V4(n.into()), &ann, at(u64::from(n) / 100));
        }
        assert!(lockout.entries.len() <= CAPACITY);
    }
}
