//! The network of the ward: it loses, delays, reorders, repeats and divides.

mod tape;

use core::time::Duration;
use std::sync::Mutex;

use tokio::time::{sleep, timeout};

use crate::chance::Chance;
use crate::lock;

pub(crate) use tape::{Answer, Tape, Taped};

/// How one device is connected to the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// Nothing goes through.
    pub cut: bool,
    /// Requests and answers that are lost, in percent.
    pub loss: u8,
    /// Longest delay of a message in milliseconds: with it, later ones overtake earlier ones.
    pub delay: u16,
    /// Requests that arrive twice, in percent.
    pub twice: u8,
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nobody listens there.
    Refused,
    /// The connection was cut.
    Cut,
    /// No answer in time.
    Late,
}

/// The lines of all devices.
pub(crate) struct Net {
    chance: Chance,
    lines: Mutex<Vec<Line>>,
}

impl Net {
    /// A calm network of so many devices.
    #[must_use]
    pub(crate) fn new(devices: usize, chance: Chance) -> Self {
        Self { chance, lines: Mutex::new(vec![Line::default(); devices]) }
    }

    /// Changes a line.
    pub(crate) fn set(&self, index: usize, change: impl FnOnce(&mut Line)) {
        if let Some(line) = lock(&self.lines).get_mut(index) {
            change(line);
        }
    }

    fn line(&self, index: usize) -> Line {
        lock(&self.lines).get(index).copied().unwrap_or_default()
    }

    async fn travel(&self, index: usize) {
        let longest = u64::from(self.line(index).delay);
        // Most messages are quick on a slow line too: that is what changes their order.
        let longest = if self.chance.happens(60) { longest.min(5) } else { longest };
        sleep(Duration::from_millis(self.chance.below(longest + 1))).await;
    }

    /// Whether the line swallows this message, and whether anybody notices before it is late.
    async fn swallows(&self, index: usize) -> Option<Broken> {
        let line = self.line(index);
        if !line.cut && !self.chance.happens(line.loss) {
            return None;
        }
        if self.chance.happens(50) {
            core::future::pending::<()>().await;
        }
        Some(Broken::Cut)
    }

    /// Carries a request over a line and its answer back, within `bound`. `handle` is the other side:
    /// it may be called twice, and its work goes on if the asker goes away.
    ///
    /// # Errors
    /// Why there is no answer; the request may have been handled all the same.
    pub(crate) async fn carry<T, F>(
        &self,
        index: usize,
        bound: Duration,
        handle: impl Fn() -> Option<F> + Send + Sync,
    ) -> Result<T, Broken>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let there_and_back = async {
            if let Some(broken) = self.swallows(index).await {
                return Err(broken);
            }
            self.travel(index).await;
            let work = handle().ok_or(Broken::Refused)?;
            if self.chance.happens(self.line(index).twice)
                && let Some(again) = handle()
            {
                let late = Duration::from_millis(self.chance.below(2_000));
                drop(tokio::spawn(async move {
                    sleep(late).await;
                    drop(again.await);
                }));
            }
            let answer = tokio::spawn(work).await.map_err(|_| Broken::Cut)?;
            if let Some(broken) = self.swallows(index).await {
                return Err(broken);
            }
            self.travel(index).await;
            Ok(answer)
        };
        timeout(bound, there_and_back).await.unwrap_or(Err(Broken::Late))
    }
}
