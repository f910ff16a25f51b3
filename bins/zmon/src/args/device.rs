//! Commands that a person beside a device gives it over its control socket.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use zmon_cli::flag;
use zmon_domain::{
    address::DeviceAddress,
    ids::{DeviceId, OperatorId, OverrideReason, SiteId, Thumbprint},
};

use super::station::RoleName;

/// Arguments of `zmon device`.
#[derive(Debug, ClapArgs)]
pub struct Device {
    /// Directory of the device, or its control socket.
    #[arg(long, global = true, env = "ZMON_DEVICE", default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: DeviceCommand,
}

/// Who is at the device.
#[derive(Clone, Debug, ClapArgs)]
pub struct Person {
    /// Name of the operator; the PIN is asked.
    #[arg(long, env = "ZMON_DEVICE_OPERATOR", value_name = "NAME",
          value_parser = flag::by(OperatorId::parse))]
    pub operator: OperatorId,
    /// File (0600) with the PIN ("-": standard input) instead of asking.
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
}

/// `zmon device …`.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Show the state of the device.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device status --dir ./bed-7"
    )]
    Status,
    /// Show each change of state until interrupted.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device watch --dir ./bed-7"
    )]
    Watch,
    /// Enter provisioning mode and show the QR code.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device enter --dir ./bed-7 --operator tina --address 192.168.1.100"
    )]
    Enter {
        /// Who asks.
        #[command(flatten)]
        person: Person,
        /// Address that the QR code says [default: the configured one].
        #[arg(long, value_name = "IP", value_parser = flag::by(DeviceAddress::parse))]
        address: Option<DeviceAddress>,
        /// Go on although the clinical interlock objects, and why (administrator).
        #[arg(long, value_name = "REASON", value_parser = flag::by(OverrideReason::parse))]
        override_interlock: Option<OverrideReason>,
    },
    /// Enter provisioning mode on a provisioned device; it stays connected.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device reprovision --dir ./bed-7 --operator tina --yes"
    )]
    Reprovision {
        /// Who asks.
        #[command(flatten)]
        person: Person,
        /// Address that the QR code says [default: the configured one].
        #[arg(long, value_name = "IP", value_parser = flag::by(DeviceAddress::parse))]
        address: Option<DeviceAddress>,
        /// Replace the configuration in force; without it the device's id must be typed.
        #[arg(long)]
        yes: bool,
        /// Go on although the clinical interlock objects, and why (administrator).
        #[arg(long, value_name = "REASON", value_parser = flag::by(OverrideReason::parse))]
        override_interlock: Option<OverrideReason>,
    },
    /// Ask the station for a new certificate now.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device renew --dir ./bed-7 --operator tina"
    )]
    Renew {
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// Void the code and show a new one.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device regenerate --dir ./bed-7"
    )]
    Regenerate,
    /// Take what a courier has laid into the device's folder, and lay the answer
    /// beside it.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device courier --dir ./bed-7

The folder is `courier_folder` in device.toml. It takes hello.json or
envelope.json, and writes identity.json or status.json."
    )]
    Courier,
    /// Leave provisioning mode; nothing is installed.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device cancel --dir ./bed-7"
    )]
    Cancel,
    /// Have a simulated station provision the device (development builds).
    #[command(
        max_term_width = 80,
        after_help = "\
Example, with a device that was built with the feature `simulate`:
  device run ./bed-7 --simulate
  zmon device enter --dir ./bed-7 --operator tina
  zmon device simulate --dir ./bed-7

Bed, label, units, language and interval are the payload's. Every release
device answers simulation_unavailable."
    )]
    Simulate {
        /// File with a configuration payload (JSON) [default: one that is made].
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
    },
    /// After a failure: open a new window.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device retry --dir ./bed-7 --operator tina"
    )]
    Retry {
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// After a failure: back to the state before.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device reset --dir ./bed-7 --operator tina"
    )]
    Reset {
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// Confirm the station of a device that trusts by proximity.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device confirm --dir ./bed-7 --operator tina \\
    --words 'ocean table river stone'

The words are those that the station shows: zmon pair prints them. Without
--words the device's own are shown and you say that they are the same."
    )]
    Confirm {
        /// Who asks.
        #[command(flatten)]
        person: Person,
        /// The four words that the station shows; other ones are refused.
        #[arg(long, value_name = "WORDS", conflicts_with = "yes")]
        words: Option<String>,
        /// You have compared the words on both screens already.
        #[arg(long)]
        yes: bool,
    },
    /// Refuse that station: the pairing is over, nothing is installed.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device refuse --dir ./bed-7"
    )]
    Refuse,
    /// Remove the configuration of the device (administrator).
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device deprovision --dir ./bed-7 --operator admin"
    )]
    Deprovision {
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// The operators of the device (administrator).
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// The anchors of the device: whose stations it believes.
    #[command(subcommand)]
    Anchor(AnchorCommand),
    /// Erase the device: configuration, clinical data, operators (administrator).
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device factory-reset --dir ./bed-7 --operator admin --confirm ZM-001
  zmon device operator first ada --dir ./bed-7

The audit log, the identity and the anchors stay; so do statements that wait
for a station. With --new-identity the device starts again with a new key, and
a station's administrator has to run: zmon registry rekey"
    )]
    FactoryReset {
        /// Who asks.
        #[command(flatten)]
        person: Person,
        /// The identifier of the device, typed to confirm.
        #[arg(long, value_name = "ID", value_parser = flag::by(DeviceId::parse))]
        confirm: DeviceId,
        /// Make a new identity key and root secret too; stations refuse the device
        /// until one takes the new key.
        #[arg(long)]
        new_identity: bool,
    },
    /// Go from a manual configuration to provisioning, or keep it for now.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device migrate --dir ./bed-7 --operator tina
  zmon device migrate --dir ./bed-7 --operator tina --not-now

The manual configuration stays until the new connection has been proven."
    )]
    Migrate {
        /// Who asks.
        #[command(flatten)]
        person: Person,
        /// Address that the QR code says [default: the configured one].
        #[arg(long, value_name = "IP", value_parser = flag::by(DeviceAddress::parse))]
        address: Option<DeviceAddress>,
        /// Keep the manual configuration.
        #[arg(long, conflicts_with = "address")]
        not_now: bool,
    },
    /// Show who the device is.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device identity --dir ./bed-7"
    )]
    Identity,
    /// Show the link to the station.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device link --dir ./bed-7"
    )]
    Link,
    /// Show the newest audit rows.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device log --dir ./bed-7 --rows 20"
    )]
    Log {
        /// How many rows.
        #[arg(long, default_value_t = 50, value_name = "N",
              value_parser = clap::value_parser!(u32).range(1..=1000))]
        rows: u32,
    },
}

/// `zmon device anchor …`.
#[derive(Debug, Subcommand)]
pub enum AnchorCommand {
    /// Show the anchors.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device anchor list --dir ./bed-7"
    )]
    List,
    /// Believe the stations of one more authority (administrator).
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device anchor import anchor.pem --site st-mary --operator admin \
    --dir ./bed-7

The fingerprint is shown and asked for: compare it with the one that the
station's administrator names. It counts at once and after every start, and
ends proximity. Not while a window or session is open."
    )]
    Import {
        /// CA certificate in PEM form, one ("-": standard input).
        file: PathBuf,
        /// Site that it speaks for.
        #[arg(long, value_name = "ID", value_parser = flag::by(SiteId::parse))]
        site: SiteId,
        /// The fingerprint that you have compared, instead of asking.
        #[arg(long, value_name = "HEX", value_parser = flag::by(Thumbprint::parse))]
        fingerprint: Option<Thumbprint>,
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
}

/// `zmon device operator …`; the PIN asked first is the administrator's.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Make the first administrator of a device that has no operator.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device operator first ada --dir ./bed-7"
    )]
    First {
        /// Name of the new administrator.
        #[arg(value_parser = flag::by(OperatorId::parse))]
        account: OperatorId,
        /// File (0600) with the new PIN instead of asking.
        #[arg(long, value_name = "FILE")]
        new_pin_file: Option<PathBuf>,
    },
    /// Add an operator; the new PIN is asked.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device operator add tina --role technician --operator admin \\
    --dir ./bed-7"
    )]
    Add {
        /// Name of the new operator.
        #[arg(value_parser = flag::by(OperatorId::parse))]
        account: OperatorId,
        /// What the operator may do.
        #[arg(long, value_enum, default_value_t = RoleName::Technician)]
        role: RoleName,
        /// File (0600) with the new PIN instead of asking.
        #[arg(long, value_name = "FILE")]
        new_pin_file: Option<PathBuf>,
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// Show the operators, and who has to wait after wrong PINs.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device operator list --operator admin --dir ./bed-7"
    )]
    List {
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// Remove an operator; the last administrator stays.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device operator remove tina --operator admin --dir ./bed-7"
    )]
    Remove {
        /// Name of the operator to remove.
        #[arg(value_parser = flag::by(OperatorId::parse))]
        account: OperatorId,
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// Give an operator another PIN; it is asked.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device operator set-pin tina --operator admin --dir ./bed-7"
    )]
    SetPin {
        /// Name of the operator who gets the PIN.
        #[arg(value_parser = flag::by(OperatorId::parse))]
        account: OperatorId,
        /// File (0600) with the new PIN instead of asking.
        #[arg(long, value_name = "FILE")]
        new_pin_file: Option<PathBuf>,
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
    /// Forget the wrong PINs of an operator who has to wait.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon device operator unlock tina --operator admin --dir ./bed-7"
    )]
    Unlock {
        /// Name of the operator to unlock.
        #[arg(value_parser = flag::by(OperatorId::parse))]
        account: OperatorId,
        /// Who asks.
        #[command(flatten)]
        person: Person,
    },
}
