//! Files, events and buttons.

use core::time::Duration;
use std::fs;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::ServiceExt;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceSerial, OperatorId};
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::settings::DeviceSettings;
use zmon_domain::time::Now;
use zmon_provisioning::ports::{Authenticator, ManualSettings, Pin};
use zmon_provisioning::{
    IProvisioningService, MockConfig, MockProvisioningService, ProvisioningPayload,
};
use zmon_ui::web::{EVENTS, LocalOperators, OPERATORS, PRESS, Screen, ScreenParts};

const FILES: [(&str, &str); 10] = [
    ("/", "index.html"),
    ("/base.css", "base.css"),
    ("/app.css", "app.css"),
    ("/app.js", "app.js"),
    ("/draw.js", "draw.js"),
    ("/pin.js", "pin.js"),
    ("/texts.js", "texts.js"),
    ("/en.json", "en.json"),
    ("/es.json", "es.json"),
    ("/de.json", "de.json"),
];
const PIN: &str = "483920";

/// Two operators who share a PIN, and one who may only read.
struct Operators;

#[async_trait::async_trait]
impl Authenticator for Operators {
    #[expect(clippy::disallowed_methods, reason = "this double is an authenticator")]
    async fn authenticate(
        &self,
        id: &OperatorId,
        pin: Pin,
        now: &Now,
    ) -> Result<OperatorProof, ErrorReport> {
        let known = self.operators().await.into_iter().find(|(name, _)| name == id);
        match known.filter(|_| pin.expose() == PIN.as_bytes()) {
            Some((id, role)) => {
                Ok(danger::authenticated(id, role, now.mono + Duration::from_secs(60)))
            }
            None => Err(ErrorCode::AuthenticationFailed.into()),
        }
    }
}

#[async_trait::async_trait]
impl LocalOperators for Operators {
    async fn operators(&self) -> Vec<(OperatorId, Role)> {
        let all =
            [("tess", Role::Technician), ("anna", Role::Administrator), ("otto", Role::Auditor)];
        all.map(|(name, role)| (OperatorId::parse(name).unwrap(), role)).to_vec()
    }
}

struct Stand {
    service: Arc<MockProvisioningService>,
    screen: Option<Screen>,
    router: Router,
}

impl Stand {
    fn new(change: impl FnOnce(ScreenParts) -> ScreenParts) -> Self {
        let config = MockConfig::new("ZM-001", "SN-2024-001234", "192.168.1.100").unwrap();
        Self::with(config, change)
    }

    fn with(config: MockConfig, change: impl FnOnce(ScreenParts) -> ScreenParts) -> Self {
        let service = Arc::new(MockProvisioningService::new(config));
        let parts = ScreenParts::new(
            service.clone(),
            Arc::new(Operators),
            Arc::new(Operators),
            service.clock(),
            DeviceSerial::parse("SN-2024-001234").unwrap(),
        );
        let screen = Screen::new(change(parts));
        Self { service, router: screen.router(), screen: Some(screen) }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn press(&self, request: &Value) -> Response<Body> {
        self.send(Request::post(PRESS).body(Body::from(request.to_string())).unwrap()).await
    }

    async fn enter(&self) {
        let pressed = self.press(&json!({"enter": {"operator": "tess", "pin": PIN}})).await;
        assert_eq!(pressed.status(), StatusCode::NO_CONTENT);
    }

    /// What a station would push for the code on the screen.
    async fn provision(&self) {
        let view = self.service.view().borrow().clone();
        let code = view.pairing.unwrap().code.display().to_string();
        let now = self.service.clock().now().wall.unwrap();
        let payload = ProvisioningPayload::mock(self.service.device_id(), &code, now);
        assert!(self.service.apply_configuration(&payload, &code).await.is_success());
    }

    async fn follow(&self) -> Events {
        let response = self.get(EVENTS).await;
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        Events { body: response.into_body(), text: String::new() }
    }
}

/// A page's side of the stream.
struct Events {
    body: Body,
    text: String,
}

impl Events {
    /// The next event's name and data; `None` at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim().to_owned()
                };
                let found = (field("event:"), field("data:"));
                self.text = rest.to_owned();
                return Some(found);
            }
            let frame = self.body.frame().await?.unwrap();
            self.text.push_str(core::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// The next of this name whose data fulfils `wanted`.
    async fn find(&mut self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let (event, data) = self.next().await.unwrap();
            if event == name && wanted(&data) {
                return data;
            }
        }
    }

    async fn screen(&mut self, state: &str) -> Value {
        let state = format!("\"state\":\"{state}\"");
        serde_json::from_str(&self.find("screen", |data| data.contains(&state)).await).unwrap()
    }
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

async fn code(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    let problem: Value = serde_json::from_slice(&bytes(response).await).unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

fn asset(name: &str) -> Vec<u8> {
    fs::read(format!("{}/assets/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[tokio::test(start_paused = true)]
async fn files_are_served_as_they_lie_and_once() {
    let stand = Stand::new(|parts| parts);
    for (path, name) in FILES {
        let first = stand.get(path).await;
        assert_eq!(first.headers()[CACHE_CONTROL], "no-cache");
        let tag = first.headers()[ETAG].clone();
        // Not assert_eq: nobody reads the difference of two files as numbers.
        assert!(bytes(first).await == asset(name), "{path} is not its file");
        let known = Request::get(path).header(IF_NONE_MATCH, &tag).body(Body::empty()).unwrap();
        let again = stand.send(known).await;
        assert_eq!((again.status(), &again.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        assert!(bytes(again).await.is_empty(), "{path}");
    }
    let folder = fs::read_dir(format!("{}/assets", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let listed = folder.filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert_eq!(listed, FILES.len(), "a file without a route");
}

#[test]
fn the_first_paint_needs_at_most_100_kilobytes() {
    let page: usize = FILES.iter().take(8).map(|(_, name)| asset(name).len()).sum();
    assert!(page <= 100_000, "{page} bytes");
}

#[test]
fn no_code_is_inline_and_no_address_is_foreign() {
    let page = String::from_utf8(asset("index.html")).unwrap();
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=\"/").count()
    );
    for inline in ["style=", "<style", " onclick", " onload", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    for (_, name) in FILES {
        let text = String::from_utf8(asset(name)).unwrap();
        // The namespace of SVG is a name, not a place.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http", "ws://", "wss://", "\"//", "url(", "@import", "eval(", "innerHTML"]
        {
            assert!(!text.contains(foreign), "{foreign} in {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_forbids_what_the_page_does_not_need() {
    let stand = Stand::new(|parts| parts);
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                  connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for path in ["/", "/app.js", EVENTS, OPERATORS, PRESS, "/nowhere"] {
        let answer = stand.get(path).await;
        let headers = answer.headers();
        assert_eq!(headers[CONTENT_SECURITY_POLICY], policy, "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_pin_pad_offers_those_who_may_open_a_window() {
    let stand = Stand::new(|parts| parts);
    let answer = stand.get(OPERATORS).await;
    assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
    let expected = json!({"operators": [
        {"operator": "anna", "role": "administrator"},
        {"operator": "tess", "role": "technician"},
    ]});
    assert_eq!(serde_json::from_slice::<Value>(&bytes(answer).await).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_page_follows_a_whole_provisioning() {
    let stand = Stand::new(|parts| parts);
    let mut page = stand.follow().await;
    let fresh = page.screen("NotProvisioned").await;
    assert_eq!(fresh["actions"], json!(["enter"]));
    assert_eq!((&fresh["language"], &fresh["measurementUnit"]), (&json!("EN"), &json!("METRIC")));
    assert_eq!(page.find("qr", |_| true).await, "");

    stand.enter().await;
    let open = page.screen("ReadyToPair").await;
    assert_eq!(open["actions"], json!(["regenerate", "cancel"]));
    assert_eq!(open["status"]["expirationTime"], 600);
    assert_eq!(open["status"]["indicator"], "Ready");
    let image = page.find("qr", |svg| !svg.is_empty()).await;
    let drawn = stand.service.generate_qr_code().await.unwrap();
    assert_eq!(image, drawn.svg().unwrap().as_str());

    // Redrawn after 30 s, by itself.
    let rotated = page.find("qr", |svg| svg != image).await;
    assert_eq!(rotated, stand.service.generate_qr_code().await.unwrap().svg().unwrap().as_str());

    assert_eq!(stand.press(&json!({"regenerate": {}})).await.status(), StatusCode::NO_CONTENT);
    let old = open["status"]["pairingCode"].as_str().unwrap();
    page.find("screen", |data| data.contains("ReadyToPair") && !data.contains(old)).await;
    page.find("qr", |svg| !svg.is_empty() && svg != rotated).await;

    stand.provision().await;
    let provisioned = page.screen("Provisioned").await;
    assert_eq!(provisioned["actions"], json!(["reprovision"]));
    assert_eq!(provisioned["certificate"]["validity"], "valid");
    assert!(provisioned["status"].get("pairingCode").is_none());
    assert_eq!(page.find("qr", |_| true).await, "");
}

#[tokio::test(start_paused = true)]
async fn the_status_view_tells_link_certificate_and_statistics() {
    let stand = Stand::new(|parts| parts);
    let mut page = stand.follow().await;
    let fresh = page.screen("NotProvisioned").await;
    assert_eq!(fresh["status"]["link"]["connected"], false);
    assert!(fresh["status"].get("serverUrl").is_none() && fresh.get("certificate").is_none());
    assert_eq!(fresh["errorTrend"], json!(vec![0; 30]));

    stand.enter().await;
    stand.provision().await;
    let connected = page.find("screen", |data| data.contains("\"connected\":true")).await;
    let view: Value = serde_json::from_str(&connected).unwrap();
    let server = "https://mock-central-station.invalid:8443";
    assert_eq!(view["status"]["serverUrl"], server);
    assert!(view["certificate"]["notAfter"].as_str().unwrap().starts_with("20"));
    assert_eq!(view["certificate"]["validity"], "valid");
    let link = &view["status"]["link"];
    assert!(link["lastConnected"].as_str().unwrap().starts_with("20"));
    for number in ["uptimeSeconds", "bytesSent", "errors"] {
        assert!(link[number].is_u64(), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_countdown_on_the_page_never_skips_a_second() {
    let stand = Stand::new(|parts| parts);
    let mut page = stand.follow().await;
    stand.enter().await;
    let mut seconds = Vec::new();
    while seconds.last() != Some(&570) {
        let view = page.screen("ReadyToPair").await;
        seconds.push(view["status"]["expirationTime"].as_u64().unwrap());
    }
    seconds.dedup();
    assert_eq!(seconds, (570..=600).rev().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_device_gives_signs_of_life_and_a_gone_one_ends_the_stream() {
    let mut stand = Stand::new(|parts| parts);
    let mut page = stand.follow().await;
    page.find("alive", str::is_empty).await;
    page.find("alive", str::is_empty).await;
    drop(stand.screen.take());
    while let Some((event, _)) = page.next().await {
        assert_ne!(event, "alive");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_page_is_told_everything_at_once() {
    let stand = Stand::new(|parts| parts);
    stand.enter().await;
    sleep(Duration::from_secs(75)).await;
    let mut page = stand.follow().await;
    let (first, second) = (page.next().await.unwrap(), page.next().await.unwrap());
    assert!(first.0 == "screen" && first.1.contains("\"expirationTime\":525"));
    assert!(second.0 == "qr" && second.1.starts_with("<svg"));
}

#[tokio::test(start_paused = true)]
async fn every_button_on_offer_leads_somewhere() {
    let stand = Stand::new(|parts| parts);
    let mut page = stand.follow().await;
    let proof = json!({"operator": "anna", "pin": PIN});
    let pressed = async |action: &str, page: &mut Events, state: &str| {
        let view = page.screen(state).await;
        assert!(
            view["actions"].as_array().unwrap().contains(&json!(action)),
            "{action} in {state}"
        );
        let needs_pin = ["enter", "reprovision"].contains(&action);
        let body = if needs_pin { proof.clone() } else { json!({}) };
        let answer = stand.press(&json!({action: body})).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{action} in {state}");
    };
    pressed("enter", &mut page, "NotProvisioned").await;
    pressed("regenerate", &mut page, "ReadyToPair").await;
    pressed("cancel", &mut page, "ReadyToPair").await;
    pressed("enter", &mut page, "NotProvisioned").await;
    stand.provision().await;
    pressed("reprovision", &mut page, "Provisioned").await;
    pressed("regenerate", &mut page, "Reprovisioning.ReadyToPair").await;
    pressed("cancel", &mut page, "Reprovisioning.ReadyToPair").await;
    page.screen("Provisioned").await;
}

#[tokio::test(start_paused = true)]
async fn a_manual_configuration_is_asked_about_on_the_screen() {
    let mut config = MockConfig::new("ZM-001", "SN-2024-001234", "192.168.1.100").unwrap();
    let url = "https://old.hospital.example:8443".parse().unwrap();
    config.manual = Some(ManualSettings::new(url, DeviceSettings::default()));
    let stand = Stand::with(config, |parts| parts);
    let mut page = stand.follow().await;
    let prompted = page.screen("NotProvisioned").await;
    assert_eq!(prompted["actions"], json!(["migrate", "postpone", "enter"]));
    assert_eq!(prompted["status"]["manualConfiguration"]["migrating"], false);
    let proof = json!({"operator": "tess", "pin": PIN});
    for action in ["postpone", "migrate"] {
        let pressed = stand.press(&json!({action: proof})).await;
        assert_eq!(pressed.status(), StatusCode::NO_CONTENT, "{action}");
    }
    let open = page.screen("ReadyToPair").await;
    assert_eq!(open["status"]["manualConfiguration"]["migrating"], true);
    assert_eq!(open["actions"], json!(["regenerate", "cancel"]));
}

#[tokio::test(start_paused = true)]
async fn simulation_is_offered_only_where_it_is_built_in() {
    let press = json!({"simulate": {}});
    let stand = Stand::new(ScreenParts::with_simulation);
    stand.enter().await;
    let view = stand.follow().await.screen("ReadyToPair").await;
    assert_eq!(view["actions"], json!(["regenerate", "simulate", "cancel"]));
    // The service has the last word: this build does not simulate.
    let refused = code(stand.press(&press).await).await;
    assert_eq!(refused, (501, String::from("simulation_unavailable")));
    let release = Stand::new(|parts| parts);
    release.enter().await;
    assert_eq!(code(release.press(&press).await).await, refused);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_problem_documents_and_change_nothing() {
    let stand = Stand::new(|parts| parts);
    let pin = |operator: &str, pin: &str| json!({"enter": {"operator": operator, "pin": pin}});
    let words =
        |pin: &str| json!({"confirmStation": {"operator": "tess", "pin": pin, "words": "a b c d"}});
    for (request, expected) in [
        (pin("tess", "111111"), (401, "authentication_failed")),
        (pin("nobody", PIN), (401, "authentication_failed")),
        (pin("otto", PIN), (403, "not_permitted")),
        (pin("tess", "12345"), (400, "request_malformed")),
        (pin("tess", "48392O"), (400, "request_malformed")),
        (pin("<script>", PIN), (400, "request_malformed")),
        (json!({"enter": {}}), (400, "request_malformed")),
        (json!({"open": {}}), (400, "request_malformed")),
        (json!({"cancel": {"operator": "tess"}}), (400, "request_malformed")),
        (json!({"cancel": {}}), (409, "not_in_provisioning_mode")),
        (json!({"regenerate": {}}), (409, "not_in_provisioning_mode")),
        (json!({"reprovision": {"operator": "tess", "pin": PIN}}), (409, "state_conflict")),
        (words(PIN), (409, "state_conflict")),
        (words("111111"), (401, "authentication_failed")),
        (json!({"refuseStation": {}}), (409, "state_conflict")),
    ] {
        let (status, found) = code(stand.press(&request).await).await;
        assert_eq!((status, found.as_str()), expected, "{request}");
    }
    let twice = format!(r#"{{"enter":{{"operator":"tess","pin":"{PIN}","pin":"{PIN}"}}}}"#);
    let bodies: [(Vec<u8>, (u16, &str)); 7] = [
        (Vec::new(), (400, "request_malformed")),
        (b"{".to_vec(), (400, "request_malformed")),
        (b"{\"cancel\":{\"\xc3\x28\":1}}".to_vec(), (400, "request_malformed")),
        (twice.into_bytes(), (400, "request_malformed")),
        (br#"{"cancel":{},"cancel":{}}"#.to_vec(), (400, "request_malformed")),
        (vec![b' '; 65_537], (413, "request_too_large")),
        (vec![b' '; 3 << 20], (413, "request_too_large")),
    ];
    for (body, expected) in bodies {
        let length = body.len();
        let request = Request::post(PRESS).body(Body::from(body)).unwrap();
        let (status, found) = code(stand.send(request).await).await;
        assert_eq!((status, found.as_str()), expected, "{length} bytes");
    }
    assert_eq!(code(stand.get(PRESS).await).await, (405, String::from("method_not_allowed")));
    assert_eq!(code(stand.get("/nowhere").await).await, (404, String::from("route_unknown")));
    let posted = stand.send(Request::post("/").body(Body::empty()).unwrap()).await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(stand.service.state().as_str(), "NotProvisioned");
}
