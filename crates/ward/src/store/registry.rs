//! The registry's import: all rows or none, and every clash by name (D9).

use zmon_domain::ids::DeviceId;
use zmon_station::ports::{DeviceRow, ImportConflict, ImportConflictKind, Refusal};

use super::tables::Tables;

impl Tables {
    pub(super) fn import(&mut self, rows: &[DeviceRow]) -> Result<(), Refusal> {
        let mut conflicts = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            if let Some((kind, existing)) = self.conflict(row) {
                conflicts.push(ImportConflict { index, kind, existing });
                continue;
            }
            let old = self.devices.entry(row.id.clone()).or_insert_with(|| row.clone());
            old.model = row.model.clone().or(old.model.take());
            old.bed = row.bed.clone().or(old.bed.take());
            old.label = row.label.clone().or(old.label.take());
            old.unit = row.unit.or(old.unit);
            old.language = row.language.or(old.language);
            old.sync_interval = row.sync_interval.or(old.sync_interval);
        }
        if conflicts.is_empty() { Ok(()) } else { Err(Refusal::DeviceConflicts(conflicts)) }
    }

    fn conflict(&self, row: &DeviceRow) -> Option<(ImportConflictKind, DeviceId)> {
        if let Some(old) = self.devices.get(&row.id) {
            if old.identity != row.identity {
                return Some((ImportConflictKind::IdUnderOtherKey, old.id.clone()));
            }
            if old.serial != row.serial {
                return Some((ImportConflictKind::IdSerialMismatch, old.id.clone()));
            }
            return None;
        }
        let by_serial = self.devices.values().find(|old| old.serial == row.serial);
        if let Some(old) = by_serial {
            let kind = if old.identity == row.identity {
                ImportConflictKind::IdSerialMismatch
            } else {
                ImportConflictKind::SerialUnderOtherKey
            };
            return Some((kind, old.id.clone()));
        }
        let by_key = self.devices.values().find(|old| old.identity == row.identity)?;
        Some((ImportConflictKind::KeyOfOtherDevice, by_key.id.clone()))
    }
}
