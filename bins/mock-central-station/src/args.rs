//! The command line of `mock-central-station`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand};
use zmon_cli::{
    flag,
    logging::{Filter, LogFormat},
};
use zmon_domain::{
    address::Network,
    ids::{OperatorId, SiteId, StationId, StationName},
};

use zmon_wire::secret::SecretText;

use crate::{
    fault::Ordered,
    settings::{DeviceTrustName, EstName, SuiteName, server_name},
};

/// Central Station for harnesses, trials and tests.
///
/// A station directory is made once by `init` and then served by `run`; `--ephemeral` does both in
/// a temporary directory that is removed at the end.
#[derive(Debug, Parser)]
#[command(
    name = "mock-central-station",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = "\
Example, a station that stays:
  mock-central-station init ./station --site st-mary --name 'Ward 3'
  mock-central-station run ./station

Example, a station for one test:
  mock-central-station --ephemeral --fault deliver=drop --delay-ms 200

Exit codes: 0 ok, 2 usage, 3 refused, 4 unreachable, 5 damaged."
)]
pub struct Args {
    /// One JSON document instead of text; errors too.
    #[arg(long, global = true)]
    pub json: bool,
    /// Station in a temporary directory, for one harness.
    #[command(flatten)]
    pub ephemeral: Ephemeral,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands of `mock-central-station`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new station: keys, certificates, database, administrator.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  mock-central-station init ./station --site st-mary --name 'Ward 3' \\
    --anchor-key /media/safe/st-mary.key

Example, with its memory in PostgreSQL instead of SQLite:
  createdb --owner zmon station
  mock-central-station init ./station --database postgres://zmon@127.0.0.1/station

Example, with the client CA's key made in a hardware module, from where nobody
reads it:
  mock-central-station init ./station --pkcs11-module /usr/lib/hsm/pkcs11.so \\
    --pkcs11-token zmon --pkcs11-pin-file /etc/zmon/hsm.pin \\
    --pkcs11-client-ca-key 'st-mary client CA'

The administrator's password is shown this one time only. Give ./station/anchor.pem
to the devices: device init ./bed-7 --anchor ./station/anchor.pem. A running
station does not need the anchor's key: keep it on another medium."
    )]
    Init(Init),
    /// Serve a station directory until SIGTERM or SIGINT.
    #[command(
        max_term_width = 80,
        after_help = "\
Example:
  mock-central-station run ./station --listen 127.0.0.1:8443

One JSON line on standard output says when the station is ready, and where.
Settings come from DIR/station.toml, then the environment, then the flags."
    )]
    Run(Run),
}

/// Arguments of `init`.
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// New or empty directory of the station.
    pub dir: PathBuf,
    /// Site of the station.
    #[arg(long, default_value = "site-1", value_name = "ID", value_parser = flag::by(SiteId::parse))]
    pub site: SiteId,
    /// Identifier of the station.
    #[arg(long, default_value = "station-1", value_name = "ID",
          value_parser = flag::by(StationId::parse))]
    pub station_id: StationId,
    /// Name that people see.
    #[arg(long, default_value = "Central Station", value_name = "TEXT",
          value_parser = flag::by(StationName::parse))]
    pub name: StationName,
    /// Where operators connect; port 0: any.
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// Where provisioned devices connect by mTLS; port 0: any.
    #[arg(long, default_value = "127.0.0.1:8444", value_name = "IP:PORT")]
    pub device_listen: SocketAddr,
    /// Further names or addresses for the TLS certificate.
    #[arg(long, value_name = "NAME", value_parser = flag::by(server_name))]
    pub server_name: Vec<String>,
    /// Networks in which devices may be dialled, CIDR.
    #[arg(long, default_value = "127.0.0.0/8", value_name = "CIDR", value_delimiter = ',',
          value_parser = flag::by(Network::parse))]
    pub device_network: Vec<Network>,
    /// Name of the first administrator.
    #[arg(long, default_value = "admin", value_name = "NAME",
          value_parser = flag::by(OperatorId::parse))]
    pub administrator: OperatorId,
    /// File (0600) with the administrator's password ("-": stdin) instead of a made one.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// New file outside DIR for the anchor's key [default: DIR/keys/anchor.key].
    #[arg(long, value_name = "FILE")]
    pub anchor_key: Option<PathBuf>,
    /// Empty database of PostgreSQL, postgres://USER@HOST/NAME; put its password
    /// into PGPASSWORD or ~/.pgpass [default: SQLite in DIR].
    #[arg(long, env = "STATION_DATABASE", hide_env_values = true, value_name = "URL")]
    pub database: Option<SecretText>,
    /// Keys that are made in a token.
    #[command(flatten)]
    pub pkcs11: Pkcs11Args,
}

/// Arguments of `run`; each beats the environment, which beats the file.
#[derive(Debug, ClapArgs)]
pub struct Run {
    /// Directory of the station.
    pub dir: PathBuf,
    /// Where operators connect.
    #[arg(long, env = "STATION_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where provisioned devices connect by mTLS.
    #[arg(long, env = "STATION_DEVICE_LISTEN", value_name = "IP:PORT")]
    pub device_listen: Option<SocketAddr>,
    /// Names of the station besides its addresses; of the certificate that init
    /// made. The first is the one devices are told.
    #[arg(
        long = "server-name",
        env = "STATION_SERVER_NAMES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub server_names: Option<Vec<String>>,
    /// Networks in which devices may be dialled.
    #[arg(
        long = "device-network",
        env = "STATION_DEVICE_NETWORKS",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub device_networks: Option<Vec<String>>,
    /// Whether devices that no manifest names are accepted [default: false].
    #[arg(long, env = "STATION_UNREGISTERED_DEVICES", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub unregistered_devices: Option<bool>,
    /// On what ground devices are believed, any of them [default: registry].
    #[arg(long, env = "STATION_DEVICE_TRUST", value_name = "GROUND,GROUND", value_delimiter = ',')]
    pub device_trust: Option<Vec<DeviceTrustName>>,
    /// CA certificates (PEM) of makers whose devices are believed where
    /// --device-trust has factory; relative to DIR.
    #[arg(
        long = "factory-anchor",
        env = "STATION_FACTORY_ANCHORS",
        value_name = "FILE,FILE",
        value_delimiter = ','
    )]
    pub factory_anchors: Option<Vec<PathBuf>>,
    /// Whether devices may replace an expired certificate without anybody
    /// [default: false].
    #[arg(long, env = "STATION_RECOVERY", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub recovery: Option<bool>,
    /// Which devices may fetch a certificate by EST, RFC 7030: those with a
    /// current one, or with a credential too [default: off].
    #[arg(long, env = "STATION_EST", value_name = "WHO")]
    pub est: Option<EstName>,
    /// Whether the station makes the client keys of devices that allow it
    /// [default: false].
    #[arg(long, env = "STATION_STATION_MADE_KEYS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub station_made_keys: Option<bool>,
    /// Whether devices without an anchor are served [default: false].
    #[arg(long, env = "STATION_PROXIMITY", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub proximity: Option<bool>,
    /// Types of identity keys that are taken [default: all].
    #[arg(long, env = "STATION_SUITES", value_name = "TYPE,TYPE", value_delimiter = ',')]
    pub suites: Option<Vec<SuiteName>>,
    /// Pairings that one batch runs at a time, 1 to 64 [default: 4].
    #[arg(long, env = "STATION_BATCH_CONCURRENCY", value_name = "N")]
    pub batch_concurrency: Option<usize>,
    /// Database of PostgreSQL, postgres://USER@HOST/NAME; put its password into
    /// PGPASSWORD or ~/.pgpass [default: SQLite in DIR].
    #[arg(long, env = "STATION_DATABASE", hide_env_values = true, value_name = "URL")]
    pub database: Option<SecretText>,
    /// File (0600) with the token by which a monitoring system reads
    /// /api/metrics; relative to DIR.
    #[arg(long, env = "STATION_METRICS_TOKEN_FILE", value_name = "FILE")]
    pub metrics_token_file: Option<PathBuf>,
    /// Name of this process among those that share the database; no two may have
    /// the same at a time [default: main].
    #[arg(long, env = "STATION_INSTANCE", value_name = "NAME")]
    pub instance: Option<String>,
    /// Keys that are in a token.
    #[command(flatten)]
    pub pkcs11: Pkcs11Args,
    /// Logging.
    #[command(flatten)]
    pub logging: Logging,
}

/// Keys in a PKCS#11 token: a hardware security module, or SoftHSM.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Pkcs11Args {
    /// PKCS#11 module that keeps keys of the station, an absolute path [default:
    /// keys are files].
    #[arg(long, env = "STATION_PKCS11_MODULE", value_name = "FILE")]
    pub pkcs11_module: Option<PathBuf>,
    /// Label of the token.
    #[arg(long, env = "STATION_PKCS11_TOKEN", value_name = "LABEL")]
    pub pkcs11_token: Option<String>,
    /// File (0600) with the user PIN of the token; relative to DIR.
    #[arg(long, env = "STATION_PKCS11_PIN_FILE", value_name = "FILE")]
    pub pkcs11_pin_file: Option<PathBuf>,
    /// Label of the client CA's key in the token [default: it is a file].
    #[arg(long, env = "STATION_PKCS11_CLIENT_CA_KEY", value_name = "LABEL")]
    pub pkcs11_client_ca_key: Option<String>,
    /// Label of the configuration-signing key in the token [default: it is a file].
    #[arg(long, env = "STATION_PKCS11_SIGNING_KEY", value_name = "LABEL")]
    pub pkcs11_signing_key: Option<String>,
}

/// Logging, of every serving command.
#[derive(Clone, Debug, ClapArgs)]
pub struct Logging {
    /// Log level or directives [default: info].
    #[arg(long, env = "STATION_LOG", value_name = "FILTER", value_parser = flag::by(Filter::parse))]
    pub log: Option<Filter>,
    /// Shape of log lines on standard error [default: text].
    #[arg(long, env = "STATION_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Arguments of the station for one harness.
#[derive(Debug, ClapArgs)]
pub struct Ephemeral {
    /// Serve from a temporary directory, removed at the end.
    #[arg(long)]
    pub ephemeral: bool,
    /// Make one step fail, each time or the N-th time only; may be repeated.
    #[arg(long, value_name = "STEP=KIND[@N]", requires = "ephemeral")]
    pub fault: Vec<Ordered>,
    /// Wait so long before each step with a device.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "ephemeral",
          value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub delay_ms: u64,
    /// Accept devices that no manifest names.
    #[arg(long, requires = "ephemeral")]
    pub auto_provision: bool,
    /// Logging.
    #[command(flatten)]
    pub logging: Logging,
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

    /// Every value that clap cannot judge by its own rules.
    #[test]
    fn a_wrong_value_is_refused_with_its_flag_and_rule() {
        let init: &[&str] = &["init", "x"];
        let run: &[&str] = &["run", "x"];
        let ephemeral: &[&str] = &["--ephemeral"];
        let cases = [
            (init, "--site", "", "must "),
            (init, "--station-id", "a b", "must "),
            (init, "--name", "", "must "),
            (init, "--listen", "here", "invalid socket address"),
            (init, "--device-listen", "here", "invalid socket address"),
            (init, "--server-name", "a b", "must be a host name or an address"),
            (init, "--device-network", "127.0.0.1/8", "must "),
            (init, "--administrator", "a b", "must "),
            (run, "--log", "zmon=loudest", "must be a level or directives"),
            (run, "--est", "everybody", "possible values: off, reenroll, enroll"),
            (ephemeral, "--log", "zmon=loudest", "must be a level or directives"),
            (ephemeral, "--fault", "nonsense", "STEP=fail for dial"),
            (ephemeral, "--delay-ms", "600001", "0..=600000"),
        ];
        for (base, flag, value, rule) in cases {
            let line = ["mock-central-station"].iter().chain(base).chain([&flag, &value]);
            let refused = Args::try_parse_from(line).unwrap_err().to_string();
            assert!(refused.contains(&format!("'{flag} <")), "{flag}: {refused}");
            assert!(refused.contains(rule), "{flag}: {refused}");
        }
    }

    #[test]
    fn ephemeral_flags_need_ephemeral() {
        let parse = |args: &[&str]| Args::try_parse_from(args.iter().copied());
        assert!(parse(&["mock-central-station", "--auto-provision"]).is_err());
        assert!(parse(&["mock-central-station", "--ephemeral", "--delay-ms", "5"]).is_ok());
        assert!(parse(&["mock-central-station", "--json", "run", "x"]).is_ok());
    }
}
