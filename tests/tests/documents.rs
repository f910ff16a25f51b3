//! The documents against the code they speak about.

#![expect(clippy::unwrap_used, reason = "a panic is the report of a failing test")]

#[path = "documents/members.rs"]
mod members;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use zmon_domain::{audit::EventType, error::ErrorCode, state::ProvisioningState};
use zmon_tests::documents;

/// Words of places and tools that no reader of this project can know.
const FOREIGN: [&str; 5] = ["/work", "/tmp", "shared/", "issue A", "issue B"];

#[test]
fn documents_made_from_code_are_up_to_date() {
    for (path, made) in documents::all().unwrap() {
        let stored = documents::read(path).unwrap();
        let stale =
            "is not what the code says; run: cargo run -p zmon-tests --example generate_docs";
        // Not assert_eq: nobody reads a difference of two whole documents.
        assert!(stored == made, "{path} {stale}");
    }
}

#[test]
fn every_path_is_in_the_protocol() {
    let protocol = documents::read("docs/PROTOCOL.md").unwrap();
    let paths = documents::read("crates/transport/src/paths.rs").unwrap();
    let served: Vec<_> =
        paths.split('"').skip(1).step_by(2).filter(|text| text.starts_with("/api")).collect();
    assert!(served.len() > 10);
    for path in served {
        let listed =
            protocol.contains(&format!(" {path}`")) || protocol.contains(&format!(" {path}?"));
        assert!(listed, "{path} is not in docs/PROTOCOL.md");
    }
}

#[test]
fn every_state_is_in_the_protocol() {
    let protocol = documents::read("docs/PROTOCOL.md").unwrap();
    for state in ProvisioningState::ALL {
        let last = state.as_str().rsplit('.').next().unwrap();
        assert!(names(&protocol, last), "{state} is not in docs/PROTOCOL.md");
    }
}

#[test]
fn codes_and_events_that_documents_name_exist() {
    let sources = sources();
    let known: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.split(|c: char| !(c.is_alphanumeric() || c == '_')))
        .chain(ErrorCode::ALL.iter().map(|code| code.as_str()))
        .chain(EventType::ALL.iter().map(|event| event.as_str()))
        .collect();
    for path in files("docs", "md") {
        let text = fs::read_to_string(&path).unwrap();
        for name in text.lines().flat_map(backticked).filter(|name| is_snake(name)) {
            assert!(known.contains(name), "{}: nothing is named {name}", path.display());
        }
    }
}

#[test]
fn every_label_is_in_the_document_of_keys() {
    let keys = documents::read("docs/CRYPTO.md").unwrap();
    let mut seen = BTreeSet::new();
    for source in sources() {
        for label in source.split("b\"zp1 ").skip(1).filter_map(|rest| rest.split('"').next()) {
            let label = format!("zp1 {label}");
            assert!(keys.contains(&format!("| `{label}` ")), "{label} is not in docs/CRYPTO.md");
            seen.insert(label);
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn documents_stand_alone() {
    for path in files("docs", "md") {
        let text = fs::read_to_string(&path).unwrap();
        for word in FOREIGN {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = documents::root();
    for path in files("docs", "md").into_iter().chain([root.join("README.md")]) {
        let text = fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                let found = path.with_file_name(file).exists();
                assert!(found, "{} links to {target}", path.display());
            }
        }
        for name in text.lines().flat_map(backticked) {
            let file = name.strip_prefix("docs/").unwrap_or(name);
            if Path::new(name).extension().is_some_and(|e| e == "md") {
                let found = root.join("docs").join(file).exists() || root.join(name).exists();
                assert!(found, "{} names {name}", path.display());
            }
        }
    }
}

/// Whether the text has this name as a whole word.
fn names(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name)
}

/// Names in code style of one line.
fn backticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_snake(name: &str) -> bool {
    name.contains('_') && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Files of a folder of the project with this ending, without those in folders below it.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(documents::root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{folder}");
    found
}

fn sources() -> Vec<String> {
    let mut all = Vec::new();
    let mut folders: Vec<_> =
        ["crates", "bins", "migrations", "tests"].map(|top| documents::root().join(top)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "sql" || e == "toml") {
                all.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    all
}
