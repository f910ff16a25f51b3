//! Bad input at every listener: a clear or a uniform answer, no change of state, never a panic.

use http::{HeaderValue, Method};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_testkit::{Peer, SimulatedDevice, Step, TestStation, disk, paired, registered};
use zmon_transport::client::{Answer, Ask, ClientTimes, Connection, Endpoint, JSON, OCTETS};
use zmon_transport::tls::{ClientCredentials, device_client};

const TOO_LONG: usize = limits::BODY_MAX.default + 1;
const SESSION: &str = "/api/provisioning/session";
const CONFIGURATION: &str = "/api/provisioning/configuration";
const PAKE_START: &str = "/api/provisioning/pake/start";
const PAKE_CONFIRM: &str = "/api/provisioning/pake/confirm";

/// Bodies that are no message: name and bytes.
fn junk() -> Vec<(&'static str, Vec<u8>)> {
    let hello = "e30.e30.e30";
    let mac = "A".repeat(43);
    let good = format!(r#"{{"hello":"{hello}","claimMac":"{mac}"}}"#);
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(40), close.repeat(40));
    vec![
        ("nothing", Vec::new()),
        ("no JSON", b"\x00\xff\x17junk".to_vec()),
        ("not UTF-8", b"{\"hello\":\"\xc3\x28\"}".to_vec()),
        ("truncated", good.as_bytes()[..good.len() - 2].to_vec()),
        ("trailing", format!("{good} {{}}").into_bytes()),
        ("twice the same key", format!(r#"{{"hello":"a",{}"#, &good[1..]).into_bytes()),
        ("an unknown key", format!(r#"{{"more":1,{}"#, &good[1..]).into_bytes()),
        ("the wrong type", br#"{"hello":7,"claimMac":[]}"#.to_vec()),
        ("the wrong alphabet", br#"{"hello":"a b","claimMac":"!!"}"#.to_vec()),
        ("too deep", nested("[", "]").into_bytes()),
        ("a list", b"[1,2,3]".to_vec()),
        ("well formed and no hello", good.into_bytes()),
        ("64 KiB and one", vec![b' '; TOO_LONG]),
        ("64 KiB and one of a string", {
            let mut long = br#"{"hello":""#.to_vec();
            long.resize(TOO_LONG, b'a');
            long
        }),
    ]
}

async fn state_of(device: &SimulatedDevice) -> String {
    let boot = device.store().load().await.unwrap();
    format!("{boot:?} {:?} {}", device.state(), device.qr().await.pairing_code.expose())
}

fn fingerprint(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = answer.headers.iter();
    let header =
        |(name, value): (&http::HeaderName, &HeaderValue)| (name.to_string(), format!("{value:?}"));
    let mut headers: Vec<_> = headers.map(header).collect();
    headers.sort();
    (answer.status.as_u16(), headers, answer.body.to_vec())
}

/// Somebody who sends a lot, over one connection as long as it lasts.
struct Stranger<'a> {
    device: &'a SimulatedDevice,
    peer: Option<Peer>,
}

impl<'a> Stranger<'a> {
    fn new(device: &'a SimulatedDevice) -> Self {
        Self { device, peer: None }
    }

    /// Sends one request; a server may close on what it will not read.
    async fn send(&mut self, ask: Ask<'_>) -> Option<Answer> {
        if let Some(mut peer) = self.peer.take()
            && let Ok(answer) = peer.send(ask.clone()).await
        {
            self.peer = Some(peer);
            return Some(answer);
        }
        let mut peer = self.device.peer(&self.device.qr().await).await.expect("an open listener");
        let answer = peer.send(ask).await.ok()?;
        self.peer = Some(peer);
        Some(answer)
    }
}

#[tokio::test]
async fn the_device_gives_every_stranger_one_answer_and_changes_nothing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let before = state_of(&device).await;
    let mut stranger = Stranger::new(&device);
    let mut answers = Vec::new();
    for (name, body) in junk() {
        for (path, media) in [
            (SESSION, JSON),
            (CONFIGURATION, OCTETS),
            (SESSION, OCTETS),
            (PAKE_START, JSON),
            (PAKE_CONFIRM, JSON),
        ] {
            let answer = stranger.send(Ask::post(path, media, body.clone())).await;
            // A server that does not read a body to its end may close before the answer arrives.
            if let Some(answer) = answer {
                answers.push((format!("{name} to {path} as {media}"), fingerprint(&answer)));
            } else {
                assert!(body.len() >= TOO_LONG, "{name} to {path} got no answer");
            }
        }
    }
    for path in ["/", "/window", "/api/device/test", "/../../etc/passwd"] {
        let answer = stranger.send(Ask::get(path)).await.unwrap();
        answers.push((format!("GET {path}"), fingerprint(&answer)));
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let ask = Ask::get(SESSION).method(method.clone());
        let answer = stranger.send(ask).await.unwrap();
        answers.push((method.to_string(), fingerprint(&answer)));
    }
    // The one thing a hello by code must name, and the one thing said before it (D2).
    let window = stranger.send(Ask::get("/api/provisioning/window")).await.unwrap();
    let window: serde_json::Value = serde_json::from_slice(&window.body).unwrap();
    let members: Vec<_> = window.as_object().unwrap().keys().collect();
    assert_eq!(members, ["deviceId", "v", "windowId"]);
    let (_, first) = &answers[0];
    assert_eq!(first.0, 403);
    for (name, answer) in &answers {
        assert_eq!(answer, first, "{name}");
    }
    assert_eq!(state_of(&device).await, before);
    station.pair(&qr).await.expect("the window is as good as before");
    device.until_connected().await;
    device.audit_verified().await;
}

#[tokio::test]
async fn junk_at_the_device_is_counted_in_one_row_per_reason_and_minute() {
    let (station, device) = registered().await;
    device.enter().await;
    let rows = device.audit().await.len();
    let mut stranger = Stranger::new(&device);
    for _ in 0..30 {
        stranger.send(Ask::get("/")).await.unwrap();
    }
    assert_eq!(device.audit().await.len(), rows, "no row per request");
    station.clock().advance(limits::JUNK_WINDOW.default);
    device.until("a redrawn QR code", |view| view.pairing.is_some()).await;
    // The next request closes the minute.
    stranger.send(Ask::get("/")).await.unwrap();
    let counted = device.audit().await.into_iter().find(|row| {
        row.error == Some(ErrorCode::RouteUnknown) && row.detail.iter().any(|(_, v)| v == "30")
    });
    assert!(counted.is_some(), "{:?}", device.audit().await);
}

/// Rows of every table but the audit log's.
async fn tables(station: &TestStation) -> Vec<(String, i64)> {
    let database = station.database();
    let names = disk::texts(
        &database,
        "SELECT name FROM sqlite_master WHERE type = 'table' \
         AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '%audit%' ORDER BY name",
    )
    .await;
    let mut counts = Vec::new();
    for name in names {
        let count = disk::number(&database, &format!("SELECT count(*) FROM \"{name}\"")).await;
        counts.push((name, count));
    }
    counts
}

#[tokio::test]
async fn the_station_refuses_bad_requests_by_name_and_changes_nothing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let before = tables(&station).await;
    assert!(before.len() > 5, "{before:?}");
    let posts = [
        "/api/auth/login",
        "/api/provisioning/sessions",
        "/api/provisioning/pair",
        "/api/provisioning/outcome",
        "/api/registry/import",
        "/api/operators",
    ];
    for path in posts {
        for (name, body) in junk() {
            let long = body.len() >= TOO_LONG;
            // A manifest may be longer, and an empty one is none.
            let is_manifest = path.ends_with("import");
            let answer = station.administrator().try_send(Ask::post(path, JSON, body)).await;
            let Ok(answer) = answer else {
                assert!(long, "{name} to {path} got no answer");
                continue;
            };
            let status = answer.status.as_u16();
            if is_manifest && status == 200 {
                assert!(name == "nothing" || long, "{name} to {path}");
                continue;
            }
            assert!((400..500).contains(&status), "{name} to {path}: {answer:?}");
            let kind = answer.headers.get("content-type").unwrap();
            assert_eq!(kind, "application/problem+json", "{name} to {path}");
            let text = String::from_utf8_lossy(&answer.body);
            assert!(text.contains("\"success\":false"), "{name} to {path}: {text}");
        }
    }
    assert_eq!(tables(&station).await, before);
    assert_eq!(station.faults().count(Step::Dial), 0);
    station.pair(&qr).await.expect("the station is as good as before");
    station.audit_verified().await;
}

#[tokio::test]
async fn a_refused_field_is_named_with_its_rule() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let scan = |members: &str| {
        format!(
            r#"{{"deviceId":"ZM-001","pairingCode":"{}","pairingToken":"{}"{members}}}"#,
            qr.pairing_code.expose(),
            qr.pairing_token.expose()
        )
    };
    let long = "x".repeat(65);
    for (members, field) in [
        (r#","ipAddress":"127.1""#.to_owned(), "ipAddress"),
        (r#","ipAddress":"localhost""#.to_owned(), "ipAddress"),
        (r#","expiresAt":"tomorrow""#.to_owned(), "expiresAt"),
        (format!(r#","deviceSerial":"{long}""#), "deviceSerial"),
        (r#","deviceSerial":"'; DROP TABLE sessions; --""#.to_owned(), "deviceSerial"),
        (r#","firmwareVersion":7"#.to_owned(), "firmwareVersion"),
        (r#","more":true"#.to_owned(), "more"),
        (r#","deviceId":"ZM-002""#.to_owned(), "deviceId"),
    ] {
        let body = scan(&members);
        let refused =
            station.technician().post_json("/api/provisioning/sessions", body).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RequestMalformed, "{members}");
        assert_eq!(refused.problem.field.as_deref(), Some(field), "{members}");
        assert!(refused.problem.rule.is_some(), "{members}");
    }
    assert_eq!(station.faults().count(Step::Dial), 0);
}

#[tokio::test]
async fn the_devices_listener_of_the_station_refuses_junk_from_a_good_device() {
    let (station, device) = paired().await;
    let credentials = device.credentials().await;
    let own = ClientCredentials { chain: &credentials.client_chain, key: &credentials.client_key };
    let tls = device_client(&device.tls(), &credentials.ca, credentials.server_pin, &own).unwrap();
    let at = Endpoint::url(&credentials.server_url).unwrap();
    let before = tables(&station).await;
    let times = ClientTimes::default();
    for path in ["/api/device/commit", "/api/device/heartbeat"] {
        for (name, body) in junk() {
            let tls = std::sync::Arc::clone(&tls);
            let mut connection = Connection::open(&at, tls, times.connect).await.unwrap();
            let long = body.len() >= TOO_LONG;
            match connection.send(Ask::post(path, JSON, body), times.request).await {
                Ok(answer) => {
                    assert!(answer.status.is_client_error(), "{name} to {path}: {answer:?}");
                }
                Err(error) => assert!(long, "{name} to {path}: {error}"),
            }
        }
    }
    assert_eq!(tables(&station).await, before);
    device.until_connected().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn what_is_not_tls_is_dropped() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let listener = device.listener().await;
    for at in [listener, station.operators(), station.devices()] {
        for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096][..], &[0x16, 3, 1, 0xff, 0xff][..]]
        {
            let mut socket = tokio::net::TcpStream::connect(at).await.unwrap();
            socket.write_all(junk).await.unwrap();
            socket.shutdown().await.unwrap();
            let mut answer = Vec::new();
            // Closed with or without a TLS alert, never with HTTP.
            drop(socket.read_to_end(&mut answer).await);
            assert!(!answer.starts_with(b"HTTP"), "{at}");
        }
        assert!(Peer::is_open(at).await);
    }
    station.pair(&qr).await.expect("nobody noticed");
}
