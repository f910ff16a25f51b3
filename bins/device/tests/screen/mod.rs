//! The device's screen as its browser and everybody else on the machine meets it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use super::{Made, PIN, Running, device, json};

const EVENTS: &str = "/api/screen/events";
const OPERATORS: &str = "/api/screen/operators";
const PRESS: &str = "/api/screen/press";
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An answer that ends.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }
}

fn host(running: &Running) -> String {
    let url = &running.ready.addresses["screen"];
    url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned()
}

/// Sends one request, byte for byte, and reads until the device hangs up.
fn ask(
    running: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let host = host(running);
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if headers.iter().all(|(name, _)| *name != "Host") {
        text.push_str(&format!("Host: {host}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut stream = TcpStream::connect(&host).unwrap();
    // A device that has refused an endless body no longer reads it.
    let _refused = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

/// The first event of the stream.
fn view(running: &Running) -> Value {
    let host = host(running);
    let mut stream = TcpStream::connect(&host).unwrap();
    write!(stream, "GET {EVENTS} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut text = String::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "{text}");
        text.push_str(core::str::from_utf8(&part[..read]).unwrap());
        let Some((_, data)) = text.split_once("event: screen\ndata: ") else { continue };
        if let Some((view, _)) = data.split_once('\n') {
            return serde_json::from_str(view).unwrap();
        }
    }
}

fn state(running: &Running) -> String {
    view(running)["status"]["state"].as_str().unwrap().to_owned()
}

fn enter() -> String {
    format!("{{\"enter\":{{\"operator\":\"admin\",\"pin\":\"{PIN}\"}}}}")
}

#[test]
fn the_page_opens_a_window_with_the_pin_and_closes_it() {
    let made = Made::new();
    let running = made.start();
    let page = ask(&running, "GET", "/", &[], "");
    assert_eq!((page.status, page.headers["x-content-type-options"].as_str()), (200, "nosniff"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/ui/assets/index.html");
    assert_eq!(page.body, std::fs::read_to_string(file).unwrap());
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none';"));

    let operators = ask(&running, "GET", OPERATORS, &[], "");
    assert!(operators.body.contains("\"operator\":\"admin\",\"role\":\"administrator\""));
    let wrong = enter().replace(PIN, "111111");
    let refused = ask(&running, "POST", PRESS, &[JSON], &wrong);
    assert_eq!((refused.status, refused.code().as_str()), (401, "authentication_failed"));
    assert_eq!(state(&running), "NotProvisioned");

    assert_eq!(ask(&running, "POST", PRESS, &[JSON], &enter()).status, 204);
    let open = view(&running);
    assert_eq!(open["status"]["state"], "ReadyToPair");
    assert_eq!(open["status"]["pairingCode"].as_str().unwrap().len(), 11);
    assert_eq!(ask(&running, "POST", PRESS, &[JSON], "{\"cancel\":{}}").status, 204);
    assert_eq!(state(&running), "NotProvisioned");
    running.stop();
}

#[test]
fn a_name_that_was_bound_to_this_address_gets_nothing() {
    let made = Made::new();
    let running = made.start();
    let port = host(&running).rsplit_once(':').unwrap().1.to_owned();
    for path in ["/", EVENTS, OPERATORS, PRESS] {
        for foreign in ["evil.example", "127.0.0.1.evil.example", "192.168.1.100", "", "0.0.0.0"] {
            let named = format!("{foreign}:{port}");
            for value in [foreign, &named] {
                let method = if path == PRESS { "POST" } else { "GET" };
                let answer = ask(&running, method, path, &[JSON, ("Host", value)], &enter());
                assert_eq!(answer.status, 421, "{value} {path}");
                assert!(!answer.body.contains("admin"));
            }
        }
    }
    let local = format!("localhost:{port}");
    assert_eq!(ask(&running, "GET", "/", &[("Host", &local)], "").status, 200);
    assert_eq!(state(&running), "NotProvisioned");
    running.stop();
}

#[test]
fn another_page_presses_no_button() {
    let made = Made::new();
    let running = made.start();
    let own = format!("http://{}", host(&running));
    let forged = ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"];
    for origin in forged {
        let answer = ask(&running, "POST", PRESS, &[JSON, ("Origin", origin)], &enter());
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(ask(&running, "GET", OPERATORS, &[("Origin", origin)], "").status, 403);
    }
    // What a form can send without asking.
    let forms = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""];
    for form in forms {
        let headers = [("Content-Type", form), ("Origin", own.as_str())];
        let answer = ask(&running, "POST", PRESS, &headers, &enter());
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (415, "media_type_unsupported"),
            "{form}"
        );
    }
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert_eq!(ask(&running, method, PRESS, &[JSON], &enter()).status, 405, "{method}");
    }
    assert_eq!(state(&running), "NotProvisioned");
    let answer = ask(&running, "POST", PRESS, &[JSON, ("Origin", &own)], &enter());
    assert_eq!(answer.status, 204);
    running.stop();
}

#[test]
fn a_body_is_bounded() {
    let made = Made::new();
    let running = made.start();
    let long = format!("{{\"cancel\":{{}}{}}}", " ".repeat(65_536));
    let answer = ask(&running, "POST", PRESS, &[JSON], &long);
    assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
    running.stop();
}

#[test]
fn the_screen_can_be_off_and_never_leaves_the_machine() {
    let made = Made::new();
    let running = made.start_with(&["--screen", "off"]);
    assert!(!running.ready.addresses.contains_key("screen"));
    running.stop();
    for address in ["0.0.0.0:8480", "192.168.1.100:8480"] {
        let refused = device(&["run", made.text(), "--screen", address]);
        assert_eq!(refused.status.code(), Some(2), "{address}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("loopback"), "{refused:?}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = device(&["--json", "run", made.text(), "--screen", &address]);
    assert_eq!(json(&refused)["code"].as_str(), Some("listener_failed"));
}

#[test]
fn open_pages_do_not_keep_a_device_from_stopping() {
    let made = Made::new();
    let running = made.start();
    let host = host(&running);
    let mut page = TcpStream::connect(&host).unwrap();
    write!(page, "GET {EVENTS} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut first = [0; 1];
    page.read_exact(&mut first).unwrap();
    running.stop();
    let mut rest = Vec::new();
    page.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream ends in order");
}
