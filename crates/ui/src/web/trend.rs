//! Unanswered heartbeats by the minute, for the small curve of the status view ([W §9.2]).

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;
use zmon_domain::time::Tick;
use zmon_provisioning::link::LinkStatus;
use zmon_provisioning::ports::Clock;

/// Minutes that are shown.
const MINUTES: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// Errors of the last minutes, the present one last.
#[derive(Debug)]
pub(super) struct Trend {
    minutes: VecDeque<u32>,
    /// Where the present minute ends.
    turn: Tick,
    /// Errors counted so far.
    seen: u64,
}

impl Trend {
    /// Minutes without an error.
    pub(super) fn quiet() -> Vec<u32> {
        vec![0; MINUTES]
    }

    fn new(now: Tick) -> Self {
        Self { minutes: Self::quiet().into(), turn: now + MINUTE, seen: 0 }
    }

    /// Counts what is new in `errors`, a number that only grows.
    fn count(&mut self, errors: u64, now: Tick) {
        for _ in 0..MINUTES {
            if now < self.turn {
                break;
            }
            self.minutes.pop_front();
            self.minutes.push_back(0);
            self.turn = self.turn + MINUTE;
        }
        if now >= self.turn {
            // Nothing was seen for longer than is shown, as after a suspend.
            self.turn = now + MINUTE;
        }
        let new = u32::try_from(errors.saturating_sub(self.seen)).unwrap_or(u32::MAX);
        self.seen = errors;
        if let Some(minute) = self.minutes.back_mut() {
            *minute = minute.saturating_add(new);
        }
    }

    /// Follows `link` until the service is gone.
    pub(super) async fn watch(
        mut link: watch::Receiver<LinkStatus>,
        clock: Arc<dyn Clock>,
        shown: watch::Sender<Vec<u32>>,
    ) {
        let mut trend = Self::new(clock.now().mono);
        loop {
            let errors = link.borrow_and_update().errors;
            trend.count(errors, clock.now().mono);
            shown.send_if_modified(|minutes| {
                let changed = !minutes.iter().eq(&trend.minutes);
                *minutes = trend.minutes.iter().copied().collect();
                changed
            });
            tokio::select! {
                changed = link.changed() => if changed.is_err() { return },
                () = clock.sleep_until(trend.turn) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn errors_stand_in_the_minute_they_were_counted_in() {
        let mut trend = Trend::new(at(0));
        trend.count(2, at(59));
        trend.count(3, at(60));
        trend.count(3, at(150));
        assert_eq!(trend.minutes.len(), MINUTES);
        assert_eq!(trend.minutes.iter().rev().take(4).collect::<Vec<_>>(), [&0, &1, &2, &0]);
        trend.count(3, at(MINUTE.as_secs() * 100));
        trend.count(4, at(MINUTE.as_secs() * 100 + 59));
        assert_eq!(trend.minutes.iter().sum::<u32>(), 1);
        assert_eq!(trend.minutes.back(), Some(&1));
    }

    #[test]
    fn a_counter_that_begins_again_is_no_error() {
        let mut trend = Trend::new(at(0));
        trend.count(5, at(1));
        trend.count(0, at(2));
        trend.count(1, at(3));
        assert_eq!(trend.minutes.back(), Some(&6));
    }
}
