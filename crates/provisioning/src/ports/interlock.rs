//! Patient safety comes first.

use async_trait::async_trait;
use zmon_domain::error::ErrorReport;

/// What is about to happen to the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Moment {
    /// A provisioning window opens; screens change, monitoring goes on.
    Enter,
    /// The station is asked to make the new certificate the current one.
    Commit,
    /// The device changes over to the new certificate: the link is cut and made again.
    Flip,
}

impl Moment {
    /// The word an adapter outside this program is told: `enter`, `commit` or `flip`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Commit => "commit",
            Self::Flip => "flip",
        }
    }
}

/// Asked before the device enters provisioning, before it sends `commit` and before it flips to a
/// new certificate (D22): is this a moment at which the monitor may lose its station for a second?
///
/// **A false "clear"** may interrupt the surveillance of an admitted patient. **A false "active"**
/// delays the pairing: entering is refused with `interlock_active`, a finished test is not
/// committed, and an answered `commit` is asked again later (the station's record decides, D13).
/// Monitoring itself never asks. Each call bounds its own time, and an answer that does not come or
/// cannot be understood is an objection.
#[async_trait]
pub trait ClinicalInterlock: Send + Sync {
    /// `Err` with [`InterlockActive`](zmon_domain::error::ErrorCode::InterlockActive) while a patient is admitted or an alarm is active.
    async fn check(&self, moment: Moment) -> Result<(), ErrorReport>;
}

/// Never objects. For devices without a patient record, and for tests: choosing it is a statement
/// that no patient can be attached.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysClear;

#[async_trait]
impl ClinicalInterlock for AlwaysClear {
    async fn check(&self, _moment: Moment) -> Result<(), ErrorReport> {
        Ok(())
    }
}
