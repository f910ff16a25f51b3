//! Opening a batch: its manifest against the registry and the other batches, each row by itself.

use std::collections::BTreeMap;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{BatchId, BatchName};
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_wire::batch::{self, BatchRow as ManifestRow, BatchView, NumberedRow};

use super::{event, failed, item_event};
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    BatchItemRow, BatchRefusal, BatchRow, BatchWrite, DeviceRow, DeviceStatus, Refusal,
    StationWrite, Wanted,
};
use crate::station::Station;
use crate::station::certificates::RACES;

impl Station {
    /// `POST /api/batches`: opens a batch with a manifest, a JSON array or JSON lines. A bad row is an item
    /// that has failed, and spoils no other: one that breaks a rule, that does not agree with the registry,
    /// that names a device which another row or another open batch names too.
    ///
    /// # Errors
    /// `not_permitted`; `request_malformed`, `request_too_large` for a manifest of which no row can be
    /// read, `state_conflict` when other batches are opened all the time; storage errors.
    pub async fn open_batch(
        &self,
        proof: &OperatorProof,
        name: BatchName,
        manifest: &[u8],
    ) -> Result<BatchView, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::RunBatch, &now).await?;
        let rows = batch::parse(manifest)
            .map_err(|error| StationError::from(error.report(ErrorCode::RequestMalformed)))?;
        if let (true, Some((_, Err(first)))) =
            (rows.iter().all(|(_, row)| row.is_err()), rows.first())
        {
            return Err(first.clone().into());
        }
        let id = BatchId::generate(self.parts.entropy.generator().as_mut());
        let batch = BatchRow {
            id,
            name,
            state: BatchState::Open,
            operator: proof.id().clone(),
            opened_at: Self::wall(&now)?,
        };
        for _ in 0..RACES {
            let items = self.items(id, &rows).await?;
            let audit = opened(&actor, &batch, &items);
            let write = BatchWrite::Open(Box::new(batch.clone()), items.clone());
            match self.try_commit(&now, audit, vec![StationWrite::Batch(write)]).await? {
                Ok(()) => {
                    self.alarm_about(&items);
                    self.batch_moved(id);
                    return Ok(self.batch_view(batch, items));
                }
                // Another batch with one of these devices was faster: that row is bad by now.
                Err(Refusal::Batch(BatchRefusal::Elsewhere(_))) => {}
                Err(refusal) => return Err(Self::unexpected(&refusal)),
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    async fn items(
        &self,
        batch: BatchId,
        rows: &[NumberedRow],
    ) -> Result<Vec<BatchItemRow>, StationError> {
        let mut items = Vec::with_capacity(rows.len());
        for (number, row) in rows {
            items.push(match row {
                Ok(row) => self.item(batch, *number, row).await?,
                Err(detail) => bad(
                    item_row(batch, *number, &ManifestRow::default()),
                    ErrorReport::field(ErrorCode::RequestMalformed, detail.clone()),
                ),
            });
        }
        Ok(without_doubles(items))
    }

    /// One row against what the station knows of its device.
    async fn item(
        &self,
        batch: BatchId,
        number: u32,
        row: &ManifestRow,
    ) -> Result<BatchItemRow, StationError> {
        let mut item = item_row(batch, number, row);
        if let Some(device) = self.device_of_row(row).await? {
            if let Some(report) = disagrees(number, row, &device) {
                return Ok(bad(item, report));
            }
            (item.device_id, item.serial) = (Some(device.id), Some(device.serial));
        }
        let others = self.batch_items_of(&item).await?;
        if others.iter().any(BatchItemRow::keeps_device) {
            return Ok(bad(item, ErrorCode::DeviceInOtherBatch.into()));
        }
        Ok(item)
    }

    /// The registered device that a row names by either of its names.
    async fn device_of_row(&self, row: &ManifestRow) -> Result<Option<DeviceRow>, StationError> {
        let by_id = match &row.device_id {
            Some(id) => self.parts.store.device(id).await?,
            None => None,
        };
        Ok(match (by_id, &row.device_serial) {
            (None, Some(serial)) => self.parts.store.device_by_serial(serial).await?,
            (known, _) => known,
        })
    }

    async fn batch_items_of(&self, item: &BatchItemRow) -> Result<Vec<BatchItemRow>, StationError> {
        let (device, serial) = (item.device_id.as_ref(), item.serial.as_ref());
        Ok(self.parts.store.batch_items_of(device, serial).await?)
    }

    fn alarm_about(&self, items: &[BatchItemRow]) {
        for item in items.iter().filter(|item| item.error == Some(ErrorCode::DeviceKeyConflict)) {
            let device_id = item.device_id.clone();
            self.emit(StationEvent::Alarm { device_id, code: ErrorCode::DeviceKeyConflict });
        }
    }
}

fn opened(actor: &Actor, batch: &BatchRow, items: &[BatchItemRow]) -> Vec<AuditEvent> {
    let is_bad = |item: &&BatchItemRow| item.state == ItemState::Failed;
    let row = event(EventType::BatchOpened, actor, &batch.id)
        .with("name", &batch.name)
        .with("items", items.len())
        .with("badRows", items.iter().filter(is_bad).count());
    let conflicts = items.iter().filter(|item| item.error == Some(ErrorCode::DeviceKeyConflict));
    let conflicts = conflicts.map(|item| {
        failed(item_event(EventType::DeviceKeyConflict, actor, item), ErrorCode::DeviceKeyConflict)
    });
    core::iter::once(row).chain(conflicts).collect()
}

fn item_row(batch: BatchId, number: u32, row: &ManifestRow) -> BatchItemRow {
    BatchItemRow {
        batch,
        number,
        device_id: row.device_id.clone(),
        serial: row.device_serial.clone(),
        identity: row.identity_key,
        address: row.ip_address,
        port: row.port,
        wanted: Wanted {
            bed: row.bed_id.clone(),
            label: row.device_label.clone(),
            unit: row.measurement_unit,
            language: row.language,
            sync_interval: row.sync_interval,
        },
        state: ItemState::Waiting,
        attempts: 0,
        operator: None,
        session: None,
        begun_at: None,
        ended_at: None,
        error: None,
        detail: None,
    }
}

fn bad(mut item: BatchItemRow, report: ErrorReport) -> BatchItemRow {
    item.state = ItemState::Failed;
    item.error = Some(report.code);
    item.detail = report.detail;
    item
}

/// What a row says otherwise than the registry.
fn disagrees(number: u32, row: &ManifestRow, device: &DeviceRow) -> Option<ErrorReport> {
    let says = |code, name: &str, rule| {
        let field = FieldError::owned(format!("row {number}.{name}"), rule);
        Some(ErrorReport::field(code, field))
    };
    if row.device_id.as_ref().is_some_and(|id| *id != device.id) {
        let rule = "must be the registered one of its deviceSerial";
        return says(ErrorCode::RequestMalformed, "deviceId", rule);
    }
    if row.device_serial.as_ref().is_some_and(|serial| *serial != device.serial) {
        let rule = "must be the registered one of its deviceId";
        return says(ErrorCode::RequestMalformed, "deviceSerial", rule);
    }
    if row.identity_key.is_some_and(|key| key != device.identity) {
        let rule = "must be the registered key of the device";
        return says(ErrorCode::DeviceKeyConflict, "identityKey", rule);
    }
    let gone = device.status == DeviceStatus::Decommissioned;
    gone.then(|| ErrorCode::DeviceDecommissioned.into())
}

/// Two rows for one device contradict each other: neither is carried out.
fn without_doubles(mut items: Vec<BatchItemRow>) -> Vec<BatchItemRow> {
    let (mut ids, mut serials) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
    for item in items.iter().filter(|item| item.state == ItemState::Waiting) {
        if let Some(id) = item.device_id.clone() {
            *ids.entry(id).or_default() += 1;
        }
        if let Some(serial) = item.serial.clone() {
            *serials.entry(serial).or_default() += 1;
        }
    }
    let twice = |count: Option<&u32>| count.is_some_and(|count| *count > 1);
    for item in items.iter_mut().filter(|item| item.state == ItemState::Waiting) {
        let by_id = twice(item.device_id.as_ref().and_then(|id| ids.get(id)));
        if by_id || twice(item.serial.as_ref().and_then(|serial| serials.get(serial))) {
            let name = if by_id { "deviceId" } else { "deviceSerial" };
            let field = format!("row {}.{name}", item.number);
            let detail = FieldError::owned(field, "must be named by one row only");
            let report = ErrorReport::field(ErrorCode::RequestMalformed, detail);
            *item = bad(item.clone(), report);
        }
    }
    items
}
