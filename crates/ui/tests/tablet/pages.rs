//! Every file of the page as it is served.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use http::{Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;
use zmon_crypto::sha256;
use zmon_domain::ids::StationName;
use zmon_ui::tablet::{TrustedCa, pages};
use zmon_wire::page::TrustView;
use zmon_wire::strict;

const DER: &[u8] = b"a certificate";
const PEM: &str = "-----BEGIN CERTIFICATE-----";

fn router() -> Router {
    let station = StationName::parse("Ward 3").unwrap();
    pages(TrustedCa { station, der: DER.to_vec(), pem: PEM.to_owned() }).unwrap()
}

async fn get(path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).unwrap();
    router().oneshot(request).await.unwrap()
}

async fn bytes(response: Response) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

async fn text(path: &str) -> String {
    let answer = get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    String::from_utf8(bytes(answer).await).unwrap()
}

fn header(answer: &Response, name: http::HeaderName) -> &str {
    answer.headers().get(name).unwrap().to_str().unwrap()
}

/// What stands in the attributes and imports of a text: places on this very server.
fn places(text: &str) -> Vec<String> {
    let marks = ["src=\"", "href=\"/", " from \"./", "Worker(\""];
    let found = marks.iter().flat_map(|mark| {
        text.split(mark).skip(1).map(|rest| {
            let name = rest.split('"').next().unwrap();
            match *mark {
                "href=\"/" => format!("/{name}"),
                " from \"./" => format!("/page/{name}"),
                _ => name.to_owned(),
            }
        })
    });
    found.collect()
}

#[tokio::test]
async fn whatever_a_page_names_is_served() {
    let mut waiting = vec!["/".to_owned(), "/trust".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = waiting.pop() {
        if seen.contains(&path) {
            continue;
        }
        let answer = get(&path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let is_text = header(&answer, CONTENT_TYPE).contains("charset");
        seen.push(path);
        if is_text {
            waiting.extend(places(&String::from_utf8(bytes(answer).await).unwrap()));
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
    for language in ["en", "es", "de"] {
        assert_eq!(get(&format!("/page/{language}.json")).await.status(), 200);
        assert_eq!(get(&format!("/page/words/{language}.json")).await.status(), 200);
    }
}

#[tokio::test]
async fn every_file_has_its_route_and_is_served_as_it_lies() {
    let folder = format!("{}/assets/tablet", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for (place, under) in [(folder.clone(), "/page/"), (folder + "/decoder", "/page/decoder/")] {
        for entry in std::fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let route = match name {
                "decoder" => continue,
                "index.html" => "/".to_owned(),
                "trust.html" => "/trust".to_owned(),
                _ => format!("{under}{name}"),
            };
            let answer = get(&route).await;
            assert_eq!(answer.status(), 200, "{route}");
            assert!(bytes(answer).await == std::fs::read(&path).unwrap(), "{route}");
            count += 1;
        }
    }
    assert!(count > 20);
}

#[tokio::test]
async fn a_file_is_sent_once_and_asked_for_each_time() {
    let first = get("/page/app.js").await;
    assert_eq!(header(&first, CACHE_CONTROL), "no-cache");
    let known = header(&first, ETAG).to_owned();
    let again = Request::get("/page/app.js").header(IF_NONE_MATCH, known);
    let again = router().oneshot(again.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(again.status(), 304);
    assert!(bytes(again).await.is_empty());
}

#[tokio::test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    for page in ["/", "/trust"] {
        let html = text(page).await;
        assert!(!html.contains("<style") && !html.contains(" style="), "{page}");
        assert!(!html.contains(" on") || !html.contains("=\"javascript"), "{page}");
        let scripts: Vec<_> = html.split("<script").skip(1).collect();
        assert!(scripts.iter().all(|script| script.contains(" src=\"/page/")), "{page}");
        for path in places(&html) {
            assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
        }
    }
    let worker = text("/page/decoder/worker.js").await;
    assert!(!worker.contains("jsdelivr") && !worker.contains("unpkg"));
}

#[tokio::test]
async fn webassembly_is_for_the_decoders_worker_and_for_nothing_else() {
    for path in ["/", "/trust", "/page/app.js", "/trust/ca.json", "/trust/ca.crt"] {
        let answer = get(path).await;
        let policy = header(&answer, CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}");
        for never in ["unsafe", "blob:", "http", "*"] {
            assert!(!policy.contains(never), "{path}: {policy}");
        }
        for always in ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(always), "{path}: {policy}");
        }
    }
    for path in ["/page/decoder/worker.js", "/page/decoder/zxing_reader.wasm"] {
        let answer = get(path).await;
        let policy = header(&answer, CONTENT_SECURITY_POLICY);
        assert!(policy.contains("'wasm-unsafe-eval'") && !policy.contains("'unsafe-eval'"));
    }
    assert_eq!(
        header(&get("/page/decoder/zxing_reader.wasm").await, CONTENT_TYPE),
        "application/wasm"
    );
}

#[tokio::test]
async fn the_certificate_and_its_fingerprint_are_the_stations() {
    let der = get("/trust/ca.crt").await;
    assert_eq!(header(&der, CONTENT_TYPE), "application/x-x509-ca-cert");
    assert!(header(&der, CONTENT_DISPOSITION).contains("zmon-ca.crt"));
    assert_eq!(header(&der, CACHE_CONTROL), "no-store");
    assert_eq!(bytes(der).await, DER);
    assert_eq!(bytes(get("/trust/ca.pem").await).await, PEM.as_bytes());
    let facts = bytes(get("/trust/ca.json").await).await;
    let facts: TrustView = strict::parse(&facts, 4096).unwrap();
    assert_eq!((facts.station_name.as_str(), facts.fingerprint), ("Ward 3", sha256(DER)));
}

#[tokio::test]
async fn pages_are_read_only_and_every_answer_is_protected() {
    for path in ["/", "/trust", "/trust/ca.crt", "/page/app.js"] {
        let answer = get(path).await;
        for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
            assert_eq!(answer.headers().get(name).unwrap(), "same-origin", "{path}");
        }
        assert_eq!(answer.headers().get("referrer-policy").unwrap(), "no-referrer");
        let devices = answer.headers().get("permissions-policy").unwrap().to_str().unwrap();
        assert!(devices.contains("camera=(self)") && devices.contains("microphone=()"));
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let request = Request::builder().method(method).uri(path);
            let answer = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 405, "{path}");
        }
    }
}
