//! The operators' interface: every answer a shape, every failure a problem document.

use std::collections::{BTreeMap, BTreeSet};

use http::header::{AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_transport::client::{Answer, Ask, JSON};
use zmon_transport::contract::{Operation, Proof};
use zmon_transport::station_api::contract;
use zmon_transport::{device_listener, paths};

use crate::world::{PASSWORD, World, problem};
use crate::{est, peers, strangers};

const ID: &str = "0190b6a0-0000-4000-8000-000000000000";
const SESSION: &str = "/api/provisioning/pair/0190b6a0-0000-4000-8000-000000000000";

/// Every operation of this listener.
pub(crate) fn operations() -> Vec<Operation> {
    let [operators, ..] = contract::listeners();
    assert_eq!(operators.name, "operators");
    operators.operations
}

/// A path as a request names it.
pub(crate) fn asked(path: &str) -> String {
    let path = path.replace("{sessionId}", ID).replace("{serial}", "0a");
    let path = path.replace("{deviceId}", "ZM-001").replace("{bedId}", "ICU-3B");
    path.replace("{batchId}", ID).replace("{operator}", "tess")
}

/// Every operation as a request names it: its method, its path.
fn requests() -> impl Iterator<Item = (Method, String)> {
    operations().into_iter().map(|operation| (operation.method, asked(operation.path)))
}

#[test]
fn no_path_is_forgotten() {
    let [_, devices, signed @ ..] = contract::listeners();
    let certified: Vec<_> = devices.operations.iter().map(|one| one.path).collect();
    assert_eq!(sorted(certified.clone()), sorted(peers::PATHS.map(|(_, path)| path).to_vec()));
    let names = |listener: &contract::Listener| {
        let protocol = listener.protocol.unwrap();
        listener.operations.iter().map(|one| (protocol, one.path)).collect::<Vec<_>>()
    };
    let signed: Vec<_> = signed.iter().flat_map(names).collect();
    assert_eq!(sorted(signed.clone()), sorted(strangers::SIGNED.to_vec()));
    let here = operations().into_iter().map(|one| one.path);
    let elsewhere = signed.into_iter().map(|(_, path)| path);
    let device = device_listener::operations().into_iter().map(|one| one.path);
    // EST is described by its own standard.
    let est = est::PATHS.map(|(_, path)| path);
    let all = here.chain(elsewhere).chain(certified).chain(device).chain(est);
    let all: BTreeSet<_> = all.collect();
    assert_eq!(all, paths::ALL.into_iter().collect());
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

#[tokio::test]
async fn health_needs_no_login() {
    let world = World::open().await;
    let answer = world.tablet().await.get("/api/health").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(text, r#"{"stationId":"CS-1","ready":true,"version":"0.1.0"}"#);
}

#[tokio::test]
async fn readiness_needs_no_login_and_names_what_is_in_the_way() {
    let world = World::open().await;
    let answer = world.tablet().await.get("/api/ready").await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &br#"{"ready":true,"reasons":[]}"#[..])
    );
    world.store.fail_reads(true);
    let answer = world.tablet().await.get("/api/ready").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(&answer.body[..], br#"{"ready":false,"reasons":["store"]}"#);
}

#[tokio::test]
async fn every_path_refuses_other_methods() {
    let world = World::open().await;
    let mut tablet = world.administrator().await;
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, path) in requests() {
        let known = methods.entry(path).or_default();
        known.extend((method == Method::GET).then(|| "HEAD".to_owned()));
        known.insert(method.to_string());
    }
    for (path, known) in methods {
        let others = [Method::GET, Method::POST].into_iter();
        let others = others.filter(|method| !known.contains(method.as_str()));
        let never = [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE];
        for wrong in others.chain(never) {
            let answer = tablet.send(Ask::get(&path).method(wrong)).await;
            assert_eq!(problem(&answer).code, ErrorCode::MethodNotAllowed, "{path}");
            let allow = answer.headers.get(http::header::ALLOW).unwrap().to_str().unwrap();
            let allow: BTreeSet<_> = allow.split(',').map(|one| one.trim().to_owned()).collect();
            assert_eq!(allow, known, "{path}");
        }
    }
}

#[tokio::test]
async fn every_path_with_a_body_takes_json_only() {
    let world = World::open().await;
    let mut tablet = world.administrator().await;
    // Who has to sign, and who has to be a page, is told nothing else.
    let silent = |operation: &Operation| matches!(operation.proof, Proof::Signature | Proof::Page);
    let with_body = operations().into_iter().filter(|one| one.body.is_some() && !silent(one));
    for path in with_body.map(|operation| operation.path) {
        for wrong in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let answer = tablet.send(Ask::post(path, wrong, "{}")).await;
            assert_eq!(problem(&answer).code, ErrorCode::MediaTypeUnsupported, "{path} {wrong}");
            assert_eq!(answer.status, 415);
        }
        for wrong in ["", "{", "[]", "{\"x\":1}", "{\"a\":1,\"a\":1}", "\u{feff}{}"] {
            if path.ends_with("/import") && matches!(wrong, "" | "[]") {
                continue; // An empty manifest is a manifest.
            }
            let answer = tablet.send(Ask::post(path, JSON, wrong)).await;
            let refused = problem(&answer);
            assert_eq!(refused.code, ErrorCode::RequestMalformed, "{path} {wrong:?}");
            assert!(refused.field.is_some() && refused.rule.is_some(), "{path} {wrong:?}");
        }
    }
}

#[tokio::test]
async fn strangers_get_one_answer() {
    let world = World::open().await;
    let mut tablet = world.tablet().await;
    let open = [paths::HEALTH, paths::READY, paths::LOGIN, paths::OUTCOME, paths::PAGE_SESSION];
    let long = "A".repeat(43);
    let bearers = ["", "Bearer", "Bearer x", "Basic YTpi", &format!("Bearer {long}")];
    let mut first = None;
    let mut alike = |answer: &Answer, what: &str| {
        assert_eq!(problem(answer).code, ErrorCode::AuthenticationFailed, "{what}");
        assert_eq!(answer.headers.get(WWW_AUTHENTICATE).unwrap(), "Bearer", "{what}");
        let seen = strangers::fingerprint(answer);
        assert_eq!(first.get_or_insert(seen.clone()), &seen, "{what}");
    };
    for (method, path) in requests().filter(|(_, path)| !open.contains(&path.as_str())) {
        for bearer in bearers {
            let ask = Ask::post(&path, "text/plain", "junk").method(method.clone());
            let answer = tablet
                .send(ask.header(AUTHORIZATION, HeaderValue::from_str(bearer).unwrap()))
                .await;
            alike(&answer, &path);
        }
    }
    // Nor does one learn which paths there are, with which methods, under which names.
    for path in ["/", "/metrics", "/api/device/test", "/api/audit/x"] {
        alike(&tablet.get(path).await, path);
    }
    for (_, path) in requests() {
        for wrong in [Method::PUT, Method::DELETE, Method::OPTIONS] {
            alike(&tablet.send(Ask::get(&path).method(wrong)).await, &path);
        }
        let ask = Ask::get(&path).header(HOST, HeaderValue::from_static("evil.example"));
        alike(&tablet.send(ask).await, &path);
        let foreign = HeaderValue::from_static("https://x.example");
        alike(&tablet.send(Ask::get(&path).header(ORIGIN, foreign)).await, &path);
    }
}

#[tokio::test]
async fn strangers_are_counted_whatever_they_send() {
    let world = World::open().await;
    let mut tablet = world.tablet().await;
    tablet.get("/metrics").await;
    tablet.send(Ask::get(paths::LOGIN).method(Method::PUT)).await;
    tablet.get(paths::AUDIT).await;
    // A login says what is wrong with its form, and is counted for it.
    let refused = problem(&tablet.post(paths::LOGIN, r#"{"operator":7}"#).await);
    assert_eq!(
        (refused.code, refused.field.as_deref()),
        (ErrorCode::RequestMalformed, Some("operator"))
    );
    let refused = tablet.send(Ask::post(paths::LOGIN, "text/plain", "{}")).await;
    assert_eq!(problem(&refused).code, ErrorCode::MediaTypeUnsupported);
    let long = tablet.post(paths::LOGIN, &" ".repeat(65_537)).await;
    assert_eq!(problem(&long).code, ErrorCode::RequestTooLarge);
    let mut tablet = world.tablet().await;
    for signed in ["{}", "", r#"{"ask":"e30.e30.e30"}"#] {
        let refused = tablet.post(paths::OUTCOME, signed).await;
        assert_eq!(problem(&refused).code, ErrorCode::SignatureInvalid, "{signed}");
    }
    let expected = [
        (ErrorCode::AuthenticationFailed, 3),
        (ErrorCode::JwsMalformed, 1),
        (ErrorCode::MediaTypeUnsupported, 1),
        (ErrorCode::RequestMalformed, 3),
        (ErrorCode::RequestTooLarge, 1),
    ];
    assert_eq!(strangers::counted(&world).await, expected.into());
}

#[tokio::test]
async fn unknown_paths_and_foreign_hosts_are_refused() {
    let world = World::open().await;
    let mut tablet = world.administrator().await;
    for path in ["/", "/api", "/api/provisioning/pair/", "/api/health/x", "/metrics"] {
        let answer = tablet.get(path).await;
        assert_eq!(problem(&answer).code, ErrorCode::RouteUnknown, "{path}");
    }
    for host in ["evil.example", "localhost", "127.0.0.1.evil.example", ""] {
        let ask = Ask::get("/api/health").header(HOST, HeaderValue::from_static(host));
        let answer = tablet.send(ask).await;
        assert_eq!(answer.status, 421, "{host}");
        assert_eq!(problem(&answer).field.as_deref(), Some("host"));
    }
    let ask = Ask::get("/api/health").header(ORIGIN, HeaderValue::from_static("https://x.example"));
    assert_eq!(tablet.send(ask).await.status, 403);
}

#[tokio::test]
async fn bodies_end_at_64_kibibytes_and_manifests_at_their_own_limit() {
    let world = World::open().await;
    let mut tablet = world.administrator().await;
    let fits = " ".repeat(65_536);
    let answer = tablet.post("/api/provisioning/pair", &fits).await;
    assert_eq!(problem(&answer).code, ErrorCode::RequestMalformed);
    let answer = tablet.post("/api/provisioning/pair", &format!("{fits} ")).await;
    assert_eq!(answer.status, 413);
    assert_eq!(problem(&answer).code, ErrorCode::RequestTooLarge);
    // A refused body ends its connection; the next request has one of its own.
    let mut tablet = world.administrator().await;
    let answer = tablet.post("/api/registry/import", &format!("{fits} ")).await;
    assert_ne!(answer.status, 413);
    let longer = " ".repeat(limits::MANIFEST_BYTES.default + 1);
    for path in ["/api/registry/import", "/api/batches?name=a"] {
        let mut tablet = world.administrator().await;
        let answer = tablet.post(path, &longer).await;
        assert_eq!((answer.status.as_u16(), problem(&answer).status), (413, 413), "{path}");
    }
}

#[tokio::test]
async fn repeated_wrong_passwords_have_to_wait() {
    let world = World::open().await;
    let mut tablet = world.tablet().await;
    let wrong = r#"{"operator":"ada","password":"not this one"}"#;
    let mut last = tablet.post("/api/auth/login", wrong).await;
    assert_eq!(problem(&last).code, ErrorCode::AuthenticationFailed);
    for _ in 0..5 {
        last = tablet.post("/api/auth/login", wrong).await;
    }
    assert_eq!(problem(&last).code, ErrorCode::AuthenticationLocked);
    let seconds = last.headers.get(RETRY_AFTER).unwrap().to_str().unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn roles_are_the_stations_business_and_travel_as_403() {
    let world = World::open().await;
    let mut auditor = world.operator("audrey", Role::Auditor).await;
    let body = format!(r#"{{"operator":"x","role":"auditor","password":"{PASSWORD}"}}"#);
    let refused = problem(&auditor.post("/api/operators", &body).await);
    assert_eq!((refused.code, refused.status), (ErrorCode::NotPermitted, 403));
    let revoke = auditor.post("/api/certificates/0a/revoke", "").await;
    assert_eq!(problem(&revoke).code, ErrorCode::NotPermitted);
    assert_eq!(auditor.get("/api/audit?limit=1").await.status, 200);
    let mut technician = world.operator("tess", Role::Technician).await;
    assert_eq!(problem(&technician.get("/api/audit").await).code, ErrorCode::NotPermitted);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_logins() {
    let world = World::open().await;
    let (mut here, mut there) = (world.administrator().await, world.administrator().await);
    let own = "/api/operators/self/password";
    let body =
        |password: &str, new: &str| format!(r#"{{"password":"{password}","newPassword":"{new}"}}"#);
    let wrong = problem(&here.post(own, &body("not the password", "one of my own")).await);
    assert_eq!((wrong.code, wrong.status), (ErrorCode::AuthenticationFailed, 401));
    let short = problem(&here.post(own, &body(PASSWORD, "short")).await);
    assert_eq!(short.code, ErrorCode::RequestMalformed);
    assert_eq!(short.field.as_deref(), Some("newPassword"));
    let done = here.post(own, &body(PASSWORD, "one of my own")).await;
    assert_eq!(&done.body[..], br#"{"success":true}"#);
    assert_eq!(here.get("/api/audit?limit=1").await.status, 200);
    let ended = problem(&there.get("/api/audit?limit=1").await);
    assert_eq!(ended.code, ErrorCode::AuthenticationFailed);
    there.log_in("ada", "one of my own").await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let page = |answer: &zmon_transport::client::Answer| {
        zmon_wire::strict::parse::<zmon_wire::audit::AuditPage>(&answer.body, 65_536).unwrap()
    };
    let first = page(&ada.get("/api/audit?limit=2").await);
    assert_eq!((first.rows.len(), first.next), (2, Some(2)));
    let rest = page(&ada.get("/api/audit?after=2").await);
    assert_eq!((rest.rows[0].seq, rest.next), (3, None));
    for bad in ["?limit=x", "?after=-1", "?page=1", "?limit=1&limit=2"] {
        let answer = ada.get(&format!("/api/audit{bad}")).await;
        assert_eq!(problem(&answer).code, ErrorCode::RequestMalformed, "{bad}");
    }
    let verdict = ada.get("/api/audit/verify").await;
    let text = std::str::from_utf8(&verdict.body).unwrap();
    assert!(
        text.starts_with(r#"{"intact":true,"#) && text.contains(r#""checkpoints":2"#),
        "{text}"
    );
}

#[tokio::test]
async fn a_logout_ends_the_login() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let answer = ada.post("/api/auth/logout", "").await;
    assert_eq!(&answer.body[..], br#"{"success":true}"#);
    let refused = problem(&ada.get("/api/audit").await);
    assert_eq!(refused.code, ErrorCode::AuthenticationFailed);
}

#[tokio::test]
async fn a_typed_code_without_a_place_is_told_what_is_missing() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let body = r#"{"deviceId":"ZM-001","pairingCode":"ABC-123-XYZ"}"#;
    let refused = problem(&ada.post("/api/provisioning/pair", body).await);
    assert_eq!(refused.code, ErrorCode::RequestMalformed);
    assert_eq!(refused.field.as_deref(), Some("ipAddress"));
}

#[tokio::test]
async fn identifiers_in_paths_are_parsed() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    for path in
        ["/api/provisioning/pair/x", "/api/provisioning/pair/%00", "/api/provisioning/pair/%ff"]
    {
        let refused = problem(&ada.get(path).await);
        assert_eq!(refused.code, ErrorCode::RequestMalformed, "{path}");
        assert_eq!(refused.field.as_deref(), Some("sessionId"), "{path}");
        let refused = problem(&ada.post(&format!("{path}/cancel"), "").await);
        assert_eq!(refused.field.as_deref(), Some("sessionId"), "{path}");
    }
    for serial in ["zz", "%00", "%ff"] {
        let path = format!("/api/certificates/{serial}/revoke");
        let refused = problem(&ada.post(&path, "").await);
        assert_eq!(refused.code, ErrorCode::RequestMalformed, "{path}");
        assert_eq!(refused.field.as_deref(), Some("serial"), "{path}");
        assert!(refused.rule.is_some(), "{path}");
    }
    let unknown = problem(&ada.get(SESSION).await);
    assert_eq!(unknown.code, ErrorCode::SessionUnknown);
    let revoke = problem(&ada.post("/api/certificates/0a/revoke", "").await);
    assert_eq!(revoke.code, ErrorCode::CertificateUnknown);
}

#[tokio::test]
async fn answers_carry_a_request_number_and_are_not_kept() {
    let world = World::open().await;
    let mut tablet = world.tablet().await;
    let (one, two) = (tablet.get("/api/health").await, tablet.get("/nowhere").await);
    for answer in [&one, &two] {
        assert_eq!(answer.headers.get("cache-control").unwrap(), "no-store");
        assert_eq!(answer.headers.get("x-content-type-options").unwrap(), "nosniff");
        assert!(answer.headers.get("date").is_none());
    }
    assert_ne!(one.headers.get("x-request-id"), two.headers.get("x-request-id"));
}
