//! Settings files in TOML: unknown keys are refused, errors name the line.

use std::{io::ErrorKind, path::Path};

use serde::de::DeserializeOwned;

use crate::Failure;

/// Longest settings file that is read, in bytes.
const SETTINGS_MAX: usize = 65_536;

/// Reads a settings file; an absent one gives `T::default()`.
///
/// # Errors
/// A usage failure when the file cannot be read, is over 64 KiB or does not parse.
pub fn load<T: DeserializeOwned + Default>(path: &Path) -> Result<T, Failure> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(unusable(path, "must be a readable file", &error.to_string())),
    };
    if bytes.len() > SETTINGS_MAX {
        return Err(unusable(path, "must have at most 65536 bytes", "it is longer"));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| unusable(path, "must be UTF-8 text", &error.to_string()))?;
    toml::from_str(text)
        .map_err(|error| unusable(path, "must be TOML with known keys", &error.to_string()))
}

fn unusable(path: &Path, rule: &'static str, cause: &str) -> Failure {
    Failure::usage("settings file", rule)
        .context(format!("{}: {cause}", path.display()))
        .next("Correct the settings file, then run the command again.")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::ExitClass;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        listen: Option<String>,
    }

    #[test]
    fn absent_is_default_and_present_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.toml");
        assert_eq!(load::<Sample>(&path).unwrap(), Sample::default());
        std::fs::write(&path, "listen = \"127.0.0.1:0\"\n").unwrap();
        assert_eq!(load::<Sample>(&path).unwrap().listen.as_deref(), Some("127.0.0.1:0"));
    }

    #[test]
    fn bad_files_are_usage_failures_that_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.toml");
        for content in [&b"listn = \"x\""[..], b"listen = ", b"\xff", &[b'#'; SETTINGS_MAX + 1]] {
            std::fs::write(&path, content).unwrap();
            let failure = load::<Sample>(&path).unwrap_err();
            assert_eq!(failure.class(), ExitClass::Usage);
            assert!(failure.to_text().contains("device.toml"));
        }
        assert_eq!(load::<Sample>(dir.path()).unwrap_err().class(), ExitClass::Usage);
    }
}
