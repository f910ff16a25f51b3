//! One life of a simulated process: from power on to power off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a process still runs. Everything it does goes through ports, and the ports of a process
/// that has ended never answer: its tasks stand where they stood, and nobody hears of them again.
/// Clones share one life.
#[derive(Debug, Clone, Default)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    /// Power off, without a farewell.
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on at once, or never.
    pub async fn go_on(&self) {
        if self.is_over() {
            core::future::pending::<()>().await;
        }
    }
}
