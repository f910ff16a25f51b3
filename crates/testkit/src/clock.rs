//! Time that stands still until a test moves it.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};

/// Longer than every pause between retries of a pairing, shorter than every other deadline.
pub const RETRIES: Duration = Duration::from_secs(3);

/// Longer than the first four pauses of a device in doubt, shorter than its wait for one answer: time
/// that passes faster than a real answer travels would be a time-out.
pub const DOUBT: Duration = Duration::from_secs(26);

/// Step of a running clock.
const BEAT: Duration = Duration::from_millis(20);

/// What a real answer may need on one machine.
const TRAVEL: Duration = Duration::from_millis(5);

/// Virtual time beside real sockets: both clocks move only when a test says so, and whoever sleeps
/// wakes when its deadline is passed. Time-outs of sockets stay real. Clones share one time; a
/// station and its devices share one clock unless told otherwise.
///
/// (The runtime's own paused time is of no use with sockets: it jumps to the next timer whenever
/// everybody waits for the network.)
#[derive(Clone)]
pub struct TestClock(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Counts changes of time and of who sleeps.
    changed: watch::Sender<u64>,
}

struct State {
    mono: Duration,
    wall_at_zero: i64,
    quality: ClockQuality,
    /// What TLS goes by without a wall clock (D14).
    floor: Option<UnixTime>,
    sleepers: BTreeMap<u64, Duration>,
    next_id: u64,
}

impl TestClock {
    /// A synchronised clock at `unix` seconds.
    #[must_use]
    pub fn starting_at(unix: i64) -> Self {
        let state = State {
            mono: Duration::ZERO,
            wall_at_zero: unix,
            quality: ClockQuality::Synced,
            floor: None,
            sleepers: BTreeMap::new(),
            next_id: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: watch::Sender::new(0) }))
    }

    /// A synchronised clock at the date of this run, for programs beside it that read the machine's clock.
    #[must_use]
    pub fn today() -> Self {
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(i64::try_from(since.as_secs()).unwrap_or(0))
    }

    /// A clock of its own that shows the same time; from now on each moves alone.
    #[must_use]
    pub fn apart(&self) -> Self {
        let state = self.lock();
        let apart = Self::starting_at(state.wall_at_zero);
        let mut new = apart.lock();
        new.mono = state.mono;
        (new.quality, new.floor) = (state.quality, state.floor);
        drop(new);
        apart
    }

    /// One sample of both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let State { mono, wall_at_zero, quality, .. } = *self.lock();
        let millis = i64::try_from(mono.as_millis()).unwrap_or(i64::MAX);
        let millis = wall_at_zero.saturating_mul(1000).saturating_add(millis);
        let known = quality != ClockQuality::None;
        Now {
            mono: Tick::new(mono),
            wall: UnixTime::from_unix(millis.div_euclid(1000)).filter(|_| known),
            quality,
            millis: Some(millis).filter(|_| known),
        }
    }

    /// The time at which the certificates of TLS peers are checked: the wall clock, else the floor.
    #[must_use]
    pub fn tls_time(&self) -> Option<UnixTime> {
        self.now().wall.or(self.lock().floor)
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        self.lock().mono += duration;
        self.bump();
    }

    /// Lets virtual time run beside real time until the guard is dropped: for programs that have
    /// clocks of their own.
    #[must_use]
    pub fn run(&self) -> RunningTime {
        self.run_by(BEAT)
    }

    /// The same in steps of `beat`: each of them wakes everybody who sleeps, which for hundreds of devices is
    /// work.
    #[must_use]
    pub fn run_by(&self, beat: Duration) -> RunningTime {
        let clock = self.clone();
        let task = tokio::spawn(async move {
            let mut before = tokio::time::Instant::now();
            loop {
                tokio::time::sleep(beat).await;
                let now = tokio::time::Instant::now();
                clock.advance(now - before);
                before = now;
            }
        });
        RunningTime(task.abort_handle())
    }

    /// Steps the wall clock by `seconds`, negative: backwards; deadlines do not notice.
    pub fn step_wall(&self, seconds: i64) {
        self.lock().wall_at_zero += seconds;
        self.bump();
    }

    /// Changes what the clock claims to know; `None` takes the wall clock away.
    pub fn set_quality(&self, quality: ClockQuality) {
        self.lock().quality = quality;
        self.bump();
    }

    /// Waits until somebody sleeps for at most `within`, and lets that time pass. Cancel-safe.
    pub async fn pass(&self, within: Duration) {
        let mut changed = self.0.changed.subscribe();
        loop {
            let due = {
                let state = self.lock();
                let first = state.sleepers.values().min().copied();
                first.map(|first| first.saturating_sub(state.mono)).filter(|left| *left <= within)
            };
            if let Some(left) = due {
                self.advance(left);
                // Whoever slept runs first.
                tokio::task::yield_now().await;
                return;
            }
            // The sender lives as long as this clock.
            drop(changed.changed().await);
        }
    }

    /// Runs `future` and lets every pause of at most `within` pass meanwhile: retries and back-off,
    /// but no window's end. Between two of them real answers get a little real time to travel.
    pub async fn hurry<T>(&self, within: Duration, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                () = async {
                    self.pass(within).await;
                    tokio::time::sleep(TRAVEL).await;
                } => {}
            }
        }
    }

    fn bump(&self) {
        self.0.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep(&self, deadline: Tick) {
        let mut changed = self.0.changed.subscribe();
        let asleep = Asleep::new(self, deadline.elapsed());
        while self.lock().mono < deadline.elapsed() {
            drop(changed.changed().await);
        }
        drop(asleep);
    }
}

/// Virtual time runs while this lives.
pub struct RunningTime(AbortHandle);

impl Drop for RunningTime {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A place in the list of sleepers, given up when dropped.
struct Asleep<'a>(&'a TestClock, u64);

impl<'a> Asleep<'a> {
    fn new(clock: &'a TestClock, until: Duration) -> Self {
        let mut state = clock.lock();
        let id = state.next_id;
        state.next_id += 1;
        if until > state.mono {
            state.sleepers.insert(id, until);
        }
        drop(state);
        clock.bump();
        Self(clock, id)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.lock().sleepers.remove(&self.1);
    }
}

#[async_trait]
impl zmon_provisioning::ports::Clock for TestClock {
    fn now(&self) -> Now {
        Self::now(self)
    }

    async fn sleep_until(&self, deadline: Tick) {
        self.sleep(deadline).await;
    }

    fn raise_floor(&self, floor: UnixTime) {
        let mut state = self.lock();
        state.floor = state.floor.max(Some(floor));
    }

    fn tls_time(&self) -> Option<UnixTime> {
        Self::tls_time(self)
    }
}

#[async_trait]
impl zmon_station::ports::Clock for TestClock {
    fn now(&self) -> Now {
        Self::now(self)
    }

    async fn sleep_until(&self, deadline: Tick) {
        self.sleep(deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_stands_still_and_sleepers_wake_in_order() {
        let clock = TestClock::starting_at(1_000);
        assert_eq!(clock.now(), clock.now());
        let (one, two) = (Tick::new(Duration::from_secs(1)), Tick::new(Duration::from_secs(20)));
        let sleeper = clock.clone();
        let slept = tokio::spawn(async move {
            sleeper.sleep(one).await;
            sleeper.sleep(two).await;
            sleeper.now().mono
        });
        clock.pass(Duration::from_secs(1)).await;
        assert_eq!(clock.now().mono, one);
        clock.pass(Duration::from_secs(30)).await;
        assert_eq!(slept.await.unwrap(), two);
        assert_eq!(clock.now().wall.unwrap().unix(), 1_020);
    }

    #[tokio::test]
    async fn hurry_skips_short_pauses_only() {
        let clock = TestClock::starting_at(0);
        let short = Tick::new(Duration::from_millis(500));
        let work = async { clock.sleep(short).await };
        clock.hurry(Duration::from_secs(1), work).await;
        assert_eq!(clock.now().mono, short);
        let long = async { clock.sleep(Tick::new(Duration::from_secs(600))).await };
        tokio::select! {
            biased;
            () = clock.hurry(Duration::from_secs(1), long) => panic!("ten minutes passed"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[test]
    fn a_clock_without_quality_has_no_date() {
        let clock = TestClock::starting_at(5);
        let apart = clock.apart();
        clock.set_quality(ClockQuality::None);
        assert_eq!((clock.now().wall, clock.now().millis), (None, None));
        assert_eq!(apart.now().wall, UnixTime::from_unix(5));
        apart.step_wall(-2);
        assert_eq!(apart.now().wall, UnixTime::from_unix(3));
    }
}
