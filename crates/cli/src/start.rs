//! What every `main` does around its `run`: a runtime and the real streams.

use std::{
    io::{stderr, stdout},
    process::ExitCode,
};

use tokio::runtime::Builder;

use crate::{ExitClass, Failure, Streams, streams::stdout_is_terminal};

/// Runs `command` on a runtime of the calling thread alone: small footprint, the device.
pub fn current_thread<F>(command: F) -> ExitCode
where
    F: for<'a, 'b> AsyncFnOnce(&'a mut Streams<'b>) -> ExitClass,
{
    block_on(Builder::new_current_thread(), command)
}

/// Runs `command` on a runtime with a thread per core: the station and its tools.
pub fn multi_thread<F>(command: F) -> ExitCode
where
    F: for<'a, 'b> AsyncFnOnce(&'a mut Streams<'b>) -> ExitClass,
{
    block_on(Builder::new_multi_thread(), command)
}

fn block_on<F>(mut builder: Builder, command: F) -> ExitCode
where
    F: for<'a, 'b> AsyncFnOnce(&'a mut Streams<'b>) -> ExitClass,
{
    let (mut out, mut err) = (stdout(), stderr());
    let mut streams = Streams::new(&mut out, &mut err, stdout_is_terminal());
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(command(&mut streams)).into(),
        Err(error) => Failure::from(error).show(&mut streams).into(),
    }
}
