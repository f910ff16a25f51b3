//! A device of a batch is scanned: which item it is, and whether it is its turn.

use std::sync::Arc;

use zmon_crypto::token::PairingToken;
use zmon_domain::audit::EventType;
use zmon_domain::batch::ItemState;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::BatchId;
use zmon_domain::role::{Action, OperatorProof};
use zmon_wire::batch::BatchScanAnswer;
use zmon_wire::kind::True;
use zmon_wire::pair::ScanRequest;

use super::{event, failed, item_event, refused};
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{BatchItemRow, BatchWrite, Refusal, StationWrite};
use crate::station::pairing::{read_code, read_token};
use crate::station::{Station, detached};

impl Station {
    /// `POST /api/batches/{batchId}/scan`: the device's item is at work from here on. The device is claimed
    /// at once, because its token lives for a minute, and paired as soon as it is its turn; nobody has to
    /// wait for either.
    ///
    /// # Errors
    /// `not_permitted`, `batch_unknown`; what is wrong with code or token; `batch_paused`, `batch_closed`,
    /// `device_not_in_batch`, `device_in_other_batch`, `batch_item_taken`, `device_mismatch` and
    /// `device_key_conflict` where the manifest says otherwise, each with a row; why the item's row is bad;
    /// storage errors.
    pub async fn batch_scan(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &BatchId,
        request: ScanRequest,
    ) -> Result<BatchScanAnswer, StationError> {
        let (station, proof, id) = (Arc::clone(self), proof.clone(), *id);
        detached(async move { station.do_batch_scan(&proof, &id, request).await }).await
    }

    async fn do_batch_scan(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &BatchId,
        mut request: ScanRequest,
    ) -> Result<BatchScanAnswer, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::RunBatch, &now).await?;
        // A typo is nobody's attempt.
        read_code(request.pairing_code.expose())?;
        let token = request.pairing_token.as_ref().map(|token| read_token(token.expose()));
        let token = token.transpose()?;
        self.known_batch(id).await?;
        let (device, at) = (request.device_id.clone(), Self::wall(&now)?);
        let not_taken = |error: &StationError| {
            let row = event(EventType::BatchScanned, &actor, id).device(&device);
            failed(row, error.code())
        };
        let item = match self.item_to_scan(id, &request, token.as_ref()).await {
            Ok(item) => item,
            Err(error) => return self.refuse(&now, not_taken(&error), error).await,
        };
        let Some(turn) = self.batches.enter(self, (*id, item.number)) else {
            let error = StationError::from(ErrorCode::BatchItemTaken);
            return self.refuse(&now, not_taken(&error), error).await;
        };
        let item = BatchItemRow { device_id: Some(device.clone()), ..item };
        let begin = BatchWrite::Begin {
            batch: *id,
            number: item.number,
            device_id: device.clone(),
            operator: proof.id().clone(),
            at,
        };
        let row = item_event(EventType::BatchScanned, &actor, &item);
        match self.try_commit(&now, vec![row], vec![StationWrite::Batch(begin)]).await? {
            Ok(()) => {}
            Err(Refusal::Batch(refusal)) => {
                let error = StationError::from(refused(refusal));
                return self.refuse(&now, not_taken(&error), error).await;
            }
            Err(refusal) => return Err(Self::unexpected(&refusal)),
        }
        self.batch_moved(*id);
        let answer = BatchScanAnswer {
            success: True,
            batch_id: *id,
            row: item.number,
            device_id: device,
            bed_id: item.wanted.bed.clone(),
            device_label: item.wanted.label.clone(),
        };
        request.ip_address = request.ip_address.or(item.address);
        if token.is_none() {
            request.port = request.port.or(item.port);
        }
        self.run_item(turn, proof.clone(), item, request);
        Ok(answer)
    }

    /// The item of a scanned device, if it waits.
    async fn item_to_scan(
        &self,
        id: &BatchId,
        request: &ScanRequest,
        token: Option<&PairingToken>,
    ) -> Result<BatchItemRow, StationError> {
        let (device, serial) = (Some(&request.device_id), request.device_serial.as_ref());
        let items = self.parts.store.batch_items_of(device, serial).await?;
        let (own, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.batch == *id);
        let Some(item) = own.into_iter().next() else {
            let elsewhere = others.iter().any(BatchItemRow::keeps_device);
            // Nothing of a closed batch is looked for: the batch says so itself.
            let closed =
                self.known_batch(id).await?.state == zmon_domain::batch::BatchState::Closed;
            return Err(match (closed, elsewhere) {
                (true, _) => ErrorCode::BatchClosed,
                (false, true) => ErrorCode::DeviceInOtherBatch,
                (false, false) => ErrorCode::DeviceNotInBatch,
            }
            .into());
        };
        match (item.state, item.report()) {
            (ItemState::Waiting, _) => {}
            (ItemState::Failed, Some(bad)) if item.attempts == 0 => return Err(bad.into()),
            _ => return Err(ErrorCode::BatchItemTaken.into()),
        }
        if serial.zip(item.serial.as_ref()).is_some_and(|(scanned, named)| scanned != named) {
            return Err(ErrorCode::DeviceMismatch.into());
        }
        self.check_key(&item, request, token).await?;
        Ok(item)
    }

    /// A key that the manifest names is the registered one, or the one on the screen. Whether the device has
    /// it, the pairing proves.
    async fn check_key(
        &self,
        item: &BatchItemRow,
        request: &ScanRequest,
        token: Option<&PairingToken>,
    ) -> Result<(), StationError> {
        let Some(key) = item.identity else { return Ok(()) };
        let device = &request.device_id;
        let registered = self.parts.store.device(device).await?;
        let fits = match (registered, token) {
            (Some(registered), _) => registered.identity == key,
            (None, Some(token)) => token.thumbprint16() == key.short(),
            // A typed code shows no key, and nobody else has vouched for one.
            (None, None) => return Err(ErrorCode::DeviceUnknown.into()),
        };
        if fits {
            return Ok(());
        }
        let code = ErrorCode::DeviceKeyConflict;
        self.emit(StationEvent::Alarm { device_id: Some(device.clone()), code });
        Err(code.into())
    }
}
