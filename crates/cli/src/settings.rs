//! Settings files in TOML: unknown keys are refused, errors name the key, its rule and the line.

use std::{ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, Error};
use zmon_domain::error::{ErrorCode, FieldError};
use zmon_persistence::{Protection, read_file};

use crate::Failure;

/// Longest settings file that is read, in bytes.
const SETTINGS_MAX: usize = 65_536;

/// Reads a settings file; an absent one gives `T::default()`.
///
/// # Errors
/// A usage failure when the file cannot be read, is no regular file or over 64 KiB, is no TOML, or when
/// a key or its value breaks a rule; then the key is named.
pub fn load<T: DeserializeOwned + Default>(path: &Path) -> Result<T, Failure> {
    let bytes = match read_file(path, SETTINGS_MAX, Protection::Regular) {
        Ok(bytes) => bytes,
        Err(error) if error.code() == ErrorCode::NotInitialised => return Ok(T::default()),
        Err(error) => {
            let is_long = error.code() == ErrorCode::StorageCorrupt;
            let rule =
                if is_long { "must have at most 65536 bytes" } else { "must be a readable file" };
            return Err(unusable(FieldError::new(FILE, rule), path, &error.describe()));
        }
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        unusable(FieldError::new(FILE, "must be UTF-8 text"), path, &error.to_string())
    })?;
    toml::from_str(text).map_err(|error| unusable(fault(text, &error), path, &error.to_string()))
}

/// What an error is about when no key can be named.
const FILE: &str = "settings file";

/// The key that an error is about and the rule it broke, without the value.
fn fault(text: &str, error: &Error) -> FieldError {
    let Ok(table) = DeTable::parse(text) else {
        return FieldError::new(FILE, "must be TOML, with each key once");
    };
    let at = error.span().unwrap_or_default().start;
    let holds = |span: Range<usize>| span.contains(&at);
    for (key, value) in table.get_ref() {
        if holds(key.span()) {
            return FieldError::owned(key.get_ref().to_string(), "must be a known key");
        }
        if holds(value.span()) {
            return FieldError::owned(key.get_ref().to_string(), rule(error.message()));
        }
    }
    FieldError::new(FILE, "must be TOML with known keys")
}

/// The rule in the message of an error, which may also quote the value.
fn rule(message: &str) -> String {
    if message.starts_with("must ") {
        return message.to_owned();
    }
    match message.rsplit_once("expected ") {
        Some((_value, expected)) => format!("must be {expected}"),
        None => "must have the form that the help shows".to_owned(),
    }
}

fn unusable(fault: FieldError, path: &Path, cause: &str) -> Failure {
    Failure::from(fault)
        .context(format!("{}: {cause}", path.display()))
        .next("Correct the settings file, then run the command again.")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde::Deserialize;

    use super::*;
    use crate::{ExitClass, logging::LogFormat};

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        listen: Option<SocketAddr>,
        minutes: Option<u64>,
        log_format: Option<LogFormat>,
        names: Vec<String>,
    }

    #[test]
    fn absent_is_default_and_present_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.toml");
        assert_eq!(load::<Sample>(&path).unwrap(), Sample::default());
        std::fs::write(&path, "minutes = 5\n").unwrap();
        assert_eq!(load::<Sample>(&path).unwrap().minutes, Some(5));
    }

    #[test]
    fn a_fault_names_the_key_and_its_rule_but_no_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.toml");
        let cases: [(&[u8], &str, &str); 11] = [
            (b"listn = \"x\"", "listn", "must be a known key"),
            (b"minutes = 5\n[table]\nx = 1", "table", "must be a known key"),
            (b"minutes = \"five expected \"", "minutes", "must be u64"),
            (b"minutes = -1", "minutes", "must be u64"),
            (b"names = \"a\"", "names", "must be a sequence"),
            (b"names = [\"a\", 1]", "names", "must be a string"),
            (b"log_format = \"xml\"", "log_format", "must be `text` or `json`"),
            (b"listen = \"here\"", "listen", "must have the form that the help shows"),
            (b"listen = ", FILE, "must be TOML, with each key once"),
            (b"minutes = 1\nminutes = 2", FILE, "must be TOML, with each key once"),
            (b"\xff", FILE, "must be UTF-8 text"),
        ];
        for (content, field, rule) in cases {
            std::fs::write(&path, content).unwrap();
            let failure = load::<Sample>(&path).unwrap_err();
            assert_eq!(failure.class(), ExitClass::Usage);
            let detail = failure.report().detail.unwrap();
            let shown = String::from_utf8_lossy(content);
            assert_eq!((detail.field(), detail.rule()), (field, rule), "{shown}");
            assert!(failure.to_text().contains("device.toml"));
        }
    }

    #[test]
    fn no_file_is_read_without_bound_or_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.toml");
        let rule = |path: &Path| {
            let detail = load::<Sample>(path).unwrap_err().report().detail.unwrap();
            assert_eq!(detail.field(), FILE);
            detail.rule().to_owned()
        };
        std::fs::write(&path, [b'#'; SETTINGS_MAX + 1]).unwrap();
        assert_eq!(rule(&path), "must have at most 65536 bytes");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(rule(&path), "must be a readable file", "a pipe nobody writes to");
        for unreadable in [dir.path(), Path::new("/dev/zero")] {
            assert_eq!(rule(unreadable), "must be a readable file");
        }
    }
}
