//! The devices' listener of a station: who gets in, who does not, and what the client learns (D17).

use std::io::ErrorKind;
use std::slice::from_ref;
use std::sync::Arc;

use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa};
use rustls::client::{ClientConfig, ClientSessionMemoryCache, ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zmon_crypto::x509::OID_CONFIG_SIGNING_ARCS;
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

/// An extension of a client's certificate, by its OID.
fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

#[tokio::test]
async fn odd_certificates_of_the_right_authority_are_refused() {
    use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, Other};
    type Change = Box<dyn Fn(&mut CertificateParams)>;
    let purposes = |list: Vec<ExtendedKeyUsagePurpose>| -> Change {
        Box::new(move |params| params.extended_key_usages = list.clone())
    };
    let signing = || Other(OID_CONFIG_SIGNING_ARCS.to_vec());
    const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 58888, 9];
    const PURPOSES: &[u64] = &[2, 5, 29, 37];
    let refused: [(&str, Change); 9] = [
        ("any purpose", purposes(vec![Any])),
        ("any purpose besides", purposes(vec![ClientAuth, Any])),
        ("signs configurations", purposes(vec![signing()])),
        ("signs configurations besides", purposes(vec![ClientAuth, signing()])),
        (
            "no purpose at all",
            Box::new(|params| {
                params.extended_key_usages.clear();
                params.custom_extensions.push(extension(PURPOSES, &[0x30, 0x00], false));
            }),
        ),
        (
            "a purpose that is no list",
            Box::new(|params| {
                params.extended_key_usages.clear();
                params.custom_extensions.push(extension(PURPOSES, &[0x05, 0x00], false));
            }),
        ),
        (
            "an authority",
            Box::new(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ),
        (
            "a last authority",
            Box::new(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        ),
        (
            "what must be understood",
            Box::new(|params| params.custom_extensions.push(extension(UNKNOWN, &[5, 0], true))),
        ),
    ];
    for provider in providers() {
        let ward = Ward::open(context_of(&provider), echo()).await;
        for (what, change) in &refused {
            let odd = ward.client_ca.issue_with(&Wish::client(7), change);
            let config = Arc::new(showing(&provider.tls, &ward, &odd));
            let error = plain_visit(&ward, &config).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{what}: {error}");
            assert!(error.to_string().contains("received fatal alert"), "{what}: {error}");
        }
        // Names decide nothing here, odd as they are: the record of the serial number does.
        let named = ward.client_ca.issue_with(&Wish::client(7), |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, "MON-1\0.elsewhere");
            params.custom_extensions.push(extension(UNKNOWN, &[5, 0], false));
        });
        let config = Arc::new(showing(&provider.tls, &ward, &named));
        let (_, answer) = plain_visit(&ward, &config).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// A client that shows its certificate without reading it, as no client of ours would.
fn showing(
    provider: &Arc<rustls::crypto::CryptoProvider>,
    ward: &Ward,
    device: &Leaf,
) -> ClientConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(device.key.expose().to_vec()));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = device.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let mut config = remembering(provider, ward, &ward.client_ca.issue(&Wish::client(8)));
    config.client_auth_cert_resolver = Arc::new(Shown(Arc::new(CertifiedKey::new(chain, key))));
    config
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
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
