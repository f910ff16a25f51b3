//! Bad input at every listener: a clear or a uniform answer, no change of state, never a panic.

use std::collections::BTreeSet;

use http::{HeaderValue, Method};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_testkit::{Peer, SimulatedDevice, Step, TestStation, disk, paired, registered};
use zmon_transport::client::{Answer, Ask, ClientTimes, Connection, Endpoint, JSON, OCTETS};
use zmon_transport::paths;
use zmon_transport::tls::{ClientCredentials, device_client};
use zmon_wire::problem::Problem;

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
            (paths::BLINK, JSON),
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

/// Every row of every table, the audit log's included.
async fn tables(station: &TestStation) -> Vec<(String, Vec<String>)> {
    let database = station.database();
    let names = disk::texts(
        &database,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )
    .await;
    let mut dump = Vec::new();
    for name in names {
        let columns =
            disk::texts(&database, &format!("SELECT name FROM pragma_table_info('{name}')")).await;
        let values: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
        let query = format!("SELECT {} FROM \"{name}\" ORDER BY 1", values.join(" || ',' || "));
        dump.push((name, disk::texts(&database, &query).await));
    }
    dump
}

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../crates/wire/tests/golden/", $name, ".json"))
    };
}

/// The paths of the operators' listener that take a body, with a message of each.
const POSTS: [(&str, &str); 11] = [
    (paths::LOGIN, golden!("login-request")),
    (paths::SESSIONS, golden!("scan-request")),
    (paths::PAIR, golden!("pair-request-full")),
    (paths::REGISTRY_IMPORT, golden!("manifest-row")),
    (paths::OPERATORS, golden!("operator-request")),
    (paths::OWN_PASSWORD, golden!("password-request")),
    (paths::OPERATOR_ACCESS, golden!("access-request")),
    (paths::PLACE, golden!("place-request")),
    (paths::REVOKE, golden!("revoke-request")),
    (paths::BATCH_SCAN, golden!("scan-request")),
    (paths::BATCH_RETRY, golden!("batch-retry-request")),
];
/// A batch that nobody has opened.
const BATCH: &str = "0190b6a0-0000-4000-8000-000000000000";
/// Those of a device with a certificate.
const CERTIFIED: [(&str, &str); 4] = [
    (paths::DEVICE_COMMIT, golden!("commit-request")),
    (paths::DEVICE_HEARTBEAT, golden!("heartbeat")),
    (paths::DEVICE_RENEW, golden!("pull-request")),
    (paths::DEVICE_RENEW_IDENTITY, golden!("fetch-request")),
];

/// A path that takes a body and is not in a list here is one that nobody spoils.
#[test]
fn every_path_with_a_body_is_spoiled() {
    let bodiless = [
        paths::WINDOW,
        paths::LOGOUT,
        paths::PAIR_SESSION,
        paths::PAIR_CANCEL,
        paths::PAIR_EVENTS,
        paths::PAIR_BLINK,
        // A page's login: tested with the gate of pages.
        paths::PAGE_SESSION,
        // What is posted there is read by the session it names: tested with the session.
        paths::PAIR_COURIER,
        paths::REGISTRY_DEVICES,
        paths::REGISTRY_DEVICE,
        paths::REGISTRY_BED,
        paths::BATCH,
        paths::BATCH_EVENTS,
        paths::BATCH_REPORT,
        paths::BATCH_PAUSE,
        paths::BATCH_RESUME,
        paths::BATCH_CLOSE,
        paths::CERTIFICATES,
        paths::DECOMMISSION,
        paths::OPERATOR_ONE_TIME,
        paths::OVERVIEW,
        paths::POLICY,
        paths::ACCEPT_AUDIT,
        paths::ENROLMENT,
        paths::AUDIT,
        paths::AUDIT_VERIFY,
        paths::HEALTH,
        paths::METRICS,
        paths::READY,
        paths::OPENAPI,
        paths::DEVICE_TEST,
    ];
    // One answer for whatever comes: the device's above, the station's in transport's own tests.
    let uniform = [
        paths::SESSION,
        paths::PAKE_START,
        paths::PAKE_CONFIRM,
        paths::BLINK,
        paths::CONFIGURATION,
        paths::OUTCOME,
        paths::RETIRE,
        paths::RECOVER,
        paths::RECOVER_IDENTITY,
        paths::POLL,
    ];
    // The same body as the import's; what is wrong with it the station's own tests ask.
    let manifest = [paths::REKEY, paths::BATCHES];
    let spoiled = POSTS.iter().chain(&CERTIFIED).map(|(path, _)| *path);
    // Another standard's bodies, where a setting allows them: spoiled in transport's own tests.
    let est =
        [paths::EST_AUTHORITIES, paths::EST_ATTRIBUTES, paths::EST_ENROLL, paths::EST_REENROLL];
    let here = spoiled.chain(manifest).chain(bodiless).chain(uniform);
    let known: BTreeSet<_> = here.chain(est).collect();
    assert_eq!(known, paths::ALL.into_iter().collect());
}

/// A good message with one member spoiled: the body, and the member that must be named.
fn spoiled(golden: &str) -> Vec<(String, String)> {
    let good: serde_json::Value = serde_json::from_str(golden).unwrap();
    let members: Vec<String> = good.as_object().unwrap().keys().cloned().collect();
    let mut bodies = Vec::new();
    for member in &members {
        for wrong in [serde_json::json!([[]]), serde_json::json!({"?": 1}), serde_json::json!(1.5)]
        {
            let mut message = good.clone();
            message[member] = wrong;
            bodies.push((message.to_string(), member.clone()));
        }
        // In the text: a value would drop the second.
        let twice = good.to_string().replacen('{', &format!("{{\"{member}\":null,"), 1);
        bodies.push((twice, member.clone()));
    }
    let mut message = good.clone();
    message["surprise"] = serde_json::json!(1);
    bodies.push((message.to_string(), "surprise".to_owned()));
    bodies
}

fn is_named(answer: &Answer, member: &str, what: &str) {
    let problem: Problem = zmon_wire::strict::parse(&answer.body, TOO_LONG).unwrap();
    assert_eq!(problem.code, ErrorCode::RequestMalformed, "{what}: {problem:?}");
    let field = problem.field.unwrap_or_default();
    let ways = [member.to_owned(), format!("row 1.{member}"), format!("{member}[0]")];
    assert!(ways.contains(&field), "{what}: {field}");
    assert!(problem.rule.is_some_and(|rule| rule.len() > 5), "{what}");
}

#[tokio::test]
async fn the_station_names_each_spoiled_member_and_changes_nothing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let before = tables(&station).await;
    assert!(before.len() > 5, "{before:?}");
    let operator = station.administrator();
    for (path, golden) in POSTS {
        // A body is looked at before the device, the operator or the serial number that is named.
        let path = path.replace("{deviceId}", "ZM-001").replace("{operator}", "tess");
        let path = path.replace("{serial}", "0a").replace("{batchId}", BATCH);
        for (body, member) in spoiled(golden) {
            let answer = operator.send(Ask::post(&path, JSON, body.clone())).await;
            is_named(&answer, &member, &format!("{path}: {body}"));
        }
    }
    assert_eq!(tables(&station).await, before);
    assert_eq!(station.faults().count(Step::Dial), 0);
    station.pair(&qr).await.expect("the station is as good as before");
    station.audit_verified().await;
}

#[tokio::test]
async fn the_station_refuses_what_is_no_message_and_changes_nothing() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    let before = tables(&station).await;
    let cancel = paths::PAIR_CANCEL.replace("{sessionId}", "0190b6a0-0000-4000-8000-000000000000");
    let all = POSTS.iter().map(|(path, _)| *path).chain([paths::OUTCOME, cancel.as_str()]);
    for path in all {
        for (name, body) in junk() {
            let long = body.len() >= TOO_LONG;
            // A manifest may be longer, and an empty one is none.
            let is_manifest = path == paths::REGISTRY_IMPORT;
            if is_manifest && (name == "nothing" || long) {
                continue;
            }
            let answer = station.administrator().try_send(Ask::post(path, JSON, body)).await;
            let Ok(answer) = answer else {
                assert!(long, "{name} to {path} got no answer");
                continue;
            };
            let problem: Problem = zmon_wire::strict::parse(&answer.body, TOO_LONG).unwrap();
            let expected = match path {
                paths::OUTCOME => ErrorCode::SignatureInvalid,
                _ if path == cancel => ErrorCode::SessionUnknown,
                _ if long => ErrorCode::RequestTooLarge,
                _ => ErrorCode::RequestMalformed,
            };
            assert_eq!(problem.code, expected, "{name} to {path}: {problem:?}");
            let is_named = problem.field.is_some() && problem.rule.is_some();
            assert!(is_named || expected != ErrorCode::RequestMalformed, "{name} to {path}");
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
    for (path, golden) in CERTIFIED {
        let connect = async || {
            let tls = std::sync::Arc::clone(&tls);
            Connection::open(&at, tls, times.connect).await.unwrap()
        };
        let mut connection = connect().await;
        for (body, member) in spoiled(golden) {
            let answer = connection.send(Ask::post(path, JSON, body.clone()), times.request).await;
            is_named(&answer.unwrap(), &member, &format!("{path}: {body}"));
        }
        for (name, body) in junk() {
            let long = body.len() >= TOO_LONG;
            match connect().await.send(Ask::post(path, JSON, body), times.request).await {
                Ok(answer) => {
                    let problem: Problem =
                        zmon_wire::strict::parse(&answer.body, TOO_LONG).unwrap();
                    let expected =
                        if long { ErrorCode::RequestTooLarge } else { ErrorCode::RequestMalformed };
                    assert_eq!(problem.code, expected, "{name} to {path}");
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
