//! A whole station for a test.

mod running;

use core::time::Duration;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use zmon_crypto::{Anchor, RootSecret};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{Serial, SiteId, StationId, StationName};
use zmon_persistence::STATION_DATABASE;
use zmon_station::ca::{CaMaterial, CaParams, ServerName};
use zmon_station::ports::{AuditPage, AuditRow, CertificateRow, CertificateState, StationStore};
use zmon_station::{Station, StationPolicy};
use zmon_transport::client::{ClientTimes, Endpoint};
use zmon_transport::tls::{TlsContext, certificates_from_pem, trusting_client};
use zmon_wire::manifest::ManifestRow;
use zmon_wire::pair::PairAnswer;
use zmon_wire::qr::QrContent;

use self::running::Running;
pub(crate) use self::running::tls;
use crate::clock::{RETRIES, TestClock};
use crate::fault::Faults;
use crate::operator::{ApiError, Operator};
use crate::seed::Seed;
use crate::{SimulatedDevice, TestDatabase, disk, wait};

/// The password of every operator of a test station.
pub const PASSWORD: &str = "correct horse battery";

/// When the virtual time of every test begins, 2026-11-23T00:00:00Z: a seed gives the same dates, and
/// so the same certificates and messages, on whatever day it is run again.
const BEGINNING: i64 = 1_795_392_000;

/// Account of the administrator.
const ADMINISTRATOR: &str = "admin";
/// Account of the technician.
const TECHNICIAN: &str = "tina";

/// What is special about a station.
#[derive(Clone)]
pub struct StationOptions {
    /// Identifier.
    pub id: String,
    /// Site, as its anchor says.
    pub site: String,
    /// Time; a new clock at one fixed date by default.
    pub clock: TestClock,
    /// Randomness.
    pub seed: Seed,
    /// How long it tries to reach a device, and waits for an answer. A device that cannot be reached
    /// costs three times the former, in real time.
    pub dial: ClientTimes,
    /// Changes what it allows.
    pub policy: fn(&mut StationPolicy),
    /// Where it keeps its memory; SQLite in its directory by default.
    pub database: Option<Arc<TestDatabase>>,
}

impl StationOptions {
    /// A station that soon gives up on a device that cannot be reached.
    #[must_use]
    pub fn impatient() -> Self {
        let connect = Duration::from_millis(500);
        Self { dial: ClientTimes { connect, ..ClientTimes::default() }, ..Self::default() }
    }

    /// A station beside programs as they ship, which read the machine's clock: it begins today.
    #[must_use]
    pub fn beside_programs() -> Self {
        Self { clock: TestClock::today(), ..Self::default() }
    }
}

impl Default for StationOptions {
    fn default() -> Self {
        Self {
            id: "station-1".to_owned(),
            site: "st-mary".to_owned(),
            clock: TestClock::starting_at(BEGINNING),
            seed: Seed::from_environment(),
            dial: ClientTimes::default(),
            policy: |_| {},
            database: None,
        }
    }
}

/// A real station on `127.0.0.1`: certificate authority, a database, both TLS listeners on free ports,
/// an administrator and a technician who are logged in.
///
/// It runs in a runtime of its own, so that [`TestStation::crash`] is a crash.
pub struct TestStation {
    dir: TempDir,
    options: StationOptions,
    material: Arc<CaMaterial>,
    root: RootSecret,
    faults: Faults,
    operators: SocketAddr,
    devices: SocketAddr,
    running: Option<Running>,
    accounts: Option<(Operator, Operator)>,
}

impl TestStation {
    /// A station with every default.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::start_with(StationOptions::default()).await
    }

    /// A station with other options.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(options: StationOptions) -> Self {
        let id = StationId::parse(&options.id).expect("a station id");
        let name = StationName::parse("Ward 3").expect("a station name");
        let site = SiteId::parse(&options.site).expect("a site id");
        let names = vec![ServerName::parse("127.0.0.1").expect("an address")];
        let now = options.clock.now().wall.expect("a station has a date");
        let params = CaParams::new(id, name, site, names);
        let material = CaMaterial::generate(&params, &mut options.seed.rng(), now);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut station = Self {
            dir: disk::private("zmon-station-"),
            material: Arc::new(material.expect("an authority").without_anchor_key()),
            root: RootSecret::generate(&mut options.seed.rng()),
            options,
            faults: Faults::new(),
            operators: any,
            devices: any,
            running: None,
            accounts: None,
        };
        station.bring_up(true).await;
        let stranger = station.stranger();
        let admin = stranger.clone().log_in(ADMINISTRATOR, PASSWORD).await.expect("logged in");
        let technician = stranger.log_in(TECHNICIAN, PASSWORD).await.expect("logged in");
        station.accounts = Some((admin, technician));
        station
    }

    /// The administrator's tablet.
    ///
    /// # Panics
    /// Never after the start.
    #[must_use]
    pub fn administrator(&self) -> &Operator {
        &self.accounts.as_ref().expect("logged in at the start").0
    }

    /// The technician's tablet.
    ///
    /// # Panics
    /// Never after the start.
    #[must_use]
    pub fn technician(&self) -> &Operator {
        &self.accounts.as_ref().expect("logged in at the start").1
    }

    /// Both operators log in again: a login does not last for ever.
    ///
    /// # Panics
    /// When the station refuses.
    pub async fn log_in_again(&mut self) {
        let admin = self.stranger().log_in(ADMINISTRATOR, PASSWORD).await.expect("logged in");
        let technician = self.stranger().log_in(TECHNICIAN, PASSWORD).await.expect("logged in");
        self.accounts = Some((admin, technician));
    }

    /// A tablet that nobody is logged in at.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn stranger(&self) -> Operator {
        let pem = self.anchor_pem();
        let ca = certificates_from_pem(pem.as_bytes()).expect("the anchor is PEM");
        let tls = trusting_client(&self.tls(), &ca).expect("the anchor is a CA");
        Operator::new(Endpoint::address(self.operators.ip(), self.operators.port()), tls)
    }

    /// Lays the device down in the registry.
    ///
    /// # Panics
    /// When the station refuses.
    pub async fn register(&self, device: &SimulatedDevice) {
        self.import(device.manifest()).await;
    }

    /// Lays a device down in the registry by its row.
    ///
    /// # Panics
    /// When the station refuses.
    pub async fn import(&self, row: ManifestRow) {
        self.administrator().import(&[row]).await.expect("registered");
    }

    /// The technician pairs a device by its QR code. Pauses between retries pass at once, and with
    /// them everything that is due within [`RETRIES`]; at the edge of a deadline ask
    /// [`TestStation::technician`] to pair.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn pair(&self, qr: &QrContent) -> Result<PairAnswer, ApiError> {
        let pairing = self.options.clock.hurry(RETRIES, self.technician().pair(qr));
        wait::within("a pairing", pairing).await
    }

    /// The administrator revokes the device's current certificate; its serial number.
    ///
    /// # Panics
    /// When the device has none, or the station refuses.
    pub async fn revoke(&self, device: &SimulatedDevice) -> Serial {
        let current = self.certificates(device, CertificateState::Current).await;
        let serial = current.first().expect("a current certificate").serial;
        self.administrator().revoke(&serial).await.expect("revoked");
        serial
    }

    /// The device's certificates in a state, oldest first.
    ///
    /// # Panics
    /// When the database cannot be read.
    pub async fn certificates(
        &self,
        device: &SimulatedDevice,
        state: CertificateState,
    ) -> Vec<CertificateRow> {
        let id = device.id();
        self.store().certificates_of_device(id, state).await.expect("certificates are read")
    }

    /// Verifies the audit log and returns how many rows it has.
    ///
    /// # Panics
    /// When the chain is broken.
    pub async fn audit_verified(&self) -> u64 {
        let report = self.store().verify_audit().await.expect("the log is read");
        assert_eq!(report.damage, None, "the station's audit log");
        report.rows
    }

    /// The audit log.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn audit(&self) -> Vec<AuditRow> {
        let page = AuditPage { after: 0, limit: 10_000 };
        self.store().audit(page).await.expect("the log is read")
    }

    /// Events and codes of the audit log, in order.
    ///
    /// # Panics
    /// As [`TestStation::audit`].
    pub async fn events(&self) -> Vec<(EventType, Option<ErrorCode>)> {
        self.audit().await.into_iter().map(|row| (row.event, row.error)).collect()
    }

    /// Whether the audit log has a row with this code.
    ///
    /// # Panics
    /// As [`TestStation::audit`].
    pub async fn has_refused(&self, code: ErrorCode) -> bool {
        self.events().await.iter().any(|(_, error)| *error == Some(code))
    }

    /// The certificate that devices are given at imaging.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn anchor_pem(&self) -> String {
        self.material.anchor_pem().expect("a certificate has a PEM form")
    }

    /// The anchor of this station's site.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        let site = SiteId::parse(&self.options.site).expect("a site id");
        Anchor::parse(self.material.anchor_der(), site).expect("an anchor")
    }

    /// Its site.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.options.site
    }

    /// Where operators connect.
    #[must_use]
    pub fn operators(&self) -> SocketAddr {
        self.operators
    }

    /// Where devices connect.
    #[must_use]
    pub fn devices(&self) -> SocketAddr {
        self.devices
    }

    /// Its time.
    #[must_use]
    pub fn clock(&self) -> &TestClock {
        &self.options.clock
    }

    /// Its randomness.
    #[must_use]
    pub fn seed(&self) -> &Seed {
        &self.options.seed
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

    /// Its database, if that is SQLite.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.dir.path().join(STATION_DATABASE)
    }

    /// The use-cases, beside the listeners.
    ///
    /// # Panics
    /// While it is down.
    #[must_use]
    pub fn station(&self) -> &Arc<Station> {
        &self.running.as_ref().expect("the station is up").station
    }

    /// Its memory.
    ///
    /// # Panics
    /// While it is down.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StationStore> {
        &self.running.as_ref().expect("the station is up").store
    }

    /// A TLS context with this station's time, for clients of a test.
    #[must_use]
    pub fn tls(&self) -> TlsContext {
        running::tls(&self.options.clock)
    }

    /// Stops it in order; its ports are closed afterwards.
    ///
    /// # Panics
    /// When the end cannot be written down.
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

    /// Starts it again, on the same ports and directory; it is stopped first if it is up.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.bring_up(false).await;
    }

    async fn bring_up(&mut self, first: bool) {
        let parts = running::Parts {
            dir: self.dir.path().to_owned(),
            options: self.options.clone(),
            material: Arc::clone(&self.material),
            root: self.root.clone(),
            faults: self.faults.clone(),
            operators: self.operators,
            devices: self.devices,
            first_start: first,
        };
        let running = Running::start(parts).await;
        (self.operators, self.devices) = running.addresses();
        self.running = Some(running);
    }
}

impl Drop for TestStation {
    fn drop(&mut self) {
        self.crash();
        self.options.seed.tell_if_failing();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_begins_at_one_date_and_one_beside_programs_today() {
        let date = |clock: &TestClock| clock.now().wall.expect("a date").unix();
        let began = |options: StationOptions| date(&options.clock);
        assert_eq!(began(StationOptions::default()), BEGINNING);
        assert_eq!(began(StationOptions::impatient()), BEGINNING);
        assert!((began(StationOptions::beside_programs()) - date(&TestClock::today())).abs() < 60);
    }
}
