//! A device of few words: it speaks the protocol with the primitives of `zmon-crypto`, keeps no
//! state machine, and misbehaves on request.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zmon_crypto::envelope::Envelope;
use zmon_crypto::jws::{self, Typ, Unverified};
use zmon_crypto::pake::{PakeInputs, Share, Verifier};
use zmon_crypto::schedule::{Prk, SessionKeys, Transcript, transcript};
use zmon_crypto::token::{PairingToken, TokenInputs};
use zmon_crypto::x509::{self, CertificateChain, ClientExpectation, csr};
use zmon_crypto::{Algorithms, IdentityKey, KemKey, RootSecret, SoftIdentity, Suite, sha256};
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::{CodeFormat, PairingCode};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, Serial, SessionId, WindowId};
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::ClockQuality;
use zmon_station::ports::DialError;
use zmon_station::{Station, StationError};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::checkpoint::{Checkpoint, LaneHead};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::hello::Hello;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::kind::{KeyProtection, Method, TrustLevel, V1};
use zmon_wire::manifest::ManifestRow;
use zmon_wire::outcome::{CommitRequest, Outcome, OutcomeAsk, OutcomeResult};
use zmon_wire::pair::{PairRequest, ScanRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::pull::{FetchRequest, Pull, PullAnswer};
use zmon_wire::secret::SecretText;
use zmon_wire::session::{SessionOpen, StatusDocument};
use zmon_wire::strict;

use super::runtime::TestClock;

/// What a device does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It does not answer at all.
    Unreachable,
    /// It refuses the claim.
    RefusesClaim,
    /// Its disk is full.
    FullDisk,
    /// Its identity document answers another hello.
    WrongNonce,
    /// Its identity document is signed by another key.
    WrongSignature,
    /// Its identity document names another device.
    WrongId,
    /// Its request is signed by another key than it asks to certify.
    WrongCsr,
    /// It takes 45 seconds to apply the configuration.
    SlowDelivery,
    /// It takes 4 seconds to answer a blink.
    SlowBlink,
    /// It refuses the configuration.
    RefusesConfiguration,
    /// It says success without having committed.
    LiesAboutSuccess,
    /// It commits, and its answer to the delivery is lost.
    LosesAnswer,
    /// It tests, and neither commits nor answers.
    DiesBeforeCommit,
    /// It commits, and its first answer never comes, though its connection stands.
    HangsAfterCommit,
    /// It takes the end of a typed code's run, and its answer is lost.
    LosesConfirmation,
}

/// What the device remembers of its window.
struct Window {
    id: WindowId,
    kem: KemKey,
    token: PairingToken,
    code: PairingCode,
    session: Option<Session>,
    run: Option<(Verifier, String)>,
}

#[derive(Clone)]
struct Session {
    id: SessionId,
    answer: String,
    transcript: Transcript,
    keys: SessionKeys,
    tls: Arc<SoftIdentity>,
}

fn refused() -> DialError {
    DialError::Refused { report: ErrorReport::new(ErrorCode::ClaimRefused) }
}

/// A simulated device.
pub(crate) struct FakeDevice {
    pub(crate) id: DeviceId,
    pub(crate) serial: DeviceSerial,
    pub(crate) address: DeviceAddress,
    pub(crate) identity: SoftIdentity,
    port: u16,
    root: RootSecret,
    window: Mutex<Window>,
    fault: Mutex<Fault>,
    /// The numbers of the blinks it was asked for.
    pub(crate) blinks: Mutex<Vec<u32>>,
    rng: Mutex<ChaCha20Rng>,
    station: Mutex<Weak<Station>>,
    pub(crate) opens: AtomicUsize,
    pub(crate) deliveries: AtomicUsize,
    pub(crate) installed: Mutex<Vec<(Serial, ConfigurationDocument)>>,
    /// The checkpoint of its audit log that it shows.
    pub(crate) log: Mutex<Option<String>>,
    /// The chain of its maker that it shows.
    factory_chain: Mutex<Option<Vec<String>>>,
}

impl FakeDevice {
    /// A device with its own keys; `n` makes it unique.
    pub(crate) fn new(n: u8, suite: Suite) -> Arc<Self> {
        let mut rng = ChaCha20Rng::seed_from_u64(1000 + u64::from(n));
        let identity = SoftIdentity::generate(suite, &mut rng).unwrap();
        let root = RootSecret::generate(&mut rng);
        let id = DeviceId::parse(&format!("ZM-{n:03}")).unwrap();
        let serial = DeviceSerial::parse(&format!("SN-2026-{n:06}")).unwrap();
        let address = DeviceAddress::parse(&format!("10.1.50.{n}")).unwrap();
        let port = 40_000 + u16::from(n);
        let window = Self::fresh(&identity, &root, &id, &serial, address, port, &mut rng);
        Arc::new(Self {
            id,
            serial,
            address,
            identity,
            port,
            root,
            window: Mutex::new(window),
            fault: Mutex::default(),
            blinks: Mutex::default(),
            rng: Mutex::new(rng),
            station: Mutex::default(),
            opens: AtomicUsize::new(0),
            deliveries: AtomicUsize::new(0),
            installed: Mutex::default(),
            log: Mutex::default(),
            factory_chain: Mutex::default(),
        })
    }

    /// Another device that claims this one's id and serial number.
    pub(crate) fn impostor(&self, n: u8) -> Arc<Self> {
        let other = Self::new(n, Suite::P256);
        let mut other = Arc::into_inner(other).unwrap();
        other.id = self.id.clone();
        other.serial = self.serial.clone();
        Arc::new(other)
    }

    /// The same device behind another port.
    pub(crate) fn at(mut self, port: u16) -> Arc<Self> {
        self.port = port;
        Arc::new(self)
    }

    fn fresh(
        identity: &SoftIdentity,
        root: &RootSecret,
        id: &DeviceId,
        serial: &DeviceSerial,
        address: DeviceAddress,
        port: u16,
        rng: &mut ChaCha20Rng,
    ) -> Window {
        let code = PairingCode::generate(CodeFormat::Grouped9, rng);
        let nonce = *WindowId::generate(rng).as_bytes();
        let window_id = WindowId::generate(rng);
        let inputs = TokenInputs {
            window_id: &window_id,
            port,
            nonce: &nonce,
            thumbprint16: &identity.public().thumbprint().short(),
            device_id: id,
            serial,
            ip: &address,
            code: &code,
            expires_at: TestClock::first(),
        };
        let token = PairingToken::mint(&root.token_key(), &inputs).unwrap();
        let kem = KemKey::generate(identity.public().suite(), rng).unwrap();
        Window { id: window_id, kem, token, code, session: None, run: None }
    }

    /// Opens a new window: new code, token and keys.
    pub(crate) fn open_window(&self) {
        let mut rng = self.rng.lock().unwrap();
        let window = Self::fresh(
            &self.identity,
            &self.root,
            &self.id,
            &self.serial,
            self.address,
            self.port,
            &mut rng,
        );
        *self.window.lock().unwrap() = window;
    }

    pub(crate) fn misbehave(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn connect(&self, station: &Arc<Station>) {
        *self.station.lock().unwrap() = Arc::downgrade(station);
    }

    pub(crate) fn station(&self) -> Arc<Station> {
        self.station.lock().unwrap().upgrade().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn token(&self) -> PairingToken {
        self.window.lock().unwrap().token.clone()
    }

    pub(crate) fn manifest_row(&self) -> ManifestRow {
        ManifestRow::new(self.id.clone(), self.serial.clone(), self.identity.public().thumbprint())
    }

    /// What a tablet sends after scanning this device's screen.
    pub(crate) fn scan_request(&self) -> ScanRequest {
        let window = self.window.lock().unwrap();
        ScanRequest {
            device_id: self.id.clone(),
            device_serial: Some(self.serial.clone()),
            ip_address: Some(self.address),
            pairing_code: SecretText::new(&window.code.display()),
            pairing_token: Some(SecretText::new(&window.token.to_base64url())),
            port: None,
            expires_at: None,
            firmware_version: None,
            delivery: None,
        }
    }

    /// [W §11.3]'s request, with the address.
    pub(crate) fn pair_request(&self) -> PairRequest {
        let scan = self.scan_request();
        PairRequest {
            device_id: scan.device_id,
            pairing_code: scan.pairing_code,
            pairing_token: scan.pairing_token,
            session_id: None,
            device_serial: None,
            ip_address: scan.ip_address,
            port: None,
            bed_id: None,
            device_label: None,
            delivery: None,
        }
    }

    /// A checkpoint over an audit log of so many rows; `hash` is that of the last one.
    pub(crate) fn checkpoint(&self, rows: u64, hash: u8) -> String {
        let head = LaneHead { hash: [hash; 32], lane: format!("device:{}", self.id), seq: rows };
        let statement = Checkpoint {
            heads: vec![head],
            previous: None,
            rows,
            timestamp: None,
            v: V1::default(),
        };
        let payload = strict::to_vec(&statement).unwrap();
        let rng = &mut *self.rng.lock().unwrap();
        jws::sign(Typ::Checkpoint, None, &payload, &self.identity, rng).unwrap()
    }

    /// Shows its audit log from now on.
    pub(crate) fn show_log(&self, checkpoint: Option<String>) {
        *self.log.lock().unwrap() = checkpoint;
    }

    /// Shows a chain of its maker from now on.
    pub(crate) fn show_factory_chain(&self, chain: Option<Vec<String>>) {
        *self.factory_chain.lock().unwrap() = chain;
    }

    /// What a tablet sends after the code was typed.
    pub(crate) fn typed_request(&self, code: &str) -> PairRequest {
        PairRequest {
            pairing_token: None,
            pairing_code: SecretText::new(code),
            port: NonZeroU16::new(self.port),
            ..self.pair_request()
        }
    }

    /// The code on the screen.
    pub(crate) fn code(&self) -> String {
        self.window.lock().unwrap().code.display().to_string()
    }

    /// Answers `GET /api/provisioning/window`.
    pub(crate) fn answer_window(&self) -> Result<WindowAnswer, DialError> {
        if *self.fault.lock().unwrap() == Fault::Unreachable {
            return Err(DialError::Unreachable { cause: "ordered by the test".to_owned() });
        }
        let window_id = *self.window.lock().unwrap().id.as_bytes();
        Ok(WindowAnswer { v: V1::default(), device_id: self.id.clone(), window_id })
    }

    /// Answers `POST /api/provisioning/pake/start`.
    pub(crate) fn answer_start(&self, start: &PakeStart) -> Result<PakeStarted, DialError> {
        let _ = self.opens.fetch_add(1, Ordering::SeqCst);
        if *self.fault.lock().unwrap() == Fault::RefusesClaim {
            return Err(refused());
        }
        let mut window = self.window.lock().unwrap();
        let hello = start.hello.as_bytes();
        let payload = Unverified::parse(hello).unwrap();
        let document: Hello = strict::parse(payload.payload_unverified(), 65_536).unwrap();
        assert_eq!(document.method, Method::Typed);
        assert_eq!(document.window_ref, *window.id.as_bytes());
        assert_eq!(document.device_key16, self.identity.public().thumbprint().short());
        let inputs = PakeInputs {
            code: &window.code,
            window_id: &window.id,
            hello,
            station_id: &document.station_id,
            device_id: &self.id,
        };
        let share = Share::parse(&start.share_p).unwrap();
        let mut rng = self.rng.lock().unwrap();
        let (verifier, share_v, confirm_v) = Verifier::start(&inputs, share, &mut *rng).unwrap();
        window.run = Some((verifier, start.hello.clone()));
        Ok(PakeStarted { share_v: *share_v.as_bytes(), confirm_v })
    }

    /// Answers `POST /api/provisioning/pake/confirm`.
    pub(crate) fn answer_confirm(&self, confirm: &PakeConfirm) -> Result<String, DialError> {
        let mut window = self.window.lock().unwrap();
        if let Some(session) = window.session.as_ref().filter(|s| s.id == confirm.session_id) {
            return Ok(session.answer.clone());
        }
        let (verifier, hello) = window.run.take().ok_or_else(refused)?;
        let claimed = verifier.finish(hello.as_bytes(), &confirm.confirm_p);
        let (prk, _claimed) = claimed.map_err(|_| refused())?;
        let payload = Unverified::parse(hello.as_bytes()).unwrap();
        let document: Hello = strict::parse(payload.payload_unverified(), 65_536).unwrap();
        assert_eq!(document.session_id, confirm.session_id);
        let fault = *self.fault.lock().unwrap();
        let answer = self.identify(&mut window, &document, hello.as_bytes(), &prk, fault);
        if fault == Fault::LosesConfirmation {
            return Err(DialError::Unreachable { cause: "ordered by the test".to_owned() });
        }
        Ok(answer)
    }

    /// Answers `POST /api/provisioning/blink`: the MAC must be the session's.
    pub(crate) async fn answer_blink(
        &self,
        request: &BlinkRequest,
    ) -> Result<BlinkAnswer, DialError> {
        let fault = *self.fault.lock().unwrap();
        if fault == Fault::Unreachable {
            return Err(DialError::Unreachable { cause: "ordered by the test".to_owned() });
        }
        if fault == Fault::SlowBlink {
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        }
        let session = self.window.lock().unwrap().session.clone().ok_or_else(refused)?;
        let BlinkRequest { session_id, number, mac } = request;
        assert_eq!(*session_id, session.id);
        assert_eq!(session.keys.verify_blink(session.id, *number, mac), Ok(()));
        self.blinks.lock().unwrap().push(number.get());
        Ok(BlinkAnswer { seconds: 6 })
    }

    /// Answers `POST /api/provisioning/session`.
    pub(crate) fn answer_hello(&self, open: &SessionOpen) -> Result<String, DialError> {
        let _ = self.opens.fetch_add(1, Ordering::SeqCst);
        let fault = *self.fault.lock().unwrap();
        if fault == Fault::Unreachable {
            return Err(DialError::Unreachable { cause: "ordered by the test".to_owned() });
        }
        if fault == Fault::FullDisk {
            return Err(DialError::Refused { report: ErrorCode::StorageUnavailable.into() });
        }
        let mut window = self.window.lock().unwrap();
        let hello = open.hello.as_bytes();
        let prk = Prk::from_token(hello, &window.token);
        if fault == Fault::RefusesClaim || prk.verify_claim(hello, &open.claim_mac).is_err() {
            return Err(refused());
        }
        let payload = Unverified::parse(hello).unwrap();
        let document: Hello = strict::parse(payload.payload_unverified(), 65_536).unwrap();
        match &window.session {
            Some(session) if session.id == document.session_id => {
                return Ok(session.answer.clone());
            }
            Some(_) => return Err(refused()),
            None => {}
        }
        Ok(self.identify(&mut window, &document, hello, &prk, fault))
    }

    /// The identity document, and the session that begins with it.
    fn identify(
        &self,
        window: &mut Window,
        document: &Hello,
        hello: &[u8],
        prk: &Prk,
        fault: Fault,
    ) -> String {
        let mut rng = self.rng.lock().unwrap();
        let tls = Arc::new(SoftIdentity::generate(Suite::P256, &mut *rng).unwrap());
        let identity = self.identity_document(document, hello, &window.kem, &tls, fault, &mut rng);
        let payload = strict::to_vec(&identity).unwrap();
        let stranger = SoftIdentity::generate(self.identity.public().suite(), &mut *rng);
        let key: &dyn IdentityKey = match &stranger {
            Ok(stranger) if fault == Fault::WrongSignature => stranger,
            _ => &self.identity,
        };
        let answer = jws::sign(Typ::Identity, None, &payload, key, &mut *rng).unwrap();
        let transcript = transcript(hello, answer.as_bytes());
        window.session = Some(Session {
            id: document.session_id,
            keys: prk.session(&transcript),
            answer: answer.clone(),
            transcript,
            tls,
        });
        answer
    }

    /// A signed request for a new certificate in place of `serial`.
    pub(crate) fn signed_pull(
        &self,
        method: Method,
        serial: &Serial,
        counter: Option<u64>,
        key: &dyn IdentityKey,
    ) -> String {
        let mut rng = self.rng.lock().unwrap();
        let mut nonce = [0; 32];
        rand_chacha::rand_core::Rng::fill_bytes(&mut *rng, &mut nonce);
        let (v, device_id, serial) = (V1::default(), self.id.clone(), *serial);
        let pull = Pull { v, device_id, method, serial, nonce, counter };
        let payload = strict::to_vec(&pull).unwrap();
        jws::sign(Typ::Pull, None, &payload, key, &mut *rng).unwrap()
    }

    /// The identity document that answers the hello of a pull.
    pub(crate) fn answer_pull(&self, answer: &PullAnswer) -> FetchRequest {
        let hello = answer.hello.as_bytes();
        let payload = Unverified::parse(hello).unwrap();
        let document: Hello = strict::parse(payload.payload_unverified(), 65_536).unwrap();
        assert_eq!(document.device_key16, self.identity.public().thumbprint().short());
        let prk = Prk::from_hello(hello, &*answer.secret().unwrap());
        let fault = *self.fault.lock().unwrap();
        let mut window = self.window.lock().unwrap();
        let identity = self.identify(&mut window, &document, hello, &prk, fault);
        FetchRequest { session_id: document.session_id, identity }
    }

    /// Opens and checks a fetched envelope: its session, the new serial number and the rest.
    pub(crate) fn take(&self, envelope: &[u8]) -> (SessionId, Serial, ConfigurationDocument) {
        let (session, document) = self.open_envelope(envelope);
        let serial = self.check(&session, &document);
        (session.id, serial, document)
    }

    fn identity_document(
        &self,
        hello: &Hello,
        bytes: &[u8],
        kem: &KemKey,
        tls: &SoftIdentity,
        fault: Fault,
        rng: &mut ChaCha20Rng,
    ) -> IdentityDocument {
        let mut csr = csr::create(tls, &self.id, rng).unwrap();
        if fault == Fault::WrongCsr {
            let last = csr.len() - 1;
            csr[last] ^= 1;
        }
        let other = DeviceId::parse("ZM-999").unwrap();
        IdentityDocument {
            v: V1::default(),
            session_id: hello.session_id,
            hello_hash: sha256(if fault == Fault::WrongNonce { b"another hello" } else { bytes }),
            device_id: if fault == Fault::WrongId { other } else { self.id.clone() },
            device_serial: self.serial.clone(),
            firmware_version: FirmwareVersion::parse("1.2.3").unwrap(),
            suite: match self.identity.public().suite() {
                Suite::P256 => zmon_wire::kind::Suite::P256,
                Suite::Rsa2048 => zmon_wire::kind::Suite::Rsa2048,
            },
            identity_key: self.identity.public().spki_der().to_vec(),
            kem_key: kem.public().to_bytes(),
            csr: Some(csr),
            device_nonce: [7; 32],
            key_protection: KeyProtection::File,
            clock_quality: ClockQuality::Synced,
            audit_checkpoint: self.log.lock().unwrap().clone(),
            factory_chain: self.factory_chain.lock().unwrap().clone(),
            station_trust: TrustLevel::Anchored,
        }
    }

    /// Answers `POST /api/provisioning/configuration`, after test and commit.
    pub(crate) async fn answer_configuration(
        &self,
        envelope: Vec<u8>,
    ) -> Result<String, DialError> {
        let _ = self.deliveries.fetch_add(1, Ordering::SeqCst);
        let lost = || DialError::Unreachable { cause: "ordered by the test".to_owned() };
        let fault = *self.fault.lock().unwrap();
        let (session, document) = self.open_envelope(&envelope);
        let serial = self.check(&session, &document);
        if fault == Fault::RefusesConfiguration {
            return Ok(self.status(&session, false, Some(ErrorCode::SiteMismatch)));
        }
        if fault == Fault::LiesAboutSuccess {
            return Ok(self.status(&session, true, None));
        }
        if fault == Fault::SlowDelivery {
            tokio::time::sleep(std::time::Duration::from_secs(45)).await;
        }
        let station = self.station();
        station.test(&serial).await.unwrap();
        if fault == Fault::DiesBeforeCommit {
            return Err(lost());
        }
        match self.commit(&session.id, &serial).await {
            Ok(OutcomeResult::Committed) => {
                self.installed.lock().unwrap().push((serial, document));
            }
            Ok(OutcomeResult::Aborted) | Err(_) => {
                return Ok(self.status(&session, false, Some(ErrorCode::CommitAborted)));
            }
        }
        if fault == Fault::LosesAnswer {
            return Err(lost());
        }
        if fault == Fault::HangsAfterCommit {
            return std::future::pending().await;
        }
        Ok(self.status(&session, true, None))
    }

    /// Commits over the new certificate and reads the signed outcome.
    pub(crate) async fn commit(
        &self,
        session: &SessionId,
        serial: &Serial,
    ) -> Result<OutcomeResult, StationError> {
        let request = CommitRequest {
            v: V1::default(),
            session_id: *session,
            serial: *serial,
            nonce: [9; 32],
        };
        let answer = self.station().commit(serial, &request).await?;
        Ok(self.read_outcome(&answer, serial, [9; 32]))
    }

    /// Asks what became of a commit.
    pub(crate) async fn ask(
        &self,
        session: &SessionId,
        serial: &Serial,
    ) -> Result<OutcomeResult, StationError> {
        let ask = self.signed_ask(session, serial, &self.identity);
        let answer = self.station().outcome(ask.as_bytes()).await?;
        Ok(self.read_outcome(&answer, serial, [3; 32]))
    }

    /// The signed question.
    pub(crate) fn signed_ask(
        &self,
        session: &SessionId,
        serial: &Serial,
        key: &dyn IdentityKey,
    ) -> String {
        let ask = OutcomeAsk {
            v: V1::default(),
            session_id: *session,
            device_id: self.id.clone(),
            nonce: [3; 32],
            serial: *serial,
        };
        let payload = strict::to_vec(&ask).unwrap();
        jws::sign(Typ::Ask, None, &payload, key, &mut *self.rng.lock().unwrap()).unwrap()
    }

    /// A message of the identity key.
    pub(crate) fn sign(&self, typ: Typ, payload: &[u8]) -> String {
        let rng = &mut *self.rng.lock().unwrap();
        jws::sign(typ, None, payload, &self.identity, rng).unwrap()
    }

    fn read_outcome(&self, answer: &str, serial: &Serial, nonce: [u8; 32]) -> OutcomeResult {
        let jws = Unverified::parse(answer.as_bytes()).unwrap();
        let chain = jws.x5c().unwrap();
        let key =
            zmon_crypto::IdentityPublic::parse(&x509::spki_of(chain.leaf()).unwrap()).unwrap();
        let verified = jws.verify_with(Typ::Outcome, &key, &Algorithms::rustcrypto()).unwrap();
        let outcome: Outcome = strict::parse(verified.payload(), 65_536).unwrap();
        assert_eq!(outcome.device_id, self.id);
        assert_eq!((outcome.serial, outcome.nonce), (*serial, nonce));
        outcome.result
    }

    fn open_envelope(&self, bytes: &[u8]) -> (Session, ConfigurationDocument) {
        let window = self.window.lock().unwrap();
        let session = window.session.clone().unwrap();
        let envelope = Envelope::parse(bytes).unwrap();
        assert_eq!(envelope.session_id(), session.id);
        let proof = envelope.verify_mac(&session.keys).unwrap();
        let mut rng = self.rng.lock().unwrap();
        let plain = envelope
            .open(proof, &window.kem, &session.keys, &session.transcript, &mut *rng)
            .unwrap();
        let jws = Unverified::parse(plain.expose()).unwrap();
        let anchors = super::world::anchors();
        let chain = jws.x5c().unwrap();
        let algorithms = Algorithms::rustcrypto();
        let signing = x509::verify_signing_chain(&chain, &anchors, None, &algorithms).unwrap();
        let verified = jws.verify_with(Typ::Config, signing.public_key(), &algorithms).unwrap();
        let document = ConfigurationDocument::parse(verified.payload()).unwrap();
        assert_eq!(document.session, *session.transcript.as_bytes());
        let code = document.pairing_code.as_ref().map(|code| code.expose().to_owned());
        let shown = matches!(document.method, Method::Qr | Method::Typed);
        assert_eq!(code, shown.then(|| window.code.display().to_string()));
        (session, document)
    }

    /// The device's own check of its certificate; returns the serial number.
    fn check(&self, session: &Session, document: &ConfigurationDocument) -> Serial {
        let chain =
            CertificateChain::from_base64_pem(document.client_certificate.as_str()).unwrap();
        let expected = ClientExpectation {
            device_id: &self.id,
            public_key: session.tls.public(),
            anchors: &super::world::anchors(),
            trust: TrustLevel::Anchored,
        };
        let ca = chain.issuer_chain().unwrap();
        let certificate =
            x509::verify_client_chain(&chain, &ca, &expected, None, &Algorithms::rustcrypto());
        *certificate.unwrap().serial()
    }

    fn status(&self, session: &Session, success: bool, code: Option<ErrorCode>) -> String {
        let status = StatusDocument {
            v: V1::default(),
            session_id: session.id,
            state: ProvisioningState::Provisioned,
            success,
            code,
            configuration_hash: None,
        };
        let payload = strict::to_vec(&status).unwrap();
        let rng = &mut *self.rng.lock().unwrap();
        jws::sign(Typ::Status, None, &payload, &self.identity, rng).unwrap()
    }
}
