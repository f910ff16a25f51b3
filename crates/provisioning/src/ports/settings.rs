//! Label, bed, unit and language, as the rest of the monitor sees them.

use tokio::sync::watch;
use zmon_domain::settings::DeviceSettings;

/// The monitor's settings that come with a configuration ([I §4.1], DOC-COMP-022).
///
/// They belong to slot A: they change in the commit that flips the slots and roll back with it, so
/// a screen never shows the bed of a configuration that was not installed. **A stale answer** puts
/// the wrong bed's name on an alarm.
pub trait SettingsManager: Send + Sync {
    /// The settings of the active configuration; `None` before the first one.
    fn current(&self) -> Option<DeviceSettings>;

    /// Sees every change after this call, the latest value first.
    fn subscribe(&self) -> watch::Receiver<Option<DeviceSettings>>;
}
