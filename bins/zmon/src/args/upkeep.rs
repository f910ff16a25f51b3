//! Commands about a station's directory, on the machine that it is on.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use zmon_cli::flag;
use zmon_domain::ids::StationId;
use zmon_wire::secret::SecretText;

/// Arguments of `zmon station`.
#[derive(Debug, ClapArgs)]
pub struct Station {
    /// What to do.
    #[command(subcommand)]
    pub command: StationCommand,
}

/// `zmon station …`.
#[derive(Debug, Subcommand)]
pub enum StationCommand {
    /// Back a station up while it runs: database, keys and settings in one file.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon station backup ./station --output /backup/station-2026-11-26.zmon

The file is sealed by a passphrase of at least 12 characters, which is asked or
read from --passphrase-file. It has every key of the station: keep passphrase
and file apart. A station whose database is PostgreSQL is backed up by pg_dump."
    )]
    Backup {
        /// Directory of the station.
        dir: PathBuf,
        /// New file.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// Passphrase of the file.
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Make the directory of a station anew from a backup.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon station restore /backup/station-2026-11-26.zmon ./station-new \\
    --old ./station

Every session and login of the backup is ended. With --old, the directory of
the station that was lost, certificates that were issued or revoked after the
backup are refused; without it they have to be revoked again."
    )]
    Restore {
        /// Backup.
        backup: PathBuf,
        /// New directory.
        dir: PathBuf,
        /// What is left of the old directory; it is read only, and must not run.
        #[arg(long, value_name = "DIR")]
        old: Option<PathBuf>,
        /// Passphrase of the file.
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Let a station go on whose database was set back.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  zmon station accept ./station --confirm station-1
  zmon station accept ./station --confirm station-1 --restored \\
    --database postgres://zmon@127.0.0.1/station

For a station that does not start with station_set_back, when the newer
database is lost; or, with --restored, after pg_restore or a copy by hand. Its
sessions and logins end, its log goes on in a new lane, and what was revoked
since then has to be revoked again."
    )]
    Accept {
        /// Directory of the station.
        dir: PathBuf,
        /// Identifier of the station, typed once more.
        #[arg(long, value_name = "ID", value_parser = flag::by(StationId::parse))]
        confirm: StationId,
        /// The database is a restored one, even if nothing shows that it is older.
        #[arg(long)]
        restored: bool,
        /// Database of a station that keeps its memory in PostgreSQL.
        #[arg(long, value_name = "URL")]
        database: Option<SecretText>,
    },
}

/// Where the passphrase of a sealed file comes from.
#[derive(Clone, Debug, ClapArgs)]
pub struct Passphrase {
    /// File (0600) with the passphrase ("-": standard input) instead of asking.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}
