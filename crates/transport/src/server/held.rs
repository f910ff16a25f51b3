//! Answers that come at fixed instants after their request (D24).

#![expect(
    clippy::disallowed_methods,
    reason = "the time limits of a connection run on tokio's timers"
)]

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use tokio::time::Instant;

/// When the part of a request that is read had arrived, as a request extension: its head at first.
#[derive(Debug, Clone)]
pub(crate) struct Arrival(Arc<Mutex<Instant>>);

impl Arrival {
    /// The head has arrived.
    pub(super) fn begin() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// The arrival of `request`.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::begin)
    }

    /// The body has arrived too.
    pub(crate) fn complete(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn instant(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As a response extension: the answer is held until whole steps have passed since the arrival, so
/// that the time of its making does not show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    step: Duration,
}

impl Held {
    /// Held until the first multiple of `step`, one at least, that is not over.
    pub(crate) const fn to_steps_of(step: Duration) -> Self {
        Self { step }
    }

    fn due(self, since: Duration) -> Duration {
        let mut due = self.step;
        while due < since && !self.step.is_zero() {
            due = due.saturating_add(self.step);
        }
        due
    }
}

/// Until when `response` is to be held.
pub(super) fn until<B>(response: &Response<B>, arrival: &Arrival) -> Option<Instant> {
    let held = response.extensions().get::<Held>()?;
    let arrived = arrival.instant();
    Some(arrived + held.due(arrived.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_due_at_the_next_step() {
        let ms = Duration::from_millis;
        let held = Held::to_steps_of(ms(250));
        for (since, due) in [(0, 250), (1, 250), (250, 250), (251, 500), (999, 1000)] {
            assert_eq!(held.due(ms(since)), ms(due), "{since}");
        }
        assert!(Held::to_steps_of(ms(0)).due(ms(9)).is_zero());
    }
}
