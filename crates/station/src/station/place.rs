//! A device is carried to another bed, or gets another label.

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_domain::role::{Action, OperatorProof};
use zmon_wire::admin;
use zmon_wire::fleet::PlaceRequest;

use super::Station;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{DeviceStatus, StationWrite};

impl Station {
    /// `POST /api/registry/devices/{deviceId}/place`: where the registry says the device stands. The
    /// device itself is told with its next configuration: at its renewal, or when it is paired again.
    /// Saying it again changes nothing.
    ///
    /// # Errors
    /// `not_permitted`, `device_unknown`, `device_decommissioned`, storage errors.
    pub async fn move_device(
        &self,
        proof: &OperatorProof,
        device: &DeviceId,
        place: PlaceRequest,
    ) -> Result<admin::DeviceRow, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::MoveDevice, &now).await?;
        let known = self.parts.store.device(device).await?;
        let active = known.as_ref().map(|row| row.status == DeviceStatus::Active);
        let refused = match active {
            None => Some(ErrorCode::DeviceUnknown),
            Some(false) => Some(ErrorCode::DeviceDecommissioned),
            Some(true) => None,
        };
        if let Some(code) = refused {
            let row = AuditEvent::failed(EventType::DeviceMoved, actor, code).device(device);
            return self.refuse(&now, row, code.into()).await;
        }
        let PlaceRequest { bed_id: bed, device_label: label } = place;
        let mut row = known.ok_or(ErrorCode::DeviceUnknown)?;
        if row.bed != bed || row.label != label {
            let mut event = AuditEvent::new(EventType::DeviceMoved, actor).device(device);
            let from = row.bed.as_ref().map(|bed| ("from", bed.to_string()));
            let to = bed.as_ref().map(|bed| ("to", bed.to_string()));
            let named = label.as_ref().map(|label| ("label", label.to_string()));
            for (name, text) in from.into_iter().chain(to).chain(named) {
                event = event.with(name, text);
            }
            let (device_id, bed, label) = (device.clone(), bed, label);
            (row.bed, row.label) = (bed.clone(), label.clone());
            let write = StationWrite::Place { device_id, bed, label };
            self.commit_all(&now, vec![event], vec![write]).await?;
            self.emit(StationEvent::RegistryChanged);
        }
        self.listed(row).await
    }
}
