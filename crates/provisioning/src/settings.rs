//! The settings of the active slot.

use tokio::sync::watch;
use zmon_domain::settings::DeviceSettings;

use crate::ports::SettingsManager;

/// A [`SettingsManager`] that follows the active slot of a service: it changes after the commit
/// that flipped the slots, and never without one.
#[derive(Debug, Clone)]
pub struct SlotSettings(watch::Receiver<Option<DeviceSettings>>);

impl SlotSettings {
    pub(crate) fn new(settings: watch::Receiver<Option<DeviceSettings>>) -> Self {
        Self(settings)
    }
}

impl SettingsManager for SlotSettings {
    fn current(&self) -> Option<DeviceSettings> {
        self.0.borrow().clone()
    }

    fn subscribe(&self) -> watch::Receiver<Option<DeviceSettings>> {
        let mut receiver = self.0.clone();
        receiver.mark_changed();
        receiver
    }
}
