//! Pages of the station: their cookie, what it opens, and the pairing they watch.

use axum::Router;
use axum::routing::get;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, COOKIE, HeaderName, ORIGIN, SET_COOKIE};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningStatus;
use zmon_provisioning::IProvisioningService;
use zmon_transport::client::{Answer, Ask, ClientTimes, JSON};
use zmon_wire::blink::Blinking;
use zmon_wire::page::{PageView, Progress, ProgressPhase};
use zmon_wire::strict;

use crate::pairing::Monitor;
use crate::support::providers;
use crate::world::{PASSWORD, Tablet, World, problem};

const PAGE: HeaderName = HeaderName::from_static("x-zmon-page");
const SESSION: &str = "/api/auth/session";

/// A browser: keeps the cookie, and says which page it sends from.
struct Browser {
    tablet: Tablet,
    origin: HeaderValue,
    cookie: Option<HeaderValue>,
}

impl Browser {
    async fn open(world: &World) -> Self {
        let origin = format!("https://{}", world.listeners.operators());
        let origin = HeaderValue::from_str(&origin).unwrap();
        Self { tablet: world.tablet().await, origin, cookie: None }
    }

    async fn log_in(&mut self, operator: &str) -> Answer {
        let body = format!(r#"{{"operator":"{operator}","password":"{PASSWORD}"}}"#);
        let answer = self.post(SESSION, &body).await;
        let cookie = answer.headers.get(SET_COOKIE).map(|set| set.to_str().unwrap());
        let pair = cookie.map(|set| set.split(';').next().unwrap());
        self.cookie = pair.map(|pair| HeaderValue::from_str(pair).unwrap());
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Ask::get(path)).await
    }

    async fn post(&mut self, path: &str, body: &str) -> Answer {
        let origin = self.origin.clone();
        let ask = Ask::post(path, JSON, body.to_owned());
        self.send(ask.header(ORIGIN, origin).header(PAGE, HeaderValue::from_static("1"))).await
    }

    async fn send(&mut self, mut ask: Ask<'_>) -> Answer {
        if let Some(cookie) = &self.cookie {
            ask = ask.header(COOKIE, cookie.clone());
        }
        self.tablet.send(ask).await
    }
}

/// What a tablet sends of the QR code: all of it.
async fn scan_request(monitor: &Monitor) -> String {
    String::from_utf8(strict::to_vec(&monitor.scan().await).unwrap()).unwrap()
}

fn view(answer: &Answer) -> PageView {
    strict::parse(&answer.body, 4096).unwrap()
}

#[tokio::test]
async fn a_pages_login_is_a_cookie_and_its_token_is_in_no_body() {
    let world = World::open().await;
    let mut browser = Browser::open(&world).await;
    let nobody = view(&browser.get(SESSION).await);
    assert_eq!((nobody.login, nobody.ended), (None, false));
    assert_eq!(nobody.station_name.as_str(), "Ward 3 Central");
    let answer = browser.log_in("ada").await;
    let login = view(&answer).login.unwrap();
    assert_eq!((login.operator.as_str(), login.role), ("ada", Role::Administrator));
    let cookie = browser.cookie.clone().unwrap();
    let token = cookie.to_str().unwrap().strip_prefix("__Host-zmon=").unwrap();
    assert!(token.len() > 40 && !String::from_utf8_lossy(&answer.body).contains(token));
    assert_eq!(view(&browser.get(SESSION).await).login, Some(login));
    assert_eq!(browser.get("/api/registry/devices").await.status, 200);

    let old = browser.cookie.clone();
    browser.log_in("ada").await;
    browser.cookie = old;
    assert_eq!(problem(&browser.get("/api/audit").await).code, ErrorCode::ProofExpired);
}

#[tokio::test]
async fn a_cookie_changes_nothing_unless_our_own_page_asks() {
    let world = World::open().await;
    let mut browser = Browser::open(&world).await;
    browser.log_in("ada").await;
    let own = browser.origin.clone();
    let foreign = HeaderValue::from_static("https://evil.example");
    let forged = [
        (None, false, 401),
        (None, true, 401),
        (Some(own.clone()), false, 401),
        (Some(foreign.clone()), true, 403),
        (Some(HeaderValue::from_static("null")), true, 403),
    ];
    for path in [
        SESSION,
        "/api/operators",
        "/api/registry/import",
        "/api/provisioning/sessions",
        "/api/provisioning/pair",
        "/api/certificates/0a/revoke",
        "/api/auth/logout",
    ] {
        for (origin, page, status) in &forged {
            let mut ask = Ask::post(path, JSON, "{}");
            if let Some(origin) = origin {
                ask = ask.header(ORIGIN, origin.clone());
            }
            if *page {
                ask = ask.header(PAGE, HeaderValue::from_static("1"));
            }
            assert_eq!(browser.send(ask).await.status, *status, "{path} {origin:?} {page}");
        }
    }
    let ended = browser.get(SESSION).await;
    assert!(view(&ended).login.is_some(), "no forged logout has ended it");
}

#[tokio::test]
async fn a_login_that_ended_is_told_as_such_and_its_cookie_taken_away() {
    let world = World::open().await;
    let mut browser = Browser::open(&world).await;
    browser.log_in("ada").await;
    let answer = browser.post("/api/auth/logout", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.get(SET_COOKIE).unwrap().to_str().unwrap().contains("Max-Age=0"));
    // The browser may have sent this before it read the answer.
    assert_eq!(problem(&browser.get("/api/audit").await).code, ErrorCode::ProofExpired);
    let answer = browser.get(SESSION).await;
    assert!(view(&answer).ended && view(&answer).login.is_none());
    assert!(answer.headers.get(SET_COOKIE).unwrap().to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn a_page_watches_its_own_pairing() {
    let provider = providers().swap_remove(0);
    let world = World::open_with(provider.clone(), ClientTimes::default()).await;
    let monitor = Monitor::start(&world, &provider, Suite::P256).await;
    let mut ada = world.administrator().await;
    ada.post("/api/registry/import", &monitor.manifest()).await;
    world.operator("tess", Role::Technician).await;
    let mut browser = Browser::open(&world).await;
    browser.log_in("tess").await;

    let scan = browser.post("/api/provisioning/sessions", &scan_request(&monitor).await).await;
    let scan: zmon_wire::pair::ScanAnswer = strict::parse(&scan.body, 4096).unwrap();
    let events = format!("/api/provisioning/pair/{}/events", scan.session_id);
    assert_eq!(problem(&ada.get(&events).await).code, ErrorCode::SessionUnknown);

    // The stream ends with the session; what comes last is its result.
    let mut watching = Browser::open(&world).await;
    watching.cookie = browser.cookie.clone();
    let watched = tokio::spawn(async move { watching.get(&events).await });
    let cancel = format!("/api/provisioning/pair/{}/cancel", scan.session_id);
    assert_eq!(browser.post(&cancel, "").await.status, 200);
    let watched = watched.await.unwrap();
    assert_eq!(watched.headers.get("content-type").unwrap(), "text/event-stream");
    let text = String::from_utf8(watched.body.to_vec()).unwrap();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    let last: Progress = strict::parse(last.as_bytes(), 4096).unwrap();
    assert_eq!(last.phase, ProgressPhase::Released);
    assert_eq!(last.problem.unwrap().code, ErrorCode::Cancelled);
    monitor.service.shutdown().await;
}

#[tokio::test]
async fn an_operator_has_the_monitor_of_their_own_scan_blink() {
    let provider = providers().swap_remove(0);
    let world = World::open_with(provider.clone(), ClientTimes::default()).await;
    let monitor = Monitor::start(&world, &provider, Suite::P256).await;
    let mut ada = world.administrator().await;
    ada.post("/api/registry/import", &monitor.manifest()).await;
    world.operator("tess", Role::Technician).await;
    let mut browser = Browser::open(&world).await;
    browser.log_in("tess").await;
    let scan = browser.post("/api/provisioning/sessions", &scan_request(&monitor).await).await;
    let scan: zmon_wire::pair::ScanAnswer = strict::parse(&scan.body, 4096).unwrap();
    let mut shown = monitor.service.view();
    assert!(!shown.borrow_and_update().blinking);

    let path = zmon_transport::paths::pair_blink(scan.session_id);
    assert_eq!(problem(&ada.post(&path, "").await).code, ErrorCode::SessionUnknown);
    for _ in 0..2 {
        let answer = browser.post(&path, "").await;
        let blinking: Blinking = strict::parse(&answer.body, 4096).unwrap();
        assert!((1..=6).contains(&blinking.seconds), "{blinking:?}");
    }
    assert!(shown.borrow_and_update().blinking);
    let rows = monitor.log.events();
    let blinks = rows.iter().filter(|row| **row == EventType::MonitorBlinked);
    assert_eq!(blinks.count(), 1, "one blink, one row");
    let status = monitor.service.get_status();
    assert_eq!(status, ProvisioningStatus::ReadyToPair, "nothing else has changed");
    let stranger =
        browser.post("/api/provisioning/pair/0190b6a0-0000-4000-8000-000000000000/blink", "");
    assert_eq!(problem(&stranger.await).code, ErrorCode::SessionUnknown);
    monitor.service.shutdown().await;
}

#[tokio::test]
async fn an_open_stream_does_not_hold_the_station_up() {
    let provider = providers().swap_remove(0);
    let world = World::open_with(provider.clone(), ClientTimes::default()).await;
    let monitor = Monitor::start(&world, &provider, Suite::P256).await;
    let mut ada = world.administrator().await;
    ada.post("/api/registry/import", &monitor.manifest()).await;
    let scan = ada.post("/api/provisioning/sessions", &scan_request(&monitor).await).await;
    let scan: zmon_wire::pair::ScanAnswer = strict::parse(&scan.body, 4096).unwrap();
    let events = format!("/api/provisioning/pair/{}/events", scan.session_id);
    let watched = tokio::spawn(async move { ada.get(&events).await });
    world.listeners.shutdown().await;
    drop(watched.await);
    monitor.service.shutdown().await;
}

#[tokio::test]
async fn pages_stand_beside_the_interface_behind_the_same_gate() {
    let pages = Router::new().route("/", get(async || "page"));
    let world = World::open_showing(pages).await;
    let mut browser = Browser::open(&world).await;
    assert_eq!(&browser.get("/").await.body[..], b"page", "without a login");
    assert_eq!(problem(&browser.get("/nothing").await).code, ErrorCode::AuthenticationFailed);
    browser.log_in("ada").await;
    let answer = browser.get("/api/health").await;
    let policy = answer.headers.get(CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"));
    let ask = Ask::get("/").header(http::header::HOST, HeaderValue::from_static("evil.example"));
    assert_eq!(browser.send(ask).await.status, 421);
    assert_eq!(problem(&browser.get("/nothing").await).code, ErrorCode::RouteUnknown);
    let refused = browser.post("/", "{}").await;
    assert_eq!(problem(&refused).code, ErrorCode::MethodNotAllowed);
}
