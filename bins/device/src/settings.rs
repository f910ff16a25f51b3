//! Settings of a device: `device.toml` in its directory, then the environment, then flags.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use zmon_cli::{
    Failure, files,
    logging::{Filter, LogFormat},
    settings,
};
use zmon_domain::{
    address::{DeviceAddress, ServerUrl},
    code::CodeFormat,
    error::{ErrorCode, FieldError},
    ids::{DeviceId, DeviceSerial, FirmwareVersion},
    time::{ClockQuality, UnixTime},
};
use zmon_protocol::device::{DeviceProfile, StationTrust};
use zmon_transport::device_listener::Bind;

use crate::{
    InterlockSetting,
    args::{ClockName, CodeFormatName, Run, ScreenAddress, WINDOW_MINUTES},
};

/// Name of the settings file; it is written last by `init`, so that it marks a whole device.
pub(crate) const FILE: &str = "device.toml";
/// Where a device listens when nobody says so.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Where the screen is served when nobody says so.
const SCREEN: ScreenAddress = ScreenAddress::At(LISTEN);
/// Where a manual configuration lies when nobody says so, in the device directory.
const MANUAL: &str = "manual";

/// Start of the day of this release, 2026-11-23; the build may name another time, in seconds since the
/// epoch, as reproducible builds do. A compiler's clock has no part in it.
const RELEASED: i64 = 1_795_392_000;
const BUILT: Option<&str> = option_env!("SOURCE_DATE_EPOCH");

/// The file as it is written: every key optional but who the device is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettingsFile {
    pub(crate) device_id: String,
    pub(crate) device_serial: String,
    pub(crate) firmware_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code_format: Option<CodeFormatName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) window_minutes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) screen: Option<ScreenAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) manual_configuration: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clock: Option<ClockName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interlock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery: Option<bool>,
    /// The station that is asked for the messages of a pairing while a window is open (D7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_url: Option<String>,
    /// Whether the open listener is announced (D2).
    #[cfg(feature = "mdns")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mdns: Option<bool>,
    /// Where a courier lays files down (D7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) courier_folder: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) station_made_keys: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proximity: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<LogFormat>,
}

impl SettingsFile {
    /// Reads the file of an initialised device.
    ///
    /// # Errors
    /// `not_initialised` without one, with the command to run; a usage failure for a wrong one.
    pub(crate) fn load(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(FILE);
        if path.try_exists().is_ok_and(|exists| !exists) {
            let dir = dir.display();
            return Err(Failure::new(ErrorCode::NotInitialised)
                .context(format!("{} is not there", path.display()))
                .next(format!("Run: device init {dir} --anchor FILE")));
        }
        settings::load(&path)
    }

    /// Writes the file of a new device.
    ///
    /// # Errors
    /// As [`files::create`].
    pub(crate) fn create(&self, dir: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))?;
        files::create(&dir.join(FILE), text.as_bytes(), 0o600)
    }

    /// This file with what `over` says in its place. Who the device is stays as it was made; its
    /// firmware may have been replaced since.
    pub(crate) fn overlaid(self, over: Self) -> Self {
        // Each by name: a setting that is added must be added here.
        let Self {
            device_id: _,
            device_serial: _,
            firmware_version,
            code_format,
            window_minutes,
            listen,
            address,
            screen,
            control,
            manual_configuration,
            clock,
            interlock,
            recovery,
            pull_url,
            #[cfg(feature = "mdns")]
            mdns,
            courier_folder,
            station_made_keys,
            proximity,
            log,
            log_format,
        } = over;
        let is_same = firmware_version.is_empty();
        Self {
            device_id: self.device_id,
            device_serial: self.device_serial,
            firmware_version: if is_same { self.firmware_version } else { firmware_version },
            code_format: code_format.or(self.code_format),
            window_minutes: window_minutes.or(self.window_minutes),
            listen: listen.or(self.listen),
            address: address.or(self.address),
            screen: screen.or(self.screen),
            control: control.or(self.control),
            manual_configuration: manual_configuration.or(self.manual_configuration),
            clock: clock.or(self.clock),
            interlock: interlock.or(self.interlock),
            recovery: recovery.or(self.recovery),
            pull_url: pull_url.or(self.pull_url),
            #[cfg(feature = "mdns")]
            mdns: mdns.or(self.mdns),
            courier_folder: courier_folder.or(self.courier_folder),
            station_made_keys: station_made_keys.or(self.station_made_keys),
            proximity: proximity.or(self.proximity),
            log: log.or(self.log),
            log_format: log_format.or(self.log_format),
        }
    }

    /// Who the device is, and what its pairing windows are like.
    ///
    /// # Errors
    /// A usage failure naming the key.
    pub(crate) fn profile(&self) -> Result<DeviceProfile, Failure> {
        let mut profile = DeviceProfile::new(
            DeviceId::parse(&self.device_id).map_err(|error| error.at("device_id"))?,
            DeviceSerial::parse(&self.device_serial).map_err(|error| error.at("device_serial"))?,
            FirmwareVersion::parse(&self.firmware_version)
                .map_err(|error| error.at("firmware_version"))?,
        );
        profile.built_at = built_at(BUILT);
        profile.recovery = self.recovery.unwrap_or_default();
        profile.station_made_keys = self.station_made_keys.unwrap_or_default();
        if self.proximity.unwrap_or_default() {
            profile.trust = StationTrust::Proximity;
        }
        profile.code_format = match self.code_format {
            Some(CodeFormatName::Short6) => CodeFormat::Short6,
            Some(CodeFormatName::Grouped9) | None => CodeFormat::Grouped9,
        };
        let Some(minutes) = self.window_minutes else { return Ok(profile) };
        let (least, most) = (WINDOW_MINUTES.start(), WINDOW_MINUTES.end());
        profile.with_window(Duration::from_secs(minutes.saturating_mul(60))).map_err(|_| {
            let rule = format!("must be between {least} and {most} minutes");
            FieldError::owned("window_minutes", rule).into()
        })
    }
}

/// Settings of `device run`, every source applied.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) profile: DeviceProfile,
    pub(crate) bind: Bind,
    pub(crate) address: DeviceAddress,
    pub(crate) screen: ScreenAddress,
    pub(crate) control: PathBuf,
    pub(crate) manual_configuration: PathBuf,
    pub(crate) clock: ClockQuality,
    pub(crate) interlock: InterlockSetting,
    pub(crate) pull_url: Option<ServerUrl>,
    #[cfg(feature = "mdns")]
    pub(crate) mdns: bool,
    pub(crate) courier_folder: Option<PathBuf>,
    pub(crate) log: Filter,
    pub(crate) log_format: LogFormat,
}

impl Settings {
    /// The file of `args.dir`, overridden by what `args` says.
    ///
    /// # Errors
    /// `not_initialised`, or a usage failure naming the setting.
    pub(crate) fn load(args: &Run) -> Result<Self, Failure> {
        let file = SettingsFile::load(&args.dir)?;
        Self::merge(args, file)
    }

    /// `file`, overridden by what `args` says.
    ///
    /// # Errors
    /// A usage failure naming the setting.
    pub(crate) fn merge(args: &Run, file: SettingsFile) -> Result<Self, Failure> {
        let file = SettingsFile {
            window_minutes: args.window_minutes.or(file.window_minutes),
            code_format: args.code_format.or(file.code_format),
            recovery: args.recovery.or(file.recovery),
            station_made_keys: args.station_made_keys.or(file.station_made_keys),
            proximity: args.proximity.or(file.proximity),
            ..file
        };
        let listen = args.listen.or(file.listen).unwrap_or(LISTEN);
        let address = args.address.or(file.address).unwrap_or(listen.ip());
        if address.is_unspecified() {
            return Err(Failure::usage(
                "--address",
                "must be named when listening on every address",
            )
            .next("Add --address with the IP address that stations reach."));
        }
        let control = args.control.clone().or_else(|| file.control.clone());
        let manual = args.manual_configuration.clone();
        let manual = manual.or_else(|| file.manual_configuration.clone());
        Ok(Self {
            manual_configuration: manual.unwrap_or_else(|| args.dir.join(MANUAL)),
            profile: file.profile()?,
            bind: bind(listen),
            address: DeviceAddress::parse(&address.to_string())?,
            screen: args.screen.or(file.screen).unwrap_or(SCREEN),
            control: control.unwrap_or_else(|| args.dir.join("control.sock")),
            clock: match args.clock.or(file.clock) {
                Some(ClockName::None) => ClockQuality::None,
                Some(ClockName::Signed) => ClockQuality::Signed,
                Some(ClockName::Synced) | None => ClockQuality::Synced,
            },
            interlock: match (&args.interlock, &file.interlock) {
                (Some(interlock), _) => interlock.clone(),
                (None, Some(text)) => text.parse()?,
                (None, None) => InterlockSetting::None,
            },
            log: match (&args.log, &file.log) {
                (Some(filter), _) => filter.clone(),
                (None, Some(text)) => Filter::parse(text)?,
                (None, None) => Filter::default(),
            },
            pull_url: match (&args.pull_url, &file.pull_url) {
                (Some(url), _) => Some(url.clone()),
                (None, url) => url.as_deref().map(ServerUrl::parse).transpose()?,
            },
            #[cfg(feature = "mdns")]
            mdns: args.mdns.or(file.mdns).unwrap_or_default(),
            courier_folder: args.courier_folder.clone().or(file.courier_folder),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
        })
    }
}

/// No time before this is believed (D14).
fn built_at(build: Option<&str>) -> UnixTime {
    build
        .and_then(|seconds| UnixTime::from_unix(seconds.parse().ok()?))
        .or_else(|| UnixTime::from_unix(RELEASED))
        .unwrap_or(UnixTime::EPOCH)
}

fn bind(listen: SocketAddr) -> Bind {
    match listen.port() {
        0 => Bind::any_port(listen.ip()),
        port => Bind::new(listen.ip(), port..=port),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use zmon_cli::ExitClass;

    use super::*;
    use crate::{Args, Command};

    fn run_args(more: &[&str]) -> Run {
        let args = ["device", "run", "/nowhere"].iter().chain(more);
        match Args::try_parse_from(args).unwrap().command {
            Command::Run(run) => run,
            Command::Init(_) | Command::Identity(_) | Command::FactoryChain(_) => {
                panic!("asked for run")
            }
        }
    }

    fn file() -> SettingsFile {
        SettingsFile {
            device_id: "ZM-001".to_owned(),
            device_serial: "SN-2024-001234".to_owned(),
            firmware_version: "1.2.3".to_owned(),
            ..SettingsFile::default()
        }
    }

    /// Everything a file may say, besides who the device is, can be said on the command line and in
    /// the environment.
    #[test]
    fn every_setting_has_a_flag_and_a_variable() {
        let whole = SettingsFile {
            code_format: Some(CodeFormatName::Short6),
            window_minutes: Some(5),
            listen: Some(LISTEN),
            address: Some(LISTEN.ip()),
            screen: Some(SCREEN),
            control: Some("control".into()),
            manual_configuration: Some("manual".into()),
            clock: Some(ClockName::Signed),
            interlock: Some("none".to_owned()),
            recovery: Some(true),
            station_made_keys: Some(true),
            proximity: Some(true),
            pull_url: Some("https://station.st-mary.example:8444".to_owned()),
            #[cfg(feature = "mdns")]
            mdns: Some(true),
            courier_folder: Some("courier".into()),
            log: Some("info".to_owned()),
            log_format: Some(LogFormat::Json),
            ..file()
        };
        let run = Args::command();
        let run = run.find_subcommand("run").unwrap();
        for (key, _) in toml::Table::try_from(whole).unwrap() {
            if !["device_id", "device_serial", "firmware_version"].contains(&key.as_str()) {
                let arg = run.get_arguments().find(|arg| arg.get_id() == key.as_str());
                let variable = arg.and_then(|arg| arg.get_env()).and_then(|name| name.to_str());
                assert_eq!(variable, Some(&*format!("DEVICE_{}", key.to_uppercase())), "{key}");
            }
        }
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let plain = Settings::merge(&run_args(&[]), file()).unwrap();
        assert_eq!(plain.bind, bind(LISTEN));
        assert_eq!(plain.profile.window().as_secs(), 600);
        let off = [plain.profile.recovery, plain.profile.station_made_keys];
        assert_eq!(off, [false; 2], "off unless the file says otherwise");
        assert_eq!(plain.profile.trust, StationTrust::Anchored);
        let near = SettingsFile { proximity: Some(true), ..file() };
        assert_eq!(near.profile().unwrap().trust, StationTrust::Proximity);

        let listen = Some("127.0.0.7:4000".parse().unwrap());
        let recovery = Some(true);
        let station_made_keys = Some(true);
        let file = || SettingsFile {
            listen,
            window_minutes: Some(5),
            recovery,
            station_made_keys,
            ..file()
        };
        let filed = Settings::merge(&run_args(&[]), file()).unwrap();
        assert!(filed.profile.recovery && filed.profile.station_made_keys);
        let flagged =
            Settings::merge(&run_args(&["--recovery=false", "--code-format", "short6"]), file());
        let flagged = flagged.unwrap().profile;
        assert_eq!((flagged.recovery, flagged.code_format), (false, CodeFormat::Short6));
        assert_eq!(filed.address.to_string(), "127.0.0.7");
        assert_eq!(filed.profile.window().as_secs(), 300);

        assert_eq!(filed.interlock, InterlockSetting::None);

        let interlock = "file:/run/monitor/state";
        let flags = ["--listen", "127.0.0.8:0", "--window-minutes", "7", "--interlock", interlock];
        let flags = run_args(&flags);
        let flagged = Settings::merge(&flags, file()).unwrap();
        assert_eq!(flagged.address.to_string(), "127.0.0.8");
        assert_eq!(flagged.profile.window().as_secs(), 420);
        assert_eq!(flagged.interlock, InterlockSetting::File("/run/monitor/state".into()));
    }

    #[test]
    fn a_station_to_ask_is_named_by_a_whole_url() {
        let plain = Settings::merge(&run_args(&[]), file()).unwrap();
        assert_eq!((plain.pull_url, plain.courier_folder), (None, None), "nobody is asked");
        let pull_url = Some("https://station.st-mary.example:8444".to_owned());
        let courier_folder = Some("/media/courier".into());
        let named = SettingsFile { pull_url, courier_folder, ..file() };
        let named = Settings::merge(&run_args(&[]), named).unwrap();
        assert_eq!(named.pull_url.unwrap().port(), 8444);
        assert_eq!(named.courier_folder.unwrap(), Path::new("/media/courier"));
        for bad in ["http://station:8444", "station", "https://station:8444/poll"] {
            let file = SettingsFile { pull_url: Some(bad.to_owned()), ..file() };
            let failure = Settings::merge(&run_args(&[]), file).unwrap_err();
            assert_eq!(failure.class(), ExitClass::Usage, "{bad}");
        }
    }

    #[test]
    fn the_screen_stays_on_this_machine() {
        assert_eq!(Settings::merge(&run_args(&[]), file()).unwrap().screen, SCREEN);
        let off = Settings::merge(&run_args(&["--screen", "off"]), file()).unwrap();
        assert_eq!(off.screen, ScreenAddress::Off);
        for good in ["127.0.0.1:8480", "[::1]:0"] {
            let screen = good.parse::<ScreenAddress>().unwrap();
            assert_eq!(String::from(screen), good);
        }
        for bad in ["0.0.0.0:8480", "192.168.1.100:8480", "[::]:0", "localhost:1", "8480", "on"] {
            assert!(Args::try_parse_from(["device", "run", "x", "--screen", bad]).is_err());
            let text = format!("screen = \"{bad}\"");
            assert!(toml::from_str::<SettingsFile>(&text).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_build_date_is_what_the_build_says_or_the_release() {
        assert_eq!(built_at(None).to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(built_at(Some("1800000000")).unix(), 1_800_000_000);
        assert_eq!(built_at(Some("soon")), built_at(None));
        assert_eq!(file().profile().unwrap().built_at, built_at(BUILT));
    }

    #[test]
    fn wrong_settings_are_usage_failures() {
        let bad = |text: &str| text.to_owned();
        let cases = [
            ("--address", SettingsFile { listen: "0.0.0.0:4000".parse().ok(), ..file() }),
            ("device_id", SettingsFile { device_id: bad("-"), ..file() }),
            ("device_serial", SettingsFile { device_serial: bad("a b"), ..file() }),
            ("firmware_version", SettingsFile { firmware_version: bad(""), ..file() }),
            ("window_minutes", SettingsFile { window_minutes: Some(61), ..file() }),
            ("window_minutes", SettingsFile { window_minutes: Some(0), ..file() }),
            ("interlock", SettingsFile { interlock: Some(bad("file:relative")), ..file() }),
            ("log", SettingsFile { log: Some(bad("zmon=loudest")), ..file() }),
        ];
        for (field, file) in cases {
            let failure = Settings::merge(&run_args(&[]), file).unwrap_err();
            assert_eq!(failure.class(), ExitClass::Usage);
            assert_eq!(failure.report().detail.unwrap().field(), field);
        }
    }

    #[test]
    fn a_directory_without_a_device_names_the_command_to_run() {
        let failure = Settings::load(&run_args(&[])).unwrap_err();
        assert_eq!(failure.code(), ErrorCode::NotInitialised);
        assert!(failure.to_text().contains("device init /nowhere --anchor FILE"));
    }

    #[test]
    fn the_file_reads_back_and_refuses_unknown_keys() {
        let dir = tempfile::tempdir().unwrap();
        file().create(dir.path()).unwrap();
        assert_eq!(SettingsFile::load(dir.path()).unwrap().device_id, "ZM-001");
        assert_eq!(file().create(dir.path()).unwrap_err().code(), ErrorCode::StateConflict);
        std::fs::write(dir.path().join(FILE), "devise_id = \"x\"").unwrap();
        assert_eq!(SettingsFile::load(dir.path()).unwrap_err().class(), ExitClass::Usage);
    }
}
