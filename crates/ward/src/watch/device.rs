//! A device's records.

use zmon_domain::ids::Serial;
use zmon_protocol::device::{BootState, DeviceRecord, DeviceWrite, Slot};
use zmon_wire::configuration::ConfigurationDocument;

use super::{Inner, Known, Watch, rows};
use crate::lock;
use crate::store::DeviceMemory;

impl Watch {
    /// A record of a device has become durable.
    pub(crate) fn device(
        &self,
        index: usize,
        before: &DeviceMemory,
        after: &DeviceMemory,
        record: &DeviceRecord,
    ) {
        let mut inner = lock(&self.0);
        inner.counts.device_records += 1;
        for row in &record.audit {
            let error = row.error.map_or("", |code| code.as_str());
            inner.note(&format!("device {index} {} {error}", row.event.as_str()));
        }
        let mut boot = before.boot.clone();
        for write in &record.writes {
            let there: Vec<_> = record.audit.iter().map(|row| row.event).collect();
            let rows = rows::of_device(write);
            if !rows.is_empty() && !rows.iter().any(|row| there.contains(row)) {
                let there: Vec<_> = there.iter().map(|event| event.as_str()).collect();
                inner.broke(format!(
                    "device {index}: no audit row for {}, only {there:?}",
                    name(write)
                ));
            }
            inner.write(index, &boot, write, ends(record));
            // What the store could do, it has done.
            let _applied = boot.apply(write);
        }
        inner.slots(index, &before.boot, &after.boot, record);
    }

    /// What a start finds, held against what was durable before.
    pub(crate) fn loaded(&self, index: usize, boot: &BootState) {
        let mut inner = lock(&self.0);
        let Some(known) = inner.devices.get(index) else { return };
        if known.provisioned && boot.slot_a.is_none() {
            inner.broke(format!("device {index} has lost its slot over a restart"));
        } else if boot.generation < known.generation
            || boot.retire_counter < known.retire_counter
            || boot.recovery_counter < known.recovery_counter
        {
            inner.broke(format!("device {index}: a counter went back over a restart"));
        }
    }
}

impl Inner {
    fn known(&mut self, index: usize) -> Option<&mut Known> {
        self.devices.get_mut(index)
    }

    /// `ends`: the record wipes the device, and its statements end both certificates.
    fn write(&mut self, index: usize, boot: &BootState, write: &DeviceWrite, ends: bool) {
        match write {
            DeviceWrite::OpenWindow(window) => {
                let fresh = self.known(index).is_some_and(|known| known.opened.insert(*window));
                if !fresh {
                    self.broke(format!("device {index}: window {window} was open before"));
                }
            }
            DeviceWrite::ClaimWindow(window, session) => {
                let Some(known) = self.known(index) else { return };
                let by = *known.windows.entry(*window).or_insert(*session);
                let own = known.id.clone();
                if by != *session {
                    self.broke(format!("device {index}: window {window} was claimed twice"));
                }
                let tables = self.station.stable();
                let row = tables.sessions.get(session);
                if row.is_none_or(|row| row.device_id != own) {
                    self.broke(format!("device {index}: a stranger's session has claimed it"));
                }
            }
            DeviceWrite::StageB(slot) => self.stage(index, slot),
            DeviceWrite::DropB => {
                if let Some((slot, true)) = &boot.slot_b
                    && !ends
                    && self.is_committed(&slot.serial)
                {
                    let serial = slot.serial;
                    self.broke(format!("device {index} drops slot {serial}, which is committed"));
                }
            }
            DeviceWrite::Flip => {
                self.counts.flips += 1;
                let serial = boot.slot_b.as_ref().map(|(slot, _)| slot.serial);
                if !serial.is_some_and(|serial| self.is_committed(&serial)) {
                    self.broke(format!("device {index} flips without the station's commit"));
                }
            }
            DeviceWrite::QueueRetire(statement) => {
                let counter = statement.counter;
                self.rises(index, "statement", counter, |known| &mut known.retire_counter);
            }
            DeviceWrite::RaiseCounter(counter) => {
                self.rises(index, "recovery", *counter, |known| &mut known.recovery_counter);
            }
            _ => {}
        }
    }

    /// A counter is never used twice, over all lives of the device.
    fn rises(
        &mut self,
        index: usize,
        what: &str,
        counter: u64,
        of: impl FnOnce(&mut Known) -> &mut u64,
    ) {
        let Some(latest) = self.known(index).map(of) else { return };
        let rises = counter > *latest;
        *latest = counter.max(*latest);
        if !rises {
            self.broke(format!("device {index}: the {what} counter went back to {counter}"));
        }
    }

    /// Nothing is applied that the anchored station has not made for this device in this session.
    fn stage(&mut self, index: usize, slot: &Slot) {
        self.rises(index, "slot", slot.generation, |known| &mut known.generation);
        let Some(id) = self.known(index).map(|known| known.id.clone()) else { return };
        let tables = self.station.stable();
        let row = tables.certificates.get(&slot.serial);
        if !row.is_some_and(|row| row.device_id == id && row.session == slot.session_id) {
            self.broke(format!("device {index} stages what its station has not issued to it"));
        }
        let read = ConfigurationDocument::parse(slot.configuration.expose());
        let fits = read.is_ok_and(|document| {
            document.device_id == id && document.session_id == slot.session_id
        });
        if !fits {
            self.broke(format!("device {index} stages the configuration of another one"));
        }
    }

    fn slots(
        &mut self,
        index: usize,
        before: &BootState,
        after: &BootState,
        record: &DeviceRecord,
    ) {
        if before.slot_a.is_some() && after.slot_a.is_none() && !ends(record) {
            self.broke(format!("device {index} has neither slot"));
        }
        let floor_fell = before.floor.is_some() && after.floor < before.floor;
        if after.generation < before.generation
            || after.retire_counter < before.retire_counter
            || after.recovery_counter < before.recovery_counter
            || floor_fell
        {
            self.broke(format!("device {index}: a counter went back"));
        }
        if let Some(known) = self.known(index) {
            known.provisioned = after.slot_a.is_some();
        }
    }

    fn is_committed(&self, serial: &Serial) -> bool {
        let tables = self.station.stable();
        tables.certificates.get(serial).is_some_and(|row| row.committed_at.is_some())
    }
}

fn ends(record: &DeviceRecord) -> bool {
    let wipes =
        |write: &DeviceWrite| matches!(write, DeviceWrite::Deprovision | DeviceWrite::FactoryReset);
    record.writes.iter().any(wipes)
}

fn name(write: &DeviceWrite) -> String {
    let text = format!("{write:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
