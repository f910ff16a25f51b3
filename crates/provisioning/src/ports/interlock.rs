//! Patient safety comes first.

use async_trait::async_trait;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::Action;

/// Asked before the device enters provisioning, before it sends `commit` and before it flips to a
/// new certificate (D22): is this a moment at which the monitor may lose its station for a second?
///
/// **A false "clear"** may interrupt the surveillance of an admitted patient. **A false "active"**
/// delays the pairing: entering is refused with `interlock_active`, a finished test is not
/// committed, and an answered `commit` is asked again later (the station's record decides, D13).
/// Monitoring itself never asks.
#[async_trait]
pub trait ClinicalInterlock: Send + Sync {
    /// `Err` with [`ErrorCode::InterlockActive`] while a patient is admitted or an alarm is active.
    async fn check(&self, action: Action) -> Result<(), ErrorReport>;

    /// What an implementation answers while it is active.
    fn active() -> ErrorReport
    where
        Self: Sized,
    {
        ErrorReport::from(ErrorCode::InterlockActive)
    }
}

/// Never objects. For devices without a patient record, and for tests: choosing it is a statement
/// that no patient can be attached.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysClear;

#[async_trait]
impl ClinicalInterlock for AlwaysClear {
    async fn check(&self, _action: Action) -> Result<(), ErrorReport> {
        Ok(())
    }
}
