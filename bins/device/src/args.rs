//! The command line of `device`. Help fits 80 columns and gives an example for each command.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use zmon_cli::{
    flag,
    logging::{Filter, LogFormat},
};
use zmon_domain::{
    address::{DeviceAddress, ServerUrl},
    ids::{BedId, DeviceId, DeviceLabel, DeviceSerial, FirmwareVersion, OperatorId, SiteId},
    limits,
};

use crate::InterlockSetting;

/// Bedside monitor of the Z Monitor system: the device side of provisioning.
///
/// A device directory is made once by `device init` and then served by `device run`.
#[derive(Debug, Parser)]
#[command(
    name = "device",
    version,
    max_term_width = 80,
    after_help = "\
Example, a device that trusts the station which made anchor.pem:
  device init ./bed-7 --anchor anchor.pem
  device run ./bed-7 --listen 192.168.1.100:8443

Exit codes: 0 ok, 2 usage, 3 refused, 4 unreachable, 5 damaged."
)]
pub struct Args {
    /// One JSON document instead of text; errors too.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `device`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new device: keys, database, anchors, first operators.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  device init ./bed-7 --anchor anchor.pem --device-id ZM-001 \\
    --serial SN-2024-001234 --firmware 1.2.3 --technician tina

Without --pin-file the PINs are asked at the terminal; without a terminal they
are made, and shown this one time only."
    )]
    Init(Init),
    /// Show who the device is, e.g. the row for the station's registry.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  device identity ./bed-7 --manifest > manifest.jsonl
  zmon registry import manifest.jsonl --station https://127.0.0.1:8443 \\
    --ca anchor.pem --operator admin"
    )]
    Identity(Identity),
    /// Lay down the maker's certificate chain of the identity key.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  device identity ./bed-7 --csr bed-7.csr
  device factory-chain ./bed-7 bed-7-factory.pem

The maker's authority signs what the request says. Stations whose device_trust
names factory then take the device without a manifest row. Not while it runs."
    )]
    FactoryChain(FactoryChain),
    /// Serve a device directory until SIGTERM or SIGINT.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  device run ./bed-7 --listen 192.168.1.100:8443 --log-format json

One JSON line on standard output says when the device is ready, and where.
Settings come from DIR/device.toml, then the environment, then the flags.

The clinical interlock may forbid entering, committing and changing over. A file
of at most 64 bytes must say `clear`, `patient-admitted` or `alarm-active`; a
command is given the moment and ends with 0 for clear. What cannot be understood
forbids."
    )]
    Run(Run),
}

/// Arguments of `device init`.
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// New or empty directory of the device.
    pub dir: PathBuf,
    /// Hospital CA certificate (PEM) whose stations may configure this device.
    #[arg(long, required_unless_present = "proximity", value_name = "FILE")]
    pub anchor: Vec<PathBuf>,
    /// No anchor: an operator confirms the station by four words.
    #[arg(long, conflicts_with = "anchor")]
    pub proximity: bool,
    /// Site the anchors belong to.
    #[arg(long, default_value = "site-1", value_name = "ID", value_parser = flag::by(SiteId::parse))]
    pub site: SiteId,
    /// Device identifier.
    #[arg(long, default_value = "ZM-001", value_name = "ID", value_parser = flag::by(DeviceId::parse))]
    pub device_id: DeviceId,
    /// Serial number.
    #[arg(long, default_value = "SN-2024-001234", value_name = "SERIAL",
          value_parser = flag::by(DeviceSerial::parse))]
    pub serial: DeviceSerial,
    /// Firmware version the device reports.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"), value_name = "VERSION",
          value_parser = flag::by(FirmwareVersion::parse))]
    pub firmware: FirmwareVersion,
    /// Type of the identity key.
    #[arg(long, value_enum, default_value_t = SuiteName::P256)]
    pub suite: SuiteName,
    /// Form of the pairing code.
    #[arg(long, value_enum, default_value_t = CodeFormatName::Grouped9)]
    pub code_format: CodeFormatName,
    /// Name of the first administrator.
    #[arg(long, default_value = "admin", value_name = "NAME",
          value_parser = flag::by(OperatorId::parse))]
    pub administrator: OperatorId,
    /// Name of a first technician, with a PIN of their own.
    #[arg(long, value_name = "NAME", value_parser = flag::by(OperatorId::parse))]
    pub technician: Option<OperatorId>,
    /// File (0600) with the PINs, a line each: administrator, technician ("-": stdin).
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
}

/// Arguments of `device identity`.
#[derive(Debug, ClapArgs)]
pub struct Identity {
    /// Directory of the device.
    pub dir: PathBuf,
    /// The row that `zmon registry import` takes, as one JSON line.
    #[arg(long)]
    pub manifest: bool,
    /// Bed to put into the row.
    #[arg(long, requires = "manifest", value_name = "ID", value_parser = flag::by(BedId::parse))]
    pub bed: Option<BedId>,
    /// Label to put into the row.
    #[arg(long, requires = "manifest", value_name = "TEXT",
          value_parser = flag::by(DeviceLabel::parse))]
    pub label: Option<DeviceLabel>,
    /// Fixed address to put into the row: stations find the device without its
    /// QR code.
    #[arg(long, requires = "manifest", value_name = "IP",
          value_parser = flag::by(DeviceAddress::parse))]
    pub address: Option<DeviceAddress>,
    /// Fixed port to put into the row, for a typed code.
    #[arg(long, requires = "manifest", value_name = "PORT")]
    pub port: Option<NonZeroU16>,
    /// New file for a certification request (PKCS#10, DER) of the identity key,
    /// for the maker's authority.
    #[arg(long, conflicts_with = "manifest", value_name = "FILE")]
    pub csr: Option<PathBuf>,
}

/// Arguments of `device factory-chain`.
#[derive(Debug, ClapArgs)]
pub struct FactoryChain {
    /// Directory of the device.
    pub dir: PathBuf,
    /// Certificates in PEM form, the identity key's first ("-": stdin).
    pub file: PathBuf,
}

/// Arguments of `device run`; each beats the environment, which beats the file.
#[derive(Debug, Default, ClapArgs)]
pub struct Run {
    /// Directory of the device.
    pub dir: PathBuf,
    /// Where stations reach the device while a window is open; port 0: any free
    /// one [default: 127.0.0.1:0].
    #[arg(long, env = "DEVICE_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address that the QR code says [default: that of --listen].
    #[arg(long, env = "DEVICE_ADDRESS", value_name = "IP")]
    pub address: Option<IpAddr>,
    /// Where a browser on this machine shows the device's screen: a loopback
    /// address and a port, 0 for any free one, or "off" [default: 127.0.0.1:0].
    #[arg(long, env = "DEVICE_SCREEN", value_name = "IP:PORT")]
    pub screen: Option<ScreenAddress>,
    /// Path of the control socket [default: DIR/control.sock].
    #[arg(long, env = "DEVICE_CONTROL", value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Folder of a configuration laid down by hand [default: DIR/manual].
    #[arg(long, env = "DEVICE_MANUAL_CONFIGURATION", value_name = "PATH")]
    pub manual_configuration: Option<PathBuf>,
    /// Minutes a pairing code lives, 1 to 60 [default: 10].
    #[arg(long, env = "DEVICE_WINDOW_MINUTES", value_name = "N",
          value_parser = clap::value_parser!(u64).range(WINDOW_MINUTES))]
    pub window_minutes: Option<u64>,
    /// Form of the pairing code [default: the one of init].
    #[arg(long, env = "DEVICE_CODE_FORMAT", value_name = "FORMAT")]
    pub code_format: Option<CodeFormatName>,
    /// Whether an expired certificate may be replaced without anybody [default: false].
    #[arg(long, env = "DEVICE_RECOVERY", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub recovery: Option<bool>,
    /// Whether the station may make the client key [default: false].
    #[arg(long, env = "DEVICE_STATION_MADE_KEYS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub station_made_keys: Option<bool>,
    /// Whether a station without an anchor may be confirmed by an operator who
    /// compares four words; only without anchors [default: false].
    #[arg(long, env = "DEVICE_PROXIMITY", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub proximity: Option<bool>,
    /// Devices' listener of the station, to ask for messages while a window is open.
    #[arg(long, env = "DEVICE_PULL_URL", value_name = "URL",
          value_parser = flag::by(ServerUrl::parse))]
    pub pull_url: Option<ServerUrl>,
    /// Whether the open listener is announced by multicast DNS [default: false].
    #[cfg(feature = "mdns")]
    #[arg(long, env = "DEVICE_MDNS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub mdns: Option<bool>,
    /// Folder in which a courier lays down messages.
    #[arg(long, env = "DEVICE_COURIER_FOLDER", value_name = "FOLDER")]
    pub courier_folder: Option<PathBuf>,
    /// What is known about the clock of this machine [default: synced].
    #[arg(long, env = "DEVICE_CLOCK", value_name = "QUALITY")]
    pub clock: Option<ClockName>,
    /// Where to ask whether a patient is monitored: none, file:PATH or command:PATH
    /// [default: none].
    #[arg(long, env = "DEVICE_INTERLOCK", value_name = "HOW",
          value_parser = flag::by(str::parse::<InterlockSetting>))]
    pub interlock: Option<InterlockSetting>,
    /// Simulate: a station in this process, whose certificates nobody else
    /// accepts, takes the place of the real one. For development only.
    #[cfg(feature = "simulate")]
    #[arg(long)]
    pub simulate: bool,
    /// Log level or directives [default: info].
    #[arg(long, env = "DEVICE_LOG", value_name = "FILTER", value_parser = flag::by(Filter::parse))]
    pub log: Option<Filter>,
    /// Shape of log lines on standard error [default: text].
    #[arg(long, env = "DEVICE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Minutes a pairing code may live.
pub(crate) const WINDOW_MINUTES: RangeInclusive<u64> =
    limits::WINDOW.min.as_secs() / 60..=limits::WINDOW.max.as_secs() / 60;

/// Identity key types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteName {
    /// ECDSA P-256 (suite 1).
    P256,
    /// RSA-2048 (suite 2).
    Rsa2048,
}

/// Where the device's screen is served, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ScreenAddress {
    /// Nowhere.
    Off,
    /// On a loopback address.
    At(SocketAddr),
}

impl FromStr for ScreenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        // Plain HTTP: only browsers of this machine may be spoken to (D17).
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::At(address)),
            Ok(_) | Err(_) => Err("must be a loopback address and a port, or off"),
        }
    }
}

impl TryFrom<String> for ScreenAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ScreenAddress> for String {
    fn from(address: ScreenAddress) -> Self {
        match address {
            ScreenAddress::Off => Self::from("off"),
            ScreenAddress::At(address) => address.to_string(),
        }
    }
}

/// What a device knows about its wall clock (D14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockName {
    /// Nothing: it may show any time.
    None,
    /// It was set from a signed source.
    Signed,
    /// A time service keeps it right.
    Synced,
}

/// Pairing-code forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodeFormatName {
    /// ABC-123-XYZ, with a check symbol.
    Grouped9,
    /// X7Y9Z2, six symbols.
    Short6,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_fits_80_columns_and_gives_an_example() {
        let mut root = Args::command();
        root.build();
        let mut commands: Vec<_> = root.get_subcommands().cloned().collect();
        commands.retain(|command| command.get_name() != "help");
        commands.push(root);
        for mut command in commands {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    /// Every value that clap cannot judge by its own rules, as a flag and as a variable.
    #[test]
    fn a_wrong_value_is_refused_with_its_flag_and_rule() {
        let init: &[&str] = &["init", "x", "--anchor", "a"];
        let row: &[&str] = &["identity", "x", "--manifest"];
        let run: &[&str] = &["run", "x"];
        let cases = [
            (init, "--site", "", "must "),
            (init, "--device-id", "-", "must "),
            (init, "--serial", "a b", "must "),
            (init, "--firmware", "", "must "),
            (init, "--administrator", "a b", "must "),
            (init, "--technician", "", "must "),
            (row, "--bed", "", "must "),
            (row, "--label", "", "must "),
            (row, "--address", "here", "must "),
            (row, "--port", "0", "zero"),
            (run, "--listen", "here", "invalid socket address"),
            (run, "--address", "here", "invalid IP address"),
            (run, "--screen", "0.0.0.0:1", "must be a loopback address and a port, or off"),
            (run, "--window-minutes", "61", "1..=60"),
            (run, "--window-minutes", "0", "1..=60"),
            (run, "--interlock", "file:relative", "must be none, file:PATH or command:PATH"),
            (run, "--log", "zmon=loudest", "must be a level or directives"),
        ];
        for (base, flag, value, rule) in cases {
            let line = ["device"].iter().chain(base).chain([&flag, &value]);
            let refused = Args::try_parse_from(line).unwrap_err().to_string();
            assert!(refused.contains(&format!("'{flag} <")), "{flag}: {refused}");
            assert!(refused.contains(rule), "{flag}: {refused}");
        }
    }

    #[test]
    fn an_anchor_is_required_unless_proximity_is_asked_for() {
        assert!(Args::try_parse_from(["device", "init", "x"]).is_err());
        assert!(Args::try_parse_from(["device", "init", "x", "--anchor", "a"]).is_ok());
        assert!(Args::try_parse_from(["device", "init", "x", "--proximity"]).is_ok());
        let both = ["device", "init", "x", "--proximity", "--anchor", "a"];
        assert!(Args::try_parse_from(both).is_err());
    }
}
