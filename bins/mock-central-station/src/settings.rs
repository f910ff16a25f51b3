//! Settings of a station: `station.toml` in its directory, then the environment, then flags.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use zmon_cli::{
    Failure, files,
    logging::{Filter, LogFormat},
    settings,
};
use zmon_crypto::Suite;
use zmon_domain::{
    address::{Network, NetworkPolicy},
    error::{ErrorCode, FieldError},
    ids::{InstanceName, SiteId, StationId, StationName},
    limits,
};
use zmon_persistence::PostgresUrl;
use zmon_protocol::station::DeviceTrust;
use zmon_station::EnrolmentPolicy;
use zmon_station::ca::{CaParams, ServerName};
use zmon_wire::secret::SecretText;

use crate::args::{Logging, Pkcs11Args, Run};

/// Name of the settings file; it is written last by `init`, so that it marks a whole station.
pub(crate) const FILE: &str = "station.toml";

/// The file as it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettingsFile {
    pub(crate) station_id: String,
    pub(crate) station_name: String,
    pub(crate) site: String,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) device_listen: Option<SocketAddr>,
    pub(crate) server_names: Vec<String>,
    pub(crate) device_networks: Vec<String>,
    pub(crate) unregistered_devices: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_trust: Option<Vec<DeviceTrustName>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) factory_anchors: Vec<PathBuf>,
    pub(crate) recovery: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) est: Option<EstName>,
    pub(crate) station_made_keys: bool,
    pub(crate) proximity: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suites: Option<Vec<SuiteName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch_concurrency: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pkcs11_module: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pkcs11_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pkcs11_pin_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pkcs11_client_ca_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pkcs11_signing_key: Option<String>,
    pub(crate) instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<LogFormat>,
}

/// Types of identity keys, by the names that `device init` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SuiteName {
    /// ECDSA P-256 (suite 1).
    P256,
    /// RSA-2048 (suite 2).
    Rsa2048,
}

/// Grounds on which devices are believed besides `unregistered_devices` (D9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DeviceTrustName {
    /// A row of a manifest, or of an earlier pairing.
    Registry,
    /// A certificate of the maker.
    Factory,
}

/// Who may fetch a certificate by EST (RFC 7030, D26).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum EstName {
    /// Nobody.
    #[default]
    Off,
    /// Devices that show their current certificate.
    Reenroll,
    /// Those, and devices with a credential that an administrator has made.
    Enroll,
}

impl From<EstName> for EnrolmentPolicy {
    fn from(name: EstName) -> Self {
        match name {
            EstName::Off => Self::Off,
            EstName::Reenroll => Self::Reenroll,
            EstName::Enroll => Self::Enroll,
        }
    }
}

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::P256 => Self::P256,
            SuiteName::Rsa2048 => Self::Rsa2048,
        }
    }
}

/// A PKCS#11 token and the labels of the keys in it.
#[derive(Clone, Debug)]
pub(crate) struct Pkcs11 {
    pub(crate) module: PathBuf,
    /// The token's label.
    pub(crate) token: String,
    /// File with its PIN, relative to the station's directory.
    pub(crate) pin_file: PathBuf,
    pub(crate) client_ca_key: Option<String>,
    pub(crate) signing_key: Option<String>,
}

/// Settings of a station, every source applied and every value read.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) station_id: StationId,
    pub(crate) station_name: StationName,
    pub(crate) site: SiteId,
    pub(crate) listen: SocketAddr,
    pub(crate) device_listen: SocketAddr,
    pub(crate) server_names: Vec<String>,
    pub(crate) networks: NetworkPolicy,
    pub(crate) device_trust: Vec<DeviceTrust>,
    /// Files of the makers' authorities (D9).
    pub(crate) factory_anchors: Vec<PathBuf>,
    /// Whether devices may replace an expired certificate by themselves (D23).
    pub(crate) recovery: bool,
    /// Who may fetch a certificate by EST (D26).
    pub(crate) est: EnrolmentPolicy,
    /// Whether the station makes the client keys (D6).
    pub(crate) station_made_keys: bool,
    /// Whether devices without an anchor are served (D8).
    pub(crate) proximity: bool,
    /// Identity key types that are taken (D5).
    pub(crate) suites: Vec<Suite>,
    /// How many pairings one batch runs at a time.
    pub(crate) batch_concurrency: usize,
    /// Where the station's memory is, unless it is SQLite in its directory.
    pub(crate) database: Option<PostgresUrl>,
    /// File with the token of the monitoring system.
    pub(crate) metrics_token_file: Option<PathBuf>,
    /// Which keys are in a token, and where that is.
    pub(crate) pkcs11: Option<Pkcs11>,
    /// Which of the processes that share the database this is.
    pub(crate) instance: InstanceName,
    pub(crate) log: Filter,
    pub(crate) log_format: LogFormat,
}

impl SettingsFile {
    /// Writes the file of a new station.
    ///
    /// # Errors
    /// As [`files::create`].
    pub(crate) fn create(&self, dir: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))?;
        files::create(&dir.join(FILE), text.as_bytes(), 0o600)
    }

    /// The file, overridden by what the command line says of a token.
    pub(crate) fn with_pkcs11(self, args: &Pkcs11Args) -> Self {
        let args = args.clone();
        Self {
            pkcs11_module: args.pkcs11_module.or(self.pkcs11_module),
            pkcs11_token: args.pkcs11_token.or(self.pkcs11_token),
            pkcs11_pin_file: args.pkcs11_pin_file.or(self.pkcs11_pin_file),
            pkcs11_client_ca_key: args.pkcs11_client_ca_key.or(self.pkcs11_client_ca_key),
            pkcs11_signing_key: args.pkcs11_signing_key.or(self.pkcs11_signing_key),
            ..self
        }
    }

    /// Reads every value.
    ///
    /// # Errors
    /// A usage failure naming the key.
    pub(crate) fn read(&self) -> Result<Settings, Failure> {
        let loopback = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
        let device_listen = self.device_listen.unwrap_or(loopback);
        if device_listen.ip().is_unspecified() && self.server_names.is_empty() {
            return Err(Failure::usage(SERVER_NAMES, "must be given when listening everywhere")
                .next("Add the name or address that devices reach."));
        }
        for name in &self.server_names {
            server_name(name)?;
        }
        let networks: Result<Vec<_>, _> =
            self.device_networks.iter().map(|text| Network::parse(text)).collect();
        let networks = networks.map_err(|error| error.at("device_networks"))?;
        Ok(Settings {
            station_id: StationId::parse(&self.station_id)
                .map_err(|error| error.at("station_id"))?,
            station_name: StationName::parse(&self.station_name)
                .map_err(|error| error.at("station_name"))?,
            site: SiteId::parse(&self.site).map_err(|error| error.at("site"))?,
            listen: self.listen.unwrap_or(loopback),
            device_listen,
            server_names: self.server_names.clone(),
            networks: NetworkPolicy { networks, ..NetworkPolicy::default() },
            device_trust: self.device_trust()?,
            factory_anchors: self.factory_anchors.clone(),
            recovery: self.recovery,
            est: self.est.unwrap_or_default().into(),
            station_made_keys: self.station_made_keys,
            proximity: self.proximity,
            suites: self.suites()?,
            batch_concurrency: limits::BATCH_CONCURRENCY
                .check(self.batch_concurrency.unwrap_or(limits::BATCH_CONCURRENCY.default))
                .map_err(|error| error.at("batch_concurrency"))?,
            database: self
                .database
                .as_ref()
                .map(|url| PostgresUrl::parse(url.expose()))
                .transpose()
                .map_err(|error| error.at(DATABASE))?,
            metrics_token_file: self.metrics_token_file.clone(),
            pkcs11: self.pkcs11()?,
            instance: self
                .instance
                .as_deref()
                .map(InstanceName::parse)
                .transpose()?
                .unwrap_or_default(),
            log: self.log.as_deref().map(Filter::parse).transpose()?.unwrap_or_default(),
            log_format: self.log_format.unwrap_or_default(),
        })
    }

    /// A token, if the file names one: whole, and with a key in it.
    fn pkcs11(&self) -> Result<Option<Pkcs11>, Failure> {
        let keys = [&self.pkcs11_client_ca_key, &self.pkcs11_signing_key];
        let (module, token, pin) = (&self.pkcs11_module, &self.pkcs11_token, &self.pkcs11_pin_file);
        let named = [module.is_some(), token.is_some(), pin.is_some()];
        if keys.iter().all(|key| key.is_none()) {
            return match named.contains(&true) {
                false => Ok(None),
                true => {
                    let rule = "must name a key where pkcs11_module, pkcs11_token or \
                                pkcs11_pin_file is given";
                    Err(Failure::usage(PKCS11_CLIENT_CA_KEY, rule))
                }
            };
        }
        let wanting = |key| Failure::usage(key, "must be given where a key is in a token");
        let module = module.clone().ok_or_else(|| wanting(PKCS11_MODULE))?;
        if !module.is_absolute() {
            return Err(Failure::usage(PKCS11_MODULE, "must be an absolute path"));
        }
        if self.pkcs11_client_ca_key == self.pkcs11_signing_key {
            let rule = "must be another key than pkcs11_client_ca_key";
            return Err(Failure::usage(PKCS11_SIGNING_KEY, rule));
        }
        let label = |key: &Option<String>, name| match key.as_deref() {
            Some("") => Err(Failure::usage(name, "must not be empty")),
            _ => Ok(key.clone()),
        };
        Ok(Some(Pkcs11 {
            module,
            token: token.clone().ok_or_else(|| wanting(PKCS11_TOKEN))?,
            pin_file: pin.clone().ok_or_else(|| wanting(PKCS11_PIN_FILE))?,
            client_ca_key: label(&self.pkcs11_client_ca_key, PKCS11_CLIENT_CA_KEY)?,
            signing_key: label(&self.pkcs11_signing_key, PKCS11_SIGNING_KEY)?,
        }))
    }

    /// The registry unless the file names other grounds.
    fn device_trust(&self) -> Result<Vec<DeviceTrust>, Failure> {
        let named = self.device_trust.as_deref().unwrap_or(&[DeviceTrustName::Registry]);
        let factory = named.contains(&DeviceTrustName::Factory);
        if named.is_empty() {
            return Err(Failure::usage("device_trust", "must name at least one ground"));
        }
        if factory && self.factory_anchors.is_empty() {
            let rule = "must name a file where device_trust has factory";
            return Err(Failure::usage(FACTORY_ANCHORS, rule));
        }
        let mut grounds: Vec<_> = named
            .iter()
            .map(|name| match name {
                DeviceTrustName::Registry => DeviceTrust::Registry,
                DeviceTrustName::Factory => DeviceTrust::Factory,
            })
            .collect();
        if self.unregistered_devices {
            grounds.push(DeviceTrust::Scanned);
        }
        Ok(grounds)
    }

    /// Every type unless the file names some.
    fn suites(&self) -> Result<Vec<Suite>, Failure> {
        match self.suites.as_deref() {
            None => Ok(vec![Suite::P256, Suite::Rsa2048]),
            Some([]) => Err(Failure::usage("suites", "must name at least one type of key")),
            Some(names) => Ok(names.iter().map(|name| (*name).into()).collect()),
        }
    }
}

/// The key of a PKCS#11 module.
const PKCS11_MODULE: &str = "pkcs11_module";
/// The key of the token's label.
const PKCS11_TOKEN: &str = "pkcs11_token";
/// The key of the file with the token's PIN.
pub(crate) const PKCS11_PIN_FILE: &str = "pkcs11_pin_file";
/// The keys of the labels of what is in the token.
const PKCS11_CLIENT_CA_KEY: &str = "pkcs11_client_ca_key";
const PKCS11_SIGNING_KEY: &str = "pkcs11_signing_key";
/// The key of the makers' authorities.
pub(crate) const FACTORY_ANCHORS: &str = "factory_anchors";
/// The key of the file with the monitoring system's token.
pub(crate) const METRICS_TOKEN_FILE: &str = "metrics_token_file";
/// The key of the database.
pub(crate) const DATABASE: &str = "database";

/// The key of the names in the TLS certificate.
const SERVER_NAMES: &str = "server_names";

/// One name of a TLS certificate, as it is written.
pub(crate) fn server_name(text: &str) -> Result<String, FieldError> {
    ServerName::parse(text)
        .map(|_| text.to_owned())
        .map_err(|_| FieldError::new(SERVER_NAMES, "must be a host name or an address"))
}

impl Settings {
    /// The settings with what the command line or environment says about logs.
    #[must_use]
    pub(crate) fn with_logging(self, logging: &Logging) -> Self {
        Self {
            log: logging.log.clone().unwrap_or(self.log),
            log_format: logging.log_format.unwrap_or(self.log_format),
            ..self
        }
    }

    /// The file of `args.dir`, overridden by what `args` says.
    ///
    /// # Errors
    /// `not_initialised`, or a usage failure naming the setting.
    pub(crate) fn load(args: &Run) -> Result<Self, Failure> {
        let path = args.dir.join(FILE);
        if path.try_exists().is_ok_and(|exists| !exists) {
            let dir = args.dir.display();
            return Err(Failure::new(ErrorCode::NotInitialised)
                .context(format!("{} is not there", path.display()))
                .next(format!("Run: mock-central-station init {dir}")));
        }
        let file: SettingsFile = settings::load(&path)?;
        let file = SettingsFile {
            listen: args.listen.or(file.listen),
            device_listen: args.device_listen.or(file.device_listen),
            server_names: args.server_names.clone().unwrap_or_else(|| file.server_names.clone()),
            device_networks: args
                .device_networks
                .clone()
                .unwrap_or_else(|| file.device_networks.clone()),
            unregistered_devices: args.unregistered_devices.unwrap_or(file.unregistered_devices),
            device_trust: args.device_trust.clone().or_else(|| file.device_trust.clone()),
            factory_anchors: args
                .factory_anchors
                .clone()
                .unwrap_or_else(|| file.factory_anchors.clone()),
            recovery: args.recovery.unwrap_or(file.recovery),
            est: args.est.or(file.est),
            station_made_keys: args.station_made_keys.unwrap_or(file.station_made_keys),
            proximity: args.proximity.unwrap_or(file.proximity),
            suites: args.suites.clone().or_else(|| file.suites.clone()),
            batch_concurrency: args.batch_concurrency.or(file.batch_concurrency),
            database: args.database.clone().or_else(|| file.database.clone()),
            metrics_token_file: args
                .metrics_token_file
                .clone()
                .or_else(|| file.metrics_token_file.clone()),
            instance: args.instance.clone().or_else(|| file.instance.clone()),
            ..file.with_pkcs11(&args.pkcs11)
        };
        Ok(file.read()?.with_logging(&args.logging))
    }

    /// What a new certificate authority is made for: every name and address of the listeners.
    ///
    /// # Errors
    /// A usage failure for a name that cannot stand in a certificate.
    pub(crate) fn authority(&self) -> Result<CaParams, Failure> {
        let mut names = Vec::new();
        let addresses = [self.listen.ip(), self.device_listen.ip()];
        let addresses = addresses.iter().filter(|ip| !ip.is_unspecified()).map(IpAddr::to_string);
        for text in self.server_names.iter().cloned().chain(addresses) {
            let name = ServerName::parse(&text)
                .map_err(|_| Failure::usage(SERVER_NAMES, "must be a host name or an address"))?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let id = self.station_id.clone();
        Ok(CaParams::new(id, self.station_name.clone(), self.site.clone(), names))
    }

    /// The host in `serverUrl`: the first name, else the address devices connect to.
    #[must_use]
    pub(crate) fn device_host(&self) -> String {
        match self.server_names.first() {
            Some(name) => name.clone(),
            None if self.device_listen.is_ipv6() => format!("[{}]", self.device_listen.ip()),
            None => self.device_listen.ip().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use zmon_cli::ExitClass;

    use super::*;
    use crate::{Args, Command};

    fn run_args(dir: &Path, more: &[&str]) -> Run {
        let dir = dir.to_str().unwrap();
        let args = ["mock-central-station", "run", dir].into_iter().chain(more.iter().copied());
        match Args::try_parse_from(args).unwrap().command {
            Some(Command::Run(run)) => run,
            _ => panic!("asked for run"),
        }
    }

    fn file() -> SettingsFile {
        SettingsFile {
            station_id: "st-1".to_owned(),
            station_name: "Ward 3".to_owned(),
            site: "st-mary".to_owned(),
            listen: Some("127.0.0.1:8443".parse().unwrap()),
            device_listen: Some("127.0.0.1:8444".parse().unwrap()),
            device_networks: vec!["127.0.0.0/8".to_owned()],
            ..SettingsFile::default()
        }
    }

    #[test]
    fn a_flag_beats_the_file() {
        let dir = tempfile::tempdir().unwrap();
        file().create(dir.path()).unwrap();
        let plain = Settings::load(&run_args(dir.path(), &[])).unwrap();
        assert_eq!((plain.listen.port(), plain.device_host().as_str()), (8443, "127.0.0.1"));
        let flagged = Settings::load(&run_args(dir.path(), &["--listen", "127.0.0.1:9"])).unwrap();
        assert_eq!((flagged.listen.port(), flagged.device_listen.port()), (9, 8444));
        assert!(!plain.recovery && plain.device_trust == [DeviceTrust::Registry]);
        assert_eq!(plain.networks.networks.len(), 1);
        let flags =
            ["--recovery", "--unregistered-devices=true", "--server-name", "a.local,b.local"];
        let more = ["--device-network", "10.0.0.0/8,192.168.0.0/16"];
        let flagged = Settings::load(&run_args(dir.path(), &[&flags[..], &more].concat())).unwrap();
        let both = [DeviceTrust::Registry, DeviceTrust::Scanned];
        assert!(flagged.recovery && flagged.device_trust == both);
        assert_eq!(flagged.networks.networks.len(), 2);
        assert_eq!(flagged.device_host(), "a.local");
    }

    /// Everything a file may say, besides who the station is, can be said on the command line and in
    /// the environment.
    #[test]
    fn every_setting_has_a_flag_and_a_variable() {
        let whole = SettingsFile {
            device_trust: Some(vec![DeviceTrustName::Registry]),
            factory_anchors: vec!["maker.pem".into()],
            metrics_token_file: Some("metrics.token".into()),
            suites: Some(vec![SuiteName::P256]),
            est: Some(EstName::Reenroll),
            pkcs11_module: Some("/usr/lib/hsm.so".into()),
            pkcs11_token: Some("zmon".to_owned()),
            pkcs11_pin_file: Some("hsm.pin".into()),
            pkcs11_client_ca_key: Some("ca".to_owned()),
            pkcs11_signing_key: Some("sign".to_owned()),
            batch_concurrency: Some(3),
            database: Some(SecretText::new("postgres://u@127.0.0.1/d")),
            instance: Some("north".to_owned()),
            log: Some("info".to_owned()),
            log_format: Some(LogFormat::Json),
            ..file()
        };
        let run = Args::command();
        let run = run.find_subcommand("run").unwrap();
        for (key, _) in toml::Table::try_from(whole).unwrap() {
            if !["station_id", "station_name", "site"].contains(&key.as_str()) {
                let arg = run.get_arguments().find(|arg| arg.get_id() == key.as_str());
                let variable = arg.and_then(|arg| arg.get_env()).and_then(|name| name.to_str());
                assert_eq!(variable, Some(&*format!("STATION_{}", key.to_uppercase())), "{key}");
            }
        }
    }

    #[test]
    fn wrong_settings_are_usage_failures() {
        let everywhere = Some("0.0.0.0:1".parse().unwrap());
        let factory = Some(vec![DeviceTrustName::Factory]);
        let wrong = [
            ("station_id", SettingsFile { station_id: " ".to_owned(), ..file() }),
            ("station_name", SettingsFile { station_name: String::new(), ..file() }),
            ("site", SettingsFile { site: String::new(), ..file() }),
            (
                "device_networks",
                SettingsFile { device_networks: vec!["127.0.0.1/8".to_owned()], ..file() },
            ),
            ("server_names", SettingsFile { server_names: vec!["a b".to_owned()], ..file() }),
            ("server_names", SettingsFile { device_listen: everywhere, ..file() }),
            ("log", SettingsFile { log: Some("zmon=loudest".to_owned()), ..file() }),
            ("suites", SettingsFile { suites: Some(vec![]), ..file() }),
            ("device_trust", SettingsFile { device_trust: Some(vec![]), ..file() }),
            ("factory_anchors", SettingsFile { device_trust: factory, ..file() }),
            ("instance", SettingsFile { instance: Some("north/1".to_owned()), ..file() }),
            ("database", SettingsFile { database: Some(SecretText::new("station.db")), ..file() }),
        ];
        for (field, file) in wrong {
            let failure = file.read().unwrap_err();
            assert_eq!(failure.class(), ExitClass::Usage);
            assert_eq!(failure.report().detail.unwrap().field(), field);
        }
    }

    #[test]
    fn what_the_file_allows_is_off_unless_it_says_so_and_every_key_type_is_taken() {
        let plain = file().read().unwrap();
        assert_eq!([plain.recovery, plain.station_made_keys, plain.proximity], [false; 3]);
        assert_eq!(plain.suites, [Suite::P256, Suite::Rsa2048]);
        let dir = tempfile::tempdir().unwrap();
        let all = SettingsFile {
            recovery: true,
            station_made_keys: true,
            proximity: true,
            suites: Some(vec![SuiteName::Rsa2048]),
            ..file()
        };
        all.create(dir.path()).unwrap();
        let read = Settings::load(&run_args(dir.path(), &[])).unwrap();
        assert_eq!([read.recovery, read.station_made_keys, read.proximity], [true; 3]);
        assert_eq!(read.suites, [Suite::Rsa2048]);
    }

    #[test]
    fn a_batch_runs_as_many_pairings_as_flag_or_file_say_within_the_range() {
        let dir = tempfile::tempdir().unwrap();
        let plain = file().read().unwrap().batch_concurrency;
        assert_eq!(plain, limits::BATCH_CONCURRENCY.default);
        SettingsFile { batch_concurrency: Some(3), ..file() }.create(dir.path()).unwrap();
        let named = |more: &[&str]| Settings::load(&run_args(dir.path(), more));
        assert_eq!(named(&[]).unwrap().batch_concurrency, 3);
        assert_eq!(named(&["--batch-concurrency", "8"]).unwrap().batch_concurrency, 8);
        for wrong in ["0", "65"] {
            let failure = named(&["--batch-concurrency", wrong]).unwrap_err();
            assert_eq!(failure.class(), ExitClass::Usage);
            assert!(failure.to_text().contains("batch_concurrency"), "{}", failure.to_text());
        }
    }

    #[test]
    fn a_token_is_named_whole_or_not_at_all() {
        assert!(file().read().unwrap().pkcs11.is_none());
        let whole = SettingsFile {
            pkcs11_module: Some("/usr/lib/hsm.so".into()),
            pkcs11_token: Some("zmon".to_owned()),
            pkcs11_pin_file: Some("hsm.pin".into()),
            pkcs11_client_ca_key: Some("ca".to_owned()),
            ..file()
        };
        assert!(whole.read().unwrap().pkcs11.is_some());
        let same = whole.pkcs11_client_ca_key.clone();
        for (field, wrong) in [
            (PKCS11_MODULE, SettingsFile { pkcs11_module: None, ..whole.clone() }),
            (PKCS11_MODULE, SettingsFile { pkcs11_module: Some("hsm.so".into()), ..whole.clone() }),
            (PKCS11_TOKEN, SettingsFile { pkcs11_token: None, ..whole.clone() }),
            (PKCS11_PIN_FILE, SettingsFile { pkcs11_pin_file: None, ..whole.clone() }),
            (PKCS11_CLIENT_CA_KEY, SettingsFile { pkcs11_client_ca_key: None, ..whole.clone() }),
            (PKCS11_SIGNING_KEY, SettingsFile { pkcs11_signing_key: same, ..whole.clone() }),
            (
                PKCS11_SIGNING_KEY,
                SettingsFile { pkcs11_signing_key: Some(String::new()), ..whole.clone() },
            ),
        ] {
            let failure = wrong.read().unwrap_err();
            assert_eq!(failure.class(), ExitClass::Usage);
            assert_eq!(failure.report().detail.unwrap().field(), field);
        }
    }

    #[test]
    fn enrolment_is_off_unless_flag_or_file_says_who_may() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(file().read().unwrap().est, EnrolmentPolicy::Off);
        SettingsFile { est: Some(EstName::Reenroll), ..file() }.create(dir.path()).unwrap();
        let named = |more: &[&str]| Settings::load(&run_args(dir.path(), more)).unwrap().est;
        assert_eq!(named(&[]), EnrolmentPolicy::Reenroll);
        assert_eq!(named(&["--est", "enroll"]), EnrolmentPolicy::Enroll);
        assert_eq!(named(&["--est", "off"]), EnrolmentPolicy::Off);
    }

    #[test]
    fn the_database_is_named_by_flag_or_file_and_its_password_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let url = |place: &str| format!("postgres://u:hunter2@127.0.0.1/{place}");
        let file = SettingsFile { database: Some(SecretText::new(&url("file"))), ..file() };
        file.create(dir.path()).unwrap();
        let named = |more: &[&str]| {
            let args = run_args(dir.path(), more);
            let settings = Settings::load(&args).unwrap();
            let shown = format!("{args:?} {settings:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            settings.database.unwrap().to_string()
        };
        assert_eq!(named(&[]), "127.0.0.1:5432/file");
        assert_eq!(named(&["--database", &url("flag")]), "127.0.0.1:5432/flag");
        assert!(!format!("{file:?}").contains("hunter2"));
        let wrong = run_args(dir.path(), &["--database", "mysql://u:hunter2@h/d"]);
        let failure = Settings::load(&wrong).unwrap_err().to_text();
        assert!(failure.contains("must be postgres://") && !failure.contains("hunter2"));
    }

    #[test]
    fn a_directory_without_a_station_names_the_command_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Settings::load(&run_args(dir.path(), &[])).unwrap_err();
        assert_eq!(failure.code(), ErrorCode::NotInitialised);
        assert!(failure.to_text().contains("mock-central-station init"));
    }

    #[test]
    fn the_certificate_names_every_address_once() {
        let settings = SettingsFile { server_names: vec!["ward3.local".to_owned()], ..file() };
        let names = settings.read().unwrap().authority().unwrap().server_names;
        assert_eq!(names.len(), 2);
    }
}
