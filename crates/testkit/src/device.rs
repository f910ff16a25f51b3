//! A whole bedside monitor for a test.

mod running;

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::watch;
use zmon_crypto::token::PairingToken;
use zmon_crypto::{Anchor, AnchorSet, CertificateChain, Suite};
use zmon_domain::address::ServerUrl;
use zmon_domain::audit::EventType;
use zmon_domain::code::CodeFormat;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion};
use zmon_domain::limits;
use zmon_domain::role::OperatorProof;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_persistence::{CLINICAL_FOLDER, DEVICE_DATABASE};
use zmon_protocol::device::{DeviceProfile, LinkCredentials, StationTrust};
use zmon_provisioning::link::LinkStatus;
use zmon_provisioning::ports::{
    AuditPage, AuditRow, Authenticator, ClinicalInterlock, DeviceStore, KeyStore, Pin,
};
use zmon_provisioning::{
    CentralStationProvisioningService, DeviceParts, IProvisioningService, ProvisioningError,
    ServiceView,
};
use zmon_transport::client::{ClientError, Endpoint};
use zmon_transport::tls::{TlsContext, pinned_client};
use zmon_wire::manifest::ManifestRow;
use zmon_wire::qr::QrContent;

use self::running::Running;
use crate::clock::TestClock;
use crate::fault::Faults;
use crate::peer::Peer;
use crate::seed::Seed;
use crate::{TestStation, disk, wait};

/// The PIN of every operator of a simulated device.
pub const PIN: &str = "48392017";

/// Where a simulated device looks for a manual configuration, in its directory.
pub(crate) const MANUAL_FOLDER: &str = "manual";

/// The device's administrator and technician.
const ADMINISTRATOR: &str = "admin";
const TECHNICIAN: &str = "tom";

/// What is special about a device.
#[derive(Clone)]
pub struct DeviceOptions {
    /// Identifier.
    pub id: String,
    /// Serial number.
    pub serial: String,
    /// Whose stations it believes.
    pub anchors: Vec<Anchor>,
    /// Type of its identity key.
    pub suite: Suite,
    /// Form of its pairing codes.
    pub code_format: CodeFormat,
    /// How long its windows last.
    pub window: Duration,
    /// Address it listens at and announces.
    pub address: IpAddr,
    /// Time.
    pub clock: TestClock,
    /// Randomness.
    pub seed: Seed,
    /// Whether it may replace an expired certificate by itself.
    pub recovery: bool,
    /// Whether it takes its client key from the station.
    pub station_made_keys: bool,
    /// Whether it holds no anchor and an operator confirms its station (D8).
    pub proximity: bool,
    /// The station it asks for the messages of a pairing (the active slot's where none is named), and
    /// how often.
    pub pull: Option<(Option<ServerUrl>, Duration)>,
    /// Whether its open listener is announced by multicast DNS.
    pub mdns: bool,
    /// May this be done to this patient's monitor now.
    pub interlock: Arc<dyn ClinicalInterlock>,
}

impl DeviceOptions {
    /// The device `ZM-001` with the anchor, clock and seed of `station`.
    #[must_use]
    pub fn new(station: &TestStation) -> Self {
        Self::trusting(station.anchor(), station.clock().clone(), station.seed().clone())
    }

    /// The device `ZM-001` with this anchor, clock and seed, whose station is a program.
    #[must_use]
    pub fn trusting(anchor: Anchor, clock: TestClock, seed: Seed) -> Self {
        Self {
            id: "ZM-001".to_owned(),
            serial: "SN-2024-001234".to_owned(),
            anchors: vec![anchor],
            suite: Suite::P256,
            code_format: CodeFormat::Grouped9,
            window: limits::WINDOW.default,
            address: IpAddr::from([127, 0, 0, 1]),
            clock,
            seed,
            recovery: false,
            station_made_keys: false,
            proximity: false,
            pull: None,
            mdns: false,
            interlock: DeviceParts::no_patient(),
        }
    }

    /// Another identifier and serial number.
    #[must_use]
    pub fn named(mut self, id: &str) -> Self {
        self.serial = format!("SN-{id}");
        self.id = id.to_owned();
        self
    }
}

/// A real device in a temporary directory: key files, SQLite, TLS listener, link supervisor.
///
/// It runs in a runtime of its own, so that [`SimulatedDevice::crash`] is a power cut.
pub struct SimulatedDevice {
    dir: TempDir,
    options: DeviceOptions,
    profile: DeviceProfile,
    faults: Faults,
    running: Option<Running>,
}

impl SimulatedDevice {
    /// A device that trusts `station` and shares its time and seed.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn new(station: &TestStation) -> Self {
        Self::with(DeviceOptions::new(station)).await
    }

    /// A device with other options.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with(options: DeviceOptions) -> Self {
        let mut profile = DeviceProfile::new(
            DeviceId::parse(&options.id).expect("a device id"),
            DeviceSerial::parse(&options.serial).expect("a serial number"),
            FirmwareVersion::parse("1.2.3").expect("a firmware version"),
        );
        profile.code_format = options.code_format;
        profile.recovery = options.recovery;
        profile.station_made_keys = options.station_made_keys;
        if options.proximity {
            profile.trust = StationTrust::Proximity;
        }
        let profile = profile.with_window(options.window).expect("a window of 1 to 60 minutes");
        let mut device = Self {
            dir: disk::private("zmon-device-"),
            options,
            profile,
            faults: Faults::new(),
            running: None,
        };
        device.start_as(true).await.expect("the device starts");
        device
    }

    /// The technician types the PIN and enters provisioning mode, again if the device is
    /// provisioned; returns once the QR code is on the screen.
    ///
    /// # Panics
    /// When the device refuses.
    pub async fn enter(&self) {
        self.try_enter().await.expect("provisioning mode entered");
    }

    /// As [`SimulatedDevice::enter`].
    ///
    /// # Errors
    /// What the device refused with.
    pub async fn try_enter(&self) -> Result<(), ProvisioningError> {
        let (proof, service) = (self.technician().await, self.service());
        let state = service.state();
        if state == ProvisioningState::Provisioned {
            service.reprovision_device(proof).await?;
        } else if state == ProvisioningState::Error {
            service.retry(proof).await?;
        } else {
            service.enter_provisioning_mode(proof).await?;
        }
        self.until("a QR code", |view| {
            view.pairing.as_ref().is_some_and(|pairing| pairing.qr.is_some())
        })
        .await;
        Ok(())
    }

    /// [`SimulatedDevice::enter`] and [`SimulatedDevice::qr`] in one.
    ///
    /// # Panics
    /// When the device refuses.
    pub async fn open_window(&self) -> QrContent {
        self.enter().await;
        self.qr().await
    }

    /// What a scanner reads off the screen.
    ///
    /// # Panics
    /// When there is no QR code on the screen.
    pub async fn qr(&self) -> QrContent {
        let drawn = self.service().generate_qr_code().await.expect("a QR code on the screen");
        QrContent::parse(drawn.qr_code_content().as_bytes()).expect("the seven members")
    }

    /// Proof of the device's technician, by PIN.
    ///
    /// # Panics
    /// When the device refuses.
    pub async fn technician(&self) -> OperatorProof {
        self.proof(TECHNICIAN).await
    }

    /// Proof of the device's administrator, by PIN.
    ///
    /// # Panics
    /// When the device refuses.
    pub async fn administrator(&self) -> OperatorProof {
        self.proof(ADMINISTRATOR).await
    }

    async fn proof(&self, name: &str) -> OperatorProof {
        let operators = Arc::clone(&self.up().operators);
        let id = name.parse().expect("an operator's name");
        let (pin, now) = (Pin::parse(PIN).expect("a PIN"), self.options.clock.now());
        operators.authenticate(&id, pin, &now).await.expect("the PIN is right")
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> &DeviceId {
        &self.profile.device_id
    }

    /// Its row of the registry.
    #[must_use]
    pub fn manifest(&self) -> ManifestRow {
        let key = self.up().keys.identity().public().thumbprint();
        ManifestRow::new(self.profile.device_id.clone(), self.profile.serial.clone(), key)
    }

    /// Its service.
    ///
    /// # Panics
    /// While it is off.
    #[must_use]
    pub fn service(&self) -> &Arc<CentralStationProvisioningService> {
        &self.up().service
    }

    /// Status of [I §3.3].
    #[must_use]
    pub fn status(&self) -> ProvisioningStatus {
        self.service().get_status()
    }

    /// State of [W §6].
    #[must_use]
    pub fn state(&self) -> ProvisioningState {
        self.service().state()
    }

    /// What its screen shows.
    #[must_use]
    pub fn view(&self) -> ServiceView {
        self.service().view().borrow().clone()
    }

    /// Waits until the screen shows what is wanted.
    ///
    /// # Panics
    /// As [`wait::until`].
    pub async fn until(&self, what: &str, wanted: impl FnMut(&ServiceView) -> bool) -> ServiceView {
        wait::until(what, self.service().view(), wanted).await
    }

    /// Waits for a state.
    ///
    /// # Panics
    /// As [`wait::until`].
    pub async fn until_state(&self, state: ProvisioningState) -> ServiceView {
        self.until(&format!("state {state:?}"), |view| view.state == state).await
    }

    /// Waits until the monitoring link has its heartbeats answered.
    ///
    /// # Panics
    /// As [`wait::until`].
    pub async fn until_connected(&self) -> LinkStatus {
        wait::until("the link", self.link(), |link| link.connected).await
    }

    /// The monitoring link.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<LinkStatus> {
        self.service().link()
    }

    /// Its memory, without ordered faults.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn DeviceStore> {
        &self.up().store
    }

    /// The credentials of its active slot, as a thief of the device would hold them.
    ///
    /// # Panics
    /// When it is not provisioned.
    pub async fn credentials(&self) -> LinkCredentials {
        let boot = self.store().load().await.expect("the slots are read");
        let slot = boot.slot_a.expect("the device is provisioned");
        slot.credentials().expect("the slot holds credentials")
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &Arc<dyn KeyStore> {
        &self.up().keys
    }

    /// Verifies the audit log and returns how many rows it has.
    ///
    /// # Panics
    /// When the chain is broken.
    pub async fn audit_verified(&self) -> u64 {
        let report = self.store().verify_audit().await.expect("the log is read");
        assert!(report.is_intact(), "the device's audit log: {report:?}");
        report.rows()
    }

    /// The audit log.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn audit(&self) -> Vec<AuditRow> {
        let page = AuditPage { after: 0, limit: 10_000 };
        self.store().events(page).await.expect("the log is read")
    }

    /// Events and codes of the audit log, in order.
    ///
    /// # Panics
    /// As [`SimulatedDevice::audit`].
    pub async fn events(&self) -> Vec<(EventType, Option<ErrorCode>)> {
        self.audit().await.into_iter().map(|row| (row.event, row.error)).collect()
    }

    /// Whether the audit log has a row with this code.
    ///
    /// # Panics
    /// As [`SimulatedDevice::audit`].
    pub async fn has_refused(&self, code: ErrorCode) -> bool {
        self.events().await.iter().any(|(_, error)| *error == Some(code))
    }

    /// Its time.
    #[must_use]
    pub fn clock(&self) -> &TestClock {
        &self.options.clock
    }

    /// What goes wrong on its side.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Where it looks for a manual configuration.
    #[must_use]
    pub fn manual_folder(&self) -> PathBuf {
        self.dir.path().join(MANUAL_FOLDER)
    }

    /// Where its clinical data lie.
    #[must_use]
    pub fn clinical_folder(&self) -> PathBuf {
        self.dir.path().join(CLINICAL_FOLDER)
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.dir.path().join(DEVICE_DATABASE)
    }

    /// A TLS context with this device's provider and time, for clients of a test.
    #[must_use]
    pub fn tls(&self) -> TlsContext {
        running::tls(&self.options.clock)
    }

    /// Where its provisioning listener is, as the token in the QR code says.
    ///
    /// # Panics
    /// When there is no QR code on the screen.
    pub async fn listener(&self) -> SocketAddr {
        let qr = self.qr().await;
        SocketAddr::new(qr.ip_address.ip(), token(&qr).port())
    }

    /// Somebody connects to the provisioning listener who has seen the QR code `qr`.
    ///
    /// # Errors
    /// When the listener is closed, or is not the one of this code.
    ///
    /// # Panics
    /// Never for a code of this device.
    pub async fn peer(&self, qr: &QrContent) -> Result<Peer, ClientError> {
        let token = token(qr);
        let tls = pinned_client(&self.tls(), token.thumbprint16()).expect("a TLS client");
        Peer::open(&Endpoint::address(qr.ip_address.ip(), token.port()), tls).await
    }

    /// Stops it in order.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Cuts its power: no farewell, no row.
    pub fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            running.power.cut();
        }
    }

    /// Waits until an ordered [`Kind::Crash`](crate::Kind::Crash) has cut its power.
    ///
    /// # Panics
    /// As [`wait::within`].
    pub async fn until_crashed(&mut self) {
        let power = self.up().power.clone();
        let off = || async { power.is_off().then_some(()) };
        wait::eventually("the device to die", off).await;
        self.crash();
    }

    /// Switches it on again.
    ///
    /// # Errors
    /// Why it does not start.
    ///
    /// # Panics
    /// While it is on.
    pub async fn start(&mut self) -> Result<(), ProvisioningError> {
        assert!(self.running.is_none(), "the device is on");
        self.start_as(false).await
    }

    /// Stops it in order and switches it on again.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await.expect("the device starts");
    }

    /// Lays down what its maker says of its identity key, made by `certify` from the key's SPKI, and
    /// switches it on again (D9).
    ///
    /// # Panics
    /// When it does not start.
    pub async fn lay_down_factory_chain(
        &mut self,
        certify: impl FnOnce(&DeviceProfile, &[u8]) -> CertificateChain,
    ) {
        let key = self.up().keys.identity().public().spki_der().to_vec();
        self.profile.factory_chain = Some(certify(&self.profile, &key));
        self.restart().await;
    }

    async fn start_as(&mut self, first: bool) -> Result<(), ProvisioningError> {
        let mut anchors = AnchorSet::new();
        for anchor in self.options.anchors.iter().filter(|_| !self.options.proximity) {
            anchors.insert(anchor.clone()).expect("anchors differ");
        }
        let parts = running::Parts {
            dir: self.dir.path().to_owned(),
            options: self.options.clone(),
            profile: self.profile.clone(),
            anchors,
            faults: self.faults.clone(),
            first_start: first,
        };
        self.running = Some(Running::start(parts).await?);
        Ok(())
    }

    fn up(&self) -> &Running {
        self.running.as_ref().expect("the device is on")
    }
}

impl Drop for SimulatedDevice {
    fn drop(&mut self) {
        self.crash();
        self.options.seed.tell_if_failing();
    }
}

fn token(qr: &QrContent) -> PairingToken {
    PairingToken::parse_base64url(qr.pairing_token.expose()).expect("a pairing token")
}
