//! Files of a page, embedded as they lie in `assets/`, and how they are served.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    REFERRER_POLICY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use zmon_crypto::sha256;
use zmon_domain::hex;

pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const CSS: &str = "text/css; charset=utf-8";
pub(crate) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(crate) const JSON: &str = "application/json";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// One file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) bytes: &'static [u8],
}

macro_rules! files {
    ($($path:literal: $file:literal, $media_type:expr;)+) => {
        &[$($crate::files::File {
            path: $path,
            media_type: $media_type,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $file)),
        }),+]
    };
}
pub(crate) use files;

/// A route for each file.
pub(crate) fn routes(files: &'static [File]) -> Router {
    files.iter().fold(Router::new(), |router, file| {
        let tag = etag(file.bytes);
        router.route(
            file.path,
            get(move |headers: HeaderMap| {
                let answer = serve(file, tag.clone(), &headers);
                async { answer }
            }),
        )
    })
}

/// Tells the browser what the page may do: `policy` unless the answer has one of its own.
pub(crate) fn protect(response: &mut Response, policy: &'static str) {
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
}

fn serve(file: &File, tag: HeaderValue, headers: &HeaderMap) -> Response {
    let unchanged = headers.get(IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut response = if unchanged {
        Response::new(Body::empty())
    } else {
        Response::new(Body::from(file.bytes))
    };
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    // Kept, but asked for again each time: a page is never older than its program.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, tag);
    response
}

fn etag(bytes: &[u8]) -> HeaderValue {
    let text = format!("\"{}\"", hex::encode(&sha256(bytes)));
    // Hexadecimal between quotes is a header value; without one, the file is sent each time.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
}
