//! The accept loop: versions, bounds, panics, stopping.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zmon_transport::client::{Ask, ClientError, Connection};
use zmon_transport::server::{Hosted, Server, ServerLimits};
use zmon_transport::tls::{ServerCredentials, operator_server, trusting_client};

use crate::pki::{Ca, Wish};
use crate::support::{Gate, PATIENCE, context, echo_behind, endpoint, localhost};

struct Site {
    ca: Ca,
    server: Server,
    gate: Arc<Gate>,
}

impl Site {
    async fn open(limits: ServerLimits) -> Self {
        let tls = context();
        let ca = Ca::new("server CA");
        let leaf = ca.issue(&Wish::server(1));
        let credentials = ServerCredentials::new(&leaf.chain, leaf.key.clone()).unwrap();
        let config = operator_server(&tls, &credentials).unwrap();
        let gate = Arc::new(Gate::default());
        let hosted = Hosted::new(config, echo_behind(&gate));
        let server = Server::bind(localhost(), hosted, limits).await.unwrap();
        Self { ca, server, gate }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let config = trusting_client(&context(), std::slice::from_ref(&self.ca.der)).unwrap();
        Connection::open(&endpoint(self.server.address()), config, PATIENCE).await
    }

    /// A TLS stream without HTTP.
    async fn raw(&self) -> TlsStream<TcpStream> {
        let config = trusting_client(&context(), std::slice::from_ref(&self.ca.der)).unwrap();
        let tcp = TcpStream::connect(self.server.address()).await.unwrap();
        let name = ServerName::from(self.server.address().ip());
        TlsConnector::from(config).connect(name, tcp).await.unwrap()
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_listener_lives_on() {
    let site = Site::open(ServerLimits::operators()).await;
    let mut connection = site.connect().await.unwrap();
    let answer = connection.send(Ask::get("/panic"), PATIENCE).await.unwrap();
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let answer = connection.send(Ask::get("/ok"), PATIENCE).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_slow_handler_is_answered_for() {
    let mut limits = ServerLimits::operators();
    limits.request = Duration::from_millis(50);
    let site = Site::open(limits).await;
    let mut connection = site.connect().await.unwrap();
    let answer = connection.send(Ask::get("/hang"), PATIENCE).await.unwrap();
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
}

/// Reads until the other side closes; the test's own bound is reached only if it never does.
async fn closed_by_server(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn a_peer_that_never_speaks_tls_is_closed() {
    let mut limits = ServerLimits::operators();
    limits.handshake = Duration::from_millis(50);
    let site = Site::open(limits).await;
    let mut silent = TcpStream::connect(site.server.address()).await.unwrap();
    assert!(closed_by_server(&mut silent).await);
}

#[tokio::test]
async fn bytes_that_are_no_tls_are_refused() {
    let site = Site::open(ServerLimits::operators()).await;
    let mut plain = TcpStream::connect(site.server.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(closed_by_server(&mut plain).await);
}

#[tokio::test]
async fn slow_headers_and_resting_connections_are_closed() {
    let mut limits = ServerLimits::operators();
    limits.head = Duration::from_millis(100);
    limits.idle = Duration::from_millis(300);
    let site = Site::open(limits).await;
    for beginning in ["", "GET /ok HTTP/1.1\r\nHos", "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = site.raw().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert!(closed_by_server(&mut stream).await, "{beginning:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_or_has_too_many_headers_is_refused() {
    let site = Site::open(ServerLimits::operators()).await;
    let begin = "GET /ok HTTP/1.1\r\nHost: x\r\n";
    let long = format!("{begin}X: {}\r\n\r\n", "a".repeat(ServerLimits::HEAD_BYTES));
    let many = format!("{begin}{}\r\n", "X: a\r\n".repeat(ServerLimits::HEADERS));
    for head in [long, many] {
        let mut stream = site.raw().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 431");
        assert!(closed_by_server(&mut stream).await);
    }
    let most = format!("{begin}{}\r\n", "X: a\r\n".repeat(ServerLimits::HEADERS - 1));
    let mut stream = site.raw().await;
    stream.write_all(most.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[tokio::test]
async fn the_places_of_one_source_are_counted() {
    let mut limits = ServerLimits::operators();
    limits.per_source = 1;
    let site = Site::open(limits).await;
    let mut first = site.connect().await.unwrap();
    first.send(Ask::get("/ok"), PATIENCE).await.unwrap();
    assert!(site.connect().await.is_err(), "the second connection is closed unheard");
    first.send(Ask::get("/ok"), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_full_listener_lets_the_next_one_in_when_a_place_is_free() {
    let mut limits = ServerLimits::operators();
    limits.connections = 1;
    let site = Site::open(limits).await;
    let mut first = site.connect().await.unwrap();
    first.send(Ask::get("/ok"), PATIENCE).await.unwrap();
    let waiting = async {
        let mut second = site.connect().await.unwrap();
        second.send(Ask::get("/ok"), PATIENCE).await.unwrap()
    };
    let leaving = async {
        assert_eq!(site.server.connections(), 1);
        drop(first);
    };
    let (answer, ()) = tokio::join!(waiting, leaving);
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_closed_server_frees_its_port_and_finishes_what_it_began() {
    let site = Site::open(ServerLimits::operators()).await;
    let address = site.server.address();
    let mut connection = site.connect().await.unwrap();
    let answering = connection.send(Ask::get("/wait"), PATIENCE);
    let closing = async {
        site.gate.arrived.notified().await;
        site.server.close().await;
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        tokio::net::TcpListener::bind(address).await.unwrap();
        site.gate.let_go.notify_one();
    };
    let (answer, ()) = tokio::join!(answering, closing);
    assert_eq!(answer.unwrap().status, StatusCode::OK);
    site.server.shutdown().await;
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let site = Site::open(ServerLimits::operators()).await;
    // rustls is built without TLS 1.2, so the hello is written by hand: version 1.2, no
    // supported_versions extension, one cipher suite.
    let mut hello = vec![0x03, 0x03];
    hello.extend_from_slice(&[7; 32]);
    hello.push(0);
    hello.extend_from_slice(&[0, 2, 0xc0, 0x2b, 1, 0]);
    // signature_algorithms: ecdsa_secp256r1_sha256; supported_groups: secp256r1
    let extensions = [0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23];
    hello.extend_from_slice(&[0, 16]);
    hello.extend_from_slice(&extensions);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.append(&mut hello);
    let mut stream = TcpStream::connect(site.server.address()).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // A fatal alert, protocol_version (70).
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}
