//! Commands that an operator gives a station over its HTTPS API.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand, ValueEnum};
use zmon_cli::flag;
use zmon_domain::{
    address::{DeviceAddress, ServerUrl},
    ids::{BedId, DeviceId, DeviceLabel, OperatorId, SessionId},
    role::Role,
    route::Route,
};

/// How to reach a station and who asks.
#[derive(Clone, Debug, ClapArgs)]
pub struct Login {
    /// URL of the station's operator listener.
    #[arg(long, env = "ZMON_STATION", value_name = "URL", value_parser = flag::by(ServerUrl::parse))]
    pub station: ServerUrl,
    /// Anchor certificate (PEM) of the station.
    #[arg(long, env = "ZMON_CA", value_name = "FILE")]
    pub ca: PathBuf,
    /// Name of the operator; the password is asked.
    #[arg(
        long,
        env = "ZMON_OPERATOR",
        value_name = "NAME",
        required_unless_present = "token_file",
        value_parser = flag::by(OperatorId::parse)
    )]
    pub operator: Option<OperatorId>,
    /// File (0600) with the password ("-": standard input) instead of asking.
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    pub password_file: Option<PathBuf>,
    /// File (0600) with an operator token instead of a login.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Arguments of `zmon pair`.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("source").required(true).args(["qr_image", "qr_text", "device_id"])))]
pub struct Pair {
    /// Station and operator.
    #[command(flatten)]
    pub login: Login,
    /// PNG image of the device's screen.
    #[arg(long, value_name = "FILE")]
    pub qr_image: Option<PathBuf>,
    /// File with the content of the QR code, as a scanner gives it ("-": standard
    /// input).
    #[arg(long, value_name = "FILE")]
    pub qr_text: Option<PathBuf>,
    /// Device identifier, typed; the pairing code is asked.
    #[arg(long, value_name = "ID", value_parser = flag::by(DeviceId::parse))]
    pub device_id: Option<DeviceId>,
    /// File (0600) with the pairing code, and the pairing token in a second line ("-":
    /// standard input), instead of asking.
    #[arg(long, value_name = "FILE", requires = "device_id",
          conflicts_with_all = ["qr_image", "qr_text"])]
    pub secrets_file: Option<PathBuf>,
    /// Address of the device, with a typed code.
    #[arg(long, value_name = "IP", requires = "device_id",
          conflicts_with_all = ["qr_image", "qr_text"],
          value_parser = flag::by(DeviceAddress::parse))]
    pub address: Option<DeviceAddress>,
    /// Port of the device's listener, with a typed code and no token.
    #[arg(long, value_name = "PORT", requires = "device_id",
          conflicts_with_all = ["qr_image", "qr_text"])]
    pub port: Option<NonZeroU16>,
    /// Find address and port of the device by multicast DNS, with a typed code.
    #[cfg(feature = "mdns")]
    #[arg(long, requires = "device_id",
          conflicts_with_all = ["qr_image", "qr_text", "address", "port"])]
    pub discover: bool,
    /// Bed the device stands at.
    #[arg(long, value_name = "ID", value_parser = flag::by(BedId::parse))]
    pub bed: Option<BedId>,
    /// Label of the device.
    #[arg(long, value_name = "TEXT", value_parser = flag::by(DeviceLabel::parse))]
    pub label: Option<DeviceLabel>,
    /// How the messages go [default: what the station finds].
    #[arg(long, value_enum, value_name = "ROUTE")]
    pub via: Option<ViaName>,
}

/// Routes of the messages between station and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ViaName {
    /// The station dials the device.
    Push,
    /// The device asks the station.
    Pull,
    /// A person's machine, or files.
    Courier,
}

impl From<ViaName> for Route {
    fn from(name: ViaName) -> Self {
        match name {
            ViaName::Push => Self::Push,
            ViaName::Pull => Self::Pull,
            ViaName::Courier => Self::Courier,
        }
    }
}

/// Arguments of `zmon courier`.
#[derive(Debug, ClapArgs)]
pub struct Courier {
    /// Station and operator: the one who began the session.
    #[command(flatten)]
    pub login: Login,
    /// The session that waits, as `zmon pair` named it.
    #[arg(long, value_name = "ID", value_parser = flag::by(SessionId::parse))]
    pub session: SessionId,
    /// Carry files in this folder instead of connecting to the device.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["address", "port"])]
    pub folder: Option<PathBuf>,
    /// Address of the device, where it is another one from here.
    #[arg(long, value_name = "IP", value_parser = flag::by(DeviceAddress::parse))]
    pub address: Option<DeviceAddress>,
    /// Port of the device's listener, where it is another one from here.
    #[arg(long, value_name = "PORT")]
    pub port: Option<NonZeroU16>,
}

/// Arguments of `zmon registry`.
#[derive(Debug, ClapArgs)]
pub struct Registry {
    /// What to do.
    #[command(subcommand)]
    pub command: RegistryCommand,
}

/// `zmon registry …`.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Add the devices of a manifest.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  device identity ./bed-7 --manifest > manifest.jsonl
  zmon registry import manifest.jsonl --station https://127.0.0.1:8443 \\
    --ca anchor.pem --operator admin"
    )]
    Import {
        /// Manifest: JSON lines or one JSON array (\"-\": standard input).
        manifest: PathBuf,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// Let a device whose audit log was lost begin a new one. Find out first whether
    /// it was lost, or the device set back or copied.
    #[command(
        max_term_width = 80,
        override_usage = "zmon registry accept-audit <DEVICE> --station <URL> --ca <FILE>",
        after_help = "\
Example:
  zmon registry accept-audit ZM-001 --station https://127.0.0.1:8443 \\
    --ca anchor.pem --operator admin"
    )]
    AcceptAudit {
        /// Device identifier.
        #[arg(value_parser = flag::by(DeviceId::parse))]
        device: DeviceId,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// Give a device that the station knows another identity key
    /// (administrator); certificates of the old one are revoked.
    #[command(
        max_term_width = 80,
        override_usage = "zmon registry rekey <ID> --manifest <FILE> --station <URL> --ca <FILE>",
        after_help = "\
Example, after a factory reset with a new identity:
  device identity ./bed-7 --manifest > manifest.jsonl
  zmon registry rekey ZM-001 --manifest manifest.jsonl \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator admin"
    )]
    Rekey {
        /// Device identifier.
        #[arg(value_parser = flag::by(DeviceId::parse))]
        device: DeviceId,
        /// Manifest with the device's one row (\"-\": standard input).
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// Let a device that was paired before enrol once by EST, RFC 7030
    /// (administrator). Its credential is shown this one time only.
    #[command(
        max_term_width = 80,
        override_usage = "zmon registry enrol <DEVICE> --station <URL> --ca <FILE>",
        after_help = "\
Example:
  zmon registry enrol ZM-001 --station https://127.0.0.1:8443 --ca anchor.pem \\
    --operator admin

The device shows its identifier and the credential as name and password to
/.well-known/est/simpleenroll of the same listener."
    )]
    Enrol {
        /// Device identifier.
        #[arg(value_parser = flag::by(DeviceId::parse))]
        device: DeviceId,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// List the devices that the station knows.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon registry list --station https://127.0.0.1:8443 --ca anchor.pem \\
    --operator admin"
    )]
    List {
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
}

/// Arguments of `zmon operator`.
#[derive(Debug, ClapArgs)]
pub struct Operator {
    /// What to do.
    #[command(subcommand)]
    pub command: OperatorCommand,
}

/// `zmon operator …`.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Add an operator to the station.
    #[command(
        max_term_width = 80,
        override_usage = "zmon operator add <NAME> --role <ROLE> --station <URL> --ca <FILE>",
        after_help = "\
Example:
  zmon operator add tina --role technician --station https://127.0.0.1:8443 \\
    --ca anchor.pem --operator admin"
    )]
    Add {
        /// Name of the new operator.
        #[arg(value_parser = flag::by(OperatorId::parse))]
        name: OperatorId,
        /// Role of the new operator.
        #[arg(long, value_enum)]
        role: RoleName,
        /// File (0600) with the new operator's password ("-": standard input).
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// Set another password for yourself; your other logins end.
    #[command(
        max_term_width = 80,
        override_usage = "zmon operator password --station <URL> --ca <FILE> --operator <NAME>",
        after_help = "\
Example:
  zmon operator password --station https://127.0.0.1:8443 --ca anchor.pem \\
    --operator admin

The password that a new station shows once is good for this and nothing else."
    )]
    Password {
        /// File with the new password ("-": standard input) instead of asking.
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
}

/// Roles of operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Pairs devices.
    Technician,
    /// Manages devices, operators and certificates.
    Administrator,
    /// Reads the audit log.
    Auditor,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Technician => Self::Technician,
            RoleName::Administrator => Self::Administrator,
            RoleName::Auditor => Self::Auditor,
        }
    }
}
