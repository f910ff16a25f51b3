//! The files of the page, embedded as they lie in `assets/`.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use zmon_crypto::sha256;
use zmon_domain::hex;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";

/// One file.
#[derive(Debug, Clone, Copy)]
struct Asset {
    path: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal: $file:literal, $media_type:expr;)+) => {
        &[$(Asset {
            path: $path,
            media_type: $media_type,
            bytes: include_bytes!(concat!("../../assets/", $file)),
        }),+]
    };
}

/// Every file, by the path it is served under.
static ASSETS: &[Asset] = assets! {
    "/": "index.html", HTML;
    "/app.css": "app.css", CSS;
    "/app.js": "app.js", SCRIPT;
    "/draw.js": "draw.js", SCRIPT;
    "/pin.js": "pin.js", SCRIPT;
    "/texts.js": "texts.js", SCRIPT;
    "/en.json": "en.json", JSON;
    "/es.json": "es.json", JSON;
    "/de.json": "de.json", JSON;
};

/// SHA-256 of all files: another value is another page.
pub(super) fn digest() -> [u8; 32] {
    let all: Vec<u8> = ASSETS.iter().flat_map(|asset| sha256(asset.bytes)).collect();
    sha256(&all)
}

/// A route for each file.
pub(super) fn routes() -> Router {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let tag = etag(asset.bytes);
        router.route(
            asset.path,
            get(move |headers: HeaderMap| {
                let answer = serve(asset, tag.clone(), &headers);
                async { answer }
            }),
        )
    })
}

fn serve(asset: &Asset, tag: HeaderValue, headers: &HeaderMap) -> Response {
    let unchanged = headers.get(IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut response = if unchanged {
        Response::new(Body::empty())
    } else {
        Response::new(Body::from(asset.bytes))
    };
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
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
