//! What a record makes of storage: the one reading of every write, for stores that keep a
//! [`BootState`] whole.

use zmon_domain::error::ErrorCode;

use super::output::DeviceWrite;
use super::profile::BootState;

impl BootState {
    /// Carries out one write of a record. A store that has only one writer applies all of them to a
    /// copy and makes the copy durable together with the record's rows; the conditions of
    /// `ClaimWindow` and `SpendTry` (which window, how many tries) are for stores with more.
    ///
    /// # Errors
    /// `storage_corrupt` for a write that this state cannot have led to; the copy is to be dropped.
    pub fn apply(&mut self, write: &DeviceWrite) -> Result<(), ErrorCode> {
        let sound = match write {
            DeviceWrite::OpenWindow(_) => {
                self.window_open = true;
                true
            }
            DeviceWrite::ClaimWindow(..) | DeviceWrite::SpendTry(_) => self.window_open,
            DeviceWrite::CloseWindow => {
                self.window_open = false;
                true
            }
            DeviceWrite::StageB(slot) => {
                let rises = slot.generation > self.generation;
                self.generation = slot.generation;
                rises && self.slot_b.replace((slot.clone(), false)).is_none()
            }
            DeviceWrite::DropB => self.slot_b.take().is_some(),
            DeviceWrite::MarkCommitSent(session) => match &mut self.slot_b {
                Some((slot, sent)) => {
                    *sent = true;
                    slot.session_id == *session
                }
                None => false,
            },
            DeviceWrite::Flip => {
                self.deprovisioned = false;
                self.slot_a = self.slot_b.take().filter(|(_, sent)| *sent).map(|(slot, _)| slot);
                self.slot_a.is_some()
            }
            DeviceWrite::Deprovision => {
                (self.slot_a, self.slot_b, self.deprovisioned) = (None, None, true);
                true
            }
            DeviceWrite::QueueRetire(statement) => {
                let rises = statement.counter > self.retire_counter;
                self.retire_counter = statement.counter;
                self.retirements.push(statement.clone());
                rises
            }
            DeviceWrite::RetireDelivered(counter) => {
                self.retirements.retain(|statement| statement.counter != *counter);
                true
            }
            DeviceWrite::FactoryReset => {
                (self.slot_a, self.slot_b, self.deprovisioned) = (None, None, false);
                (self.window_open, self.migrating, self.erasing) = (false, false, true);
                true
            }
            DeviceWrite::NewIdentity => {
                self.new_identity = true;
                self.erasing
            }
            DeviceWrite::EraseDone => core::mem::take(&mut self.erasing),
            DeviceWrite::Migrating(begun) => {
                self.migrating = *begun;
                true
            }
            DeviceWrite::RememberSite(site, not_before) => {
                self.site_not_before.retain(|(known, _)| known != site);
                self.site_not_before.push((site.clone(), *not_before));
                true
            }
            DeviceWrite::RaiseCounter(counter) => {
                core::mem::replace(&mut self.recovery_counter, *counter) < *counter
            }
            DeviceWrite::RaiseFloor(floor) => {
                self.floor.replace(*floor).is_none_or(|old| old < *floor)
            }
        };
        sound.then_some(()).ok_or(ErrorCode::StorageCorrupt)
    }
}
