//! The OpenAPI documents of the HTTP interfaces, made from code: the operations are
//! [`zmon_transport::contract`]'s, the messages those of `zmon_wire`, the examples its golden files.

mod document;
pub mod forms;
mod messages;

use std::io;
use std::path::PathBuf;

use serde_json::Value;
use zmon_transport::{device_listener, station_api};

pub use self::document::goldens;
use self::document::{About, Builder};

/// Why a document could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenApiError {
    /// A source cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A source is not Rust as it is understood here.
    #[error(transparent)]
    Syntax(#[from] syn::Error),
    /// A source says something that has no schema yet: add it where its kin is.
    #[error("{0} that has no schema here: {1}")]
    Strange(&'static str, String),
    /// A golden file cannot be read.
    #[error("{0}")]
    Document(String),
    /// A golden file or a document is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The document of a Central Station.
///
/// # Errors
/// An [`OpenApiError`] when a source is not understood.
pub fn station() -> Result<String, OpenApiError> {
    let mut builder = Builder::new()?;
    for listener in station_api::contract::listeners() {
        for operation in &listener.operations {
            builder.add(listener.name, operation)?;
        }
    }
    written(&builder.finish(About::station())?)
}

/// The document of a monitor's own listener.
///
/// # Errors
/// As [`station`].
pub fn device() -> Result<String, OpenApiError> {
    let mut builder = Builder::new()?;
    for operation in &device_listener::operations() {
        builder.add("monitor", operation)?;
    }
    written(&builder.finish(About::device())?)
}

/// JSON in ASCII: patterns name characters that no editor shows.
fn written(document: &Value) -> Result<String, OpenApiError> {
    let mut ascii = String::new();
    for character in serde_json::to_string_pretty(document)?.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            ascii.push(character);
            continue;
        }
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            ascii.push_str(&format!("\\u{unit:04x}"));
        }
    }
    ascii.push('\n');
    Ok(ascii)
}
