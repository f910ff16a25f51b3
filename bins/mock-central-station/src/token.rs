//! The keys of a station that a PKCS#11 token keeps.

use std::{path::Path, sync::Arc};

use zeroize::Zeroizing;
use zmon_cli::Failure;
use zmon_domain::error::ErrorCode;
use zmon_persistence::{PersistenceError, Protection, Token, TokenKey, read_file};
use zmon_station::ca::{CaModules, ModuleKey};

use crate::{
    settings::{PKCS11_PIN_FILE, Pkcs11},
    stored,
};

/// Longest PIN file, in bytes.
const FILE_MAX: usize = 1_024;

/// The keys that were made in the token; none without one.
///
/// # Errors
/// A usage failure for a file that holds no PIN; `key_store_unavailable` when the token cannot be had, refuses
/// the PIN or has no such key.
pub(crate) fn keys(dir: &Path, settings: Option<&Pkcs11>) -> Result<CaModules, Failure> {
    each(dir, settings, Token::key)
}

/// Makes the keys of a new station in the token.
///
/// # Errors
/// As [`keys`]; `state_conflict` for a label that is taken: nothing is ever replaced.
pub(crate) fn make_keys(dir: &Path, settings: Option<&Pkcs11>) -> Result<CaModules, Failure> {
    each(dir, settings, Token::make_key)
}

fn each(
    dir: &Path,
    settings: Option<&Pkcs11>,
    take: impl Fn(&Token, &str) -> Result<TokenKey, PersistenceError>,
) -> Result<CaModules, Failure> {
    let Some(settings) = settings else { return Ok(CaModules::default()) };
    let pin = pin(&dir.join(&settings.pin_file))?;
    let token = Token::open(&settings.module, &settings.token, &pin).map_err(stored)?;
    let key = |label: &Option<String>| {
        let key = label.as_deref().map(|label| take(&token, label)).transpose();
        Ok::<_, Failure>(key.map_err(stored)?.map(|key| Arc::new(key) as Arc<dyn ModuleKey>))
    };
    Ok(CaModules { client_ca: key(&settings.client_ca_key)?, signing: key(&settings.signing_key)? })
}

/// The one line of the file.
fn pin(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let refused = |rule: &'static str| {
        Failure::usage(PKCS11_PIN_FILE, rule).context(path.display().to_string())
    };
    let bytes = read_file(path, FILE_MAX, Protection::Private).map_err(|error| {
        if error.code() == ErrorCode::NotInitialised {
            return refused("must name a file that exists");
        }
        stored(error)
    })?;
    let bytes = Zeroizing::new(bytes);
    let text = core::str::from_utf8(&bytes).map_err(|_| refused("must name a text file"))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(['\r', '\n']) {
        return Err(refused("must name a file with the PIN as its only line"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;

    #[test]
    fn only_a_private_file_with_one_line_is_a_pin() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hsm.pin");
        let write = |text: &[u8], mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert_eq!(pin(&path).unwrap_err().report().detail.unwrap().field(), PKCS11_PIN_FILE);
        for bad in [&b""[..], b"\n", b"1234\n5678\n", b"\xff"] {
            write(bad, 0o600);
            let failure = pin(&path).unwrap_err();
            assert_eq!(failure.report().detail.unwrap().field(), PKCS11_PIN_FILE, "{bad:?}");
        }
        write(b"1234\n", 0o644);
        assert_eq!(pin(&path).unwrap_err().code(), ErrorCode::KeyFileModeTooWide);
        write(b"1234\n", 0o600);
        assert_eq!(&*pin(&path).unwrap(), "1234");
    }

    #[test]
    fn a_module_that_is_not_there_or_is_none_is_refused_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let pin = dir.path().join("hsm.pin");
        fs::write(&pin, "1234\n").unwrap();
        fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
        let none = dir.path().join("none.so");
        fs::write(&none, "no library").unwrap();
        for module in [PathBuf::from("/absent/hsm.so"), none] {
            let settings = Pkcs11 {
                module: module.clone(),
                token: "zmon".to_owned(),
                pin_file: "hsm.pin".into(),
                client_ca_key: Some("ca".to_owned()),
                signing_key: None,
            };
            let failure = keys(dir.path(), Some(&settings)).err().unwrap();
            assert_eq!(failure.code(), ErrorCode::KeyStoreUnavailable);
            assert!(failure.to_text().contains(module.to_str().unwrap()), "{}", failure.to_text());
        }
    }
}
