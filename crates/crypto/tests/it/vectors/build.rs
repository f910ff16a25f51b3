//! One whole pairing as a JSON value.

use core::num::NonZeroU32;
use std::sync::Mutex;

use rand_chacha::ChaCha20Rng;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, PublicKeyData, SignatureAlgorithm, SigningKey, SubjectPublicKeyInfo,
};
use serde_json::{Value, json};
use zmon_crypto::envelope::client_key::{self, Binding};
use zmon_crypto::envelope::{Envelope, SealInput, seal};
use zmon_crypto::identity::es256_to_der;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::schedule::{Prk, transcript};
use zmon_crypto::token::TokenInputs;
use zmon_crypto::x509::{CertificateChain, csr, self_signed};
use zmon_crypto::{
    IdentityKey, KemKey, PairingToken, RootSecret, Secret32, SoftIdentity, Suite, TlsKey, audit,
    code_hash, labels, sha256,
};
use zmon_domain::address::{DeviceAddress, ServerUrl};
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, MessageId, Serial, SessionId, WindowId};
use zmon_domain::time::UnixTime;
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::hello::Hello;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::strict;

use super::after::After;
use crate::support::{DAY, NOW, at, client_params, params, rng, signing_params};

/// The private keys, PKCS#8, and the root secret. Test keys: published, worth nothing.
pub struct Keys {
    root: Secret32,
    anchor: SoftIdentity,
    station: SoftIdentity,
    clients: SoftIdentity,
    identity: SoftIdentity,
    tls: TlsKey,
    kem_pkcs8: Vec<u8>,
}

impl Keys {
    pub fn from_json(keys: &Value) -> Self {
        let key = |name: &str| SoftIdentity::from_pkcs8(&unhex(&keys[name])).unwrap();
        Self {
            root: Secret32::from_slice(&unhex(&keys["root"])).unwrap(),
            anchor: key("anchor"),
            station: key("station"),
            clients: key("clients"),
            identity: key("identity"),
            tls: TlsKey::from_pkcs8(&unhex(&keys["tls"])).unwrap(),
            kem_pkcs8: unhex(&keys["kem"]),
        }
    }

    /// New ones.
    pub fn generate(suite: Suite, rng: &mut ChaCha20Rng) -> Self {
        // A kemKey is a key of the same kind.
        let kem = SoftIdentity::generate(suite, rng).unwrap().to_pkcs8().unwrap();
        let mut key = |suite| SoftIdentity::generate(suite, rng).unwrap();
        let [anchor, station, clients] = [Suite::P256; 3].map(&mut key);
        Self {
            anchor,
            station,
            clients,
            identity: key(suite),
            tls: TlsKey::generate(rng).unwrap(),
            kem_pkcs8: kem.expose().to_vec(),
            root: Secret32::generate(rng),
        }
    }

    fn to_json(&self) -> Value {
        let pkcs8 = |key: &SoftIdentity| hex(key.to_pkcs8().unwrap().expose());
        json!({
            "root": hex(self.root.expose()),
            "anchor": pkcs8(&self.anchor),
            "station": pkcs8(&self.station),
            "clients": pkcs8(&self.clients),
            "identity": pkcs8(&self.identity),
            "tls": hex(self.tls.pkcs8().unwrap().expose()),
            "kem": hex(&self.kem_pkcs8),
        })
    }
}

/// Everything that is not random: the example of the protocol documentation.
struct Facts {
    device_id: DeviceId,
    serial: DeviceSerial,
    ip: DeviceAddress,
    code: PairingCode,
    window_id: WindowId,
    session_id: SessionId,
    message_id: MessageId,
    expires_at: UnixTime,
}

impl Facts {
    fn new() -> Self {
        Self {
            device_id: DeviceId::parse("MON-1").unwrap(),
            serial: DeviceSerial::parse("SN-2024-001234").unwrap(),
            ip: DeviceAddress::parse("192.168.1.100").unwrap(),
            code: PairingCode::parse_any("ABC-123-XYZ").unwrap(),
            window_id: WindowId::from_bytes([0x11; 16]),
            session_id: SessionId::parse("5b6f1a3e-0c1d-4e2f-8a9b-0123456789ab").unwrap(),
            message_id: MessageId::parse("7c8d9e0f-1a2b-4c3d-9e4f-5a6b7c8d9e0f").unwrap(),
            expires_at: at(NOW + 600),
        }
    }
}

pub fn pairing(suite: Suite, keys: &Keys) -> Value {
    let facts = Facts::new();
    let mut rng = rng(100 + suite.as_u8());
    let kem = KemKey::from_pkcs8(&keys.kem_pkcs8).unwrap();
    let certificates = Certificates::new(keys, &facts);

    let (token, token_json) = token(keys, &facts);
    let hello_payload = strict::to_vec(&hello(&facts, &token)).unwrap();
    let x5c = certificates.signing.to_der_list();
    let hello = jws::sign(Typ::Hello, Some(&x5c), &hello_payload, &keys.station, &mut rng).unwrap();
    let identity_payload =
        strict::to_vec(&identity(suite, keys, &kem, &facts, &hello, &mut rng)).unwrap();
    let identity =
        jws::sign(Typ::Identity, None, &identity_payload, &keys.identity, &mut rng).unwrap();

    let prk = Prk::from_token(hello.as_bytes(), &token);
    let t = transcript(hello.as_bytes(), identity.as_bytes());
    let session = prk.session(&t);
    let configuration = configuration(suite, keys, &facts, &certificates, t.as_bytes()).to_string();
    let configuration = ConfigurationDocument::parse(configuration.as_bytes()).unwrap();
    let configuration_payload = strict::to_vec(&configuration).unwrap();
    let configuration =
        jws::sign(Typ::Config, Some(&x5c), &configuration_payload, &keys.station, &mut rng)
            .unwrap();
    let input = SealInput {
        suite,
        kem_public: kem.public(),
        session_id: facts.session_id,
        message_id: facts.message_id,
        transcript: &t,
        keys: &session,
    };
    let envelope = seal(&input, configuration.as_bytes(), &mut rng).unwrap();
    assert!(Envelope::parse(&envelope).is_ok());
    let listener = self_signed(&keys.identity, &mut rng).unwrap();
    // As if the station had made the TLS key: the document's form (D6).
    let binding = Binding {
        session_id: facts.session_id,
        transcript: &t,
        keys: &session,
        certificate: certificates.client.leaf(),
    };
    let client_key = client_key::seal(&binding, kem.public(), &keys.tls, &mut rng).unwrap();
    let audit = audit_rows(&facts);
    let last = audit.as_array().unwrap().last().unwrap();
    let after = After {
        device: &keys.identity,
        station: &keys.station,
        x5c: &x5c,
        device_id: &facts.device_id,
        session_id: facts.session_id,
        serial: Serial::parse("5a01").unwrap(),
        configuration_hash: sha256(&configuration_payload),
        head: (
            last["lane"].as_str().unwrap(),
            last["seq"].as_u64().unwrap(),
            unhex(&last["hash"]).try_into().unwrap(),
        ),
    };
    // Random numbers of their own: what came before stays as it is.
    let after = after.sections(&mut crate::support::rng(110 + suite.as_u8()));

    let mut pairing = json!({
        "about": "One pairing of Z Monitor provisioning. Binary values are hexadecimal. \
                  The keys are published and worth nothing.",
        "suite": suite.as_u8(),
        "keys": keys.to_json(),
        "derived": derived(keys, &facts),
        "token": token_json,
        "certificates": certificates.to_json(&listener),
        "hello": message(&hello_payload, &hello),
        "claim": { "claimMac": hex(&prk.claim_mac(hello.as_bytes())) },
        "identity": message(&identity_payload, &identity),
        "session": {
            "transcript": hex(t.as_bytes()),
            "kMac": hex(session.mac().expose()),
            "psk": hex(session.psk().expose()),
            "kKey": hex(session.key().expose()),
            "wordIndices": session.word_indices(),
            "blinkMac": hex(&session.blink_mac(facts.session_id, NonZeroU32::MIN)),
        },
        "configuration": message(&configuration_payload, &configuration),
        "envelope": {
            "sessionId": hex(facts.session_id.as_bytes()),
            "messageId": hex(facts.message_id.as_bytes()),
            "bytes": hex(&envelope),
        },
        "clientKey": { "sealed": hex(&client_key) },
        "audit": audit,
    });
    for (name, section) in after {
        pairing[name] = section;
    }
    pairing
}

fn derived(keys: &Keys, facts: &Facts) -> Value {
    let root = RootSecret::from_secret(keys.root.clone());
    let by_label: serde_json::Map<String, Value> = labels::ROOT
        .into_iter()
        .map(|label| {
            let name = String::from_utf8(label.to_vec()).unwrap();
            (name, json!(hex(root.derive(label).expose())))
        })
        .collect();
    json!({
        "byLabel": by_label,
        "codeHash": {
            "code": *facts.code.display(),
            "hash": hex(&code_hash(&root.code_hash_key(), &facts.code)),
        },
        "identityThumbprint": hex(keys.identity.public().thumbprint().as_bytes()),
    })
}

fn token(keys: &Keys, facts: &Facts) -> (PairingToken, Value) {
    let inputs = TokenInputs {
        window_id: &facts.window_id,
        port: 8443,
        nonce: &[0x22; 16],
        thumbprint16: &keys.identity.public().thumbprint().short(),
        device_id: &facts.device_id,
        serial: &facts.serial,
        ip: &facts.ip,
        code: &facts.code,
        expires_at: facts.expires_at,
    };
    let key = RootSecret::from_secret(keys.root.clone()).token_key();
    let token = PairingToken::mint(&key, &inputs).unwrap();
    let value = json!({
        "windowId": hex(facts.window_id.as_bytes()),
        "port": inputs.port,
        "nonce": hex(inputs.nonce),
        "deviceId": facts.device_id.as_str(),
        "serial": facts.serial.as_str(),
        "ipAddress": facts.ip.to_string(),
        "code": *facts.code.display(),
        "expiresAt": facts.expires_at.to_string(),
        "bytes": hex(token.as_bytes()),
        "text": *token.to_base64url(),
        "tokenId": hex(token.id().as_bytes()),
    });
    (token, value)
}

fn hello(facts: &Facts, token: &PairingToken) -> Hello {
    Hello {
        v: Default::default(),
        session_id: facts.session_id,
        station_id: "CS-1".parse().unwrap(),
        station_name: "Central Station ICU".parse().unwrap(),
        site_id: "SITE-A".parse().unwrap(),
        method: zmon_wire::kind::Method::Qr,
        device_id: facts.device_id.clone(),
        window_ref: *token.id().as_bytes(),
        device_key16: token.thumbprint16(),
        station_nonce: [0x33; 32],
        iat: at(NOW),
    }
}

fn identity(
    suite: Suite,
    keys: &Keys,
    kem: &KemKey,
    facts: &Facts,
    hello: &str,
    rng: &mut ChaCha20Rng,
) -> IdentityDocument {
    IdentityDocument {
        v: Default::default(),
        session_id: facts.session_id,
        hello_hash: sha256(hello.as_bytes()),
        device_id: facts.device_id.clone(),
        device_serial: facts.serial.clone(),
        firmware_version: "1.2.3".parse().unwrap(),
        suite: suite.into(),
        identity_key: keys.identity.public().spki_der().to_vec(),
        kem_key: kem.public().to_bytes(),
        csr: Some(csr::create(&keys.tls, &facts.device_id, rng).unwrap()),
        device_nonce: [0x44; 32],
        key_protection: zmon_wire::kind::KeyProtection::File,
        clock_quality: zmon_domain::time::ClockQuality::Synced,
        audit_checkpoint: None,
        factory_chain: None,
        station_trust: zmon_wire::kind::TrustLevel::Anchored,
    }
}

/// A configuration as [W §5] has it; the client key never moved (D6).
fn configuration(
    suite: Suite,
    keys: &Keys,
    facts: &Facts,
    certificates: &Certificates,
    t: &[u8; 32],
) -> Value {
    json!({
        "schemaVersion": 1,
        "serverUrl": ServerUrl::parse("https://192.168.1.10:9443").unwrap().as_str(),
        "syncInterval": 10,
        "caCertificate": certificates.anchor.to_base64_pem(),
        "clientCertificate": certificates.client.to_base64_pem(),
        "clientPrivateKey": null,
        "serverCertificate": null,
        "deviceId": facts.device_id.as_str(),
        "pairingCode": *facts.code.display(),
        "bedId": "ICU-1",
        "deviceLabel": "Bed 1",
        "measurementUnit": "METRIC",
        "language": "EN",
        "timestamp": at(NOW).to_string(),
        "expiresAt": at(NOW + 3600).to_string(),
        "session": zmon_wire::b64::encode_url(t),
        "sessionId": facts.session_id.to_string(),
        "stationId": "CS-1",
        "deviceSerial": facts.serial.as_str(),
        "deviceKey": keys.identity.public().thumbprint().to_string(),
        "suite": suite.as_u8(),
        "method": 1,
        "configVersion": 1,
        "crit": [],
    })
}

pub fn message(payload: &[u8], jws: &str) -> Value {
    json!({
        "payload": core::str::from_utf8(payload).unwrap(),
        "jws": jws,
        "hash": hex(&sha256(jws.as_bytes())),
    })
}

fn audit_rows(facts: &Facts) -> Value {
    let lane = format!("device:{}", facts.device_id);
    let mut prev = audit::GENESIS;
    let rows: Vec<_> = ["first record", "", "third record"]
        .into_iter()
        .zip(1_u64..)
        .map(|(record, seq)| {
            let hash = audit::chain(&lane, seq, &prev, record.as_bytes());
            let row = json!({
                "lane": lane, "seq": seq, "prev": hex(&prev), "record": record, "hash": hex(&hash),
            });
            prev = hash;
            row
        })
        .collect();
    json!(rows)
}

/// Anchor → configuration-signing leaf; client CA → client leaf.
struct Certificates {
    anchor: CertificateChain,
    signing: CertificateChain,
    client: CertificateChain,
}

impl Certificates {
    fn new(keys: &Keys, facts: &Facts) -> Self {
        let anchor_params = authority("Hospital A", vec![]);
        let clients_params = authority("Clients", vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let anchor = CaKey::new(&keys.anchor);
        let clients = CaKey::new(&keys.clients);
        let anchor_der = anchor_params.self_signed(&anchor).unwrap().der().to_vec();
        let clients_der = clients_params.self_signed(&clients).unwrap().der().to_vec();
        let leaf = |params: &CertificateParams, spki: &[u8], issuer: Issuer<'_, CaKey<'_>>| {
            let spki = SubjectPublicKeyInfo::from_der(spki).unwrap();
            params.signed_by(&spki, &issuer).unwrap().der().to_vec()
        };
        let signing = leaf(
            &signing_params(),
            keys.station.public().spki_der(),
            Issuer::new(anchor_params, anchor),
        );
        assert_eq!(facts.device_id.as_str(), "MON-1", "the name in the client parameters");
        let client = leaf(
            &client_params(),
            keys.tls.public().spki_der(),
            Issuer::new(clients_params, clients),
        );
        Self {
            anchor: CertificateChain::from_der([anchor_der]).unwrap(),
            signing: CertificateChain::from_der([signing]).unwrap(),
            client: CertificateChain::from_der([client, clients_der]).unwrap(),
        }
    }

    fn to_json(&self, listener: &[u8]) -> Value {
        let list = |chain: &CertificateChain| -> Vec<String> {
            chain.iter().map(|der| hex(der)).collect()
        };
        json!({
            "anchor": list(&self.anchor),
            "signing": list(&self.signing),
            "client": list(&self.client),
            "listener": hex(listener),
        })
    }
}

fn authority(name: &str, purposes: Vec<ExtendedKeyUsagePurpose>) -> CertificateParams {
    let mut params = params(name, NOW - 365 * DAY, NOW + 3650 * DAY);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = purposes;
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

/// One of our keys as `rcgen` wants it, with repeatable signatures.
struct CaKey<'a>(&'a SoftIdentity, Mutex<ChaCha20Rng>);

impl<'a> CaKey<'a> {
    fn new(key: &'a SoftIdentity) -> Self {
        Self(key, Mutex::new(rng(77)))
    }
}

impl PublicKeyData for CaKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public().key_bits()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for CaKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign(message, &mut *self.1.lock().unwrap()).unwrap();
        Ok(es256_to_der(&signature).unwrap())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
