//! The mock as a service.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::watch;
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, OverrideReason, SessionId, WindowId};
use zmon_domain::limits;
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_domain::time::UnixTime;

use super::MockConfig;
use super::rng::MockRng;
use super::state::State;
use crate::clock::VirtualClock;
use crate::driver::Shared;
use crate::link::LinkStatus;
use crate::ports::{Clock, SharedRng};
use crate::qr::{QrCodeData, QrParts};
use crate::service::{
    CodeVerdict, EventStream, IProvisioningService, Opening, ProvisioningError,
    ProvisioningPayload, ProvisioningResult, ServiceView, VerifiedConfiguration,
};

/// [`IProvisioningService`] without a station, a disk or a network ([I §4.2]): every configuration
/// that is well formed, for this device and with the right code comes into force after a delay on its
/// clock. It checks no seal and no signature, and keeps nothing.
///
/// It behaves as the production service does towards its caller; one contract suite holds both.
pub struct MockProvisioningService(Arc<Inner>);

struct Inner {
    config: MockConfig,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    shared: Shared,
    link: watch::Receiver<LinkStatus>,
}

impl MockProvisioningService {
    /// A mock on a clock of its own that starts at `config.start` and goes as fast as the tokio runtime it
    /// needs: a second is a second, unless that runtime's time is paused, as in a test.
    #[must_use]
    pub fn new(config: MockConfig) -> Self {
        let clock = Arc::new(VirtualClock::starting_at(config.start));
        Self::with_clock(config, clock)
    }

    /// A mock on a clock shared with the rest of a test.
    #[must_use]
    pub fn with_clock(config: MockConfig, clock: Arc<dyn Clock>) -> Self {
        let rng = SharedRng::new(MockRng::new(config.seed));
        let (link, link_status) = watch::channel(LinkStatus::default());
        let (state, shared) = State::new(config.clone(), rng, link);
        let state = Mutex::new(state);
        Self(Arc::new(Inner { config, clock, state, shared, link: link_status }))
    }

    /// The clock the mock lives on.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }

    fn open(&self, proof: &OperatorProof, action: Action) -> Result<(), ProvisioningError> {
        let now = self.0.clock.now();
        proof.authorise(action, now.mono)?;
        let mut state = self.0.lock();
        let first = match state.state() {
            ProvisioningState::NotProvisioned
            | ProvisioningState::Deprovisioned
            | ProvisioningState::Error => Action::EnterProvisioning,
            ProvisioningState::Provisioned => Action::Reprovision,
            ProvisioningState::ReadyToPair
            | ProvisioningState::Pairing
            | ProvisioningState::Configuring
            | ProvisioningState::Validating
            | ProvisioningState::Reprovisioning(_) => {
                return Err(ErrorCode::AlreadyInProvisioningMode.into());
            }
        };
        if action != first && (action != Action::Retry || !state.failed_before()) {
            return Err(ErrorCode::StateConflict.into());
        }
        state.open(&now, self.0.config.address)?;
        drop(state);
        self.0.watch_window();
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the timers of the window that was just opened: rotation, end, auto-provision.
    fn watch_window(self: &Arc<Self>) {
        let Some((window, _)) = self.lock().window() else { return };
        tokio::spawn(keep_window(Arc::downgrade(self), Arc::clone(&self.clock), window));
        if self.config.auto_provision {
            let inner = Arc::downgrade(self);
            let clock = Arc::clone(&self.clock);
            let at = clock.now().mono + self.config.delay;
            tokio::spawn(async move {
                clock.sleep_until(at).await;
                let Some(inner) = inner.upgrade() else { return };
                let current = inner.lock().window().is_some_and(|(id, _)| id == window);
                if current && let Err(error) = inner.accept(&inner.mock_payload()) {
                    tracing::warn!(%error, "mock not auto-provisioned");
                }
            });
        }
    }

    fn mock_payload(&self) -> ProvisioningPayload {
        let now = self.clock.now().wall.unwrap_or(UnixTime::EPOCH);
        ProvisioningPayload::mock(&self.config.device_id, "", now)
    }

    /// Takes a configuration and ends it after the delay, whatever becomes of the caller.
    fn accept(
        self: &Arc<Self>,
        payload: &ProvisioningPayload,
    ) -> Result<VerifiedConfiguration, ErrorReport> {
        // What is in a sealed payload, a mock cannot know: it takes its own.
        let verified = match payload.fields() {
            Some(fields) => self.lock().accept(fields)?,
            None => return self.accept(&self.mock_payload()),
        };
        let inner = Arc::downgrade(self);
        let clock = Arc::clone(&self.clock);
        let (session, at) = (verified.session(), clock.now().mono + self.config.delay);
        tokio::spawn(async move {
            clock.sleep_until(at).await;
            finish(&inner, session);
        });
        Ok(verified)
    }

    fn pairing_open(&self) -> Result<(), ErrorReport> {
        let open = self.lock().window().is_some();
        if open { Ok(()) } else { Err(ErrorCode::NotInProvisioningMode.into()) }
    }

    fn draw(&self) -> Result<QrCodeData, ErrorReport> {
        let view = self.shared.view.borrow().pairing.clone();
        let pairing = view.ok_or(ErrorCode::NotInProvisioningMode)?;
        let qr = pairing.qr.ok_or(ErrorCode::NotInProvisioningMode)?;
        let parts = QrParts {
            device_id: self.config.device_id.clone(),
            serial_number: self.config.serial.clone(),
            ip_address: qr.address,
            pairing_code: pairing.code,
            timestamp: qr.timestamp,
            expires_at: qr.expires_at,
            content: (*qr.content).clone(),
        };
        QrCodeData::draw(parts).map_err(|_| ErrorCode::Internal.into())
    }
}

/// Redraws the code of `window` every 30 s and ends it at its deadline.
async fn keep_window(inner: Weak<Inner>, clock: Arc<dyn Clock>, window: WindowId) {
    let mut rotate = clock.now().mono + limits::ROTATION.default;
    loop {
        let deadline = match inner.upgrade().and_then(|inner| inner.lock().window()) {
            Some((id, deadline)) if id == window => deadline,
            _ => return,
        };
        // In its last instant a code is not drawn anew.
        clock.sleep_until(if rotate < deadline { rotate } else { deadline.after() }).await;
        let Some(inner) = inner.upgrade() else { return };
        let mut state = inner.lock();
        if state.window().is_none_or(|(id, _)| id != window) {
            return;
        }
        if clock.now().mono > deadline {
            return state.expire();
        }
        rotate = clock.now().mono + limits::ROTATION.default;
        // The window is open: checked under this lock.
        drop(state.redraw(None));
    }
}

fn finish(inner: &Weak<Inner>, session: SessionId) {
    if let Some(inner) = inner.upgrade() {
        let now = inner.clock.now();
        inner.lock().finish(session, &now);
    }
}

#[async_trait]
impl IProvisioningService for MockProvisioningService {
    fn device_id(&self) -> &DeviceId {
        &self.0.config.device_id
    }

    async fn enter_provisioning_mode(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.open(&proof, Action::EnterProvisioning)
    }

    /// No interlock objects to a mock; the right to override one is asked for all the same.
    async fn open_despite_interlock(
        &self,
        proof: OperatorProof,
        _reason: OverrideReason,
        opening: Opening,
    ) -> Result<(), ProvisioningError> {
        proof.authorise(Action::OverrideInterlock, self.0.clock.now().mono)?;
        match opening {
            Opening::Enter => self.open(&proof, Action::EnterProvisioning),
            Opening::Reprovision => self.open(&proof, Action::Reprovision),
        }
    }

    async fn exit_provisioning_mode(
        &self,
        _by: Option<&OperatorProof>,
    ) -> Result<(), ProvisioningError> {
        let mut state = self.0.lock();
        let nothing_to_leave = match state.state() {
            ProvisioningState::NotProvisioned | ProvisioningState::Deprovisioned => true,
            ProvisioningState::Provisioned => !state.failed_before(),
            ProvisioningState::ReadyToPair
            | ProvisioningState::Pairing
            | ProvisioningState::Configuring
            | ProvisioningState::Validating
            | ProvisioningState::Error
            | ProvisioningState::Reprovisioning(_) => false,
        };
        if nothing_to_leave {
            return Err(ErrorCode::NotInProvisioningMode.into());
        }
        state.leave();
        Ok(())
    }

    async fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: DeviceAddress,
    ) -> Result<QrCodeData, ProvisioningError> {
        if *device_id != self.0.config.device_id {
            return Err(ErrorCode::DeviceMismatch.into());
        }
        self.0.lock().redraw(Some(device_ip))?;
        self.0.draw()
    }

    async fn generate_qr_code(&self) -> Result<QrCodeData, ProvisioningError> {
        self.0.draw()
    }

    async fn regenerate(
        &self,
        _by: Option<&OperatorProof>,
    ) -> Result<PairingCode, ProvisioningError> {
        let now = self.0.clock.now();
        let code = self.0.lock().regenerate(&now)?;
        self.0.watch_window();
        Ok(code)
    }

    fn validate_pairing_code(&self, code: &str) -> CodeVerdict {
        self.0.shared.ledger().judge(code, self.0.clock.now().mono)
    }

    /// Any bytes but none count as the station's delivery of a mock configuration.
    async fn receive_configuration(
        &self,
        payload: &[u8],
    ) -> Result<VerifiedConfiguration, ProvisioningError> {
        self.0.pairing_open()?;
        if payload.is_empty() {
            return Err(ErrorCode::EnvelopeMalformed.into());
        }
        self.0.accept(&self.0.mock_payload())
    }

    async fn apply_configuration(
        &self,
        payload: &ProvisioningPayload,
        pairing_code: &str,
    ) -> ProvisioningResult {
        let now = self.0.clock.now();
        let verdict = self.0.shared.ledger().judge(pairing_code, now.mono);
        if let Some(code) = verdict.error() {
            return ProvisioningResult::failure(code);
        }
        if let Err(error) = payload.check(&self.0.config.device_id, &now) {
            return ProvisioningResult::failure(error);
        }
        match self.0.accept(payload) {
            Ok(verified) => verified.result().await,
            Err(error) => ProvisioningResult::failure(error),
        }
    }

    async fn apply_provisioning_config(&self, config: VerifiedConfiguration) -> ProvisioningResult {
        config.result().await
    }

    async fn test_connection(&self) -> Result<(), ProvisioningError> {
        if !self.0.lock().is_provisioned() {
            return Err(ErrorCode::StateConflict.into());
        }
        let at = self.0.clock.now().mono + self.0.config.delay;
        self.0.clock.sleep_until(at).await;
        Ok(())
    }

    fn get_status(&self) -> ProvisioningStatus {
        self.0.shared.view.borrow().status
    }

    fn state(&self) -> ProvisioningState {
        self.0.shared.view.borrow().state
    }

    async fn simulate_provisioning(
        &self,
        mock_payload: &ProvisioningPayload,
    ) -> ProvisioningResult {
        if !cfg!(feature = "simulate") {
            return ProvisioningResult::failure(ErrorCode::SimulationUnavailable);
        }
        let code = self.0.shared.view.borrow().pairing.as_ref().map(|open| open.code.display());
        match code {
            Some(code) => self.apply_configuration(mock_payload, &code).await,
            None => ProvisioningResult::failure(ErrorCode::NotInProvisioningMode),
        }
    }

    async fn deprovision_device(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        proof.authorise(Action::Deprovision, self.0.clock.now().mono)?;
        let mut state = self.0.lock();
        if !state.is_provisioned() {
            return Err(ErrorCode::StateConflict.into());
        }
        state.deprovision();
        Ok(())
    }

    async fn factory_reset(
        &self,
        proof: OperatorProof,
        confirmation: &str,
    ) -> Result<(), ProvisioningError> {
        proof.authorise(Action::FactoryReset, self.0.clock.now().mono)?;
        if confirmation != self.0.config.device_id.as_str() {
            return Err(ErrorCode::ConfirmationMismatch.into());
        }
        self.0.lock().erase();
        Ok(())
    }

    /// The mock has no keys: it erases.
    async fn factory_reset_with_new_identity(
        &self,
        proof: OperatorProof,
        confirmation: &str,
    ) -> Result<(), ProvisioningError> {
        self.factory_reset(proof, confirmation).await
    }

    async fn migrate(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        proof.authorise(Action::Migrate, self.0.clock.now().mono)?;
        let is_provisioned = {
            let mut state = self.0.lock();
            if !state.has_manual() {
                return Err(ErrorCode::ManualConfigurationMissing.into());
            }
            state.migrate(true);
            state.is_provisioned()
        };
        if is_provisioned { Ok(()) } else { self.open(&proof, Action::EnterProvisioning) }
    }

    async fn postpone_migration(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        proof.authorise(Action::Migrate, self.0.clock.now().mono)?;
        let mut state = self.0.lock();
        if !state.has_manual() {
            return Err(ErrorCode::ManualConfigurationMissing.into());
        }
        state.migrate(false);
        Ok(())
    }

    async fn reprovision_device(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.open(&proof, Action::Reprovision)
    }

    async fn retry(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.open(&proof, Action::Retry)
    }

    async fn renew_certificate(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        proof.authorise(Action::Renew, self.0.clock.now().mono)?;
        if self.state() == ProvisioningState::Provisioned {
            return Ok(());
        }
        Err(ErrorCode::StateConflict.into())
    }

    async fn reset(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        proof.authorise(Action::Reset, self.0.clock.now().mono)?;
        self.0.lock().leave();
        Ok(())
    }

    fn events(&self) -> EventStream {
        self.0.shared.hub.subscribe()
    }

    fn view(&self) -> watch::Receiver<ServiceView> {
        self.0.shared.view.subscribe()
    }

    fn link(&self) -> watch::Receiver<LinkStatus> {
        self.0.link.clone()
    }
}

impl fmt::Debug for MockProvisioningService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockProvisioningService")
            .field("device_id", &self.0.config.device_id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
