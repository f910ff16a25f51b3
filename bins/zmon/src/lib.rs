//! Command line of Z Monitor provisioning: the operator's side of the station's API, the device's
//! control socket, audit logs, QR codes, and one whole pairing as a demonstration.

mod administer;
pub mod args;
mod audit;
mod batch;
mod certificate;
mod clock;
mod courier;
mod demo;
mod device;
mod doctor;
mod draft;
mod entropy;
mod pair;
mod qr;
mod station;
mod support;
mod upkeep;

pub use args::{Args, Command};

use std::io;

use clap::CommandFactory;
use zmon_cli::{ExitClass, Failure, Streams};
use zmon_domain::error::Side;

/// Carries out one command line and returns the class of its exit code.
pub async fn run(args: Args, streams: &mut Streams<'_>) -> ExitClass {
    streams.set_json(args.json);
    match carry_out(args.command, streams).await {
        Ok(()) => ExitClass::Ok,
        Err(failure) => failure.on(Side::Operator).show(streams),
    }
}

async fn carry_out(command: Command, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match command {
        Command::Demo(demo) => demo::run(&demo, streams).await,
        Command::Pair(pair) => pair::run(&pair, streams).await,
        Command::Courier(courier) => courier::run(&courier, streams).await,
        Command::Batch(batch) => batch::run(batch.command, streams).await,
        Command::Audit(audit) => audit::run(audit, streams).await,
        Command::Qr(qr) => qr::run(qr, streams).await,
        Command::Registry(registry) => administer::registry(registry.command, streams).await,
        Command::Operator(operator) => administer::operator(operator.command, streams).await,
        Command::Certificate(certificate) => certificate::run(certificate.command, streams).await,
        Command::Station(station) => upkeep::run(station.command, streams).await,
        Command::Device(device) => device::run(device, streams).await,
        Command::Doctor { dir } => doctor::run(&dir, streams).await,
        Command::SupportBundle { dir, output, rows } => {
            support::run(&dir, &output, rows, streams).await
        }
        Command::Completions { shell } => Ok(completions(shell, streams)?),
    }
}

fn completions(shell: clap_complete::Shell, streams: &mut Streams<'_>) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "zmon", &mut script);
    streams.raw(&script)
}
