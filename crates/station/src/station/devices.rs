//! The registry of devices (D9).

use std::collections::BTreeMap;

use zmon_crypto::x509::trust_level_of;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{BedId, DeviceId};
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::time::{Now, UnixTime};
use zmon_wire::admin::{self, Done, ImportAnswer};
use zmon_wire::fleet::DeviceStanding;
use zmon_wire::kind::True;
use zmon_wire::manifest::{self, ManifestRow};

use super::Station;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    CertificateState, DeviceRow, DeviceStatus, ImportConflict, ImportConflictKind, Refusal,
    StationWrite,
};

/// Why an import took nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ImportRefusal {
    /// The refusal as a whole.
    pub error: StationError,
    /// Every row at fault, in order; empty when the rows were not looked at.
    pub faults: Vec<ImportFault>,
}

/// What is wrong with one row of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportFault {
    /// Position in the import, from 0.
    pub index: usize,
    /// The device in the row.
    pub device_id: DeviceId,
    /// The cause, with field and rule.
    pub report: ErrorReport,
    /// The registered device it clashes with, if any.
    pub existing: Option<DeviceId>,
}

impl From<StationError> for ImportRefusal {
    fn from(error: StationError) -> Self {
        Self { error, faults: Vec::new() }
    }
}

impl Station {
    /// Lays down devices: a manifest as JSON array or JSON lines, all of it or nothing.
    ///
    /// # Errors
    /// `not_permitted`; `request_malformed` naming row and field, `device_key_conflict` when an id, a
    /// serial number or a key is registered otherwise, both with every row at fault; storage errors.
    pub async fn import(
        &self,
        proof: &OperatorProof,
        manifest: &[u8],
    ) -> Result<ImportAnswer, ImportRefusal> {
        let now = self.now();
        let actor = self.authorise(proof, Action::ImportRegistry, &now).await?;
        let rows = manifest::parse_numbered(manifest)
            .map_err(|error| StationError::from(error.report(ErrorCode::RequestMalformed)))?;
        let (numbers, rows): (Vec<usize>, Vec<ManifestRow>) = rows.into_iter().unzip();
        let faults = duplicates(&rows);
        if !faults.is_empty() {
            return self.refuse_import(&now, actor, numbered(faults, &numbers)).await;
        }
        let at = Self::wall(&now)?;
        let rows: Vec<DeviceRow> = rows.into_iter().map(|row| registered(row, at)).collect();
        let answer = self.compare(&rows).await?;
        let event = AuditEvent::new(EventType::RegistryImported, actor.clone())
            .with("added", answer.added)
            .with("changed", answer.changed)
            .with("unchanged", answer.unchanged);
        let write = StationWrite::ImportDevices(rows.clone());
        match self.try_commit(&now, vec![event], vec![write]).await? {
            Ok(()) => {
                self.emit(StationEvent::RegistryChanged);
                Ok(answer)
            }
            Err(Refusal::DeviceConflicts(conflicts)) => {
                let faults = conflicts.into_iter().filter_map(|c| clash(&rows, c)).collect();
                self.refuse_import(&now, actor, numbered(faults, &numbers)).await
            }
            Err(refusal) => Err(Self::unexpected(&refusal).into()),
        }
    }

    /// Lets a device begin a new audit log: what it has shown of the old one is forgotten, so that a
    /// device whose log was lost is not refused for ever (D16). Whether it was lost or set back, the
    /// administrator has found out.
    ///
    /// # Errors
    /// `not_permitted`, `device_unknown`, storage errors.
    pub async fn accept_audit_log(
        &self,
        proof: &OperatorProof,
        id: &DeviceId,
    ) -> Result<Done, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::AcceptAuditLog, &now).await?;
        let event = EventType::AuditRestartAccepted;
        if self.parts.store.device(id).await?.is_none() {
            let code = ErrorCode::DeviceUnknown;
            let row = AuditEvent::failed(event, actor, code).device(id);
            self.commit_all(&now, vec![row], Vec::new()).await?;
            return Err(code.into());
        }
        let row = AuditEvent::new(event, actor).device(id);
        let write = StationWrite::ForgetPeerCheckpoint { device_id: id.clone() };
        self.commit_all(&now, vec![row], vec![write]).await?;
        Ok(Done::default())
    }

    /// One device.
    ///
    /// # Errors
    /// `device_unknown`, `not_permitted`, storage errors.
    pub async fn device(
        &self,
        proof: &OperatorProof,
        id: &DeviceId,
    ) -> Result<admin::DeviceRow, StationError> {
        self.authorise(proof, Action::ReadRegistry, &self.now()).await?;
        let row = self.parts.store.device(id).await?.ok_or(ErrorCode::DeviceUnknown)?;
        self.listed(row).await
    }

    /// Who has a bed now, by device id; nobody is no error.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn devices_at_bed(
        &self,
        proof: &OperatorProof,
        bed: &BedId,
    ) -> Result<Vec<admin::DeviceRow>, StationError> {
        self.authorise(proof, Action::ReadRegistry, &self.now()).await?;
        let mut listed = Vec::new();
        for row in self.parts.store.devices_at_bed(bed).await? {
            if row.status == DeviceStatus::Active {
                listed.push(self.listed(row).await?);
            }
        }
        Ok(listed)
    }

    pub(super) async fn listed(&self, row: DeviceRow) -> Result<admin::DeviceRow, StationError> {
        let state = CertificateState::Current;
        let current = self.parts.store.certificates_of_device(&row.id, state).await?.pop();
        let (last_seen, link) = self.link_view(&row, &self.now()).unzip();
        Ok(admin::DeviceRow {
            status: match row.status {
                DeviceStatus::Active => DeviceStanding::Active,
                DeviceStatus::Decommissioned => DeviceStanding::Decommissioned,
            },
            last_seen,
            link,
            device_id: row.id,
            device_serial: row.serial,
            identity_key: row.identity,
            model: row.model,
            ip_address: row.address,
            port: row.port,
            bed_id: row.bed,
            device_label: row.label,
            provisioned: current.is_some(),
            certificate: current.as_ref().map(|current| current.serial),
            certificate_not_after: current.as_ref().map(|current| current.not_after),
            // What it says is read, not kept: there is one place where it stands.
            trust_level: current.and_then(|current| trust_level_of(&current.der).ok().flatten()),
        })
    }

    async fn compare(&self, rows: &[DeviceRow]) -> Result<ImportAnswer, StationError> {
        let mut answer = ImportAnswer { success: True, added: 0, changed: 0, unchanged: 0 };
        for row in rows {
            let counted = match self.parts.store.device(&row.id).await? {
                None => &mut answer.added,
                Some(old) if changes(&old, row) => &mut answer.changed,
                Some(_) => &mut answer.unchanged,
            };
            *counted = counted.saturating_add(1);
        }
        Ok(answer)
    }

    /// Writes every row at fault down, and raises an alarm for each known name under another key.
    async fn refuse_import<T>(
        &self,
        now: &Now,
        actor: Actor,
        faults: Vec<ImportFault>,
    ) -> Result<T, ImportRefusal> {
        let mut rows = Vec::new();
        for fault in &faults {
            let code = fault.report.code;
            let event = if code == ErrorCode::DeviceKeyConflict {
                EventType::DeviceKeyConflict
            } else {
                EventType::RegistryImported
            };
            rows.push(
                AuditEvent::failed(event, actor.clone(), code)
                    .device(&fault.device_id)
                    .with("row", fault.index),
            );
        }
        self.commit_all(now, rows, Vec::new()).await?;
        for fault in faults.iter().filter(|f| f.report.code == ErrorCode::DeviceKeyConflict) {
            self.emit(StationEvent::Alarm {
                device_id: Some(fault.device_id.clone()),
                code: fault.report.code,
            });
        }
        let report = faults
            .iter()
            .find(|fault| fault.report.code == ErrorCode::DeviceKeyConflict)
            .or(faults.first())
            .map_or(ErrorReport::new(ErrorCode::RequestMalformed), |fault| fault.report.clone());
        Err(ImportRefusal { error: report.into(), faults })
    }
}

/// Rows that repeat an id, a serial number or a key of an earlier row.
fn duplicates(rows: &[ManifestRow]) -> Vec<ImportFault> {
    let (mut ids, mut serials, mut keys) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut faults = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let id = ids.insert(row.device_id.clone(), index).map(|_| "deviceId");
        let serial = serials.insert(row.device_serial.clone(), index).map(|_| "deviceSerial");
        let key = keys.insert(row.identity_key, index).map(|_| "identityKey");
        if let Some(field) = id.or(serial).or(key) {
            let rule = "must not repeat an earlier row";
            faults.push(fault(
                row.device_id.clone(),
                index,
                ErrorCode::RequestMalformed,
                field,
                rule,
            ));
        }
    }
    faults
}

fn clash(rows: &[DeviceRow], conflict: ImportConflict) -> Option<ImportFault> {
    let row = rows.get(conflict.index)?;
    let (code, field, rule) = match conflict.kind {
        ImportConflictKind::IdUnderOtherKey => {
            (ErrorCode::DeviceKeyConflict, "deviceId", "must not be registered under another key")
        }
        ImportConflictKind::SerialUnderOtherKey => (
            ErrorCode::DeviceKeyConflict,
            "deviceSerial",
            "must not be registered under another key",
        ),
        ImportConflictKind::KeyOfOtherDevice => (
            ErrorCode::DeviceKeyConflict,
            "identityKey",
            "must not be registered for another device",
        ),
        ImportConflictKind::IdSerialMismatch => (
            ErrorCode::RequestMalformed,
            "deviceSerial",
            "must be the registered one of its deviceId",
        ),
    };
    let fault = fault(row.id.clone(), conflict.index, code, field, rule);
    Some(ImportFault { existing: Some(conflict.existing), ..fault })
}

fn fault(
    device_id: DeviceId,
    index: usize,
    code: ErrorCode,
    field: &'static str,
    rule: &'static str,
) -> ImportFault {
    let report = ErrorReport::field(code, FieldError::new(field, rule));
    ImportFault { index, device_id, report, existing: None }
}

/// The faults with the rows as their author counts them: `row 3.deviceId`.
fn numbered(mut faults: Vec<ImportFault>, numbers: &[usize]) -> Vec<ImportFault> {
    for fault in &mut faults {
        let row = numbers.get(fault.index).copied().unwrap_or(fault.index + 1);
        let named = |detail: FieldError| {
            let field = format!("row {row}.{}", detail.field());
            detail.at(field)
        };
        fault.report.detail = fault.report.detail.take().map(named);
    }
    faults
}

fn registered(row: ManifestRow, at: UnixTime) -> DeviceRow {
    DeviceRow {
        id: row.device_id,
        serial: row.device_serial,
        identity: row.identity_key,
        status: DeviceStatus::Active,
        model: row.model,
        address: row.ip_address,
        port: row.port,
        bed: row.bed_id,
        label: row.device_label,
        unit: row.measurement_unit,
        language: row.language,
        sync_interval: row.sync_interval,
        registered_at: at,
    }
}

fn changes(old: &DeviceRow, new: &DeviceRow) -> bool {
    fn differs<T: PartialEq>(old: Option<&T>, new: Option<&T>) -> bool {
        new.is_some() && new != old
    }
    differs(old.model.as_ref(), new.model.as_ref())
        || differs(old.address.as_ref(), new.address.as_ref())
        || differs(old.port.as_ref(), new.port.as_ref())
        || differs(old.bed.as_ref(), new.bed.as_ref())
        || differs(old.label.as_ref(), new.label.as_ref())
        || differs(old.unit.as_ref(), new.unit.as_ref())
        || differs(old.language.as_ref(), new.language.as_ref())
        || differs(old.sync_interval.as_ref(), new.sync_interval.as_ref())
}
