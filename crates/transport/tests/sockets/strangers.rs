//! Peers without a certificate at the devices' listener, and those whose certificate is refused: one
//! answer, and a count.

use std::collections::BTreeMap;

use http::header::HOST;
use http::{HeaderValue, Method};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_station::ports::{AuditPage, CertificateState, StationStore};
use zmon_transport::client::{Answer, Ask, Connection, JSON, OCTETS};
use zmon_transport::paths::{self, OUTCOME_ALPN, PULL_ALPN, RECOVERY_ALPN};
use zmon_transport::tls::{ClientCredentials, device_client, nameless_client};

use crate::peers::{connect, enrol};
use crate::pki::{Ca, Wish};
use crate::support::{PATIENCE, endpoint};
use crate::world::{World, problem};

/// Every path for who has no certificate, with the name it is behind.
pub(crate) const SIGNED: [(&[u8], &str); 5] = [
    (OUTCOME_ALPN, paths::OUTCOME),
    (OUTCOME_ALPN, paths::RETIRE),
    (RECOVERY_ALPN, paths::RECOVER),
    (RECOVERY_ALPN, paths::RECOVER_IDENTITY),
    (PULL_ALPN, paths::POLL),
];

/// All of an answer but its number.
pub(crate) fn fingerprint(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "x-request-id");
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
    headers.sort();
    (answer.status.as_u16(), headers, answer.body.to_vec())
}

/// How often each cause was counted, once the minute is over.
pub(crate) async fn counted(world: &World) -> BTreeMap<ErrorCode, u64> {
    tokio::time::pause();
    tokio::time::advance(limits::JUNK_WINDOW.default).await;
    world.station.round().await.unwrap();
    tokio::time::resume();
    let rows = world.store.audit(AuditPage { after: 0, limit: 1000 }).await.unwrap();
    let junk = rows.into_iter().filter(|row| row.event == EventType::JunkRefused);
    let mut counts = BTreeMap::new();
    for row in junk {
        let count = row.detail.iter().find(|(name, _)| name.as_str() == "count").unwrap();
        let before = counts.insert(row.error.unwrap(), count.1.parse().unwrap());
        assert_eq!(before, None, "one row a source, reason and minute");
    }
    counts
}

async fn ask(world: &World, protocol: &[u8], ask: Ask<'_>) -> Answer {
    let ca = [world.ca.anchor_der().to_vec()];
    let tls = nameless_client(&world.tls, &ca, None, protocol).unwrap();
    let at = endpoint(world.listeners.devices());
    let mut connection = Connection::open(&at, tls, PATIENCE).await.unwrap();
    connection.send(ask, PATIENCE).await.unwrap()
}

#[tokio::test]
async fn junk_where_a_signature_is_asked_for_gets_one_answer() {
    let world = World::open().await;
    let mut first = None;
    let mut alike = |answer: &Answer, what: &str| {
        assert_eq!(problem(answer).code, ErrorCode::SignatureInvalid, "{what}");
        assert_eq!(answer.headers.get("connection").unwrap(), "close", "{what}");
        let seen = fingerprint(answer);
        assert_eq!(first.get_or_insert(seen.clone()), &seen, "{what}");
    };
    let forged = "e30.e30.e30";
    let bodies = [
        Vec::new(),
        b"\x00\xff".to_vec(),
        b"{\"\xc3\x28\":1}".to_vec(),
        b"{}".to_vec(),
        br#"{"a":1,"a":1}"#.to_vec(),
        format!(r#"{{"ask":"{forged}"}}"#).into_bytes(),
        format!(r#"{{"statement":"{forged}"}}"#).into_bytes(),
        format!(r#"{{"pull":"{forged}"}}"#).into_bytes(),
        format!(r#"{{"sessionId":"0190b6a0-0000-4000-8000-000000000000","identity":"{forged}"}}"#)
            .into_bytes(),
        vec![b' '; 65_537],
    ];
    let mut sent = 0;
    for (protocol, path) in SIGNED {
        for body in &bodies {
            let answer = ask(&world, protocol, Ask::post(path, JSON, body.clone())).await;
            alike(
                &answer,
                &format!("{path} {}", String::from_utf8_lossy(&body[..body.len().min(40)])),
            );
        }
        alike(&ask(&world, protocol, Ask::post(path, OCTETS, "{}")).await, path);
        for method in [Method::GET, Method::PUT, Method::OPTIONS] {
            alike(&ask(&world, protocol, Ask::get(path).method(method)).await, path);
        }
        let foreign = HeaderValue::from_static("evil.example");
        alike(&ask(&world, protocol, Ask::get(path).header(HOST, foreign)).await, path);
        sent += bodies.len() as u64 + 5;
    }
    for path in ["/", paths::DEVICE_TEST, paths::AUDIT] {
        alike(&ask(&world, OUTCOME_ALPN, Ask::get(path)).await, path);
        alike(&ask(&world, RECOVERY_ALPN, Ask::get(path)).await, path);
        sent += 2;
    }
    let counts = counted(&world).await;
    assert_eq!(counts.values().sum::<u64>(), sent, "{counts:?}");
    assert_eq!(counts[&ErrorCode::RouteUnknown], 6);
    assert_eq!(counts[&ErrorCode::MethodNotAllowed], 15);
    assert_eq!(counts[&ErrorCode::RequestTooLarge], 5);
}

#[tokio::test]
async fn requests_with_a_revoked_certificate_are_counted() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let mut kept = connect(&world, &credentials).await;
    assert_eq!(kept.send(Ask::get(paths::DEVICE_TEST), PATIENCE).await.unwrap().status, 200);
    let other = World::open().await;
    let elsewhere = |world: &World| zmon_protocol::device::LinkCredentials {
        server_url: world.url.clone(),
        ..credentials.clone()
    };
    // The same authority, and nothing on record: looked up at each request.
    for _ in 0..3 {
        let mut unknown = connect(&other, &elsewhere(&other)).await;
        let answer = unknown.send(Ask::get(paths::DEVICE_TEST), PATIENCE).await.unwrap();
        assert_eq!(problem(&answer).code, ErrorCode::CertificateRevoked);
    }
    assert_eq!(counted(&other).await, [(ErrorCode::CertificateRevoked, 3)].into());

    let mut ada = world.administrator().await;
    assert_eq!(ada.post("/api/certificates/8001020304050607/revoke", "").await.status, 200);
    let answer = kept.send(Ask::get(paths::DEVICE_TEST), PATIENCE).await.unwrap();
    assert_eq!(problem(&answer).code, ErrorCode::CertificateRevoked);
    assert_eq!(counted(&world).await, [(ErrorCode::CertificateRevoked, 1)].into());
}

#[tokio::test]
async fn handshakes_that_are_refused_are_counted_by_cause() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let at = endpoint(world.listeners.devices());
    let mut ada = world.administrator().await;
    assert_eq!(ada.post("/api/certificates/8001020304050607/revoke", "").await.status, 200);
    let mut list = world.station.revocation_list();
    list.wait_for(|list| list.as_ref().is_some_and(|list| list.number > 1)).await.unwrap();

    let foreign = Ca::new("another CA").issue(&Wish::client(9));
    let own = [
        ClientCredentials { chain: &credentials.client_chain, key: &credentials.client_key },
        ClientCredentials { chain: &foreign.chain, key: &foreign.key },
    ];
    for own in own {
        let tls = device_client(&world.tls, &credentials.ca, None, &own).unwrap();
        // TLS 1.3 lets the client go first: the refusal comes with the first answer.
        if let Ok(mut connection) = Connection::open(&at, tls, PATIENCE).await {
            assert!(connection.send(Ask::get(paths::DEVICE_TEST), PATIENCE).await.is_err());
        }
    }
    let mut socket = tokio::net::TcpStream::connect(world.listeners.devices()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(socket.read_to_end(&mut Vec::new()).await);
    drop(socket);
    world.listeners.shutdown().await;
    let expected = [
        (ErrorCode::CertificateRevoked, 1),
        (ErrorCode::ClientCertificateInvalid, 1),
        (ErrorCode::RequestMalformed, 1),
    ];
    assert_eq!(counted(&world).await, expected.into());
}
