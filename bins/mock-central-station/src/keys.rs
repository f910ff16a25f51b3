//! Keys and certificates of a station as files: `keys/*.key` (PKCS#8 DER, 0600) and `*.pem`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand_core::CryptoRng;
use zmon_cli::{Failure, files};
use zmon_crypto::{RootSecret, Secret32, SecretBytes};
use zmon_domain::error::ErrorCode;
use zmon_persistence::{PersistenceError, Protection, read_file};
use zmon_station::ca::{CaError, CaKey, CaMaterial, CaModules, CaParts, ModuleKey};

use crate::stored;

const FOLDER: &str = "keys";
/// Longest key or certificate file, in bytes.
const FILE_MAX: usize = 16_384;

/// What devices are given at imaging.
pub(crate) const ANCHOR: &str = "anchor.pem";
const CLIENT_CA: &str = "client-ca";
const SIGNING: &str = "signing";
const SERVER: &str = "server";
const AUDIT: &str = "audit";

/// The station's root secret.
const ROOT: &str = "root";

/// Where the anchor's key goes when nobody says so.
#[must_use]
pub(crate) fn anchor_key(dir: &Path) -> PathBuf {
    dir.join(FOLDER).join("anchor.key")
}

/// Writes everything of a new authority, the anchor's key to `apart` if that is given.
///
/// # Errors
/// A usage failure for an `apart` that exists or lies in `dir`; what the disk says. Existing files
/// are never replaced.
pub(crate) fn create(
    dir: &Path,
    material: &CaMaterial,
    apart: Option<&Path>,
) -> Result<(), Failure> {
    let parts = material.to_parts().map_err(|error| unusable(&error))?;
    if let (Some(key), Some(file)) = (&parts.anchor_key, apart) {
        outside(dir, file)?;
        files::create_named("--anchor-key", file, key.expose())?;
    }
    files::create_empty_dir(&dir.join(FOLDER))?;
    files::create(&dir.join(ANCHOR), parts.anchor_certificate.as_bytes(), 0o644)?;
    if let (Some(key), None) = (&parts.anchor_key, apart) {
        files::create(&anchor_key(dir), key.expose(), 0o600)?;
    }
    for (name, certificate, key) in [
        (CLIENT_CA, &parts.client_ca_certificate, parts.client_ca_key.file()),
        (SIGNING, &parts.signing_certificate, parts.signing_key.file()),
        (SERVER, &parts.server_certificate, Some(&parts.server_key)),
    ] {
        if let Some(key) = key {
            write_key(dir, name, key)?;
        }
        files::create(&dir.join(format!("{name}.pem")), certificate.as_bytes(), 0o644)?;
    }
    write_key(dir, AUDIT, &parts.audit_key)
}

/// Reads what [`create`] wrote, without the anchor's key: a running station does not need it. Keys in a module
/// are `modules`.
///
/// # Errors
/// `key_file_mode_too_wide`, `key_file_is_symlink`, `key_store_unavailable`, `storage_corrupt`, with the
/// path.
pub(crate) fn load(dir: &Path, modules: CaModules) -> Result<CaMaterial, Failure> {
    let key = |name, module: Option<Arc<dyn ModuleKey>>| match module {
        Some(key) => Ok(CaKey::Module(key)),
        None => read_key(dir, name).map(CaKey::File),
    };
    let parts = CaParts {
        anchor_certificate: read_pem(dir, ANCHOR)?,
        anchor_key: None,
        client_ca_certificate: read_pem(dir, &format!("{CLIENT_CA}.pem"))?,
        client_ca_key: key(CLIENT_CA, modules.client_ca)?,
        signing_certificate: read_pem(dir, &format!("{SIGNING}.pem"))?,
        signing_key: key(SIGNING, modules.signing)?,
        server_certificate: read_pem(dir, &format!("{SERVER}.pem"))?,
        server_key: read_key(dir, SERVER)?,
        audit_key: read_key(dir, AUDIT)?,
    };
    CaMaterial::from_parts(&parts).map_err(|error| {
        Failure::new(ErrorCode::StorageCorrupt).context(format!("{}: {error}", dir.display()))
    })
}

/// The station's root secret, under which running sessions are sealed. A station that was made before there was
/// one gets it now.
///
/// # Errors
/// As [`load`].
pub(crate) fn root(dir: &Path, rng: &mut dyn CryptoRng) -> Result<RootSecret, Failure> {
    let path = dir.join(FOLDER).join(format!("{ROOT}.key"));
    match read_file(&path, FILE_MAX, Protection::Private) {
        Ok(bytes) => {
            let secret = Secret32::from_slice(&bytes).ok_or_else(|| {
                let context = format!("{}: must be {} bytes", path.display(), Secret32::LEN);
                Failure::new(ErrorCode::StorageCorrupt).context(context)
            })?;
            Ok(RootSecret::from_secret(secret))
        }
        Err(error) if error.code() == ErrorCode::NotInitialised => {
            let root = RootSecret::generate(rng);
            files::create(&path, root.as_secret().expose(), 0o600)?;
            Ok(root)
        }
        Err(error) => Err(lost(error)),
    }
}

/// A certificate authority that cannot be made or written.
pub(crate) fn unusable(error: &CaError) -> Failure {
    Failure::new(ErrorCode::Internal).context(error.to_string())
}

/// A copy of the directory must not be a copy of the anchor's key; links do not deceive.
fn outside(dir: &Path, file: &Path) -> Result<(), Failure> {
    let unusable = |error: std::io::Error| {
        Failure::usage("--anchor-key", "must lie in a folder that exists")
            .context(format!("{}: {error}", file.display()))
    };
    let parent = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let parent = parent.canonicalize().map_err(unusable)?;
    if parent.starts_with(dir.canonicalize().map_err(unusable)?) {
        return Err(Failure::usage("--anchor-key", "must lie outside the station's directory"));
    }
    Ok(())
}

fn write_key(dir: &Path, name: &str, key: &SecretBytes) -> Result<(), Failure> {
    files::create(&dir.join(FOLDER).join(format!("{name}.key")), key.expose(), 0o600)
}

fn read_key(dir: &Path, name: &str) -> Result<SecretBytes, Failure> {
    let path = dir.join(FOLDER).join(format!("{name}.key"));
    let bytes = read_file(&path, FILE_MAX, Protection::Private).map_err(lost)?;
    Ok(SecretBytes::copy_from(&bytes))
}

/// Others may read a certificate. Who could change or replace it would choose whom devices trust.
fn read_pem(dir: &Path, name: &str) -> Result<String, Failure> {
    let path = dir.join(name);
    let bytes = read_file(&path, FILE_MAX, Protection::Public).map_err(lost)?;
    let text = core::str::from_utf8(&bytes).map_err(|error| {
        Failure::new(ErrorCode::StorageCorrupt).context(format!("{}: {error}", path.display()))
    })?;
    Ok(text.to_owned())
}

/// A station without one of its files has been initialised, and is damaged.
fn lost(error: PersistenceError) -> Failure {
    if error.code() == ErrorCode::NotInitialised {
        return Failure::new(ErrorCode::KeyStoreUnavailable).context(error.describe());
    }
    stored(error)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use zmon_station::ports::{Clock, Entropy};

    use super::*;
    use crate::{
        settings::SettingsFile,
        system::{SystemClock, SystemEntropy},
    };

    fn material() -> CaMaterial {
        let file = SettingsFile {
            station_id: "st-1".to_owned(),
            station_name: "Ward 3".to_owned(),
            site: "st-mary".to_owned(),
            ..SettingsFile::default()
        };
        let params = file.read().unwrap().authority().unwrap();
        let now = SystemClock.now().wall.unwrap();
        CaMaterial::generate(&params, &mut *SystemEntropy.generator(), now).unwrap()
    }

    fn station() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let material = material();
        create(dir.path(), &material, None).unwrap();
        dir
    }

    #[test]
    fn the_anchors_key_lies_apart_or_nothing_is_made() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("station");
        fs::create_dir(&dir).unwrap();
        let taken = home.path().join("taken.key");
        fs::write(&taken, "other").unwrap();
        std::os::unix::fs::symlink(&dir, home.path().join("link")).unwrap();
        let material = material();
        for wrong in [
            dir.join("anchor.key"),
            home.path().join("link/anchor.key"),
            dir.join("../station/anchor.key"),
            home.path().join("absent/anchor.key"),
            taken.clone(),
        ] {
            let refused = create(&dir, &material, Some(&wrong)).unwrap_err();
            assert_eq!(refused.class(), zmon_cli::ExitClass::Usage, "{}", wrong.display());
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "{}", wrong.display());
        }
        assert_eq!(fs::read(&taken).unwrap(), b"other");

        let apart = home.path().join("safe.key");
        create(&dir, &material, Some(&apart)).unwrap();
        let mode = fs::metadata(&apart).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read(&apart).unwrap(),
            material.to_parts().unwrap().anchor_key.unwrap().expose()
        );
        assert!(!anchor_key(&dir).exists());
        load(&dir, CaModules::default()).unwrap();
    }

    #[test]
    fn keys_read_back_and_are_private() {
        let dir = station();
        load(dir.path(), CaModules::default()).unwrap();
        for entry in fs::read_dir(dir.path().join(FOLDER)).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn the_root_secret_is_made_once_and_read_as_strictly_as_a_key() {
        let dir = station();
        let path = dir.path().join("keys/root.key");
        let made = root(dir.path(), &mut *SystemEntropy.generator()).unwrap();
        let again = root(dir.path(), &mut *SystemEntropy.generator()).unwrap();
        assert!(made.as_secret().ct_eq(again.as_secret()));
        assert_eq!(fs::read(&path).unwrap(), made.as_secret().expose());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let refused = || root(dir.path(), &mut *SystemEntropy.generator()).unwrap_err();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(refused().code(), ErrorCode::KeyFileModeTooWide);
        fs::remove_file(&path).unwrap();
        files::create(&path, &[7; 31], 0o600).unwrap();
        assert_eq!(refused().code(), ErrorCode::StorageCorrupt);
        assert!(refused().to_text().contains("must be 32 bytes"));
    }

    #[test]
    fn a_wide_mode_a_link_damage_and_a_foreign_key_are_refused_by_name() {
        let dir = station();
        let key = dir.path().join("keys/signing.key");
        let refused = || load(dir.path(), CaModules::default()).unwrap_err();

        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(refused().code(), ErrorCode::KeyFileModeTooWide);

        fs::rename(&key, dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", &key).unwrap();
        assert_eq!(refused().code(), ErrorCode::KeyFileIsSymlink);

        fs::remove_file(&key).unwrap();
        assert_eq!(refused().code(), ErrorCode::KeyStoreUnavailable);

        files::create(&key, b"no key", 0o600).unwrap();
        assert_eq!(refused().code(), ErrorCode::StorageCorrupt);

        fs::copy(dir.path().join("keys/server.key"), &key).unwrap();
        assert_eq!(refused().code(), ErrorCode::StorageCorrupt);
        assert!(refused().to_text().contains("signing"));
    }

    #[test]
    fn a_certificate_may_be_read_by_others_and_changed_by_nobody() {
        for name in ["anchor.pem", "client-ca.pem", "signing.pem", "server.pem"] {
            let dir = station();
            let path = dir.path().join(name);
            let refused = || load(dir.path(), CaModules::default()).unwrap_err().code();
            let set_mode =
                |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            for mode in [0o666, 0o664, 0o646, 0o622] {
                set_mode(mode);
                assert_eq!(refused(), ErrorCode::KeyFileModeTooWide, "{name} {mode:o}");
            }
            set_mode(0o444);
            load(dir.path(), CaModules::default()).unwrap();
            set_mode(0o644);

            let whole = fs::read(&path).unwrap();
            for damaged in [&whole[..whole.len() / 2], b"\xff", b"", &[b'a'; 20_000]] {
                fs::write(&path, damaged).unwrap();
                assert_eq!(refused(), ErrorCode::StorageCorrupt, "{name}");
            }
            fs::write(&path, &whole).unwrap();

            let elsewhere = dir.path().join("elsewhere");
            fs::rename(&path, &elsewhere).unwrap();
            assert_eq!(refused(), ErrorCode::KeyStoreUnavailable, "{name}: absent");
            std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
            assert_eq!(refused(), ErrorCode::KeyFileIsSymlink, "{name}");
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
            assert_eq!(refused(), ErrorCode::KeyStoreUnavailable, "{name}: a folder");
        }
    }

    #[test]
    fn a_pipe_in_place_of_a_key_is_not_waited_for() {
        let dir = station();
        let key = dir.path().join("keys/audit.key");
        fs::remove_file(&key).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &key, mode).unwrap();
        assert_eq!(
            load(dir.path(), CaModules::default()).unwrap_err().code(),
            ErrorCode::KeyStoreUnavailable
        );
    }
}
