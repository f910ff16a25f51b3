//! The station against the real device machine, its actions executed by hand.

#[cfg(test)]
mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::runtime::{SeededEntropy, TestClock};
use common::world::{anchors, compose_with};
use common::{administrator, pass, technician};
use zmon_crypto::{Algorithms, IdentityKey, RootSecret, SoftIdentity, Suite};
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, Serial, Thumbprint};
use zmon_domain::role::Actor;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{
    BootState, DeviceAction, DeviceContext, DeviceInput, DeviceMachine, DeviceProfile, DeviceReply,
    LinkCredentials, LinkError,
};
use zmon_station::ports::{
    CertificateState, Claim, Clock, DeviceConnection, DeviceDialer, DialError, Entropy, Target,
};
use zmon_station::{PairOutcome, Station, StationError};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::kind::V1;
use zmon_wire::manifest::{self, ManifestRow};
use zmon_wire::pair::PairRequest;
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::secret::SecretText;
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

const PORT: u16 = 40_123;

/// The machine, its keys, and the station it talks to.
#[cfg(test)]
struct Monitor {
    machine: Mutex<DeviceMachine>,
    profile: DeviceProfile,
    identity: SoftIdentity,
    root: RootSecret,
    clock: Arc<TestClock>,
    entropy: SeededEntropy,
    station: Mutex<Option<Arc<Station>>>,
}

#[cfg(test)]
impl Monitor {
    fn new(clock: &Arc<TestClock>, suite: Suite) -> Arc<Self> {
        let entropy = SeededEntropy::new(77);
        let mut rng = entropy.generator();
        let profile = DeviceProfile::new(
            DeviceId::parse("ZM-001").unwrap(),
            DeviceSerial::parse("SN-2024-001234").unwrap(),
            FirmwareVersion::parse("1.2.3").unwrap(),
        );
        let identity = SoftIdentity::generate(suite, rng.as_mut()).unwrap();
        let root = RootSecret::generate(rng.as_mut());
        let (token_key, code_hash_key) = (root.token_key(), root.code_hash_key());
        let ctx = DeviceContext {
            profile: &profile,
            identity: &identity,
            token_key: &token_key,
            code_hash_key: &code_hash_key,
            anchors: &anchors(),
            algorithms: &Algorithms::rustcrypto(),
            checkpoint: None,
        };
        let machine = DeviceMachine::restore(BootState::default(), &ctx, &clock.now()).next;
        Arc::new(Self {
            machine: Mutex::new(machine),
            profile,
            identity,
            root,
            clock: Arc::clone(clock),
            entropy,
            station: Mutex::default(),
        })
    }

    /// One step; the record counts as committed.
    fn step(&self, input: DeviceInput) -> (Vec<DeviceAction>, Result<DeviceReply, ErrorReport>) {
        let (token_key, code_hash_key) = (self.root.token_key(), self.root.code_hash_key());
        let ctx = DeviceContext {
            profile: &self.profile,
            identity: &self.identity,
            token_key: &token_key,
            code_hash_key: &code_hash_key,
            anchors: &anchors(),
            algorithms: &Algorithms::rustcrypto(),
            checkpoint: None,
        };
        let mut machine = self.machine.lock().unwrap();
        let mut rng = self.entropy.generator();
        let step = machine.clone().handle(&ctx, &self.clock.now(), rng.as_mut(), input);
        *machine = step.next;
        (step.actions, step.reply)
    }

    /// Opens a window and returns what a tablet reads off its QR code.
    fn scanned(&self) -> PairRequest {
        let address = DeviceAddress::parse("10.1.50.200").unwrap();
        self.step(DeviceInput::Enter { proof: technician(), address }).1.unwrap();
        self.step(DeviceInput::ListenerOpened { port: PORT }).1.unwrap();
        let qr = self.machine.lock().unwrap().snapshot(&self.clock.now()).qr.unwrap();
        PairRequest {
            device_id: qr.device_id,
            pairing_code: SecretText::new(qr.pairing_code.expose()),
            pairing_token: Some(SecretText::new(qr.pairing_token.expose())),
            session_id: None,
            device_serial: Some(qr.device_serial),
            ip_address: Some(qr.ip_address),
            port: None,
            bed_id: None,
            device_label: None,
            delivery: None,
        }
    }

    fn state(&self) -> ProvisioningState {
        self.machine.lock().unwrap().state()
    }

    /// Runs actions until the waiting delivery has its answer.
    async fn settle(&self, mut actions: Vec<DeviceAction>) -> String {
        let station = self.station.lock().unwrap().clone().unwrap();
        loop {
            let mut next = Vec::new();
            for action in actions {
                #[expect(clippy::wildcard_enum_match_arm, reason = "the rest needs no answer")]
                let input = match action {
                    DeviceAction::TestConnection { credentials, .. } => {
                        let tested = station.test(&serial(&credentials)).await;
                        DeviceInput::Tested(tested.map(|_| ()).map_err(|error| refused(&error)))
                    }
                    DeviceAction::SendCommit { credentials, request } => {
                        let outcome = station.commit(&serial(&credentials), &request).await;
                        let outcome = outcome.map(String::into_bytes);
                        DeviceInput::CommitAnswered(outcome.map_err(|error| refused(&error)))
                    }
                    DeviceAction::AnswerDelivery { status, .. } => return status,
                    _ => continue,
                };
                next.extend(self.step(input).0);
            }
            if next.is_empty() {
                // The machine has due work of its own: the test of a staged slot.
                assert!(self.machine.lock().unwrap().poll_timeout() <= Some(self.clock.now().mono));
                next = self.step(DeviceInput::Timeout).0;
            }
            actions = next;
        }
    }
}

#[cfg(test)]
fn refused(error: &StationError) -> LinkError {
    LinkError::Refused(error.code())
}

/// The serial number that the TLS layer would read from the client certificate.
#[cfg(test)]
fn serial(credentials: &LinkCredentials) -> Serial {
    use x509_cert::Certificate;
    use x509_cert::der::Decode;
    let certificate = Certificate::from_der(&credentials.client_chain[0]).unwrap();
    Serial::from_bytes(certificate.tbs_certificate().serial_number().as_bytes()).unwrap()
}

#[cfg(test)]
struct Wire(Arc<Monitor>);

#[cfg(test)]
#[async_trait]
impl DeviceDialer for Wire {
    async fn open(
        &self,
        target: &Target,
        open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        assert_eq!(target.port, PORT);
        assert_eq!(target.thumbprint16, self.0.identity.public().thumbprint().short());
        let hello = open.hello.into_bytes();
        let input = DeviceInput::SessionOpen { hello, claim_mac: open.claim_mac };
        match self.0.step(input).1 {
            Ok(DeviceReply::Identity(identity)) => {
                Ok((SessionAnswer { identity }, Box::new(Self(Arc::clone(&self.0)))))
            }
            Ok(other) => Err(DialError::Unreachable { cause: format!("{other:?}") }),
            Err(report) => Err(DialError::Refused { report }),
        }
    }

    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
        assert_eq!(target.port, PORT);
        assert_eq!(target.thumbprint16, self.0.identity.public().thumbprint().short());
        match self.0.step(DeviceInput::AskWindow).1 {
            Ok(DeviceReply::Window(device_id, window)) => {
                let window_id = *window.as_bytes();
                let answer = WindowAnswer { v: V1::default(), device_id, window_id };
                Ok((answer, Box::new(Self(Arc::clone(&self.0)))))
            }
            Ok(other) => Err(DialError::Unreachable { cause: format!("{other:?}") }),
            Err(report) => Err(DialError::Refused { report }),
        }
    }

    fn again(&self, _target: &Target, _claim: Option<Claim>) -> Box<dyn DeviceConnection> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

#[cfg(test)]
#[async_trait]
impl DeviceConnection for Wire {
    async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError> {
        let hello = start.hello.into_bytes();
        match self.0.step(DeviceInput::PakeStart { hello, share_p: start.share_p }).1 {
            Ok(DeviceReply::Share { share_v, confirm_v }) => Ok(PakeStarted { share_v, confirm_v }),
            Ok(other) => Err(DialError::Unreachable { cause: format!("{other:?}") }),
            Err(report) => Err(DialError::Refused { report }),
        }
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        let PakeConfirm { session_id, confirm_p } = confirm;
        match self.0.step(DeviceInput::PakeConfirm { session_id, confirm_p }).1 {
            Ok(DeviceReply::Identity(identity)) => Ok(SessionAnswer { identity }),
            Ok(other) => Err(DialError::Unreachable { cause: format!("{other:?}") }),
            Err(report) => Err(DialError::Refused { report }),
        }
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        let BlinkRequest { session_id, number, mac } = request;
        match self.0.step(DeviceInput::Blink { session_id, number, mac }).1 {
            Ok(DeviceReply::Blinking { seconds }) => Ok(BlinkAnswer { seconds }),
            Ok(other) => Err(DialError::Unreachable { cause: format!("{other:?}") }),
            Err(report) => Err(DialError::Refused { report }),
        }
    }

    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        let (actions, reply) = self.0.step(DeviceInput::Configuration { envelope });
        let status = match reply {
            Ok(DeviceReply::Status(status)) => status,
            Ok(_) => self.0.settle(actions).await,
            Err(report) => return Err(DialError::Refused { report }),
        };
        Ok(DeliveryAnswer { status })
    }
}

#[tokio::test(start_paused = true)]
async fn the_real_machine_is_paired_and_paired_again() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        let clock = Arc::new(TestClock::new());
        let monitor = Monitor::new(&clock, suite);
        let (station, store) = compose_with(&clock, Arc::new(Wire(Arc::clone(&monitor))));
        station.start().await.unwrap();
        *monitor.station.lock().unwrap() = Some(Arc::clone(&station));
        let key: Thumbprint = monitor.identity.public().thumbprint();
        let row = ManifestRow::new(
            monitor.profile.device_id.clone(),
            monitor.profile.serial.clone(),
            key,
        );
        let manifest = manifest::to_lines(&[row]).unwrap();
        station.import(&administrator(), &manifest).await.unwrap();

        let outcome = station.pair(&technician(), monitor.scanned()).await.unwrap();
        assert!(matches!(outcome, PairOutcome::Paired(_)));
        assert_eq!(monitor.state(), ProvisioningState::Provisioned);

        pass(Duration::from_secs(60)).await;
        let address = DeviceAddress::parse("10.1.50.200").unwrap();
        let again = DeviceInput::Reprovision { proof: technician(), address };
        monitor.step(again).1.unwrap();
        monitor.step(DeviceInput::ListenerOpened { port: PORT }).1.unwrap();
        let qr = monitor.machine.lock().unwrap().snapshot(&clock.now()).qr.unwrap();
        let request = PairRequest {
            device_id: qr.device_id,
            pairing_code: SecretText::new(qr.pairing_code.expose()),
            pairing_token: Some(SecretText::new(qr.pairing_token.expose())),
            session_id: None,
            device_serial: None,
            ip_address: Some(qr.ip_address),
            port: None,
            bed_id: None,
            device_label: None,
            delivery: None,
        };
        let outcome = station.pair(&technician(), request).await.unwrap();
        assert!(matches!(outcome, PairOutcome::Paired(_)));
        assert_eq!(monitor.state(), ProvisioningState::Provisioned);
        let mut states: Vec<_> =
            store.certificates().iter().map(|row| row.state.as_str()).collect();
        states.sort_unstable();
        let expected = [CertificateState::Current, CertificateState::Superseded];
        assert_eq!(states, expected.map(CertificateState::as_str));
    }
}

#[tokio::test(start_paused = true)]
async fn the_real_machine_is_paired_by_its_typed_code() {
    let clock = Arc::new(TestClock::new());
    let monitor = Monitor::new(&clock, Suite::P256);
    let (station, store) = compose_with(&clock, Arc::new(Wire(Arc::clone(&monitor))));
    station.start().await.unwrap();
    *monitor.station.lock().unwrap() = Some(Arc::clone(&station));
    let mut row = ManifestRow::new(
        monitor.profile.device_id.clone(),
        monitor.profile.serial.clone(),
        monitor.identity.public().thumbprint(),
    );
    // Where it listens comes from the registry: the request is the document's, without its token.
    row.port = std::num::NonZeroU16::new(PORT);
    let scanned = monitor.scanned();
    row.ip_address = scanned.ip_address;
    station.import(&administrator(), &manifest::to_lines(&[row]).unwrap()).await.unwrap();
    let typed = || PairRequest {
        pairing_token: None,
        device_serial: None,
        ip_address: None,
        ..scanned.clone()
    };
    let wrong = PairRequest { pairing_code: SecretText::new("000-000-00R"), ..typed() };
    let refused = station.pair(&technician(), wrong).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidPairingCode);
    let outcome = station.pair(&technician(), typed()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    assert_eq!(monitor.state(), ProvisioningState::Provisioned);
    assert_eq!(store.certificates().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_window_is_refused_by_the_real_machine() {
    let clock = Arc::new(TestClock::new());
    let monitor = Monitor::new(&clock, Suite::P256);
    let (station, store) = compose_with(&clock, Arc::new(Wire(Arc::clone(&monitor))));
    station.start().await.unwrap();
    *monitor.station.lock().unwrap() = Some(Arc::clone(&station));
    let row = ManifestRow::new(
        monitor.profile.device_id.clone(),
        monitor.profile.serial.clone(),
        monitor.identity.public().thumbprint(),
    );
    station.import(&administrator(), &manifest::to_lines(&[row]).unwrap()).await.unwrap();
    let old = monitor.scanned();
    monitor.step(DeviceInput::Regenerate { actor: Actor::Local }).1.unwrap();
    assert!(station.pair(&technician(), old).await.is_err());
    assert_eq!(store.certificates(), []);
    assert!(!matches!(monitor.state(), ProvisioningState::Provisioned));
}
