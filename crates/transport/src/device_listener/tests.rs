//! Refusals in virtual time, over HTTP without TLS: nothing here depends on the machine's speed.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Extensions, HeaderValue, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};
use zmon_wire::strict;

use super::routes::service;
use crate::client::{Ask, Connection, JSON, OCTETS};
use crate::paths::{BLINK, CONFIGURATION, PAKE_CONFIRM, PAKE_START, SESSION, WINDOW};
use crate::server::{ServerLimits, serve_stream};

/// Bound of a wait, in virtual time.
const LONG: Duration = Duration::from_secs(600);

/// The confirmation that is right.
const RIGHT: [u8; 32] = [9; 32];

/// Takes its time; claims "yes" succeed, the claim "panic" is a defect, others fail.
struct Slow {
    session: Duration,
    junk: Duration,
}

#[async_trait]
impl DeviceEndpoint for Slow {
    async fn session(&self, open: SessionOpen) -> Result<SessionAnswer, ErrorReport> {
        sleep(self.session).await;
        match open.hello.as_str() {
            "y.e.s" => Ok(SessionAnswer { identity: "a.b.c".into() }),
            "p.a.n" => panic!("on purpose"),
            _ => Err(ErrorCode::ClaimMacInvalid.into()),
        }
    }

    async fn window(&self) -> Result<WindowAnswer, ErrorReport> {
        sleep(self.session).await;
        Err(ErrorCode::TypedTriesExhausted.into())
    }

    async fn pake_start(&self, start: PakeStart) -> Result<PakeStarted, ErrorReport> {
        sleep(self.session).await;
        match start.hello.as_str() {
            "y.e.s" => Ok(PakeStarted { share_v: [4; 65], confirm_v: [5; 32] }),
            _ => Err(ErrorCode::HelloMalformed.into()),
        }
    }

    async fn pake_confirm(&self, confirm: PakeConfirm) -> Result<SessionAnswer, ErrorReport> {
        sleep(self.session).await;
        match confirm.confirm_p {
            RIGHT => Ok(SessionAnswer { identity: "a.b.c".into() }),
            _ => Err(ErrorCode::InvalidPairingCode.into()),
        }
    }

    async fn blink(&self, blink: BlinkRequest) -> Result<BlinkAnswer, ErrorReport> {
        sleep(self.session).await;
        match blink.mac {
            RIGHT => Ok(BlinkAnswer { seconds: 6 }),
            _ => Err(ErrorCode::SessionUnknown.into()),
        }
    }

    async fn configuration(&self, _envelope: Vec<u8>) -> Result<DeliveryAnswer, ErrorReport> {
        Err(ErrorCode::SessionUnknown.into())
    }

    async fn junk(&self, _code: ErrorCode) {
        sleep(self.junk).await;
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn hello(text: &str) -> Vec<u8> {
    strict::to_vec(&SessionOpen { hello: text.into(), claim_mac: [7; 32] }).unwrap()
}

fn start(hello: &str) -> Vec<u8> {
    strict::to_vec(&PakeStart { hello: hello.into(), share_p: [4; 65] }).unwrap()
}

fn confirm(confirm_p: [u8; 32]) -> Vec<u8> {
    let session_id = SessionId::from_bytes([1; 16]);
    strict::to_vec(&PakeConfirm { session_id, confirm_p }).unwrap()
}

fn blink(mac: [u8; 32]) -> Vec<u8> {
    let (session_id, number) = (SessionId::from_bytes([1; 16]), NonZeroU32::MIN);
    strict::to_vec(&BlinkRequest { session_id, number, mac }).unwrap()
}

/// A connection to a listener whose endpoint is `slow`.
fn stream(slow: Slow) -> DuplexStream {
    let (ours, theirs) = duplex(1 << 18);
    let service = service(Arc::new(slow));
    let mut extensions = Extensions::new();
    service.prepare(&mut extensions);
    let stop = CancellationToken::new();
    tokio::spawn(serve_stream(theirs, service, extensions, ServerLimits::device(), stop));
    ours
}

async fn connect(slow: Slow) -> Connection {
    Connection::over(stream(slow), HeaderValue::from_static("device")).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn refusals_of_every_kind_come_at_one_instant_and_end_the_connection() {
    let kinds = || {
        [
            ("wrong mac", Ask::post(SESSION, JSON, hello("n.a.y"))),
            ("defect", Ask::post(SESSION, JSON, hello("p.a.n"))),
            ("no window", Ask::get(WINDOW)),
            ("wrong hello", Ask::post(PAKE_START, JSON, start("n.a.y"))),
            ("wrong code", Ask::post(PAKE_CONFIRM, JSON, confirm([0; 32]))),
            ("method of the window", Ask::post(WINDOW, JSON, "{}")),
            ("no share", Ask::post(PAKE_START, JSON, "{}")),
            ("a blink of nobody", Ask::post(BLINK, JSON, blink([0; 32]))),
            ("no blink", Ask::post(BLINK, JSON, "{}")),
            ("unknown session", Ask::post(CONFIGURATION, OCTETS, vec![1; 100])),
            ("not JSON", Ask::post(SESSION, JSON, "{")),
            ("content type", Ask::post(SESSION, "text/plain", hello("y.e.s"))),
            ("no body", Ask::get(SESSION).method(Method::POST)),
            ("method", Ask::get(SESSION)),
            ("path", Ask::get("/")),
            ("too large", Ask::post(SESSION, JSON, vec![b' '; 65_537])),
        ]
    };
    for (session, junk) in [(0, 0), (3, 0), (0, 7), (249, 130)] {
        for (kind, ask) in kinds() {
            let slow = Slow { session: millis(session), junk: millis(junk) };
            let mut connection = connect(slow).await;
            let before = Instant::now();
            let answer = connection.send(ask, LONG).await.unwrap();
            assert_eq!(before.elapsed(), millis(250), "{kind}, {session}, {junk}");
            assert_eq!(
                (answer.status.as_u16(), &answer.headers["connection"]),
                (403, &HeaderValue::from_static("close"))
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_well_keeps_its_connection() {
    let mut connection = connect(Slow { session: millis(0), junk: millis(0) }).await;
    for ask in [
        Ask::post(PAKE_START, JSON, start("y.e.s")),
        Ask::post(PAKE_CONFIRM, JSON, confirm(RIGHT)),
        Ask::post(BLINK, JSON, blink(RIGHT)),
    ] {
        assert_eq!(connection.send(ask, LONG).await.unwrap().status, 200);
    }
    // From here on the peer is the session's own, and learns why.
    for refused in
        [Ask::post(BLINK, JSON, blink([0; 32])), Ask::post(CONFIGURATION, OCTETS, vec![1; 100])]
    {
        let answer = connection.send(refused, LONG).await.unwrap();
        assert_eq!(answer.status.as_u16(), ErrorCode::SessionUnknown.http_status());
    }
}

#[tokio::test(start_paused = true)]
async fn work_longer_than_the_instant_is_answered_at_the_next_one() {
    for (session, at) in [(251, 500), (499, 500), (1100, 1250)] {
        let mut connection = connect(Slow { session: millis(session), junk: millis(0) }).await;
        let before = Instant::now();
        let ask = Ask::post(SESSION, JSON, hello("n.a.y"));
        assert_eq!(connection.send(ask, LONG).await.unwrap().status, 403);
        assert_eq!(before.elapsed(), millis(at), "{session}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_body_moves_the_instant_for_every_cause_and_is_waited_for_so_long() {
    for text in ["n.a.y", "p.a.n", "not a hello"] {
        let mut stream = stream(Slow { session: millis(5), junk: millis(0) });
        let body = hello(text);
        let head = format!(
            "POST {SESSION} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        sleep(millis(240)).await;
        stream.write_all(&body).await.unwrap();
        let before = Instant::now();
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        assert_eq!(before.elapsed(), millis(250), "{text}");
    }
    let mut stream = stream(Slow { session: millis(0), junk: millis(0) });
    let head = format!(
        "POST {SESSION} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 9\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let before = Instant::now();
    assert_eq!(stream.read_u8().await.unwrap(), b'H');
    assert_eq!(before.elapsed(), ServerLimits::device().head + millis(250));
}

/// How long the listener keeps a connection after its answer to `hello`.
async fn kept_after(text: &str) -> Duration {
    let mut stream = stream(Slow { session: millis(0), junk: millis(0) });
    let body = hello(text);
    let head = format!(
        "POST {SESSION} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'H');
    let before = Instant::now();
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    before.elapsed()
}

#[tokio::test(start_paused = true)]
async fn only_a_claim_buys_a_rest() {
    assert_eq!(kept_after("y.e.s").await, ServerLimits::device().idle);
    // The stream itself ends when what the peer still sends was dropped for a second.
    assert!(kept_after("n.a.y").await <= Duration::from_secs(1));
}
