//! Bedside monitor: the device side of Z Monitor provisioning as a program.
//!
//! Nothing is decided here. [`run`] reads the command line, composes the adapters of
//! `zmon-persistence` and `zmon-transport` around `zmon-provisioning`'s service, and serves until it
//! is told to stop. [`embed`] is the same device for a program with a screen of its own.

mod anchors;
mod args;
mod compose;
mod courier;
pub mod embed;
mod factory;
mod identity;
mod init;
mod interlock;
mod running;
mod serve;
mod settings;
#[cfg(feature = "simulate")]
mod simulate;

pub use args::{Args, Command, FactoryChain, Identity, Init, Run};
pub use interlock::InterlockSetting;

use zmon_cli::{ExitClass, Failure, Streams};
use zmon_persistence::PersistenceError;

/// Carries out one command line and returns the class of its exit code.
pub async fn run(args: Args, streams: &mut Streams<'_>) -> ExitClass {
    streams.set_json(args.json);
    let done = match args.command {
        Command::Init(init) => init::run(init, streams).await,
        Command::Identity(identity) => identity::run(&identity, streams),
        Command::FactoryChain(chain) => factory::run(chain, streams).await,
        Command::Run(run) => serve::run(run, streams).await,
    };
    match done {
        Ok(()) => ExitClass::Ok,
        Err(failure) => failure.show(streams),
    }
}

/// A failed file or database, with its path for the person at the terminal.
#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(stored)`")]
fn stored(error: PersistenceError) -> Failure {
    Failure::new(error.code()).context(error.describe())
}
