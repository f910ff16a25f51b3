//! What the mock remembers, and its transitions. They emit the signals of the real machine in the
//! same order; the contract suite holds both to it.

use std::sync::Arc;

use tokio::sync::watch;
use zeroize::Zeroizing;
use zmon_crypto::token::{PairingToken, TokenInputs};
use zmon_crypto::{CodeHashKey, Secret32, TokenKey};
use zmon_domain::address::{DeviceAddress, ServerUrl};
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{BedId, DeviceLabel, SessionId, WindowId};
use zmon_domain::limits;
use zmon_domain::settings::DeviceSettings;
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_domain::time::{Now, Tick, UnixTime};
use zmon_wire::qr::QrContent;
use zmon_wire::secret::SecretText;

use super::MockConfig;
use crate::driver::{CodeLedger, Shared};
use crate::link::LinkStatus;
use crate::ports::{ManualSettings, SharedRng};
use crate::service::{
    CertificateView, ManualView, PairingView, PayloadFields, ProvisioningEvent, ProvisioningResult,
    QrView, ServiceView, VerifiedConfiguration,
};

/// The port that the mock's tokens name; nothing listens there.
const PORT: u16 = 8444;

/// An open window.
struct Window {
    id: WindowId,
    code: PairingCode,
    deadline: Tick,
    made_at: UnixTime,
    expires_at: UnixTime,
    address: DeviceAddress,
    content: Arc<Zeroizing<String>>,
}

/// A configuration that is being applied.
struct Session {
    id: SessionId,
    active: Active,
    result: watch::Sender<Option<ProvisioningResult>>,
}

/// A configuration in force.
#[derive(Clone)]
struct Active {
    server_url: ServerUrl,
    settings: DeviceSettings,
    expires: UnixTime,
}

/// The mock device.
pub(super) struct State {
    config: MockConfig,
    rng: SharedRng,
    shared: Shared,
    link: watch::Sender<LinkStatus>,
    token_key: TokenKey,
    state: ProvisioningState,
    window: Option<Window>,
    session: Option<Session>,
    active: Option<Active>,
    last_error: Option<ErrorReport>,
    /// Where a failure without an active configuration returns to.
    deprovisioned: bool,
    manual: Option<ManualSettings>,
    migrating: bool,
}

impl State {
    pub(super) fn new(
        config: MockConfig,
        rng: SharedRng,
        link: watch::Sender<LinkStatus>,
    ) -> (Self, Shared) {
        let state = ProvisioningState::NotProvisioned;
        let (hash_key, token_key) = {
            let mut rng = rng.lock();
            (Secret32::generate(&mut *rng), Secret32::generate(&mut *rng))
        };
        let ledger = CodeLedger::new(CodeHashKey::from_secret(hash_key), config.code_format);
        let mut view = ServiceView::new(state);
        view.manual = ManualView::new(Ok(config.manual.clone()), false);
        let shared = Shared::new(view, ledger);
        let new = Self {
            rng,
            shared: shared.clone(),
            link,
            token_key: TokenKey::from_secret(token_key),
            state,
            window: None,
            session: None,
            active: None,
            last_error: None,
            deprovisioned: false,
            manual: config.manual.clone(),
            migrating: false,
            config,
        };
        (new, shared)
    }

    pub(super) fn state(&self) -> ProvisioningState {
        self.state
    }

    pub(super) fn failed_before(&self) -> bool {
        self.last_error.is_some()
    }

    pub(super) fn is_provisioned(&self) -> bool {
        self.active.is_some()
    }

    /// The open window's id and when its timer is due next.
    pub(super) fn window(&self) -> Option<(WindowId, Tick)> {
        self.window.as_ref().map(|window| (window.id, window.deadline))
    }

    /// Opens a window; the caller has judged state and proof.
    pub(super) fn open(&mut self, now: &Now, address: DeviceAddress) -> Result<(), ErrorReport> {
        self.last_error = None;
        self.window = Some(self.make_window(now, address)?);
        let state = self.phase(ReprovisioningPhase::ReadyToPair);
        self.change(state, []);
        // The image follows once the listener would have told its port.
        self.shared.hub.emit(self.generated());
        Ok(())
    }

    /// A new code in the open window's place.
    pub(super) fn regenerate(&mut self, now: &Now) -> Result<PairingCode, ErrorReport> {
        let address = self.open_window()?.address;
        let window = self.make_window(now, address)?;
        let code = window.code.clone();
        self.window = Some(window);
        let event = self.generated();
        self.change(self.state, [event]);
        Ok(code)
    }

    /// A new token for the same code, perhaps at another address.
    pub(super) fn redraw(&mut self, address: Option<DeviceAddress>) -> Result<(), ErrorReport> {
        let window = self.open_window()?;
        let address = address.unwrap_or(window.address);
        let content = self.content(&window.id, &window.code, address, window.expires_at)?;
        if let Some(window) = &mut self.window {
            (window.address, window.content) = (address, content);
        }
        let event = self.generated();
        self.change(self.state, [event]);
        Ok(())
    }

    /// The window's time is over.
    pub(super) fn expire(&mut self) {
        self.window = None;
        let error = ErrorReport::from(ErrorCode::PairingCodeExpired);
        self.fail(error, Some(ProvisioningEvent::QrCodeExpired));
    }

    /// Leaves provisioning mode or dismisses an error.
    pub(super) fn leave(&mut self) {
        self.window = None;
        self.session = None;
        self.last_error = None;
        self.change(self.resting(), []);
    }

    /// Takes a configuration; [`finish`](Self::finish) ends it. The code is consumed.
    pub(super) fn accept(
        &mut self,
        fields: &PayloadFields,
    ) -> Result<VerifiedConfiguration, ErrorReport> {
        let active = Active::read(fields)?;
        let id = SessionId::generate(&mut *self.rng.lock());
        let mut configuration_hash = [0; 32];
        self.rng.fill(&mut configuration_hash);
        let (result, receiver) = watch::channel(None);
        self.session = Some(Session { id, active, result });
        self.window = None;
        let event = ProvisioningEvent::ConfigurationReceived { configuration_hash };
        self.change(self.phase(ReprovisioningPhase::Configuring), [event]);
        Ok(VerifiedConfiguration::new(id, configuration_hash, receiver))
    }

    /// The delay is over: the configuration is in force, or failed as configured.
    pub(super) fn finish(&mut self, id: SessionId, now: &Now) {
        let Some(session) = self.session.take_if(|session| session.id == id) else { return };
        if let Some(code) = self.config.failure {
            let error = ErrorReport::from(code);
            session.result.send_replace(Some(ProvisioningResult::failure(error.clone())));
            return self.fail(error, None);
        }
        let Active { server_url, settings, .. } = session.active.clone();
        let result = ProvisioningResult::success(server_url.clone(), settings.label);
        self.link.send_modify(|link| {
            link.connected = true;
            link.server_url = Some(server_url);
            link.last_connected = now.wall;
        });
        self.active = Some(session.active);
        self.deprovisioned = false;
        self.migrated();
        let event = ProvisioningEvent::ProvisioningCompleted(result.clone());
        session.result.send_replace(Some(result));
        self.change(ProvisioningState::Provisioned, [event]);
    }

    /// Removes the configuration.
    pub(super) fn deprovision(&mut self) {
        self.active = None;
        self.deprovisioned = true;
        self.link.send_replace(LinkStatus::default());
        self.leave();
    }

    /// Removes everything.
    pub(super) fn erase(&mut self) {
        (self.manual, self.migrating) = (None, false);
        self.deprovision();
        self.deprovisioned = false;
        self.leave();
    }

    pub(super) fn has_manual(&self) -> bool {
        self.manual.is_some()
    }

    /// Begins to migrate the manual configuration, or keeps it.
    pub(super) fn migrate(&mut self, begun: bool) {
        self.migrating = begun;
        if self.active.is_some() {
            self.migrated();
        }
        self.change(self.state, []);
    }

    /// The new connection is as good as proven: there is none.
    fn migrated(&mut self) {
        if core::mem::take(&mut self.migrating) {
            self.manual = None;
        }
    }

    /// Back to the active configuration, or to Error; `first` is sent before the failure.
    fn fail(&mut self, error: ErrorReport, first: Option<ProvisioningEvent>) {
        let provisioned = self.active.is_some();
        let state =
            if provisioned { ProvisioningState::Provisioned } else { ProvisioningState::Error };
        self.last_error = Some(error.clone());
        self.change(state, first.into_iter().chain([ProvisioningEvent::ProvisioningFailed(error)]));
    }

    fn open_window(&self) -> Result<&Window, ErrorReport> {
        let code = match self.session {
            Some(_) => ErrorCode::StateConflict,
            None => ErrorCode::NotInProvisioningMode,
        };
        self.window.as_ref().ok_or_else(|| code.into())
    }

    /// The state without window and session.
    fn resting(&self) -> ProvisioningState {
        match (&self.active, self.deprovisioned) {
            (Some(_), _) => ProvisioningState::Provisioned,
            (None, true) => ProvisioningState::Deprovisioned,
            (None, false) => ProvisioningState::NotProvisioned,
        }
    }

    fn phase(&self, phase: ReprovisioningPhase) -> ProvisioningState {
        if self.active.is_some() { ProvisioningState::Reprovisioning(phase) } else { phase.plain() }
    }

    /// Shows the new state, then sends `events`, then the status if it changed.
    fn change(
        &mut self,
        state: ProvisioningState,
        events: impl IntoIterator<Item = ProvisioningEvent>,
    ) {
        let before = self.shared.hub.status();
        self.state = state;
        let pairing = self.window.as_ref().map(Window::view);
        let shown = pairing.as_ref().map(|pairing| (&pairing.code, pairing.deadline));
        let session = self.session.as_ref().map(|session| session.id);
        self.shared.ledger().follow(shown, session);
        let mut view = ServiceView::new(state);
        view.pairing = pairing;
        view.last_error.clone_from(&self.last_error);
        view.is_provisioned = self.active.is_some();
        if let Some(active) = &self.active {
            view.server_url = Some(active.server_url.clone());
            view.certificate = Some(CertificateView::new(Some(active.expires)));
            view.settings = Some(active.settings.clone());
        }
        view.manual = ManualView::new(Ok(self.manual.clone()), self.migrating);
        let status = view.status;
        self.shared.show(view);
        for event in events {
            self.shared.hub.emit(event);
        }
        if status != before {
            self.shared.hub.emit(ProvisioningEvent::StatusChanged(status));
        }
    }

    fn generated(&self) -> ProvisioningEvent {
        let expires_at = self.window.as_ref().map(|window| window.expires_at);
        ProvisioningEvent::QrCodeGenerated { expires_at }
    }

    fn make_window(&self, now: &Now, address: DeviceAddress) -> Result<Window, ErrorReport> {
        let (id, code) = {
            let mut rng = self.rng.lock();
            let id = WindowId::generate(&mut *rng);
            (id, PairingCode::generate(self.config.code_format, &mut *rng))
        };
        let made_at = now.wall.unwrap_or(UnixTime::EPOCH);
        let expires_at = made_at + self.config.window;
        let content = self.content(&id, &code, address, expires_at)?;
        let deadline = now.mono + self.config.window;
        Ok(Window { id, code, deadline, made_at, expires_at, address, content })
    }

    fn content(
        &self,
        window_id: &WindowId,
        code: &PairingCode,
        address: DeviceAddress,
        expires_at: UnixTime,
    ) -> Result<Arc<Zeroizing<String>>, ErrorReport> {
        let mut nonce = [0; 16];
        self.rng.fill(&mut nonce);
        let inputs = TokenInputs {
            window_id,
            port: PORT,
            nonce: &nonce,
            thumbprint16: &[0; 16],
            device_id: &self.config.device_id,
            serial: &self.config.serial,
            ip: &address,
            code,
            expires_at,
        };
        let token = PairingToken::mint(&self.token_key, &inputs).map_err(|error| error.code())?;
        let content = QrContent {
            device_id: self.config.device_id.clone(),
            device_serial: self.config.serial.clone(),
            ip_address: address,
            pairing_code: SecretText::new(&code.display()),
            pairing_token: SecretText::new(&token.to_base64url()),
            expires_at,
            firmware_version: self.config.firmware.clone(),
        };
        let json = content.to_json().map_err(|error| error.report(ErrorCode::RequestTooLarge))?;
        Ok(Arc::new(json))
    }
}

impl Window {
    fn view(&self) -> PairingView {
        let mut view = PairingView::new(self.code.clone(), self.deadline);
        view.qr = Some(QrView {
            content: Arc::clone(&self.content),
            address: self.address,
            port: PORT,
            timestamp: self.made_at,
            expires_at: self.expires_at,
        });
        view
    }
}

impl Active {
    /// Reads the members that the mock uses.
    fn read(fields: &PayloadFields) -> Result<Self, ErrorReport> {
        let malformed = |field| ErrorReport::field(ErrorCode::ConfigurationMalformed, field);
        Ok(Self {
            server_url: ServerUrl::parse(&fields.server_url).map_err(malformed)?,
            settings: DeviceSettings {
                label: optional(&fields.device_label, DeviceLabel::parse).map_err(malformed)?,
                bed: optional(&fields.bed_id, BedId::parse).map_err(malformed)?,
                unit: fields.measurement_unit,
                language: fields.language,
                sync_interval: fields.sync_interval,
            },
            expires: fields.timestamp + limits::CERT_LIFETIME.default,
        })
    }
}

/// An empty member is an absent one.
fn optional<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, FieldError>,
) -> Result<Option<T>, FieldError> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}
