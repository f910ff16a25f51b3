//! Stopwatch and medians.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// What something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Wall clock.
    pub wall: Duration,
    /// CPU time of all threads of this process.
    pub cpu: Duration,
}

impl Cost {
    /// Without a part of it.
    #[must_use]
    pub fn less(self, part: Self) -> Self {
        Self { wall: self.wall.saturating_sub(part.wall), cpu: self.cpu.saturating_sub(part.cpu) }
    }
}

/// Measures from its making on.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// Starts.
    #[must_use]
    pub fn start() -> Self {
        let cpu = cpu_time();
        Self { wall: now(), cpu }
    }

    /// What it took since the start.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let wall = now().saturating_duration_since(self.wall);
        Cost { wall, cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

/// This instant.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

fn cpu_time() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread so far.
#[must_use]
pub fn thread_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Costs of the same work.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Cost>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    /// Runs `work` and adds what it took.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let watch = Stopwatch::start();
        let done = black_box(work());
        self.push(watch.cost());
        done
    }

    /// The median of each clock; zero without a sample.
    #[must_use]
    pub fn median(&self) -> Cost {
        let median = |clock: fn(&Cost) -> Duration| {
            let mut times: Vec<Duration> = self.0.iter().map(clock).collect();
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        Cost { wall: median(|cost| cost.wall), cpu: median(|cost| cost.cpu) }
    }
}

/// Runs each of `works` once a round, in turn, and returns their medians. The first tenth of the
/// rounds warms up and does not count.
pub fn in_turn<const N: usize>(rounds: usize, mut works: [&mut dyn FnMut(); N]) -> [Cost; N] {
    let mut samples = [(); N].map(|()| Samples::default());
    for round in 0..rounds + rounds / 10 + 1 {
        for (work, samples) in works.iter_mut().zip(&mut samples) {
            let watch = Stopwatch::start();
            work();
            let cost = watch.cost();
            if round > rounds / 10 {
                samples.push(cost);
            }
        }
    }
    samples.map(|samples| samples.median())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(micros: u64) -> Cost {
        let time = Duration::from_micros(micros);
        Cost { wall: time, cpu: time * 2 }
    }

    #[test]
    fn the_median_is_the_middle_one_of_each_clock() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), Cost::default());
        for micros in [900, 10, 30] {
            samples.push(cost(micros));
        }
        assert_eq!(samples.median(), cost(30));
    }

    #[test]
    fn a_part_is_taken_off_by_each_clock() {
        assert_eq!(cost(30).less(cost(10)), cost(20));
        assert_eq!(cost(10).less(cost(30)), Cost::default());
    }

    #[test]
    fn works_run_in_turn_and_equally_often() {
        let order = std::cell::RefCell::new(String::new());
        let costs = in_turn(
            20,
            [&mut || order.borrow_mut().push('a'), &mut || order.borrow_mut().push('b')],
        );
        assert_eq!(*order.borrow(), "ab".repeat(23));
        assert_eq!(costs.len(), 2);
    }
}
