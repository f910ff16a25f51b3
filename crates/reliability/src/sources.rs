//! What a figure is about, as one digest: when it changes, the figure is of other code.

use core::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{LedgerError, Row};

/// Digest of the sources of a [`Row`]: path and content of every file, in order, tests left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(String);

impl Sources {
    /// Of the sources below the project's root.
    ///
    /// # Errors
    /// [`LedgerError::Io`].
    pub fn of(root: &Path, row: &Row) -> Result<Self, LedgerError> {
        let mut files = Vec::new();
        for folder in row.about {
            collect(&root.join(folder), &mut files)?;
        }
        // What it is linked with belongs to it: databases, TLS, ciphers.
        files.push(root.join("Cargo.lock"));
        files.sort();
        let mut digest = Sha256::new();
        for path in files {
            let content = fs::read(&path).map_err(|error| LedgerError::Io(path.clone(), error))?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            for part in [name.as_bytes(), &content] {
                digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                digest.update(part);
            }
        }
        let mut text = String::new();
        for byte in digest.finalize().iter().take(8) {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// Sixteen hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The root of the project.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Every file that is built, not those that test, measure or show it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), LedgerError> {
    let io = |error| LedgerError::Io(folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default();
        if !path.is_dir() {
            files.push(path);
        } else if !["tests", "examples", "benches"].iter().any(|other| name == *other) {
            collect(&path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WARD;

    /// A project with every folder of the row, and one file in the first of them.
    fn project(content: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for folder in WARD.about {
            fs::create_dir_all(dir.path().join(folder).join("src")).unwrap();
        }
        let file = dir.path().join(WARD.about[0]).join("src/lib.rs");
        fs::write(&file, content).unwrap();
        fs::write(dir.path().join("Cargo.lock"), "").unwrap();
        (dir, file)
    }

    #[test]
    fn content_and_names_count_and_tests_do_not() {
        let of = |dir: &tempfile::TempDir| Sources::of(dir.path(), &WARD).unwrap();
        let (dir, file) = project("a");
        let first = of(&dir);
        assert_eq!(first.as_str().len(), 16);
        assert_eq!(first, of(&project("a").0), "wherever the project lies");
        assert_ne!(first, of(&project("b").0));
        let tests = dir.path().join(WARD.about[0]).join("tests");
        fs::create_dir(&tests).unwrap();
        fs::write(tests.join("it.rs"), "").unwrap();
        assert_eq!(first, of(&dir));
        fs::write(dir.path().join("Cargo.lock"), "a newer one").unwrap();
        let linked = of(&dir);
        assert_ne!(first, linked);
        fs::write(dir.path().join("Cargo.lock"), "").unwrap();
        fs::rename(&file, file.with_file_name("main.rs")).unwrap();
        assert_ne!(first, of(&dir));
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Sources::of(dir.path(), &WARD), Err(LedgerError::Io(..))));
    }
}
