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
use crate::ports::{DeviceStatus, Place, Refusal, StationWrite};

/// How often a move begins again because another was faster.
const RACES: usize = 8;

impl Station {
    /// `GET /api/registry/devices/{deviceId}/place`: where the registry says the device stands.
    ///
    /// # Errors
    /// `not_permitted`, `device_unknown`, storage errors.
    pub async fn place_of(
        &self,
        proof: &OperatorProof,
        device: &DeviceId,
    ) -> Result<PlaceRequest, StationError> {
        self.authorise(proof, Action::ReadRegistry, &self.now()).await?;
        let row = self.parts.store.device(device).await?.ok_or(ErrorCode::DeviceUnknown)?;
        Ok(PlaceRequest { bed_id: row.bed, device_label: row.label })
    }

    /// [`Self::move_device_if`], wherever it stands.
    ///
    /// # Errors
    /// As [`Self::move_device_if`].
    pub async fn move_device(
        &self,
        proof: &OperatorProof,
        device: &DeviceId,
        place: PlaceRequest,
    ) -> Result<admin::DeviceRow, StationError> {
        self.move_device_if(proof, device, place, |_| true).await
    }

    /// `POST /api/registry/devices/{deviceId}/place`: where the registry says the device stands, if
    /// `expected` of where it says so now. The device itself is told with its next configuration: at its
    /// renewal, or when it is paired again. Saying it again changes nothing.
    ///
    /// # Errors
    /// `not_permitted`, `device_unknown`, `device_decommissioned`, `precondition_failed`, storage errors.
    pub async fn move_device_if(
        &self,
        proof: &OperatorProof,
        device: &DeviceId,
        place: PlaceRequest,
        expected: impl Fn(&PlaceRequest) -> bool + Send,
    ) -> Result<admin::DeviceRow, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::MoveDevice, &now).await?;
        let to = Place { bed: place.bed_id, label: place.device_label };
        for _ in 0..RACES {
            let known = self.parts.store.device(device).await?;
            let standing = known.as_ref().map(|row| {
                let (bed_id, device_label) = (row.bed.clone(), row.label.clone());
                let is_expected = expected(&PlaceRequest { bed_id, device_label });
                (row.status == DeviceStatus::Active, is_expected)
            });
            let refused = match standing {
                None => Some(ErrorCode::DeviceUnknown),
                Some((false, _)) => Some(ErrorCode::DeviceDecommissioned),
                Some((true, false)) => Some(ErrorCode::PreconditionFailed),
                Some((true, true)) => None,
            };
            if let Some(code) = refused {
                let actor = actor.clone();
                let row = AuditEvent::failed(EventType::DeviceMoved, actor, code).device(device);
                return self.refuse(&now, row, code.into()).await;
            }
            let mut row = known.ok_or(ErrorCode::DeviceUnknown)?;
            let from = Place { bed: row.bed.clone(), label: row.label.clone() };
            if from == to {
                return self.listed(row).await;
            }
            let mut event = AuditEvent::new(EventType::DeviceMoved, actor.clone()).device(device);
            let was = from.bed.as_ref().map(|bed| ("from", bed.to_string()));
            let is = to.bed.as_ref().map(|bed| ("to", bed.to_string()));
            let named = to.label.as_ref().map(|label| ("label", label.to_string()));
            for (name, text) in was.into_iter().chain(is).chain(named) {
                event = event.with(name, text);
            }
            (row.bed, row.label) = (to.bed.clone(), to.label.clone());
            let write = StationWrite::Place { device_id: device.clone(), from, to: to.clone() };
            match self.try_commit(&now, vec![event], vec![write]).await? {
                Ok(()) => {
                    self.emit(StationEvent::RegistryChanged);
                    return self.listed(row).await;
                }
                // Somebody else moved it meanwhile: look again.
                Err(Refusal::PlaceMoved) => {}
                Err(refusal) => return Err(Self::unexpected(&refusal)),
            }
        }
        Err(ErrorCode::StateConflict.into())
    }
}
