//! The device's provisioning listener and the station's dialer.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, Method};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use zmon_crypto::Suite;
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_provisioning::ports::{DeviceEndpoint, ListenError, Listener, SharedRng};
use zmon_station::ports::{DeviceDialer, DialError, Target};
use zmon_transport::client::{Ask, ClientError, ClientTimes, Connection, JSON, OCTETS, Refusal};
use zmon_transport::device_listener::{Bind, TlsListener};
use zmon_transport::dialer::TlsDeviceDialer;
use zmon_transport::server::ServerLimits;
use zmon_transport::tls::{TlsContext, pinned_client};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::kind::V1;
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};
use zmon_wire::strict;

use crate::memory::MemoryKeys;
use crate::support::{PATIENCE, context, context_of, endpoint, providers};
use crate::world::problem;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Answers as told; a delivery waits until it is let go.
struct Scripted {
    session: Result<SessionAnswer, ErrorReport>,
    blink: Result<BlinkAnswer, ErrorReport>,
    configuration: Result<DeliveryAnswer, ErrorReport>,
    arrived: Notify,
    let_go: Notify,
    wait: bool,
    junk: Mutex<Vec<ErrorCode>>,
}

impl Scripted {
    fn new() -> Self {
        Self {
            session: Ok(SessionAnswer { identity: "a.b.c".into() }),
            blink: Ok(BlinkAnswer { seconds: 6 }),
            configuration: Ok(DeliveryAnswer { status: "d.e.f".into() }),
            arrived: Notify::new(),
            let_go: Notify::new(),
            wait: false,
            junk: Mutex::default(),
        }
    }
}

#[async_trait]
impl DeviceEndpoint for Scripted {
    async fn session(&self, _open: SessionOpen) -> Result<SessionAnswer, ErrorReport> {
        self.session.clone()
    }

    async fn window(&self) -> Result<WindowAnswer, ErrorReport> {
        let device_id = "ZM-001".parse().unwrap();
        Ok(WindowAnswer { v: V1::default(), device_id, window_id: [7; 16] })
    }

    async fn pake_start(&self, start: PakeStart) -> Result<PakeStarted, ErrorReport> {
        match self.session.clone() {
            Ok(_) => Ok(PakeStarted { share_v: start.share_p, confirm_v: [5; 32] }),
            Err(error) => Err(error),
        }
    }

    async fn pake_confirm(&self, _confirm: PakeConfirm) -> Result<SessionAnswer, ErrorReport> {
        self.session.clone()
    }

    async fn blink(&self, _blink: BlinkRequest) -> Result<BlinkAnswer, ErrorReport> {
        self.blink.clone()
    }

    async fn configuration(&self, _envelope: Vec<u8>) -> Result<DeliveryAnswer, ErrorReport> {
        if self.wait {
            self.arrived.notify_one();
            self.let_go.notified().await;
        }
        self.configuration.clone()
    }

    async fn junk(&self, code: ErrorCode) {
        self.junk.lock().unwrap().push(code);
    }
}

struct Device {
    keys: Arc<MemoryKeys>,
    listener: TlsListener,
    port: u16,
    tls: TlsContext,
}

fn listener(tls: &TlsContext, keys: &Arc<MemoryKeys>, bind: Bind) -> TlsListener {
    let rng = SharedRng::new(ChaCha20Rng::seed_from_u64(5));
    TlsListener::new(tls, keys.clone(), &rng, bind).unwrap()
}

impl Device {
    async fn open(tls: TlsContext, suite: Suite, endpoint: Arc<Scripted>) -> Self {
        let keys = Arc::new(MemoryKeys::new(suite, 1));
        let listener = listener(&tls, &keys, Bind::any_port(HERE));
        let port = listener.open(endpoint).await.unwrap();
        Self { keys, listener, port, tls }
    }

    fn target(&self) -> Target {
        Target {
            address: DeviceAddress::from_ip(HERE).unwrap(),
            port: self.port,
            thumbprint16: self.keys.thumbprint16(),
        }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(HERE, self.port)
    }

    async fn connect(&self) -> Connection {
        let tls = pinned_client(&self.tls, self.keys.thumbprint16()).unwrap();
        Connection::open(&endpoint(self.address()), tls, PATIENCE).await.unwrap()
    }
}

fn hello() -> SessionOpen {
    SessionOpen { hello: "h.e.y".into(), claim_mac: [7; 32] }
}

fn hello_body() -> Vec<u8> {
    strict::to_vec(&hello()).unwrap()
}

#[tokio::test]
async fn a_pairing_takes_one_pinned_connection_with_both_suites_and_providers() {
    for provider in providers() {
        for suite in [Suite::P256, Suite::Rsa2048] {
            let scripted = Arc::new(Scripted::new());
            let device = Device::open(context_of(&provider), suite, scripted).await;
            let dialer = TlsDeviceDialer::new(device.tls.clone());
            let (answer, mut connection) = dialer.open(&device.target(), hello()).await.unwrap();
            assert_eq!(answer.identity, "a.b.c");
            assert_eq!(connection.blink(blink()).await.unwrap(), BlinkAnswer { seconds: 6 });
            let status = connection.deliver(vec![1, 2, 3]).await.unwrap();
            assert_eq!(status.status, "d.e.f");
        }
    }
}

fn blink() -> BlinkRequest {
    let (session_id, number) = (SessionId::from_bytes([1; 16]), NonZeroU32::MIN);
    BlinkRequest { session_id, number, mac: [9; 32] }
}

fn start() -> PakeStart {
    PakeStart { hello: "h.e.y".into(), share_p: [4; 65] }
}

fn start_body() -> Vec<u8> {
    strict::to_vec(&start()).unwrap()
}

fn confirm() -> PakeConfirm {
    PakeConfirm { session_id: SessionId::from_bytes([1; 16]), confirm_p: [9; 32] }
}

fn confirm_body() -> Vec<u8> {
    strict::to_vec(&confirm()).unwrap()
}

#[tokio::test]
async fn a_typed_pairing_takes_one_pinned_connection() {
    let device = Device::open(context(), Suite::P256, Arc::new(Scripted::new())).await;
    let dialer = TlsDeviceDialer::new(device.tls.clone());
    let (answer, mut connection) = dialer.window(&device.target()).await.unwrap();
    assert_eq!(answer.window_id, [7; 16]);
    let started = connection.pake_start(start()).await.unwrap();
    assert_eq!((started.share_v, started.confirm_v), ([4; 65], [5; 32]));
    assert_eq!(connection.pake_confirm(confirm()).await.unwrap().identity, "a.b.c");
    assert_eq!(connection.deliver(vec![1, 2, 3]).await.unwrap().status, "d.e.f");
}

#[tokio::test]
async fn another_key_is_no_device() {
    let device = Device::open(context(), Suite::P256, Arc::new(Scripted::new())).await;
    let wrong = MemoryKeys::new(Suite::P256, 2).thumbprint16();
    let tls = pinned_client(&device.tls, wrong).unwrap();
    let refused = Connection::open(&endpoint(device.address()), tls, PATIENCE).await;
    assert!(matches!(refused, Err(ClientError::Certificate(Refusal::ServerPin))), "{refused:?}");
}

/// Time is virtual here: what the test sees is the bound, not the machine's speed.
#[tokio::test(start_paused = true)]
async fn closed_filtered_and_wrong_key_look_alike() {
    let device = Device::open(context(), Suite::P256, Arc::new(Scripted::new())).await;
    let times = ClientTimes { connect: Duration::from_secs(2), ..ClientTimes::default() };
    let dialer = TlsDeviceDialer::with_times(device.tls.clone(), times);
    let silent = TcpListener::bind((HERE, 0)).await.unwrap();
    let closed = TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap().port();
    let wrong_key = Target { thumbprint16: [0; 16], ..device.target() };
    let mute = Target { port: silent.local_addr().unwrap().port(), ..device.target() };
    let shut = Target { port: closed, ..device.target() };
    for target in [wrong_key, mute, shut] {
        let before = tokio::time::Instant::now();
        let refused = dialer.open(&target, hello()).await.err().unwrap();
        assert!(matches!(refused, DialError::Unreachable { .. }), "{refused:?}");
        assert_eq!(before.elapsed().as_secs(), 2);
        let refused = dialer.window(&target).await.err().unwrap();
        assert!(matches!(refused, DialError::Unreachable { .. }), "{refused:?}");
        assert_eq!(before.elapsed().as_secs(), 4);
    }
}

#[tokio::test]
async fn a_refusal_of_the_device_reaches_the_station_with_its_code() {
    let mut scripted = Scripted::new();
    scripted.session = Err(ErrorCode::SiteMismatch.into());
    let device = Device::open(context(), Suite::P256, Arc::new(scripted)).await;
    let dialer = TlsDeviceDialer::new(device.tls.clone());
    let refused = dialer.open(&device.target(), hello()).await.err().unwrap();
    let DialError::Refused { report } = refused else { panic!("{refused:?}") };
    assert_eq!(report.code, ErrorCode::ClaimRefused, "before a claim there is one answer");
}

#[tokio::test]
async fn junk_of_every_kind_gets_the_same_bytes() {
    let mut scripted = Scripted::new();
    scripted.session = Err(ErrorCode::ClaimMacInvalid.into());
    scripted.blink = Err(ErrorCode::BlinkRefused.into());
    scripted.configuration = Err(ErrorCode::SessionUnknown.into());
    let scripted = Arc::new(scripted);
    let device = Device::open(context(), Suite::P256, scripted.clone()).await;
    let session = "/api/provisioning/session";
    let configuration = "/api/provisioning/configuration";
    let large = vec![b' '; 65_537];
    let kinds: Vec<(&str, Ask<'_>)> = vec![
        ("wrong mac", Ask::post(session, JSON, hello_body())),
        ("wrong hello", Ask::post("/api/provisioning/pake/start", JSON, start_body())),
        ("wrong code", Ask::post("/api/provisioning/pake/confirm", JSON, confirm_body())),
        ("posted window", Ask::post("/api/provisioning/window", JSON, "{}")),
        (
            "wrong blink",
            Ask::post("/api/provisioning/blink", JSON, strict::to_vec(&blink()).unwrap()),
        ),
        ("unknown session", Ask::post(configuration, OCTETS, vec![1; 100])),
        ("empty envelope", Ask::post(configuration, OCTETS, vec![])),
        ("not JSON", Ask::post(session, JSON, "{")),
        ("another document", Ask::post(session, JSON, "{}")),
        ("two members", Ask::post(session, JSON, r#"{"hello":"a","hello":"b"}"#)),
        ("not UTF-8", Ask::post(session, JSON, vec![0xff, 0xfe])),
        ("content type", Ask::post(session, "text/plain", hello_body())),
        ("swapped types", Ask::post(configuration, JSON, hello_body())),
        ("no content type", Ask::get(session).method(Method::POST)),
        ("method", Ask::get(session)),
        ("another method", Ask::get(configuration).method(Method::DELETE)),
        ("path", Ask::get("/")),
        ("station's path", Ask::post("/api/provisioning/pair", JSON, "{}")),
        ("encoded path", Ask::get("/%2e%2e/%00")),
        ("too large", Ask::post(session, JSON, large.clone())),
        ("too large an envelope", Ask::post(configuration, OCTETS, large)),
    ];
    let mut first: Option<(HeaderMap, Vec<u8>)> = None;
    for (kind, ask) in kinds {
        let answer = device.connect().await.send(ask, PATIENCE).await.unwrap();
        assert_eq!(answer.status, 403, "{kind}");
        assert_eq!(problem(&answer).code, ErrorCode::ClaimRefused, "{kind}");
        let headers = answer.headers.clone();
        assert_eq!(headers["connection"], "close", "{kind}");
        let (known_headers, known) =
            first.get_or_insert_with(|| (headers.clone(), answer.body.to_vec()));
        assert_eq!((&*known_headers, &known[..]), (&headers, &answer.body[..]), "{kind}");
    }
    let junk = scripted.junk.lock().unwrap().clone();
    for code in [
        ErrorCode::RequestMalformed,
        ErrorCode::MediaTypeUnsupported,
        ErrorCode::MethodNotAllowed,
        ErrorCode::RouteUnknown,
        ErrorCode::RequestTooLarge,
    ] {
        assert!(junk.contains(&code), "{code}");
    }
    assert!(!junk.contains(&ErrorCode::ClaimMacInvalid), "the device has written that down itself");
}

#[tokio::test]
async fn strangers_that_were_refused_keep_no_places() {
    let limits = ServerLimits::device();
    let device = Device::open(context(), Suite::P256, Arc::new(Scripted::new())).await;
    let tls = pinned_client(&device.tls, device.keys.thumbprint16()).unwrap();
    let places = limits.connections.checked_div(limits.per_source).unwrap();
    let mut strangers = Vec::new();
    for host in 1..=u8::try_from(places).unwrap() {
        for _ in 0..limits.per_source {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, 0, 2, host], 0))).unwrap();
            let tcp = socket.connect(device.address()).await.unwrap();
            let connector = TlsConnector::from(Arc::clone(&tls));
            strangers.push(tokio::spawn(async move {
                let mut stream = connector.connect(HERE.into(), tcp).await.unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
                let mut answer = Vec::new();
                let _cut = stream.read_to_end(&mut answer).await;
                assert!(answer.starts_with(b"HTTP/1.1 403"));
                stream
            }));
        }
    }
    let mut open = Vec::new();
    for stranger in strangers {
        // Kept to the end: the strangers do not close.
        open.push(tokio::time::timeout(PATIENCE, stranger).await.unwrap().unwrap());
    }
    let dialer = TlsDeviceDialer::with_times(
        device.tls.clone(),
        ClientTimes { connect: PATIENCE, request: PATIENCE },
    );
    let (answer, _) = dialer.open(&device.target(), hello()).await.unwrap();
    assert_eq!(answer.identity, "a.b.c");
}

#[tokio::test]
async fn only_the_claims_own_connection_learns_why() {
    let mut scripted = Scripted::new();
    scripted.configuration = Err(ErrorCode::EnvelopeMacInvalid.into());
    let device = Device::open(context(), Suite::P256, Arc::new(scripted)).await;
    let envelope = || Ask::post("/api/provisioning/configuration", OCTETS, vec![1; 64]);

    let mut claimed = device.connect().await;
    let ask = Ask::post("/api/provisioning/session", JSON, hello_body());
    assert_eq!(claimed.send(ask, PATIENCE).await.unwrap().status, 200);
    let answer = claimed.send(envelope(), PATIENCE).await.unwrap();
    assert_eq!(problem(&answer).code, ErrorCode::EnvelopeMacInvalid);

    let answer = device.connect().await.send(envelope(), PATIENCE).await.unwrap();
    assert_eq!(problem(&answer).code, ErrorCode::ClaimRefused);
}

#[tokio::test]
async fn a_closed_listener_leaves_no_port_and_still_answers_the_delivery() {
    let scripted = Arc::new(Scripted { wait: true, ..Scripted::new() });
    let device = Device::open(context(), Suite::P256, scripted.clone()).await;
    let dialer = TlsDeviceDialer::new(device.tls.clone());
    let (_, mut connection) = dialer.open(&device.target(), hello()).await.unwrap();
    let closing = async {
        scripted.arrived.notified().await;
        device.listener.close().await;
        let refused = TcpStream::connect(device.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        scripted.let_go.notify_one();
    };
    let (status, ()) = tokio::join!(connection.deliver(vec![1]), closing);
    assert_eq!(status.unwrap().status, "d.e.f");
    device.listener.close().await;
}

#[tokio::test]
async fn opening_again_closes_what_was_open_and_a_fixed_port_stays() {
    let tls = context();
    let keys = Arc::new(MemoryKeys::new(Suite::P256, 1));
    let free = TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap().port();
    let listener = listener(&tls, &keys, Bind::new(HERE, free..=free));
    for _ in 0..3 {
        assert_eq!(listener.open(Arc::new(Scripted::new())).await.unwrap(), free);
    }
    listener.close().await;
    assert!(TcpStream::connect((HERE, free)).await.is_err());
}

#[tokio::test]
async fn the_first_free_port_of_a_range_is_taken() {
    let tls = context();
    let keys = Arc::new(MemoryKeys::new(Suite::P256, 1));
    // An address of its own, so that no other test takes the ports between.
    let here = IpAddr::from([127, 0, 0, 3]);
    let taken = TcpListener::bind((here, 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let only = listener(&tls, &keys, Bind::new(here, port..=port));
    let refused = only.open(Arc::new(Scripted::new())).await.unwrap_err();
    assert!(matches!(refused, ListenError::Bind(_)), "{refused:?}");
    if let Some(next) = port.checked_add(1) {
        let range = listener(&tls, &keys, Bind::new(here, port..=next));
        assert_eq!(range.open(Arc::new(Scripted::new())).await.unwrap(), next);
    }
    let foreign = listener(&tls, &keys, Bind::any_port(IpAddr::from([192, 0, 2, 1])));
    assert!(foreign.open(Arc::new(Scripted::new())).await.is_err());
}
