//! `zmon batch …`: many devices, one manifest, one scan each.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};
use zmon_cli::flag;
use zmon_domain::{
    address::DeviceAddress,
    ids::{BatchId, BatchName, DeviceId},
};

use super::Login;

/// Arguments of `zmon batch`.
#[derive(Debug, ClapArgs)]
pub struct Batch {
    /// What to do.
    #[command(subcommand)]
    pub command: BatchCommand,
}

/// A batch, and who asks about it.
#[derive(Debug, ClapArgs)]
pub struct OfBatch {
    /// Batch, as `zmon batch new` named it.
    #[arg(value_name = "BATCH", value_parser = flag::by(BatchId::parse))]
    pub batch: BatchId,
    /// Station and operator.
    #[command(flatten)]
    pub login: Login,
}

/// `zmon batch …`.
#[derive(Debug, Subcommand)]
pub enum BatchCommand {
    /// Open a batch with a manifest, and print its identifier.
    #[command(
        max_term_width = 80,
        override_usage = "zmon batch new <MANIFEST> --name <TEXT> --station <URL> --ca <FILE>",
        after_help = "\
Example:
  zmon batch new ward-3.jsonl --name 'Ward 3' \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator tina

The manifest has the columns of the registry's; a row needs deviceId or
deviceSerial. A bad row is an item that has failed, and spoils no other."
    )]
    New {
        /// Manifest: JSON lines or one JSON array ("-": standard input).
        manifest: PathBuf,
        /// What people call the batch.
        #[arg(long, value_name = "TEXT", value_parser = flag::by(BatchName::parse))]
        name: BatchName,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// List the batches, the newest first.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon batch list --station https://127.0.0.1:8443 --ca anchor.pem \\
    --operator tina"
    )]
    List {
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// Scan devices for a batch, and follow it until they are paired.
    #[command(
        max_term_width = 80,
        override_usage = "\
zmon batch scan [OPTIONS] --station <URL> --ca <FILE> --operator <NAME>
            <--qr-image <FILE>|--qr-text <FILE>|--device-id <ID>> <BATCH>",
        after_help = "\
Example, with a scanner that types what it reads, a line each:
  zmon batch scan 3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30 --qr-text - \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator tina \\
    --password-file tina.secret

Ctrl-C leaves the batch as it is: the station goes on with what was scanned,
and the same command goes on with the rest."
    )]
    Scan(Box<BatchScan>),
    /// Show where a batch and its items stand.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon batch status 3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30 \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator tina"
    )]
    Status(OfBatch),
    /// Take no scans for now; what was scanned runs to its end.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon batch pause 3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30 \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator tina"
    )]
    Pause(OfBatch),
    /// Take scans again.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon batch resume 3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30 \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator tina"
    )]
    Resume(OfBatch),
    /// Let failed items wait to be scanned again.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon batch retry 3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30 --row 3 \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator tina"
    )]
    Retry {
        /// Rows of the manifest [default: all that have failed].
        #[arg(long = "row", value_name = "N,N", value_delimiter = ',',
              value_parser = clap::value_parser!(u32).range(1..))]
        rows: Option<Vec<u32>>,
        /// Batch and operator.
        #[command(flatten)]
        of: OfBatch,
    },
    /// Close a batch for ever; what was not scanned is skipped.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon batch close 3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30 \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator tina"
    )]
    Close(OfBatch),
    /// Write what became of every item as a table for spreadsheets (CSV).
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon batch report 3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30 \\
    --output ward-3.csv --station https://127.0.0.1:8443 \\
    --ca anchor.pem --operator tina

With --json it is the JSON report on standard output."
    )]
    Report {
        /// New file [default: standard output].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Batch and operator.
        #[command(flatten)]
        of: OfBatch,
    },
}

/// Arguments of `zmon batch scan`.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("source").required(true).args(["qr_images", "qr_text", "device_id"])))]
pub struct BatchScan {
    /// Batch and operator.
    #[command(flatten)]
    pub of: OfBatch,
    /// PNG images of devices' screens, one after the other; may be repeated.
    #[arg(long = "qr-image", value_name = "FILE")]
    pub qr_images: Vec<PathBuf>,
    /// File with the content of one QR code a line, as a scanner gives it ("-":
    /// standard input).
    #[arg(long, value_name = "FILE")]
    pub qr_text: Option<PathBuf>,
    /// Device identifier, typed; the pairing code is asked.
    #[arg(long, value_name = "ID", value_parser = flag::by(DeviceId::parse))]
    pub device_id: Option<DeviceId>,
    /// File (0600) with the pairing code instead of asking ("-": standard input).
    #[arg(long, value_name = "FILE", requires = "device_id")]
    pub secrets_file: Option<PathBuf>,
    /// Address of the device, with a typed code.
    #[arg(long, value_name = "IP", requires = "device_id",
          value_parser = flag::by(DeviceAddress::parse))]
    pub address: Option<DeviceAddress>,
    /// Port of the device's listener, with a typed code.
    #[arg(long, value_name = "PORT", requires = "device_id")]
    pub port: Option<NonZeroU16>,
}
