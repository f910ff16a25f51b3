//! The clinical interlock, and an administrator's override of it (D22).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zmon_domain::error::ErrorReport;

use crate::ports::{ClinicalInterlock, Moment};

/// The interlock as service and driver ask it. While an override holds nobody asks.
#[derive(Clone)]
pub(crate) struct Gate {
    interlock: Arc<dyn ClinicalInterlock>,
    overridden: Arc<AtomicBool>,
}

impl Gate {
    pub(crate) fn new(interlock: Arc<dyn ClinicalInterlock>) -> Self {
        Self { interlock, overridden: Arc::default() }
    }

    pub(crate) async fn check(&self, moment: Moment) -> Result<(), ErrorReport> {
        if self.overridden.load(Ordering::Acquire) {
            return Ok(());
        }
        self.interlock.check(moment).await
    }

    /// Sets whether an override holds, and returns whether one did. Its row is durable before.
    pub(super) fn set_overridden(&self, overridden: bool) -> bool {
        self.overridden.swap(overridden, Ordering::AcqRel)
    }
}
