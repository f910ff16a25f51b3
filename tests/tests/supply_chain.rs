//! What the project is built from (T38): facts of its own files, checked without network.

use std::fs;

use zmon_tests::documents;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_crate_forbids_unsafe_code() {
    let workspace = documents::read("Cargo.toml").unwrap();
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let mut seen = 0;
    for folder in ["crates", "bins"] {
        for entry in fs::read_dir(documents::root().join(folder)).unwrap() {
            let path = entry.unwrap().path().join("Cargo.toml");
            let manifest = fs::read_to_string(&path).unwrap();
            assert!(manifest.contains("[lints]\nworkspace = true\n"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(documents::read("tests/Cargo.toml").unwrap().contains("[lints]\nworkspace = true\n"));
    assert!(seen > 10, "{seen} crates");
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
