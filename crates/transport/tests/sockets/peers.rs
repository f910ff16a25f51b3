//! The devices' interface of a station: what each state of a certificate opens, request by request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::Method;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::{Algorithms, IdentityPublic, x509};
use zmon_domain::address::ServerUrl;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId, Thumbprint};
use zmon_domain::settings::SyncInterval;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::UnixTime;
use zmon_protocol::PullMethod;
use zmon_protocol::device::{LinkCredentials, LinkError, Retirement};
use zmon_provisioning::ports::StationLink;
use zmon_station::ports::{
    CertificateIssuer, CertificateRow, CertificateState, ClientCertificateOrder,
};
use zmon_transport::client::{Ask, Connection, JSON};
use zmon_transport::paths;
use zmon_transport::station_api::{DeviceRequest, Fate, Interposed};
use zmon_transport::station_link::TlsStationLink;
use zmon_transport::tls::{ClientCredentials, device_client};
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::kind::{TrustLevel, V1};
use zmon_wire::outcome::CommitRequest;

use crate::pki::{DAY, NOW};
use crate::support::{PATIENCE, endpoint};
use crate::world::{World, problem};

/// Every path behind a client certificate with its method.
pub(crate) const PATHS: [(&str, &str); 5] = [
    ("GET", paths::DEVICE_TEST),
    ("POST", paths::DEVICE_COMMIT),
    ("POST", paths::DEVICE_HEARTBEAT),
    ("POST", paths::DEVICE_RENEW),
    ("POST", paths::DEVICE_RENEW_IDENTITY),
];

const SERIAL: [u8; 8] = [0x80, 1, 2, 3, 4, 5, 6, 7];

/// A device certificate of the station's own authority, recorded in this state.
pub(crate) async fn enrol(world: &World, state: CertificateState) -> LinkCredentials {
    let key = rcgen::KeyPair::generate().unwrap();
    let serial = Serial::from_bytes(&SERIAL).unwrap();
    let (not_before, not_after) =
        (UnixTime::from_unix(NOW - DAY).unwrap(), UnixTime::from_unix(NOW + DAY).unwrap());
    let device_id = DeviceId::parse("ZM-001").unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let order = ClientCertificateOrder {
        spki: spki.clone(),
        device_id: device_id.clone(),
        serial,
        not_before,
        not_after,
        trust: TrustLevel::Anchored,
    };
    let issued = world.ca.issuer().unwrap().issue(&order).await.unwrap();
    world.store.put_certificate(CertificateRow {
        serial,
        session: SessionId::from_bytes([9; 16]),
        device_id: device_id.clone(),
        state,
        identity_key: spki,
        config_version: 4,
        der: issued.der.clone(),
        not_before,
        not_after,
        issued_at: not_before,
        committed_at: None,
        revoked: None,
    });
    LinkCredentials {
        server_url: world.url.clone(),
        ca: vec![world.ca.anchor_der().to_vec()],
        client_chain: issued.chain,
        client_key: zmon_crypto::SecretBytes::new(key.serialize_der()),
        server_pin: None,
        sync_interval: SyncInterval::default(),
        device_id,
    }
}

/// The same device with a certificate that the client CA signed and that says it is simulated.
fn simulated(world: &World, real: &LinkCredentials) -> LinkCredentials {
    use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, Issuer, KeyPair};
    let ca_key = world.ca.to_parts().unwrap().client_ca_key;
    let ca_key = KeyPair::try_from(ca_key.file().unwrap().expose()).unwrap();
    let ca = world.ca.client_ca_der().into();
    let issuer = Issuer::from_ca_cert_der(&ca, ca_key).unwrap();
    let mut params = CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&SERIAL));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        x509::OID_TRUST_LEVEL_ARCS,
        x509::trust_level_extension(zmon_wire::kind::TrustLevel::Simulated).unwrap(),
    )];
    let key = KeyPair::try_from(real.client_key.expose()).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap().der().to_vec();
    LinkCredentials { client_chain: vec![leaf], ..real.clone() }
}

pub(crate) fn heartbeat() -> Heartbeat {
    Heartbeat {
        sequence: 1,
        uptime_seconds: 0,
        bytes_sent: 0,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    }
}

fn commit_request() -> CommitRequest {
    CommitRequest {
        v: V1::default(),
        session_id: SessionId::from_bytes([9; 16]),
        serial: Serial::from_bytes(&SERIAL).unwrap(),
        nonce: [3; 32],
    }
}

pub(crate) async fn connect(world: &World, credentials: &LinkCredentials) -> Connection {
    let own = ClientCredentials { chain: &credentials.client_chain, key: &credentials.client_key };
    let tls = device_client(&world.tls, &credentials.ca, None, &own).unwrap();
    Connection::open(&endpoint(world.listeners.devices()), tls, PATIENCE).await.unwrap()
}

#[tokio::test]
async fn a_pending_certificate_opens_test_and_commit_only() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Pending).await;
    let link = TlsStationLink::new(world.tls.clone());
    link.test(&credentials).await.unwrap();
    let early = link.heartbeat(&credentials, &heartbeat()).await.unwrap_err();
    assert_eq!(early, LinkError::Refused(ErrorCode::StateConflict));
    let outcome = link.commit(&credentials, &commit_request()).await.unwrap();
    assert_eq!(outcome.iter().filter(|byte| **byte == b'.').count(), 2, "a compact JWS");
    let answer = link.heartbeat(&credentials, &heartbeat()).await.unwrap();
    assert_eq!(answer.config_version, 4);
}

/// Whether an outcome is the one that its signer signed.
fn is_signed(outcome: &[u8]) -> bool {
    let Ok(jws) = Unverified::parse(outcome) else { return false };
    let Ok(chain) = jws.x5c() else { return false };
    let key = IdentityPublic::parse(&x509::spki_of(chain.leaf()).unwrap()).unwrap();
    jws.verify_with(Typ::Outcome, &key, &Algorithms::rustcrypto()).is_ok()
}

/// The fates of the next requests; then they pass.
struct Fates(Mutex<VecDeque<(DeviceRequest, Fate)>>);

#[async_trait]
impl Interposed for Fates {
    async fn fate(&self, request: DeviceRequest) -> Fate {
        let Some((expected, fate)) = self.0.lock().unwrap().pop_front() else { return Fate::Pass };
        assert_eq!(request, expected);
        fate
    }
}

#[tokio::test]
async fn an_ordered_fault_breaks_loses_or_spoils_a_device_s_request() {
    let fates = [
        (DeviceRequest::Test, Fate::Break),
        (DeviceRequest::Commit, Fate::Break),
        (DeviceRequest::Commit, Fate::Lose),
        (DeviceRequest::Commit, Fate::Spoil),
        // Over the kept connection, and over the new one that is tried at once.
        (DeviceRequest::Heartbeat, Fate::Lose),
        (DeviceRequest::Heartbeat, Fate::Lose),
    ];
    let world = World::open_behind(Arc::new(Fates(Mutex::new(fates.into())))).await;
    let credentials = enrol(&world, CertificateState::Pending).await;
    let link = TlsStationLink::new(world.tls.clone());
    let state = || world.store.certificates()[0].state;
    let broken = |answer: Result<Vec<u8>, LinkError>| {
        assert!(matches!(answer.unwrap_err(), LinkError::Network(_)));
    };
    broken(link.test(&credentials).await.map(|()| Vec::new()));
    broken(link.commit(&credentials, &commit_request()).await);
    assert_eq!(state(), CertificateState::Pending, "the station never saw it");
    broken(link.commit(&credentials, &commit_request()).await);
    assert_eq!(state(), CertificateState::Current, "only the answer was lost");
    let spoilt = link.commit(&credentials, &commit_request()).await.unwrap();
    assert!(!is_signed(&spoilt));
    let lost = link.heartbeat(&credentials, &heartbeat()).await;
    assert!(matches!(lost.unwrap_err(), LinkError::Network(_)));
    link.heartbeat(&credentials, &heartbeat()).await.unwrap();
    let whole = link.commit(&credentials, &commit_request()).await.unwrap();
    assert!(is_signed(&whole));
}

#[tokio::test]
async fn a_revoked_device_is_refused_at_its_next_request_and_its_next_handshake() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let link = TlsStationLink::new(world.tls.clone());
    link.heartbeat(&credentials, &heartbeat()).await.unwrap();
    let mut kept = connect(&world, &credentials).await;
    assert_eq!(kept.send(Ask::get("/api/device/test"), PATIENCE).await.unwrap().status, 200);

    let mut ada = world.administrator().await;
    let revoked = ada.post("/api/certificates/8001020304050607/revoke", "").await;
    assert_eq!(revoked.status, 200);

    // The kept connections: an answer, then the end.
    let answer = kept.send(Ask::get("/api/device/test"), PATIENCE).await.unwrap();
    assert_eq!(problem(&answer).code, ErrorCode::CertificateRevoked);
    assert!(kept.send(Ask::get("/api/device/test"), PATIENCE).await.is_err());
    let refused = link.heartbeat(&credentials, &heartbeat()).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::CertificateRevoked));

    // A new one: the list is in force as soon as it is announced.
    let mut list = world.station.revocation_list();
    list.wait_for(|list| list.as_ref().is_some_and(|list| list.number > 1)).await.unwrap();
    let refused = link.test(&credentials).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::CertificateRevoked));
}

#[tokio::test]
async fn a_simulated_certificate_opens_nothing_at_a_real_station() {
    let world = World::open().await;
    let real = enrol(&world, CertificateState::Current).await;
    let marked = simulated(&world, &real);
    let link = TlsStationLink::new(world.tls.clone());
    let refused = LinkError::Certificate(ErrorCode::SimulatedCertificate);
    assert_eq!(link.test(&marked).await.unwrap_err(), refused);
    assert_eq!(link.commit(&marked, &commit_request()).await.unwrap_err(), refused);
    assert_eq!(link.heartbeat(&marked, &heartbeat()).await.unwrap_err(), refused);
    let pull = link.pull(&marked, PullMethod::Renewal, "a.b.c").await;
    assert_eq!(pull.err().unwrap(), refused, "it is not renewed either");
    link.heartbeat(&real, &heartbeat()).await.unwrap();
}

#[tokio::test]
async fn a_serial_number_nobody_issued_is_refused() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let other = World::open().await;
    // The same authority, another station's memory.
    let moved = LinkCredentials { server_url: other.url.clone(), ..credentials };
    let link = TlsStationLink::new(other.tls.clone());
    let refused = link.test(&moved).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::CertificateRevoked));
}

#[tokio::test]
async fn certificate_and_network_problems_are_told_apart() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let link = TlsStationLink::new(world.tls.clone());

    let pinned = LinkCredentials {
        server_pin: Some(Thumbprint::from_bytes([1; 32])),
        ..credentials.clone()
    };
    let refused = link.test(&pinned).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::ServerPinMismatch));

    let unanchored =
        LinkCredentials { ca: vec![world.ca.client_ca_der().to_vec()], ..credentials.clone() };
    let refused = link.test(&unanchored).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::ServerUntrusted));

    let keyless = LinkCredentials { client_chain: Vec::new(), ..credentials.clone() };
    let refused = link.test(&keyless).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::ClientCertificateInvalid));

    world.listeners.shutdown().await;
    let gone = link.heartbeat(&credentials, &heartbeat()).await.unwrap_err();
    assert_eq!(gone, LinkError::Network(ErrorCode::StationUnreachable));
    let nowhere = LinkCredentials {
        server_url: ServerUrl::parse("https://no-such-host.invalid").unwrap(),
        ..credentials
    };
    let gone = link.test(&nowhere).await.unwrap_err();
    assert_eq!(gone, LinkError::Network(ErrorCode::StationUnreachable));
}

#[tokio::test]
async fn heartbeats_share_the_connection_of_the_test() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let link = TlsStationLink::new(world.tls.clone());
    link.test(&credentials).await.unwrap();
    let first = link.heartbeat(&credentials, &heartbeat()).await.unwrap();
    let second = link.heartbeat(&credentials, &heartbeat()).await.unwrap();
    assert_eq!(first.config_version, second.config_version);
    assert_eq!(world.listeners.device_connections(), 1);
}

#[tokio::test]
async fn a_question_about_an_outcome_needs_no_certificate_and_teaches_strangers_nothing() {
    let world = World::open().await;
    let mut credentials = enrol(&world, CertificateState::Pending).await;
    // Not even one that would be refused.
    credentials.client_chain = Vec::new();
    let link = TlsStationLink::new(world.tls.clone());
    for junk in ["", "x", "a.b.c"] {
        let refused = link.ask_outcome(&credentials, junk).await.unwrap_err();
        assert_eq!(refused, LinkError::Refused(ErrorCode::SignatureInvalid), "{junk:?}");
    }
}

#[tokio::test]
async fn every_path_refuses_other_methods_and_bodies() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let mut device = connect(&world, &credentials).await;
    for (_, path) in PATHS {
        for wrong in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = device.send(Ask::get(path).method(wrong), PATIENCE).await.unwrap();
            assert_eq!(problem(&answer).code, ErrorCode::MethodNotAllowed, "{path}");
        }
    }
    for (_, path) in PATHS.iter().filter(|(method, _)| *method == "POST") {
        let answer = device.send(Ask::post(path, "text/plain", "{}"), PATIENCE).await.unwrap();
        assert_eq!(problem(&answer).code, ErrorCode::MediaTypeUnsupported, "{path}");
        let bad: [&[u8]; 5] = [b"{}", b"", b"{\"\xc3\x28\":1}", b"{\"a\":1,\"a\":1}", b"[1]"];
        for body in bad {
            let answer = device.send(Ask::post(path, JSON, body), PATIENCE).await.unwrap();
            let refused = problem(&answer);
            assert_eq!(refused.code, ErrorCode::RequestMalformed, "{path}");
            assert!(refused.field.is_some() && refused.rule.is_some(), "{path}");
        }
        let mut other = connect(&world, &credentials).await;
        let long = vec![b' '; 65_537];
        let answer = other.send(Ask::post(path, JSON, long), PATIENCE).await.unwrap();
        assert_eq!(problem(&answer).code, ErrorCode::RequestTooLarge, "{path}");
    }
    // The operators' paths are not served here, nor the devices' paths there.
    let answer = device.send(Ask::get("/api/audit"), PATIENCE).await.unwrap();
    assert_eq!(problem(&answer).code, ErrorCode::RouteUnknown);
    let answer = world.administrator().await.get("/api/device/test").await;
    assert_eq!(problem(&answer).code, ErrorCode::RouteUnknown);
}

#[tokio::test]
async fn a_statement_needs_no_certificate_and_teaches_strangers_nothing() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let link = TlsStationLink::new(world.tls.clone());
    let retirement = |statement: &str| Retirement {
        counter: 1,
        statement: statement.to_owned(),
        server_url: credentials.server_url.clone(),
        ca: credentials.ca.clone(),
        server_pin: credentials.server_pin,
    };
    // Nobody's, and one about a certificate that exists, signed by nobody: one answer.
    let payload = br#"{"v":1,"deviceId":"ZM-001","serials":["8001020304050607"],"reason":"deprovisioned","counter":1}"#;
    let forged = format!(
        "{}.{}.{}",
        zmon_wire::b64::encode_url(br#"{"alg":"ES256","typ":"zp-retire+jws"}"#),
        zmon_wire::b64::encode_url(payload),
        zmon_wire::b64::encode_url(&[7; 64]),
    );
    for junk in ["", "a.b.c", forged.as_str()] {
        let refused = link.retire(&retirement(junk)).await.unwrap_err();
        assert_eq!(refused, LinkError::Refused(ErrorCode::SignatureInvalid), "{junk:?}");
    }
    assert!(link.heartbeat(&credentials, &heartbeat()).await.is_ok(), "nothing was revoked");
    // A server that does not have the pinned key does not get to see the statement.
    let mut other = retirement("");
    other.server_pin = Some(Thumbprint::from_bytes([7; 32]));
    let refused = link.retire(&other).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::ServerPinMismatch));
}
