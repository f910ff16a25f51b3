//! A station that can be made to lie: every field of hello, configuration and envelope can be bent.

use rand_core::SeedableRng;
use rustls_pki_types::CertificateDer;
use zmon_crypto::envelope::{self, SealInput};
use zmon_crypto::jws::{self, Typ, Unverified};
use zmon_crypto::schedule::{Prk, SessionKeys, Transcript, transcript};
use zmon_crypto::token::PairingToken;
use zmon_crypto::x509::{CertificateChain, csr};
use zmon_crypto::{IdentityKey, KemPublic};
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{MessageId, Serial, SessionId, StationId, StationName};
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_protocol::station::CertificateState;
use zmon_protocol::station::outcome::CertificateView;
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::hello::Hello;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::kind::{Method, Suite, V1};
use zmon_wire::pem::PemBase64;
use zmon_wire::secret::SecretText;
use zmon_wire::strict;

use super::pair::Pair;
use super::station::details;

pub(crate) struct Forge {
    pub(crate) hello: Hello,
    pub(crate) hello_jws: Vec<u8>,
    pub(crate) mac: [u8; 32],
    pub(crate) code: String,
    pub(crate) identity: IdentityDocument,
    pub(crate) transcript: Transcript,
    pub(crate) keys: SessionKeys,
}

/// The hello an honest station would send now.
pub(crate) fn hello(pair: &mut Pair) -> Hello {
    let qr = pair.qr();
    let token = PairingToken::parse_base64url(qr.pairing_token.expose()).unwrap();
    let session_id = SessionId::generate(&mut pair.station.rng);
    Hello {
        v: V1::default(),
        session_id,
        station_id: StationId::parse("cs-1").unwrap(),
        station_name: StationName::parse("Central Station North").unwrap(),
        site_id: pair.station.ca.site.clone(),
        method: Method::Qr,
        device_id: qr.device_id,
        window_ref: *token.id().as_bytes(),
        device_key16: token.thumbprint16(),
        station_nonce: [7; 32],
        iat: pair.now().wall.unwrap_or_else(super::clock::start),
    }
}

/// Signs any payload as a station would, with this key and chain.
pub(crate) fn sign(
    pair: &mut Pair,
    typ: Typ,
    key: Option<(&dyn IdentityKey, &[Vec<u8>])>,
    payload: &[u8],
) -> Vec<u8> {
    let station = &mut pair.station;
    let (key, chain) = key.unwrap_or((&station.ca.signer, &station.ca.signing_chain));
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    jws::sign(typ, Some(&chain), payload, key, &mut station.rng).unwrap().into_bytes()
}

pub(crate) fn token(pair: &Pair) -> PairingToken {
    PairingToken::parse_base64url(pair.qr().pairing_token.expose()).unwrap()
}

/// Signs `hello` and computes the claim with `token`.
pub(crate) fn claim_of(
    pair: &mut Pair,
    hello: &Hello,
    token: &PairingToken,
) -> (Vec<u8>, [u8; 32]) {
    let payload = strict::to_vec(hello).unwrap();
    let signed = sign(pair, Typ::Hello, None, &payload);
    let mac = Prk::from_token(&signed, token).claim_mac(&signed);
    (signed, mac)
}

/// Sends a claim.
pub(crate) fn open(
    pair: &mut Pair,
    hello: Vec<u8>,
    claim_mac: [u8; 32],
) -> Result<DeviceReply, ErrorReport> {
    pair.tell(DeviceInput::SessionOpen { hello, claim_mac })
}

impl Forge {
    /// Claims the open window as an honest station would.
    pub(crate) fn claim(pair: &mut Pair) -> Self {
        let hello = hello(pair);
        Self::claim_with(pair, hello)
    }

    pub(crate) fn claim_with(pair: &mut Pair, hello: Hello) -> Self {
        let token = token(pair);
        let code = pair.qr().pairing_code.expose().to_owned();
        let (hello_jws, mac) = claim_of(pair, &hello, &token);
        let reply = open(pair, hello_jws.clone(), mac).unwrap();
        let DeviceReply::Identity(identity_jws) = reply else { panic!("{reply:?}") };
        let jws = Unverified::parse(identity_jws.as_bytes()).unwrap();
        let identity: IdentityDocument = strict::parse(jws.payload_unverified(), 65_536).unwrap();
        let transcript = transcript(&hello_jws, identity_jws.as_bytes());
        let keys = Prk::from_token(&hello_jws, &token).session(&transcript);
        Self { hello, hello_jws, mac, code, identity, transcript, keys }
    }

    /// The key that the device asks a certificate for.
    fn requested(&self) -> Vec<u8> {
        let request = self.identity.csr.as_ref().unwrap();
        csr::verify(request, &zmon_crypto::Algorithms::rustcrypto()).unwrap().spki_der().to_vec()
    }

    /// A certificate for this key, known to the station as pending.
    fn certificate_for(&self, pair: &mut Pair, spki: &[u8]) -> (CertificateChain, Serial) {
        let now = pair.now().wall.unwrap_or_else(super::clock::start);
        pair.station.ca.trust = self.identity.station_trust;
        let (chain, serial) = pair.station.ca.issue(spki, &self.identity.device_id, now);
        let view = CertificateView {
            serial,
            device_id: self.identity.device_id.clone(),
            session_id: self.hello.session_id,
            state: CertificateState::Pending,
            committed: false,
        };
        pair.station.certificates.insert(serial, view);
        (CertificateChain::from_der(chain).unwrap(), serial)
    }

    /// The configuration an honest station would send.
    pub(crate) fn document(&self, pair: &mut Pair) -> ConfigurationDocument {
        let spki = self.requested();
        self.document_for(pair, &spki)
    }

    /// The same with a certificate for any key.
    pub(crate) fn document_for(&self, pair: &mut Pair, spki: &[u8]) -> ConfigurationDocument {
        let (chain, _) = self.certificate_for(pair, spki);
        let settings = details("ICU-3B").settings;
        let timestamp = pair.now().wall.unwrap_or_else(super::clock::start);
        ConfigurationDocument {
            schema_version: V1::default(),
            server_url: "https://10.1.1.1:8443".parse().unwrap(),
            sync_interval: settings.sync_interval,
            ca_certificate: PemBase64::from_pem(&pair.station.ca.anchor_pem).unwrap(),
            client_certificate: PemBase64::from_pem(&chain.to_pem()).unwrap(),
            client_private_key: None,
            server_certificate: Some(PemBase64::from_pem(&pair.station.ca.server_pem).unwrap()),
            device_id: self.identity.device_id.clone(),
            pairing_code: Some(SecretText::new(&self.code)),
            bed_id: settings.bed,
            device_label: settings.label,
            measurement_unit: settings.unit,
            language: settings.language,
            timestamp,
            expires_at: timestamp + super::seconds(3600),
            session: *self.transcript.as_bytes(),
            session_id: self.hello.session_id,
            station_id: self.hello.station_id.clone(),
            device_serial: self.identity.device_serial.clone(),
            device_key: pair.device.identity.public().thumbprint(),
            suite: Suite::P256,
            method: Method::Qr,
            config_version: 1,
            audit_checkpoint: None,
            crit: Vec::new(),
        }
    }

    /// Signs and seals a configuration.
    pub(crate) fn envelope(&self, pair: &mut Pair, document: &ConfigurationDocument) -> Vec<u8> {
        let payload = document.to_json().unwrap();
        let signed = sign(pair, Typ::Config, None, &payload);
        self.seal(pair, &signed)
    }

    /// Seals any plaintext as this session's station would.
    pub(crate) fn seal(&self, pair: &mut Pair, plaintext: &[u8]) -> Vec<u8> {
        let input = SealInput {
            suite: pair.device.identity.public().suite(),
            kem_public: &KemPublic::parse(&self.identity.kem_key).unwrap(),
            session_id: self.hello.session_id,
            message_id: MessageId::generate(&mut pair.station.rng),
            transcript: &self.transcript,
            keys: &self.keys,
        };
        envelope::seal(&input, plaintext, &mut pair.station.rng).unwrap()
    }

    /// The same session sealing to a key that is not the window's: the MAC is right, the ciphertext
    /// does not open.
    pub(crate) fn for_another_key(&self) -> Self {
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(77);
        let other = zmon_crypto::KemKey::generate(zmon_crypto::Suite::P256, &mut rng).unwrap();
        let mut identity = self.identity.clone();
        identity.kem_key = other.public().to_bytes();
        Self {
            hello: self.hello.clone(),
            hello_jws: self.hello_jws.clone(),
            mac: self.mac,
            code: self.code.clone(),
            identity,
            transcript: self.transcript,
            keys: self.keys.clone(),
        }
    }

    pub(crate) fn deliver(
        &self,
        pair: &mut Pair,
        envelope: Vec<u8>,
    ) -> Result<DeviceReply, ErrorReport> {
        pair.tell(DeviceInput::Configuration { envelope })
    }
}
