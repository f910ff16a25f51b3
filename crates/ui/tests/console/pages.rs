//! Every file of the console as it is served.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use http::{Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;
use zmon_domain::ids::StationName;
use zmon_ui::console;
use zmon_ui::tablet::{self, TrustedCa};

/// As the station's binary puts them together.
fn router() -> Router {
    let station = StationName::parse("Ward 3").unwrap();
    let ca = TrustedCa { station, der: b"a certificate".to_vec(), pem: String::new() };
    tablet::pages(ca).unwrap().merge(console::pages())
}

async fn get(path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).unwrap();
    router().oneshot(request).await.unwrap()
}

async fn bytes(response: Response) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

fn header(response: &Response, name: http::HeaderName) -> &str {
    response.headers().get(name).unwrap().to_str().unwrap()
}

fn files() -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/assets/console", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let route = match name {
            "index.html" => "/console".to_owned(),
            _ => format!("/console/{name}"),
        };
        (route, std::fs::read(&path).unwrap())
    };
    entries.map(file).collect()
}

/// What is between `marks` and the next quote.
fn after<'t>(text: &'t str, marks: &[&str]) -> Vec<&'t str> {
    let rest = marks.iter().flat_map(|mark| text.split(mark).skip(1));
    rest.filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn every_file_has_its_route_and_is_served_as_it_lies() {
    let files = files();
    assert!(files.len() > 15);
    for (route, content) in files {
        let answer = get(&route).await;
        assert_eq!(answer.status(), 200, "{route}");
        assert_eq!(header(&answer, CACHE_CONTROL), "no-cache");
        let known = header(&answer, ETAG).to_owned();
        assert!(bytes(answer).await == content, "{route}");
        let again = Request::get(&route).header(IF_NONE_MATCH, known).body(Body::empty()).unwrap();
        assert_eq!(router().oneshot(again).await.unwrap().status(), 304, "{route}");
    }
}

#[tokio::test]
async fn nothing_is_inline_and_whatever_the_page_loads_is_there() {
    for (route, content) in files() {
        let text = String::from_utf8(content).unwrap();
        for never in ["<style", " style=", "javascript:", "innerHTML", "http:", "https:"] {
            assert!(!text.contains(never), "{route}: {never}");
        }
        let marks = [" src=\"", " from \"", "rel=\"stylesheet\" href=\""];
        for path in after(&text, &marks) {
            assert!(path.starts_with('/') && !path.starts_with("//"), "{route}: {path}");
            assert_eq!(get(path).await.status(), 200, "{route}: {path}");
        }
    }
}

#[tokio::test]
async fn the_page_is_read_only_and_every_answer_is_protected() {
    for path in ["/console", "/console/app.js", "/console/app.css", "/console/en.json"] {
        let answer = get(path).await;
        let policy = header(&answer, CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        for never in ["unsafe", "worker-src", "blob:", "http", "*"] {
            assert!(!policy.contains(never), "{path}: {policy}");
        }
        for always in ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(always), "{path}: {policy}");
        }
        assert!(answer.headers()["permissions-policy"].to_str().unwrap().contains("camera=()"));
        for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
            assert_eq!(answer.headers()[name], "same-origin", "{path}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let request = Request::builder().method(method).uri(path);
            let answer = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 405, "{path}");
        }
    }
}
