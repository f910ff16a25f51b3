//! Commands about the certificates that a station has issued.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use zmon_cli::flag;
use zmon_domain::ids::{DeviceId, Serial};
use zmon_wire::fleet::{CertificateStanding, RevokeReason};

use super::station::Login;

/// Arguments of `zmon certificate`.
#[derive(Debug, ClapArgs)]
pub struct Certificate {
    /// What to do.
    #[command(subcommand)]
    pub command: CertificateCommand,
}

/// `zmon certificate …`.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// List the certificates that the station has issued, the soonest to end
    /// first.
    #[command(
        max_term_width = 80,
        override_usage = "zmon certificate list --station <URL> --ca <FILE>",
        after_help = "\
Example:
  zmon certificate list --station https://127.0.0.1:8443 --ca anchor.pem \\
    --operator admin"
    )]
    List {
        /// Those in this state.
        #[arg(long, value_enum, default_value_t = StandingName::Current, value_name = "STATE")]
        state: StandingName,
        /// Those of this device, whatever their state.
        #[arg(long, value_name = "ID", conflicts_with = "state",
              value_parser = flag::by(DeviceId::parse))]
        device: Option<DeviceId>,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
    /// Revoke a certificate (administrator): it opens nothing any more, from the
    /// next request on, and is never recovered.
    #[command(
        max_term_width = 80,
        override_usage = "zmon certificate revoke <SERIAL> --station <URL> --ca <FILE>",
        after_help = "\
Example, of a stolen monitor:
  zmon certificate revoke 5f3a… --reason key-compromise \\
    --station https://127.0.0.1:8443 --ca anchor.pem --operator admin"
    )]
    Revoke {
        /// Serial number, hexadecimal.
        #[arg(value_parser = flag::by(Serial::parse))]
        serial: Serial,
        /// Why.
        #[arg(long, value_enum, default_value_t = ReasonName::Administrator, value_name = "WHY")]
        reason: ReasonName,
        /// Station and operator.
        #[command(flatten)]
        login: Login,
    },
}

/// States of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StandingName {
    /// Issued; nobody has committed to it yet.
    Pending,
    /// In force.
    Current,
    /// Given way to a newer one, and still accepted.
    Superseded,
    /// Revoked.
    Revoked,
}

impl From<StandingName> for CertificateStanding {
    fn from(name: StandingName) -> Self {
        match name {
            StandingName::Pending => Self::Pending,
            StandingName::Current => Self::Current,
            StandingName::Superseded => Self::Superseded,
            StandingName::Revoked => Self::Revoked,
        }
    }
}

/// Reasons of an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReasonName {
    /// A decision.
    Administrator,
    /// The key is or may be known to others.
    KeyCompromise,
}

impl From<ReasonName> for RevokeReason {
    fn from(name: ReasonName) -> Self {
        match name {
            ReasonName::Administrator => Self::Administrator,
            ReasonName::KeyCompromise => Self::KeyCompromise,
        }
    }
}
