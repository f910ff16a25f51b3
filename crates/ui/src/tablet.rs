//! The station's page for tablets: files, and the certificate that tablets are to trust.
//!
//! What the page asks and watches is the station's interface, which another adapter serves; here is
//! nothing that decides, and no secret. The router has routes and no fallback, so that it can stand
//! beside that interface.
//!
//! | route | what |
//! |---|---|
//! | `/` and `/page/…` | the page: log in, scan or type, choose bed and label, watch |
//! | `/trust` | how a tablet comes to trust this station, and what to compare |
//! | `/trust/ca.crt`, `/trust/ca.pem`, `/trust/ca.json` | the CA's certificate and its fingerprint |

use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use http::HeaderValue;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
};
use zmon_crypto::sha256;
use zmon_domain::ids::StationName;
use zmon_wire::page::TrustView;
use zmon_wire::strict::{self, WireError};

use crate::files::{self, CSS, File, HTML, JSON, SCRIPT, files};

/// Nothing from elsewhere, nothing inline, no frame around it, no form that a browser sends itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; worker-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A worker has a policy of its own. WebAssembly runs there and nowhere else: without a document,
/// and with pictures as its only input.
const DECODER_POLICY: &str =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
const DEVICES_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// The camera for our own page; what no page needs, for none.
const DEVICES: HeaderValue = HeaderValue::from_static(
    "camera=(self), microphone=(), geolocation=(), payment=(), usb=(), bluetooth=()",
);
const WASM: &str = "application/wasm";
const TEXT: &str = "text/plain; charset=utf-8";
const CA: &str = "application/x-x509-ca-cert";
const PEM: &str = "application/x-pem-file";

static PAGE: &[File] = files! {
    "/": "tablet/index.html", HTML;
    "/trust": "tablet/trust.html", HTML;
    "/page/base.css": "base.css", CSS;
    "/page/app.css": "tablet/app.css", CSS;
    "/page/app.js": "tablet/app.js", SCRIPT;
    "/page/api.js": "tablet/api.js", SCRIPT;
    "/page/bed.js": "tablet/bed.js", SCRIPT;
    "/page/blink.js": "tablet/blink.js", SCRIPT;
    "/page/camera.js": "tablet/camera.js", SCRIPT;
    "/page/code.js": "tablet/code.js", SCRIPT;
    "/page/courier.js": "tablet/courier.js", SCRIPT;
    "/page/dom.js": "tablet/dom.js", SCRIPT;
    "/page/follow.js": "tablet/follow.js", SCRIPT;
    "/page/login.js": "tablet/login.js", SCRIPT;
    "/page/qr.js": "tablet/qr.js", SCRIPT;
    "/page/round.js": "tablet/round.js", SCRIPT;
    "/page/scan.js": "tablet/scan.js", SCRIPT;
    "/page/signal.js": "tablet/signal.js", SCRIPT;
    "/page/steps.js": "tablet/steps.js", SCRIPT;
    "/page/texts.js": "tablet/texts.js", SCRIPT;
    "/page/trust.js": "tablet/trust.js", SCRIPT;
    "/page/typed.js": "tablet/typed.js", SCRIPT;
    "/page/en.json": "tablet/en.json", JSON;
    "/page/es.json": "tablet/es.json", JSON;
    "/page/de.json": "tablet/de.json", JSON;
    // What device and station say alike: errors, steps, sides, roles.
    "/page/words/en.json": "en.json", JSON;
    "/page/words/es.json": "es.json", JSON;
    "/page/words/de.json": "de.json", JSON;
};

static DECODER: &[File] = files! {
    "/page/decoder/worker.js": "tablet/decoder/worker.js", SCRIPT;
    "/page/decoder/zxing_reader.wasm": "tablet/decoder/zxing_reader.wasm", WASM;
    "/page/decoder/LICENSES.txt": "tablet/decoder/LICENSES.txt", TEXT;
};

/// The CA whose certificate tablets are to trust.
#[derive(Debug, Clone)]
pub struct TrustedCa {
    /// The station's name, for people.
    pub station: StationName,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// The same, PEM.
    pub pem: String,
}

/// The pages, for a listener of operators.
///
/// # Errors
/// When the facts about the CA have no JSON form.
pub fn pages(ca: TrustedCa) -> Result<Router, WireError> {
    let facts = TrustView { station_name: ca.station, fingerprint: sha256(&ca.der) };
    let facts = strict::to_vec(&facts)?;
    let decoder = files::routes(DECODER).layer(map_response(async |mut answer: Response| {
        let policy = HeaderValue::from_static(DECODER_POLICY);
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        answer
    }));
    let router = files::routes(PAGE)
        .merge(decoder)
        .route("/trust/ca.json", get(async move || answer(JSON, facts)))
        .route("/trust/ca.crt", get(async move || download(CA, ca.der, "zmon-ca.crt")))
        .route(
            "/trust/ca.pem",
            get(async move || download(PEM, ca.pem.into_bytes(), "zmon-ca.pem")),
        )
        .layer(map_response(async |mut answer: Response| {
            files::protect(&mut answer, POLICY);
            answer.headers_mut().insert(DEVICES_POLICY, DEVICES);
            answer
        }));
    Ok(router)
}

fn answer(media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn download(media_type: &'static str, body: Vec<u8>, name: &str) -> Response {
    let mut response = answer(media_type, body);
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}
