//! The files of the page.

use axum::Router;
use zmon_crypto::sha256;

use crate::files::{self, CSS, File, HTML, JSON, SCRIPT, files};

/// Every file, by the path it is served under.
static ASSETS: &[File] = files! {
    "/": "index.html", HTML;
    "/base.css": "base.css", CSS;
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
    let all: Vec<u8> = ASSETS.iter().flat_map(|file| sha256(file.bytes)).collect();
    sha256(&all)
}

/// A route for each file.
pub(super) fn routes() -> Router {
    files::routes(ASSETS)
}
