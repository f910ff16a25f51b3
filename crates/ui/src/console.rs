//! The station's console: files. What it asks is the station's interface, as for the page for tablets,
//! whose login, texts and small words it shares.
//!
//! | route | what |
//! |---|---|
//! | `/console` and `/console/…` | the page: overview, monitors, beds, batches, certificates, operators, audit log, policy |

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use http::HeaderValue;
use http::header::HeaderName;

use crate::files::{self, CSS, File, HTML, JSON, SCRIPT, files};

/// Nothing from elsewhere, nothing inline, no frame around it, no form that a browser sends itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const DEVICES_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const DEVICES: HeaderValue = HeaderValue::from_static(
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), bluetooth=()",
);

static PAGE: &[File] = files! {
    "/console": "console/index.html", HTML;
    "/console/app.css": "console/app.css", CSS;
    "/console/app.js": "console/app.js", SCRIPT;
    "/console/api.js": "console/api.js", SCRIPT;
    "/console/ask.js": "console/ask.js", SCRIPT;
    "/console/audit.js": "console/audit.js", SCRIPT;
    "/console/batches.js": "console/batches.js", SCRIPT;
    "/console/beds.js": "console/beds.js", SCRIPT;
    "/console/certificates.js": "console/certificates.js", SCRIPT;
    "/console/changes.js": "console/changes.js", SCRIPT;
    "/console/device.js": "console/device.js", SCRIPT;
    "/console/export.js": "console/export.js", SCRIPT;
    "/console/fleet.js": "console/fleet.js", SCRIPT;
    "/console/operators.js": "console/operators.js", SCRIPT;
    "/console/overview.js": "console/overview.js", SCRIPT;
    "/console/policy.js": "console/policy.js", SCRIPT;
    "/console/say.js": "console/say.js", SCRIPT;
    "/console/table.js": "console/table.js", SCRIPT;
    "/console/timeline.js": "console/timeline.js", SCRIPT;
    "/console/en.json": "console/en.json", JSON;
    "/console/es.json": "console/es.json", JSON;
    "/console/de.json": "console/de.json", JSON;
};

/// The page, for a listener of operators that shows the page for tablets too.
pub fn pages() -> Router {
    files::routes(PAGE).layer(map_response(async |mut answer: Response| {
        files::protect(&mut answer, POLICY);
        answer.headers_mut().insert(DEVICES_POLICY, DEVICES);
        answer
    }))
}
