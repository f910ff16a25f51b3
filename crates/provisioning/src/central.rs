//! The production service.

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use zmon_crypto::jws::Unverified;
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, DeviceSerial, OverrideReason};
use zmon_domain::limits;
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::route::Route;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_protocol::device::DeviceInput;
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use crate::driver::{
    AnchorImport, Command, DeviceParts, Gate, Handle, Reception, Shared, Started, start,
};
use crate::link::LinkStatus;
use crate::ports::{
    AnchorStore, AuditPage, AuditReport, AuditRow, Clock, DeviceEndpoint, DeviceStore,
    ManualConfiguration, ManualSettings, Moment, SettingsManager, StationLink,
};
use crate::qr::{QrCodeData, QrParts};
use crate::service::{
    CodeVerdict, EventStream, IProvisioningService, Opening, PairingView, ProvisioningError,
    ProvisioningPayload, ProvisioningResult, ServiceView, VerifiedConfiguration,
};
use crate::settings::SlotSettings;

/// What a migration is refused with when there is nothing to migrate.
const NO_MANUAL: ErrorReport = ErrorReport::new(ErrorCode::ManualConfigurationMissing);

/// [`IProvisioningService`] over the device machine and the ports ([I §4.1]).
///
/// One task owns the machine; this handle is cheap and shared as `Arc`. Dropping the last handle
/// stops the task as [`shutdown`](Self::shutdown) does, without waiting.
pub struct CentralStationProvisioningService {
    _commands: mpsc::Sender<Command>,
    handle: Handle,
    shared: Shared,
    link: watch::Receiver<LinkStatus>,
    device_id: DeviceId,
    serial: DeviceSerial,
    address: DeviceAddress,
    store: Arc<dyn DeviceStore>,
    station: Arc<dyn StationLink>,
    gate: Gate,
    manual: Arc<dyn ManualConfiguration>,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "simulate")]
    trust: zmon_protocol::device::StationTrust,
    #[cfg(feature = "simulate")]
    simulated: Option<Arc<dyn crate::simulate::SimulatedStation>>,
}

impl CentralStationProvisioningService {
    /// Loads the device, commits what its restart means (a window that was open is void, D11) and
    /// starts the driver and the link. Needs a tokio runtime with time.
    ///
    /// # Errors
    ///
    /// What the store or the key store found: `storage_unavailable`, `storage_corrupt`,
    /// `schema_newer`, `key_store_unavailable`, `audit_unavailable`.
    pub async fn start(parts: DeviceParts) -> Result<Self, ProvisioningError> {
        let device_id = parts.profile.device_id.clone();
        let serial = parts.profile.serial.clone();
        let address = parts.address;
        #[cfg(feature = "simulate")]
        let trust = parts.profile.trust;
        let store = Arc::clone(&parts.store);
        let station = Arc::clone(&parts.station);
        let manual = Arc::clone(&parts.local.manual);
        let clock = Arc::clone(&parts.clock);
        let Started { commands: _commands, handle, shared, gate, link } = start(parts).await?;
        Ok(Self {
            _commands,
            handle,
            shared,
            link,
            device_id,
            serial,
            address,
            store,
            station,
            gate,
            manual,
            clock,
            #[cfg(feature = "simulate")]
            trust,
            #[cfg(feature = "simulate")]
            simulated: None,
        })
    }

    /// Lets [`simulate_provisioning`](IProvisioningService::simulate_provisioning) pair with
    /// `station` (D20).
    #[cfg(feature = "simulate")]
    #[must_use]
    pub fn with_simulated_station(
        mut self,
        station: Arc<dyn crate::simulate::SimulatedStation>,
    ) -> Self {
        self.simulated = Some(station);
        self
    }

    /// The device as a listener sees it, for whoever brings a station's messages on another way (D7).
    #[must_use]
    pub fn endpoint(&self) -> Arc<dyn DeviceEndpoint> {
        Arc::new(self.handle.endpoint())
    }

    /// Believes the stations of one more authority, on behalf of an administrator, from now on and after
    /// every start; `store` keeps it (D8). It ends proximity. Every attempt has its row.
    ///
    /// # Errors
    ///
    /// `not_permitted`, `proof_expired`; `state_conflict` while a window or session is open;
    /// `erase_pending`; `anchor_invalid`, `anchor_fingerprint_mismatch`; what the stores say.
    pub async fn import_anchor(
        &self,
        proof: OperatorProof,
        import: AnchorImport,
        store: Arc<dyn AnchorStore>,
    ) -> Result<(), ProvisioningError> {
        self.handle.import_anchor(proof, import, store).await
    }

    /// Closes the listener, voids an open window with an audit row, stops the link, and returns
    /// when that is done. Idempotent.
    pub async fn shutdown(&self) {
        self.handle.stop().await;
    }

    /// The settings that came with the active configuration.
    #[must_use]
    pub fn settings(&self) -> Arc<dyn SettingsManager> {
        Arc::new(SlotSettings::new(self.shared.settings.subscribe()))
    }

    /// Audits that somebody was not let into provisioning mode, before the machine was asked (a wrong
    /// PIN: then there is no proof). Proofs that do not suffice are audited by the machine itself.
    ///
    /// # Errors
    ///
    /// `audit_unavailable` or `storage_unavailable` if the row could not be written.
    pub async fn audit_refusal(
        &self,
        by: Option<&OperatorProof>,
        code: ErrorCode,
    ) -> Result<(), ProvisioningError> {
        let actor = self.asking(by);
        match self.handle.input(DeviceInput::EnterRefused { actor, code }).await {
            // The machine answers with the refusal it wrote down.
            Err(error) if error.code != code => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Rows of the audit log.
    ///
    /// # Errors
    ///
    /// What the store found.
    pub async fn audit_events(&self, page: AuditPage) -> Result<Vec<AuditRow>, ProvisioningError> {
        Ok(self.store.events(page).await?)
    }

    /// Verifies the audit log.
    ///
    /// # Errors
    ///
    /// What the store found; a broken chain is no error but a finding.
    pub async fn verify_audit(&self) -> Result<AuditReport, ProvisioningError> {
        Ok(self.store.verify_audit().await?)
    }

    /// Who asks, for the row: an operator whose proof still counts, else somebody at the device.
    fn asking(&self, by: Option<&OperatorProof>) -> Actor {
        let now = self.clock.now().mono;
        by.filter(|proof| now <= proof.expires()).map_or(Actor::Local, OperatorProof::actor)
    }

    /// Asks the interlock, and audits its objection (D22). Whoever may not ask for `action` learns
    /// nothing about the patient: the machine refuses them, with its row.
    async fn clear_to_enter(
        &self,
        proof: &OperatorProof,
        action: Action,
    ) -> Result<(), ProvisioningError> {
        if proof.authorise(action, self.clock.now().mono).is_err() {
            return Ok(());
        }
        let Err(objection) = self.gate.check(Moment::Enter).await else { return Ok(()) };
        self.audit_refusal(Some(proof), objection.code()).await?;
        Err(objection)
    }

    /// Why a delivery that ended at once was refused: its own status says so; one that was applied
    /// before is a replay.
    fn refusal(&self, status: &str) -> ProvisioningError {
        let refused = Unverified::parse(status.as_bytes()).ok().and_then(|status| {
            let limit = limits::BODY_MAX.default;
            strict::parse::<StatusDocument>(status.payload_unverified(), limit).ok()?.code
        });
        let code = refused.unwrap_or(ErrorCode::ConfigurationReplayed);
        let last_error = self.shared.view.borrow().last_error.clone();
        last_error.filter(|error| error.code == code).unwrap_or(ErrorReport::new(code))
    }

    /// Looks for a manual configuration, and shows what was found with the next step.
    async fn find_manual(&self) -> Result<Option<ManualSettings>, ProvisioningError> {
        let found = self.manual.find().await;
        self.shared.found_manual(found.clone());
        found
    }

    /// Audits that a manual configuration cannot be migrated, and says why with its detail.
    async fn refuse_migration(
        &self,
        proof: &OperatorProof,
        problem: ProvisioningError,
    ) -> Result<(), ProvisioningError> {
        let refused = DeviceInput::MigrationRefused { actor: proof.actor(), code: problem.code };
        match self.handle.input(refused).await {
            // The machine answers with the refusal it wrote down.
            Err(error) if error.code != problem.code => Err(error),
            Ok(_) | Err(_) => Err(problem),
        }
    }

    /// What [I §2.1] has checked before the seal: the code against this session, members, device, expiry.
    fn admit<'a>(
        &self,
        payload: &'a ProvisioningPayload,
        pairing_code: &str,
    ) -> Result<&'a [u8], ProvisioningError> {
        let now = self.clock.now();
        let verdict = self.shared.ledger().judge_for_session(pairing_code, now.mono);
        if let Some(code) = verdict.error() {
            return Err(code.into());
        }
        payload.check(&self.device_id, &now)?;
        payload.envelope().ok_or(ErrorCode::EnvelopeMalformed.into())
    }

    /// A refusal of a configuration that the machine never saw: with its row, as the machine's own.
    async fn refuse_configuration(&self, report: ProvisioningError) -> ProvisioningResult {
        let refused = DeviceInput::ConfigurationRefused { report: report.clone() };
        // The machine answers with the refusal it wrote down; without a row it says why there is none.
        let answer = self.handle.input(refused).await.err();
        ProvisioningResult::failure(answer.unwrap_or(report))
    }

    async fn reset_all(
        &self,
        proof: OperatorProof,
        confirmation: &str,
        new_identity: bool,
    ) -> Result<(), ProvisioningError> {
        let confirmation = confirmation.into();
        self.command(DeviceInput::FactoryReset { proof, confirmation, new_identity }).await?;
        let view = self.shared.view.borrow();
        let unfinished = view.erasing && !view.awaits_restart;
        if unfinished { Err(ErrorCode::ErasePending.into()) } else { Ok(()) }
    }

    async fn command(&self, input: DeviceInput) -> Result<(), ProvisioningError> {
        self.handle.input(input).await.map(drop)
    }

    fn pairing(&self) -> Result<PairingView, ProvisioningError> {
        let view = self.shared.view.borrow();
        view.pairing.clone().ok_or(ErrorReport::from(ErrorCode::NotInProvisioningMode))
    }

    fn draw(&self) -> Result<QrCodeData, ProvisioningError> {
        let pairing = self.pairing()?;
        let qr = pairing.qr.ok_or(ErrorReport::from(ErrorCode::ListenerFailed))?;
        let parts = QrParts {
            device_id: self.device_id.clone(),
            serial_number: self.serial.clone(),
            ip_address: qr.address,
            pairing_code: pairing.code,
            timestamp: qr.timestamp,
            expires_at: qr.expires_at,
            content: (*qr.content).clone(),
        };
        QrCodeData::draw(parts).map_err(|error| {
            tracing::error!(%error, "QR code not drawn");
            ErrorReport::from(ErrorCode::Internal)
        })
    }
}

#[async_trait]
impl IProvisioningService for CentralStationProvisioningService {
    fn device_id(&self) -> &DeviceId {
        &self.device_id
    }

    async fn enter_provisioning_mode(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.clear_to_enter(&proof, Action::EnterProvisioning).await?;
        self.command(DeviceInput::Enter { proof, address: self.address }).await
    }

    async fn open_despite_interlock(
        &self,
        proof: OperatorProof,
        reason: OverrideReason,
        opening: Opening,
    ) -> Result<(), ProvisioningError> {
        let address = self.address;
        let overriding = DeviceInput::OverrideInterlock { proof: proof.clone(), reason };
        let opening = match opening {
            Opening::Enter => DeviceInput::Enter { proof, address },
            Opening::Reprovision => DeviceInput::Reprovision { proof, address },
        };
        self.handle.overriding(overriding, opening).await.map(drop)
    }

    async fn exit_provisioning_mode(
        &self,
        by: Option<&OperatorProof>,
    ) -> Result<(), ProvisioningError> {
        let actor = self.asking(by);
        self.command(DeviceInput::Exit { actor }).await
    }

    async fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: DeviceAddress,
    ) -> Result<QrCodeData, ProvisioningError> {
        if *device_id != self.device_id {
            return Err(ErrorCode::DeviceMismatch.into());
        }
        self.command(DeviceInput::Announce { address: device_ip }).await?;
        self.draw()
    }

    async fn generate_qr_code(&self) -> Result<QrCodeData, ProvisioningError> {
        self.draw()
    }

    async fn regenerate(
        &self,
        by: Option<&OperatorProof>,
    ) -> Result<PairingCode, ProvisioningError> {
        let actor = self.asking(by);
        self.command(DeviceInput::Regenerate { actor }).await?;
        Ok(self.pairing()?.code)
    }

    fn validate_pairing_code(&self, code: &str) -> CodeVerdict {
        self.shared.ledger().judge(code, self.clock.now().mono)
    }

    async fn receive_configuration(
        &self,
        payload: &[u8],
    ) -> Result<VerifiedConfiguration, ProvisioningError> {
        match self.handle.configuration(Route::Push, payload.to_vec()).await? {
            Reception::Accepted { verified, delivery: _ } => Ok(verified),
            Reception::Ended(status) => Err(self.refusal(&status)),
        }
    }

    async fn apply_configuration(
        &self,
        payload: &ProvisioningPayload,
        pairing_code: &str,
    ) -> ProvisioningResult {
        let envelope = match self.admit(payload, pairing_code) {
            Ok(envelope) => envelope,
            Err(report) => return self.refuse_configuration(report).await,
        };
        match self.receive_configuration(envelope).await {
            Ok(verified) => verified.result().await,
            Err(error) => ProvisioningResult::failure(error),
        }
    }

    async fn apply_provisioning_config(&self, config: VerifiedConfiguration) -> ProvisioningResult {
        config.result().await
    }

    async fn test_connection(&self) -> Result<(), ProvisioningError> {
        let newest = self.shared.candidates.newest();
        let credentials = newest.ok_or(ErrorReport::from(ErrorCode::StateConflict))?;
        self.station.test(&credentials).await.map_err(|error| error.code().into())
    }

    fn get_status(&self) -> ProvisioningStatus {
        self.shared.view.borrow().status
    }

    fn state(&self) -> ProvisioningState {
        self.shared.view.borrow().state
    }

    async fn simulate_provisioning(
        &self,
        mock_payload: &ProvisioningPayload,
    ) -> ProvisioningResult {
        #[cfg(feature = "simulate")]
        if let Some(station) = &self.simulated
            && self.trust == zmon_protocol::device::StationTrust::Simulated
        {
            let events = self.events();
            let device = Arc::new(self.handle.endpoint());
            return match self.draw() {
                Ok(qr) => crate::simulate::run(&**station, &qr, device, mock_payload, events).await,
                Err(error) => ProvisioningResult::failure(error),
            };
        }
        tracing::info!(?mock_payload, "no simulation in this build");
        ProvisioningResult::failure(ErrorCode::SimulationUnavailable)
    }

    async fn deprovision_device(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.command(DeviceInput::Deprovision { proof }).await
    }

    async fn factory_reset(
        &self,
        proof: OperatorProof,
        confirmation: &str,
    ) -> Result<(), ProvisioningError> {
        self.reset_all(proof, confirmation, false).await
    }

    async fn factory_reset_with_new_identity(
        &self,
        proof: OperatorProof,
        confirmation: &str,
    ) -> Result<(), ProvisioningError> {
        self.reset_all(proof, confirmation, true).await
    }

    async fn migrate(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.clear_to_enter(&proof, Action::Migrate).await?;
        match self.find_manual().await {
            Ok(Some(_)) => {
                self.command(DeviceInput::Migrate { proof, address: self.address }).await
            }
            Ok(None) => self.refuse_migration(&proof, NO_MANUAL).await,
            Err(problem) => self.refuse_migration(&proof, problem).await,
        }
    }

    async fn postpone_migration(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        match self.find_manual().await {
            Ok(None) => self.refuse_migration(&proof, NO_MANUAL).await,
            // One that cannot be used may be kept all the same.
            Ok(Some(_)) | Err(_) => self.command(DeviceInput::PostponeMigration { proof }).await,
        }
    }

    async fn reprovision_device(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.clear_to_enter(&proof, Action::Reprovision).await?;
        self.command(DeviceInput::Reprovision { proof, address: self.address }).await
    }

    async fn renew_certificate(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.command(DeviceInput::Renew { proof }).await
    }

    async fn confirm_station(
        &self,
        proof: OperatorProof,
        words: &str,
    ) -> Result<(), ProvisioningError> {
        self.command(DeviceInput::ConfirmStation { proof, words: words.into() }).await
    }

    async fn refuse_station(&self, by: Option<&OperatorProof>) -> Result<(), ProvisioningError> {
        let actor = self.asking(by);
        self.command(DeviceInput::RefuseStation { actor }).await
    }

    async fn retry(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.clear_to_enter(&proof, Action::Retry).await?;
        self.command(DeviceInput::Retry { proof }).await
    }

    async fn reset(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.command(DeviceInput::Reset { proof }).await
    }

    fn events(&self) -> EventStream {
        self.shared.hub.subscribe()
    }

    fn view(&self) -> watch::Receiver<ServiceView> {
        self.shared.view.subscribe()
    }

    fn link(&self) -> watch::Receiver<LinkStatus> {
        self.link.clone()
    }
}

impl fmt::Debug for CentralStationProvisioningService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CentralStationProvisioningService")
            .field("device_id", &self.device_id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
