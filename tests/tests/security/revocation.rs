//! A revoked certificate is refused at the next request and at the next handshake, whatever the TLS
//! layer remembers (D17).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, Stream};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{LinkCredentials, LinkError};
use zmon_provisioning::ports::StationLink;
use zmon_station::ports::CertificateState;
use zmon_testkit::{SimulatedDevice, paired, wait};
use zmon_transport::provider;
use zmon_transport::station_link::TlsStationLink;
use zmon_wire::heartbeat::Heartbeat;

fn heartbeat() -> Heartbeat {
    Heartbeat {
        sequence: 1,
        uptime_seconds: 0,
        bytes_sent: 0,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_a_kept_connection_and_at_the_next_handshake() {
    let (station, device) = paired().await;
    let stolen = device.credentials().await;
    let kept = TlsStationLink::new(device.tls());
    kept.heartbeat(&stolen, &heartbeat()).await.expect("good so far");

    station.revoke(&device).await;
    let revoked = LinkError::Certificate(ErrorCode::CertificateRevoked);
    let refused = kept.heartbeat(&stolen, &heartbeat()).await.unwrap_err();
    assert_eq!(refused, revoked, "the next request on the kept connection");

    let fresh = TlsStationLink::new(device.tls());
    assert_eq!(fresh.test(&stolen).await.unwrap_err(), revoked, "a fresh handshake");
    assert_eq!(fresh.heartbeat(&stolen, &heartbeat()).await.unwrap_err(), revoked);
    station.audit_verified().await;
}

#[tokio::test]
async fn the_devices_own_link_learns_that_it_is_revoked() {
    let (station, device) = paired().await;
    station.revoke(&device).await;
    let down = wait::until("the link to fall", device.link(), |link| !link.connected);
    let link = station.clock().hurry(limits::SYNC_INTERVAL.default, down).await;
    assert_eq!(link.last_error, Some(ErrorCode::CertificateRevoked));
    assert_eq!(device.state(), ProvisioningState::Provisioned, "monitoring is not pairing");

    let qr = device.open_window().await;
    station.pair(&qr).await.expect("a revoked device is paired anew");
    device.until_connected().await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
}

#[tokio::test]
async fn a_revocation_survives_a_restart_of_the_station() {
    let (mut station, device) = paired().await;
    let stolen = device.credentials().await;
    station.revoke(&device).await;
    station.crash();
    station.restart().await;
    let fresh = TlsStationLink::new(device.tls());
    let refused = fresh.test(&stolen).await.unwrap_err();
    assert_eq!(refused, LinkError::Certificate(ErrorCode::CertificateRevoked));
}

#[tokio::test]
async fn a_client_that_wants_to_resume_is_not_resumed() {
    let (station, device) = paired().await;
    let (config, name) = resuming_client(&device).await;
    let at = station.devices();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (config, name) = (Arc::clone(&config), name.clone());
        let visit = tokio::task::spawn_blocking(move || visit(at, config, name));
        seen.push(visit.await.unwrap());
    }
    for (handshake, tickets, answer) in seen {
        assert_eq!(handshake, Some(HandshakeKind::Full));
        assert_eq!(tickets, 0, "no ticket to come back with");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    station.revoke(&device).await;
    let visit = tokio::task::spawn_blocking(move || visit(at, config, name));
    let (_, _, answer) = visit.await.unwrap();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A client that keeps every session it is offered.
async fn resuming_client(device: &SimulatedDevice) -> (Arc<ClientConfig>, ServerName<'static>) {
    let LinkCredentials { server_url, ca, client_chain, client_key, .. } =
        device.credentials().await;
    let mut roots = RootCertStore::empty();
    for ca in ca {
        roots.add(CertificateDer::from(ca)).unwrap();
    }
    let chain = client_chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivatePkcs8KeyDer::from(client_key.expose().to_vec());
    let config = ClientConfig::builder_with_provider(provider::ring().tls)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let name = ServerName::try_from(server_url.host().to_owned()).unwrap();
    (Arc::new(config), name)
}

/// One connection and one request: how the handshake went, tickets received, the answer or error.
fn visit(
    at: std::net::SocketAddr,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> (Option<HandshakeKind>, u32, String) {
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut socket = TcpStream::connect(at).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    let request =
        format!("GET /api/device/test HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    if let Err(error) =
        stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer))
        && answer.is_empty()
    {
        answer = error.to_string();
    }
    (connection.handshake_kind(), connection.tls13_tickets_received(), answer)
}
