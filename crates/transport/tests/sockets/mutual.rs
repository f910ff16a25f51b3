//! The devices' listener of a station: who gets in, who does not, and what the client learns (D17).

use std::io::ErrorKind;
use std::slice::from_ref;
use std::sync::Arc;

use http::StatusCode;
use rustls::client::{ClientConfig, ClientSessionMemoryCache, Resumption};
use rustls::{HandshakeKind, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zmon_domain::ids::Thumbprint;
use zmon_transport::client::{Ask, ClientError, Connection, Refusal};
use zmon_transport::tls::{ClientCredentials, TlsContext, device_client, trusting_client};

use crate::pki::{Ca, DAY, Leaf, NOW, Wish};
use crate::support::{PATIENCE, Ward, context, context_of, echo, providers};

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Refusal {
    match result {
        Err(ClientError::Certificate(refusal)) => refusal,
        other => panic!("not a certificate problem: {other:?}"),
    }
}

#[tokio::test]
async fn a_known_device_is_answered_with_every_provider() {
    for provider in providers() {
        let ward = Ward::open(context_of(&provider), echo()).await;
        let device = ward.client_ca.issue(&Wish::client(7));
        let mut connection = ward.connect(&device).await.unwrap();
        for _ in 0..3 {
            let answer = connection.send(Ask::get("/ok"), PATIENCE).await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ok"[..]));
        }
        ward.server.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let ward = Ward::open(context(), echo()).await;
    let config = trusting_client(&ward.tls, from_ref(&ward.server_ca.der)).unwrap();
    let mut connection = Connection::open(&ward.endpoint(), config, PATIENCE).await.unwrap();
    let answer = connection.send(Ask::get("/ok"), PATIENCE).await;
    assert_eq!(refusal(answer), Refusal::OwnRefused);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let ward = Ward::open(context(), echo()).await;
    let stranger = Ca::new("client CA").issue(&Wish::client(7));
    assert_eq!(refusal(ward.visit(&stranger).await), Refusal::OwnRefused);
    let wrong_ward = ward.server_ca.issue(&Wish::client(7));
    assert_eq!(refusal(ward.visit(&wrong_ward).await), Refusal::OwnRefused);
}

#[tokio::test]
async fn a_certificate_outside_its_validity_is_refused() {
    let ward = Ward::open(context(), echo()).await;
    let expired = Wish { not_after: NOW - 1, ..Wish::client(7) };
    assert_eq!(refusal(ward.visit(&ward.client_ca.issue(&expired)).await), Refusal::OwnExpired);
    let early = Wish { not_before: NOW + 1, ..Wish::client(8) };
    assert_eq!(refusal(ward.visit(&ward.client_ca.issue(&early)).await), Refusal::OwnExpired);
}

#[tokio::test]
async fn a_certificate_for_other_uses_is_refused() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let ward = Ward::open(context(), echo()).await;
    for uses in [vec![], vec![ServerAuth], vec![ClientAuth, ServerAuth]] {
        let odd = ward.client_ca.issue(&Wish { uses, ..Wish::client(7) });
        assert_eq!(refusal(ward.visit(&odd).await), Refusal::OwnRefused);
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_at_the_next_handshake() {
    for provider in providers() {
        let ward = Ward::open(context_of(&provider), echo()).await;
        let device = ward.client_ca.issue(&Wish::client(7));
        let other = ward.client_ca.issue(&Wish::client(8));
        ward.visit(&device).await.unwrap();
        ward.authority.reload(&ward.client_ca.revoke(&[7], NOW + 3600)).unwrap();
        assert_eq!(refusal(ward.visit(&device).await), Refusal::OwnRevoked);
        ward.visit(&other).await.unwrap();
    }
}

#[tokio::test]
async fn a_stale_or_foreign_revocation_list_admits_nobody() {
    let ward = Ward::open(context(), echo()).await;
    let device = ward.client_ca.issue(&Wish::client(7));
    ward.authority.reload(&ward.client_ca.revoke(&[], NOW - 1)).unwrap();
    assert_eq!(refusal(ward.visit(&device).await), Refusal::OwnRefused);
    ward.authority.reload(&Ca::new("elsewhere").revoke(&[], NOW + 3600)).unwrap();
    assert_eq!(refusal(ward.visit(&device).await), Refusal::OwnRefused);
    assert!(ward.authority.reload(b"not a list").is_err());
    ward.authority.reload(&ward.client_ca.revoke(&[], NOW + 3600)).unwrap();
    ward.visit(&device).await.unwrap();
}

#[tokio::test]
async fn nothing_is_resumed_and_a_revoked_client_with_a_memory_is_refused() {
    for provider in providers() {
        let ward = Ward::open(context_of(&provider), echo()).await;
        let device = ward.client_ca.issue(&Wish::client(7));
        let config = Arc::new(remembering(&provider.tls, &ward, &device));
        for _ in 0..2 {
            let (kind, answer) = plain_visit(&ward, &config).await.unwrap();
            assert_eq!(kind, HandshakeKind::Full);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        ward.authority.reload(&ward.client_ca.revoke(&[7], NOW + 3600)).unwrap();
        let error = plain_visit(&ward, &config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(error.to_string().contains("CertificateRevoked"), "{error}");
    }
}

/// A client that would resume if it were ever given the means.
fn remembering(
    provider: &Arc<rustls::crypto::CryptoProvider>,
    ward: &Ward,
    device: &Leaf,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ward.server_ca.der.clone())).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(device.key.expose().to_vec()));
    let chain = device.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let mut config = ClientConfig::builder_with_details(Arc::clone(provider), Arc::new(Fixed))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(16)));
    config.enable_early_data = true;
    config
}

#[derive(Debug)]
struct Fixed;

impl rustls::time_provider::TimeProvider for Fixed {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        let now = std::time::Duration::from_secs(u64::try_from(NOW).unwrap());
        Some(rustls_pki_types::UnixTime::since_unix_epoch(now))
    }
}

async fn plain_visit(
    ward: &Ward,
    config: &Arc<ClientConfig>,
) -> std::io::Result<(HandshakeKind, String)> {
    let tcp = TcpStream::connect(ward.server.address()).await?;
    let name = ServerName::from(ward.server.address().ip());
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
    stream.write_all(b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok((stream.get_ref().1.handshake_kind().unwrap(), answer))
}

#[tokio::test]
async fn the_server_is_held_to_its_pin_besides_its_path() {
    let ward = Ward::open(context(), echo()).await;
    let device = ward.client_ca.issue(&Wish::client(7));
    let own = ClientCredentials { chain: &device.chain, key: &device.key };
    let open = |pin| {
        let ca = from_ref(&ward.server_ca.der);
        let config = device_client(&ward.tls, ca, Some(pin), &own).unwrap();
        let endpoint = ward.endpoint();
        async move { Connection::open(&endpoint, config, PATIENCE).await }
    };
    let right = zmon_crypto::x509::spki_thumbprint(&ward.leaf.chain[0]).unwrap();
    open(right).await.unwrap().send(Ask::get("/ok"), PATIENCE).await.unwrap();
    let wrong = Thumbprint::from_bytes([7; 32]);
    assert_eq!(refusal(open(wrong).await), Refusal::ServerPin);
}

#[tokio::test]
async fn a_server_of_another_authority_name_or_time_is_refused() {
    let ward = Ward::open(context(), echo()).await;
    let device = ward.client_ca.issue(&Wish::client(7));
    let own = ClientCredentials { chain: &device.chain, key: &device.key };

    let stranger = Ca::new("server CA");
    let config = device_client(&ward.tls, from_ref(&stranger.der), None, &own).unwrap();
    let opened = Connection::open(&ward.endpoint(), config, PATIENCE).await;
    assert_eq!(refusal(opened), Refusal::ServerUntrusted);

    let later = |seconds: i64| {
        let provider = Arc::clone(ward.tls.provider());
        TlsContext::new(provider, move || u64::try_from(NOW + seconds).ok())
    };
    let config = device_client(&later(2 * DAY), from_ref(&ward.server_ca.der), None, &own).unwrap();
    let opened = Connection::open(&ward.endpoint(), config, PATIENCE).await;
    assert_eq!(refusal(opened), Refusal::ServerExpired);

    let unknown = TlsContext::new(Arc::clone(ward.tls.provider()), || None);
    let config = device_client(&unknown, from_ref(&ward.server_ca.der), None, &own).unwrap();
    let opened = Connection::open(&ward.endpoint(), config, PATIENCE).await;
    assert!(matches!(opened, Err(ClientError::Tls(_))), "{opened:?}");
}

#[tokio::test]
async fn several_listeners_share_a_machine() {
    let here = Ward::open(context(), echo()).await;
    let there = Ward::open(context(), echo()).await;
    assert_ne!(here.server.address(), there.server.address());
    let device = there.client_ca.issue(&Wish::client(7));
    there.visit(&device).await.unwrap();
    assert!(here.visit(&device).await.is_err());
}
