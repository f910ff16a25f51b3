//! The command line of `zmon`. Help fits 80 columns and gives an example for each command.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use zmon_wire::secret::SecretText;

pub mod batch;
pub mod certificate;
pub mod device;
pub mod station;
pub mod upkeep;

pub use batch::{Batch, BatchCommand, BatchScan, OfBatch};
pub use device::{Device, DeviceCommand};
pub use station::{Courier, Login, Pair, Registry, RegistryCommand, ViaName};

/// Command line of Z Monitor provisioning.
#[derive(Debug, Parser)]
#[command(
    name = "zmon",
    version,
    max_term_width = 80,
    after_help = "\
Example, one whole pairing on this machine:
  zmon demo

Exit codes: 0 ok, 2 usage, 3 refused, 4 unreachable, 5 damaged."
)]
pub struct Args {
    /// JSON instead of text; errors too.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `zmon`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pair a device with a station on this machine, and show each step.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon demo

Runs the programs `device` and `mock-central-station` that lie beside this one,
in a temporary directory, on loopback addresses; removes everything at the end."
    )]
    Demo(Demo),
    /// Pair a device through a station, as the operator's tablet does.
    #[command(
        max_term_width = 80,
        override_usage = "\
zmon pair [OPTIONS] --station <URL> --ca <FILE> --operator <NAME>
            <--qr-image <FILE>|--qr-text <FILE>|--device-id <ID>>",
        after_help = "\
Example:
  zmon pair --station https://127.0.0.1:8443 --ca anchor.pem \\
    --operator admin --qr-image screen.png --bed ICU-3B --label ICU-MON-04"
    )]
    Pair(Box<Pair>),
    /// Carry the messages of a pairing that station and device cannot exchange.
    #[command(
        max_term_width = 80,
        after_help = "\
Example, on a machine that reaches both:
  zmon courier --station https://127.0.0.1:8443 --ca anchor.pem \\
    --operator admin --session 67e55044-10b1-426f-9247-bb680e5fe0c8

With --folder it carries files: run it, take the folder to the device, run
`zmon device courier` there, take the folder back, and run it again; in all
twice each."
    )]
    Courier(Box<Courier>),
    /// Pair many devices with one manifest and a scan each.
    Batch(Batch),
    /// Read audit logs: check the chain, export rows.
    #[command(subcommand)]
    Audit(Audit),
    /// Show and read provisioning QR codes.
    #[command(subcommand)]
    Qr(Qr),
    /// The station's registry of devices.
    Registry(Registry),
    /// The station's operators.
    Operator(station::Operator),
    /// The certificates that the station has issued.
    Certificate(certificate::Certificate),
    /// Back a station up, restore it: its directory, on its own machine.
    Station(upkeep::Station),
    /// Drive a device on this machine through its control socket.
    Device(Device),
    /// Look what is wrong with a station or a device on this machine.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon doctor ./station

Ends with 5 when something is a problem, and with 0 otherwise. It changes
nothing, and may be run beside the program that serves from the directory."
    )]
    Doctor {
        /// Directory of a device or a station.
        dir: PathBuf,
    },
    /// Write one file for whoever helps; no secret is in it.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon support-bundle ./station --output support.tar

A tar archive of JSON: versions, settings by an allow-list, what zmon doctor
finds, names and modes of files, figures and the last rows of the audit log,
which name operators, beds and devices."
    )]
    SupportBundle {
        /// Directory of a device or a station.
        dir: PathBuf,
        /// New file.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// How many rows of the audit log.
        #[arg(long, default_value_t = 500, value_name = "N",
              value_parser = clap::value_parser!(u32).range(0..=100_000))]
        rows: u32,
    },
    /// Print a completion script.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon completions bash > ~/.local/share/bash-completion/completions/zmon"
    )]
    Completions {
        /// Shell to complete in.
        shell: Shell,
    },
}

/// Arguments of `zmon demo`.
#[derive(Debug, ClapArgs)]
pub struct Demo {
    /// Type of the device's identity key.
    #[arg(long, value_enum, default_value_t = SuiteName::P256)]
    pub suite: SuiteName,
    /// Form of the pairing code.
    #[arg(long, value_enum, default_value_t = CodeFormatName::Grouped9)]
    pub code_format: CodeFormatName,
    /// Folder of the programs [default: that of zmon].
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Seconds each step may take.
    #[arg(long, default_value_t = 60, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub patience: u64,
}

/// Identity key types, as `device init` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteName {
    /// ECDSA P-256.
    P256,
    /// RSA-2048.
    Rsa2048,
}

/// Pairing-code forms, as `device init` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CodeFormatName {
    /// ABC-123-XYZ.
    Grouped9,
    /// X7Y9Z2.
    Short6,
}

/// `zmon audit …`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check every hash, sequence and checkpoint of an audit log.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon audit verify ./bed-7
  zmon audit verify ./bed-7 --held last-month.jsonl
  zmon audit verify ./station --database postgres://zmon@127.0.0.1/station

DIR is the directory of a device or of a station. FILE shows a tail that was
cut together with the checkpoints beside it: an earlier export of the same log,
or checkpoints that were kept elsewhere, one a line."
    )]
    Verify {
        /// Directory of a device or a station.
        dir: PathBuf,
        /// Checkpoints of this log that were kept elsewhere.
        #[arg(long, value_name = "FILE")]
        held: Option<PathBuf>,
        /// Database of a station that keeps its memory in PostgreSQL.
        #[arg(long, value_name = "URL")]
        database: Option<SecretText>,
    },
    /// Write every row of an audit log, one a line.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon audit export ./bed-7 --output audit.jsonl
  zmon audit export ./station --format csv --output audit.csv

JSON lines have the exact bytes and the checkpoints: any tool can verify them,
and so does: zmon audit verify DIR --held FILE. The others are for readers."
    )]
    Export {
        /// Directory of a device or a station.
        dir: PathBuf,
        /// Format of the lines.
        #[arg(long, value_enum, default_value_t = AuditFormat::Jsonl)]
        format: AuditFormat,
        /// Database of a station that keeps its memory in PostgreSQL.
        #[arg(long, value_name = "URL")]
        database: Option<SecretText>,
        /// New file [default: standard output].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Formats of an exported audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// JSON lines with the exact bytes, and the checkpoints.
    Jsonl,
    /// A table (RFC 4180); no cell is a formula.
    Csv,
    /// Syslog messages (RFC 5424).
    Syslog,
    /// Audit messages of DICOM (PS3.15 A.5), in syslog messages.
    Dicom,
}

/// `zmon qr …`.
#[derive(Debug, Subcommand)]
pub enum Qr {
    /// Show a QR code in the terminal; write it as an image.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon qr show --device ./bed-7 --png screen.png
  zmon qr show --text content.json"
    )]
    Show(QrShow),
    /// Read a QR code from a PNG image and show what it says.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon qr decode screen.png"
    )]
    Decode {
        /// PNG image.
        image: PathBuf,
    },
}

/// Arguments of `zmon qr show`.
#[derive(Debug, ClapArgs)]
pub struct QrShow {
    /// Directory (or control socket) of a device whose window is open.
    #[arg(long, value_name = "DIR", required_unless_present = "text", conflicts_with = "text")]
    pub device: Option<PathBuf>,
    /// File with the JSON content of a QR code ("-": standard input).
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Write the 300×300 PNG to a new file.
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Write the SVG to a new file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn leaves(command: &clap::Command) -> Vec<clap::Command> {
        let children: Vec<_> =
            command.get_subcommands().filter(|child| child.get_name() != "help").collect();
        if children.is_empty() {
            return vec![command.clone()];
        }
        children.into_iter().flat_map(leaves).collect()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_help_fits_80_columns_and_gives_an_example() {
        let mut root = Args::command();
        root.build();
        let mut all = leaves(&root);
        all.push(root);
        for mut command in all {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        }
    }

    /// Every value that clap cannot judge by its own rules; nothing is asked, opened or sent before.
    #[test]
    fn a_wrong_value_is_refused_with_its_flag_and_rule() {
        let login = ["--station", "https://h:1", "--ca", "a", "--operator", "o"];
        let pair = [&["pair"], &login[..], &["--device-id", "ZM-001"]].concat();
        let add = [&["operator", "add", "--role", "technician"], &login[..]].concat();
        let person = ["--operator", "o"];
        let device = |command: &'static str| [&["device", command], &person[..]].concat();
        let account = |command| [&["device", "operator", command], &person[..]].concat();
        let list = ["registry", "list", "--ca", "a"];
        let cases = [
            ([&list[..], &["--operator", "o"]].concat(), "--station", "http://h:1"),
            ([&list[..], &["--station", "https://h:1"]].concat(), "--operator", "a b"),
            ([&["pair"], &login[..]].concat(), "--device-id", "-"),
            (pair.clone(), "--address", "here"),
            (pair.clone(), "--port", "0"),
            (pair.clone(), "--bed", ""),
            (pair, "--label", ""),
            (add, "<NAME>", "a b"),
            ([&["registry", "accept-audit"], &login[..]].concat(), "<DEVICE>", "a b"),
            (vec!["device", "renew"], "--operator", "a b"),
            (device("enter"), "--address", "here"),
            (device("enter"), "--override-interlock", ""),
            (device("reprovision"), "--address", "here"),
            (device("reprovision"), "--override-interlock", ""),
            (device("migrate"), "--address", "here"),
            (device("factory-reset"), "--confirm", "a b"),
            (vec!["device", "operator", "first"], "<ACCOUNT>", "a b"),
            ([&["certificate", "revoke"], &login[..]].concat(), "<SERIAL>", "xyz"),
            ([&["certificate", "list"], &login[..]].concat(), "--device", "a b"),
            (account("add"), "<ACCOUNT>", "a b"),
            (account("remove"), "<ACCOUNT>", "a b"),
            (account("set-pin"), "<ACCOUNT>", "a b"),
            (account("unlock"), "<ACCOUNT>", "a b"),
        ];
        for (base, name, value) in cases {
            let given = if name.starts_with('<') { vec![value] } else { vec![name, value] };
            let line = ["zmon"].iter().chain(&base).chain(&given);
            let refused = Args::try_parse_from(line).unwrap_err().to_string();
            assert!(refused.contains(&format!("'{name}")), "{name}: {refused}");
            let rule = if name == "--port" { "zero" } else { ": must " };
            assert!(refused.contains(rule), "{name}: {refused}");
        }
    }

    #[test]
    fn pair_takes_exactly_one_way_to_the_code() {
        let base = ["zmon", "pair", "--station", "https://h:1", "--ca", "a", "--operator", "o"];
        let with = |more: &[&str]| Args::try_parse_from(base.iter().chain(more).copied()).is_ok();
        assert!(!with(&[]));
        assert!(with(&["--qr-image", "x.png"]));
        assert!(with(&["--qr-text", "-"]));
        assert!(!with(&["--qr-image", "x.png", "--qr-text", "-"]));
        assert!(with(&["--device-id", "ZM-001"]));
        assert!(with(&["--device-id", "ZM-001", "--secrets-file", "-"]));
        assert!(!with(&["--qr-image", "x.png", "--secrets-file", "-"]));
        assert!(!with(&["--device-id", "ZM-001", "--qr-image", "x.png"]));
    }

    #[test]
    fn no_secret_is_taken_on_the_command_line() {
        let base = ["zmon", "pair", "--station", "https://h:1", "--ca", "a", "--operator", "o"];
        for secret in ["--code", "--token", "--password", "--pin"] {
            let typed = ["--device-id", "ZM-001", secret, "ABC-123-XYZ"];
            assert!(Args::try_parse_from(base.iter().chain(&typed).copied()).is_err(), "{secret}");
        }
    }
}
