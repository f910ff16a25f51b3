//! The token by which a monitoring system reads the station's figures: a line in a file of its own,
//! so that it stands in no command line and no settings file.

use std::path::Path;

use zmon_cli::Failure;
use zmon_domain::error::ErrorCode;
use zmon_persistence::{Protection, read_file};
use zmon_transport::station_api::ScrapeToken;

use crate::{settings::METRICS_TOKEN_FILE, stored};

/// Longest file, in bytes.
const FILE_MAX: usize = 1_024;

/// Reads the token; the path is relative to the station's directory.
///
/// # Errors
/// A usage failure for a file that is absent or holds no token; `key_file_mode_too_wide` or
/// `key_file_is_symlink` for one that others could read.
pub(crate) fn load(dir: &Path, file: &Path) -> Result<ScrapeToken, Failure> {
    let path = dir.join(file);
    let refused = |rule: &'static str| {
        Failure::usage(METRICS_TOKEN_FILE, rule).context(path.display().to_string())
    };
    let bytes = read_file(&path, FILE_MAX, Protection::Private).map_err(|error| {
        if error.code() == ErrorCode::NotInitialised {
            return refused("must name a file that exists");
        }
        stored(error)
    })?;
    let text = core::str::from_utf8(&bytes).map_err(|_| refused("must name a text file"))?;
    ScrapeToken::parse(text.trim_end_matches(['\r', '\n'])).map_err(|error| {
        Failure::from(error).at(METRICS_TOKEN_FILE).context(path.display().to_string())
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn only_a_private_file_with_one_token_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = Path::new("metrics.token");
        let path = dir.path().join(file);
        let write = |text: &[u8], mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let refused = || load(dir.path(), file).err().unwrap();
        let token = "0123456789abcdef0123456789abcdef";
        assert_eq!(refused().report().detail.unwrap().field(), METRICS_TOKEN_FILE);
        for bad in [&b"short"[..], b"", b"\xff", format!("{token}\n{token}\n").as_bytes()] {
            write(bad, 0o600);
            let failure = refused();
            assert_eq!(failure.report().detail.unwrap().field(), METRICS_TOKEN_FILE, "{bad:?}");
        }
        write(format!("{token}\n").as_bytes(), 0o644);
        assert_eq!(refused().code(), ErrorCode::KeyFileModeTooWide);
        write(format!("{token}\n").as_bytes(), 0o600);
        assert!(load(dir.path(), file).unwrap() == ScrapeToken::parse(token).unwrap());
    }
}
