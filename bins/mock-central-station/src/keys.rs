//! Keys and certificates of a station as files: `keys/*.key` (PKCS#8 DER, 0600) and `*.pem`.

use std::path::Path;

use zmon_cli::{Failure, files};
use zmon_crypto::SecretBytes;
use zmon_domain::error::ErrorCode;
use zmon_station::ca::{CaError, CaMaterial, CaParts};

const FOLDER: &str = "keys";
/// Longest key or certificate file, in bytes.
const FILE_MAX: u64 = 16_384;

/// What devices are given at imaging.
pub(crate) const ANCHOR: &str = "anchor.pem";
const CLIENT_CA: &str = "client-ca";
const SIGNING: &str = "signing";
const SERVER: &str = "server";
const AUDIT: &str = "audit";

/// Writes everything of a new authority.
///
/// # Errors
/// What the disk says; existing files are never replaced.
pub(crate) fn create(dir: &Path, material: &CaMaterial) -> Result<(), Failure> {
    let parts = material.to_parts().map_err(|error| unusable(&error))?;
    files::create_empty_dir(&dir.join(FOLDER))?;
    files::create(&dir.join(ANCHOR), parts.anchor_certificate.as_bytes(), 0o644)?;
    if let Some(key) = &parts.anchor_key {
        write_key(dir, "anchor", key)?;
    }
    for (name, certificate, key) in [
        (CLIENT_CA, &parts.client_ca_certificate, &parts.client_ca_key),
        (SIGNING, &parts.signing_certificate, &parts.signing_key),
        (SERVER, &parts.server_certificate, &parts.server_key),
    ] {
        write_key(dir, name, key)?;
        files::create(&dir.join(format!("{name}.pem")), certificate.as_bytes(), 0o644)?;
    }
    write_key(dir, AUDIT, &parts.audit_key)
}

/// Reads what [`create`] wrote, without the anchor's key: a running station does not need it.
///
/// # Errors
/// `key_file_mode_too_wide`, `key_file_is_symlink`, `storage_corrupt`, with the path.
pub(crate) fn load(dir: &Path) -> Result<CaMaterial, Failure> {
    let parts = CaParts {
        anchor_certificate: read_pem(dir, ANCHOR)?,
        anchor_key: None,
        client_ca_certificate: read_pem(dir, &format!("{CLIENT_CA}.pem"))?,
        client_ca_key: read_key(dir, CLIENT_CA)?,
        signing_certificate: read_pem(dir, &format!("{SIGNING}.pem"))?,
        signing_key: read_key(dir, SIGNING)?,
        server_certificate: read_pem(dir, &format!("{SERVER}.pem"))?,
        server_key: read_key(dir, SERVER)?,
        audit_key: read_key(dir, AUDIT)?,
    };
    CaMaterial::from_parts(&parts).map_err(|error| {
        Failure::new(ErrorCode::StorageCorrupt).context(format!("{}: {error}", dir.display()))
    })
}

/// A certificate authority that cannot be made or written.
pub(crate) fn unusable(error: &CaError) -> Failure {
    Failure::new(ErrorCode::Internal).context(error.to_string())
}

fn write_key(dir: &Path, name: &str, key: &SecretBytes) -> Result<(), Failure> {
    files::create(&dir.join(FOLDER).join(format!("{name}.key")), key.expose(), 0o600)
}

fn read_key(dir: &Path, name: &str) -> Result<SecretBytes, Failure> {
    let path = dir.join(FOLDER).join(format!("{name}.key"));
    let bytes = files::read_private(&path, FILE_MAX)?;
    Ok(SecretBytes::copy_from(&bytes))
}

fn read_pem(dir: &Path, name: &str) -> Result<String, Failure> {
    let path = dir.join(name);
    files::read_text(&path, FILE_MAX)
        .map_err(|failure| Failure::new(ErrorCode::StorageCorrupt).context(failure.to_text()))
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

    fn station() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = SettingsFile {
            station_id: "st-1".to_owned(),
            station_name: "Ward 3".to_owned(),
            site: "st-mary".to_owned(),
            ..SettingsFile::default()
        };
        let params = file.read().unwrap().authority().unwrap();
        let now = SystemClock.now().wall.unwrap();
        let material = CaMaterial::generate(&params, &mut *SystemEntropy.generator(), now).unwrap();
        create(dir.path(), &material).unwrap();
        dir
    }

    #[test]
    fn keys_read_back_and_are_private() {
        let dir = station();
        load(dir.path()).unwrap();
        for entry in fs::read_dir(dir.path().join(FOLDER)).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_wide_mode_a_link_damage_and_a_foreign_key_are_refused_by_name() {
        let dir = station();
        let key = dir.path().join("keys/signing.key");
        let refused = || load(dir.path()).unwrap_err();

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
}
