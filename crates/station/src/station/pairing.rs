//! Scanning and pairing ([W §11.3], D7, D11).

use core::num::NonZeroU16;
use std::sync::Arc;

use zmon_crypto::token::PairingToken;
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::ids::{DeviceId, OperatorId, SessionId};
use zmon_domain::limits;
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::route::Route;
use zmon_domain::settings::DeviceSettings;
use zmon_protocol::station::{Opening, PairDetails, SessionPhase};
use zmon_wire::kind::{False, True};
use zmon_wire::pair::{PairAnswer, PairPending, PairRequest, ScanAnswer, ScanRequest};
use zmon_wire::strict;

use super::opening::{Opened, Scan};
use super::{Station, detached};
use crate::error::StationError;
use crate::ports::Wanted;
use crate::session::{Command, SessionHandle, SessionView};

/// What a request may leave out.
const IN_REGISTRY: &str = "must be given unless the registry has it";

/// What a scan answers when it does not fail.
#[derive(Debug, Clone)]
pub enum ScanOutcome {
    /// 200: the device is claimed.
    Scanned(Box<ScanAnswer>),
    /// 202: the device is not reached; its messages wait for another route (D7).
    Pending(PairPending),
}

impl ScanOutcome {
    /// The answer of a device that is claimed.
    #[must_use]
    pub fn scanned(self) -> Option<ScanAnswer> {
        match self {
            Self::Scanned(answer) => Some(*answer),
            Self::Pending(_) => None,
        }
    }
}

/// What `pair` answers when it does not fail.
#[derive(Debug, Clone)]
pub enum PairOutcome {
    /// 200: the device is paired; exactly the shape of [W §11.3].
    Paired(Box<PairAnswer>),
    /// 202: the device has not answered yet, or words have to be compared; ask again with the session.
    Pending(PairPending),
}

impl Station {
    /// `POST /api/provisioning/sessions`: claims the device at once and reserves it for the operator.
    /// Repeating a scan returns the same session, while it lives.
    ///
    /// # Errors
    /// `not_permitted`, `session_reserved` with the holder, `device_unknown`,
    /// `device_decommissioned`, `device_key_conflict`, `address_not_permitted`,
    /// `device_unreachable`, `pairing_code_consumed`, what the device refused with, storage errors.
    pub async fn scan(
        self: &Arc<Self>,
        proof: &OperatorProof,
        request: ScanRequest,
    ) -> Result<ScanOutcome, StationError> {
        let (station, proof) = (Arc::clone(self), proof.clone());
        detached(async move { station.do_scan(&proof, request).await }).await
    }

    async fn do_scan(
        self: &Arc<Self>,
        proof: &OperatorProof,
        request: ScanRequest,
    ) -> Result<ScanOutcome, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::Pair, &now).await?;
        let device = request.device_id.clone();
        let code = read_code(request.pairing_code.expose())?;
        let (address, opening) = match &request.pairing_token {
            Some(token) => {
                let address = self.address(&device, request.ip_address).await?;
                (Some(address), Opening::Scanned(read_token(token.expose())?))
            }
            None => {
                let (address, port) = (request.ip_address, request.port);
                self.place(&device, address, port, request.delivery).await?
            }
        };
        let scan = Scan {
            code,
            opening,
            address,
            device_id: request.device_id,
            serial: request.device_serial,
            delivery: request.delivery,
        };
        match self.open(proof, &actor, scan, None).await? {
            Opened::Live(handle) => scanned(&handle, &self.answered(&handle).await),
            Opened::Past(id) => self.consumed(proof, &actor, &device, id).await,
            Opened::Elsewhere(_) => Err(ErrorCode::StateConflict.into()),
        }
    }

    /// `POST /api/provisioning/pair`: pairs a scanned device, or scans and pairs in one call.
    /// Repeating it never mints a second certificate and gives the same answer while the session lives;
    /// afterwards the answer is given for the session only, and the token is used up (D11).
    ///
    /// # Errors
    /// As [`Station::scan`]; `session_unknown` for a session that is not this operator's; why the
    /// pairing failed.
    pub async fn pair(
        self: &Arc<Self>,
        proof: &OperatorProof,
        request: PairRequest,
    ) -> Result<PairOutcome, StationError> {
        self.pair_wanting(proof, request, Wanted::default()).await
    }

    /// As [`Station::pair`], for a device that shall carry more than a request can say.
    pub(super) async fn pair_wanting(
        self: &Arc<Self>,
        proof: &OperatorProof,
        request: PairRequest,
        wanted: Wanted,
    ) -> Result<PairOutcome, StationError> {
        let (station, proof) = (Arc::clone(self), proof.clone());
        detached(async move { station.do_pair(&proof, request, wanted).await }).await
    }

    async fn do_pair(
        self: &Arc<Self>,
        proof: &OperatorProof,
        request: PairRequest,
        wanted: Wanted,
    ) -> Result<PairOutcome, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::Pair, &now).await?;
        let code = read_code(request.pairing_code.expose())?;
        let token = request.pairing_token.as_ref().map(|t| read_token(t.expose())).transpose()?;
        let (bed, label) = (request.bed_id.or(wanted.bed), request.device_label.or(wanted.label));
        let details = self.details(&request.device_id, Wanted { bed, label, ..wanted }).await?;
        let known = match (request.session_id, &token, request.ip_address) {
            (Some(id), _, _) => Some(self.own_session(proof, &id, &request.device_id).await?),
            (None, Some(token), None) => {
                self.scanned_before(proof, &actor, &request.device_id, token).await?
            }
            (None, Some(_), Some(_)) | (None, None, _) => None,
        };
        let opened = if let Some(opened) = known {
            if let Opened::Live(handle) = &opened {
                self.go_on(handle, proof, &code, token.as_ref(), details).await?;
            }
            opened
        } else {
            let (address, opening) = match (token, request.ip_address) {
                (Some(token), address) => {
                    let address = self.address(&request.device_id, address).await?;
                    (Some(address), Opening::Scanned(token))
                }
                (None, address) => {
                    let (device, port) = (&request.device_id, request.port);
                    self.place(device, address, port, request.delivery).await?
                }
            };
            let scan = Scan {
                device_id: request.device_id,
                code,
                opening,
                serial: request.device_serial,
                address,
                delivery: request.delivery,
            };
            self.open(proof, &actor, scan, Some(details)).await?
        };
        match opened {
            Opened::Live(handle) => self.paired(&handle).await,
            Opened::Past(id) => self.past(&id).await,
            Opened::Elsewhere(_) => Err(ErrorCode::StateConflict.into()),
        }
    }

    /// `GET /api/provisioning/pair/{sessionId}`: the result, for the operator who started it.
    ///
    /// # Errors
    /// `session_unknown` for a session that is not this operator's; why the pairing failed.
    pub async fn pair_result(
        &self,
        proof: &OperatorProof,
        id: &SessionId,
    ) -> Result<PairOutcome, StationError> {
        self.authorise(proof, Action::Pair, &self.now()).await?;
        if let Some(handle) = self.running(id).await? {
            if handle.operator.as_ref() != Some(proof.id()) {
                return Err(ErrorCode::SessionUnknown.into());
            }
            return outcome(*id, &handle.view());
        }
        let row = self.parts.store.session(id).await?;
        if row.is_none_or(|row| row.operator.as_ref() != Some(proof.id())) {
            return Err(ErrorCode::SessionUnknown.into());
        }
        self.past(id).await
    }

    /// Gives a session up. Its operator may, and who may release reservations.
    ///
    /// # Errors
    /// `session_unknown`, `state_conflict` when it has gone too far, storage errors.
    pub async fn cancel(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
    ) -> Result<(), StationError> {
        let now = self.now();
        self.authorise(proof, Action::Pair, &now).await?;
        let row = self.parts.store.session(id).await?.ok_or(ErrorCode::SessionUnknown)?;
        if row.operator.as_ref() != Some(proof.id()) {
            self.authorise(proof, Action::ReleaseReservation, &now).await?;
        }
        let handle = self.session_here(id).await?.ok_or(ErrorCode::SessionUnknown)?;
        let row = AuditEvent::new(EventType::PairingCancelled, proof.actor())
            .device(&handle.device_id)
            .session(*id);
        self.commit_all(&now, vec![row], Vec::new()).await?;
        let operator = handle.operator.clone();
        handle.ask(|reply| Command::Cancel(operator, reply)).await
    }

    /// The operator's own session by id, which must be about this device.
    async fn own_session(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
        device: &DeviceId,
    ) -> Result<Opened, StationError> {
        let own = |operator: &Option<OperatorId>, of: &DeviceId| {
            operator.as_ref() == Some(proof.id()) && of == device
        };
        match self.own_session_here(proof, id).await? {
            Some(handle) if own(&handle.operator, &handle.device_id) => Ok(Opened::Live(handle)),
            Some(_) => Err(ErrorCode::SessionUnknown.into()),
            None => match self.parts.store.session(id).await? {
                Some(row) if own(&row.operator, &row.device_id) => Ok(Opened::Past(*id)),
                _ => Err(ErrorCode::SessionUnknown.into()),
            },
        }
    }

    /// [W §11.3]'s three members name no address: they go with a scan of before, if there was one.
    async fn scanned_before(
        self: &Arc<Self>,
        proof: &OperatorProof,
        actor: &Actor,
        device: &DeviceId,
        token: &PairingToken,
    ) -> Result<Option<Opened>, StationError> {
        let row = self.parts.store.reservation(device).await?;
        let own = row
            .filter(|row| row.operator.as_ref() == Some(proof.id()) && row.token_id == token.id());
        match own {
            Some(row) => self.own_session(proof, &row.id, device).await.map(Some),
            None => match self.parts.store.claimed_by(&token.id()).await? {
                Some(by) => self.consumed(proof, actor, device, by).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// Where a scanned device listens, if the request does not say: the port is in its token.
    async fn address(
        &self,
        device: &DeviceId,
        address: Option<DeviceAddress>,
    ) -> Result<DeviceAddress, StationError> {
        let row = match address {
            Some(address) => return Ok(address),
            None => self.parts.store.device(device).await?,
        };
        let address = row.and_then(|row| row.address);
        Ok(address.ok_or(FieldError::new("ipAddress", IN_REGISTRY))?)
    }

    /// Where a device listens for its typed code: as the operator says, else as the registry does. A
    /// device that comes for its messages by itself is dialled by nobody; a courier goes somewhere.
    async fn place(
        &self,
        device: &DeviceId,
        address: Option<DeviceAddress>,
        port: Option<NonZeroU16>,
        delivery: Option<Route>,
    ) -> Result<(Option<DeviceAddress>, Opening), StationError> {
        let row = self.parts.store.device(device).await?;
        let address = address.or_else(|| row.as_ref().and_then(|row| row.address));
        let port = port.or_else(|| row.as_ref().and_then(|row| row.port));
        let fetches = match delivery {
            Some(route) => route == Route::Pull,
            None => self.polls_lately(device, &self.now()),
        };
        if !fetches {
            let missing = |field| Err(FieldError::new(field, IN_REGISTRY).into());
            match (address, port) {
                (None, _) => return missing("ipAddress"),
                (_, None) => return missing("port"),
                (Some(_), Some(_)) => {}
            }
        }
        Ok((address, Opening::Typed { port: port.map(NonZeroU16::get) }))
    }

    /// Sends a session on its way; saying the same twice changes nothing.
    pub(super) async fn go_on(
        &self,
        handle: &SessionHandle,
        proof: &OperatorProof,
        code: &PairingCode,
        token: Option<&PairingToken>,
        details: PairDetails,
    ) -> Result<(), StationError> {
        if !handle.was_begun_with(code, token) {
            return Err(ErrorCode::InvalidPairingCode.into());
        }
        let operator = proof.id().clone();
        match handle.ask(|reply| Command::Pair(operator, Box::new(details), reply)).await {
            // The session is over; its result says how.
            Err(_) if handle.view().phase.is_final() => Ok(()),
            other => other,
        }
    }

    async fn paired(&self, handle: &SessionHandle) -> Result<PairOutcome, StationError> {
        let deadline = self.now().mono + self.parts.policy.pair_wait;
        tokio::select! {
            biased;
            view = handle.wait_for(decided) => outcome(handle.id, &view),
            () = self.parts.clock.sleep_until(deadline) => outcome(handle.id, &handle.view()),
        }
    }

    /// Waits until the device has answered, or nobody but a courier can reach it.
    async fn answered(&self, handle: &SessionHandle) -> SessionView {
        let deadline = self.now().mono + self.parts.policy.pair_wait;
        let answered = |view: &SessionView| view.phase != SessionPhase::Dialling;
        let carried = |view: &SessionView| view.route != Route::Push;
        let view = handle.wait_for(|view| answered(view) || carried(view)).await;
        if answered(&view) || stranded(&view) {
            return view;
        }
        tokio::select! {
            biased;
            view = handle.wait_for(|view| answered(view) || stranded(view)) => view,
            () = self.parts.clock.sleep_until(deadline) => handle.view(),
        }
    }

    /// The result of a session that does not run here, from the record.
    async fn past(&self, id: &SessionId) -> Result<PairOutcome, StationError> {
        let row = self.parts.store.session(id).await?.ok_or(ErrorCode::SessionUnknown)?;
        let answer =
            row.answer.as_deref().map(|answer| strict::parse(answer, limits::BODY_MAX.max));
        let answer = answer.transpose().map_err(|_| ErrorCode::StorageCorrupt)?;
        outcome(*id, &SessionView { answer, ..self.view_of(row).await? })
    }

    pub(super) async fn details(
        &self,
        device: &DeviceId,
        wanted: Wanted,
    ) -> Result<PairDetails, StationError> {
        let row = self.parts.store.device(device).await?;
        let row = row.as_ref();
        let defaults = self.parts.policy.defaults;
        let settings = DeviceSettings {
            label: wanted.label.or_else(|| row.and_then(|row| row.label.clone())),
            bed: wanted.bed.or_else(|| row.and_then(|row| row.bed.clone())),
            unit: wanted.unit.or(row.and_then(|row| row.unit)).unwrap_or(defaults.unit),
            language: wanted
                .language
                .or(row.and_then(|row| row.language))
                .unwrap_or(defaults.language),
            sync_interval: wanted
                .sync_interval
                .or(row.and_then(|row| row.sync_interval))
                .unwrap_or(defaults.sync_interval),
        };
        let version = self.parts.store.config_version(device).await?;
        Ok(PairDetails { settings, config_version: version.saturating_add(1) })
    }
}

/// A message waits, and nobody but a courier is expected to come for it.
const fn stranded(view: &SessionView) -> bool {
    matches!(view.route, Route::Courier) && view.message.is_some()
}

/// Nothing more will happen, somebody has to compare words first, or a courier has to go.
fn decided(view: &SessionView) -> bool {
    let sent = match view.route {
        Route::Push => view.phase == SessionPhase::Delivering,
        Route::Pull | Route::Courier => view.phase == SessionPhase::AwaitingCommit,
    };
    view.phase.is_final() || (sent && view.words.is_some()) || stranded(view)
}

fn scanned(handle: &SessionHandle, view: &SessionView) -> Result<ScanOutcome, StationError> {
    match &view.identified {
        Some(identified) if view.phase != SessionPhase::Failed => {
            Ok(ScanOutcome::Scanned(Box::new(ScanAnswer {
                success: True,
                session_id: handle.id,
                device_id: handle.device_id.clone(),
                device_serial: identified.serial.clone(),
                firmware_version: identified.firmware.clone(),
                reserved_until: identified.reserved_until,
            })))
        }
        None if view.phase == SessionPhase::Dialling => {
            Ok(ScanOutcome::Pending(pending(handle.id, view)))
        }
        Some(_) | None => Err(failure(view)),
    }
}

fn pending(id: SessionId, view: &SessionView) -> PairPending {
    PairPending {
        success: False,
        pending: True,
        session_id: id,
        delivery: view.route,
        events_url: format!("/api/provisioning/pair/{id}"),
        words: view.words.map(|words| words.join(" ")),
    }
}

fn outcome(id: SessionId, view: &SessionView) -> Result<PairOutcome, StationError> {
    match (view.phase, &view.answer) {
        (SessionPhase::Paired, Some(answer)) => Ok(PairOutcome::Paired(Box::new(answer.clone()))),
        // Committed after a restart: the signature of the configuration is no longer known.
        (SessionPhase::Paired, None) => Err(ErrorCode::StateConflict.into()),
        (SessionPhase::Failed | SessionPhase::Released, _) => Err(failure(view)),
        _ => Ok(PairOutcome::Pending(pending(id, view))),
    }
}

pub(super) fn failure(view: &SessionView) -> StationError {
    match &view.error {
        Some(report) => report.clone().into(),
        None => ErrorCode::SessionExpired.into(),
    }
}

/// Either format: the device decides which one it shows (D1).
pub(super) fn read_code(text: &str) -> Result<PairingCode, StationError> {
    PairingCode::parse_any(text)
        .map_err(|error| StationError::field(error.code(), FieldError::from(error)))
}

pub(super) fn read_token(text: &str) -> Result<PairingToken, StationError> {
    PairingToken::parse_base64url(text).map_err(|error| error.code().into())
}
