//! Disks that tear, lose and refuse: what is left of a write when the power goes.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Mutex as Turn, MutexGuard};
use tokio::time::sleep;

use crate::chance::Chance;
use crate::life::Life;
use crate::lock;

/// Sectors of one transaction: its pages, and the mark that makes it count.
const SECTORS: u32 = 4;

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// `ENOSPC`
    Full,
    /// `EIO`
    Broken,
}

/// Called once when a state has become durable.
pub type Seen = Box<dyn FnOnce() + Send>;

/// Where a store keeps its state, whole: a transaction is the next state.
#[async_trait]
pub trait Medium<S: Send + Sync>: Send + Sync {
    /// The one writer's turn: read, decide, write.
    async fn turn(&self) -> MutexGuard<'_, ()>;
    /// What a reader sees.
    fn read(&self) -> Arc<S>;
    /// Makes `next` durable; `seen` is called as soon as it is, even if nobody learns of it.
    async fn write(&self, next: S, seen: Seen) -> Result<(), DiskError>;
}

/// Memory that never fails.
#[derive(Debug, Default)]
pub struct Ram<S> {
    state: Mutex<Arc<S>>,
    turn: Turn<()>,
}

#[async_trait]
impl<S: Send + Sync> Medium<S> for Ram<S> {
    async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn read(&self) -> Arc<S> {
        Arc::clone(&lock(&self.state))
    }

    async fn write(&self, next: S, seen: Seen) -> Result<(), DiskError> {
        *lock(&self.state) = Arc::new(next);
        seen();
        Ok(())
    }
}

/// The instants of one transaction at which the power may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    /// Nothing has left the process.
    Before,
    /// Some sectors have.
    Torn,
    /// All have; none is synced.
    Unsynced,
    /// It is durable, and nobody knows.
    Synced,
}

impl Instant {
    /// Every instant, in order.
    pub const ALL: [Self; 4] = [Self::Before, Self::Torn, Self::Unsynced, Self::Synced];
}

/// How bad a disk is, in percent of its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wear {
    /// `ENOSPC` before anything is written.
    pub full: u8,
    /// `EIO`, before or after the sectors have left.
    pub broken: u8,
}

/// A disk: it outlives the process that writes to it.
pub struct Disk<S> {
    chance: Chance,
    inner: Mutex<Inner<S>>,
}

struct Inner<S> {
    stable: Arc<S>,
    unsynced: Option<Unsynced<S>>,
    wear: Wear,
    trap: Option<(u32, Instant)>,
}

/// A transaction on its way: `sectors` of it have been handed to the disk.
struct Unsynced<S> {
    next: Arc<S>,
    sectors: u32,
    seen: Seen,
}

impl<S: Send + Sync> Disk<S> {
    /// A disk with this on it.
    #[must_use]
    pub fn new(state: S, chance: Chance) -> Arc<Self> {
        let inner =
            Inner { stable: Arc::new(state), unsynced: None, wear: Wear::default(), trap: None };
        Arc::new(Self { chance, inner: Mutex::new(inner) })
    }

    /// What would be found after a power cut, as far as it is certain.
    #[must_use]
    pub fn stable(&self) -> Arc<S> {
        Arc::clone(&lock(&self.inner).stable)
    }

    /// Changes what is on it, behind the back of whoever wrote it.
    pub fn tamper(&self, change: impl FnOnce(&mut S))
    where
        S: Clone,
    {
        let mut inner = lock(&self.inner);
        change(Arc::make_mut(&mut inner.stable));
    }

    /// Changes how often it fails.
    pub fn wear(&self, wear: Wear) {
        lock(&self.inner).wear = wear;
    }

    /// The power goes at this instant of the `nth` transaction from now, counted from 0.
    pub fn trap(&self, nth: u32, instant: Instant) {
        lock(&self.inner).trap = Some((nth, instant));
    }

    /// Forgets a trap.
    pub fn disarm(&self) {
        lock(&self.inner).trap = None;
    }

    /// What was under way when the power went: of the sectors that were not synced each is there or
    /// not, in any order, and recovery takes a transaction only if all of it is there.
    pub fn recover(&self) {
        let mut inner = lock(&self.inner);
        inner.trap = None;
        let Some(Unsynced { next, sectors, seen }) = inner.unsynced.take() else { return };
        let lucky = self.chance.happens(50);
        let whole = sectors == SECTORS && (lucky || self.chance.below(1 << SECTORS) == 0);
        if whole {
            inner.stable = next;
            drop(inner);
            seen();
        }
    }

    /// Whether the trap of this transaction is set for this instant.
    fn springs(&self, instant: Instant) -> bool {
        let mut inner = lock(&self.inner);
        match inner.trap {
            Some((0, at)) if at == instant => {
                inner.trap = None;
                true
            }
            _ => false,
        }
    }

    fn count_down(&self) {
        let mut inner = lock(&self.inner);
        if let Some((nth, _)) = &mut inner.trap {
            *nth = nth.saturating_sub(1);
        }
    }
}

/// A disk in use by one life of its process.
pub struct Mounted<S> {
    disk: Arc<Disk<S>>,
    life: Life,
    turn: Turn<()>,
}

impl<S: Send + Sync> Mounted<S> {
    /// Mounts a disk.
    #[must_use]
    pub fn new(disk: &Arc<Disk<S>>, life: &Life) -> Self {
        Self { disk: Arc::clone(disk), life: life.clone(), turn: Turn::default() }
    }

    /// A little time, and perhaps the end.
    async fn at(&self, instant: Instant) {
        if self.disk.springs(instant) {
            self.life.end();
        }
        let pause = self.disk.chance.below(4);
        sleep(Duration::from_millis(pause)).await;
        self.life.go_on().await;
    }

    fn hand_over(&self, sectors: u32) {
        if let Some(unsynced) = &mut lock(&self.disk.inner).unsynced {
            unsynced.sectors = sectors;
        }
    }
}

#[async_trait]
impl<S: Send + Sync> Medium<S> for Mounted<S> {
    async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn read(&self) -> Arc<S> {
        self.disk.stable()
    }

    async fn write(&self, next: S, seen: Seen) -> Result<(), DiskError> {
        let chance = &self.disk.chance;
        self.at(Instant::Before).await;
        let wear = lock(&self.disk.inner).wear;
        if chance.happens(wear.full) {
            return Err(DiskError::Full);
        }
        lock(&self.disk.inner).unsynced = Some(Unsynced { next: Arc::new(next), sectors: 0, seen });
        let torn = u32::try_from(chance.below(u64::from(SECTORS))).unwrap_or(0);
        self.hand_over(torn);
        self.at(Instant::Torn).await;
        let broken = chance.happens(wear.broken);
        if broken && chance.happens(50) {
            return Err(DiskError::Broken);
        }
        self.hand_over(SECTORS);
        self.at(Instant::Unsynced).await;
        if broken {
            // The process is told that it failed; the sectors may be there all the same.
            return Err(DiskError::Broken);
        }
        let seen = {
            let mut inner = lock(&self.disk.inner);
            let Some(Unsynced { next, seen, .. }) = inner.unsynced.take() else {
                return Err(DiskError::Broken);
            };
            inner.stable = next;
            seen
        };
        seen();
        self.at(Instant::Synced).await;
        self.disk.count_down();
        Ok(())
    }
}
