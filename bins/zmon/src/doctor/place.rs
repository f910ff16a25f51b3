//! The directory that is looked at: whose it is, what its settings say, whether it is served from.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml::{Table, Value};
use zmon_cli::Failure;
use zmon_domain::error::{ErrorCode, Side};
use zmon_persistence::{
    DEVICE_DATABASE, PostgresUrl, PrivateDir, Protection, STATION_DATABASE, read_file,
};

/// Settings of a station.
pub(crate) const STATION_SETTINGS: &str = "station.toml";
/// Settings of a device.
pub(crate) const DEVICE_SETTINGS: &str = "device.toml";
/// Longest settings file, in bytes.
const SETTINGS_MAX: usize = 65_536;

/// The directory of a device or a station.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) side: Side,
    /// The settings, or why they cannot be read.
    pub(crate) settings: Result<Table, String>,
}

impl Place {
    /// Looks whose directory it is.
    ///
    /// # Errors
    /// `not_initialised` for one that is neither a device's nor a station's.
    pub(crate) fn find(dir: &Path) -> Result<Self, Failure> {
        let has = |name: &str| dir.join(name).symlink_metadata().is_ok();
        let (side, file) = if has(STATION_SETTINGS) || has(STATION_DATABASE) {
            (Side::Station, STATION_SETTINGS)
        } else if has(DEVICE_SETTINGS) || has(DEVICE_DATABASE) {
            (Side::Device, DEVICE_SETTINGS)
        } else {
            return Err(Failure::new(ErrorCode::NotInitialised)
                .context(format!("{} is no device's and no station's directory", dir.display()))
                .next("Name the directory of a device or of a station."));
        };
        Ok(Self { dir: dir.to_owned(), side, settings: settings(&dir.join(file)) })
    }

    /// The setting `key` as text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.settings.as_ref().ok()?.get(key).and_then(Value::as_str)
    }

    /// The setting `key` as an address with a port that is known before.
    pub(crate) fn address(&self, key: &str) -> Option<SocketAddr> {
        self.text(key)?.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
    }

    /// The database of PostgreSQL, if the settings name one.
    pub(crate) fn database(&self) -> Option<Result<PostgresUrl, Failure>> {
        let url = PostgresUrl::parse(self.text("database")?);
        Some(url.map_err(|error| error.at("database").into()))
    }

    /// Whether a program serves from it now.
    ///
    /// # Errors
    /// Why its lock cannot be looked at.
    pub(crate) fn is_running(&self) -> Result<bool, Failure> {
        match PrivateDir::open(&self.dir) {
            Ok(_free) => Ok(false),
            Err(error) if error.code() == ErrorCode::StateConflict => Ok(true),
            Err(error) => Err(Failure::new(error.code()).context(error.describe())),
        }
    }

    /// The program that serves from it.
    pub(crate) fn program(&self) -> &'static str {
        if self.side == Side::Station { "mock-central-station" } else { "device" }
    }
}

fn settings(path: &Path) -> Result<Table, String> {
    let bytes =
        read_file(path, SETTINGS_MAX, Protection::Regular).map_err(|error| error.describe())?;
    let text = core::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    // The message of the error may quote a value, and a value may be a secret.
    text.parse().map_err(|_| format!("{}: must be TOML, with each key once", path.display()))
}
