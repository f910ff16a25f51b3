//! The software bill of materials: what the programs are made of, in the form of CycloneDX 1.5.
//!
//! `cargo run -p zmon-tests --example sbom > sbom.cdx.json` writes it. Names, licences and the graph come from `cargo metadata`,
//! versions and hashes from `Cargo.lock`; a test holds the two together.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Map, Value, json};
use toml::Table;

use crate::documents::{self, DocumentError};

/// Why there is no bill.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SbomError {
    /// `Cargo.lock` cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// `cargo metadata` failed, or said something else than it does.
    #[error("cargo metadata: {0}")]
    Metadata(String),
    /// `Cargo.lock` is no lock file.
    #[error("Cargo.lock: {0}")]
    Lock(String),
}

/// The bill of everything in `Cargo.lock`: what ships, what builds it and what tests it. The same lock
/// file gives the same bytes.
///
/// # Errors
/// [`SbomError`].
pub fn cyclone_dx() -> Result<Value, SbomError> {
    let hashes = hashes()?;
    let metadata = metadata()?;
    let list = |value: &Value, name: &str| -> Result<Vec<Value>, SbomError> {
        let found = value.get(name).and_then(Value::as_array).cloned();
        found.ok_or_else(|| SbomError::Metadata(format!("no list {name}")))
    };
    let packages = list(&metadata, "packages")?;
    let mut names = BTreeMap::new();
    let mut components = BTreeMap::new();
    for package in &packages {
        let text = |name: &str| package.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        let reference = format!("pkg:cargo/{name}@{version}");
        names.insert(text("id").to_owned(), reference.clone());
        let is_ours = package.get("source").is_none_or(Value::is_null);
        let mut component = Map::from_iter([
            ("type".to_owned(), json!(if is_ours { "application" } else { "library" })),
            ("bom-ref".to_owned(), json!(reference)),
            ("name".to_owned(), json!(name)),
            ("version".to_owned(), json!(version)),
            ("purl".to_owned(), json!(reference)),
            ("supplier".to_owned(), json!({ "name": supplier(package) })),
            ("licenses".to_owned(), json!([{ "expression": text("license") }])),
        ]);
        if let Some(hash) = hashes.get(&(name.to_owned(), version.to_owned())) {
            let hash = json!([{ "alg": "SHA-256", "content": hash }]);
            component.insert("hashes".to_owned(), hash);
        }
        components.insert(reference, Value::Object(component));
    }
    let resolve = metadata.get("resolve").cloned().unwrap_or_default();
    let mut graph = BTreeMap::new();
    for node in list(&resolve, "nodes")? {
        let id = node.get("id").and_then(Value::as_str).unwrap_or_default();
        let of = |id: &str| names.get(id).cloned();
        let reference = of(id).ok_or_else(|| SbomError::Metadata(format!("{id} is unknown")))?;
        let mut on: Vec<_> =
            list(&node, "dependencies")?.iter().filter_map(|on| of(on.as_str()?)).collect();
        on.sort();
        graph.insert(reference.clone(), json!({ "ref": reference, "dependsOn": on }));
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": "zmon-workspace",
            "name": "z-monitor-provisioning",
            "version": env!("CARGO_PKG_VERSION"),
        } },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": graph.into_values().collect::<Vec<_>>(),
    }))
}

/// SHA-256 of every package of the lock file that came from a registry, in hexadecimal digits.
fn hashes() -> Result<BTreeMap<(String, String), String>, SbomError> {
    let lock = documents::read("Cargo.lock")?;
    let lock: Table = lock.parse().map_err(|error| SbomError::Lock(format!("{error}")))?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let packages = packages.ok_or_else(|| SbomError::Lock("no packages".to_owned()))?;
    let member = |package: &toml::Value, name: &str| {
        package.get(name).and_then(toml::Value::as_str).map(str::to_owned)
    };
    let entries = packages.iter().filter_map(|package| {
        let key = (member(package, "name")?, member(package, "version")?);
        Some((key, member(package, "checksum")?))
    });
    Ok(entries.collect())
}

fn metadata() -> Result<Value, SbomError> {
    let failed = |cause: String| SbomError::Metadata(cause);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(documents::root())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// Who made a package: its authors, else where it is developed.
fn supplier(package: &Value) -> String {
    let authors = package.get("authors").and_then(Value::as_array).into_iter().flatten();
    let authors: Vec<_> = authors.filter_map(Value::as_str).collect();
    if !authors.is_empty() {
        return authors.join(", ");
    }
    package.get("repository").and_then(Value::as_str).unwrap_or("crates.io").to_owned()
}
