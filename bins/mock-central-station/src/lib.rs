//! Central Station for harnesses, trials and tests, as a program.
//!
//! The use-cases are those of `zmon-station`, unchanged; what is "mock" about it is that its
//! certificate authority lives in files and that [faults](fault::Ordered) can be ordered. [`run`]
//! reads the command line, composes, and serves until it is told to stop.

mod args;
mod compose;
mod database;
mod ephemeral;
mod factory;
pub mod fault;
mod faulty;
mod init;
mod keys;
mod scraper;
mod serve;
mod settings;
mod system;
mod token;
pub mod vocabulary;

pub use args::{Args, Command, Ephemeral, Init, Logging, Run};

use zmon_cli::{ExitClass, Failure, Streams};
use zmon_domain::error::Side;
use zmon_persistence::PersistenceError;
use zmon_station::StationError;

/// Carries out one command line and returns the class of its exit code.
pub async fn run(args: Args, streams: &mut Streams<'_>) -> ExitClass {
    streams.set_json(args.json);
    let done = match (args.command, args.ephemeral.ephemeral) {
        (Some(Command::Init(init)), false) => init::run(init, streams).await,
        (Some(Command::Run(run)), false) => serve::run(run, streams).await,
        (None, true) => ephemeral::run(args.ephemeral, streams).await,
        (Some(_), true) | (None, false) => {
            Err(Failure::usage("command", "must be init, run or --ephemeral, and one of them"))
        }
    };
    match done {
        Ok(()) => ExitClass::Ok,
        Err(failure) => failure.on(Side::Station).show(streams),
    }
}

/// A failed file or database, with its path for the person at the terminal.
#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(stored)`")]
fn stored(error: PersistenceError) -> Failure {
    Failure::new(error.code()).context(error.describe())
}

/// A refused use-case.
fn refused(error: StationError) -> Failure {
    let cause = error.to_string();
    Failure::from(error.report).context(cause)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[tokio::test]
    async fn a_command_and_ephemeral_are_alternatives() {
        for line in [&["--ephemeral", "run", "x"][..], &["--json"]] {
            let args = ["mock-central-station"].iter().chain(line);
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut streams = Streams::new(&mut out, &mut err, false);
            let class = run(Args::try_parse_from(args).unwrap(), &mut streams).await;
            assert_eq!(class, ExitClass::Usage);
        }
    }
}
