//! The station's side of a session from the primitives, so that nothing here can agree with the
//! device by sharing its code.

use std::sync::{Arc, Mutex};

use rand_core::CryptoRng;
use zmon_crypto::envelope::{SealInput, seal};
use zmon_crypto::jws::{self, Typ, Unverified};
use zmon_crypto::schedule::{Prk, SessionKeys, Transcript, pull_id, transcript};
use zmon_crypto::token::PairingToken;
use zmon_crypto::x509::{Anchor, AnchorSet, csr};
use zmon_crypto::{Algorithms, IdentityKey, IdentityPublic, KemPublic, Secret32, SoftIdentity};
use zmon_domain::address::ServerUrl;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceLabel, MessageId, SessionId, SiteId, StationId, StationName, TokenId,
};
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};
use zmon_domain::time::UnixTime;
use zmon_protocol::PullMethod;
use zmon_protocol::device::Pulled;
use zmon_provisioning::ports::SharedRng;
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::hello::Hello;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::kind::TrustLevel;
use zmon_wire::kind::{Method, V1};
use zmon_wire::outcome::{CommitRequest, Outcome, OutcomeAsk, OutcomeResult};
use zmon_wire::pem::PemBase64;
use zmon_wire::pull::{FetchRequest, Pull};
use zmon_wire::qr::QrContent;
use zmon_wire::secret::SecretText;
use zmon_wire::session::SessionOpen;
use zmon_wire::strict;

use super::adapters::Commits;
use super::pki::{Authority, CLIENT_AUTH, base64_pem, soft};

const SITE: &str = "ST-MARY";
const STATION: &str = "CS-1";

/// A Central Station with its authorities.
pub(crate) struct FakeStation {
    rng: SharedRng,
    anchor: Authority,
    client_ca: Authority,
    signer: SoftIdentity,
    signing_leaf: Vec<u8>,
    algorithms: Algorithms,
    /// The sync interval it configures.
    pub(crate) sync_interval: Mutex<u64>,
    committed: Mutex<Vec<SessionId>>,
    /// The session of the last pull.
    pulled: Mutex<Option<Session>>,
}

/// A session from the station's side.
pub(crate) struct Session {
    session_id: SessionId,
    hello: String,
    prk: Prk,
    /// What was scanned; none where the device asked by itself.
    code: Option<SecretText>,
    method: Method,
    now: UnixTime,
}

/// A session whose device has proved itself.
pub(crate) struct Identified {
    session: Session,
    identity: IdentityDocument,
    keys: SessionKeys,
    transcript: Transcript,
}

impl FakeStation {
    /// A station whose certificates are good around `now`, and say this level (D20).
    pub(crate) fn new(level: Option<TrustLevel>, now: UnixTime, rng: SharedRng) -> Arc<Self> {
        let mut locked = rng.lock();
        let anchor = Authority::new("Anchor", level, now, &mut *locked);
        let client_ca = Authority::new("Clients", level, now, &mut *locked);
        let signer = soft(&mut *locked);
        let spki = signer.public().spki_der().to_vec();
        let signing_leaf = anchor.signing_leaf(&spki, STATION, SITE, now, &mut *locked);
        drop(locked);
        Arc::new(Self {
            rng,
            anchor,
            client_ca,
            signer,
            signing_leaf,
            algorithms: Algorithms::rustcrypto(),
            sync_interval: Mutex::new(10),
            committed: Mutex::default(),
            pulled: Mutex::default(),
        })
    }

    /// What devices of this hospital trust.
    pub(crate) fn anchors(&self) -> AnchorSet {
        #[cfg(feature = "simulate")]
        if self.anchor.level.is_some() {
            let site = SiteId::parse(SITE).unwrap();
            let anchor = Anchor::parse_simulated(&self.anchor.der, site).unwrap();
            return AnchorSet::from_anchors([anchor]).unwrap();
        }
        let anchor = Anchor::parse(&self.anchor.der, SiteId::parse(SITE).unwrap()).unwrap();
        AnchorSet::from_anchors([anchor]).unwrap()
    }

    /// Scans a QR code: the hello and the claim.
    pub(crate) fn scan(&self, content: &str, now: UnixTime) -> (Session, SessionOpen) {
        let qr = QrContent::parse(content.as_bytes()).unwrap();
        let token = PairingToken::parse_base64url(qr.pairing_token.expose()).unwrap();
        let session_id = SessionId::generate(&mut *self.rng.lock());
        let refs = (token.id(), token.thumbprint16());
        let hello = self.hello(session_id, Method::Qr, qr.device_id, refs, now);
        let prk = Prk::from_token(hello.as_bytes(), &token);
        let claim_mac = prk.claim_mac(hello.as_bytes());
        let open = SessionOpen { hello: hello.clone(), claim_mac };
        let code = Some(qr.pairing_code);
        (Session { session_id, hello, prk, code, method: Method::Qr, now }, open)
    }

    fn hello(
        &self,
        session_id: SessionId,
        method: Method,
        device_id: DeviceId,
        (window_ref, device_key16): (TokenId, [u8; 16]),
        iat: UnixTime,
    ) -> String {
        let mut station_nonce = [0; 32];
        self.rng.fill(&mut station_nonce);
        let hello = Hello {
            v: V1::default(),
            session_id,
            station_id: StationId::parse(STATION).unwrap(),
            station_name: StationName::parse("Central Station").unwrap(),
            site_id: SiteId::parse(SITE).unwrap(),
            method,
            device_id,
            window_ref: *window_ref.as_bytes(),
            device_key16,
            station_nonce,
            iat,
        };
        self.sign(Typ::Hello, &strict::to_vec(&hello).unwrap(), true)
    }

    /// Reads the device's identity document.
    pub(crate) fn identify(&self, session: Session, identity: &str) -> Identified {
        let unverified = Unverified::parse(identity.as_bytes()).unwrap();
        let document: IdentityDocument =
            strict::parse(unverified.payload_unverified(), 65_536).unwrap();
        let key = IdentityPublic::parse(&document.identity_key).unwrap();
        unverified.verify_with(Typ::Identity, &key, &self.algorithms).unwrap();
        let transcript = transcript(session.hello.as_bytes(), identity.as_bytes());
        let keys = session.prk.session(&transcript);
        Identified { session, identity: document, keys, transcript }
    }

    /// The sealed configuration; `spoil` may change it before it is signed.
    pub(crate) fn envelope(
        &self,
        identified: &Identified,
        spoil: impl FnOnce(&mut ConfigurationDocument),
    ) -> Vec<u8> {
        let mut document = self.document(identified);
        spoil(&mut document);
        self.seal(identified, self.signed(&document).as_bytes())
    }

    /// The signed configuration, exact bytes.
    pub(crate) fn signed(&self, document: &ConfigurationDocument) -> String {
        self.sign(Typ::Config, &document.to_json().unwrap(), false)
    }

    /// Seals any plaintext into the session.
    pub(crate) fn seal(&self, identified: &Identified, plaintext: &[u8]) -> Vec<u8> {
        let mut rng = self.rng.lock();
        let key = IdentityPublic::parse(&identified.identity.identity_key).unwrap();
        let input = SealInput {
            suite: key.suite(),
            kem_public: &KemPublic::parse(&identified.identity.kem_key).unwrap(),
            session_id: identified.session.session_id,
            message_id: MessageId::generate(&mut *rng),
            transcript: &identified.transcript,
            keys: &identified.keys,
        };
        seal(&input, plaintext, &mut *rng).unwrap()
    }

    /// The configuration, still in clear.
    pub(crate) fn document(&self, identified: &Identified) -> ConfigurationDocument {
        let Identified { session, identity, transcript, .. } = identified;
        let identity_key = IdentityPublic::parse(&identity.identity_key).unwrap();
        let request = csr::verify(identity.csr.as_ref().unwrap(), &self.algorithms).unwrap();
        let device_urn = format!("urn:zp:device:{}", identity.device_id.as_str());
        let mut rng = self.rng.lock();
        let client = self.client_ca.leaf(
            request.spki_der(),
            CLIENT_AUTH,
            &[device_urn],
            (session.now, 90),
            &mut *rng,
        );
        let pem = |chain: &[&[u8]]| PemBase64::parse(&base64_pem(chain)).unwrap();
        ConfigurationDocument {
            schema_version: V1::default(),
            server_url: ServerUrl::parse("https://station.example:8443").unwrap(),
            sync_interval: SyncInterval::from_secs(*self.sync_interval.lock().unwrap()).unwrap(),
            ca_certificate: pem(&[&self.anchor.der]),
            client_certificate: pem(&[&client, &self.client_ca.der]),
            client_private_key: None,
            server_certificate: None,
            device_id: identity.device_id.clone(),
            pairing_code: session.code.clone(),
            bed_id: Some(BedId::parse("ICU-3B").unwrap()),
            device_label: Some(DeviceLabel::parse("ICU-MON-04").unwrap()),
            measurement_unit: MeasurementUnit::Metric,
            language: Language::ES,
            timestamp: session.now,
            expires_at: session.now + core::time::Duration::from_secs(3600),
            session: *transcript.as_bytes(),
            session_id: session.session_id,
            station_id: StationId::parse(STATION).unwrap(),
            device_serial: identity.device_serial.clone(),
            device_key: identity_key.thumbprint(),
            suite: identity.suite,
            method: session.method,
            config_version: 1,
            audit_checkpoint: None,
            crit: Vec::new(),
        }
    }

    fn sign(&self, typ: Typ, payload: &[u8], with_chain: bool) -> String {
        let chain = [self.signing_leaf.as_slice().into()];
        let x5c = with_chain.then_some(chain.as_slice());
        let rng: &mut dyn CryptoRng = &mut *self.rng.lock();
        jws::sign(typ, x5c, payload, &self.signer, rng).unwrap()
    }
}

impl Commits for FakeStation {
    fn pull(&self, method: PullMethod, pull: &str, key: &IdentityPublic, now: UnixTime) -> Pulled {
        let name = pull_id(pull.as_bytes());
        let pull = Unverified::parse(pull.as_bytes()).unwrap();
        let pull = pull.verify_with(Typ::Pull, key, &self.algorithms).unwrap();
        let pull: Pull = strict::parse(pull.payload(), 65_536).unwrap();
        assert_eq!(pull.method, method.method());
        let session_id = SessionId::generate(&mut *self.rng.lock());
        let ikm = Secret32::generate(&mut *self.rng.lock());
        let refs = (name, key.thumbprint().short());
        let hello = self.hello(session_id, pull.method, pull.device_id, refs, now);
        let prk = Prk::from_hello(hello.as_bytes(), ikm.expose());
        let pulled = Pulled { hello: hello.clone().into_bytes(), ikm };
        let session = Session { session_id, hello, prk, code: None, method: pull.method, now };
        *self.pulled.lock().unwrap() = Some(session);
        pulled
    }

    fn fetch(&self, request: &FetchRequest) -> Vec<u8> {
        let session = self.pulled.lock().unwrap().take().expect("a pull came before");
        assert_eq!(session.session_id, request.session_id);
        let identified = self.identify(session, &request.identity);
        self.envelope(&identified, |_| ())
    }

    fn commit(&self, request: &CommitRequest) -> Vec<u8> {
        self.committed.lock().unwrap().push(request.session_id);
        let outcome = Outcome {
            v: V1::default(),
            session_id: request.session_id,
            device_id: super::device_id(),
            serial: request.serial,
            nonce: request.nonce,
            result: OutcomeResult::Committed,
        };
        self.sign(Typ::Outcome, &strict::to_vec(&outcome).unwrap(), true).into_bytes()
    }

    fn outcome(&self, ask: &str) -> Vec<u8> {
        let ask = Unverified::parse(ask.as_bytes()).unwrap();
        let ask: OutcomeAsk = strict::parse(ask.payload_unverified(), 65_536).unwrap();
        let committed = self.committed.lock().unwrap().contains(&ask.session_id);
        let result = if committed { OutcomeResult::Committed } else { OutcomeResult::Aborted };
        let outcome = Outcome {
            v: V1::default(),
            session_id: ask.session_id,
            device_id: ask.device_id,
            serial: ask.serial,
            nonce: ask.nonce,
            result,
        };
        self.sign(Typ::Outcome, &strict::to_vec(&outcome).unwrap(), true).into_bytes()
    }
}
