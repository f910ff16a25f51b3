//! The documents under `docs/` that are made from code, whole or in part.
//!
//! `cargo run -p zmon-tests --example generate_docs` writes them; a test compares them.

mod example;
mod layout;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zmon_domain::{error, limits, role};
use zmon_reliability::{Ledger, LedgerError};

use crate::openapi::{self, OpenApiError};

const LIMITS_HEAD: &str = "# Limits

Made from the table in `crates/domain/src/limits.rs`, the only home of defaults; a test compares the two.
`default` holds when nothing is configured; what is named under `set by`, a file or a type of the
libraries, may choose from `range`, both ends included.
Whatever lies outside is refused with the name and the range. The error correction of the QR code is
level H ([I §8]) and cannot be changed.

";
const ROLES_HEAD: &str = "# Roles

Made from the table in `crates/domain/src/role/action.rs`; a test compares the two. Device and Central
Station read this one table (D22). A person without the right is refused with `not_permitted` and an audit
row; what needs no PIN is audited as `local`, someone at the device. Looking at a device (state, code, link
and its own log) needs no PIN either and is no action here; reading registry and log is the station's.

";
const BEGIN: &str = "<!-- worked example: begin -->\n";
const END: &str = "<!-- worked example: end -->\n";
const TABLE_BEGIN: &str = "<!-- reliability: begin -->\n";
const TABLE_END: &str = "<!-- reliability: end -->\n";

/// Why a document could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// A file of the project cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A published vector lacks a member, or the code does not accept it.
    #[error("the vectors of suite {0}: {1}")]
    Vector(u8, String),
    /// A document has lost the markers between which something is made.
    #[error("{0} has lost its two markers")]
    Markers(&'static str),
    /// The ledger of long runs, or what its rows are about.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An OpenAPI document cannot be made.
    #[error(transparent)]
    OpenApi(#[from] OpenApiError),
}

/// Every document that is made from code: its path under the project's root, and its text.
///
/// # Errors
/// A [`DocumentError`] when a source is missing or does not fit the code.
pub fn all() -> Result<Vec<(&'static str, String)>, DocumentError> {
    Ok(vec![
        ("docs/ERRORS.md", error::markdown()),
        ("docs/LIMITS.md", [LIMITS_HEAD, &limits::markdown()].concat()),
        ("docs/ROLES.md", [ROLES_HEAD, &role::markdown()].concat()),
        ("docs/PROTOCOL.md", protocol()?),
        ("docs/RELIABILITY.md", reliability()?),
        ("docs/openapi.json", openapi::station()?),
        ("docs/openapi-device.json", openapi::device()?),
    ])
}

/// Reads a file of the project.
///
/// # Errors
/// [`DocumentError::Io`].
pub fn read(path: &str) -> Result<String, DocumentError> {
    let path = root().join(path);
    fs::read_to_string(&path).map_err(|error| DocumentError::Io(path, error))
}

/// Writes every document that is made from code.
///
/// # Errors
/// As [`all`], and [`DocumentError::Io`].
pub fn write() -> Result<(), DocumentError> {
    for (path, text) in all()? {
        let path = root().join(path);
        fs::write(&path, text).map_err(|error| DocumentError::Io(path, error))?;
    }
    Ok(())
}

/// The root of the project.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The protocol with its worked example made anew.
fn protocol() -> Result<String, DocumentError> {
    let first = example::p256(&read("docs/vectors/pairing-p256.json")?)?;
    let second = example::rsa2048(&read("docs/vectors/pairing-rsa2048.json")?)?;
    between("docs/PROTOCOL.md", BEGIN, END, &[&first, &second])
}

/// What long runs have counted.
fn reliability() -> Result<String, DocumentError> {
    let ledger = Ledger::read(&root().join(zmon_reliability::PATH))?;
    let table = zmon_reliability::markdown(&ledger, &root())?;
    between("docs/RELIABILITY.md", TABLE_BEGIN, TABLE_END, &[&table])
}

/// A document with what stands between two markers made anew.
fn between(
    path: &'static str,
    begin: &str,
    end: &str,
    made: &[&str],
) -> Result<String, DocumentError> {
    let text = read(path)?;
    let (before, rest) = text.split_once(begin).ok_or(DocumentError::Markers(path))?;
    let (_, after) = rest.split_once(end).ok_or(DocumentError::Markers(path))?;
    Ok([before, begin, &made.concat(), end, after].concat())
}
