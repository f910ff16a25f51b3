//! A configuration laid down by hand, as a folder of files ([W §14], `docs/MIGRATION.md`).
//!
//! | file | content |
//! |---|---|
//! | `server.url` | the server, one `https` URL |
//! | `ca.pem` | certificates the server's chain must end in |
//! | `client.pem` | the client's chain, leaf first |
//! | `client.key` | the leaf's private key, PKCS#8 in PEM form |
//! | `settings.json` | optional: label, bed, unit, language, interval |

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::Deserialize;
use zmon_crypto::{CertificateChain, IdentityKey, SoftIdentity, x509};
use zmon_domain::address::ServerUrl;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{BedId, DeviceLabel};
use zmon_domain::settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval};
use zmon_provisioning::ports::{ManualConfiguration, ManualSettings};
use zmon_wire::strict;

use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;

const SERVER: &str = "server.url";
const CA: &str = "ca.pem";
const CLIENT: &str = "client.pem";
const KEY: &str = "client.key";
const SETTINGS: &str = "settings.json";
/// Every file, in the order in which they are removed: the key first.
const FILES: [&str; 5] = [KEY, CLIENT, CA, SERVER, SETTINGS];
/// Longest file, in bytes.
const FILE_MAX: usize = 65_536;

/// The folder a device's settings name.
pub struct ManualFolder {
    path: PathBuf,
}

/// `settings.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsFile {
    #[serde(default)]
    device_label: Option<String>,
    #[serde(default)]
    bed_id: Option<String>,
    #[serde(default)]
    measurement_unit: Option<String>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    sync_interval: Option<u64>,
}

impl ManualFolder {
    /// The folder at `path`, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, ErrorReport> + Send + 'static,
    ) -> Result<T, ErrorReport> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || work(&path)).await.map_err(|error| {
            PersistenceError::caused_by(ErrorCode::Internal, "the folder did not answer", error)
        })?
    }
}

#[async_trait]
impl ManualConfiguration for ManualFolder {
    async fn find(&self) -> Result<Option<ManualSettings>, ErrorReport> {
        self.blocking(find).await
    }

    async fn remove(&self) -> Result<(), ErrorReport> {
        self.blocking(|path| Ok(remove(path)?)).await
    }
}

fn find(path: &Path) -> Result<Option<ManualSettings>, ErrorReport> {
    let Some(dir) = open(path)? else { return Ok(None) };
    if !FILES.iter().map(|name| dir.contains(name)).collect::<Result<Vec<_>>>()?.contains(&true) {
        return Ok(None);
    }
    let url = String::from_utf8(read(&dir, SERVER)?.to_vec());
    let url = url.map_err(|_| invalid(SERVER, "must be text"))?;
    let server_url = ServerUrl::parse(url.trim()).map_err(|error| named(SERVER, &error))?;
    let chain = |name| {
        CertificateChain::from_pem(&read(&dir, name)?)
            .map_err(|_| invalid(name, "must be certificates in PEM form"))
    };
    let _authorities = chain(CA)?;
    let client = chain(CLIENT)?;
    let key = SoftIdentity::from_pem(&read(&dir, KEY)?)
        .map_err(|_| invalid(KEY, "must be one PKCS#8 private key in PEM form"))?;
    let of_the_certificate = x509::spki_thumbprint(client.leaf())
        .map_err(|_| invalid(CLIENT, "must begin with a certificate of X.509 v3"))?;
    if key.public().thumbprint() != of_the_certificate {
        return Err(invalid(KEY, "must be the key of the first certificate of client.pem"));
    }
    Ok(Some(ManualSettings::new(server_url, settings(&dir)?)))
}

fn settings(dir: &PrivateDir) -> Result<DeviceSettings, ErrorReport> {
    let mut settings = DeviceSettings::default();
    if !dir.contains(SETTINGS)? {
        return Ok(settings);
    }
    let file: SettingsFile = strict::parse(&read(dir, SETTINGS)?, FILE_MAX)
        .map_err(|error| error.report(ErrorCode::ManualConfigurationInvalid))?;
    let rule = |error: FieldError| named(SETTINGS, &error);
    settings.label =
        file.device_label.map(|text| DeviceLabel::parse(&text)).transpose().map_err(rule)?;
    settings.bed = file.bed_id.map(|text| BedId::parse(&text)).transpose().map_err(rule)?;
    if let Some(unit) = file.measurement_unit {
        settings.unit = MeasurementUnit::parse(&unit).map_err(rule)?;
    }
    if let Some(language) = file.language {
        settings.language = Language::parse(&language).map_err(rule)?;
    }
    if let Some(seconds) = file.sync_interval {
        settings.sync_interval = SyncInterval::from_secs(seconds).map_err(rule)?;
    }
    Ok(settings)
}

/// A run that was cut short is taken up by the next: what is gone is no error.
fn remove(path: &Path) -> Result<()> {
    let Some(dir) = open(path)? else { return Ok(()) };
    FILES.iter().try_for_each(|name| dir.destroy_file(name))?;
    drop(dir);
    // Other files in the folder are not ours: then it stays.
    match std::fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) => {
            let context = format!("{}: cannot be removed", path.display());
            Err(PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error))
        }
    }
}

fn open(path: &Path) -> Result<Option<PrivateDir>> {
    match PrivateDir::open_shared(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.code() == ErrorCode::NotInitialised => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(dir: &PrivateDir, name: &'static str) -> Result<zeroize::Zeroizing<Vec<u8>>, ErrorReport> {
    dir.read(name, FILE_MAX).map_err(|error| {
        if error.code() == ErrorCode::NotInitialised {
            return invalid(name, "must be there");
        }
        if error.code() == ErrorCode::StorageCorrupt {
            return invalid(name, "must have at most 65536 bytes");
        }
        tracing::warn!(error = %error.describe(), "the manual configuration cannot be read");
        error.into()
    })
}

fn invalid(file: &'static str, rule: &'static str) -> ErrorReport {
    ErrorReport::field(ErrorCode::ManualConfigurationInvalid, FieldError::new(file, rule))
}

/// A field of a file: `settings.json language must be …`.
fn named(file: &'static str, error: &FieldError) -> ErrorReport {
    let field = FieldError::owned(format!("{file} {}", error.field()), error.rule().to_owned());
    ErrorReport::field(ErrorCode::ManualConfigurationInvalid, field)
}

impl fmt::Debug for ManualFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualFolder").field("path", &self.path).finish()
    }
}
